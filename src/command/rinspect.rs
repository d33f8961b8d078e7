//! `RINSPECT key`: look at a lock.

use bytes::Bytes;

use super::args::Arguments;
use super::table::{Action, Argument, Entry, Keys, LockVerb};
use super::{CommandError, CommandLimits};
use crate::lock::Resource;

/// `RINSPECT key`
///
/// Asks every primary who holds `key`, and for how long; changes nothing, and shows no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rinspect {
    /// What is looked at.
    pub resource: Resource,
}

impl Rinspect {
    /// Reads the arguments behind the command's name.
    pub fn parse(arguments: &[Bytes], limits: &CommandLimits) -> Result<Self, CommandError> {
        let mut arguments = Arguments::new(ENTRY.name, arguments);
        let command = Self { resource: arguments.resource(limits)? };
        arguments.finish()?;
        Ok(command)
    }
}

/// The command's line in the table.
pub(super) static ENTRY: Entry = Entry {
    name: "rinspect",
    action: Action::Lock(LockVerb::Rinspect),
    arity: 2,
    flags: &["readonly", "noscript", "no_multi"],
    keys: Keys::First(&["RO", "access"]),
    categories: &["@read", "@slow"],
    tips: &["nondeterministic_output"],
    summary: "Shows who holds a lock, for how long, and on which primaries",
    since: "0.1.0",
    group: "redlock",
    complexity: "O(N) where N is the number of primaries, all of which are asked at once",
    arguments: &[Argument::key("key")],
    subcommands: &[],
};
