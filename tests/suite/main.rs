//! The tests that run the program itself, a module per promise.

mod cli;
mod common;
mod config;
mod dev;
mod traps;
