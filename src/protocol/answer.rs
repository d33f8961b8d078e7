//! What a primary answers on the proxy's own link, which speaks RESP2.
//!
//! Nearly all of it is `+OK`, `$-1`, `:1` or a token of some forty bytes. Those are read where they lie, without taking
//! memory: `+OK` is a constant, a bulk string is a slice of the read buffer. A reply that has not come whole is left to a
//! [`ReplyScanner`], which looks at each byte once; when it has found the end, arrays go to `redis-protocol`, which by
//! then sees a complete frame of bounded size and depth.
//!
//! A reply above the maximum is skipped as it comes in and answered as [`Answer::Oversized`]: a foreign value under a
//! lock's key may have any size, and the link, with every operation on it, must outlive it.

use bytes::{Buf, Bytes, BytesMut};
use redis_protocol::resp2::decode::decode_bytes;
use redis_protocol::resp2::types::BytesFrame;

use super::boundary::{ReplyError, ReplyScanner};
use super::integer::parse_integer;

/// One reply of a primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `+OK`
    Status(Bytes),
    /// `-ERR …`, without the minus sign; any bytes.
    Error(Bytes),
    /// `:1`
    Integer(i64),
    /// `$3`; a slice of the read buffer.
    Bulk(Bytes),
    /// `$-1` or `*-1`
    Null,
    /// `*2`
    Array(Vec<Answer>),
    /// A reply above the maximum, whatever it was; never in an array.
    Oversized,
}

/// Takes answers off a link's bytes; keeps its place between reads.
///
/// The buffer handed to [`decode`](Self::decode) belongs to the reader until the link ends: append to it only.
#[derive(Debug)]
pub struct AnswerReader {
    scanner: ReplyScanner,
    /// How much of the buffer's front the scanner has seen of a reply that has not ended.
    scanned: usize,
    /// Whether the front of that reply was too much and has been dropped.
    skipping: bool,
    longest: usize,
}

impl AnswerReader {
    /// A reader at the beginning of a stream, for replies of at most `longest` bytes, their headers among them,
    /// and at most `deepest` levels.
    pub fn new(longest: usize, deepest: usize) -> Self {
        Self { scanner: ReplyScanner::new(deepest), scanned: 0, skipping: false, longest }
    }

    /// The next whole answer, taken off the front of `buffer`; `None` when more bytes are needed.
    ///
    /// An error means that the link has lost its place, or that its peer is no primary: drop it.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Answer>, ReplyError> {
        if self.scanner.is_between_replies()
            && let Some(scalar) = Scalar::at_front(buffer).filter(|scalar| scalar.end <= self.longest)
        {
            return Ok(Some(scalar.take(buffer)));
        }
        let scan = self.scanner.scan(buffer.get(self.scanned..).unwrap_or_default())?;
        self.scanned += scan.consumed;
        self.skipping |= self.scanned > self.longest;
        if self.skipping {
            buffer.advance(self.scanned);
            self.scanned = 0;
            self.skipping = scan.ended.is_none();
            return Ok(scan.ended.map(|_| Answer::Oversized));
        }
        if scan.ended.is_none() {
            return Ok(None);
        }
        let length = std::mem::take(&mut self.scanned);
        whole(buffer, length).map(Some)
    }
}

/// The answer that the first `length` bytes of `buffer` are.
fn whole(buffer: &mut BytesMut, length: usize) -> Result<Answer, ReplyError> {
    if let Some(scalar) = Scalar::at_front(buffer) {
        return Ok(scalar.take(buffer));
    }
    let frame = buffer.split_to(length).freeze();
    match decode_bytes(&frame) {
        Ok(Some((frame, decoded))) if decoded == length => Ok(answer(frame)),
        _ => Err(ReplyError::NotResp2),
    }
}

/// Recursion ends where the scanner's limit on nesting does.
fn answer(frame: BytesFrame) -> Answer {
    match frame {
        BytesFrame::SimpleString(text) => Answer::Status(text),
        BytesFrame::Error(text) => Answer::Error(text.into_inner()),
        BytesFrame::Integer(value) => Answer::Integer(value),
        BytesFrame::BulkString(data) => Answer::Bulk(data),
        BytesFrame::Null => Answer::Null,
        BytesFrame::Array(elements) => Answer::Array(elements.into_iter().map(answer).collect()),
    }
}

/// A whole reply that is no array, where it lies.
struct Scalar {
    kind: Kind,
    /// Behind the reply's last byte.
    end: usize,
}

enum Kind {
    Status,
    Error,
    Integer(i64),
    /// The string begins at `start`.
    Bulk {
        start: usize,
    },
    Null,
}

impl Scalar {
    /// The reply at the front of `bytes`, if it is a scalar and whole. What is malformed is not found here: the scanner
    /// says what is wrong with it.
    fn at_front(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        if !matches!(kind, b'+' | b'-' | b':' | b'$' | b'*') {
            return None;
        }
        let line = rest.get(..rest.windows(2).position(|pair| pair == b"\r\n")?)?;
        let line_end = 1 + line.len() + 2;
        let scalar = |kind| Some(Self { kind, end: line_end });
        match (kind, line) {
            (b'+', _) => scalar(Kind::Status),
            (b'-', _) => scalar(Kind::Error),
            (b':', digits) => scalar(Kind::Integer(parse_integer(digits)?)),
            (b'$' | b'*', b"-1") => scalar(Kind::Null),
            (b'$', digits) => {
                let length = usize::try_from(parse_integer(digits)?).ok()?;
                let body_end = line_end.checked_add(length)?;
                let end = body_end.checked_add(2)?;
                (bytes.get(body_end..end)? == b"\r\n").then_some(Self { kind: Kind::Bulk { start: line_end }, end })
            }
            _ => None,
        }
    }

    /// Takes the reply off the front of the buffer in which it was found.
    fn take(self, buffer: &mut BytesMut) -> Answer {
        match self.kind {
            Kind::Status if buffer.starts_with(b"+OK\r\n") => {
                buffer.advance(self.end);
                Answer::Status(Bytes::from_static(b"OK"))
            }
            Kind::Status => Answer::Status(take_text(buffer, 1, self.end)),
            Kind::Error => Answer::Error(take_text(buffer, 1, self.end)),
            Kind::Bulk { start } => Answer::Bulk(take_text(buffer, start, self.end)),
            Kind::Integer(value) => {
                buffer.advance(self.end);
                Answer::Integer(value)
            }
            Kind::Null => {
                buffer.advance(self.end);
                Answer::Null
            }
        }
    }
}

/// Takes a reply off the front of `buffer` that ends at `end`; what is between `start` and its line end.
fn take_text(buffer: &mut BytesMut, start: usize, end: usize) -> Bytes {
    let mut text = buffer.split_to(end).freeze();
    text.truncate(end - 2);
    text.advance(start);
    text
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
