//! The right to a vote, of whichever kind, and to tell of the fencing counter that was raised behind it.

use redlock_proxy::coordinator::{Ticket, Trouble};
use redlock_proxy::lock::{AcquireVote, ExtendVote, RaiseVote, ReleaseVote, SignVote};

use super::canaries::Canary;
use super::primary::Answer;

#[derive(Debug)]
pub(super) enum Ballot {
    Acquire(Option<Ticket<RaiseVote>>, Ticket<AcquireVote>),
    Sign(Option<Ticket<RaiseVote>>, Ticket<SignVote>),
    Raise(Ticket<RaiseVote>),
    Extend(Ticket<ExtendVote>),
    Release(Ticket<ReleaseVote>),
}

impl Ballot {
    pub(super) fn depart(&self) -> bool {
        match self {
            Self::Acquire(_, ticket) => ticket.depart(),
            Self::Sign(_, ticket) => ticket.depart(),
            Self::Raise(ticket) => ticket.depart(),
            Self::Extend(ticket) => ticket.depart(),
            Self::Release(ticket) => ticket.depart(),
        }
    }

    /// The answer to the request, and that to the raise behind it.
    pub(super) fn answer(self, answer: Answer, raised: Option<RaiseVote>) {
        let raise = |ticket: Option<Ticket<RaiseVote>>| {
            if let (Some(ticket), Some(raised)) = (ticket, raised) {
                ticket.answer(raised);
            }
        };
        match (self, answer) {
            (Self::Acquire(behind, ticket), Answer::Acquire(vote)) => {
                raise(behind);
                ticket.answer(vote);
            }
            (Self::Sign(behind, ticket), Answer::Sign(vote)) => {
                raise(behind);
                ticket.answer(vote);
            }
            (Self::Raise(ticket), Answer::Raise(vote)) => ticket.answer(vote),
            (Self::Extend(ticket), Answer::Extend(vote)) => ticket.answer(vote),
            (Self::Release(ticket), Answer::Release(vote)) => ticket.answer(vote),
            (ballot, answer) => unreachable!("{answer:?} for {ballot:?}: a connection keeps its order"),
        }
    }

    pub(super) fn silent(self, trouble: Trouble) {
        match self {
            Self::Acquire(raise, ticket) => {
                raise.into_iter().for_each(|raise| raise.silent(trouble.clone()));
                ticket.silent(trouble);
            }
            Self::Sign(raise, ticket) => {
                raise.into_iter().for_each(|raise| raise.silent(trouble.clone()));
                ticket.silent(trouble);
            }
            Self::Raise(ticket) => ticket.silent(trouble),
            Self::Extend(ticket) => ticket.silent(trouble),
            Self::Release(ticket) => ticket.silent(trouble),
        }
    }

    pub(super) fn unsent(self, trouble: Trouble, canary: Option<Canary>) {
        let absent = canary == Some(Canary::UnsentCountedAsAbsent);
        match self {
            Self::Acquire(raise, ticket) => {
                raise.into_iter().for_each(|raise| raise.unsent(trouble.clone()));
                ticket.unsent(trouble);
            }
            Self::Sign(raise, ticket) => {
                raise.into_iter().for_each(|raise| raise.unsent(trouble.clone()));
                ticket.unsent(trouble);
            }
            Self::Raise(ticket) => ticket.unsent(trouble),
            Self::Extend(ticket) if absent => ticket.answer(ExtendVote::Lacking),
            Self::Extend(ticket) => ticket.unsent(trouble),
            Self::Release(ticket) if absent => ticket.answer(ReleaseVote::Lacking),
            Self::Release(ticket) => ticket.unsent(trouble),
        }
    }
}
