//! One operation on the wire: what is sent for it, and what its answers mean.

use std::time::Duration;

use bytes::{BufMut, BytesMut};

use super::dialect::{AcquireForm, DELETE, DeleteForm, Dialect, EXTEND, RAISE, SIGN, Script};
use super::trouble::{classify, is_no_script, is_wrong_type, unexpected};
use crate::coordinator::{Operation, Raise, Ticket, Trouble, Vote};
use crate::limits::HOLDER_BYTES;
use crate::lock::{
    AcquireVote, ExtendVote, FENCE_PREFIX, FenceNumber, Holder, InspectVote, RaiseVote, ReleaseVote, SignVote, Token,
};
use crate::protocol::{Answer, parse_integer};

/// How a script is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// By its digest; the server may have forgotten it.
    Digest,
    /// With its source, after NOSCRIPT.
    Source,
}

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
        Operation::Acquire { raise, .. } => {
            1 + usize::from(dialect.acquire == AcquireForm::SetNxThenGet) + raise.as_deref().map_or(0, raise_replies)
        }
        Operation::Sign { raise, .. } => 1 + raise.as_deref().map_or(0, raise_replies),
        Operation::Raise { raise, .. } => raise_replies(raise),
        Operation::Inspect { .. } => 2,
        Operation::Extend { .. } | Operation::Release { .. } => 1,
    }
}

fn raise_replies(raise: &Raise) -> usize {
    1 + usize::from(raise.look)
}

/// Writes the operation's commands; `prefix` stands before the resource's name.
pub(super) fn encode(operation: &Operation, dialect: Dialect, call: Call, prefix: &[u8], out: &mut BytesMut) {
    match operation {
        Operation::Acquire { resource, token, ttl, raise, .. } => {
            let name = resource.as_bytes();
            out.put_slice(match dialect.acquire {
                AcquireForm::SetNxGet => b"*7\r\n$3\r\nSET\r\n",
                AcquireForm::SetNxThenGet => b"*6\r\n$3\r\nSET\r\n",
            });
            put_key(out, prefix, name);
            put_bulk(out, token.as_bytes());
            out.put_slice(b"$2\r\nNX\r\n$2\r\nPX\r\n");
            put_integer(out, ttl.as_millis());
            match dialect.acquire {
                AcquireForm::SetNxGet => out.put_slice(b"$3\r\nGET\r\n"),
                AcquireForm::SetNxThenGet => put_get(out, prefix, name),
            }
            if let Some(raise) = raise {
                put_raise(out, raise, call, prefix, name);
            }
        }
        Operation::Sign { resource, found, token, ttl, raise, .. } => {
            put_script(out, &SIGN, call, 3);
            put_key(out, prefix, resource.as_bytes());
            put_bulk(out, found);
            put_bulk(out, token.as_bytes());
            put_integer(out, ttl.as_millis());
            if let Some(raise) = raise {
                put_raise(out, raise, call, prefix, resource.as_bytes());
            }
        }
        Operation::Raise { resource, raise, .. } => put_raise(out, raise, call, prefix, resource.as_bytes()),
        Operation::Inspect { resource, .. } => {
            put_get(out, prefix, resource.as_bytes());
            out.put_slice(b"*2\r\n$4\r\nPTTL\r\n");
            put_key(out, prefix, resource.as_bytes());
        }
        Operation::Extend { resource, token, ttl, .. } => {
            put_script(out, &EXTEND, call, 2);
            put_key(out, prefix, resource.as_bytes());
            put_bulk(out, token.as_bytes());
            put_integer(out, ttl.as_millis());
        }
        Operation::Release { resource, token, .. } => {
            match dialect.delete {
                DeleteForm::DelexIfeq => out.put_slice(b"*4\r\n$5\r\nDELEX\r\n"),
                DeleteForm::Delifeq => out.put_slice(b"*3\r\n$7\r\nDELIFEQ\r\n"),
                DeleteForm::Script => put_script(out, &DELETE, call, 1),
            }
            put_key(out, prefix, resource.as_bytes());
            if dialect.delete == DeleteForm::DelexIfeq {
                out.put_slice(b"$4\r\nIFEQ\r\n");
            }
            put_bulk(out, token.as_bytes());
        }
    }
}

/// Writes one command of plain arguments.
pub(super) fn encode_command(arguments: &[&[u8]], out: &mut BytesMut) {
    put_header(out, b'*', arguments.len() as u64);
    for argument in arguments {
        put_bulk(out, argument);
    }
}

