//! Requests as they come from clients: incremental, bounded, inline too.
//!
//! The rules are Redis' own (`processMultibulkBuffer` and `processInlineBuffer` in its `networking.c`), down to what
//! it lets pass: blank lines, `*0` and `*-10` are skipped without a reply, a header ends at `\r` whatever byte follows,
//! and the two bytes behind a bulk string are not looked at. A request that this decoder and a server behind the proxy
//! measured differently would shift every request after it.
//!
//! A request stays in the read buffer until its last byte is there. It is then split off once, and its arguments are
//! slices of it. In between, the decoder keeps its place, so that no byte is searched twice. Lengths are checked against
//! [`RequestLimits`] as their headers are read; memory is set aside only for what has come, and a small step ahead.
//!
//! `redis-protocol` does not serve here: it parses a growing frame again from its start, knows neither limits nor
//! inline commands.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::inline;
use super::integer::{parse_integer, wire_length, write_line};
use crate::limits::{LINE_BYTES, PROTOCOL_BULK_BYTES, PROTOCOL_ELEMENTS, READ_AHEAD_BYTES, RETAINED_BUFFER_BYTES};

/// Places of arguments that are kept from one request to the next; a longer list is given back.
const RETAINED_ARGUMENTS: usize = 64;

/// One command with its arguments, at least one; slices of the read buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The command's name and what follows it. Keeping any of them keeps the memory of the whole request.
    pub arguments: Vec<Bytes>,
}

/// What a request may measure at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Elements of one request.
    pub elements: usize,
    /// Length of one bulk string, in bytes.
    pub bulk_bytes: usize,
    /// All arguments of one request together, in bytes.
    pub request_bytes: usize,
    /// Whether the connection has yet to authenticate: the error texts say so.
    pub unauthenticated: bool,
}

impl RequestLimits {
    /// Whether a request may have this many elements.
    pub(super) fn check_elements(&self, elements: usize) -> Result<(), ProtocolError> {
        match elements <= self.elements {
            true => Ok(()),
            false if self.unauthenticated => Err(ProtocolError::UnauthenticatedMultibulkLength),
            false => Err(ProtocolError::MultibulkLength),
        }
    }

    /// Whether an argument of `length` bytes may follow arguments of `before` bytes in all.
    pub(super) fn check_bulk(&self, length: usize, before: usize) -> Result<(), ProtocolError> {
        match length <= self.bulk_bytes && length <= self.request_bytes.saturating_sub(before) {
            true => Ok(()),
            false if self.unauthenticated => Err(ProtocolError::UnauthenticatedBulkLength),
            false => Err(ProtocolError::BulkLength),
        }
    }
}

/// Input that is no request. The connection gets `-ERR `, this error's text, and is closed: what follows cannot be
/// told apart from the rest of the bad request. The texts are those of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// `*N` is no number, or more elements than allowed.
    #[error("Protocol error: invalid multibulk length")]
    MultibulkLength,
    /// `$N` is no number, negative, or more bytes than allowed.
    #[error("Protocol error: invalid bulk length")]
    BulkLength,
    /// More elements than a connection may send before it authenticates.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// More bytes than a connection may send before it authenticates.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// This byte stands where a bulk string's `$` belongs.
    #[error("Protocol error: expected '$', got '{}'", Visible(*.0))]
    ExpectedBulk(u8),
    /// `*` with no line end in [`LINE_BYTES`].
    #[error("Protocol error: too big mbulk count string")]
    MultibulkLine,
    /// `$` with no line end in [`LINE_BYTES`].
    #[error("Protocol error: too big bulk count string")]
    BulkLine,
    /// An inline command with no line end in [`LINE_BYTES`].
    #[error("Protocol error: too big inline request")]
    InlineLine,
    /// An inline command whose quotes do not close, or close inside of a word.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
}

/// A byte as it may stand in an error line: itself when it prints, else escaped.
pub(super) struct Visible(pub(super) u8);

impl std::fmt::Display for Visible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            b' '..=b'~' => write!(f, "{}", char::from(self.0)),
            byte => write!(f, "{}", byte.escape_ascii()),
        }
    }
}

