//! The fencing side of an attempt: where numbers come from, and what carries them to the primaries.

use super::Coordinator;
use super::node::{Operation, Raise, WallClock};
use super::outcome::Attempt;
use crate::lock::{FenceNumber, NodeId, NodeSet};

impl Coordinator {
    /// The lower median of the primaries' clocks. Only a starting point: the order of numbers rests on the counters. A
    /// primary whose clock was never seen was never connected: when none was, there is no lock to be had either.
    pub(super) fn fence_clock(&self) -> FenceNumber {
        let now = self.clock.now();
        let clocks = self.nodes.iter().filter_map(|node| node.wall_clock(now));
        WallClock::lower_median(clocks).and_then(FenceNumber::new).unwrap_or(FenceNumber::SMALLEST)
    }

    /// The raise behind a request of this attempt that can be a vote. It is to `look` when the attempt has an owner: nobody
    /// else could end the record between the two.
    pub(super) fn raise(&self, attempt: &Attempt, id: NodeId, number: FenceNumber, look: bool) -> Raise {
        let ticket = attempt.round.raise_ticket(id);
        Raise { number, retention: self.rules.fence_retention, look, ticket }
    }

    /// Raises a number that was drawn anew, where the lock was granted.
    pub(super) fn raise_anew(&self, attempt: &Attempt, number: FenceNumber, nodes: NodeSet) {
        let ttl = attempt.round.term.ttl;
        for id in nodes.iter() {
            let (resource, token) = (attempt.resource.clone(), attempt.token.clone());
            let ticket = attempt.round.raise_anew_ticket(id, number);
            let raise = Raise { number, retention: self.rules.fence_retention, look: true, ticket };
            let operation = Operation::Raise { resource, token, raise: Box::new(raise) };
            self.nodes[id.index()].submit(operation, ttl.node_timeout(self.rules.node_timeout));
        }
    }
}
