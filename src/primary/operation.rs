//! One operation on the wire: how many answers it has, and what they mean.

use std::time::Duration;

use super::dialect::{AcquireForm, Dialect};
use super::trouble::{classify, is_no_script, is_wrong_type, unexpected};
use crate::coordinator::{Operation, Raise, Ticket, Trouble, Vote};
use crate::limits::HOLDER_BYTES;
use crate::lock::{AcquireVote, ExtendVote, FenceNumber, Holder, InspectVote, RaiseVote, ReleaseVote, SignVote, Token};
use crate::protocol::{Answer, parse_integer};

/// What became of an operation with its last answer.
#[derive(Debug)]
pub(super) enum Settled {
    /// It has been answered.
    Done,
    /// A record was set for an attempt that had counted this primary as silent and has been given up: its withdrawal
    /// stands behind it.
    LateGrant,
    /// The server did not know the script: to be sent again with its source.
    SendSource,
    /// A release that the server could not carry out: still owed.
    StillOwed,
}

/// How many replies the server gives to the operation.
pub(super) fn replies(operation: &Operation, dialect: Dialect) -> usize {
    match operation {
        Operation::Acquire { raise, asks_ttl, .. } => {
            let asks_holder = dialect.acquire == AcquireForm::SetNxThenGet;
            1 + usize::from(asks_holder) + raise.as_deref().map_or(0, raise_replies) + usize::from(*asks_ttl)
        }
        Operation::Sign { raise, .. } => 1 + raise.as_deref().map_or(0, raise_replies),
        Operation::Raise { raise, .. } => raise_replies(raise),
        Operation::Inspect { .. } => 2,
        Operation::Release { notice, .. } => 1 + usize::from(notice.is_some()),
        Operation::Extend { .. } | Operation::Announce { .. } => 1,
    }
}

fn raise_replies(raise: &Raise) -> usize {
    1 + usize::from(raise.look)
}

/// Whether the operation's request may leave now: its round may have ended while it was queued.
pub(super) fn departs(operation: &Operation) -> bool {
    match operation {
        Operation::Acquire { ticket, .. } => ticket.depart(),
        Operation::Sign { ticket, .. } => ticket.depart(),
        Operation::Raise { raise, .. } => raise.ticket.depart(),
        Operation::Inspect { ticket, .. } => ticket.depart(),
        Operation::Extend { ticket, .. } => ticket.depart(),
        Operation::Release { .. } | Operation::Announce { .. } => true,
    }
}

/// Casts the operation's ticket, if it still has one, as unsent.
pub(super) fn unsent(operation: &mut Operation, trouble: Trouble) {
    match operation {
        Operation::Acquire { ticket, raise, .. } => {
            cast_unsent(raise.as_mut().map(|raise| &mut raise.ticket), trouble.clone());
            cast_unsent(Some(ticket), trouble);
        }
        Operation::Sign { ticket, raise, .. } => {
            cast_unsent(raise.as_mut().map(|raise| &mut raise.ticket), trouble.clone());
            cast_unsent(Some(ticket), trouble);
        }
        Operation::Raise { raise, .. } => cast_unsent(Some(&mut raise.ticket), trouble),
        Operation::Inspect { ticket, .. } => cast_unsent(Some(ticket), trouble),
        Operation::Extend { ticket, .. } => cast_unsent(Some(ticket), trouble),
        Operation::Release { ticket, .. } => cast_unsent(ticket.as_mut(), trouble),
        Operation::Announce { .. } => {}
    }
}

/// Casts the operation's ticket, if it still has one, as silent. The operation stays: its answer may yet come, and
/// take its place among the answers. True when somebody was still waiting for the vote.
pub(super) fn silent(operation: &mut Operation, trouble: Trouble) -> bool {
    match operation {
        Operation::Acquire { ticket, raise, .. } => {
            cast_silent(raise.as_mut().map(|raise| &mut raise.ticket), trouble.clone());
            cast_silent(Some(ticket), trouble)
        }
        Operation::Sign { ticket, raise, .. } => {
            cast_silent(raise.as_mut().map(|raise| &mut raise.ticket), trouble.clone());
            cast_silent(Some(ticket), trouble)
        }
        Operation::Raise { raise, .. } => cast_silent(Some(&mut raise.ticket), trouble),
        Operation::Inspect { ticket, .. } => cast_silent(Some(ticket), trouble),
        Operation::Extend { ticket, .. } => cast_silent(Some(ticket), trouble),
        Operation::Release { ticket, .. } => cast_silent(ticket.as_mut(), trouble),
        Operation::Announce { .. } => false,
    }
}

