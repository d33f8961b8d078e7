//! `RINSPECT key`: look at a lock.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::args::Arguments;
use super::table::{Action, Argument, Entry, Keys, LockVerb};
use super::{CommandError, CommandLimits};
use crate::lock::{Inspect, InspectVote, NodeId, Resource, Standing, Token};
use crate::protocol::Reply;

/// How many hex digits of a token's digest tell two holders apart.
const HOLDER_DIGITS: usize = 12;

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

    /// What was found: the primaries' answers, their addresses, the connection of the lock's session and how many stand
    /// in line, where this proxy knows of them.
    pub fn found<'a>(
        inspect: &Inspect,
        primaries: impl Iterator<Item = (NodeId, &'a str)>,
        session: Option<String>,
        waiters: usize,
    ) -> Reply {
        let standing = inspect.standing();
        let holder = inspect.holder();
        let primary = |(node, address): (NodeId, &str)| {
            let (state, remaining) = match inspect.vote(node) {
                InspectVote::Free => ("free", None),
                InspectVote::Held(_, remaining) => ("held", *remaining),
                InspectVote::Quarantined => ("quarantined", None),
                InspectVote::Unknown => ("unknown", None),
            };
            Reply::Map(vec![
                (word("address"), text(address.to_owned())),
                (word("state"), word(state)),
                (word("ttl"), remaining.map_or(Reply::Null, millis)),
            ])
        };
        Reply::Map(vec![
            (
                word("state"),
                word(match standing {
                    Standing::Free => "free",
                    Standing::Held => "held",
                    Standing::Contested => "contested",
                    Standing::Unknown => "unknown",
                }),
            ),
            (word("ttl"), inspect.remaining().map_or(Reply::Null, millis)),
            (
                word("owner"),
                holder.and_then(Token::owner_in).map_or(Reply::Null, |name| Reply::Bulk(Bytes::copy_from_slice(name))),
            ),
            (word("holder"), holder.map_or(Reply::Null, |token| text(fingerprint(token)))),
            (word("session"), session.map_or(Reply::Null, text)),
            (word("waiters"), Reply::Integer(i64::try_from(waiters).unwrap_or(i64::MAX))),
            (word("primaries"), Reply::Array(primaries.map(primary).collect())),
        ])
    }
}

fn word(word: &'static str) -> Reply {
    Reply::Bulk(Bytes::from_static(word.as_bytes()))
}

fn text(text: String) -> Reply {
    Reply::Bulk(Bytes::from(text))
}

fn millis(duration: Duration) -> Reply {
    Reply::Integer(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

/// Tells holders apart without showing what one needs to release the lock.
fn fingerprint(token: &[u8]) -> String {
    let mut digits = String::new();
    for byte in Sha256::digest(token).iter().take(HOLDER_DIGITS / 2) {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
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
