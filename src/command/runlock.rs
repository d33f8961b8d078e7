//! `RUNLOCK key token`: give a lock back.

use bytes::Bytes;

use super::args::Arguments;
use super::table::{Action, Argument, ArgumentKind, Entry, Keys, LockVerb};
use super::{CommandError, CommandLimits};
use crate::lock::{Resource, Token};
use crate::protocol::Reply;

/// `RUNLOCK key token`
///
/// Releases the lock on `key` when this token holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runlock {
    /// What is locked.
    pub resource: Resource,
    /// What signed it.
    pub token: Token,
}

impl Runlock {
    /// Reads the arguments behind the command's name.
    pub fn parse(arguments: &[Bytes], limits: &CommandLimits) -> Result<Self, CommandError> {
        let mut arguments = Arguments::new(ENTRY.name, arguments);
        let command = Self { resource: arguments.resource(limits)?, token: arguments.token()? };
        arguments.finish()?;
        Ok(command)
    }

    /// Whether the token held the lock, which it does not any more.
    pub fn released(held: bool) -> Reply {
        Reply::Integer(i64::from(held))
    }
}

/// The command's line in the table.
pub(super) static ENTRY: Entry = Entry {
    name: "runlock",
    action: Action::Lock(LockVerb::Runlock),
    arity: 3,
    flags: &["write", "noscript", "no_multi"],
    keys: Keys::First(&["RW", "access", "delete"]),
    categories: &["@write", "@slow"],
    tips: &[],
    summary: "Releases a lock that the token holds",
    since: "0.1.0",
    group: "redlock",
    complexity: "O(N) where N is the number of primaries, all of which are asked at once",
    arguments: &[Argument::key("key"), Argument::new("token", ArgumentKind::String)],
    subcommands: &[],
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command::tests_support::{limits, words};

    fn parse(line: &str) -> Result<Runlock, CommandError> {
        Runlock::parse(&words(line), &limits())
    }

    #[test]
    fn the_first_mistake_from_the_left_is_told() {
        assert_eq!(parse("redlock-proxy: "), Err(CommandError::KeyReserved));
        assert_eq!(parse("job "), Err(CommandError::Token));
        assert_eq!(parse(&format!("job {}", "t".repeat(257))), Err(CommandError::Token));
        assert_eq!(parse("job"), Err(CommandError::Arity("runlock")));
        assert_eq!(parse("job t u"), Err(CommandError::Arity("runlock")));
    }

    #[test]
    fn a_release_answers_one_and_a_release_of_nothing_zero() {
        assert_eq!(Runlock::released(true), Reply::Integer(1));
        assert_eq!(Runlock::released(false), Reply::Integer(0));
    }

    proptest! {
        #[test]
        fn keys_and_tokens_are_binary_safe(
            key in prop::collection::vec(any::<u8>(), 0..100),
            token in prop::collection::vec(any::<u8>(), 1..=256),
        ) {
            let command = Runlock::parse(&[key.clone().into(), token.clone().into()], &limits()).expect("valid");
            prop_assert_eq!(command.resource.as_bytes(), key);
            prop_assert_eq!(command.token.as_bytes(), token);
        }
    }
}
