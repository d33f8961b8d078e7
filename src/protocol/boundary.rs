//! Where a reply ends.
//!
//! A [`ReplyScanner`] is shown a server's bytes in whatever pieces they come and tells where each reply ends, in RESP2
//! and RESP3, attributes, pushes, streamed strings and streamed aggregates among them. It decodes nothing and keeps
//! nothing but its place: a type byte, a header of at most twenty digits, the bytes left of a body, and one entry per
//! open aggregate. So a reply of any size may pass through, and bytes can be handed on as they come.
//!
//! It is a loop over a stack of its own, with a limit on its depth: a decoder that recurses lets a server, or whoever
//! sits in its place, end the process with some kilobytes of `*1`.
//!
//! What is checked is what the place depends on: types, lengths, line ends. Whether a number is one, or a boolean `t` or
//! `f`, is left to who reads the reply.

use super::integer::parse_integer;
use super::request::Visible;

/// Digits and sign of the longest length.
const LONGEST_LENGTH: usize = 20;

/// A server's bytes that are no reply, or none that can be used. The connection has lost its place: drop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// This byte stands where a reply begins, and is no type.
    #[error("a reply begins with '{}'", Visible(*.0))]
    Type(u8),
    /// What stands in a header is no length.
    #[error("a reply has an invalid length")]
    Length,
    /// A line or a body is not followed by `\r\n`.
    #[error("a reply has no line end where one belongs")]
    LineEnd,
    /// A streamed map ends between a key and its value.
    #[error("a reply has a key without a value")]
    Unpaired,
    /// More aggregates in each other than this limit.
    #[error("a reply is nested deeper than {0} levels")]
    Nesting(usize),
    /// A reply that is well delimited, but not one that RESP2 has.
    #[error("a reply is not valid in RESP2")]
    NotResp2,
}

/// How far [`ReplyScanner::scan`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    /// Bytes that belong to the reply, from the front: all of them when it has not ended.
    pub consumed: usize,
    /// When the reply ended: its type, which is its first byte, or the first one behind its attributes.
    pub ended: Option<u8>,
}

/// Finds where replies end; keeps its place between calls.
#[derive(Debug)]
pub struct ReplyScanner {
    state: State,
    /// Whether a reply has begun that has not ended.
    begun: bool,
    /// The type of the outermost value.
    kind: u8,
    /// What has come of a header, behind its type byte.
    header: [u8; LONGEST_LENGTH],
    header_length: usize,
    /// The aggregates that the next value is in, outermost first.
    open: Vec<Open>,
    nesting: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// A value begins.
    Value,
    /// In a value that is one line; whether its last byte so far was `\r`.
    Line { returned: bool },
    /// In a line that announces how much follows.
    Header { kind: u8 },
    /// Behind that line's `\r`.
    HeaderEnd { kind: u8 },
    /// In a body of which so many bytes are left, its line end among them.
    Body { left: u64, chunk: bool },
    /// A streamed string goes on or ends.
    Chunk,
    /// The bytes were no reply.
    Failed(ReplyError),
}

/// An aggregate whose end has not come.
#[derive(Debug, Clone, Copy)]
enum Open {
    /// So many values are left, at least one.
    Counted { left: u64 },
    /// So many values are left, at least one; the value they describe follows them.
    Attribute { left: u64 },
    /// Values until the end mark; of keys and values, whether a key waits for its value.
    Streamed { pairs: bool, odd: bool },
}

impl ReplyScanner {
    /// A scanner at the beginning of a reply, for replies of at most `nesting` aggregates in each other.
    pub fn new(nesting: usize) -> Self {
        Self {
            state: State::Value,
            begun: false,
            kind: 0,
            header: [0; LONGEST_LENGTH],
            header_length: 0,
            open: Vec::new(),
            nesting,
        }
    }

