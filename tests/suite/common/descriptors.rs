//! Descriptors: the program with few of them, and this process with many.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use super::PROXY;

/// The program under test, that may have so many descriptors and no more. It lives in the folder.
pub(crate) fn with_descriptors(most: u64) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a folder");
    let script = folder.path().join("few-descriptors");
    std::fs::write(&script, format!("#!/bin/sh\nulimit -n {most} && exec {PROXY} \"$@\"\n"))
        .expect("it can be written");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o700)).expect("its owner may");
    (folder, script)
}

/// Lets this process have as many descriptors as it may, which must be so many at least.
pub(crate) fn need_descriptors(least: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("a process may have what it may have");
    let room = maximum.is_none_or(|maximum| maximum >= least);
    assert!(room, "this test needs {least} descriptors: raise the hard limit (ulimit -Hn)");
}
