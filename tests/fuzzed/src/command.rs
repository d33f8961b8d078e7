//! Commands: what words are parsed to, and in which words they are refused.
//!
//! The bytes are a client's stream, as for `request`: each request in it is routed as a session would.

use bytes::{Bytes, BytesMut};
use redlock_proxy::command::table::{self, Action, Keys};
use redlock_proxy::command::{
    CommandError, CommandLimits, LockCommand, Options, Rextend, Rinspect, Rlock, Rmextend, Rmlock, Rmunlock, Runlock,
};
use redlock_proxy::limits::{KEYS_AT_ONCE, OWNER_BYTES, SESSION_TTL_MS};
use redlock_proxy::lock::{Drift, RESERVED_PREFIX, Resource, Ttl};
use redlock_proxy::protocol::{
    Beginning, Reply, Request, RequestDecoder, RequestDelimiter, RequestLimits, Version, encode_request,
};
use redlock_proxy::router::{Destination, Route, SessionMode, destination, is_word_wanted, route};
use std::time::Duration;

const LIMITS: RequestLimits =
    RequestLimits { elements: 1_024, bulk_bytes: 1_048_576, request_bytes: 1_048_576, unauthenticated: false };
/// Longest error line, in bytes.
const LINE_BYTES: usize = 1_024;
/// Small enough to be passed by a few bytes.
const KEY_BYTES: usize = 20;
const MAX_TTL_MS: u64 = 60_000;
const MAX_WAIT_MS: u64 = 3_600_000;

/// Routes each request of a client's stream; panics where a command does not say what it was told.
pub fn command(data: &[u8]) {
    let (mut decoder, mut buffer) = (RequestDecoder::default(), BytesMut::from(data));
    while let Ok(Some(request)) = decoder.decode(&mut buffer, &LIMITS) {
        for version in [Version::Resp2, Version::Resp3] {
            for mode in [SessionMode::Open, SessionMode::Unauthenticated] {
                check(&request.arguments, mode, version);
            }
        }
        check_destination(&request.arguments);
    }
}

fn limits() -> CommandLimits {
    let max_ttl = Ttl::from_millis(MAX_TTL_MS).expect("in range");
    let drift = Drift::from_parts_per_million(10_000);
    CommandLimits::new(KEY_BYTES, max_ttl, drift, Duration::from_millis(MAX_WAIT_MS))
}

fn routed(words: &[Bytes], mode: SessionMode, version: Version) -> Route {
    route(Request { arguments: words.to_vec() }, mode, version, &limits())
}

fn check(words: &[Bytes], mode: SessionMode, version: Version) {
    let known = table::find(words);
    match routed(words, mode, version) {
        Route::Refuse(error) => {
            check_refusal(&error, known.is_err());
            if mode == SessionMode::Unauthenticated && known.is_ok_and(|entry| !entry.needs_no_authentication()) {
                assert!(matches!(error, CommandError::NoAuthentication | CommandError::Arity(_)), "{error}");
            }
        }
        Route::Lock(command) => {
            assert_eq!(mode, SessionMode::Open, "{command:?} before a password was told");
            check_lock(&command, words, version);
        }
        Route::Local(request) => {
            let entry = known.expect("it was routed");
            assert_eq!(entry.action, Action::Local(request.command));
            assert!(entry.takes(words.len()));
            assert_eq!(request.arguments, words[entry.name_words().min(words.len())..], "{words:?}");
        }
        Route::Close => {
            assert!(words.first().is_some_and(|word| matches!(&word.to_ascii_lowercase()[..], b"post" | b"host:")));
        }
    }
}

/// One line, short, of printable text.
fn check_refusal(error: &CommandError, unknown: bool) {
    let text = error.to_string();
    assert!(text.len() <= LINE_BYTES && !text.contains(char::is_control), "{text:?}");
    let (code, words) = text.split_once(' ').expect("a code and words");
    assert!(matches!(code, "ERR" | "NOAUTH") && !words.is_empty(), "{text:?}");
    let is_unknown = matches!(error, CommandError::UnknownCommand { .. } | CommandError::UnknownSubcommand { .. });
    assert_eq!(is_unknown, unknown, "{text:?}");
    for version in [Version::Resp2, Version::Resp3] {
        let mut line = BytesMut::new();
        Reply::from(error.clone()).encode(version, &mut line);
        assert_eq!(line, format!("-{text}\r\n").as_bytes());
    }
}

