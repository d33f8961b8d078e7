//! A Redis-protocol proxy that adds Redlock semantics.

pub mod limits;
pub mod counters;
pub mod telemetry;
pub mod lock;
pub mod clock;
pub mod latency;
pub mod protocol;
pub mod command;
pub mod router;
pub mod config;
pub mod net;
pub mod coordinator;
pub mod primary;
pub mod drain;
pub mod relay;
pub mod clients;
pub mod local;
pub mod session;
pub mod server;
pub mod cli;
