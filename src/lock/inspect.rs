//! Looking at a lock: who holds it, as far as the primaries tell.
//!
//! Nothing is decided by this, and nothing changed. The answers come from different moments, so two of them may disagree
//! by as much as the questions were apart; what is told is what a quorum of them adds up to.

use std::time::Duration;

use super::acquire::Holder;
use super::tally::{NodeId, Quorum};
use crate::limits::PRIMARIES;

/// What one primary answered to the question who holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InspectVote {
    /// Nobody.
    Free,
    /// This holder, for so long; without an end when no record of ours lies under the key.
    Held(Holder, Option<Duration>),
    /// It answered, and is quarantined: what it says counts nothing.
    Quarantined,
    /// Nothing is known: silence, an error, or a question that never left.
    Unknown,
}

/// What the answers add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A quorum answered, and nobody holds it there.
    Free,
    /// A quorum shows one holder.
    Held,
    /// Somebody holds it somewhere, and no holder is seen on a quorum.
    Contested,
    /// No quorum answered.
    Unknown,
}

/// The answers of all primaries. Pure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspect {
    quorum: Quorum,
    votes: [Option<InspectVote>; PRIMARIES],
}

impl Inspect {
    /// A look that is about to ask all primaries.
    pub fn new(quorum: Quorum) -> Self {
        Self { quorum, votes: [const { None }; PRIMARIES] }
    }

    /// A primary's answer. The first one of each primary counts.
    pub fn handle_vote(&mut self, node: NodeId, vote: InspectVote) {
        self.votes[node.index()].get_or_insert(vote);
    }

    /// Whether every primary has been heard of.
    pub fn is_complete(&self) -> bool {
        self.quorum.nodes().all(|node| self.votes[node.index()].is_some())
    }

    /// What this primary answered; `Unknown` while it has not.
    pub fn vote(&self, node: NodeId) -> &InspectVote {
        self.votes[node.index()].as_ref().unwrap_or(&InspectVote::Unknown)
    }

    pub fn standing(&self) -> Standing {
        let votes = || self.quorum.nodes().map(|node| self.vote(node));
        if self.holder().is_some() {
            Standing::Held
        } else if votes().filter(|vote| matches!(vote, InspectVote::Free | InspectVote::Held(..))).count()
            < self.quorum.needed()
        {
            Standing::Unknown
        } else if votes().any(|vote| matches!(vote, InspectVote::Held(..))) {
            Standing::Contested
        } else {
            Standing::Free
        }
    }

    /// The value that a quorum shows.
    pub fn holder(&self) -> Option<&[u8]> {
        self.quorum.nodes().find_map(|node| match self.vote(node) {
            InspectVote::Held(Holder::Value(value), _) => {
                (self.held_by(value).count() >= self.quorum.needed()).then_some(value.as_ref())
            }
            _ => None,
        })
    }

    /// How long a majority will hold it, if nobody touches it; `None` unless one holder is seen on a quorum, or where
    /// its record has no end.
    pub fn remaining(&self) -> Option<Duration> {
        let mut remaining: Vec<Duration> =
            self.held_by(self.holder()?).map(|remaining| remaining.unwrap_or(Duration::MAX)).collect();
        remaining.sort_unstable_by(|one, other| other.cmp(one));
        remaining.get(self.quorum.needed() - 1).copied().filter(|remaining| *remaining < Duration::MAX)
    }

    /// The remaining lives of the records with this value.
    fn held_by<'a>(&'a self, value: &'a [u8]) -> impl Iterator<Item = Option<Duration>> + 'a {
        self.quorum.nodes().filter_map(move |node| match self.vote(node) {
            InspectVote::Held(Holder::Value(other), remaining) if other == value => Some(*remaining),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// One letter for each primary: a, b hold · ? an unknown holder · f free · q quarantined · u unknown · . not heard of.
    fn looked(votes: &str) -> Inspect {
        let mut inspect = Inspect::new(Quorum::majority(votes.len()).expect("1 to 9"));
        for (index, letter) in votes.chars().enumerate() {
            let life = |factor: u64| Some(Duration::from_millis(100 * (index as u64 + 1) * factor));
            let vote = match letter {
                'a' => InspectVote::Held(Holder::Value(Bytes::from_static(b"a")), life(1)),
                'b' => InspectVote::Held(Holder::Value(Bytes::from_static(b"b")), life(1)),
                'e' => InspectVote::Held(Holder::Value(Bytes::from_static(b"a")), None),
                '?' => InspectVote::Held(Holder::Unknown, None),
                'f' => InspectVote::Free,
                'u' => InspectVote::Unknown,
                'q' => InspectVote::Quarantined,
                _ => continue,
            };
            inspect.handle_vote(NodeId::new(index).expect("below nine"), vote);
        }
        inspect
    }

    #[test]
    fn the_standing_is_what_a_quorum_shows() {
        use Standing as S;
        for (votes, standing) in [
            ("f", S::Free),
            ("a", S::Held),
            ("u", S::Unknown),
            ("fff", S::Free),
            ("ffu", S::Free),
            ("fuu", S::Unknown),
            ("fqq", S::Unknown),
            ("aaq", S::Held),
            ("aqf", S::Contested),
            ("auu", S::Unknown),
            ("aau", S::Held),
            ("aaf", S::Held),
            ("abf", S::Contested),
            ("aff", S::Contested),
            ("???", S::Contested),
            ("?ff", S::Contested),
            ("aabbf", S::Contested),
            ("aaauu", S::Held),
            ("aabbb", S::Held),
        ] {
            assert_eq!(looked(votes).standing(), standing, "{votes}");
        }
    }

    #[test]
    fn the_holder_is_one_that_a_quorum_shows() {
        assert_eq!(looked("aabbb").holder(), Some(b"b".as_slice()));
        assert_eq!(looked("abf").holder(), None);
        assert_eq!(looked("???").holder(), None);
    }

    #[test]
    fn a_majority_holds_it_until_the_record_goes_that_makes_it_one() {
        let millis = |votes: &str| looked(votes).remaining().map(|remaining| remaining.as_millis());
        // 100, 200 and 300 ms: at 200 one alone is left.
        assert_eq!(millis("aaa"), Some(200));
        assert_eq!(millis("aaf"), Some(100));
        assert_eq!(millis("faa"), Some(200));
        assert_eq!(millis("aff"), None);
        assert_eq!(millis("eea"), None);
        assert_eq!(millis("eaa"), Some(300));
    }

    #[test]
    fn it_is_complete_when_every_primary_has_been_heard_of() {
        assert!(!looked("fa.").is_complete());
        assert!(looked("fau").is_complete());
    }
}
