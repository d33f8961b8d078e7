//! One extension: never shorter, never destructive.
//!
//! | class | when |
//! |---|---|
//! | E extended | sound, value = token: its expiry is now the later of what it was and ttl |
//! | L lacks it | sound, absent, another value or type |
//! | U unknown | all else: silent, an error, **unsent**, quarantined |
//!
//! | # | condition | verdict |
//! |---|---|---|
//! | 1 | E ≥ Q, validity > 0 | extended |
//! | 2 | L ≥ N - Q + 1 | lost |
//! | 3 | all answered or timed out | no quorum: the validity told before stands |

use super::tally::{NodeId, NodeSet, Quorum};
use super::time::{Drift, Moment, Ttl, Validity};
use crate::limits::PRIMARIES;

/// What one primary answered to an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtendVote {
    /// The record bore the token and lives at least for the ttl now.
    Extended,
    /// There is no record with this token.
    Lacking,
    /// There is none on a primary that is quarantined, whose answers do not count: it may have been forgotten.
    Forgot,
    /// Nothing is known: silence, an error, or a request that never left (the record may well be there).
    Unknown,
}

/// The end of an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtendVerdict {
    /// A quorum extended and validity is left.
    Extended,
    /// So many primaries lack the record that the token holds the lock no longer.
    Lost,
    /// The answers do not settle it; nothing was shortened.
    NoQuorum,
}

/// The state of one extension. Pure: votes and the time go in, the verdict comes out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Extend {
    quorum: Quorum,
    votes: [Option<ExtendVote>; PRIMARIES],
    verdict: Option<ExtendVerdict>,
}

impl Extend {
    /// An extension that is about to ask all primaries.
    pub fn new(quorum: Quorum) -> Self {
        Self { quorum, votes: [None; PRIMARIES], verdict: None }
    }

    /// A primary's answer. The first one of each primary counts.
    pub fn handle_vote(&mut self, node: NodeId, vote: ExtendVote) {
        self.votes[node.index()].get_or_insert(vote);
    }

    /// The verdict at `now`, when there is one, for an extension that began at `started`. Once given it stays.
    pub fn poll(&mut self, now: Moment, started: Moment, ttl: Ttl, drift: Drift) -> Option<ExtendVerdict> {
        if self.verdict.is_none() {
            self.verdict = self.decide(Validity::at(now, started, ttl, drift));
        }
        self.verdict
    }

    /// The primaries that gave an answer which counts, for error texts.
    pub fn answered(&self) -> NodeSet {
        self.voters(|vote| matches!(vote, ExtendVote::Extended | ExtendVote::Lacking))
    }

    /// The primaries that extended.
    pub fn extended(&self) -> NodeSet {
        self.voters(|vote| vote == ExtendVote::Extended)
    }

    /// The primaries that answered that they have no record with this token.
    pub fn lacking(&self) -> NodeSet {
        self.voters(|vote| vote == ExtendVote::Lacking)
    }

    /// The primaries that are quarantined and have no record with this token.
    pub fn forgot(&self) -> NodeSet {
        self.voters(|vote| vote == ExtendVote::Forgot)
    }

    /// Whether every primary has been heard of.
    pub fn is_complete(&self) -> bool {
        self.voters(|_| true).len() == self.quorum.total()
    }

    fn decide(&self, validity: Option<Validity>) -> Option<ExtendVerdict> {
        if self.extended().len() >= self.quorum.needed() && validity.is_some() {
            Some(ExtendVerdict::Extended)
        } else if self.lacking().len() >= self.quorum.blocking() {
            Some(ExtendVerdict::Lost)
        } else if self.is_complete() {
            Some(ExtendVerdict::NoQuorum)
        } else {
            None
        }
    }

    fn voters(&self, counts: impl Fn(ExtendVote) -> bool) -> NodeSet {
        self.quorum.nodes().filter(|node| self.votes[node.index()].is_some_and(&counts)).collect()
    }
}

#[cfg(test)]
#[path = "extend_tests.rs"]
mod tests;