/// Whether the operation's request may leave now: its round may have ended while it was queued.
pub(super) fn departs(operation: &Operation) -> bool {
    match operation {
        Operation::Acquire { ticket, .. } => ticket.depart(),
        Operation::Sign { ticket, .. } => ticket.depart(),
        Operation::Raise { raise, .. } => raise.ticket.depart(),
        Operation::Inspect { ticket, .. } => ticket.depart(),
        Operation::Extend { ticket, .. } => ticket.depart(),
        Operation::Release { .. } => true,
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
    }
}

/// Casts the operation's vote by its answers, as many as [`replies`] says.
pub(super) fn answered(
    operation: &mut Operation,
    dialect: Dialect,
    answers: impl IntoIterator<Item = Answer>,
) -> Settled {
    let mut answers = answers.into_iter();
    let Some(first) = answers.next() else {
        debug_assert!(false, "an operation has at least one answer");
        return Settled::Done;
    };
    match operation {
        Operation::Acquire { token, ticket, raise, .. } => {
            let holder = if dialect.acquire == AcquireForm::SetNxThenGet { answers.next() } else { None };
            // Before the vote, so that the number is known with the grant.
            if let Some(raise) = raise {
                cast_raise(raise, token, answers.next(), answers.next());
            }
            match acquire_vote(first, holder) {
                Ok(vote) => {
                    let is_grant = vote == AcquireVote::Granted;
                    if !ticket.cast(vote, None) && is_grant && !ticket.depart() {
                        return Settled::LateGrant;
                    }
                }
                Err(trouble) => drop(ticket.cast(AcquireVote::SILENT, Some(trouble))),
            }
            Settled::Done
        }
        Operation::Sign { token, ticket, raise, .. } => {
            if let Some(raise) = raise.as_mut().filter(|_| !is_forgotten(&first)) {
                cast_raise(raise, token, answers.next(), answers.next());
            }
            settle(Some(ticket), first, SignVote::Signed, SignVote::Changed, Settled::Done)
        }
        Operation::Raise { token, raise, .. } => {
            if is_forgotten(&first) {
                return Settled::SendSource;
            }
            cast_raise(raise, token, Some(first), answers.next());
            Settled::Done
        }
        Operation::Inspect { ticket, .. } => {
            match inspect_vote(first, answers.next().as_ref()) {
                Ok(vote) => ticket.cast(vote, None),
                Err(trouble) => ticket.cast(InspectVote::SILENT, Some(trouble)),
            };
            Settled::Done
        }
        Operation::Extend { ticket, .. } => {
            settle(Some(ticket), first, ExtendVote::Extended, ExtendVote::Lacking, Settled::Done)
        }
        Operation::Release { ticket, .. } => {
            settle(ticket.as_mut(), first, ReleaseVote::Deleted, ReleaseVote::Lacking, Settled::StillOwed)
        }
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
fn inspect_vote(holder: Answer, remaining: Option<&Answer>) -> Result<InspectVote, Trouble> {
    let holder = match holder {
        Answer::Null => return Ok(InspectVote::Free),
        Answer::Bulk(value) if value.len() <= HOLDER_BYTES => Holder::Value(value),
        Answer::Bulk(_) | Answer::Oversized => Holder::Unknown,
        Answer::Error(error) if is_wrong_type(&error) => Holder::Unknown,
        Answer::Error(error) => return Err(classify(&error)),
        _ => return Err(unexpected()),
    };
    Ok(match remaining {
        Some(Answer::Integer(millis @ 0..)) => {
            InspectVote::Held(holder, Some(Duration::from_millis(millis.unsigned_abs())))
        }
        // It went between the two.
        Some(Answer::Integer(-2)) => InspectVote::Free,
        _ => InspectVote::Held(holder, None),
    })
}

/// Whether the server does not know the script that it was asked to run by its digest.
fn is_forgotten(answer: &Answer) -> bool {
    matches!(answer, Answer::Error(error) if is_no_script(error))
}

/// Casts the vote in the answer to a raise, and in that to the look behind it. What is no answer to a raise tells nothing
/// of the counter.
fn cast_raise(raise: &mut Raise, token: &Token, answer: Option<Answer>, look: Option<Answer>) {
    let ours = !raise.look || matches!(look, Some(Answer::Bulk(value)) if value == token.as_bytes());
    let before = match answer {
        Some(Answer::Null) => Ok(None),
        Some(Answer::Bulk(digits)) => {
            let number = parse_integer(&digits).and_then(|number| u64::try_from(number).ok());
            number.and_then(FenceNumber::new).map(Some).ok_or_else(unexpected)
        }
        // A script that was forgotten is sent with its source when the number is drawn anew.
        Some(Answer::Error(error)) => Err(classify(&error)),
        _ => Err(unexpected()),
    };
    match before {
        Ok(before) => raise.ticket.cast(RaiseVote::Raised(before, ours), None),
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
) -> Settled {
    let vote = match answer {
        Answer::Integer(0) => Ok(lacking),
        Answer::Integer(_) => Ok(changed),
        Answer::Error(error) if is_no_script(&error) => return Settled::SendSource,
        Answer::Error(error) if is_wrong_type(&error) => Ok(lacking),
        Answer::Error(error) => Err(classify(&error)),
        _ => Err(unexpected()),
    };
    let (vote, trouble, settled) = match vote {
        Ok(vote) => (vote, None, Settled::Done),
        Err(trouble) => (V::SILENT, Some(trouble), unsettled),
    };
    if let Some(ticket) = ticket {
        ticket.cast(vote, trouble);
    }
    settled
}

fn cast_unsent<V: Vote>(ticket: Option<&mut Ticket<V>>, trouble: Trouble) {
    if let Some(ticket) = ticket {
        ticket.cast(V::UNSENT, Some(trouble));
    }
}

fn cast_silent<V: Vote>(ticket: Option<&mut Ticket<V>>, trouble: Trouble) -> bool {
    ticket.is_some_and(|ticket| ticket.cast(V::SILENT, Some(trouble)))
}

fn put_script(out: &mut BytesMut, script: &Script, call: Call, arguments: u64) {
    // The command, the script, the number of keys and the key come before them.
    put_header(out, b'*', 4 + arguments);
    let (command, script): (&[u8], &[u8]) = match call {
        Call::Digest => (b"$7\r\nEVALSHA\r\n", script.digest.as_bytes()),
        Call::Source => (b"$4\r\nEVAL\r\n", script.source.as_bytes()),
    };
    out.put_slice(command);
    put_bulk(out, script);
    out.put_slice(b"$1\r\n1\r\n");
}

fn put_get(out: &mut BytesMut, prefix: &[u8], name: &[u8]) {
    out.put_slice(b"*2\r\n$3\r\nGET\r\n");
    put_key(out, prefix, name);
}

fn put_raise(out: &mut BytesMut, raise: &Raise, call: Call, prefix: &[u8], name: &[u8]) {
    put_script(out, &RAISE, call, 2);
    put_header(out, b'$', (prefix.len() + FENCE_PREFIX.len() + name.len()) as u64);
    out.put_slice(prefix);
    out.put_slice(FENCE_PREFIX);
    out.put_slice(name);
    out.put_slice(b"\r\n");
    put_integer(out, raise.number.value());
    // `fence_retention_ms`, an integer.
    put_integer(out, u64::try_from(raise.retention.as_millis()).unwrap_or(u64::MAX));
    if raise.look {
        put_get(out, prefix, name);
    }
}

fn put_key(out: &mut BytesMut, prefix: &[u8], name: &[u8]) {
    put_header(out, b'$', (prefix.len() + name.len()) as u64);
    out.put_slice(prefix);
    out.put_slice(name);
    out.put_slice(b"\r\n");
}

fn put_bulk(out: &mut BytesMut, bytes: &[u8]) {
    put_header(out, b'$', bytes.len() as u64);
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

fn put_integer(out: &mut BytesMut, number: u64) {
    let mut digits = [0; 20];
    let digits = decimal(number, &mut digits);
    put_header(out, b'$', digits.len() as u64);
    out.put_slice(digits);
    out.put_slice(b"\r\n");
}

fn put_header(out: &mut BytesMut, kind: u8, number: u64) {
    let mut digits = [0; 20];
    out.put_u8(kind);
    out.put_slice(decimal(number, &mut digits));
    out.put_slice(b"\r\n");
}

/// The decimal digits of `number`, written to the end of `buffer`: 20 hold every 64-bit number.
fn decimal(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        // A remainder of ten fits.
        buffer[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return &buffer[start..];
        }
    }
}

#[cfg(test)]
#[path = "operation_tests.rs"]
mod tests;
