//! Lists of servers, and the quorum.

use super::*;

#[test]
fn listen_takes_addresses_and_nothing_that_belongs_to_a_primary() {
    let key = &keys::LISTEN;
    let shown = |given: Given| given.config().listen.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(three_primaries()), ["127.0.0.1:6379"]);
    assert_eq!(shown(three_primaries().key(Source::File, key, "[127.0.0.1:1, 'unix:/s']")), ["127.0.0.1:1", "unix:/s"]);
    assert_eq!(
        shown(three_primaries().key(Source::Variable, key, "[::1]:1 , localhost:2")),
        ["[::1]:1", "localhost:2"]
    );
    assert_eq!(
        shown(three_primaries().key(Source::Flag, key, "localhost:0,localhost:0")),
        ["localhost:0", "localhost:0"]
    );
    let repeated = three_primaries().entry("--listen", "listen", "a:1").entry("--listen", "listen", "b:2");
    assert_eq!(shown(repeated), ["a:1", "b:2"]);

    let sixteen: Vec<String> = (1..=16).map(|port| format!("h:{port}")).collect();
    assert_eq!(shown(three_primaries().key(Source::Variable, key, &sixteen.join(","))), sixteen);
    for (text, expected) in [
        ("listen: [a:1,\n  redis://u:hidden@b:2]\n", "redlock.yaml:2: listen[1]: an address to listen on has no user"),
        ("listen: ['redis://a:1/3']\n", "redlock.yaml:1: listen[0]: an address to listen on has no database"),
        ("listen:\n  - A:1\n  - a:1\n", "redlock.yaml:3: listen[1]: a:1 is listed twice; keep one"),
        ("listen:\n  - host\n", "redlock.yaml:2: listen[0]: `host` has no port; write `host:6379`"),
        ("listen:\n  - 6379\n", "redlock.yaml:2: listen[0]: is an integer, not text; put it in quotes"),
        ("listen: a:1\n", "redlock.yaml:1: listen: is text; it must be a list, as in `[\"127.0.0.1:6379\"]`"),
        ("listen: []\n", "redlock.yaml:1: listen: has 0 entries; right is: addresses, 1 to 16 of them"),
        ("listen:\n", "redlock.yaml:1: listen: is nothing; it must be a list"),
    ] {
        let refusal = three_primaries().file(text).refusal();
        assert!(refusal.starts_with(expected), "{text}: {refusal}");
        assert!(!refusal.contains("hidden"), "{refusal}");
    }
    let refusal = three_primaries().key(Source::Variable, key, &format!("{},h:17", sixteen.join(","))).refusal();
    assert_eq!(refusal, "REDLOCK_PROXY_LISTEN: listen: has 17 entries; right is: addresses, 1 to 16 of them");
}

#[test]
fn primaries_are_addresses_or_mappings() {
    let endpoint = |host: &str, user: Option<&str>, password: Option<&str>, database| Endpoint {
        address: Address::Tcp { host: host.to_owned(), port: 1 },
        user: user.map(str::to_owned),
        password: password.map(|password| Secret::new(password.to_owned())),
        database,
    };
    let given = nothing();
    let file = given.write("secret", "from the file\nnot this\n");
    let text = format!(
        "primaries:
  - a:1
  - redis://u:p%40ss@b:1/7
  - {{address: 'c:1', user: me, password: '${{PASSWORD}}'}}
  - address: redis://d:1/2
    password_file: {file}
  - address: e:1
    password: ''
"
    );
    let given = given.file(text).variable("PASSWORD", "from the environment");
    let expected = [
        endpoint("a", None, None, 0),
        endpoint("b", Some("u"), Some("p@ss"), 7),
        endpoint("c", Some("me"), Some("from the environment"), 0),
        endpoint("d", None, Some("from the file"), 2),
        endpoint("e", None, None, 0),
    ];
    assert_eq!(given.config().primaries, expected);

    let by_comma = nothing().variable("REDLOCK_PROXY_PRIMARIES", "a:1, redis://u:p%40ss@b:1/7").config();
    assert_eq!(by_comma.primaries, expected[..2]);
    let substituted = nothing().file("primaries: ${LIST}\n").variable("LIST", "a:1,redis://u:p%40ss@b:1/7").config();
    assert_eq!(substituted.primaries, expected[..2]);
}

