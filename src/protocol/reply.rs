//! The replies that the proxy makes itself.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

/// Which protocol a connection speaks; `HELLO` changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    #[default]
    Resp2,
    Resp3,
}

/// A reply, written for either protocol version by [`Reply::encode`].
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// `+OK`
    Status(Cow<'static, str>),
    /// `-ERR …`: the text with its prefix, one line.
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
    pub const OK: Self = Self::Status(Cow::Borrowed("OK"));

    /// Appends the reply's bytes to `out`.
    pub fn encode(&self, _version: Version, _out: &mut BytesMut) {}
}
