//! The smallest commands, and what holds for every answer.

use bytes::Bytes;
use proptest::prelude::*;

use super::tests_support::{Fixture, error};
use super::*;
use crate::command::table;
use crate::protocol::Version;
use crate::router::SessionMode;

#[test]
fn ping_and_echo_answer_what_they_are_told() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.reply("PING"), Reply::Status("PONG".into()));
    assert_eq!(fixture.reply("ping hello"), bulk("hello"));
    assert_eq!(fixture.reply("PING a b"), error("ERR wrong number of arguments for 'ping' command"));
    assert_eq!(fixture.reply("ECHO hello"), bulk("hello"));
    assert_eq!(fixture.reply("ECHO"), error("ERR wrong number of arguments for 'echo' command"));
}

#[test]
fn there_is_one_database() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.reply("SELECT 0"), Reply::OK);
    for index in ["1", "-1", "16"] {
        assert_eq!(fixture.reply(&format!("SELECT {index}")), error("ERR DB index is out of range"));
    }
    for index in ["x", "00", "4294967296", ""] {
        assert_eq!(fixture.reply(&format!("SELECT {index}")), error("ERR value is not an integer or out of range"));
    }
}

#[test]
fn quit_is_answered_and_nothing_else_closes() {
    let mut fixture = Fixture::with_password("secret");
    for line in ["QUIT", "quit now"] {
        assert_eq!(fixture.answer(line), Answer { reply: Reply::OK, close: true });
    }
    for line in ["PING", "RESET", "AUTH x", "AUTH secret", "PING", "HELLO 4"] {
        assert!(!fixture.answer(line).close, "{line}");
    }
}

#[test]
fn reset_takes_the_connection_back_to_how_it_began() {
    let mut fixture = Fixture::with_password("secret");
    fixture.reply("HELLO 3 AUTH default secret SETNAME me");
    fixture.reply("CLIENT SETINFO LIB-NAME mine");
    assert_eq!(fixture.reply("RESET"), Reply::Status("RESET".into()));
    assert_eq!(fixture.connection.version(), Version::Resp2);
    assert_eq!(fixture.connection.mode(), SessionMode::Unauthenticated);
    let details = fixture.connection.client().details();
    assert_eq!((details.name, details.version), (Bytes::new(), Version::Resp2));
    assert_eq!(details.library_name, "mine");

    let mut open = Fixture::new();
    open.reply("HELLO 3");
    open.reply("RESET");
    assert_eq!(open.connection.mode(), SessionMode::Open);
    assert_eq!(open.reply("RESET now"), error("ERR wrong number of arguments for 'reset' command"));
}

#[test]
fn mistakes_are_counted_by_their_kind() {
    let mut fixture = Fixture::with_password("secret");
    for line in ["NOPE", "AUTH wrong", "PING", "AUTH secret", "HELLO 9", "CLIENT NO-EVICT x", "RLOCK redlock-proxy: 1"]
    {
        fixture.reply(line);
    }
    fixture.reply(&format!("RLOCK {} 1000", "k".repeat(5_000)));
    let counters = &fixture.counters;
    assert_eq!(
        (counters.errors_syntax.value(), counters.errors_auth.value(), counters.errors_limit.value()),
        (4, 2, 1)
    );
}

#[test]
fn what_stands_for_the_connection_is_in_memory_of_its_own() {
    let mut fixture = Fixture::new();
    let buffer = Bytes::from_static(b"CLIENTSETNAMEworker");
    let words = vec![buffer.slice(..6), buffer.slice(6..13), buffer.slice(13..)];
    assert_eq!(fixture.answer_words(words).reply, Reply::OK);
    let name = fixture.connection.client().details().name;
    assert_eq!(name, "worker");
    assert!(!buffer.as_ptr_range().contains(&name.as_ptr()));
}

proptest! {
    #[test]
    fn whatever_is_sent_gets_an_answer_of_whole_lines(
        requests in prop::collection::vec(
            (
                prop::sample::select(
                    table::all().filter(|entry| !matches!(entry.action, table::Action::Lock(_))).collect::<Vec<_>>(),
                ),
                prop::collection::vec(prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..20),
                    prop::sample::select(vec![
                        "3", "2", "auth", "setname", "default", "secret", "on", "id", "type", "normal", "filterby",
                        "pattern", "*", "rlock", "lib-name", "redlock",
                    ]).prop_map(|word| word.as_bytes().to_vec()),
                ], 0..5),
            ),
            1..8,
        ),
    ) {
        let mut fixture = Fixture::with_password("secret");
        for (entry, arguments) in requests {
            let mut words: Vec<Bytes> = entry.name.split('|').map(|word| Bytes::from_static(word.as_bytes())).collect();
            words.extend(arguments.into_iter().map(Bytes::from));
            if let Reply::Error(line) = fixture.answer_words(words).reply {
                prop_assert!(!line.contains(char::is_control), "{line:?}");
                let prefix = line.split(' ').next();
                prop_assert!(
                    ["ERR", "NOAUTH", "WRONGPASS", "NOPROTO"].iter().any(|&known| prefix == Some(known)), "{line:?}"
                );
            }
        }
    }
}
