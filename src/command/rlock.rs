//! `RLOCK key ttl [OWNER name]`: take a lock.

use bytes::Bytes;

use super::args::Arguments;
use super::table::{Action, Argument, ArgumentKind, Entry, Keys, LockVerb};
use super::{CommandError, CommandLimits};
use crate::lock::{Owner, Resource, Token, Ttl, Validity};
use crate::protocol::Reply;

/// `RLOCK key ttl [OWNER name]`
///
/// Takes the lock on `key` for `ttl` milliseconds. With OWNER a retry is safe: the owner that holds the lock already
/// takes it over, with a new token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rlock {
    /// What to lock.
    pub resource: Resource,
    /// For how long.
    pub ttl: Ttl,
    /// In whose name.
    pub owner: Option<Owner>,
}

impl Rlock {
    /// Reads the arguments behind the command's name. Options stand behind the ttl, in any order and any case, each
    /// at most once.
    pub fn parse(arguments: &[Bytes], limits: &CommandLimits) -> Result<Self, CommandError> {
        let mut arguments = Arguments::new(ENTRY.name, arguments);
        let resource = arguments.resource(limits)?;
        let ttl = arguments.ttl(limits)?;
        let mut owner = None;
        while let Some(word) = arguments.option() {
            if word.eq_ignore_ascii_case(b"OWNER") && owner.is_none() {
                owner = Some(Owner::new(arguments.value()?.clone())?);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(Self { resource, ttl, owner })
    }

    /// The lock is held: the token that signs it, and for how many milliseconds the holder may count on it.
    pub fn granted(token: &Token, validity: Validity) -> Reply {
        Reply::Array(vec![Reply::Bulk(Bytes::copy_from_slice(token.as_bytes())), super::milliseconds(validity)])
    }

    /// Somebody else holds it.
    pub fn refused() -> Reply {
        Reply::NullArray
    }
}

/// The command's line in the table.
pub(super) static ENTRY: Entry = Entry {
    name: "rlock",
    action: Action::Lock(LockVerb::Rlock),
    arity: -3,
    flags: &["write", "noscript", "no_multi", "blocking"],
    keys: Keys::First(&["RW", "access", "update"]),
    categories: &["@write", "@slow", "@blocking"],
    tips: &[],
    summary: "Takes a lock on a quorum of the primaries, for a time",
    since: "0.1.0",
    group: "redlock",
    complexity: "O(N) where N is the number of primaries, all of which are asked at once",
    arguments: &[
        Argument::key("key"),
        Argument::new("milliseconds", ArgumentKind::Integer),
        Argument::new("name", ArgumentKind::String).token("OWNER").optional(),
    ],
    subcommands: &[],
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command::tests_support::{limits, words};
    use crate::lock::{Drift, Moment};

    fn parse(line: &str) -> Result<Rlock, CommandError> {
        Rlock::parse(&words(line), &limits())
    }

    fn owner(name: &'static str) -> Owner {
        Owner::new(Bytes::from_static(name.as_bytes())).expect("a valid owner")
    }

    #[test]
    fn key_and_ttl_are_enough() {
        let command = parse("job 30000").expect("valid");
        assert_eq!(command.resource.as_bytes(), b"job");
        assert_eq!((command.ttl.as_millis(), command.owner), (30_000, None));
    }

    #[test]
    fn the_word_after_owner_is_its_value_whatever_it_says() {
        assert_eq!(parse("job 4 owner OWNER").map(|command| command.owner), Ok(Some(owner("OWNER"))));
        assert_eq!(parse("job 4 OwNeR WAIT").map(|command| command.owner), Ok(Some(owner("WAIT"))));
    }

    #[test]
    fn unknown_repeated_and_incomplete_options_are_syntax_errors() {
        for options in ["OWNER", "OWNER a OWNER b", "OWNER a OWNER", "OWNER a b", "NX", "", "OWNERS a"] {
            assert_eq!(parse(&format!("job 1000 {options}")), Err(CommandError::Syntax), "{options:?}");
        }
        for options in ["WAIT 100", "SESSION", "SESSION NOTIFY", "FENCE", "NOTIFY", "SHARED"] {
            assert_eq!(parse(&format!("job 1000 {options}")), Err(CommandError::Syntax), "{options}");
        }
    }

    #[test]
    fn the_first_mistake_from_the_left_is_told() {
        assert_eq!(parse("redlock-proxy:x nope NX"), Err(CommandError::KeyReserved));
        assert_eq!(parse(&format!("{} nope NX", "k".repeat(4_097))), Err(CommandError::KeyTooLong(4_096)));
        assert_eq!(parse("job nope NX"), Err(CommandError::Integer));
        let range = CommandError::TtlRange { command: "rlock", smallest_ms: 4, largest_ms: 60_000 };
        assert_eq!(parse("job 3 NX"), Err(range));
        assert_eq!(parse("job 4 OWNER  NX"), Err(CommandError::Owner));
        assert_eq!(parse("job 4 NX OWNER "), Err(CommandError::Syntax));
        assert_eq!(parse(&format!("job 4 OWNER {}", "o".repeat(201))), Err(CommandError::Owner));
        assert_eq!(parse("job"), Err(CommandError::Arity("rlock")));
    }

    #[test]
    fn a_grant_is_the_token_and_the_validity_and_a_refusal_is_null() {
        let token = Token::sign(None, [0xab; 20]);
        let ttl = Ttl::from_millis(30_000).expect("in range");
        let now = Moment::from_micros(5);
        let validity = Validity::at(now, now, ttl, Drift::from_parts_per_million(10_000)).expect("time is left");
        assert_eq!(
            Rlock::granted(&token, validity),
            Reply::Array(vec![Reply::Bulk("ab".repeat(20).into()), Reply::Integer(29_698)])
        );
        assert_eq!(Rlock::refused(), Reply::NullArray);
    }

    proptest! {
        #[test]
        fn what_is_formatted_is_parsed_the_same(
            key in prop::collection::vec(any::<u8>(), 0..100),
            ttl in 4_u64..=60_000,
            name in prop::option::of(prop::collection::vec(any::<u8>(), 1..=200)),
            word in "[oO][wW][nN][eE][rR]",
        ) {
            let mut arguments = vec![Bytes::from(key.clone()), Bytes::from(ttl.to_string())];
            if let Some(name) = &name {
                arguments.extend([Bytes::from(word), Bytes::from(name.clone())]);
            }
            let command = Rlock::parse(&arguments, &limits()).expect("valid");
            prop_assert_eq!(command.resource.as_bytes(), key);
            prop_assert_eq!(command.ttl.as_millis(), ttl);
            prop_assert_eq!(command.owner.map(|owner| owner.as_bytes().to_vec()), name);
        }

        #[test]
        fn garbage_is_refused_with_an_error_of_the_closed_list(
            arguments in prop::collection::vec(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from),
                "(?i)owner|wait|fence|session|notify|[0-9]{1,20}|-?[0-9]".prop_map(Bytes::from),
            ], 0..8),
        ) {
            use CommandError as E;
            match Rlock::parse(&arguments, &limits()) {
                Ok(command) => prop_assert_eq!(arguments.len(), if command.owner.is_some() { 4 } else { 2 }),
                Err(E::Arity("rlock")) => prop_assert!(arguments.len() < 2),
                Err(E::Integer | E::TtlRange { .. } | E::Syntax | E::Owner | E::KeyReserved) => {}
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
    }
}
