//! A command that is answered with an error: what the client reads, and what is counted.

use std::borrow::Cow;

use crate::command::CommandError;
use crate::counters::ErrorKind;
use crate::protocol::Reply;

/// An error line with its prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: ErrorKind,
    pub(super) text: Cow<'static, str>,
}

impl Refusal {
    /// A command that is written wrongly.
    pub(super) fn syntax(text: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: ErrorKind::Syntax, text: text.into() }
    }

    /// A password that is missing or wrong.
    pub(super) fn authentication(text: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: ErrorKind::Authentication, text: text.into() }
    }
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        Self { kind: error.kind(), text: error.to_string().into() }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::Error(refusal.text)
    }
}
