//! Routing: to whom, in which order of checks.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::lock::{Drift, Ttl};
use crate::protocol::{Beginning, RequestDelimiter};

fn limits() -> CommandLimits {
    let max_ttl = Ttl::from_millis(60_000).expect("in range");
    CommandLimits::new(4_096, max_ttl, Drift::from_parts_per_million(10_000), Duration::from_secs(3_600))
}

fn request(line: &str) -> Request {
    Request { arguments: line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect() }
}

fn routed(line: &str, mode: SessionMode) -> Route {
    route(request(line), mode, Version::Resp2, &limits())
}

fn refused(line: &str, mode: SessionMode) -> CommandError {
    match routed(line, mode) {
        Route::Refuse(error) => error,
        other => panic!("{line}: {other:?}"),
    }
}

/// A request for the command of this entry, with as many words as its arity asks for.
fn smallest_request(entry: &table::Entry) -> Request {
    let mut words: Vec<Bytes> = entry.name.split('|').map(|word| Bytes::from_static(word.as_bytes())).collect();
    words.resize(usize::try_from(entry.arity.unsigned_abs()).expect("small"), Bytes::from_static(b"1000"));
    if matches!(entry.keys, table::Keys::Counted(_)) {
        words[1] = Bytes::from_static(b"1");
    }
    Request { arguments: words }
}

#[test]
fn every_command_of_the_table_is_routed_to_whom_it_names() {
    for entry in table::all().filter(|entry| entry.action != Action::Subcommands) {
        let verb = match route(smallest_request(entry), SessionMode::Open, Version::Resp2, &limits()) {
            Route::Lock(command) => {
                assert_eq!(command.name(), entry.name);
                entry.action
            }
            Route::Local(local) => Action::Local(local.command),
            other => panic!("{}: {other:?}", entry.name),
        };
        assert_eq!(verb, entry.action, "{}", entry.name);
    }
}