/// Casts the operation's vote by its answers, as many as [`replies`] says. When something is `wrong` with all of them,
/// what they say has been done, but is no vote.
pub(super) fn answered(
    operation: &mut Operation,
    dialect: Dialect,
    answers: impl IntoIterator<Item = Answer>,
    wrong: Option<&Trouble>,
) -> Settled {
    let mut answers = answers.into_iter();
    let Some(first) = answers.next() else {
        debug_assert!(false, "an operation has at least one answer");
        return Settled::Done;
    };
    match operation {
        Operation::Acquire { token, ticket, raise, asks_ttl, .. } => {
            let holder = if dialect.acquire == AcquireForm::SetNxThenGet { answers.next() } else { None };
            // Before the vote, so that the number is known with the grant.
            if let Some(raise) = raise {
                cast_raise(raise, token, &mut answers, wrong);
            }
            if *asks_ttl {
                // A record that has gone since has nothing left to live.
                let left = answers.next().map(|answer| remaining(&answer));
                ticket.lives_on(left.and_then(|left| left.unwrap_or(Some(Duration::ZERO))));
            }
            match acquire_vote(first, holder) {
                Ok(vote) => {
                    let is_grant = vote == AcquireVote::Granted;
                    if !cast(ticket, vote, wrong) && is_grant && !ticket.depart() {
                        return Settled::LateGrant;
                    }
                }
                Err(trouble) => drop(ticket.cast(AcquireVote::SILENT, Some(trouble))),
            }
            Settled::Done
        }
        Operation::Sign { token, ticket, raise, .. } => {
            if let Some(raise) = raise.as_mut().filter(|_| !is_forgotten(&first)) {
                cast_raise(raise, token, &mut answers, wrong);
            }
            settle(Some(ticket), first, SignVote::Signed, SignVote::Changed, Settled::Done, wrong)
        }
        Operation::Raise { token, raise, .. } => {
            if is_forgotten(&first) {
                return Settled::SendSource;
            }
            cast_raise(raise, token, &mut [first].into_iter().chain(answers), wrong);
            Settled::Done
        }
        Operation::Inspect { ticket, .. } => {
            match inspect_vote(first, &answers.next().unwrap_or(Answer::Null)) {
                Ok(vote) => cast(ticket, vote, wrong),
                Err(trouble) => ticket.cast(InspectVote::SILENT, Some(trouble)),
            };
            Settled::Done
        }
        Operation::Extend { ticket, .. } => {
            settle(Some(ticket), first, ExtendVote::Extended, ExtendVote::Lacking, Settled::Done, wrong)
        }
        Operation::Release { ticket, .. } => {
            settle(ticket.as_mut(), first, ReleaseVote::Deleted, ReleaseVote::Lacking, Settled::StillOwed, wrong)
        }
        // A notice that was refused is one that was lost.
        Operation::Announce { .. } => Settled::Done,
    }
}

/// The vote in the answer to `SET … NX …`, with or without `GET`, and to the `GET` behind it.
fn acquire_vote(first: Answer, second: Option<Answer>) -> Result<AcquireVote, Trouble> {
    let holder = match (first, second) {
        // With GET the old value is the answer: none means that ours was set.
        (Answer::Null, None) | (Answer::Status(_), _) => return Ok(AcquireVote::Granted),
        (Answer::Bulk(value), None) | (Answer::Null, Some(Answer::Bulk(value))) if value.len() <= HOLDER_BYTES => {
            Holder::Value(value)
        }
        (Answer::Bulk(_) | Answer::Oversized, None) | (Answer::Null, Some(_)) => Holder::Unknown,
        (Answer::Error(error), _) if is_wrong_type(&error) => Holder::Unknown,
        (Answer::Error(error), _) => return Err(classify(&error)),
        _ => return Err(unexpected()),
    };
    Ok(AcquireVote::Held(holder))
}

/// The vote in the answers to `GET` and `PTTL`.
fn inspect_vote(holder: Answer, left: &Answer) -> Result<InspectVote, Trouble> {
    let holder = match holder {
        Answer::Null => return Ok(InspectVote::Free),
        Answer::Bulk(value) if value.len() <= HOLDER_BYTES => Holder::Value(value),
        Answer::Bulk(_) | Answer::Oversized => Holder::Unknown,
        Answer::Error(error) if is_wrong_type(&error) => Holder::Unknown,
        Answer::Error(error) => return Err(classify(&error)),
        _ => return Err(unexpected()),
    };
    Ok(match remaining(left) {
        Some(left) => InspectVote::Held(holder, left),
        // It went between the two.
        None => InspectVote::Free,
    })
}

