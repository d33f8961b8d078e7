//! Proxies that others wrote and that pass commands on, as the relay does.
//!
//! Each has a folder in bench/proxies. Its `run` brings the program from the package manager, tells its version, and becomes the
//! program. One that cannot be had on this machine, or fails, is named with the reason.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use support::programs::Listening;
use tempfile::NamedTempFile;
use tokio::process::Command;
use tokio::time::timeout;

use crate::front::Front;
use crate::panics::caught;
use crate::programs::{self, TO_BEGIN};
use crate::series::Run;

/// How many of its last lines tell why a program has ended.
const LINES: usize = 3;

/// A proxy that listens.
pub struct Other {
    /// Its folder, and the version of the program.
    pub name: String,
    /// The program.
    pub listening: Listening,
    errors: NamedTempFile,
}

/// All there are, in order of their names, before the same upstream: those that listen, and what is wrong with the others.
pub fn start(front: &Front) -> (Vec<Other>, Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("proxies");
    let upstream = front.upstream.port();
    programs::start_each(&folder, |name, run| front.wait(Other::start(name, run, upstream)))
}

impl Other {
    async fn start(name: &str, run: &Path, upstream: u16) -> Result<Self, String> {
        let errors = NamedTempFile::new().expect("a temporary file can be made");
        let version = version(run, &errors).await.map_err(|reason| programs::explained(&reason, &errors, LINES))?;
        let arguments = |port: u16| vec![port.to_string(), upstream.to_string()];
        let listening = Listening::try_start(run, arguments, to(&errors)).await;
        let listening = listening.map_err(|reason| programs::explained(&reason, &errors, LINES))?;
        Ok(Self { name: format!("{name} {version}"), listening, errors })
    }

    /// What is measured on it. One that gives way, or answers otherwise than the upstream would, is not compared.
    ///
    /// # Errors
    /// Says why nothing was measured.
    pub fn measured(&self, measure: impl FnOnce() -> Run) -> Result<Run, String> {
        let run = caught(measure).map_err(|reason| programs::explained(&reason, &self.errors, LINES))?;
        match &run.first_failure {
            Some(first) => Err(format!("{} operations failed; the first: {first}", run.failures)),
            None => Ok(run),
        }
    }
}

/// What the program says itself.
async fn version(run: &Path, errors: &NamedTempFile) -> Result<String, String> {
    let mut command = Command::new(run);
    // Not `output`, which would keep what is said to standard error.
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(to(errors)).kill_on_drop(true);
    let child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
    let output = timeout(TO_BEGIN, child.wait_with_output()).await;
    let output = output.map_err(|_| format!("is not ready after {TO_BEGIN:?}"))?.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("cannot be had: {}", output.status));
    }
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if version.is_empty() { Err("tells no version".into()) } else { Ok(version) }
}

fn to(errors: &NamedTempFile) -> Stdio {
    let file: File = errors.as_file().try_clone().expect("a descriptor can be duplicated");
    file.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use crate::series::examples::run;

    /// Of which `version` and `becomes` are what the script does.
    async fn started(version: &str, becomes: &str) -> Result<Other, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("run");
        let script = format!("#!/bin/sh\nif [ $1 = --version ]; then {version}; else {becomes}; fi\n");
        fs::write(&file, script).expect("a file in a new folder");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("it is ours");
        Other::start("relay", &file, 7).await
    }

    const SERVER: &str = "exec redis-server --save '' --port $1";

    #[tokio::test]
    async fn one_that_listens_has_its_name_and_version() {
        let other = started("echo 1.2.3", SERVER).await.expect("it listens");
        assert_eq!(other.name, "relay 1.2.3");
        let reply = support::redis_cli(other.listening.port(), &["PING"]).await;
        assert_eq!(String::from_utf8_lossy(&reply.stdout), "PONG\n");
    }

    #[tokio::test]
    async fn one_that_cannot_be_had_or_does_not_listen_is_named_with_the_reason() {
        let reason = async |version, becomes| started(version, becomes).await.err().unwrap_or_default();
        let absent = reason("echo fetching >&2; echo no such package >&2; exit 3", SERVER).await;
        assert_eq!(absent, "cannot be had: exit status: 3 (fetching; no such package)");
        assert_eq!(reason("true", SERVER).await, "tells no version");
        let deaf = reason("echo 1.2.3", "echo taken >&2").await;
        assert!(deaf.ends_with("has ended before it listened (taken)"), "{deaf}");
    }

    #[tokio::test]
    async fn one_that_fails_an_operation_or_gives_way_is_not_compared() {
        let other = started("echo 1.2.3", SERVER).await.expect("it listens");
        assert_eq!(other.measured(|| run(5.0)).map(|run| run.per_second.to_string()), Ok("5".into()));
        let failed = || Run { failures: 2, first_failure: Some("it is answered -ERR".into()), ..run(5.0) };
        let reason = other.measured(failed).err();
        assert_eq!(reason.as_deref(), Some("2 operations failed; the first: it is answered -ERR"));
        let gone = other.measured(|| panic!("connection 3 was closed")).err();
        assert_eq!(gone.as_deref(), Some("connection 3 was closed"));
    }
}
