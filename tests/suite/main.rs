//! The tests that run the program itself or the simulation, a module per promise.

mod architecture;
mod auth;
mod cli;
mod command_family;
mod config;
mod dev;
mod errors;
mod exclusion;
mod fixture;
mod greeting;
mod hostile;
mod limits;
mod lock_service;
mod owner;
mod secrecy;
mod shutdown;
mod simulation;
