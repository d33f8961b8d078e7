//! One lock that is kept by renewing it: when to renew, when it is lost, what may be put back.
//!
//! A renewal is an extension that nobody asked for. It is due a third of the ttl after the last one began; one that did
//! not settle is tried again soon, and each time a little later, as long as validity is left. A lease is lost when a
//! renewal says so (N - Q + 1 primaries lack the record), or when the last confirmed validity has run out: that is a
//! final state, whatever the primaries may still hold.
//!
//! Renewing pauses while nothing has come from the client for too long, and stops when the lock has been kept for as
//! long as it may be. Both are no end: the lock lives on for what was confirmed, and is lost then.
//!
//! **Putting back.** After a renewal that was won, the record may be set anew where it was found *absent in this very
//! round*, on a primary that is quarantined, since its answers do not count until everything that it holds has expired, or
//! is certain never to have run a `SET` of this token: none was sent there, or all were refused. A release that answered 1 has deleted the record on a quorum, each of which had run its `SET`: so none of
//! those gets it again, and the others are too few. Where a `SET` was silent, its record may have been set *and
//! released*, and putting it back would keep a released lock for ever (`search_tests` finds that history).
//!
//! Pure: the time and the randomness are arguments.

use std::time::Duration;

use super::extend::ExtendVerdict;
use super::tally::NodeSet;
use super::time::{Drift, Moment, Ttl};
use crate::limits::{RENEWAL_FRACTION, RENEWAL_RETRY_DOUBLINGS, RENEWAL_RETRY_FRACTION, RENEWAL_SLACK, SESSION_TTL_MS};

/// What the leases of one proxy go by.
#[derive(Debug, Clone, Copy)]
pub struct LeaseRules {
    pub drift: Drift,
    /// For how long a lock is renewed; `None`: as long as its connection lives.
    pub max_lifetime: Option<Duration>,
    /// How long a client may be silent before renewing pauses; `None`: for ever.
    pub client_silence: Option<Duration>,
}

/// What a quorum has confirmed: the lock lives for `ttl` from `started` on, and its holder may count on less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Confirmed {
    pub started: Moment,
    pub ttl: Ttl,
}

impl Confirmed {
    /// When nothing is left of its validity.
    fn until(self, drift: Drift) -> Moment {
        self.started.after(Duration::from_millis(self.ttl.as_millis().saturating_sub(drift.of(self.ttl))))
    }
}

/// What has become of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Standing {
    /// The lock was won; its holder has not been told.
    Offered,
    /// It is held, and renewed.
    Kept,
    /// It was given back, or its connection has ended.
    Ended,
    /// It is held no longer, and never will be.
    Lost,
}

/// What its keeper does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseStep {
    /// Renew it now.
    Renew,
    /// Look again then.
    Sleep(Moment),
    /// As `Sleep`; and before, as soon as the client says anything.
    Pause(Moment),
    /// It has just been lost: tell its holder, withdraw it.
    Lose,
    /// Nothing, ever.
    Over,
}

/// The state of one lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    standing: Standing,
    /// What renewals ask for.
    ttl: Ttl,
    /// The end of the validity that was confirmed last.
    until: Moment,
    /// When the next renewal is due.
    due: Moment,
    /// No renewal begins from here on.
    latest: Moment,
    /// A renewal has begun and has no verdict.
    renewing: bool,
    /// Renewals since the last confirmed one.
    failures: u8,
    /// Primaries that certainly never ran a `SET` of the token.
    unset: NodeSet,
    /// Primaries where a record of the same owner was signed: other grants of that owner may rest on it.
    signed: NodeSet,
}

impl Lease {
    /// A lock that was won. `unset` are the primaries known so far never to have run a `SET` of its token, `signed` those
    /// that were asked to sign a record of its owner anew.
    pub fn offered(won: Confirmed, unset: NodeSet, signed: NodeSet, rules: &LeaseRules) -> Self {
        Self {
            standing: Standing::Offered,
            ttl: won.ttl,
            until: won.until(rules.drift),
            due: won.started.after(third(won.ttl)),
            latest: Moment::END,
            renewing: false,
            failures: 0,
            unset: unset.without(signed),
            signed,
        }
    }

    /// Its holder has been told. False when it is over already: somebody was faster to give it back.
    pub fn hand_over(&mut self, now: Moment, rules: &LeaseRules) -> bool {
        if self.standing == Standing::Offered {
            self.standing = Standing::Kept;
            self.latest = rules.max_lifetime.map_or(Moment::END, |longest| now.after(longest));
        }
        self.standing == Standing::Kept
    }

    /// What to do at `now`, when the client was heard last at `heard`.
    pub fn poll(&mut self, now: Moment, heard: Moment, rules: &LeaseRules) -> LeaseStep {
        if self.standing != Standing::Kept {
            return if self.standing == Standing::Offered { LeaseStep::Sleep(self.until) } else { LeaseStep::Over };
        }
        let is_silent = rules.client_silence.is_some_and(|longest| now.since(heard) >= longest);
        if self.until <= now {
            self.standing = Standing::Lost;
            LeaseStep::Lose
        } else if self.renewing || self.latest <= now {
            LeaseStep::Sleep(self.until)
        } else if now.after(RENEWAL_SLACK) < self.due {
            LeaseStep::Sleep(self.due.min(self.until))
        } else if is_silent {
            LeaseStep::Pause(self.until)
        } else {
            LeaseStep::Renew
        }
    }

