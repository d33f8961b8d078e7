//! One attempt over all primaries: the meeting point of the task that waits for a verdict and the links that bring
//! the votes.
//!
//! A vote is counted in the task that brought it, under a lock that is held for a few comparisons; the waiting task is
//! woken once, when there is something for it to do. What arrives later is counted as well (it tells where a token may
//! still lie) but changes no verdict.

mod ballots;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::ballots::DrawnAnew;
use super::node::{Ballot, Ticket, Trouble};
use super::watched::Watched;
use crate::clock::Clock;
use crate::limits::PRIMARIES;
use crate::lock::{
    Acquire, AcquireStep, AcquireVerdict, AcquireVote, Drift, Fence, FenceNumber, FenceStep, Forecast, InspectVote,
    Moment, NodeId, NodeSet, Owner, Quorum, RaiseVote, SignVote, Ttl, Validity,
};

/// The reasons for which primaries gave no vote.
pub(super) type Troubles = [Option<Trouble>; PRIMARIES];

pub(super) const NO_TROUBLE: Troubles = [const { None }; PRIMARIES];

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

/// What the task that drives an attempt must do.
pub(super) enum Work {
    Sign(Vec<(NodeId, Bytes)>),
    /// Raise this number, drawn anew, on these primaries.
    Raise(FenceNumber, NodeSet),
    Done(AcquireVerdict),
}

/// One attempt at a lock.
pub(super) struct AcquireRound {
    pub(super) term: Term,
    pub(super) quorum: Quorum,
    clock: Clock,
    state: Watched<AcquireState>,
}

struct AcquireState {
    core: Acquire,
    /// The quorum.
    needed: usize,
    /// Own records to be signed anew which the driving task has not fetched yet.
    to_sign: Vec<(NodeId, Bytes)>,
    /// The number that the grant is to have, where one is wanted.
    fence: Option<Fence>,
    /// A number to be raised which the driving task has not fetched yet.
    to_raise: Option<(FenceNumber, NodeSet)>,
    /// The number of a grant.
    fenced: Option<FenceNumber>,
    verdict: Option<AcquireVerdict>,
    /// Where a request has left.
    departed: NodeSet,
    /// No request may leave any more.
    closed: bool,
    /// In memory of their own, since as a rule there are none.
    troubles: Option<Box<Troubles>>,
    /// When what was in the way ends by itself; for who stands in line.
    forecast: Option<Box<Forecast>>,
    /// Who wants to know, once every primary has been heard of, where the token was never set.
    heir: Option<Heir>,
}

type Heir = Box<dyn FnOnce(NodeSet) + Send>;

