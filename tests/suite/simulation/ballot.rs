//! The right to a vote, of whichever kind, and to tell of the fencing counter that was raised behind it.

use std::time::Duration;

use redlock_proxy::coordinator::{Ticket, Trouble, Vote};
use redlock_proxy::lock::{AcquireVote, ExtendVote, Holder, InspectVote, RaiseVote, ReleaseVote, SignVote};

use super::canaries::Canary;
use super::primary::Answer;

/// The raise behind a request that can be a vote: silent unless it is told, as every ticket is that is dropped.
type Behind = Option<Ticket<RaiseVote>>;

#[derive(Debug)]
pub(super) enum Ballot {
    Acquire(Ticket<AcquireVote>, Behind),
    Look(Ticket<InspectVote>),
    Sign(Ticket<SignVote>, Behind),
    Raise(Ticket<RaiseVote>),
    Extend(Ticket<ExtendVote>),
    Release(Ticket<ReleaseVote>),
}

impl Ballot {
    pub(super) fn depart(&self) -> bool {
        match self {
            Self::Acquire(ticket, _) => ticket.depart(),
            Self::Look(ticket) => ticket.depart(),
            Self::Sign(ticket, _) => ticket.depart(),
            Self::Raise(ticket) => ticket.depart(),
            Self::Extend(ticket) => ticket.depart(),
            Self::Release(ticket) => ticket.depart(),
        }
    }

    /// The answer to a raise that stood behind the request: it is told first.
    pub(super) fn raised(&mut self, vote: RaiseVote) {
        if let Self::Acquire(_, behind) | Self::Sign(_, behind) = self
            && let Some(ticket) = behind.take()
        {
            ticket.answer(vote);
        }
    }

    /// When something is `wrong` with the answer, what it says has been done, but is no vote.
    pub(super) fn answer(self, answer: Answer, wrong: Option<&Trouble>) {
        match (self, answer) {
            (Self::Acquire(ticket, _), Answer::Acquire(vote, left_ms)) => {
                ticket.lives_on(left_ms.map(Duration::from_millis));
                cast(ticket, vote, wrong);
            }
            (Self::Look(ticket), Answer::Look(vote)) => cast(ticket, vote, wrong),
            (Self::Sign(ticket, _), Answer::Sign(vote)) => cast(ticket, vote, wrong),
            (Self::Raise(ticket), Answer::Raise(vote)) => cast(ticket, vote, wrong),
            (Self::Extend(ticket), Answer::Extend(vote)) => cast(ticket, vote, wrong),
            (Self::Release(ticket), Answer::Release(vote)) => cast(ticket, vote, wrong),
            (ballot, Answer::OutOfMemory) => ballot.silent(Trouble::OutOfMemory, None),
            (ballot, answer) => unreachable!("{answer:?} for {ballot:?}: a connection keeps its order"),
        }
    }

    pub(super) fn silent(self, trouble: Trouble, canary: Option<Canary>) {
        match self {
            // As far as that matters here, refused is what was never run.
            Self::Acquire(ticket, _) if canary == Some(Canary::PutBackWhereSilent) => {
                ticket.answer(AcquireVote::Held(Holder::Unknown));
            }
            Self::Acquire(ticket, _) => ticket.silent(trouble),
            Self::Look(ticket) => ticket.silent(trouble),
            Self::Sign(ticket, _) => ticket.silent(trouble),
            Self::Raise(ticket) => ticket.silent(trouble),
            Self::Extend(ticket) => ticket.silent(trouble),
            Self::Release(ticket) => ticket.silent(trouble),
        }
    }

    pub(super) fn unsent(self, trouble: Trouble, canary: Option<Canary>) {
        let absent = canary == Some(Canary::UnsentCountedAsAbsent);
        match self {
            Self::Acquire(ticket, _) => ticket.unsent(trouble),
            Self::Look(ticket) => ticket.unsent(trouble),
            Self::Sign(ticket, _) => ticket.unsent(trouble),
            Self::Raise(ticket) => ticket.unsent(trouble),
            Self::Extend(ticket) if absent => ticket.answer(ExtendVote::Lacking),
            Self::Extend(ticket) => ticket.unsent(trouble),
            Self::Release(ticket) if absent => ticket.answer(ReleaseVote::Lacking),
            Self::Release(ticket) => ticket.unsent(trouble),
        }
    }
}

/// Casts a vote that counts unless something is wrong, as the production links do.
fn cast<V: Vote>(mut ticket: Ticket<V>, vote: V, wrong: Option<&Trouble>) {
    match wrong {
        None => ticket.cast(vote, None),
        Some(trouble @ Trouble::Quarantined(_, left)) if !left.is_zero() => {
            ticket.cast(vote.quarantined(), Some(trouble.clone()))
        }
        Some(trouble) => ticket.cast(V::SILENT, Some(trouble.clone())),
    };
}
