//! The tests that run the program itself or the simulation, a module per promise.

mod cli;
mod common;
mod config;
mod dev;
mod faults;
mod links;
mod reasons;
mod rig;
mod simulation;
mod traps;
