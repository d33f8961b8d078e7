//! Which server program `dev` runs: where it is found, what it is, and how it is started.
//!
//! A file's name proves little (distributions link `redis-server` to Valkey), so the kind is read off what the program
//! says of itself. Everything but the one call of `--version` is pure.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// The names looked for on `PATH`, the preferred one first.
const NAMES: [&str; 3] = ["dragonfly", "valkey-server", "redis-server"];

/// A program that has not printed its version by then is no server of ours.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Which of the three servers a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dragonfly,
    Valkey,
    Redis,
}

impl Kind {
    /// Reads the kind off the program's `--version` output.
    fn of(version_output: &str) -> Option<Self> {
        // The word itself, colour codes in front of it aside: a licence notice speaks of redistribution.
        let is_said = |name: &str| {
            let first_line = version_output.lines().next().unwrap_or_default().to_lowercase();
            first_line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word.ends_with(name))
        };
        [("dragonfly", Self::Dragonfly), ("valkey", Self::Valkey), ("redis", Self::Redis)]
            .into_iter()
            .find_map(|(name, kind)| is_said(name).then_some(kind))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dragonfly => "Dragonfly",
            Self::Valkey => "Valkey",
            Self::Redis => "Redis",
        })
    }
}

/// Why there is no program to run.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProgramError {
    /// Nothing on `PATH`, and nothing named.
    #[error(
        "no server to run: none of {} is on PATH; install one of them or name one with --server PATH",
        NAMES.join(", ")
    )]
    NotFound,
    /// The program could not be run at all.
    #[error("cannot run {} --version: {source}", path.display())]
    CannotRun {
        /// The program.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ran, but is none of the three.
    #[error("{} is not a Dragonfly, Valkey or Redis server; --version printed: {output:?}", path.display())]
    Unrecognised {
        /// The program.
        path: PathBuf,
        /// The beginning of what it printed.
        output: String,
    },
}

/// A server program that can be run, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// As the program prints it: `7.0.15`.
    pub(super) version: String,
}

impl Program {
    /// The program `named`, or the first of the known ones in the directories of `search_path` (what `PATH` holds).
    pub(super) async fn find(named: Option<&Path>, search_path: &OsStr) -> Result<Self, ProgramError> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => first_on_path(search_path).ok_or(ProgramError::NotFound)?,
        };
        let output =
            version_output(&path).await.map_err(|source| ProgramError::CannotRun { path: path.clone(), source })?;
        match (Kind::of(&output), version_number(&output)) {
            (Some(kind), Some(version)) => Ok(Self { path, kind, version: version.to_owned() }),
            _ => Err(ProgramError::Unrecognised { path, output: output.trim().chars().take(200).collect() }),
        }
    }

    /// The arguments that make it listen on this loopback port and keep nothing on disk.
    pub(super) fn arguments(&self, port: u16, folder: &Path) -> Vec<OsString> {
        let port = port.to_string();
        let mut arguments: Vec<OsString> = Vec::new();
        match self.kind {
            Kind::Dragonfly => {
                // One thread and its least memory: the servers share this machine with each other and their user.
                let fixed =
                    ["--bind=127.0.0.1", "--proactor_threads=1", "--maxmemory=512mb", "--dbfilename=", "--logtostderr"];
                arguments.push(format!("--port={port}").into());
                arguments.extend(fixed.map(OsString::from));
                let mut directory = OsString::from("--dir=");
                directory.push(folder);
                arguments.push(directory);
            }
            Kind::Valkey | Kind::Redis => {
                let fixed = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"];
                arguments.extend(fixed.map(OsString::from));
                arguments.push(folder.into());
            }
        }
        arguments
    }
}

/// The first of [`NAMES`] that is an executable file; a preferred name in a late directory beats a lesser one in an
/// early directory.
fn first_on_path(search_path: &OsStr) -> Option<PathBuf> {
    NAMES.iter().find_map(|name| {
        std::env::split_paths(search_path).map(|directory| directory.join(name)).find(|path| is_executable(path))
    })
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

async fn version_output(path: &Path) -> io::Result<String> {
    let run = Command::new(path).arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(VERSION_TIMEOUT, run).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {} s", VERSION_TIMEOUT.as_secs()))
    })??;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The first dotted number: `7.0.15` in `Redis server v=7.0.15 sha=00000000:0`.
