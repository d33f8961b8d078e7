//! What answers may tell of: the proxy around the connection.

use std::fmt;

use crate::clients::Clients;
use crate::config::{Address, Limits, Secret};
use crate::counters::Counters;
use crate::latency::Latency;
use crate::lock::{Moment, Quorum};
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
    pub primaries: Vec<PrimaryInfo>,
    /// How many may vote.
    pub voting: usize,
    /// How many must agree.
    pub quorum: Quorum,
    /// Whether a quorum may vote and the proxy is not draining.
    pub ready: bool,
}

/// One primary at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrimaryInfo {
    /// Where it is.
    pub address: Address,
    /// Whether it votes, or why not.
    pub state: PrimaryState,
    /// Median of recent round trips, in microseconds; 0 when there were none.
    pub rtt_us: u64,
    /// Operations sent to it.
    pub operations: u64,
    /// Operations whose effect is not known.
    pub unknown: u64,
    /// Operations that never left.
    pub unsent: u64,
    /// Links opened again after they were lost.
    pub reconnects: u64,
    /// Operations queued or unanswered at this moment.
    pub queue: u64,
}

/// Whether a primary votes, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrimaryState {
    /// Connected, and votes.
    Up,
    /// A link is being opened.
    Connecting,
    /// It cannot be reached.
    Down,
    /// It follows another server: its records may vanish.
    Replica,
    /// It is the same server as another primary of the list.
    Duplicate,
}

impl fmt::Display for PrimaryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Connecting => "connecting",
            Self::Down => "down",
            Self::Replica => "replica",
            Self::Duplicate => "duplicate",
        })
    }
}
