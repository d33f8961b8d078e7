//! The programs that are measured, and programs that measure.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::time::timeout;

/// Against hanging only: whatever is measured ends long before.
const LONGEST: Duration = Duration::from_secs(240);

/// Until a program of others is ready: the first time, it is fetched and compiled.
pub const TO_BEGIN: Duration = Duration::from_secs(9 * 60);

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

/// Starts what others wrote: each folder in here that has a `run`, by its name and that file, in order of the names. Those that
/// are ready, and what is wrong with the others.
pub fn start_each<T>(folder: &Path, mut start: impl FnMut(&str, &Path) -> Result<T, String>) -> (Vec<T>, Vec<String>) {
    let entries = fs::read_dir(folder).expect("the folder is where this was built").flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.join("run").is_file()).collect();
    folders.sort();
    let (mut ready, mut missing) = (Vec::new(), Vec::new());
    for folder in folders {
        let name = folder.file_name().expect("it was found").to_string_lossy().into_owned();
        eprintln!("starting {name}");
        match start(&name, &folder.join("run")) {
            Ok(program) => ready.push(program),
            Err(reason) => missing.push(format!("{name}: {reason}")),
        }
    }
    (ready, missing)
}

/// With the last lines that were said to standard error, so many of them.
pub fn explained(reason: &str, errors: &NamedTempFile, lines: usize) -> String {
    let said = fs::read_to_string(errors.path()).unwrap_or_default();
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = said[said.len().saturating_sub(lines)..].join("; ");
    if last.is_empty() { reason.to_owned() } else { format!("{reason} ({last})") }
}
