//! What answers may tell of: the proxy around the connection.

use crate::clients::Clients;
use crate::config::{Limits, Secret};
use crate::counters::Counters;
use crate::latency::Latency;
use crate::lock::{Moment, Quorum};
use crate::primary::PrimarySnapshot;
use crate::relay::State;

/// The proxy as it stands at the moment of one answer. Made anew for each, from references.
pub struct Environment<'a> {
    /// The present.
    pub now: Moment,
    /// When the proxy started.
    pub started: Moment,
    /// Random for every start, in hex digits.
    pub run_id: &'a str,
    /// The operating system's number of this process.
    pub process_id: u32,
    /// The first TCP port that is listened on; 0 when there is none.
    pub tcp_port: u16,
    /// Most clients at a time, as the descriptor limit allows.
    pub max_clients: usize,
    /// Most descriptors that the operating system allows this process.
    pub descriptor_limit: u64,
    /// The configured limits.
    pub limits: &'a Limits,
    /// The password that clients have to tell.
    pub password: Option<&'a Secret>,
    /// What was counted.
    pub counters: &'a Counters,
    /// Who is connected.
    pub clients: &'a Clients,
    /// How long recent grants took.
    pub latency: &'a Latency,
    /// Whether the upstream can be reached; `None` when there is none.
    pub upstream: Option<State>,
    /// Looks at the primaries. Called by the answers that tell of them, and by no other.
    pub primaries: &'a (dyn Fn() -> Snapshot + Sync),
}

/// The primaries at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Each of them, in the order of configuration.
    pub primaries: Vec<PrimarySnapshot>,
    /// How many may vote.
    pub voting: usize,
    /// How many must agree.
    pub quorum: Quorum,
    /// Whether a quorum may vote and the proxy is not draining.
    pub ready: bool,
}
