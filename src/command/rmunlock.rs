//! `RMUNLOCK numkeys key [key …] token`: give several locks back.

use std::sync::Arc;

use bytes::Bytes;

use super::args::Arguments;
use super::table::{Action, Argument, ArgumentKind, Entry, Keys, LockVerb};
use super::{CommandError, CommandLimits};
use crate::lock::{Resource, Token};
use crate::protocol::Reply;

/// `RMUNLOCK numkeys key [key …] token`
///
/// Releases those of these locks that the token holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rmunlock {
    /// What is locked: at least one, none twice.
    pub resources: Arc<[Resource]>,
    /// What signed them.
    pub token: Token,
}

impl Rmunlock {
    /// Reads the arguments behind the command's name.
    pub fn parse(arguments: &[Bytes], limits: &CommandLimits) -> Result<Self, CommandError> {
        let mut arguments = Arguments::new(ENTRY.name, arguments);
        let command = Self { resources: arguments.resources(limits)?, token: arguments.token()? };
        arguments.finish()?;
        Ok(command)
    }

    /// How many of them the token held, which it does not any more.
    pub fn released(count: usize) -> Reply {
        // At most 64.
        Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

/// The command's line in the table.
pub(super) static ENTRY: Entry = Entry {
    name: "rmunlock",
    action: Action::Lock(LockVerb::Rmunlock),
    arity: -4,
    flags: &["write", "noscript", "no_multi", "movablekeys"],
    keys: Keys::Counted(&["RW", "access", "delete"]),
    categories: &["@write", "@slow"],
    tips: &[],
    summary: "Releases several locks that the token holds",
    since: "0.1.0",
    group: "redlock",
    complexity: "O(N*K) where N is the number of primaries, all of which are asked at once, and K the number of keys",
    arguments: &[
        Argument::new("numkeys", ArgumentKind::Integer),
        Argument::key("key").multiple(),
        Argument::new("token", ArgumentKind::String),
    ],
    subcommands: &[],
};
