//! The seam between the coordinator and whatever stands for a primary.
//!
//! The coordinator hands a [`LockNode`] operations; each carries a [`Ticket`] with which the node casts exactly one
//! vote, from whatever task the answer arrives in. In production the node is `primary::Primary`; in the simulation it
//! is a model with a bad network. A ticket that is dropped, by a bug or by a task that ends, counts as silence: no
//! round waits for ever.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::lock::{
    AcquireVote, ExtendVote, FenceNumber, InspectVote, Moment, NodeId, RaiseVote, ReleaseVote, Resource, SignVote,
    Token, Ttl,
};

/// One independent server of the set, as the coordinator sees it.
pub trait LockNode: Send + Sync + 'static {
    /// As error texts name it.
    fn address(&self) -> &str;

    /// Takes `operation` on; its ticket is cast after `timeout` at the latest. Never blocks. Operations on one resource
    /// take effect in the order in which they were submitted.
    fn submit(&self, operation: Operation, timeout: Duration);

    /// What its clock shows at `now`; `None` when it was never seen.
    fn wall_clock(&self, now: Moment) -> Option<WallClock>;
}

/// A primary's clock as it was last seen, carried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock {
    /// Unix time in microseconds.
    pub micros: u64,
    /// Whether the primary may vote.
    pub votes: bool,
}

impl WallClock {
    /// The lower median, in microseconds, of the clocks of primaries that may vote; where none may, of all.
    pub fn lower_median(clocks: impl IntoIterator<Item = Self>) -> Option<u64> {
        let mut clocks: Vec<Self> = clocks.into_iter().collect();
        if clocks.iter().any(|clock| clock.votes) {
            clocks.retain(|clock| clock.votes);
        }
        clocks.sort_unstable_by_key(|clock| clock.micros);
        clocks.get(clocks.len().saturating_sub(1) / 2).map(|clock| clock.micros)
    }
}

/// A fencing counter to be raised. Boxed in operations, most of which have none.
#[derive(Debug)]
pub struct Raise {
    pub number: FenceNumber,
    /// How long the counter lives when it is not used.
    pub retention: Duration,
    /// Whether to look behind it if the record bears the attempt's token: it may have been ended meanwhile.
    pub look: bool,
    pub ticket: Ticket<RaiseVote>,
}

/// What a primary is asked to do.
#[derive(Debug)]
pub enum Operation {
    /// Set the record if there is none, and say who holds it otherwise. Directly behind it, raise the counter, if one is to
    /// be raised. Also say for how long the key is held, when `asks_ttl`.
    Acquire {
        resource: Resource,
        token: Token,
        ttl: Ttl,
        raise: Option<Box<Raise>>,
        asks_ttl: bool,
        ticket: Ticket<AcquireVote>,
    },
    /// If the record's value still is `found`, replace it by `token`, with the longer of its remaining life and `ttl`.
    /// Directly behind it, raise the counter, if one is to be raised.
    Sign {
        resource: Resource,
        found: Bytes,
        token: Token,
        ttl: Ttl,
        raise: Option<Box<Raise>>,
        ticket: Ticket<SignVote>,
    },
    /// Raise the counter, where the lock was granted before.
    Raise { resource: Resource, token: Token, raise: Box<Raise> },
    /// Say who holds the key, and for how long.
    Inspect { resource: Resource, ticket: Ticket<InspectVote> },
    /// If the record bears the token, let it live for the longer of what it has and `ttl`.
    Extend { resource: Resource, token: Token, ttl: Ttl, ticket: Ticket<ExtendVote> },
    /// Delete the record if it bears the token; with a ticket when somebody waits for the vote. Owed in either case:
    /// repeated until it is answered, or until `until`, when every record that was set in time has expired. A notice is
    /// published directly behind it.
    Release {
        resource: Resource,
        token: Token,
        until: Moment,
        notice: Option<Bytes>,
        ticket: Option<Ticket<ReleaseVote>>,
    },
    /// Publish a notice about the resource.
    Announce { resource: Resource, notice: Bytes },
}

impl Operation {
    /// What it is about.
    pub fn resource(&self) -> &Resource {
        match self {
            Self::Acquire { resource, .. }
            | Self::Sign { resource, .. }
            | Self::Raise { resource, .. }
            | Self::Inspect { resource, .. }
            | Self::Extend { resource, .. }
            | Self::Release { resource, .. }
            | Self::Announce { resource, .. } => resource,
        }
    }
}

/// A vote that can also be missing.
pub trait Vote: Sized {
    /// The request left and no usable answer came.
    const SILENT: Self;
    /// The request never left.
    const UNSENT: Self;

    /// The vote of a primary that is quarantined in place of this one: it does not count.
    #[must_use]
    fn quarantined(self) -> Self {
        Self::SILENT
    }
}

impl Vote for AcquireVote {
    const SILENT: Self = Self::Silent;
    const UNSENT: Self = Self::Unsent;
}

impl Vote for SignVote {
    const SILENT: Self = Self::Silent;
    const UNSENT: Self = Self::Unsent;
}

impl Vote for RaiseVote {
    const SILENT: Self = Self::Silent;
    const UNSENT: Self = Self::Unsent;
}

impl Vote for InspectVote {
    const SILENT: Self = Self::Unknown;
    const UNSENT: Self = Self::Unknown;

    fn quarantined(self) -> Self {
        Self::Quarantined
    }
}

impl Vote for ExtendVote {
    const SILENT: Self = Self::Unknown;
    const UNSENT: Self = Self::Unknown;

    fn quarantined(self) -> Self {
        if self == Self::Lacking { Self::Forgot } else { Self::Unknown }
    }
}

