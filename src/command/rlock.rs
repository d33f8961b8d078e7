//! `RLOCK key ttl [OWNER name] [WAIT milliseconds] [FENCE] [SESSION [NOTIFY]]`: take a lock.

use bytes::{Bytes, BytesMut};

use super::args::Arguments;
use super::options::{FENCE, OWNER, Options, SESSION, WAIT};
use super::table::{Action, Argument, ArgumentKind, Entry, Keys, LockVerb};
use super::{CommandError, CommandLimits};
use crate::lock::{Resource, Token, Ttl, Validity};
use crate::protocol::{Reply, encode_push};

/// `RLOCK key ttl [OWNER name] [WAIT milliseconds] [FENCE] [SESSION [NOTIFY]]`
///
/// Takes the lock on `key` for `ttl` milliseconds. With OWNER a retry is safe: the owner that holds the lock already
/// takes it over, with a new token. With WAIT the client stands in line, with FENCE it gets a number that grows from grant
/// to grant, with SESSION the lock lives as long as the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rlock {
    /// What to lock.
    pub resource: Resource,
    /// For how long.
    pub ttl: Ttl,
    /// What stands behind the ttl.
    pub options: Options,
}

impl Rlock {
    /// Reads the arguments behind the command's name.
    pub fn parse(arguments: &[Bytes], limits: &CommandLimits) -> Result<Self, CommandError> {
        let mut arguments = Arguments::new(ENTRY.name, arguments);
        let resource = arguments.resource(limits)?;
        let ttl = arguments.ttl(limits)?;
        let options = Options::parse(&mut arguments, ttl, true, limits)?;
        Ok(Self { resource, ttl, options })
    }

    /// The lock is held: the token that signs it, and for how many milliseconds the holder may count on it; the fencing
    /// token, when it was asked for.
    pub fn granted(token: &Token, validity: Validity, fence: Option<u64>) -> Reply {
        let mut granted = vec![Reply::Bulk(Bytes::copy_from_slice(token.as_bytes())), super::milliseconds(validity)];
        // Below 2^53.
        granted.extend(fence.map(|fence| Reply::Integer(i64::try_from(fence).unwrap_or(i64::MAX))));
        Reply::Array(granted)
    }

    /// Appends what is told to who asked for it when a lock that was bound to its connection is held no longer: RESP3's
    /// push `rlock-lost`, the key, the token.
    pub fn encode_loss(resource: &Resource, token: &Token, out: &mut BytesMut) {
        let parts = [b"rlock-lost", resource.as_bytes(), token.as_bytes()];
        encode_push(&parts.map(|part| Reply::Bulk(Bytes::copy_from_slice(part))), out);
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
        OWNER,
        WAIT,
        FENCE,
        SESSION,
    ],
    subcommands: &[],
};

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::command::Binding;
    use crate::command::tests_support::{limits, words};
    use crate::lock::{Drift, Moment, Owner};

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
        assert_eq!((command.ttl.as_millis(), command.options), (30_000, Options::default()));
    }

    #[test]
    fn the_word_after_owner_is_its_value_whatever_it_says() {
        assert_eq!(parse("job 4 owner OWNER").map(|command| command.options.owner), Ok(Some(owner("OWNER"))));
        assert_eq!(parse("job 4 OwNeR WAIT").map(|command| command.options.owner), Ok(Some(owner("WAIT"))));
    }

    #[test]
    fn unknown_repeated_and_incomplete_options_are_syntax_errors() {
        for options in ["OWNER", "OWNER a OWNER b", "OWNER a OWNER", "OWNER a b", "NX", "", "OWNERS a"] {
            assert_eq!(parse(&format!("job 1000 {options}")), Err(CommandError::Syntax), "{options:?}");
        }
        let options = [
            "WAIT",
            "WAIT 1 WAIT 1",
            "FENCE FENCE",
            "SESSION SESSION",
            "NOTIFY",
            "FENCE NOTIFY",
            "SESSION FENCE NOTIFY",
            "SESSION NOTIFY NOTIFY",
            "SHARED",
        ];
        for options in options {
            assert_eq!(parse(&format!("job 1000 {options}")), Err(CommandError::Syntax), "{options}");
        }
    }

    #[test]
    fn options_stand_in_any_order_and_any_case() {
        let all = Options {
            owner: Some(owner("wait")),
            wait: Duration::from_millis(5),
            fence: true,
            session: Some(Binding { notify: true }),
        };
        for options in [
            "OWNER wait WAIT 5 FENCE SESSION NOTIFY",
            "session Notify fence wait 5 owner wait",
            "Fence Session nOtIfY OWNER wait WAIT 5",
        ] {
            assert_eq!(
                parse(&format!("job 1000 {options}")).map(|command| command.options),
                Ok(all.clone()),
                "{options}"
            );
        }
        let quiet = parse("job 1000 SESSION WAIT 0").expect("valid").options;
        assert_eq!((quiet.session, quiet.waits()), (Some(Binding { notify: false }), false));
    }

    #[test]
    fn a_time_to_wait_has_three_ways_to_be_wrong() {
        for word in ["", "x", "1.0", "01", "99999999999999999999"] {
            assert_eq!(parse(&format!("job 1000 WAIT {word}")), Err(CommandError::Timeout), "{word:?}");
        }
        assert_eq!(parse("job 1000 WAIT -1"), Err(CommandError::TimeoutNegative));
        let range = CommandError::TimeoutRange(Duration::from_secs(3_600));
        assert_eq!(parse("job 1000 WAIT 3600001"), Err(range));
        assert!(parse("job 1000 WAIT 3600000").is_ok());
    }

    #[test]
    fn a_session_asks_for_a_ttl_in_which_it_can_be_renewed() {
        let range = CommandError::TtlRange { command: "rlock", smallest_ms: 100, largest_ms: 60_000 };
        assert_eq!(parse("job 99 SESSION"), Err(range));
        assert!(parse("job 100 SESSION").is_ok());
    }

    #[test]
    fn a_loss_is_told_by_a_push_that_names_the_key_and_the_token() {
        let command = parse("job 4").expect("valid");
        let mut out = BytesMut::new();
        Rlock::encode_loss(&command.resource, &Token::sign(None, [0; 20]), &mut out);
        let token = "0".repeat(40);
        let expected = format!(">3\r\n$10\r\nrlock-lost\r\n$3\r\njob\r\n$40\r\n{token}\r\n");
        assert_eq!(out, expected.as_bytes());
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
            Rlock::granted(&token, validity, None),
            Reply::Array(vec![Reply::Bulk("ab".repeat(20).into()), Reply::Integer(29_698)])
        );
        let Reply::Array(fenced) = Rlock::granted(&token, validity, Some(1_700_000_000_000_000)) else {
            panic!("an array");
        };
        assert_eq!(fenced.last(), Some(&Reply::Integer(1_700_000_000_000_000)));
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
            prop_assert_eq!(command.options.owner.map(|owner| owner.as_bytes().to_vec()), name);
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
                Ok(_) => prop_assert!(arguments.len() >= 2),
                Err(E::Arity("rlock")) => prop_assert!(arguments.len() < 2),
                Err(
                    E::Integer | E::TtlRange { .. } | E::Syntax | E::Owner | E::KeyReserved
                    | E::Timeout | E::TimeoutNegative | E::TimeoutRange(_),
                ) => {}
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
    }
}
