//! The programs that are measured, and programs that measure.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::timeout;

/// Against hanging only: whatever is measured ends long before.
const LONGEST: Duration = Duration::from_secs(240);

/// Builds a program of this workspace for release, as it is shipped, and tells where it is.
pub fn release_build(package: &str, program: &str) -> PathBuf {
    let own = env::current_exe().expect("a running program has a file");
    let target = own.ancestors().nth(2).expect("cargo put it into target/<profile>");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--locked", "--release", "--package", package, "--bin", program]);
    build.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    build.arg("--target-dir").arg(target);
    let status = build.status().unwrap_or_else(|error| panic!("cannot run cargo: {error}"));
    assert!(status.success(), "{program} cannot be built");
    target.join("release").join(program)
}

/// Runs a program to its end with this input; what it printed. Panics when it fails or hangs.
pub async fn output<A: AsRef<OsStr>>(program: &str, arguments: &[A], input: impl Into<Stdio>) -> String {
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(input).stdout(Stdio::piped()).kill_on_drop(true);
    // Not `output`, which would keep what is said to standard error.
    let child = command.spawn().unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    let ended = timeout(LONGEST, child.wait_with_output()).await;
    let ended = ended.unwrap_or_else(|_| panic!("{program} has not ended after {LONGEST:?}"));
    let output = ended.unwrap_or_else(|error| panic!("cannot wait for {program}: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} failed ({}): {printed}", output.status);
    printed
}