    /// When it has to be looked at next, whatever may hinder a renewal then; `None` when never.
    pub fn next_look(&self) -> Option<Moment> {
        let at = if self.renewing { self.until } else { self.due.min(self.until) };
        (self.standing == Standing::Kept).then_some(at)
    }

    /// A renewal begins; returns the ttl to ask for.
    pub fn begin_renewal(&mut self, now: Moment) -> Ttl {
        self.renewing = true;
        self.due = now.after(third(self.ttl));
        self.ttl
    }

    /// The renewal that began last has this verdict. True when the lock has just been lost.
    pub fn renewed(
        &mut self,
        verdict: ExtendVerdict,
        asked: Confirmed,
        now: Moment,
        random: u64,
        rules: &LeaseRules,
    ) -> bool {
        self.renewing = false;
        match verdict {
            ExtendVerdict::Extended => {
                self.failures = 0;
                self.confirm(asked, now, rules)
            }
            ExtendVerdict::NoQuorum => {
                self.due = now.after(retry_delay(self.ttl, self.failures, random));
                self.failures = self.failures.saturating_add(1);
                false
            }
            ExtendVerdict::Lost => self.lose(),
        }
    }

    /// Somebody who knows the token had the lock extended: later renewals ask for this ttl. True when the lock has just
    /// been lost: the answer came too late.
    pub fn extended(&mut self, asked: Confirmed, now: Moment, rules: &LeaseRules) -> bool {
        let is_lost = self.confirm(asked, now, rules);
        // Or it could not be renewed in time.
        self.ttl = Ttl::from_millis(SESSION_TTL_MS).map_or(asked.ttl, |smallest| smallest.max(asked.ttl));
        self.due = asked.started.after(third(self.ttl));
        is_lost
    }

    /// It is over: given back, or left to its ttl. False when it was before.
    pub fn end(&mut self) -> bool {
        let was_alive = self.is_alive();
        if was_alive {
            self.standing = Standing::Ended;
        }
        was_alive
    }

    /// It is known to be held no longer. False when that makes no difference.
    pub fn lose(&mut self) -> bool {
        let was_alive = self.is_alive();
        if was_alive {
            self.standing = Standing::Lost;
        }
        was_alive
    }

    /// Whether it is held as far as is known, or about to be.
    pub fn is_alive(&self) -> bool {
        matches!(self.standing, Standing::Offered | Standing::Kept)
    }

    pub fn is_lost(&self) -> bool {
        self.standing == Standing::Lost
    }

    /// When the last confirmed validity ends.
    pub fn until(&self) -> Moment {
        self.until
    }

    /// Where the record must not be deleted unless its holder says so.
    pub fn signed(&self) -> NodeSet {
        self.signed
    }

    /// These primaries have turned out not to have run the `SET` that they were sent.
    pub fn refused_at(&mut self, nodes: NodeSet) {
        self.unset = self.unset.union(nodes).without(self.signed);
    }

    /// Where the record is to be set anew, and for how long, after a renewal that was won in whose round the primaries
    /// `lacking` answered that they have none, and those that `forgot` that, being quarantined. Each of the former is asked
    /// once, unless it refuses.
    pub fn put_back(
        &mut self,
        lacking: NodeSet,
        forgot: NodeSet,
        asked: Confirmed,
        now: Moment,
    ) -> Option<(NodeSet, Ttl)> {
        let nodes = lacking.intersection(self.unset).union(forgot);
        let elapsed_ms = u64::try_from(now.since(asked.started).as_millis()).unwrap_or(u64::MAX);
        let left = Ttl::from_millis(asked.ttl.as_millis().saturating_sub(elapsed_ms))?;
        if self.standing != Standing::Kept || nodes.is_empty() {
            return None;
        }
        self.unset = self.unset.without(nodes);
        Some((nodes, left))
    }

    /// An extension never shortens. And none revives what was lost before its answer came: true when that is so.
    fn confirm(&mut self, asked: Confirmed, now: Moment, rules: &LeaseRules) -> bool {
        if self.standing == Standing::Kept && self.until <= now {
            self.standing = Standing::Lost;
            return true;
        }
        if self.is_alive() {
            self.until = self.until.max(asked.until(rules.drift));
        }
        false
    }
}

/// How long after the beginning of one renewal the next is due.
fn third(ttl: Ttl) -> Duration {
    Duration::from_millis(ttl.as_millis()) / RENEWAL_FRACTION
}

/// How long after a renewal that did not settle it is tried again: between half of a bound and the bound, which doubles.
fn retry_delay(ttl: Ttl, failures: u8, random: u64) -> Duration {
    let shortest = Duration::from_millis(ttl.as_millis()) / RENEWAL_RETRY_FRACTION;
    let bound = shortest * (1 << failures.min(RENEWAL_RETRY_DOUBLINGS));
    let half_micros = u64::try_from(bound.as_micros() / 2).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(half_micros + random % half_micros)
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "lease_search_tests.rs"]
mod search_tests;
