//! Which servers there are to test on, and where their programs are.

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::ServerOptions;
use crate::process::on_path;

/// A server program that understands what the lock needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `redis-server`, from PATH.
    Redis,
    /// `valkey-server`, from PATH or from the folder into which `make setup` puts it.
    Valkey,
    /// A Dragonfly that `REDLOCK_TEST_SERVER` names: no package registry has it.
    Dragonfly,
}

impl Kind {
    /// What a test that is to hold on every server runs on: Redis and Valkey, or just the program `REDLOCK_TEST_SERVER` names.
    pub fn all() -> &'static [Kind] {
        static ALL: OnceLock<Vec<Kind>> = OnceLock::new();
        ALL.get_or_init(|| named().map_or_else(|| vec![Kind::Redis, Kind::Valkey], |named| vec![named.kind]))
    }

    /// What a test runs on for which one kind of server is enough.
    pub fn any() -> Kind {
        Self::all()[0]
    }

    /// The program; panics, and says what to do, when there is none: a test that skips itself proves nothing.
    pub(crate) fn binary(self) -> PathBuf {
        static FOUND: OnceLock<Mutex<HashMap<Kind, PathBuf>>> = OnceLock::new();
        let mut found = FOUND.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        found.entry(self).or_insert_with(|| self.find()).clone()
    }

    fn find(self) -> PathBuf {
        if let Some(named) = named().filter(|named| named.kind == self) {
            return named.binary.clone();
        }
        let found = match self {
            Kind::Redis => on_path("redis-server"),
            Kind::Valkey => on_path("valkey-server")
                .or_else(|| Some(cache()?.join("bin/valkey-server")).filter(|file| file.is_file())),
            Kind::Dragonfly => panic!("no Dragonfly to test on: name its program in REDLOCK_TEST_SERVER"),
        };
        found.unwrap_or_else(|| panic!("no {self} server on PATH or in the cache: run `make setup`"))
    }

    /// The arguments of a server on `port` that keeps nothing on disk. What comes last wins, for all three of them.
    pub(super) fn arguments(self, port: u16, folder: &Path, options: &ServerOptions) -> Vec<OsString> {
        let port = port.to_string();
        let mut arguments: Vec<OsString> = match self {
            Kind::Redis | Kind::Valkey => {
                // A replica is in step at once: by default a master waits seconds for further replicas first.
                let fixed =
                    ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"];
                let mut arguments: Vec<OsString> = fixed.iter().map(OsString::from).collect();
                arguments.extend(["--port".into(), port.into(), "--dir".into(), folder.into()]);
                arguments
            }
            Kind::Dragonfly => {
                let fixed =
                    ["--bind=127.0.0.1", "--proactor_threads=1", "--maxmemory=512mb", "--dbfilename=", "--logtostderr"];
                let mut arguments: Vec<OsString> = fixed.iter().map(OsString::from).collect();
                let mut dir = OsString::from("--dir=");
                dir.push(folder);
                arguments.extend([format!("--port={port}").into(), dir]);
                arguments
            }
        };
        let mut option = |name: &str, value: &str| match self {
            Kind::Redis | Kind::Valkey => arguments.extend([format!("--{name}").into(), value.into()]),
            Kind::Dragonfly => arguments.push(format!("--{name}={value}").into()),
        };
        if let Some(clients) = options.max_clients {
            option("maxclients", &clients.to_string());
        }
        if let Some(password) = &options.password {
            option("requirepass", password);
        }
        arguments.extend(options.arguments.iter().map(OsString::from));
        if named().is_some_and(|named| named.kind == self) {
            let more = env::var("REDLOCK_TEST_SERVER_ARGUMENTS").unwrap_or_default();
            arguments.extend(more.split_whitespace().map(OsString::from));
        }
        arguments
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Redis => "Redis",
            Kind::Valkey => "Valkey",
            Kind::Dragonfly => "Dragonfly",
        })
    }
}

/// The program of a server that is called by its name, or by the program's.
fn program(name: OsString) -> PathBuf {
    match name.to_str() {
        Some("redis") => "redis-server".into(),
        Some("valkey") => "valkey-server".into(),
        _ => name.into(),
    }
}

/// The program that `REDLOCK_TEST_SERVER` names.
struct Named {
    kind: Kind,
    binary: PathBuf,
}

fn named() -> Option<&'static Named> {
    static NAMED: OnceLock<Option<Named>> = OnceLock::new();
    NAMED
        .get_or_init(|| {
            let binary = program(env::var_os("REDLOCK_TEST_SERVER").filter(|name| !name.is_empty())?);
            let output = Command::new(&binary).arg("--version").output().unwrap_or_else(|error| {
                panic!("REDLOCK_TEST_SERVER names {}, which does not run: {error}", binary.display())
            });
            let version = String::from_utf8_lossy(&output.stdout).into_owned();
            let kind = kind_of(&version).unwrap_or_else(|| {
                panic!("REDLOCK_TEST_SERVER names {}, none of Redis, Valkey, Dragonfly: {version}", binary.display())
            });
            Some(Named { kind, binary })
        })
        .as_ref()
}

/// The kind of server that prints this as its version.
fn kind_of(version: &str) -> Option<Kind> {
    let version = version.to_ascii_lowercase();
    let named = [("dragonfly", Kind::Dragonfly), ("valkey server", Kind::Valkey), ("redis server", Kind::Redis)];
    named.into_iter().find(|(name, _)| version.contains(name)).map(|(_, kind)| kind)
}

/// Where `make setup` puts what it had to fetch.
fn cache() -> Option<PathBuf> {
    let named = env::var_os("REDLOCK_CACHE").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache/redlock-proxy")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_be_called_by_its_name() {
        for (name, expected) in [
            ("redis", "redis-server"),
            ("valkey", "valkey-server"),
            ("dragonfly", "dragonfly"),
            ("/opt/redis", "/opt/redis"),
        ] {
            assert_eq!(program(name.into()), PathBuf::from(expected));
        }
    }

    #[test]
    fn the_kind_is_told_from_the_version_a_server_prints() {
        assert_eq!(kind_of("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0"), Some(Kind::Redis));
        assert_eq!(kind_of("Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64"), Some(Kind::Valkey));
        assert_eq!(kind_of("dragonfly v1.40.1-9a8b"), Some(Kind::Dragonfly));
        // What many other programs print.
        assert_eq!(kind_of("This is free software: you are free to change and redistribute it."), None);
    }
}
