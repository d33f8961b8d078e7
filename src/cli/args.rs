//! What can be said on the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, value_parser};

use crate::config::{Address, Flag, Sources};
use crate::limits::PRIMARIES;

const AFTER_HELP: &str = "\
Every key of the configuration file can also be set by --set KEY=VALUE, or by the environment variable \
REDLOCK_PROXY_<KEY>: upper case, `.` written as `__`, lists separated by commas. \
Flags are stronger than variables, and those than the file. `redlock-proxy check --primary localhost:6379` shows all keys.";

const PRIMARY_HELP: &str =
    "A primary: host:port, redis://[user:password@]host[:port][/db] or unix:/path; once for each";
const UPSTREAM_HELP: &str =
    "The server that answers every other command, written like a primary; without one: locks only";
const PING_HELP: &str = "Where the proxy listens: host:port, redis://[user:password@]host[:port] or unix:/path";

/// A Redis-protocol proxy that adds Redlock semantics: RLOCK, RUNLOCK and REXTEND over a quorum of independent primaries.
#[derive(Debug, Parser)]
#[command(name = "redlock-proxy", version, about, after_help = AFTER_HELP)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct Arguments {
    /// What to run the proxy with.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// What to do instead of running the proxy.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do instead of running the proxy.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the effective configuration, and where each value comes from
    Check(SettingsArgs),
    /// Ask a running proxy for a sign of life
    Ping(PingArgs),
    /// Run the proxy with local primaries and an upstream of its own, to try it out
    Dev(DevArgs),
    /// Become a program that ends when this one's parent does
    #[command(hide = true)]
    ExecPrimary(ExecPrimaryArgs),
}

/// The flags that make up a configuration.
#[derive(Debug, Default, Args)]
pub struct SettingsArgs {
    /// The configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients connect.
    #[arg(
        long,
        value_name = "ADDR",
        help = "Where clients connect: host:port, [ipv6]:port or unix:/path; may be repeated"
    )]
    pub listen: Vec<String>,
    /// The primaries.
    #[arg(long = "primary", value_name = "ADDR", help = PRIMARY_HELP)]
    pub primaries: Vec<String>,
    /// The upstream.
    #[arg(long, value_name = "ADDR", help = UPSTREAM_HELP)]
    pub upstream: Option<String>,
    /// What is logged: error, warn, info, debug, trace, off, or a tracing filter
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// How a line of the log is written: text or json
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Any key of the configuration; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub set: Vec<(String, String)>,
}

impl SettingsArgs {
    /// These flags, on top of the given environment.
    pub fn sources(self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Sources {
        let flag =
            |name: &str, key: &str, value, entry| Flag { name: name.to_owned(), key: key.to_owned(), value, entry };
        let mut flags: Vec<Flag> = Vec::new();
        flags.extend(self.listen.into_iter().map(|value| flag("--listen", "listen", value, true)));
        flags.extend(self.primaries.into_iter().map(|value| flag("--primary", "primaries", value, true)));
        flags.extend(self.upstream.map(|value| flag("--upstream", "upstream", value, false)));
        flags.extend(self.log_level.map(|value| flag("--log-level", "log.level", value, false)));
        flags.extend(self.log_format.map(|value| flag("--log-format", "log.format", value, false)));
        flags.extend(self.set.into_iter().map(|(key, value)| flag(&format!("--set {key}"), &key, value, false)));
        Sources { file: self.config, environment: environment.into_iter().collect(), flags }
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE, as in max_ttl_ms=30000".to_owned()),
    }
}

/// `ping`
#[derive(Debug, Args)]
pub struct PingArgs {
    /// Where the proxy listens.
    #[arg(value_name = "ADDR", default_value = crate::limits::LISTEN_DEFAULT, help = PING_HELP)]
    pub address: String,
    /// Ask also whether a quorum of primaries can vote; 69 when not
    #[arg(long)]
    pub ready: bool,
}

/// `dev`
#[derive(Debug, Args)]
pub struct DevArgs {
    /// How many primaries to start
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u8).range(1..=MOST_PRIMARIES))]
    pub primaries: u8,
    /// The server to start [default: the first found of dragonfly, valkey-server, redis-server]
    #[arg(long, value_name = "PATH")]
    pub server: Option<PathBuf>,
    /// Where clients connect [default: 127.0.0.1:6379, or the next free port]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<Address>,
}

#[expect(clippy::cast_possible_wrap, reason = "nine")]
const MOST_PRIMARIES: i64 = PRIMARIES as i64;

/// `exec-primary`, by which `dev` starts each server.
#[derive(Debug, Args)]
pub struct ExecPrimaryArgs {
    /// The program to become
    pub program: PathBuf,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}
