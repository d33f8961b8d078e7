//! `redlock-proxy dev`.

use std::process::ExitCode;

use super::Exit;
use super::args::{DevArgs, ExecPrimaryArgs};

/// Runs the proxy with local primaries of its own.
pub fn run(_: DevArgs) -> ExitCode {
    Exit::Unavailable.into()
}

/// Becomes another program.
pub fn exec(_: ExecPrimaryArgs) -> ExitCode {
    Exit::Unavailable.into()
}
