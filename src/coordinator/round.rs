//! One operation over all primaries: the meeting point of the task that waits for a verdict and the links that bring
//! the votes.
//!
//! A vote is counted in the task that brought it, under a lock that is held for a few comparisons; the waiting task is
//! woken once, when there is something for it to do. What arrives later is counted as well (it tells where a token may
//! still lie) but changes no verdict.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;

use super::node::{Ballot, Ticket, Trouble};
use crate::clock::Clock;
use crate::limits::PRIMARIES;
use crate::lock::{
    Acquire, AcquireStep, AcquireVerdict, AcquireVote, Drift, Extend, ExtendVerdict, ExtendVote, Moment, NodeId,
    NodeSet, Owner, Quorum, Release, ReleaseVerdict, ReleaseVote, SignVote, Ttl, Validity,
};

/// The reasons for which primaries gave no vote.
pub(super) type Troubles = [Option<Trouble>; PRIMARIES];

const NO_TROUBLE: Troubles = [const { None }; PRIMARIES];

/// When something began and how long it counts: what a validity is made of.
#[derive(Debug, Clone, Copy)]
pub struct Term {
    pub started: Moment,
    pub ttl: Ttl,
    pub drift: Drift,
}

impl Term {
    /// What is left at `now`.
    pub fn validity(&self, now: Moment) -> Option<Validity> {
        Validity::at(now, self.started, self.ttl, self.drift)
    }
}

/// A state that one task waits on and many change.
struct Watched<S> {
    inner: Mutex<(S, Option<Waker>)>,
}

impl<S> Watched<S> {
    fn new(state: S) -> Self {
        Self { inner: Mutex::new((state, None)) }
    }

