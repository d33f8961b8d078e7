//! `redlock-proxy check`: what the proxy would run on, and why so.

use std::env;

use super::args::SettingsArgs;
use super::{Exit, print};
use crate::config::Effective;

/// Prints the effective configuration as YAML, warnings and errors to stderr.
pub(super) fn run(settings: SettingsArgs) -> Exit {
    match Effective::load(&settings.sources(env::vars_os())) {
        Ok(effective) => {
            for warning in &effective.warnings {
                eprintln!("warning: {warning}");
            }
            print(&effective.to_yaml());
            Exit::Done
        }
        Err(problems) => {
            eprintln!("{problems}");
            Exit::Configuration
        }
    }
}