    /// Looks at the next bytes of the stream, up to the end of the reply that they begin or continue. What lies behind
    /// that end is for the next call. After an error, every call gives the same error.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Scan, ReplyError> {
        let mut consumed = 0;
        loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(Scan { consumed, ended: None });
            }
            match self.step(rest) {
                Ok((length, ended)) => {
                    consumed += length;
                    if ended {
                        return Ok(Scan { consumed, ended: Some(self.kind) });
                    }
                }
                Err(error) => {
                    self.state = State::Failed(error);
                    return Err(error);
                }
            }
        }
    }

    /// Whether the next byte begins a reply.
    pub fn is_between_replies(&self) -> bool {
        !self.begun
    }

    /// Takes at least one byte off `rest`, which has one; tells how many, and whether the reply ended with them.
    fn step(&mut self, rest: &[u8]) -> Result<(usize, bool), ReplyError> {
        match self.state {
            // The type byte → Line or Header.
            State::Value => self.begin(rest.first().copied().unwrap_or_default()).map(|()| (1, false)),
            // The line's end → Value.
            State::Line { returned } => Ok(self.line(rest, returned)),
            // The line's \r → HeaderEnd.
            State::Header { kind } => self.header(rest, kind).map(|length| (length, false)),
            // The line's \n → Body, Value or Chunk.
            State::HeaderEnd { kind } => match rest.first() {
                Some(b'\n') => self.announced(kind).map(|ended| (1, ended)),
                _ => Err(ReplyError::LineEnd),
            },
            // The last byte → Value, or Chunk in a streamed string.
            State::Body { left, chunk } => self.body(rest, left, chunk),
            // The chunk's mark → Header.
            State::Chunk => match rest.first() {
                Some(b';') => Ok((self.expect_header(b';'), false)),
                other => Err(ReplyError::Type(other.copied().unwrap_or_default())),
            },
            State::Failed(error) => Err(error),
        }
    }

    fn begin(&mut self, kind: u8) -> Result<(), ReplyError> {
        match kind {
            b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => self.state = State::Line { returned: false },
            b'$' | b'=' | b'!' | b'*' | b'~' | b'%' | b'>' | b'|' => {
                self.expect_header(kind);
            }
            b'.' if matches!(self.open.last(), Some(Open::Streamed { .. })) => {
                self.expect_header(kind);
            }
            _ => return Err(ReplyError::Type(kind)),
        }
        self.begun = true;
        if self.open.is_empty() {
            // An attribute is replaced by the value that it describes.
            self.kind = kind;
        }
        Ok(())
    }

    /// The length of the type byte behind which a header is now expected.
    fn expect_header(&mut self, kind: u8) -> usize {
        self.header_length = 0;
        self.state = State::Header { kind };
        1
    }

    fn line(&mut self, rest: &[u8], mut returned: bool) -> (usize, bool) {
        for (index, byte) in rest.iter().enumerate() {
            if returned && *byte == b'\n' {
                return (index + 1, self.complete());
            }
            returned = *byte == b'\r';
        }
        self.state = State::Line { returned };
        (rest.len(), false)
    }

    fn header(&mut self, rest: &[u8], kind: u8) -> Result<usize, ReplyError> {
        for (index, byte) in rest.iter().enumerate() {
            if *byte == b'\r' {
                self.state = State::HeaderEnd { kind };
                return Ok(index + 1);
            }
            *self.header.get_mut(self.header_length).ok_or(ReplyError::Length)? = *byte;
            self.header_length += 1;
        }
        Ok(rest.len())
    }

    fn body(&mut self, rest: &[u8], left: u64, chunk: bool) -> Result<(usize, bool), ReplyError> {
        for (from_end, expected) in [(2, b'\r'), (1, b'\n')] {
            let index = left.checked_sub(from_end).and_then(|index| usize::try_from(index).ok());
            if index.and_then(|index| rest.get(index)).is_some_and(|byte| *byte != expected) {
                return Err(ReplyError::LineEnd);
            }
        }
        let length = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        let left = left - length as u64;
        let mut ended = false;
        match (left, chunk) {
            (0, true) => self.state = State::Chunk,
            (0, false) => ended = self.complete(),
            _ => self.state = State::Body { left, chunk },
        }
        Ok((length, ended))
    }

    /// A header is whole: what it announces is awaited, or has come with it. Tells whether the reply ended.
    fn announced(&mut self, kind: u8) -> Result<bool, ReplyError> {
        let header = self.header.get(..self.header_length).unwrap_or_default();
        match (kind, header) {
            (b'.', []) => return self.end_stream(),
            (b'$', b"?") => {
                self.state = State::Chunk;
                return Ok(false);
            }
            (b'*' | b'~' | b'%', b"?") => return self.nest(Open::Streamed { pairs: kind == b'%', odd: false }),
            _ => {}
        }
        let length = parse_integer(header).ok_or(ReplyError::Length)?;
        let Ok(length) = u64::try_from(length) else {
            // Nulls: RESP2 has those of strings and arrays, and clients take the others for the same.
            let nullable = matches!(kind, b'$' | b'=' | b'!' | b'*' | b'~' | b'%');
            return if length == -1 && nullable { Ok(self.complete()) } else { Err(ReplyError::Length) };
        };
        match (kind, length) {
            (b'$' | b'=' | b'!', _) => self.expect_body(length, false),
            (b';', 1..) => self.expect_body(length, true),
            (b'*' | b'~' | b'>', 1..) => self.nest(Open::Counted { left: length }),
            (b'%', 1..) => self.nest(Open::Counted { left: pairs(length)? }),
            (b'|', 1..) => self.nest(Open::Attribute { left: pairs(length)? }),
            (b'*' | b'~' | b'>' | b'%' | b';', 0) => Ok(self.complete()),
            (b'|', 0) => {
                self.state = State::Value;
                Ok(false)
            }
            // Only the end mark is left, and nothing follows it on its line.
            _ => Err(ReplyError::Length),
        }
    }

    fn expect_body(&mut self, length: u64, chunk: bool) -> Result<bool, ReplyError> {
        let left = length.checked_add(2).ok_or(ReplyError::Length)?;
        self.state = State::Body { left, chunk };
        Ok(false)
    }

    fn nest(&mut self, aggregate: Open) -> Result<bool, ReplyError> {
        if self.open.len() >= self.nesting {
            return Err(ReplyError::Nesting(self.nesting));
        }
        self.open.push(aggregate);
        self.state = State::Value;
        Ok(false)
    }

    fn end_stream(&mut self) -> Result<bool, ReplyError> {
        match self.open.pop() {
            Some(Open::Streamed { odd: false, .. }) => Ok(self.complete()),
            _ => Err(ReplyError::Unpaired),
        }
    }

    /// A value has ended, and with it every aggregate whose last one it was. Tells whether the reply ended.
    fn complete(&mut self) -> bool {
        self.state = State::Value;
        while let Some(aggregate) = self.open.last_mut() {
            match aggregate {
                Open::Counted { left: 1 } => {
                    self.open.pop();
                }
                Open::Attribute { left: 1 } => {
                    self.open.pop();
                    return false;
                }
                Open::Counted { left } | Open::Attribute { left } => {
                    *left -= 1;
                    return false;
                }
                Open::Streamed { pairs, odd } => {
                    *odd = *pairs && !*odd;
                    return false;
                }
            }
        }
        self.begun = false;
        true
    }
}

/// The values in so many pairs.
fn pairs(count: u64) -> Result<u64, ReplyError> {
    count.checked_mul(2).ok_or(ReplyError::Length)
}

#[cfg(test)]
#[path = "boundary_tests.rs"]
mod tests;