impl Vote for ReleaseVote {
    const SILENT: Self = Self::Unknown;
    const UNSENT: Self = Self::Unknown;
}

/// A round as its tickets see it.
pub trait Ballot<V>: Send + Sync {
    /// Whether a request may still leave for `node`; from a `true` on it counts as sent.
    fn depart(&self, node: NodeId) -> bool;
    /// The vote of `node`, and what was wrong with it where it is missing.
    fn cast(&self, node: NodeId, vote: V, trouble: Option<Trouble>);
    /// The record in the way goes on living on `node` for so long; `None`: for ever, or it is not known.
    fn lives_on(&self, _node: NodeId, _left: Option<Duration>) {}
}

/// The right, and the duty, to cast one primary's vote in one round.
pub struct Ticket<V: Vote> {
    ballot: Arc<dyn Ballot<V>>,
    node: NodeId,
    is_cast: bool,
}

impl<V: Vote> Ticket<V> {
    pub fn new(ballot: Arc<dyn Ballot<V>>, node: NodeId) -> Self {
        Self { ballot, node, is_cast: false }
    }

    /// To be asked just before the request's bytes are handed to the socket. After `false` the round has no use for
    /// the request any more: it must not be sent, and is [`unsent`](Self::unsent).
    pub fn depart(&self) -> bool {
        self.ballot.depart(self.node)
    }

    /// For how long the record that is in the way goes on living. To be told before the vote is cast.
    pub fn lives_on(&self, left: Option<Duration>) {
        self.ballot.lives_on(self.node, left);
    }

    /// The primary's usable answer.
    pub fn answer(mut self, vote: V) {
        self.cast(vote, None);
    }

    /// The request left; no usable answer came, for this reason.
    pub fn silent(mut self, trouble: Trouble) {
        self.cast(V::SILENT, Some(trouble));
    }

    /// The request never left, for this reason.
    pub fn unsent(mut self, trouble: Trouble) {
        self.cast(V::UNSENT, Some(trouble));
    }

    /// Casts the vote, for who must keep the ticket with its operation. Only the first one counts: false afterwards.
    pub fn cast(&mut self, vote: V, trouble: Option<Trouble>) -> bool {
        let is_first = !std::mem::replace(&mut self.is_cast, true);
        if is_first {
            self.ballot.cast(self.node, vote, trouble);
        }
        is_first
    }
}

impl<V: Vote> Drop for Ticket<V> {
    fn drop(&mut self) {
        self.cast(V::SILENT, Some(Trouble::ConnectionLost));
    }
}

impl<V: Vote> fmt::Debug for Ticket<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.node.index())
    }
}

/// Why a primary may have forgotten locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Amnesia {
    Restarted,
    Flushed,
    ClockStepped,
    RoleChanged,
    /// No primary was ever seen with a memory: the set is new, or has lost everything.
    NewSet,
}

impl fmt::Display for Amnesia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restarted => "restarted",
            Self::Flushed => "flushed",
            Self::ClockStepped => "clock stepped",
            Self::RoleChanged => "role changed",
            Self::NewSet => "new set",
        })
    }
}

/// Why a primary gave no vote: the closed list of reasons in a NOQUORUM error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    TimedOut(Duration),
    ConnectionRefused,
    /// No connection yet, or none since the last was lost.
    NotConnected,
    /// The connection ended with the request unanswered.
    ConnectionLost,
    Replica,
    /// The same server as another configured primary, whose address this is.
    DuplicateOf(Arc<str>),
    /// Marked as one of another set, of this name and size.
    OfAnotherSet(Arc<str>),
    /// It may have forgotten locks, for this reason, and does not vote for so long yet.
    Quarantined(Amnesia, Duration),
    OutOfMemory,
    ReadOnly,
    Loading,
    Busy,
    TooManyClients,
    AuthenticationFailed,
    /// It answered, but nothing was left of the ttl.
    AnsweredTooLate,
    /// Our own queue to it is full.
    Overloaded,
    /// The server's own words, already cut and free of control bytes.
    Other(Arc<str>),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(after) => write!(f, "timed out after {} ms", after.as_millis()),
            Self::ConnectionRefused => f.write_str("connection refused"),
            Self::NotConnected => f.write_str("not connected"),
            Self::ConnectionLost => f.write_str("connection lost"),
            Self::Replica => f.write_str("a replica"),
            Self::DuplicateOf(address) => write!(f, "duplicate of {address}"),
            Self::OfAnotherSet(set) => write!(f, "of another set: {set}"),
            Self::Quarantined(amnesia, left) => write!(f, "quarantined for {} ms: {amnesia}", left.as_millis()),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::ReadOnly => f.write_str("read-only"),
            Self::Loading => f.write_str("loading"),
            Self::Busy => f.write_str("busy"),
            Self::TooManyClients => f.write_str("too many clients"),
            Self::AuthenticationFailed => f.write_str("authentication failed"),
            Self::AnsweredTooLate => f.write_str("answered too late"),
            Self::Overloaded => f.write_str("overloaded"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_that_of_voters_and_where_there_is_none_of_all() {
        let voter = |micros| WallClock { micros, votes: true };
        let other = |micros| WallClock { micros, votes: false };
        assert_eq!(WallClock::lower_median([]), None);
        assert_eq!(WallClock::lower_median([voter(7), other(900), voter(3), other(800), voter(5)]), Some(5));
        assert_eq!(WallClock::lower_median([voter(7), other(1), voter(3), voter(5), voter(4)]), Some(4));
        assert_eq!(WallClock::lower_median([other(900), other(700)]), Some(700));
    }
}