#[test]
fn a_wrong_primary_is_named_with_its_line() {
    for (text, expected) in [
        ("- a:1\n- A:1\n", "3: primaries[1]: is the same server as primaries[0]; it has one vote, name it once"),
        ("- '[::1]:1'\n- '[0:0::1]:1'\n", "3: primaries[1]: is the same server as primaries[0]"),
        ("- redis://a:1/1\n- redis://a:1/2\n", "3: primaries[1]: is the same server as primaries[0]"),
        ("- a:0\n", "2: primaries[0]: the port is 0; write 1 to 65535"),
        ("- rediss://a:1\n", "2: primaries[0]: `rediss://`: TLS is not supported yet; write `redis://`"),
        ("- {user: me, password: hidden}\n", "2: primaries[0]: has no address; write `address: host:port`"),
        ("- {address: a:1, user: me}\n", "2: primaries[0]: has a user but no password; give both or none"),
        ("- redis://me@a:1\n", "2: primaries[0]: has a user but no password; give both or none"),
        ("- address: redis://u:hidden@a:1\n  user: v\n", "2: primaries[0]: has its user in two places; keep one"),
        (
            "- address: redis://u:hidden@a:1\n  password: p\n",
            "2: primaries[0]: has its password in two places; keep one",
        ),
        ("- address: a:1\n  db: 3\n", "3: primaries[0].db: is not known here; `address`, `user`, `password`"),
        ("- address: a:1\n  address: b:1\n", "3: primaries[0].address: stands here a second time; keep one"),
        ("- address: a:1\n  password: 123\n", "3: primaries[0].password: is an integer, not text; put it in quotes"),
        ("- address: a:1\n  password: [hidden]\n", "3: primaries[0].password: is a list, not text"),
        ("- address: a:1\n  password: $hidden\n", "3: primaries[0].password: a `$` that begins neither"),
        (
            "- address: a:1\n  password_file: /nowhere\n",
            "3: primaries[0].password_file: \"/nowhere\" cannot be read: No such",
        ),
        ("- ~\n", "2: primaries[0]: has no value; write text"),
        ("- [a:1]\n", "2: primaries[0]: is a list, not text"),
    ] {
        let refusal = nothing().file(format!("primaries:\n{text}")).refusal();
        assert!(refusal.starts_with(&format!("redlock.yaml:{expected}")), "{text}: {refusal}");
        assert!(!refusal.contains("hidden"), "{refusal}");
        assert_eq!(refusal.lines().count(), 1, "{refusal}");
    }
    let ten: Vec<String> = (1..=10).map(|port| format!("h:{port}")).collect();
    let refusal = nothing().variable("REDLOCK_PROXY_PRIMARIES", &ten.join(",")).refusal();
    assert_eq!(refusal, "REDLOCK_PROXY_PRIMARIES: primaries: has 10 entries; right is: addresses, 1 to 9 of them");
    assert_eq!(nothing().variable("REDLOCK_PROXY_PRIMARIES", &ten[..9].join(",")).config().primaries.len(), 9);
    let refusal = nothing().entry("--primary", "primaries", "a:1").entry("--primary", "primaries", "b").refusal();
    assert_eq!(refusal, "--primary: primaries[1]: `b` has no port; write `b:6379`");
}

#[test]
fn without_primaries_the_error_names_two_ways_out() {
    let text = "primaries: none is named; name them with --primary, or try `redlock-proxy dev`";
    assert_eq!(nothing().refusal(), text);
    assert_eq!(nothing().file("attempts: 3\n").refusal(), format!("redlock.yaml: {text}"));
}

#[test]
fn even_and_single_primaries_are_warned_of() {
    let warnings = |primaries: &str| nothing().variable("REDLOCK_PROXY_PRIMARIES", primaries).warnings();
    let place = "REDLOCK_PROXY_PRIMARIES: primaries: ";
    assert_eq!(
        warnings("a:1"),
        [format!("{place}one primary is no redundancy: when it is down, no lock can be taken; name three")]
    );
    let even = warnings("a:1,b:1,c:1,d:1");
    assert_eq!(even, [format!("{place}4 primaries can do without 1, and so can 3; name an odd number")]);
    assert!(warnings("a:1,b:1,c:1").is_empty());
    assert!(warnings("a:1,b:1,c:1,d:1,e:1").is_empty());
}

