//! The right to a vote, of whichever kind.

use std::time::Duration;

use redlock_proxy::coordinator::{Ticket, Trouble};
use redlock_proxy::lock::{AcquireVote, ExtendVote, Holder, InspectVote, ReleaseVote, SignVote};

use super::canaries::Canary;
use super::primary::Answer;

#[derive(Debug)]
pub(super) enum Ballot {
    Acquire(Ticket<AcquireVote>),
    Look(Ticket<InspectVote>),
    Sign(Ticket<SignVote>),
    Extend(Ticket<ExtendVote>),
    Release(Ticket<ReleaseVote>),
}

impl Ballot {
    pub(super) fn depart(&self) -> bool {
        match self {
            Self::Acquire(ticket) => ticket.depart(),
            Self::Look(ticket) => ticket.depart(),
            Self::Sign(ticket) => ticket.depart(),
            Self::Extend(ticket) => ticket.depart(),
            Self::Release(ticket) => ticket.depart(),
        }
    }

    pub(super) fn answer(self, answer: Answer) {
        match (self, answer) {
            (Self::Acquire(ticket), Answer::Acquire(vote, left_ms)) => {
                ticket.lives_on(left_ms.map(Duration::from_millis));
                ticket.answer(vote);
            }
            (Self::Look(ticket), Answer::Look(vote)) => ticket.answer(vote),
            (Self::Sign(ticket), Answer::Sign(vote)) => ticket.answer(vote),
            (Self::Extend(ticket), Answer::Extend(vote)) => ticket.answer(vote),
            (Self::Release(ticket), Answer::Release(vote)) => ticket.answer(vote),
            (ballot, answer) => unreachable!("{answer:?} for {ballot:?}: a connection keeps its order"),
        }
    }

    pub(super) fn silent(self, trouble: Trouble, canary: Option<Canary>) {
        match self {
            // As far as that matters here, refused is what was never run.
            Self::Acquire(ticket) if canary == Some(Canary::PutBackWhereSilent) => {
                ticket.answer(AcquireVote::Held(Holder::Unknown));
            }
            Self::Acquire(ticket) => ticket.silent(trouble),
            Self::Look(ticket) => ticket.silent(trouble),
            Self::Sign(ticket) => ticket.silent(trouble),
            Self::Extend(ticket) => ticket.silent(trouble),
            Self::Release(ticket) => ticket.silent(trouble),
        }
    }

    pub(super) fn unsent(self, trouble: Trouble, canary: Option<Canary>) {
        let absent = canary == Some(Canary::UnsentCountedAsAbsent);
        match self {
            Self::Acquire(ticket) => ticket.unsent(trouble),
            Self::Look(ticket) => ticket.unsent(trouble),
            Self::Sign(ticket) => ticket.unsent(trouble),
            Self::Extend(ticket) if absent => ticket.answer(ExtendVote::Lacking),
            Self::Extend(ticket) => ticket.unsent(trouble),
            Self::Release(ticket) if absent => ticket.answer(ReleaseVote::Lacking),
            Self::Release(ticket) => ticket.unsent(trouble),
        }
    }
}
