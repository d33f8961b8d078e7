//! How lock commands end, as their callers see it.

use std::fmt;
use std::sync::Arc;

use super::Coordinator;
use super::counting::CountingRound;
use super::leases::{Held, Seat};
use super::round::{AcquireRound, Term};
use crate::limits::NOQUORUM_LINE_BYTES;
use crate::lock::{Extend, FenceNumber, Moment, Resource, Token, Validity};

/// The end of [`Coordinator::acquire`], and of [`Coordinator::acquire_several`], which grants several locks.
#[derive(Debug)]
pub enum Acquired<G = Grant> {
    Granted(G),
    /// Another holds it, or nobody does and the votes split to the end.
    Refused,
    NoQuorum(NoQuorum),
    /// As many stand in line as may.
    TooManyWaiters,
    /// The proxy is about to end: nobody stands in line any more.
    ShuttingDown,
}

/// The end of [`Coordinator::extend`].
#[derive(Debug)]
pub enum Extended {
    Extended(Extension),
    /// The token holds the lock no longer.
    Lost,
    NoQuorum(NoQuorum),
}

/// The end of [`Coordinator::release`].
#[derive(Debug)]
pub enum Released {
    Released,
    NotHeld,
    NoQuorum(NoQuorum),
}

/// One attempt's token on the primaries. Unless it becomes somebody's lock, it is withdrawn when this is dropped:
/// on every way out, a cancelled one included.
pub(super) struct Attempt {
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) resource: Resource,
    pub(super) token: Token,
    pub(super) round: Arc<AcquireRound>,
    pub(super) kept: bool,
    /// Nothing was waited for before it: no other attempt, and no place in line.
    pub(super) first: bool,
    /// What binds it to its connection.
    pub(super) lease: Option<Arc<Held>>,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.kept {
            if let Some(lease) = &self.lease {
                self.coordinator.let_go(lease);
            }
            let targets = self.round.close();
            self.coordinator.withdraw(targets, &self.resource, &self.token, self.round.was_won());
        }
    }
}

/// A lock that was won and not yet handed over. Dropped without [`hand_over`](Self::hand_over), it is withdrawn.
pub struct Grant(pub(super) Attempt);

impl Grant {
    pub fn token(&self) -> &Token {
        &self.0.token
    }

    /// The fencing token, when one was asked for.
    pub fn fence(&self) -> Option<u64> {
        self.0.round.fence().map(FenceNumber::value)
    }

    /// What the holder may count on at `now`; `None` when nothing is left.
    pub fn validity(&self, now: Moment) -> Option<Validity> {
        self.0.round.term.validity(now)
    }

    /// When the attempt that won it began.
    pub fn started(&self) -> Moment {
        self.0.round.term.started
    }

    /// Whether the first attempt won it: nothing but the primaries' answers was waited for.
    pub fn is_first_attempt(&self) -> bool {
        self.0.first
    }

    pub fn resource(&self) -> &Resource {
        &self.0.resource
    }

    /// Whether its owner held the lock already.
    pub fn took_over(&self) -> bool {
        self.0.round.took_over()
    }

    /// Binds it to the connection that has the seat: from its handing over on it is renewed. `notify`: its loss is told.
    pub fn bind(&mut self, seat: Seat, notify: bool) {
        let Attempt { coordinator, resource, token, round, .. } = &self.0;
        let lease = coordinator.bind(seat, notify, resource, token, round);
        self.0.lease = Some(lease);
    }

    /// The client has it: from here on it lives until it is released or expires, or is renewed, if it is bound.
    pub fn hand_over(mut self) {
        self.0.kept = true;
        if let Some(lease) = &self.0.lease {
            self.0.coordinator.hand_over_bound(lease);
        }
    }

    /// Whether it is bound to its connection.
    pub fn is_bound(&self) -> bool {
        self.0.lease.is_some()
    }

    /// Nothing was left of it when its reply was to be written: withdraws it and tells the client why.
    pub fn too_late(self) -> NoQuorum {
        self.0.coordinator.counters.rlock_too_late.increment();
        self.0.coordinator.explain(self.0.round.report(), true)
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({:?})", self.0.resource)
    }
}

/// A lock that lives longer: its new validity, to be read when the reply is written.
pub struct Extension {
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) round: Arc<CountingRound<Extend>>,
    pub(super) term: Term,
    pub(super) lease: Option<Arc<Held>>,
}

impl Extension {
    /// Whether the lock was bound to a connection and has been lost since.
    pub fn is_lost(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.lock().lease.is_lost())
    }

    /// What the holder may count on at `now`; `None` when nothing is left.
    pub fn validity(&self, now: Moment) -> Option<Validity> {
        self.term.validity(now)
    }

    /// Nothing was left when the reply was to be written: the validity told before stands.
    pub fn too_late(self) -> NoQuorum {
        self.coordinator.explain(self.round.report(), true)
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extension({:?})", self.term)
    }
}

/// Why nothing was settled: the text of the `-NOQUORUM` error, one line of at most 1,024 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoQuorum(String);

impl NoQuorum {
    /// `NOQUORUM 1 of 3 primaries answered, 2 needed: ADDR reason; ADDR reason`
    pub(super) fn new(answered: usize, total: usize, needed: usize, reasons: &[(&str, String)]) -> Self {
        let mut line = format!("NOQUORUM {answered} of {total} primaries answered, {needed} needed");
        for (index, (address, reason)) in reasons.iter().enumerate() {
            line.push_str(if index == 0 { ": " } else { "; " });
            line.push_str(address);
            line.push(' ');
            line.push_str(reason);
        }
        let longest = (0..=NOQUORUM_LINE_BYTES.min(line.len())).rev().find(|&end| line.is_char_boundary(end));
        line.truncate(longest.unwrap_or(0));
        Self(line)
    }

    pub fn into_text(self) -> String {
        self.0
    }
}

impl fmt::Display for NoQuorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
