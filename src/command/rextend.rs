//! `REXTEND key token ttl`: keep a lock longer.

use bytes::Bytes;

use super::args::Arguments;
use super::table::{Action, Argument, ArgumentKind, Entry, Keys, LockVerb};
use super::{CommandError, CommandLimits};
use crate::lock::{Resource, Token, Ttl, Validity};
use crate::protocol::Reply;

/// `REXTEND key token ttl`
///
/// Lets the lock that this token holds on `key` live for the longer of what it has left and `ttl` milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rextend {
    /// What is locked.
    pub resource: Resource,
    /// What signed it.
    pub token: Token,
    /// For how long from now.
    pub ttl: Ttl,
}

impl Rextend {
    /// Reads the arguments behind the command's name.
    pub fn parse(arguments: &[Bytes], limits: &CommandLimits) -> Result<Self, CommandError> {
        let mut arguments = Arguments::new(ENTRY.name, arguments);
        let command =
            Self { resource: arguments.resource(limits)?, token: arguments.token()?, ttl: arguments.ttl(limits)? };
        arguments.finish()?;
        Ok(command)
    }

    /// The lock is held on: for how many milliseconds the holder may count on it now.
    pub fn extended(validity: Validity) -> Reply {
        super::milliseconds(validity)
    }

    /// The token holds the lock no longer.
    pub fn lost() -> Reply {
        Reply::Null
    }
}

/// The command's line in the table.
pub(super) static ENTRY: Entry = Entry {
    name: "rextend",
    action: Action::Lock(LockVerb::Rextend),
    arity: 4,
    flags: &["write", "noscript", "no_multi"],
    keys: Keys::First(&["RW", "access", "update"]),
    categories: &["@write", "@slow"],
    tips: &[],
    summary: "Lets a lock that the token holds live longer",
    since: "0.1.0",
    group: "redlock",
    complexity: "O(N) where N is the number of primaries, all of which are asked at once",
    arguments: &[
        Argument::key("key"),
        Argument::new("token", ArgumentKind::String),
        Argument::new("milliseconds", ArgumentKind::Integer),
    ],
    subcommands: &[],
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command::tests_support::{limits, words};
    use crate::lock::{Drift, Moment};

    fn parse(line: &str) -> Result<Rextend, CommandError> {
        Rextend::parse(&words(line), &limits())
    }

    #[test]
    fn the_first_mistake_from_the_left_is_told() {
        assert_eq!(parse("redlock-proxy:  x"), Err(CommandError::KeyReserved));
        assert_eq!(parse("job  x"), Err(CommandError::Token));
        assert_eq!(parse("job t x"), Err(CommandError::Integer));
        let range = CommandError::TtlRange { command: "rextend", smallest_ms: 4, largest_ms: 60_000 };
        assert_eq!(parse("job t 60001"), Err(range));
        assert_eq!(parse("job t"), Err(CommandError::Arity("rextend")));
        assert_eq!(parse("job t 1000 x"), Err(CommandError::Arity("rextend")));
    }

    #[test]
    fn an_extension_answers_the_validity_and_a_loss_null() {
        let now = Moment::from_micros(5);
        let ttl = Ttl::from_millis(4).expect("in range");
        let validity = Validity::at(now, now, ttl, Drift::from_parts_per_million(10_000)).expect("time is left");
        assert_eq!(Rextend::extended(validity), Reply::Integer(1));
        assert_eq!(Rextend::lost(), Reply::Null);
    }

    proptest! {
        #[test]
        fn what_is_formatted_is_parsed_the_same(
            key in prop::collection::vec(any::<u8>(), 0..100),
            token in prop::collection::vec(any::<u8>(), 1..=256),
            ttl in 4_u64..=60_000,
        ) {
            let arguments = [key.clone().into(), token.clone().into(), ttl.to_string().into()];
            let command = Rextend::parse(&arguments, &limits()).expect("valid");
            prop_assert_eq!(command.resource.as_bytes(), key);
            prop_assert_eq!(command.token.as_bytes(), token);
            prop_assert_eq!(command.ttl.as_millis(), ttl);
        }
    }
}
