//! The tests that run the program itself, a module per promise.

mod cli;
mod config;
mod dev;
mod faults;
mod links;
mod reasons;
mod rig;
mod traps;