    fn lock(&self) -> MutexGuard<'_, (S, Option<Waker>)> {
        // Nothing that runs under this lock panics; if it did, the state of a finished assignment is as good as any.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R>(&self, change: impl FnOnce(&mut S) -> R) -> R {
        change(&mut self.lock().0)
    }

    /// Changes the state; wakes the waiting task when `change` says so.
    fn change(&self, change: impl FnOnce(&mut S) -> bool) {
        let mut guard = self.lock();
        let waker = if change(&mut guard.0) { guard.1.take() } else { None };
        drop(guard);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn wait<R>(&self, mut ready: impl FnMut(&mut S) -> Option<R>) -> R {
        poll_fn(|context| {
            let mut guard = self.lock();
            if let Some(result) = ready(&mut guard.0) {
                return Poll::Ready(result);
            }
            match &mut guard.1 {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await
    }
}

/// What the task that drives an attempt must do.
pub(super) enum Work {
    Sign(Vec<(NodeId, Bytes)>),
    Done(AcquireVerdict),
}

/// One attempt at a lock.
pub(super) struct AcquireRound {
    pub(super) term: Term,
    clock: Clock,
    state: Watched<AcquireState>,
}

struct AcquireState {
    core: Acquire,
    /// Own records to be signed anew which the driving task has not fetched yet.
    to_sign: Vec<(NodeId, Bytes)>,
    verdict: Option<AcquireVerdict>,
    /// Where a request has left.
    departed: NodeSet,
    /// No request may leave any more.
    closed: bool,
    troubles: Troubles,
    /// Who wants to know, once every primary has been heard of, where the token was never set.
    heir: Option<Heir>,
}

type Heir = Box<dyn FnOnce(NodeSet) + Send>;

impl AcquireRound {
    pub(super) fn new(quorum: Quorum, owner: Option<Owner>, term: Term, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            term,
            clock,
            state: Watched::new(AcquireState {
                core: Acquire::new(quorum, owner),
                to_sign: Vec::new(),
                verdict: None,
                departed: NodeSet::EMPTY,
                closed: false,
                troubles: NO_TROUBLE,
                heir: None,
            }),
        })
    }

    pub(super) fn acquire_ticket(self: &Arc<Self>, node: NodeId) -> Ticket<AcquireVote> {
        Ticket::new(Arc::clone(self) as Arc<dyn Ballot<AcquireVote>>, node)
    }

    pub(super) fn sign_ticket(self: &Arc<Self>, node: NodeId) -> Ticket<SignVote> {
        Ticket::new(Arc::clone(self) as Arc<dyn Ballot<SignVote>>, node)
    }

    /// Waits until there is something to do.
    pub(super) async fn work(&self) -> Work {
        self.state
            .wait(|state| match state.verdict {
                Some(verdict) => Some(Work::Done(verdict)),
                None if !state.to_sign.is_empty() => Some(Work::Sign(std::mem::take(&mut state.to_sign))),
                None => None,
            })
            .await
    }

    /// Waits until every primary has been heard of: those that are silent are, when their time is over.
    pub(super) async fn complete(&self) {
        self.state.wait(|state| state.core.is_complete().then_some(())).await;
    }

    /// Ends the attempt: its client has left. The verdict that stands from then on.
    pub(super) fn abandon(&self) -> AcquireVerdict {
        self.state.with(|state| {
            state.core.abandon();
            state.poll(self)
        })
    }

    /// Lets no further request leave, and tells where the token may lie and must be withdrawn.
    pub(super) fn close(&self) -> NodeSet {
        self.state.with(|state| {
            state.closed = true;
            let targets = state.core.withdraw_from();
            targets.iter().filter(|node| state.departed.contains(*node)).collect()
        })
    }

    /// Where the token certainly was never set, as far as is known by now, and where a record was asked to be signed.
    pub(super) fn never_set(&self) -> (NodeSet, NodeSet) {
        self.state.with(|state| (state.core.never_set(), state.core.signed()))
    }

    /// Tells `heir`, once every primary has been heard of, where the token was never set. At once when that is so.
    pub(super) fn when_complete(&self, heir: impl FnOnce(NodeSet) + Send + 'static) {
        let known = self.state.with(|state| {
            if state.core.is_complete() {
                return Some((heir, state.core.never_set()));
            }
            state.heir = Some(Box::new(heir));
            None
        });
        if let Some((heir, never_set)) = known {
            heir(never_set);
        }
    }

    pub(super) fn took_over(&self) -> bool {
        self.state.with(|state| state.core.took_over())
    }

    /// How many primaries gave an answer that counts, and what was wrong with the others.
    pub(super) fn report(&self) -> (NodeSet, Troubles) {
        self.state.with(|state| (state.core.answered(), state.troubles.clone()))
    }
}

impl AcquireState {
    /// Asks the core for the next step; returns the verdict, or `Abandoned` while there is none.
    fn poll(&mut self, round: &AcquireRound) -> AcquireVerdict {
        let Term { started, ttl, drift } = round.term;
        match self.core.poll(round.clock.now(), started, ttl, drift) {
            AcquireStep::Wait => {}
            AcquireStep::Sign(found) => self.to_sign.extend(found),
            AcquireStep::Done(verdict) => {
                // Once it is lost, what has not left yet must not: it would only have to be withdrawn again. A won one
                // is the safer for every record, and one without a quorum wants to hear from all, to say what is wrong.
                self.closed |= !matches!(verdict, AcquireVerdict::Granted | AcquireVerdict::NoQuorum);
                self.verdict = Some(verdict);
            }
        }
        self.verdict.unwrap_or(AcquireVerdict::Abandoned)
    }

    /// Whether the driving task has something to do.
    fn has_work(&self) -> bool {
        self.verdict.is_some() || !self.to_sign.is_empty()
    }
}

impl AcquireRound {
    fn count(&self, node: NodeId, trouble: Option<Trouble>, vote: impl FnOnce(&mut Acquire)) {
        let mut complete = None;
        self.state.change(|state| {
            vote(&mut state.core);
            if trouble.is_some() {
                state.troubles[node.index()] = trouble;
            }
            if state.heir.is_some() && state.core.is_complete() {
                complete = state.heir.take().map(|heir| (heir, state.core.never_set()));
            }
            if state.verdict.is_some() {
                return state.core.is_complete();
            }
            state.poll(self);
            state.has_work()
        });
        if let Some((heir, never_set)) = complete {
            heir(never_set);
        }
    }

    fn depart(&self, node: NodeId) -> bool {
        self.state.with(|state| {
            if !state.closed {
                state.departed.insert(node);
            }
            !state.closed
        })
    }
}

impl Ballot<AcquireVote> for AcquireRound {
    fn depart(&self, node: NodeId) -> bool {
        AcquireRound::depart(self, node)
    }

    fn cast(&self, node: NodeId, vote: AcquireVote, trouble: Option<Trouble>) {
        self.count(node, trouble, |core| core.handle_vote(node, vote));
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

/// A round that only counts: an extension or a release.
pub(super) struct CountingRound<C> {
    pub(super) term: Option<Term>,
    clock: Clock,
    state: Watched<(C, Troubles, bool)>,
}

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
        Arc::new(Self { term, clock, state: Watched::new((count, NO_TROUBLE, false)) })
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
        self.state.with(|(count, troubles, _)| (count.answered(), troubles.clone()))
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
            troubles[node.index()] = trouble.or(troubles[node.index()].take());
            let first = !*decided && count.poll(self.clock.now(), self.term.as_ref()).is_some();
            *decided |= first;
            first || count.is_complete()
        });
    }
}