fn check_lock(command: &LockCommand, words: &[Bytes], version: Version) {
    let entry = table::find(words).expect("it was routed");
    assert_eq!(entry.name, command.name());
    assert!(entry.takes(words.len()), "{words:?}");

    // It is about the keys of which its line in the table tells.
    let keys = match entry.keys {
        Keys::None => &words[..0],
        Keys::First(_) => &words[1..2],
        Keys::Counted(_) => {
            let count: usize = std::str::from_utf8(&words[1]).expect("digits").parse().expect("a number");
            &words[2..2 + count]
        }
    };
    let resources = command.resources();
    assert!(
        resources.iter().map(Resource::as_bytes).eq(keys.iter().map(|key| &key[..])),
        "{resources:?}, not {keys:?}"
    );
    assert!(keys.len() <= KEYS_AT_ONCE);
    for (place, key) in keys.iter().enumerate() {
        assert!(
            key.len() <= KEY_BYTES && !key.starts_with(RESERVED_PREFIX) && !keys[..place].contains(key),
            "{keys:?}"
        );
    }

    if let LockCommand::Rlock(Rlock { ttl, .. })
    | LockCommand::Rmlock(Rmlock { ttl, .. })
    | LockCommand::Rextend(Rextend { ttl, .. })
    | LockCommand::Rmextend(Rmextend { ttl, .. }) = command
    {
        assert!((limits().smallest_ttl_ms..=MAX_TTL_MS).contains(&ttl.as_millis()), "{command:?}");
        if let Some(options) = command.options() {
            check_options(options, *ttl, version);
        }
    }
    assert_eq!(command.takes(), matches!(command, LockCommand::Rlock(_) | LockCommand::Rmlock(_)));
    assert_eq!(&command.clone().detached(), command);

    // Written down and parsed again it is the same, in either case of its name.
    let written = written(command);
    for again in [written.clone(), with_other_case(&written)] {
        assert_eq!(routed(&again, SessionMode::Open, version), Route::Lock(command.clone()), "{again:?}");
    }
}

fn check_options(options: &Options, ttl: Ttl, version: Version) {
    assert!(options.owner.as_ref().is_none_or(|owner| (1..=OWNER_BYTES).contains(&owner.as_bytes().len())));
    assert!(options.wait <= Duration::from_millis(MAX_WAIT_MS));
    assert_eq!(options.waits(), !options.wait.is_zero());
    assert!(options.session.is_none() || ttl.as_millis() >= SESSION_TTL_MS);
    assert!(!options.notifies() || version == Version::Resp3, "a push in RESP2");
}

/// The command in words.
fn written(command: &LockCommand) -> Vec<Bytes> {
    let mut words = vec![Bytes::from(command.name())];
    let number = |number: u64| Bytes::from(number.to_string());
    if matches!(command, LockCommand::Rmlock(_) | LockCommand::Rmunlock(_) | LockCommand::Rmextend(_)) {
        words.push(number(command.resources().len() as u64));
    }
    words.extend(command.resources().iter().map(|resource| Bytes::copy_from_slice(resource.as_bytes())));
    if let LockCommand::Runlock(Runlock { token, .. })
    | LockCommand::Rextend(Rextend { token, .. })
    | LockCommand::Rmunlock(Rmunlock { token, .. })
    | LockCommand::Rmextend(Rmextend { token, .. }) = command
    {
        words.push(Bytes::copy_from_slice(token.as_bytes()));
    }
    match command {
        LockCommand::Rlock(Rlock { ttl, .. })
        | LockCommand::Rmlock(Rmlock { ttl, .. })
        | LockCommand::Rextend(Rextend { ttl, .. })
        | LockCommand::Rmextend(Rmextend { ttl, .. }) => words.push(number(ttl.as_millis())),
        LockCommand::Runlock(_)
        | LockCommand::Rmunlock(_)
        | LockCommand::Rinspect(Rinspect { .. })
        | LockCommand::Rprimaries => {}
    }
    let Some(options) = command.options() else { return words };
    // In another order than they are documented in.
    if let Some(binding) = options.session {
        words.push("SESSION".into());
        words.extend(binding.notify.then(|| "NOTIFY".into()));
    }
    words.extend(options.fence.then(|| "FENCE".into()));
    if options.waits() {
        words.extend(["WAIT".into(), number(u64::try_from(options.wait.as_millis()).expect("in range"))]);
    }
    if let Some(owner) = &options.owner {
        words.extend(["OWNER".into(), Bytes::copy_from_slice(owner.as_bytes())]);
    }
    words
}

fn with_other_case(words: &[Bytes]) -> Vec<Bytes> {
    let mut words = words.to_vec();
    words[0] = words[0].to_ascii_uppercase().into();
    words
}

/// Beside an upstream, whose a request is is told from its first words alone.
fn check_destination(words: &[Bytes]) {
    let mut written = BytesMut::new();
    encode_request(&words.iter().map(|word| &word[..]).collect::<Vec<_>>(), &mut written);
    let Beginning::Request(head) = RequestDelimiter::beginning(&written, is_word_wanted) else {
        panic!("no request begins with {words:?}");
    };
    let is_lock = table::find(words).is_ok_and(|entry| matches!(entry.action, Action::Lock(_)));
    for proxied_password in [false, true] {
        let destination = destination(&head, proxied_password);
        assert_eq!(destination == Destination::Own { lock: true }, is_lock, "{destination:?}: {words:?}");
    }
}