impl AcquireRound {
    pub(super) fn new(
        quorum: Quorum,
        owner: Option<Owner>,
        fence: Option<Fence>,
        term: Term,
        clock: Clock,
        foresees: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            term,
            quorum,
            clock,
            state: Watched::new(AcquireState {
                core: Acquire::new(quorum, owner),
                needed: quorum.needed(),
                to_sign: Vec::new(),
                fence,
                to_raise: None,
                fenced: None,
                verdict: None,
                departed: NodeSet::EMPTY,
                closed: false,
                troubles: None,
                forecast: foresees.then(|| Box::new(Forecast::UNKNOWN)),
                heir: None,
            }),
        })
    }

    pub(super) fn acquire_ticket(self: &Arc<Self>, node: NodeId) -> Ticket<AcquireVote> {
        Ticket::new(Arc::clone(self) as Arc<dyn Ballot<AcquireVote>>, node)
    }

    /// The ticket of a question that takes nothing.
    pub(super) fn look_ticket(self: &Arc<Self>, node: NodeId) -> Ticket<InspectVote> {
        Ticket::new(Arc::clone(self) as Arc<dyn Ballot<InspectVote>>, node)
    }

    pub(super) fn sign_ticket(self: &Arc<Self>, node: NodeId) -> Ticket<SignVote> {
        Ticket::new(Arc::clone(self) as Arc<dyn Ballot<SignVote>>, node)
    }

    /// The ticket of a raise behind a request that can be a vote.
    pub(super) fn raise_ticket(self: &Arc<Self>, node: NodeId) -> Ticket<RaiseVote> {
        Ticket::new(Arc::clone(self) as Arc<dyn Ballot<RaiseVote>>, node)
    }

    /// The ticket of a raise of a number that was drawn anew.
    pub(super) fn raise_anew_ticket(self: &Arc<Self>, node: NodeId, number: FenceNumber) -> Ticket<RaiseVote> {
        Ticket::new(Arc::new(DrawnAnew { round: Arc::clone(self), number }), node)
    }

    /// The number to be raised behind the signing of records on these primaries; `None` when none is wanted.
    pub(super) fn number_for_signing(
        &self,
        nodes: NodeSet,
        clock: impl FnOnce() -> FenceNumber,
    ) -> Option<FenceNumber> {
        // The clocks are read before the lock is taken.
        let clock = self.state.with(|state| state.fence.is_some()).then(clock)?;
        self.state.with(|state| state.fence.as_mut().map(|fence| fence.for_signing(nodes, clock)))
    }

    /// The number of the grant, if it has one.
    pub(super) fn fence(&self) -> Option<FenceNumber> {
        self.state.with(|state| state.fenced)
    }

    /// Waits until there is something to do.
    pub(super) async fn work(&self) -> Work {
        self.state
            .wait(|state| match state.verdict {
                Some(verdict) => Some(Work::Done(verdict)),
                None if !state.to_sign.is_empty() => Some(Work::Sign(std::mem::take(&mut state.to_sign))),
                None => state.to_raise.take().map(|(number, nodes)| Work::Raise(number, nodes)),
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

    /// Whether a quorum bore the token, in time or not, with a number or without: others may have seen the lock held.
    pub(super) fn was_won(&self) -> bool {
        self.state.with(|state| state.core.granted().len() >= state.needed)
    }

    /// When what was in the way will be gone, by what has been told so far.
    pub(super) fn forecast(&self) -> Forecast {
        self.state.with(|state| state.forecast.as_deref().cloned().unwrap_or(Forecast::UNKNOWN))
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

    /// Whether the lock was won, and no number for it.
    pub(super) fn lacks_number(&self) -> bool {
        self.state
            .with(|state| state.fence.is_some() && state.fenced.is_none() && state.core.granted().len() >= state.needed)
    }

    /// How many primaries gave an answer that counts, and what was wrong with the others.
    pub(super) fn report(&self) -> (NodeSet, Troubles) {
        self.state.with(|state| (state.core.answered(), state.troubles.as_deref().cloned().unwrap_or(NO_TROUBLE)))
    }
}

impl AcquireState {
    /// Asks the core for the next step; returns the verdict, or `Abandoned` while there is none.
    fn poll(&mut self, round: &AcquireRound) -> AcquireVerdict {
        let Term { started, ttl, drift } = round.term;
        match self.core.poll(round.clock.now(), started, ttl, drift) {
            AcquireStep::Wait => {}
            AcquireStep::Sign(found) => self.to_sign.extend(found),
            AcquireStep::Done(AcquireVerdict::Granted) if self.fence.is_some() => return self.poll_fence(round),
            AcquireStep::Done(verdict) => {
                // Once it is lost, what has not left yet must not: it would only have to be withdrawn again. A won one
                // is the safer for every record, and one without a quorum wants to hear from all, to say what is wrong.
                self.closed |= !matches!(verdict, AcquireVerdict::Granted | AcquireVerdict::NoQuorum);
                self.verdict = Some(verdict);
            }
        }
        self.verdict.unwrap_or(AcquireVerdict::Abandoned)
    }

    /// The lock is won: asks for the next step towards its number.
    fn poll_fence(&mut self, round: &AcquireRound) -> AcquireVerdict {
        let (granted, outstanding) = (self.core.granted(), self.core.outstanding());
        let is_left = round.term.validity(round.clock.now()).is_some();
        match self.fence.as_mut().filter(|_| is_left).map(|fence| fence.poll(granted, outstanding)) {
            Some(FenceStep::Settled(number)) => {
                self.fenced = Some(number);
                self.verdict = Some(AcquireVerdict::Granted);
            }
            Some(FenceStep::Raise(number, nodes)) => {
                // The same number may go to one more before the driving task has fetched it; a larger one never does.
                let waiting = self.to_raise.map_or(NodeSet::EMPTY, |(_, waiting)| waiting);
                self.to_raise = Some((number, waiting.iter().chain(nodes.iter()).collect()));
            }
            Some(FenceStep::Wait) => {}
            Some(FenceStep::Failed) => self.verdict = Some(AcquireVerdict::NoQuorum),
            None => self.verdict = Some(AcquireVerdict::TooLate),
        }
        self.verdict.unwrap_or(AcquireVerdict::Abandoned)
    }

    fn note_trouble(&mut self, node: NodeId, trouble: Option<Trouble>) {
        if trouble.is_some() {
            self.troubles.get_or_insert_with(|| Box::new(NO_TROUBLE))[node.index()] = trouble;
        }
    }

    /// Whether the driving task has something to do.
    fn has_work(&self) -> bool {
        self.verdict.is_some() || !self.to_sign.is_empty() || self.to_raise.is_some()
    }
}

impl AcquireRound {
    fn count(&self, node: NodeId, trouble: Option<Trouble>, vote: impl FnOnce(&mut Acquire)) {
        let mut complete = None;
        self.state.change(|state| {
            vote(&mut state.core);
            state.note_trouble(node, trouble);
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

    /// Counts the answer to the raise of a number that was drawn anew.
    fn count_raise(&self, node: NodeId, trouble: Option<Trouble>, vote: impl FnOnce(&mut Fence)) {
        self.state.change(|state| {
            state.note_trouble(node, trouble);
            if state.verdict.is_some() {
                return false;
            }
            if let Some(fence) = &mut state.fence {
                vote(fence);
            }
            state.poll(self);
            state.has_work()
        });
    }

    /// Notes when the record that is in the way will be gone: so long after now.
    fn note_left(&self, node: NodeId, left: Option<Duration>) {
        self.state.with(|state| {
            if let Some(forecast) = &mut state.forecast {
                forecast.note(node, left.map(|left| self.clock.now().after(left)));
            }
        });
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