#[test]
fn arguments_come_without_the_command_and_its_subcommand() {
    let arguments = |line: &str| match routed(line, SessionMode::Open) {
        Route::Local(local) => local.arguments,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(arguments("ping hello"), ["hello"]);
    assert_eq!(arguments("CLIENT SETNAME me"), ["me"]);
    assert!(arguments("COMMAND").is_empty());
}

#[test]
fn checks_come_in_the_order_of_redis() {
    let closed = SessionMode::Unauthenticated;
    assert!(matches!(refused("NOPE", closed), CommandError::UnknownCommand { .. }));
    assert!(matches!(refused("CLIENT NOPE", closed), CommandError::UnknownSubcommand { .. }));
    assert_eq!(refused("RLOCK job", closed), CommandError::Arity("rlock"));
    assert_eq!(refused("CLIENT", closed), CommandError::Arity("client"));
    assert_eq!(refused("CLIENT SETNAME", closed), CommandError::Arity("client|setname"));
    assert_eq!(refused("RLOCK job nope", closed), CommandError::NoAuthentication);
    assert_eq!(refused("RLOCK job nope", SessionMode::Open), CommandError::Integer);
}

#[test]
fn before_authentication_only_the_set_up_of_a_connection_is_answered() {
    for entry in table::all().filter(|entry| entry.action != Action::Subcommands) {
        let answered = !matches!(
            route(smallest_request(entry), SessionMode::Unauthenticated, Version::Resp2, &limits()),
            Route::Refuse(CommandError::NoAuthentication)
        );
        assert_eq!(answered, ["hello", "auth", "reset", "quit"].contains(&entry.name), "{}", entry.name);
    }
}

#[test]
fn arity_counts_as_in_redis() {
    for line in ["RLOCK", "RLOCK a", "RUNLOCK a", "RUNLOCK a b c", "REXTEND a b", "REXTEND a b 4 c"] {
        assert!(matches!(refused(line, SessionMode::Open), CommandError::Arity(_)), "{line}");
    }
}

#[test]
fn commands_that_do_not_exist_are_unknown() {
    for name in ["RSHARE", "GET", "MULTI", "SUBSCRIBE"] {
        assert_eq!(
            refused(&format!("{name} a"), SessionMode::Open).to_string(),
            format!("ERR unknown command '{name}', with args beginning with: 'a' ")
        );
    }
}

#[test]
fn a_web_browser_is_hung_up_on() {
    for line in ["POST / HTTP/1.1", "post", "Host: localhost", "HOST:"] {
        assert_eq!(routed(line, SessionMode::Open), Route::Close, "{line}");
        assert_eq!(routed(line, SessionMode::Unauthenticated), Route::Close, "{line}");
    }
}

#[test]
fn with_an_upstream_only_what_is_the_proxys_own_stays_here() {
    let to = |line: &str, proxied_password| match RequestDelimiter::beginning(
        format!("{line}\r\n").as_bytes(),
        is_word_wanted,
    ) {
        Beginning::Request(head) => destination(&head, proxied_password),
        other => panic!("{line}: {other:?}"),
    };
    for line in ["RLOCK a 1", "runlock", "Rextend a b 1", "RMLOCK 1 a 5", "rprimaries"] {
        assert_eq!(to(line, false), Destination::Own { lock: true }, "{line}");
    }
    for line in ["INFO redlock", "info RedLock", "COMMAND", "COMMAND docs get", "command GETKEYS get a"] {
        assert_eq!(to(line, false), Destination::Own { lock: false }, "{line}");
    }
    for line in [
        "INFO",
        "INFO redlock server",
        "INFO server",
        "COMMAND HELP",
        "COMMAND NOPE",
        "GET a",
        "RLOCKS a",
        "PING",
        "CONFIG GET save",
        "POST / HTTP/1.1",
        "CLIENT ID",
    ] {
        assert_eq!(to(line, false), Destination::Upstream(Effect::None), "{line}");
    }
    assert_eq!(to("AUTH x", false), Destination::Upstream(Effect::Authenticate));
    assert_eq!(to("MULTI", true), Destination::Upstream(Effect::Multi));
    for line in ["AUTH x", "HELLO 3 AUTH default x", "HELLO 3 SETNAME x"] {
        assert_eq!(to(line, true), Destination::Door, "{line}");
    }
    assert!(matches!(to("HELLO 3", true), Destination::Upstream(Effect::Hello(_))));
}

#[test]
fn words_are_told_as_far_as_they_are_wanted_and_no_further() {
    for (bytes, is_told) in [
        (&b"*2\r\n$3\r\nGET\r\n"[..], true),
        (b"*2\r\n$6\r\nCLIENT\r\n", false),
        (b"*2\r\n$4\r\nINFO\r\n", false),
        (b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n", false),
        (b"*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n", true),
        (b"*2\r\n$6\r\nCLIENT\r\n$100\r\n", true),
    ] {
        let beginning = RequestDelimiter::beginning(bytes, is_word_wanted);
        assert_eq!(matches!(beginning, Beginning::Request(_)), is_told, "{:?}", bytes.escape_ascii().to_string());
    }
}

proptest! {
    #[test]
    fn whatever_is_sent_is_routed_or_refused(
        words in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from),
            prop::sample::select(table::all().collect::<Vec<_>>())
                .prop_map(|entry| Bytes::from_static(entry.last_word().as_bytes())),
            "[0-9]{1,6}".prop_map(Bytes::from),
        ], 0..6),
        mode in prop_oneof![Just(SessionMode::Open), Just(SessionMode::Unauthenticated)],
    ) {
        let count = words.len();
        match route(Request { arguments: words }, mode, Version::Resp2, &limits()) {
            Route::Lock(_) => prop_assert!(mode == SessionMode::Open && count >= 1),
            Route::Local(local) => prop_assert!(local.arguments.len() < count),
            Route::Refuse(error) => prop_assert!(!error.to_string().contains(char::is_control)),
            Route::Close => {}
        }
    }
}
