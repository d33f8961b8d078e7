//! The tests that run the program itself or the simulation, a module per promise.

mod architecture;
mod auth;
mod cli;
mod command_family;
mod common;
mod config;
mod dev;
mod errors;
mod exclusion;
mod faults;
mod greeting;
mod hostile;
mod limits;
mod links;
mod lock_service;
mod looking_in;
mod owner;
mod reasons;
mod relay;
mod secrecy;
mod session;
mod several;
mod shutdown;
mod simulation;
mod traps;
mod waiting;