fn version_number(version_output: &str) -> Option<&str> {
    version_output
        .split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .map(|number| number.trim_matches('.'))
        .find(|number| number.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIS: &str = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0\n";
    const VALKEY: &str = "Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64 build=1536df31c0395150\n";
    const DRAGONFLY: &str = "dragonfly v1.40.1-0db36d3c10aa85b2\nbuild time: 2026-08-03 07:01:22\n";

    #[test]
    fn the_kind_and_version_are_read_off_what_the_program_says() {
        for (output, kind, version) in
            [(REDIS, Kind::Redis, "7.0.15"), (VALKEY, Kind::Valkey, "9.1.2"), (DRAGONFLY, Kind::Dragonfly, "1.40.1")]
        {
            assert_eq!(Kind::of(output), Some(kind), "{output}");
            assert_eq!(version_number(output), Some(version), "{output}");
        }
    }

    #[test]
    fn coloured_output_is_read_all_the_same() {
        let output = "\u{1b}[1;32mdragonfly\u{1b}[0m \u{1b}[1mv1.40.1\u{1b}[0m-0db36d3";
        assert_eq!((Kind::of(output), version_number(output)), (Some(Kind::Dragonfly), Some("1.40.1")));
    }

    #[test]
    fn another_program_is_no_server() {
        assert_eq!(Kind::of("nginx version: nginx/1.22.1"), None);
        assert_eq!(Kind::of("true 1.0: free software, free to redistribute"), None);
        assert_eq!(Kind::of("cat 9.1\nredis and dragonfly are mentioned below"), None);
        assert_eq!(Kind::of(""), None);
    }

    fn folder_with(programs: &[(&str, u32)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, mode) in programs {
            let path = folder.path().join(name);
            std::fs::write(&path, "#!/bin/sh\n").expect("a file in it");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).expect("its mode");
        }
        folder
    }

    #[test]
    fn dragonfly_is_preferred_wherever_on_path_it_stands() {
        let early = folder_with(&[("redis-server", 0o755), ("valkey-server", 0o755)]);
        let late = folder_with(&[("dragonfly", 0o755)]);
        let both = std::env::join_paths([early.path(), late.path()]).expect("paths without a colon");
        assert_eq!(first_on_path(&both), Some(late.path().join("dragonfly")));
        assert_eq!(first_on_path(early.path().as_os_str()), Some(early.path().join("valkey-server")));
    }

    #[test]
    fn a_file_that_cannot_be_run_is_passed_over() {
        let folder = folder_with(&[("dragonfly", 0o644), ("redis-server", 0o755)]);
        std::fs::create_dir(folder.path().join("valkey-server")).expect("a directory of that name");
        assert_eq!(first_on_path(folder.path().as_os_str()), Some(folder.path().join("redis-server")));
    }

    #[tokio::test]
    async fn without_any_server_the_error_names_what_would_do() {
        let empty = folder_with(&[]);
        let error = Program::find(None, empty.path().as_os_str()).await.expect_err("nothing is there");
        let text = error.to_string();
        assert!(NAMES.iter().all(|name| text.contains(name)) && text.contains("--server"), "{text}");
    }

    #[tokio::test]
    async fn a_program_that_is_no_server_is_refused_with_what_it_printed() {
        let error = Program::find(Some(Path::new("/bin/echo")), OsStr::new("")).await.expect_err("echo is no server");
        let text = error.to_string();
        assert!(text.starts_with("/bin/echo is not a Dragonfly, Valkey or Redis server"), "{text}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let error = Program::find(Some(Path::new("/nowhere/redis-server")), OsStr::new("")).await.expect_err("no file");
        assert!(error.to_string().starts_with("cannot run /nowhere/redis-server --version: "), "{error}");
    }

    fn arguments_of(kind: Kind) -> Vec<OsString> {
        Program { path: "server".into(), kind, version: "1.0".into() }.arguments(7001, Path::new("/folder"))
    }

    #[test]
    fn every_kind_listens_on_loopback_only_and_keeps_nothing_on_disk() {
        for kind in [Kind::Valkey, Kind::Redis] {
            let expected =
                ["--port", "7001", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/folder"];
            assert_eq!(arguments_of(kind), expected, "{kind}");
        }
        let dragonfly = arguments_of(Kind::Dragonfly);
        for expected in ["--port=7001", "--bind=127.0.0.1", "--dbfilename=", "--dir=/folder", "--logtostderr"] {
            assert!(dragonfly.contains(&expected.into()), "{expected} in {dragonfly:?}");
        }
    }
}