/// Finds requests in a connection's bytes; keeps its place between reads.
///
/// The buffer handed to [`decode`](Self::decode) belongs to the decoder until the connection ends: append to it only.
#[derive(Debug, Default)]
pub struct RequestDecoder {
    state: State,
    /// Where the next line or bulk string begins, counted from the buffer's front, which is where the request begins.
    position: usize,
    /// How many bytes from `position` on are known not to end the line.
    searched: usize,
    /// Where the arguments are that have come whole.
    arguments: Vec<Range<usize>>,
    /// How long they are, all together.
    argument_bytes: usize,
    /// Whether the buffer has grown beyond what an idle connection may keep.
    grown: bool,
    /// Bytes searched and steps taken, for tests to see that slow input costs no more than fast.
    #[cfg(test)]
    work: usize,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// The next byte begins a request, or a blank line.
    #[default]
    Start,
    /// In an inline command.
    Inline,
    /// In a `*N` line.
    Count,
    /// In a `$N` line; so many bulk strings are to come.
    Length { left: usize },
    /// In a bulk string of `length` bytes, the first of `left` to come.
    Bulk { left: usize, length: usize },
    /// The input was no request.
    Failed(ProtocolError),
}

enum Step {
    Onward,
    Starved,
    Whole(Vec<Bytes>),
}

impl RequestDecoder {
    /// The next whole request, taken off the front of `buffer`; `None` when more bytes are needed.
    ///
    /// `limits` may differ from call to call and hold for the headers read in that call. After an error, every call
    /// gives the same error.
    pub fn decode(&mut self, buffer: &mut BytesMut, limits: &RequestLimits) -> Result<Option<Request>, ProtocolError> {
        self.grown |= buffer.capacity() > RETAINED_BUFFER_BYTES;
        loop {
            match self.step(buffer, limits) {
                Ok(Step::Onward) => {}
                Ok(Step::Starved) => return Ok(None),
                Ok(Step::Whole(arguments)) => {
                    self.shrink(buffer);
                    return Ok(Some(Request { arguments }));
                }
                Err(error) => {
                    self.state = State::Failed(error);
                    return Err(error);
                }
            }
        }
    }

    /// Whether no request has begun: what a decode left unfinished counts, bytes not yet decoded do not.
    pub fn is_between_requests(&self) -> bool {
        matches!(self.state, State::Start)
    }

    fn step(&mut self, buffer: &mut BytesMut, limits: &RequestLimits) -> Result<Step, ProtocolError> {
        #[cfg(test)]
        {
            self.work += 1;
        }
        match self.state {
            // A request begins → Inline or Count.
            State::Start => {
                self.state = match buffer.first() {
                    None => return Ok(Step::Starved),
                    Some(b'*') => State::Count,
                    Some(_) => State::Inline,
                };
                Ok(Step::Onward)
            }
            // The line is there → Start.
            State::Inline => self.inline(buffer, limits),
            // The line is there → Length, or Start when nothing is announced.
            State::Count => self.count(buffer, limits),
            // The line is there → Bulk.
            State::Length { left } => self.length(buffer, limits, left),
            // The bytes are there → Length, or Start behind the last one.
            State::Bulk { left, length } => Ok(self.bulk(buffer, left, length)),
            State::Failed(error) => Err(error),
        }
    }

    fn inline(&mut self, buffer: &mut BytesMut, limits: &RequestLimits) -> Result<Step, ProtocolError> {
        let Some(end) = self.find(b'\n', buffer, ProtocolError::InlineLine)? else { return Ok(Step::Starved) };
        let mut line = buffer.split_to(end + 1).freeze();
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        self.restart();
        let arguments = inline::split(&line, limits)?;
        Ok(if arguments.is_empty() { Step::Onward } else { Step::Whole(arguments) })
    }

    fn count(&mut self, buffer: &mut BytesMut, limits: &RequestLimits) -> Result<Step, ProtocolError> {
        let Some((line, next)) = self.header(buffer, ProtocolError::MultibulkLine)? else { return Ok(Step::Starved) };
        let count = match line {
            [_, digits @ ..] => parse_integer(digits).filter(|count| *count <= PROTOCOL_ELEMENTS),
            [] => None,
        };
        let count = count.ok_or(ProtocolError::MultibulkLength)?;
        if count <= 0 {
            buffer.advance(next);
            self.restart();
            return Ok(Step::Onward);
        }
        let left = usize::try_from(count).map_err(|_| ProtocolError::MultibulkLength)?;
        limits.check_elements(left)?;
        self.go_on(State::Length { left }, next);
        Ok(Step::Onward)
    }

