//! Which source counts, what names are known, and where an error is placed.

use std::ffi::OsString;

use super::*;

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let attempts = |given: &Given| given.config().attempts;
    let given = three_primaries();
    assert_eq!(attempts(&given), 3);
    let given = given.file("attempts: 4\nlisten: [f:1, f:2]\n");
    assert_eq!(attempts(&given), 4);
    let given = given.variable("REDLOCK_PROXY_ATTEMPTS", "5").variable("REDLOCK_PROXY_LISTEN", "v:1");
    assert_eq!(attempts(&given), 5);
    let given = given.flag("attempts", "6");
    assert_eq!(attempts(&given), 6);
    // A list replaces the whole list.
    assert_eq!(given.config().listen, [Address::Tcp { host: "v".to_owned(), port: 1 }]);
    // What a stronger source replaced is not even looked at.
    assert_eq!(attempts(&three_primaries().file("attempts: many\n").flag("attempts", "7")), 7);
}

#[test]
fn names_that_are_no_keys_are_refused_with_the_nearest() {
    for (text, expected) in [
        ("max_ttl: 5\n", "1: max_ttl: is not a key; did you mean `max_ttl_ms`?"),
        ("connections: 5\n", "1: connections: is not a key; did you mean `limits.connections`?"),
        ("limits:\n  conections: 5\n", "2: limits.conections: is not a key; did you mean `limits.connections`?"),
        ("limits.connections: 5\n", "1: limits.connections: write `limits:` and `connections:` indented below it"),
        ("limits: 5\n", "1: limits: is an integer; it is a section, its keys stand indented below it"),
        ("'': {attempts: 1}\n", "1: is not a key; `redlock-proxy check --primary localhost:6379` shows all there are"),
        ("\"a\\nb\": 1\n", "1: a?b: is not a key; `redlock-proxy check --primary localhost:6379` shows all there are"),
        ("upstreams: a:1\n", "1: upstreams: is not a key; did you mean `upstream`?"),
        ("attempts: 1\nattempts: 2\n", "2: attempts: stands here a second time; keep one of the two"),
        ("limits:\n  key_bytes: 1\ntcp:\nlimits:\n", "4: limits: stands here a second time; keep one of the two"),
        ("limits:\n  key_bytes: 1\n  key_bytes: 2\n", "3: limits.key_bytes: stands here a second time"),
    ] {
        let refusal = three_primaries().file(text).refusal();
        assert!(refusal.starts_with(&format!("redlock.yaml:{expected}")), "{refusal}");
    }
    let refusal = three_primaries().variable("REDLOCK_PROXY_LIMITS__WAITERZ", "1").refusal();
    assert!(refusal.starts_with("REDLOCK_PROXY_LIMITS__WAITERZ: is not a key's variable"), "{refusal}");
    let refusal = three_primaries().variable("REDLOCK_PROXY_ATEMPTS", "1").refusal();
    assert_eq!(refusal, "REDLOCK_PROXY_ATEMPTS: is not a key's variable; did you mean REDLOCK_PROXY_ATTEMPTS?");
    let refusal = three_primaries().flag("atempts", "1").refusal();
    assert_eq!(refusal, "--set atempts: atempts: is not a key; did you mean `attempts`?");
    let refusal = three_primaries().flag("attempts", "1").flag("attempts", "2").refusal();
    assert_eq!(
        refusal,
        "--set attempts: attempts: is given a second time, by --set attempts before; keep one of the two"
    );
    three_primaries().file("limits:\n  # all commented out\n").variable("OTHER_LISTEN", "x").config();
}

#[test]
fn a_file_that_is_no_configuration_is_refused_clearly() {
    for (bytes, expected) in [
        (b"".as_slice(), ": is empty; name at least `primaries:`"),
        (b"# nothing\n", ": is empty; name at least `primaries:`"),
        (b"- a:1\n- b:1\n", ":1: is a list; it must be `key: value` lines, as in `attempts: 3`"),
        (b"just text\n", ":1: is text; it must be `key: value` lines"),
        (b"attempts: 3\nlimits:\n\tkey_bytes: 5\n", ":3: is not YAML: "),
        (b"attempts: [3\n", ":2: is not YAML: "),
        (b"attempts: 3\n# caf\xe9\n", ":2: is not UTF-8"),
    ] {
        // Without primaries: what is missing in a file that cannot be read is not told on top.
        let refusal = nothing().file(bytes).refusal();
        assert!(refusal.starts_with(&format!("redlock.yaml{expected}")), "{refusal}");
        assert_eq!(refusal.lines().count(), 1, "{refusal}");
    }
    assert!(nothing().file("a:\n\tb: 5\n").refusal().ends_with("; indent with spaces, not with tabs"));
    let mut missing = nothing();
    missing.sources.file = Some(missing.folder.path().join("none.yaml"));
    assert!(missing.refusal().starts_with("none.yaml: cannot be read: No such file"));
    let large = nothing().file(vec![b'#'; 1024 * 1024 + 1]).refusal();
    assert_eq!(large, "redlock.yaml: is larger than 1048576 bytes");
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_their_places() {
    let text = "\
attempts: 0
primaries:
  - nowhere
  - b:2
limits:
  connections: none
lissten: [a:1]
quorum: 9
";
    let refusal = nothing().file(text).variable("REDLOCK_PROXY_LOG__FORMAT", "xml").flag("max_ttl_ms", "1").refusal();
    let expected = "\
redlock.yaml:1: attempts: 0 is out of range; right is: attempts, 1 to 100
redlock.yaml:3: primaries[0]: `nowhere` has no port; write `nowhere:6379`
redlock.yaml:6: limits.connections: is text, not an integer; write digits without quotes; right is: clients, 1 to 1000000
redlock.yaml:7: lissten: is not a key; did you mean `listen`?
REDLOCK_PROXY_LOG__FORMAT: log.format: `xml` is not known; right is: text or json
--set max_ttl_ms: max_ttl_ms: 1 is out of range; right is: milliseconds, 1000 to 86400000";
    assert_eq!(refusal, expected);
}

#[test]
fn a_variable_in_the_file_stands_for_whatever_the_key_wants_and_is_never_quoted() {
    let given = |text: &str| three_primaries().file(text).variable("VALUE", "7").variable("HIDDEN", "hidden");
    assert_eq!(given("attempts: ${VALUE}\n").config().attempts, 7);
    assert_eq!(given("attempts: ${UNSET:-8}\n").config().attempts, 8);
    assert_eq!(given("key_prefix: a$$b${VALUE}\n").config().key_prefix, "a$b7");
    let refusal = given("attempts: ${HIDDEN}\n").refusal();
    assert!(refusal.starts_with("redlock.yaml:1: attempts: `${HIDDEN}` is not an integer"), "{refusal}");
    assert!(!refusal.contains("hidden"), "{refusal}");
    let refusal = given("attempts: 3\nkey_prefix: ${UNSET}\n").refusal();
    let expected = "redlock.yaml:2: key_prefix: the variable UNSET is not set; set it, or write `${UNSET:-default}`";
    assert_eq!(refusal, expected);
    let mut given = given("key_prefix: ${BINARY}\n");
    let binary = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
    given.sources.environment.push((OsString::from("BINARY"), binary));
    assert_eq!(given.refusal(), "redlock.yaml:1: key_prefix: the variable BINARY is not UTF-8");
}
