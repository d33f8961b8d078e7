//! Requests as they come from clients: incremental, bounded, inline too.

use bytes::{Bytes, BytesMut};

/// One command with its arguments, at least one; slices of the read buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
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

/// Input that is no request. The connection gets `-ERR Protocol error: …` and is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// `*N` is no number, or too large.
    #[error("Protocol error: invalid multibulk length")]
    MultibulkLength,
}

/// Finds requests in a connection's bytes; keeps its place between reads.
#[derive(Debug, Default)]
pub struct RequestDecoder {}

impl RequestDecoder {
    /// The next whole request, taken off the front of `buffer`; `None` when more bytes are needed.
    pub fn decode(
        &mut self,
        _buffer: &mut BytesMut,
        _limits: &RequestLimits,
    ) -> Result<Option<Request>, ProtocolError> {
        Ok(None)
    }
}
