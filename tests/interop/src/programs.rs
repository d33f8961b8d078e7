//! Which programs there are, and how one is run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::Failure;
use crate::stage::Environment;

/// What a program is to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A client or an example: it does everything itself.
    Program,
    /// A Redlock library's driver, which does what it is told (bench/peers/README.md).
    Library,
}

/// A folder with an executable `run`.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) run: PathBuf,
}

/// Where programs are: below this folder, so many levels down, called by what stands behind it.
const PLACES: [(&str, usize, Kind); 4] = [
    ("tests/interop", 1, Kind::Program),
    ("tests/interop", 2, Kind::Program),
    ("examples", 1, Kind::Program),
    ("bench/peers", 1, Kind::Library),
];

/// Every program of the repository whose name contains one of `wanted` (all, when that is empty), in order of their names.
pub(crate) fn find(root: &Path, wanted: &[String]) -> Vec<Program> {
    let mut programs = Vec::new();
    for (place, levels, kind) in PLACES {
        let mut folders = vec![root.join(place)];
        for _ in 0..levels {
            folders = folders.iter().flat_map(|folder| subfolders(folder)).collect();
        }
        for folder in folders {
            let run = folder.join("run");
            if run.is_file() {
                let name = folder.strip_prefix(root).expect("it was found below it").to_string_lossy();
                let name = name.trim_start_matches("tests/interop/").to_owned();
                programs.push(Program { name, kind, run });
            }
        }
    }
    programs.retain(|program| wanted.is_empty() || wanted.iter().any(|part| program.name.contains(part)));
    programs.sort_by(|one, other| one.name.cmp(&other.name));
    programs
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// The command that runs a program; the kernel kills it when the runner ends, however that comes.
pub(crate) fn command(program: &Program, environment: &Environment) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(&program.run);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.kill_on_drop(true);
    command
}

/// Runs a program to its end; its last line, or what went wrong.
pub(crate) async fn run(program: &Program, environment: &Environment, patience: Duration) -> Result<String, Failure> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let printed = || std::fs::read_to_string(file.path()).unwrap_or_default();
    let output = |file: &File| Stdio::from(file.try_clone().expect("a descriptor can be duplicated"));
    let mut command = command(program, environment);
    command.stdin(Stdio::null()).stdout(output(file.as_file())).stderr(output(file.as_file()));
    let ended = match tokio::time::timeout(patience, command.status()).await {
        Err(_) => Err(format!("has not ended after {patience:?}")),
        Ok(Err(error)) => Err(format!("cannot be run: {error}")),
        Ok(Ok(status)) if !status.success() => Err(format!("{status}")),
        Ok(Ok(_)) => Ok(()),
    };
    match ended {
        Ok(()) => Ok(printed().lines().last().unwrap_or_default().to_owned()),
        Err(what) => Err(Failure { what, output: printed() }),
    }
}
