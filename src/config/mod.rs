//! What the program runs on: every value checked, every duration a `Duration`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use crate::lock::{Drift, Quorum, Ttl};

/// Where a server listens, without credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `host:port`; an IPv6 host stands without its brackets.
    Tcp { host: String, port: u16 },
    /// `unix:/path`
    Unix(PathBuf),
}

impl fmt::Display for Address {
    /// As errors and logs name it: `10.0.0.2:6379`, `[::1]:6379`, `unix:/run/dragonfly.sock`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A password; its `Debug` and `Display` show `<redacted>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The password itself, for the one who must send or compare it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// A server to connect to: address, credentials, database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub address: Address,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub database: u32,
}

/// The effective configuration. Field docs name the key; CONFIG keys, defaults and ranges: `limits.rs`.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: Vec<Address>,
    pub primaries: Vec<Endpoint>,
    pub quorum: Quorum,
    pub key_prefix: Bytes,
    pub max_ttl: Ttl,
    pub attempts: u32,
    pub retry_delay: Duration,
    pub drift: Drift,
    pub node_timeout: Duration,
    pub silence_timeout: Duration,
    pub connect_timeout: Duration,
    pub probe_interval: Duration,
    pub links_per_primary: usize,
    pub shutdown_grace: Duration,
    /// 0: as many as there are cores.
    pub worker_threads: usize,
    pub password: Option<Secret>,
    pub tcp: Tcp,
    pub limits: Limits,
    pub log: Log,
}

/// `tcp.*`: how a connection whose peer vanished is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    pub keepalive_idle: Duration,
    pub keepalive_interval: Duration,
    pub keepalive_probes: u32,
    /// `None` leaves the system's own.
    pub user_timeout: Option<Duration>,
}

/// `limits.*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub connections: usize,
    pub request_bytes: usize,
    pub request_elements: usize,
    pub key_bytes: usize,
    pub pipeline_depth: usize,
    pub buffer_bytes: usize,
    pub output_buffer_bytes: usize,
    /// `None` is off.
    pub idle_timeout: Option<Duration>,
    pub unauthenticated_elements: usize,
    pub unauthenticated_bulk_bytes: usize,
    pub reply_nesting: usize,
    pub operations_per_primary: usize,
}

/// `log.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A tracing filter: `info`, `redlock_proxy=debug,warn`.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}
