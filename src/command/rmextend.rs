//! `RMEXTEND numkeys key [key …] token ttl`: keep several locks longer.

use std::sync::Arc;

use bytes::Bytes;

use super::args::Arguments;
use super::table::{Action, Argument, ArgumentKind, Entry, Keys, LockVerb};
use super::{CommandError, CommandLimits};
use crate::lock::{Resource, Token, Ttl};

/// `RMEXTEND numkeys key [key …] token ttl`
///
/// Lets the locks that this token holds live for the longer of what each has left and `ttl` milliseconds. Replies are
/// those of [`Rextend`](super::Rextend): null when any is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rmextend {
    /// What is locked: at least one, none twice.
    pub resources: Arc<[Resource]>,
    /// What signed them.
    pub token: Token,
    /// For how long from now.
    pub ttl: Ttl,
}

impl Rmextend {
    /// Reads the arguments behind the command's name.
    pub fn parse(arguments: &[Bytes], limits: &CommandLimits) -> Result<Self, CommandError> {
        let mut arguments = Arguments::new(ENTRY.name, arguments);
        let command =
            Self { resources: arguments.resources(limits)?, token: arguments.token()?, ttl: arguments.ttl(limits)? };
        arguments.finish()?;
        Ok(command)
    }
}

/// The command's line in the table.
pub(super) static ENTRY: Entry = Entry {
    name: "rmextend",
    action: Action::Lock(LockVerb::Rmextend),
    arity: -5,
    flags: &["write", "noscript", "no_multi", "movablekeys"],
    keys: Keys::Counted(&["RW", "access", "update"]),
    categories: &["@write", "@slow"],
    tips: &[],
    summary: "Lets several locks that the token holds live longer",
    since: "0.1.0",
    group: "redlock",
    complexity: "O(N*K) where N is the number of primaries, all of which are asked at once, and K the number of keys",
    arguments: &[
        Argument::new("numkeys", ArgumentKind::Integer),
        Argument::key("key").multiple(),
        Argument::new("token", ArgumentKind::String),
        Argument::new("milliseconds", ArgumentKind::Integer),
    ],
    subcommands: &[],
};