#[test]
fn a_quorum_is_the_majority_or_more() {
    let key = &keys::QUORUM;
    assert_eq!(three_primaries().config().quorum, Quorum::majority(3).expect("three"));
    assert_eq!(three_primaries().key(Source::File, key, "null").config().quorum.needed(), 2);
    for source in SOURCES {
        let with = |value: &str| three_primaries().key(source, key, value);
        for needed in [2, 3] {
            assert_eq!(with(&needed.to_string()).config().quorum, Quorum::new(needed, 3).expect("possible"));
        }
        for wrong in ["-1", "0", "1", "4", "18446744073709551618"] {
            let expected =
                format!("{}{wrong} of 3 primaries is no quorum; right is: the majority, 2, to 3", source.place(key));
            assert_eq!(with(wrong).refusal(), expected);
        }
    }
    assert!(three_primaries().key(Source::File, key, "half").refusal().contains("is text, not an integer"));
    assert!(three_primaries().key(Source::Flag, key, "half").refusal().contains("`half` is not an integer"));
}

#[test]
fn the_upstream_is_one_server_written_like_a_primary_or_none() {
    let key = &keys::UPSTREAM;
    let endpoint = |user: Option<&str>, password: Option<&str>, database| Endpoint {
        address: Address::Tcp { host: "u".to_owned(), port: 1 },
        user: user.map(str::to_owned),
        password: password.map(|password| Secret::new(password.to_owned())),
        database,
    };
    assert_eq!(three_primaries().config().upstream, None);
    assert_eq!(three_primaries().key(Source::File, key, "null").config().upstream, None);
    assert_eq!(three_primaries().key(Source::Variable, key, "").config().upstream, None);
    for source in SOURCES {
        let with = |value: &str| three_primaries().key(source, key, value);
        assert_eq!(with("u:1").config().upstream, Some(endpoint(None, None, 0)));
        assert_eq!(with("redis://me:p%40ss@u:1/3").config().upstream, Some(endpoint(Some("me"), Some("p@ss"), 3)));
        let unix = with("unix:/run/u.sock").config().upstream.map(|upstream| upstream.address);
        assert_eq!(unix, Some(Address::Unix("/run/u.sock".into())));
        assert!(with("u").refusal().starts_with(&format!("{}`u` has no port", source.place(key))));
        assert!(with("rediss://u:1").refusal().contains("TLS is not supported yet"));
        assert!(with("u:0").refusal().contains("the port is 0"));
        let itself = format!("{}is one of the primaries: ", source.place(key));
        let warnings = with("b:2").warnings();
        assert!(warnings.len() == 1 && warnings[0].starts_with(&itself), "{warnings:?}");
    }
    let given = nothing();
    let file = given.write("secret", "from the file\n");
    let given =
        given.file(format!("primaries: [a:1, b:1, c:1]\nupstream: {{address: 'u:1', password_file: {file}}}\n"));
    assert_eq!(given.config().upstream, Some(endpoint(None, Some("from the file"), 0)));
    assert!(
        given.yaml().contains("upstream: # redlock.yaml:2\n  address: \"u:1\"\n  password_file: "),
        "{}",
        given.yaml()
    );
    assert_eq!(nothing().file(given.load().expect("valid").to_yaml()).config().upstream, given.config().upstream);
    let refusal = three_primaries().file("upstream:\n  address: u:1\n  pasword: hidden\n").refusal();
    assert!(refusal.starts_with("redlock.yaml:3: upstream.pasword: is not known here"), "{refusal}");
    let refusal = three_primaries().file("upstream: [u:1]\n").refusal();
    assert!(refusal.starts_with("redlock.yaml:1: upstream: is a list, not text"), "{refusal}");
}

#[test]
fn listening_beyond_this_machine_without_a_password_is_warned_of_once() {
    let listen = |addresses: &str| three_primaries().flag("listen", addresses);
    for local in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1", "unix:/s"] {
        assert!(listen(local).warnings().is_empty(), "{local}");
    }
    let expected = ["--set listen: listen: other machines may connect, and there is no auth.password"];
    for open in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1,10.0.0.2:1", "example.com:1", "127.0.0.1:1,0.0.0.0:2"] {
        assert_eq!(listen(open).warnings(), expected, "{open}");
        assert!(listen(open).flag("auth.password", "hidden").warnings().is_empty(), "{open}");
    }
}
