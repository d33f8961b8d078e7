//! `RMLOCK numkeys key [key …] ttl [OWNER name] [WAIT milliseconds] [SESSION [NOTIFY]]`: take several locks as one.

use std::sync::Arc;

use bytes::Bytes;

use super::args::Arguments;
use super::options::{OWNER, Options, SESSION, WAIT};
use super::table::{Action, Argument, ArgumentKind, Entry, Keys, LockVerb};
use super::{CommandError, CommandLimits};
use crate::lock::{Resource, Ttl};

/// `RMLOCK numkeys key [key …] ttl [OWNER name] [WAIT milliseconds] [SESSION [NOTIFY]]`
///
/// Takes all of these locks with one token, or none of them. Replies are those of [`Rlock`](super::Rlock).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rmlock {
    /// What to lock: at least one, none twice.
    pub resources: Arc<[Resource]>,
    /// For how long.
    pub ttl: Ttl,
    /// OWNER, WAIT, SESSION; never FENCE.
    pub options: Options,
}

impl Rmlock {
    /// Reads the arguments behind the command's name.
    pub fn parse(arguments: &[Bytes], limits: &CommandLimits) -> Result<Self, CommandError> {
        let mut arguments = Arguments::new(ENTRY.name, arguments);
        let resources = arguments.resources(limits)?;
        let ttl = arguments.ttl(limits)?;
        let options = Options::parse(&mut arguments, ttl, false, limits)?;
        Ok(Self { resources, ttl, options })
    }
}

/// The command's line in the table.
pub(super) static ENTRY: Entry = Entry {
    name: "rmlock",
    action: Action::Lock(LockVerb::Rmlock),
    arity: -4,
    flags: &["write", "noscript", "no_multi", "blocking", "movablekeys"],
    keys: Keys::Counted(&["RW", "access", "update"]),
    categories: &["@write", "@slow", "@blocking"],
    tips: &[],
    summary: "Takes several locks with one token, all of them or none",
    since: "0.1.0",
    group: "redlock",
    complexity: "O(N*K) where N is the number of primaries, all of which are asked at once, and K the number of keys",
    arguments: &[
        Argument::new("numkeys", ArgumentKind::Integer),
        Argument::key("key").multiple(),
        Argument::new("milliseconds", ArgumentKind::Integer),
        OWNER,
        WAIT,
        SESSION,
    ],
    subcommands: &[],
};
