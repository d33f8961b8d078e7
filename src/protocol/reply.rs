//! The replies that the proxy makes itself.
//!
//! A [`Reply`] says what is meant; [`Reply::encode`] writes it in the words of the connection's protocol version. The
//! strings, errors and nulls are written by `redis-protocol`'s encoders for borrowed frames, which take no memory besides
//! the output. Three things are written by hand:
//!
//! - Arrays, maps and sets: the crate wants their elements as frames of its own, a tree built only to be dropped, and
//!   its maps and sets are hashed, which loses the order.
//! - Integers: the crate counts digits in floating point, and a number near 10¹⁸ gets a stray NUL byte behind it.
//! - RESP2's null array: the crate has one null, `$-1`.
//!
//! Replies are of our own making and shallow, so writing them may recurse.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use redis_protocol::resp2::encode as resp2;
use redis_protocol::resp2::types::BorrowedFrame as Resp2;
use redis_protocol::resp3::encode::complete as resp3;
use redis_protocol::resp3::types::{BorrowedFrame as Resp3, VerbatimStringFormat};

use super::integer::{wire_length, write_line};

/// Which protocol a connection speaks; `HELLO` changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// What every connection begins with.
    #[default]
    Resp2,
    /// Maps, sets, verbatim strings and one null.
    Resp3,
}

/// A reply, written for either protocol version by [`Reply::encode`].
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// `+OK`. One line: control bytes are written as spaces.
    Status(Cow<'static, str>),
    /// `-ERR …`: the text with its prefix, one line: control bytes are written as spaces.
    Error(Cow<'static, str>),
    /// `:1`
    Integer(i64),
    /// `$3`
    Bulk(Bytes),
    /// `*2`
    Array(Vec<Reply>),
    /// `%2` in RESP3, a flat array in RESP2.
    Map(Vec<(Reply, Reply)>),
    /// `~2` in RESP3, an array in RESP2.
    Set(Vec<Reply>),
    /// `=n txt:` in RESP3, a bulk in RESP2.
    Verbatim(Bytes),
    /// `_` in RESP3, `$-1` in RESP2.
    Null,
    /// `_` in RESP3, `*-1` in RESP2.
    NullArray,
}

impl Reply {
    /// `+OK`
    pub const OK: Self = Self::Status(Cow::Borrowed("OK"));

    /// Appends the reply's bytes to `out`.
    pub fn encode(&self, version: Version, out: &mut BytesMut) {
        let resp3 = version == Version::Resp3;
        match self {
            Self::Integer(value) => write_line(b':', *value, out),
            Self::Array(elements) => encode_all(b'*', elements, version, out),
            Self::Set(elements) => encode_all(if resp3 { b'~' } else { b'*' }, elements, version, out),
            Self::Map(pairs) => {
                let (kind, parts) = if resp3 { (b'%', 1) } else { (b'*', 2) };
                write_line(kind, wire_length(pairs.len()).saturating_mul(parts), out);
                for (key, value) in pairs {
                    key.encode(version, out);
                    value.encode(version, out);
                }
            }
            Self::NullArray if !resp3 => out.extend_from_slice(b"*-1\r\n"),
            // The rest is the same in both versions, or has a frame for it in each.
            Self::Status(text) => encode_resp2(&Resp2::SimpleString(one_line(text).as_bytes()), out),
            Self::Error(text) => encode_resp2(&Resp2::Error(&one_line(text)), out),
            Self::Verbatim(data) if resp3 => {
                let frame = Resp3::VerbatimString { data, format: VerbatimStringFormat::Text, attributes: None };
                encode_resp3(&frame, out);
            }
            Self::Bulk(data) | Self::Verbatim(data) => encode_resp2(&Resp2::BulkString(data), out),
            Self::Null | Self::NullArray if resp3 => encode_resp3(&Resp3::Null, out),
            Self::Null | Self::NullArray => encode_resp2(&Resp2::Null, out),
        }
    }
}

/// Appends `>3`: no reply, but something that a client is told unasked. RESP3 only.
pub fn encode_push(elements: &[Reply], out: &mut BytesMut) {
    encode_all(b'>', elements, Version::Resp3, out);
}

fn encode_all(kind: u8, elements: &[Reply], version: Version, out: &mut BytesMut) {
    write_line(kind, wire_length(elements.len()), out);
    for element in elements {
        element.encode(version, out);
    }
}

fn encode_resp2(frame: &Resp2<'_>, out: &mut BytesMut) {
    resp2::extend_encode_borrowed(out, frame, false).expect(ROOM);
}

fn encode_resp3(frame: &Resp3<'_>, out: &mut BytesMut) {
    resp3::extend_encode_borrowed(out, frame, false).expect(ROOM);
}

/// Why encoding cannot fail, whatever the frame holds: too little room is its only error.
const ROOM: &str = "the encoder extends the buffer by the frame's own length before it writes";

/// A text that stays on one line: what an error quotes may come from a client or a primary, and a line end in it would
/// begin another reply.
fn one_line(text: &str) -> Cow<'_, str> {
    let is_control = |symbol: char| symbol.is_ascii_control();
    if text.bytes().any(|byte| byte.is_ascii_control()) { text.replace(is_control, " ").into() } else { text.into() }
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
