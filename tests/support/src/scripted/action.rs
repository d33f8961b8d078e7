//! What a test can have done about a command.

use std::time::Duration;

/// What is done about a command instead of, or around, what the small Redis does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Do it and answer.
    Execute,
    /// Do not do it; send these bytes, whatever they are.
    Reply(Vec<u8>),
    /// Do it, and send these bytes as the answer.
    ExecuteThenReply(Vec<u8>),
    /// Do not do it. Nothing is sent on this connection any more, and nothing done.
    Silence,
    /// Do it. Nothing is sent on this connection any more, but what comes is done: only the way back is lost.
    ExecuteSilently,
    /// Wait, then go on with the other action.
    Delay(Duration, Box<Action>),
    /// Do it at once, send the answer so much later.
    DelayReply(Duration),
    /// Do not do it; close the connection in order.
    Close,
    /// Do not do it; reset the connection.
    Reset,
    /// Do it, and reset the connection instead of answering.
    ExecuteThenReset,
    /// Take the command for a compare-and-delete of its key and its value: a `DELEX key IFEQ value`, a `DELIFEQ key value`, or an
    /// EVAL(SHA) whose first key and first argument they are.
    CompareAndDelete,
    /// Take the EVAL(SHA) for a compare-and-extend: key, value, milliseconds. An expiry is never shortened.
    CompareAndExtend,
}

impl Action {
    /// An error reply; its text begins with its code, as in `OOM command not allowed …`.
    pub fn error(text: &str) -> Self {
        Self::Reply(format!("-{text}\r\n").into_bytes())
    }

    /// Exactly these bytes.
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self::Reply(bytes.as_ref().to_vec())
    }

    /// Wait, then do it and answer.
    pub fn delay(duration: Duration) -> Self {
        Self::Delay(duration, Box::new(Self::Execute))
    }
}
