//! The tests that run the program itself or the simulation, a module per promise.

mod cli;
mod config;
mod dev;
mod relay;
mod simulation;
mod upstream;
