//! One value at a time: defaults, ranges and kinds.

use super::*;
use crate::limits::{CLOCK_DRIFT_PPM, KEY_PREFIX_BYTES, SET_NAME_BYTES};

/// Where each whole number of the table ends up, as its key counts it.
fn number(config: &Config, path: &str) -> u128 {
    let milliseconds = |duration: Option<Duration>| duration.map_or(0, |duration| duration.as_millis());
    let limits = &config.limits;
    let count = match path {
        "max_ttl_ms" => return config.max_ttl.as_millis().into(),
        "max_wait_ms" => return config.max_wait.as_millis(),
        "attempts" => return config.attempts.into(),
        "retry_delay_ms" => return config.retry_delay.as_millis(),
        "node_timeout_ms" => return config.node_timeout.as_millis(),
        "silence_timeout_ms" => return config.silence_timeout.as_millis(),
        "connect_timeout_ms" => return config.connect_timeout.as_millis(),
        "probe_interval_ms" => return config.probe_interval.as_millis(),
        "fence_retention_ms" => return config.fence_retention.as_millis(),
        "shutdown_grace_ms" => return config.shutdown_grace.as_millis(),
        "session.max_lifetime_ms" => return milliseconds(config.session.max_lifetime),
        "session.client_silence_ms" => return milliseconds(config.session.client_silence),
        "tcp.keepalive_idle_ms" => return config.tcp.keepalive_idle.as_millis(),
        "tcp.keepalive_interval_ms" => return config.tcp.keepalive_interval.as_millis(),
        "tcp.keepalive_probes" => return config.tcp.keepalive_probes.into(),
        "tcp.user_timeout_ms" => return milliseconds(config.tcp.user_timeout),
        "limits.idle_timeout_ms" => return milliseconds(limits.idle_timeout),
        "links_per_primary" => config.links_per_primary,
        "worker_threads" => config.worker_threads,
        "limits.connections" => limits.connections,
        "limits.waiters" => limits.waiters,
        "limits.waiters_per_key" => limits.waiters_per_key,
        "limits.session_locks" => limits.session_locks,
        "limits.session_locks_per_connection" => limits.session_locks_per_connection,
        "limits.request_bytes" => limits.request_bytes,
        "limits.request_elements" => limits.request_elements,
        "limits.relayed_bulk_bytes" => limits.relayed_bulk_bytes,
        "limits.key_bytes" => limits.key_bytes,
        "limits.pipeline_depth" => limits.pipeline_depth,
        "limits.buffer_bytes" => limits.buffer_bytes,
        "limits.output_buffer_bytes" => limits.output_buffer_bytes,
        "limits.unauthenticated_elements" => limits.unauthenticated_elements,
        "limits.unauthenticated_bulk_bytes" => limits.unauthenticated_bulk_bytes,
        "limits.reply_nesting" => limits.reply_nesting,
        "limits.operations_per_primary" => limits.operations_per_primary,
        other => panic!("no test knows where {other} ends up"),
    };
    count.try_into().expect("128 bits")
}

#[test]
fn every_whole_number_has_its_default_and_its_range_from_every_source() {
    let defaults = three_primaries().config();
    for key in KEYS {
        let Kind::Integer { range, zero, default } = &key.kind else { continue };
        assert_eq!(number(&defaults, key.path), u128::from(*default), "{}", key.path);
        for source in SOURCES {
            let with = |value: &str| room_for(key).key(source, key, value);
            let zero = zero.map(|_| 0);
            for value in [*range.start(), *range.end()].into_iter().chain(zero) {
                let config = with(&value.to_string()).config();
                assert_eq!(number(&config, key.path), u128::from(value), "{} by {source:?}", key.path);
            }
            let (below, above) = (i128::from(*range.start()) - 1, i128::from(*range.end()) + 1);
            for value in [below, above, i128::MAX, i128::from(u64::MAX) + 1 + i128::from(*default)] {
                let expected = format!("{}{value} is out of range; right is: {}", source.place(key), key.range());
                assert_eq!(with(&value.to_string()).refusal(), expected, "{} by {source:?}", key.path);
            }
        }
    }
}

#[test]
fn a_whole_number_is_nothing_else() {
    for key in KEYS.iter().filter(|key| matches!(key.kind, Kind::Integer { .. })) {
        for (value, expected) in [
            ("\"5\"", "is text, not an integer; write digits without quotes"),
            ("five", "is text, not an integer"),
            ("1_000", "is text, not an integer"),
            ("1.5", "is a fraction, not an integer"),
            ("true", "is a boolean, not an integer"),
            ("[1]", "is a list, not an integer"),
            ("{a: 1}", "is a mapping, not an integer"),
            ("!five 5", "is a value with a tag, not an integer"),
            ("", "is nothing, not an integer"),
        ] {
            let refusal = room_for(key).key(Source::File, key, value).refusal();
            let expected = format!("{}{expected}", Source::File.place(key));
            assert!(refusal.starts_with(&expected) && refusal.ends_with(&key.range()), "{value}: {refusal}");
        }
        for source in [Source::Variable, Source::Flag] {
            for value in ["five", "1.5", "", "0x10", "5 ms"] {
                let expected = format!("{}`{value}` is not an integer; right is: {}", source.place(key), key.range());
                assert_eq!(room_for(key).key(source, key, value).refusal(), expected);
            }
        }
    }
}

