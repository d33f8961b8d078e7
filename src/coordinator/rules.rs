//! What rounds go by.

use std::time::Duration;

use super::LineLimits;
use crate::config::{Limits, Session};
use crate::lock::{Drift, Quorum, Ttl};

/// The numbers that rounds go by; keys of the same names in the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub quorum: Quorum,
    pub drift: Drift,
    pub max_ttl: Ttl,
    pub attempts: u32,
    pub retry_delay: Duration,
    pub node_timeout: Duration,
    /// How long a fencing counter is kept that is not used.
    pub fence_retention: Duration,
    pub lines: LineLimits,
    /// Random, so that this proxy's notices can be told from those of others.
    pub sender: u64,
    pub sessions: SessionRules,
}

/// The numbers for locks that are bound to connections.
#[derive(Debug, Clone, Copy)]
pub struct SessionRules {
    /// How long one is renewed; `None`: as long as its connection lives.
    pub max_lifetime: Option<Duration>,
    /// How long its client may be silent before renewing pauses; `None`: for ever.
    pub client_silence: Option<Duration>,
    /// Most of them.
    pub most: usize,
    /// Most of one connection.
    pub most_of_connection: usize,
}

impl SessionRules {
    pub fn new(session: Session, limits: &Limits) -> Self {
        let Session { max_lifetime, client_silence } = session;
        let (most, most_of_connection) = (limits.session_locks, limits.session_locks_per_connection);
        Self { max_lifetime, client_silence, most, most_of_connection }
    }
}
