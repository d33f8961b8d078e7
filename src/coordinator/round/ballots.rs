//! How the votes of an attempt are cast, one kind of request after the other.

use std::sync::Arc;
use std::time::Duration;

use super::super::node::{Ballot, Trouble};
use super::AcquireRound;
use crate::lock::{AcquireVerdict, AcquireVote, FenceNumber, Holder, InspectVote, NodeId, RaiseVote, SignVote};

impl Ballot<AcquireVote> for AcquireRound {
    fn depart(&self, node: NodeId) -> bool {
        AcquireRound::depart(self, node)
    }

    fn cast(&self, node: NodeId, vote: AcquireVote, trouble: Option<Trouble>) {
        if vote == AcquireVote::Granted {
            // If it is not won, it is given back at once.
            self.note_left(node, Some(Duration::ZERO));
        }
        self.count(node, trouble, |core| core.handle_vote(node, vote));
    }

    fn lives_on(&self, node: NodeId, left: Option<Duration>) {
        self.note_left(node, left);
    }
}

impl Ballot<InspectVote> for AcquireRound {
    /// Who only looks leaves nothing that would have to be withdrawn.
    fn depart(&self, _node: NodeId) -> bool {
        self.state.with(|state| !state.closed)
    }

    /// Where nothing is found nobody is seen to hold the lock, and who only looks does not get it either.
    fn cast(&self, node: NodeId, vote: InspectVote, trouble: Option<Trouble>) {
        let vote = match vote {
            InspectVote::Held(holder, _) => AcquireVote::Held(holder),
            InspectVote::Free => AcquireVote::Held(Holder::Unknown),
            InspectVote::Quarantined | InspectVote::Unknown => AcquireVote::Silent,
        };
        self.count(node, trouble, |core| core.handle_vote(node, vote));
    }
}

impl Ballot<RaiseVote> for AcquireRound {
    fn depart(&self, node: NodeId) -> bool {
        AcquireRound::depart(self, node)
    }

    /// Comes before the vote that it stands behind; a silent one is told by that.
    fn cast(&self, node: NodeId, vote: RaiseVote, _trouble: Option<Trouble>) {
        if let RaiseVote::Raised(before, ours) = vote {
            self.state.with(|state| state.fence.as_mut().map(|fence| fence.handle_first(node, before, ours)));
        }
    }
}

impl Ballot<SignVote> for AcquireRound {
    /// Nothing is signed for an attempt that has failed: the former grant may rest on that record.
    fn depart(&self, node: NodeId) -> bool {
        let failed = self.state.with(|state| state.verdict.is_some_and(|verdict| verdict != AcquireVerdict::Granted));
        !failed && AcquireRound::depart(self, node)
    }

    fn cast(&self, node: NodeId, vote: SignVote, trouble: Option<Trouble>) {
        self.count(node, trouble, |core| core.handle_sign_vote(node, vote));
    }
}

/// The raise of a number that was drawn anew.
pub(super) struct DrawnAnew {
    pub(super) round: Arc<AcquireRound>,
    pub(super) number: FenceNumber,
}

impl Ballot<RaiseVote> for DrawnAnew {
    /// It can do no harm, wherever it arrives.
    fn depart(&self, _node: NodeId) -> bool {
        true
    }

    fn cast(&self, node: NodeId, vote: RaiseVote, trouble: Option<Trouble>) {
        self.round.count_raise(node, trouble, |fence| match vote {
            RaiseVote::Raised(before, ours) => fence.handle_raise(node, self.number, before, ours),
            RaiseVote::Silent | RaiseVote::Unsent => fence.handle_silence(node, self.number),
        });
    }
}
