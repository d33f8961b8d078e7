//! Which process answers under which address: one server must not vote twice.

use std::sync::{Mutex, PoisonError};

use crate::lock::NodeId;

/// The run of the server behind each primary of the set, as far as it has been seen.
#[derive(Debug)]
pub(super) struct Incarnations {
    runs: Mutex<Vec<Option<String>>>,
}

/// What the run of a newly opened link says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// The same process as before, or the first one seen here.
    Same,
    /// Another process than the last time.
    Changed,
    /// The process that already answers under this other primary's address: it must not vote here as well.
    DuplicateOf(NodeId),
}

impl Incarnations {
    pub(super) fn new(primaries: usize) -> Self {
        Self { runs: Mutex::new(vec![None; primaries]) }
    }

    /// The server behind `node` says that it is the process `run`. Who says so first has the vote, and keeps it while
    /// its link is down: in one round, the server must not be counted under both addresses.
    pub(super) fn claim(&self, node: NodeId, run: &str) -> Claim {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let other = runs.iter().position(|claimed| claimed.as_deref() == Some(run));
        match other.and_then(NodeId::new) {
            Some(same) if same == node => Claim::Same,
            Some(other) => {
                // Whatever was here before is not here any more.
                runs[node.index()] = None;
                Claim::DuplicateOf(other)
            }
            None => match runs[node.index()].replace(run.to_owned()) {
                None => Claim::Same,
                Some(_) => Claim::Changed,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(index: usize) -> NodeId {
        NodeId::new(index).expect("below nine")
    }

    #[test]
    fn one_server_under_two_addresses_has_one_vote() {
        let incarnations = Incarnations::new(3);
        assert_eq!(incarnations.claim(node(0), "a"), Claim::Same);
        assert_eq!(incarnations.claim(node(1), "a"), Claim::DuplicateOf(node(0)));
        assert_eq!(incarnations.claim(node(0), "a"), Claim::Same);
        assert_eq!(incarnations.claim(node(1), "a"), Claim::DuplicateOf(node(0)));
    }

    #[test]
    fn the_vote_is_free_again_when_its_holder_has_become_another_server() {
        let incarnations = Incarnations::new(2);
        assert_eq!(incarnations.claim(node(0), "a"), Claim::Same);
        assert_eq!(incarnations.claim(node(0), "b"), Claim::Changed);
        assert_eq!(incarnations.claim(node(1), "a"), Claim::Same);
        assert_eq!(incarnations.claim(node(0), "a"), Claim::DuplicateOf(node(1)));
        // The duplicate gave its former claim up.
        assert_eq!(incarnations.claim(node(1), "b"), Claim::Changed);
    }
}