    fn length(&mut self, buffer: &[u8], limits: &RequestLimits, left: usize) -> Result<Step, ProtocolError> {
        let Some((line, next)) = self.header(buffer, ProtocolError::BulkLine)? else { return Ok(Step::Starved) };
        let digits = match line {
            [b'$', digits @ ..] => digits,
            [other, ..] => return Err(ProtocolError::ExpectedBulk(*other)),
            // The line is empty: what stands in the place of the `$` is its end.
            [] => return Err(ProtocolError::ExpectedBulk(b'\r')),
        };
        let length = parse_integer(digits)
            .filter(|length| *length <= PROTOCOL_BULK_BYTES)
            .and_then(|length| usize::try_from(length).ok())
            .ok_or(ProtocolError::BulkLength)?;
        limits.check_bulk(length, self.argument_bytes)?;
        self.argument_bytes += length;
        self.go_on(State::Bulk { left, length }, next);
        Ok(Step::Onward)
    }

    fn bulk(&mut self, buffer: &mut BytesMut, left: usize, length: usize) -> Step {
        let end = self.position + length;
        // Behind the bulk string come two bytes that nobody looks at.
        let next = end + 2;
        if buffer.len() < next {
            // Room for what was announced, but no more than has come already: an announcement alone costs its sender
            // nothing and must cost us next to nothing, and a doubling buffer is copied a bounded number of times.
            let missing = next - buffer.len();
            buffer.reserve(missing.min(buffer.len().max(READ_AHEAD_BYTES)));
            return Step::Starved;
        }
        self.arguments.push(self.position..end);
        if left > 1 {
            self.go_on(State::Length { left: left - 1 }, next);
            return Step::Onward;
        }
        // Every range ends before `next`, which is where the buffer is split.
        let whole = buffer.split_to(next).freeze();
        let arguments = self.arguments.iter().map(|range| whole.slice(range.clone())).collect();
        self.restart();
        Step::Whole(arguments)
    }

    /// The header line at `position` up to its `\r`, and where what follows it begins. The byte behind the `\r` must be
    /// there, but may be any.
    fn header<'a>(
        &mut self,
        buffer: &'a [u8],
        too_long: ProtocolError,
    ) -> Result<Option<(&'a [u8], usize)>, ProtocolError> {
        let Some(end) = self.find(b'\r', buffer, too_long)? else { return Ok(None) };
        let next = end + 2;
        Ok(buffer.get(self.position..end).filter(|_| next <= buffer.len()).map(|line| (line, next)))
    }

    /// Where `ending` is in the line at `position`. A line of [`LINE_BYTES`] may be followed by its end, no longer one,
    /// in however many pieces it comes.
    fn find(&mut self, ending: u8, buffer: &[u8], too_long: ProtocolError) -> Result<Option<usize>, ProtocolError> {
        let from = self.position + self.searched;
        let until = buffer.len().min(self.position + LINE_BYTES + 1);
        let unsearched = buffer.get(from..until).unwrap_or_default();
        let found = unsearched.iter().position(|byte| *byte == ending);
        let clear = found.unwrap_or(unsearched.len());
        self.searched += clear;
        #[cfg(test)]
        {
            self.work += clear;
        }
        match found {
            Some(index) => Ok(Some(from + index)),
            None if self.searched > LINE_BYTES => Err(too_long),
            None => Ok(None),
        }
    }

    /// The next part of the same request begins at `position`.
    fn go_on(&mut self, state: State, position: usize) {
        self.state = state;
        self.position = position;
        self.searched = 0;
    }

    /// The next request begins at the buffer's front.
    fn restart(&mut self) {
        self.go_on(State::Start, 0);
        self.argument_bytes = 0;
        if self.arguments.capacity() > RETAINED_ARGUMENTS {
            self.arguments = Vec::new();
        } else {
            self.arguments.clear();
        }
    }

    /// Leaves the memory of a large request to that request: a buffer that has grown would otherwise stay with the
    /// connection, idle or not. What little has come behind the request is copied into a buffer of its own, at most
    /// once for each time that the buffer has grown.
    fn shrink(&mut self, buffer: &mut BytesMut) {
        if self.grown && buffer.len() <= RETAINED_BUFFER_BYTES {
            *buffer = BytesMut::from(&buffer[..]);
            self.grown = false;
        }
    }
}

/// Appends a request to `out` as an array of bulk strings.
pub fn encode_request(arguments: &[&[u8]], out: &mut BytesMut) {
    write_line(b'*', wire_length(arguments.len()), out);
    for argument in arguments {
        write_line(b'$', wire_length(argument.len()), out);
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