/// The answer to `PTTL`: `None` where there is no record any more, and no end where it has none, or it is not told.
#[expect(clippy::option_option, reason = "a record that is gone is not one that never ends")]
fn remaining(answer: &Answer) -> Option<Option<Duration>> {
    match answer {
        Answer::Integer(millis @ 0..) => Some(Some(Duration::from_millis(millis.unsigned_abs()))),
        Answer::Integer(-2) => None,
        _ => Some(None),
    }
}

/// Whether the server does not know the script that it was asked to run by its digest.
fn is_forgotten(answer: &Answer) -> bool {
    matches!(answer, Answer::Error(error) if is_no_script(error))
}

/// Casts the vote in the answer to a raise, and in that to the look behind it. What is no answer to a raise tells nothing
/// of the counter.
fn cast_raise(raise: &mut Raise, token: &Token, answers: &mut impl Iterator<Item = Answer>, wrong: Option<&Trouble>) {
    let answer = answers.next();
    let ours = !raise.look || matches!(answers.next(), Some(Answer::Bulk(value)) if value == token.as_bytes());
    let before = match answer {
        Some(Answer::Null) => Ok(None),
        Some(Answer::Bulk(digits)) => {
            let number = parse_integer(&digits).and_then(|number| u64::try_from(number).ok());
            let is_none = || Trouble::Other("a fencing counter that is no number below 2^53".into());
            number.and_then(FenceNumber::new).map(Some).ok_or_else(is_none)
        }
        // A script that was forgotten is sent with its source when the number is drawn anew.
        Some(Answer::Error(error)) => Err(classify(&error)),
        _ => Err(unexpected()),
    };
    match before {
        Ok(before) => cast(&mut raise.ticket, RaiseVote::Raised(before, ours), wrong),
        Err(trouble) => raise.ticket.cast(RaiseVote::SILENT, Some(trouble)),
    };
}

/// Casts the vote of an operation that answers how many records it changed. `unsettled` is what becomes of it where
/// the server could not carry it out.
fn settle<V: Vote>(
    ticket: Option<&mut Ticket<V>>,
    answer: Answer,
    changed: V,
    lacking: V,
    unsettled: Settled,
    wrong: Option<&Trouble>,
) -> Settled {
    let vote = match answer {
        Answer::Integer(0) => Ok(lacking),
        Answer::Integer(_) => Ok(changed),
        Answer::Error(error) if is_no_script(&error) => return Settled::SendSource,
        Answer::Error(error) if is_wrong_type(&error) => Ok(lacking),
        Answer::Error(error) => Err(classify(&error)),
        _ => Err(unexpected()),
    };
    match vote {
        Ok(vote) => {
            ticket.map(|ticket| cast(ticket, vote, wrong));
            Settled::Done
        }
        Err(trouble) => {
            ticket.map(|ticket| ticket.cast(V::SILENT, Some(trouble)));
            unsettled
        }
    }
}

/// Casts a vote that counts unless something is `wrong`.
fn cast<V: Vote>(ticket: &mut Ticket<V>, vote: V, wrong: Option<&Trouble>) -> bool {
    match wrong {
        None => ticket.cast(vote, None),
        // Where nothing is left it may have ended before this was answered: nothing is to be made of what is missing then.
        Some(trouble @ Trouble::Quarantined(_, left)) if !left.is_zero() => {
            ticket.cast(vote.quarantined(), Some(trouble.clone()))
        }
        Some(trouble) => ticket.cast(V::SILENT, Some(trouble.clone())),
    }
}

fn cast_unsent<V: Vote>(ticket: Option<&mut Ticket<V>>, trouble: Trouble) {
    if let Some(ticket) = ticket {
        ticket.cast(V::UNSENT, Some(trouble));
    }
}

fn cast_silent<V: Vote>(ticket: Option<&mut Ticket<V>>, trouble: Trouble) -> bool {
    ticket.is_some_and(|ticket| ticket.cast(V::SILENT, Some(trouble)))
}

#[cfg(test)]
#[path = "operation_tests.rs"]
mod tests;
