//! Rounds that only count: extensions and releases.

use std::sync::Arc;

use super::node::{Ballot, Ticket, Trouble};
use super::round::{NO_TROUBLE, Term, Troubles};
use super::watched::Watched;
use crate::clock::Clock;
use crate::lock::{Extend, ExtendVerdict, ExtendVote, Moment, NodeId, NodeSet, Release, ReleaseVerdict, ReleaseVote};

/// A round that only counts: an extension or a release.
pub(super) struct CountingRound<C> {
    pub(super) term: Option<Term>,
    clock: Clock,
    state: Watched<State<C>>,
}

/// The troubles are in memory of their own, since as a rule there are none.
type State<C> = (C, Option<Box<Troubles>>, bool);

/// What a counting round is about: an extension or a release.
pub(super) trait Count: Send + 'static {
    type Vote;
    type Verdict;
    fn handle_vote(&mut self, node: NodeId, vote: Self::Vote);
    fn poll(&mut self, now: Moment, term: Option<&Term>) -> Option<Self::Verdict>;
    fn answered(&self) -> NodeSet;
    /// Whether every primary has been heard of.
    fn is_complete(&self) -> bool;
}

impl Count for Extend {
    type Vote = ExtendVote;
    type Verdict = ExtendVerdict;

    fn handle_vote(&mut self, node: NodeId, vote: ExtendVote) {
        Self::handle_vote(self, node, vote);
    }

    fn poll(&mut self, now: Moment, term: Option<&Term>) -> Option<ExtendVerdict> {
        let &Term { started, ttl, drift } = term?;
        Self::poll(self, now, started, ttl, drift)
    }

    fn answered(&self) -> NodeSet {
        Self::answered(self)
    }

    fn is_complete(&self) -> bool {
        Self::is_complete(self)
    }
}

impl Count for Release {
    type Vote = ReleaseVote;
    type Verdict = ReleaseVerdict;

    fn handle_vote(&mut self, node: NodeId, vote: ReleaseVote) {
        Self::handle_vote(self, node, vote);
    }

    fn poll(&mut self, _now: Moment, _term: Option<&Term>) -> Option<ReleaseVerdict> {
        Self::poll(self)
    }

    fn answered(&self) -> NodeSet {
        Self::answered(self)
    }

    fn is_complete(&self) -> bool {
        Self::is_complete(self)
    }
}

impl<C: Count> CountingRound<C> {
    pub(super) fn new(count: C, term: Option<Term>, clock: Clock) -> Arc<Self> {
        Arc::new(Self { term, clock, state: Watched::new((count, None, false)) })
    }

    pub(super) async fn verdict(&self) -> C::Verdict {
        self.state.wait(|(count, _, _)| count.poll(self.clock.now(), self.term.as_ref())).await
    }

    /// Waits until every primary has been heard of: those that are silent are, when their time is over.
    pub(super) async fn complete(&self) {
        self.state.wait(|(count, _, _)| count.is_complete().then_some(())).await;
    }

    /// Looks at the votes.
    pub(super) fn with<R>(&self, look: impl FnOnce(&C) -> R) -> R {
        self.state.with(|(count, _, _)| look(count))
    }

    pub(super) fn report(&self) -> (NodeSet, Troubles) {
        self.state.with(|(count, troubles, _)| (count.answered(), troubles.as_deref().cloned().unwrap_or(NO_TROUBLE)))
    }
}

impl<C: Count> CountingRound<C>
where
    Self: Ballot<C::Vote>,
    C::Vote: super::node::Vote,
{
    pub(super) fn ticket(self: &Arc<Self>, node: NodeId) -> Ticket<C::Vote> {
        Ticket::new(Arc::clone(self) as Arc<dyn Ballot<C::Vote>>, node)
    }
}

impl<C: Count> Ballot<C::Vote> for CountingRound<C> {
    fn depart(&self, _node: NodeId) -> bool {
        true
    }

    fn cast(&self, node: NodeId, vote: C::Vote, trouble: Option<Trouble>) {
        self.state.change(|(count, troubles, decided)| {
            count.handle_vote(node, vote);
            if trouble.is_some() {
                troubles.get_or_insert_with(|| Box::new(NO_TROUBLE))[node.index()] = trouble;
            }
            let first = !*decided && count.poll(self.clock.now(), self.term.as_ref()).is_some();
            *decided |= first;
            first || count.is_complete()
        });
    }
}