#[test]
fn the_drift_factor_is_read_exactly_and_within_its_range() {
    let key = &keys::CLOCK_DRIFT_FACTOR;
    let drift = |parts| Drift::from_parts_per_million(parts);
    assert_eq!(three_primaries().config().drift, drift(10_000));
    assert_eq!((*CLOCK_DRIFT_PPM.start(), *CLOCK_DRIFT_PPM.end()), (0, 500_000));
    for source in SOURCES {
        let with = |value: &str| three_primaries().key(source, key, value);
        for (value, parts) in [
            ("0", 0),
            ("0.5", 500_000),
            ("0.000001", 1),
            ("0.07", 70_000),
            ("0.1", 100_000),
            ("1e-2", 10_000),
            ("0.30", 300_000),
        ] {
            assert_eq!(with(value).config().drift, drift(parts), "{value} by {source:?}");
        }
        for (value, shown) in [("0.500001", "0.500001"), ("-0.1", "-0.1"), ("1", "1"), ("5000", "5000")] {
            let expected = format!("{}{shown} is out of range; right is: {}", source.place(key), key.range());
            assert_eq!(with(value).refusal(), expected);
        }
        let refusal = with("0.0100001").refusal();
        assert_eq!(refusal, format!("{}0.0100001 has more than six decimal places; write fewer", source.place(key)));
    }
    for value in [".inf", "-.inf", ".nan", "1e300"] {
        assert!(three_primaries().key(Source::File, key, value).load().is_err(), "{value}");
    }
    assert!(three_primaries().key(Source::File, key, "much").refusal().contains("is text, not a number"));
    assert!(three_primaries().key(Source::Flag, key, "much").refusal().contains("`much` is not a number"));
}

#[test]
fn the_key_prefix_is_text_of_at_most_256_bytes() {
    let key = &keys::KEY_PREFIX;
    assert_eq!(three_primaries().config().key_prefix, Bytes::new());
    let longest = "x".repeat(KEY_PREFIX_BYTES);
    for source in SOURCES {
        for value in ["locks.", "ü", longest.as_str()] {
            assert_eq!(three_primaries().key(source, key, value).config().key_prefix, value.as_bytes());
        }
        let refusal = three_primaries().key(source, key, &format!("{longest}x")).refusal();
        assert_eq!(refusal, format!("{}is 257 bytes long; right is: text, at most 256 bytes", source.place(key)));
    }
    let refusal = three_primaries().key(Source::File, key, "7").refusal();
    assert_eq!(refusal, "redlock.yaml:1: key_prefix: is an integer, not text; put it in quotes");
}

#[test]
fn the_log_is_text_or_json_at_a_level_that_is_one() {
    let log = three_primaries().config().log;
    assert_eq!(log, Log { level: "info".to_owned(), format: LogFormat::Text });
    for source in SOURCES {
        let with = |key: &Key, value: &str| three_primaries().key(source, key, value);
        assert_eq!(with(&keys::LOG_FORMAT, "json").config().log.format, LogFormat::Json);
        assert_eq!(with(&keys::LOG_FORMAT, "text").config().log.format, LogFormat::Text);
        let filter = "redlock_proxy=debug,warn";
        assert_eq!(with(&keys::LOG_LEVEL, filter).config().log.level, filter);

        let expected = format!("{}`xml` is not known; right is: text or json", source.place(&keys::LOG_FORMAT));
        assert_eq!(with(&keys::LOG_FORMAT, "xml").refusal(), expected);
        let refusal = with(&keys::LOG_LEVEL, "inof").refusal();
        let expected = format!("{}`inof` is not a filter; right is: error, warn, info", source.place(&keys::LOG_LEVEL));
        assert!(refusal.starts_with(&expected), "{refusal}");
    }
}

