//! One release: a compare-and-delete on every primary.
//!
//! | class | when |
//! |---|---|
//! | D deleted | the record bore the token and is gone |
//! | L lacks it | absent, another value or type |
//! | U unknown | all else: silent, an error, **unsent** |
//!
//! | # | condition | verdict |
//! |---|---|---|
//! | 1 | D ≥ Q | released |
//! | 2 | L ≥ N - Q + 1 | not held |
//! | 3 | all answered or timed out | no quorum |

use super::tally::{NodeId, NodeSet, Quorum};
use crate::limits::PRIMARIES;

/// What one primary answered to a compare-and-delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReleaseVote {
    /// The record bore the token and was deleted.
    Deleted,
    /// There was no record with this token.
    Lacking,
    /// Nothing is known: silence, an error, or a request that never left (the record may well be there).
    Unknown,
}

/// The end of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReleaseVerdict {
    /// This token held the lock, and holds it no longer.
    Released,
    /// This token did not hold the lock.
    NotHeld,
    /// The answers do not settle it.
    NoQuorum,
}

/// The state of one release. Pure: votes go in, the verdict comes out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Release {
    quorum: Quorum,
    votes: [Option<ReleaseVote>; PRIMARIES],
    verdict: Option<ReleaseVerdict>,
}

impl Release {
    /// A release that is about to ask all primaries.
    pub fn new(quorum: Quorum) -> Self {
        Self { quorum, votes: [None; PRIMARIES], verdict: None }
    }

    /// A primary's answer. The first one of each primary counts.
    pub fn handle_vote(&mut self, node: NodeId, vote: ReleaseVote) {
        self.votes[node.index()].get_or_insert(vote);
    }

    /// The verdict, when there is one. Once given it stays.
    pub fn poll(&mut self) -> Option<ReleaseVerdict> {
        if self.verdict.is_none() {
            self.verdict = self.decide();
        }
        self.verdict
    }

    /// The primaries that gave an answer which counts, for error texts.
    pub fn answered(&self) -> NodeSet {
        self.voters(|vote| vote != ReleaseVote::Unknown)
    }

    /// Whether every primary has been heard of.
    pub fn is_complete(&self) -> bool {
        self.voters(|_| true).len() == self.quorum.total()
    }

    fn decide(&self) -> Option<ReleaseVerdict> {
        if self.voters(|vote| vote == ReleaseVote::Deleted).len() >= self.quorum.needed() {
            Some(ReleaseVerdict::Released)
        } else if self.voters(|vote| vote == ReleaseVote::Lacking).len() >= self.quorum.blocking() {
            Some(ReleaseVerdict::NotHeld)
        } else if self.is_complete() {
            Some(ReleaseVerdict::NoQuorum)
        } else {
            None
        }
    }

    fn voters(&self, counts: impl Fn(ReleaseVote) -> bool) -> NodeSet {
        self.quorum.nodes().filter(|node| self.votes[node.index()].is_some_and(&counts)).collect()
    }
}

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;