#[test]
fn a_password_comes_from_one_place_and_an_empty_one_is_none() {
    let password = |given: &Given| given.config().password.map(|secret| secret.expose().to_owned());
    assert_eq!(password(&three_primaries()), None);
    for source in SOURCES {
        let given = three_primaries().key(source, &keys::AUTH_PASSWORD, "hidden");
        assert_eq!(password(&given).as_deref(), Some("hidden"), "{source:?}");
        let given = three_primaries();
        let file = given.write("secret", "first line\r\nsecond\n");
        let given = given.key(source, &keys::AUTH_PASSWORD_FILE, &file);
        assert_eq!(password(&given).as_deref(), Some("first line"), "{source:?}");
    }
    for value in ["''", "~", "", "${UNSET:-}"] {
        assert_eq!(password(&three_primaries().key(Source::File, &keys::AUTH_PASSWORD, value)), None, "{value}");
    }
    let both = three_primaries().file("auth:\n  password: hidden\n  password_file: /x\n").refusal();
    assert!(both.starts_with("redlock.yaml:3: auth.password_file: stands beside `auth.password`; keep one"), "{both}");

    // From different sources the stronger one decides, also for none at all.
    let given = three_primaries();
    let file = given.write("secret", "of the file\n");
    let given = given.file(format!("auth:\n  password_file: {file}\n"));
    assert_eq!(password(&given).as_deref(), Some("of the file"));
    let given = given.variable("REDLOCK_PROXY_AUTH__PASSWORD", "of the variable");
    assert_eq!(password(&given).as_deref(), Some("of the variable"));
    let given = given.flag("auth.password", "");
    assert_eq!(password(&given), None);
    let given = three_primaries();
    let file = given.write("secret", "of the file\n");
    let given = given.file("auth: {password: weaker}\n").flag("auth.password_file", &file);
    assert_eq!(password(&given).as_deref(), Some("of the file"));
}

#[test]
fn a_password_file_must_hold_one_and_should_be_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let with_file = |text: &str, mode: u32| {
        let given = three_primaries();
        let file = given.write("secret", text);
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("our own file");
        given.flag("auth.password_file", &file)
    };
    assert!(with_file("hidden\n", 0o640).warnings().is_empty());
    let warning = with_file("hidden\n", 0o644).warnings();
    assert_eq!(warning, ["--set auth.password_file: auth.password_file: others may read \"secret\"; `chmod o-r` it"]);
    assert!(with_file("\nhidden\n", 0o600).refusal().contains("\"secret\": its first line is empty; it must be"));
    assert!(with_file("", 0o600).refusal().contains("its first line is empty"));
    let missing = three_primaries().flag("auth.password_file", "/nowhere/secret").refusal();
    assert!(missing.contains("\"/nowhere/secret\" cannot be read: No such file"), "{missing}");
}

#[test]
fn values_that_do_not_fit_together_are_refused_where_they_were_given() {
    for (text, expected) in [
        ("silence_timeout_ms: 50\n", "1: silence_timeout_ms: is 50; it must be more than node_timeout_ms, which is 50"),
        (
            "node_timeout_ms: 1000\n",
            "1: node_timeout_ms: is 1000; silence_timeout_ms, which is 1000, must be more than it",
        ),
        (
            "limits:\n  output_buffer_bytes: 65535\n",
            "2: limits.output_buffer_bytes: is 65535; it must be at least limits.buffer_bytes, which is 65536",
        ),
        (
            "limits:\n  buffer_bytes: 8388609\n",
            "2: limits.buffer_bytes: is 8388609; limits.output_buffer_bytes, which is 8388608, must be at least it",
        ),
    ] {
        assert_eq!(three_primaries().file(text).refusal(), format!("redlock.yaml:{expected}"));
    }
    three_primaries().file("silence_timeout_ms: 51\nlimits: {output_buffer_bytes: 65536}\n").config();
}

#[test]
fn a_set_has_a_name_that_a_marker_can_hold() {
    let key = &keys::SET_NAME;
    assert_eq!(three_primaries().config().set_name, "main");
    let longest = "x".repeat(SET_NAME_BYTES);
    for source in SOURCES {
        for name in ["a", "A-b_c.9", longest.as_str()] {
            assert_eq!(three_primaries().key(source, key, name).config().set_name, name);
        }
        for name in ["two words", "\u{e4}", "a/b", &format!("{longest}x")] {
            let refusal = three_primaries().key(source, key, name).refusal();
            assert!(refusal.ends_with("right is: 1 to 64 letters, digits, `_`, `.` and `-`"), "{refusal}");
        }
    }
}

#[test]
fn quarantine_and_new_sets_are_words() {
    let config = three_primaries().config();
    assert_eq!((config.quarantine, config.new_set), (Quarantine::Auto, NewSet::Wait));
    for source in SOURCES {
        assert_eq!(three_primaries().key(source, &keys::QUARANTINE, "off").config().quarantine, Quarantine::Off);
        assert_eq!(three_primaries().key(source, &keys::NEW_SET, "at_once").config().new_set, NewSet::AtOnce);
        let expected = format!("{}`never` is not known; right is: auto or off", source.place(&keys::QUARANTINE));
        assert_eq!(three_primaries().key(source, &keys::QUARANTINE, "never").refusal(), expected);
    }
}
