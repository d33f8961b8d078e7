use super::*;

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp { host: host.to_owned(), port }
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    text.parse().map_err(|error: AddressError| error.to_string())
}

#[test]
fn every_form_of_an_address_is_understood() {
    for (text, address) in [
        ("host:1", tcp("host", 1)),
        (" Host.Example:65535 ", tcp("host.example", 65535)),
        ("[::1]:6379", tcp("::1", 6379)),
        ("[0:0:0:0:0:0:0:1]:6379", tcp("::1", 6379)),
        ("[fe80::1%eth0]:1", tcp("fe80::1%eth0", 1)),
        ("redis://host", tcp("host", 6379)),
        ("redis://host/", tcp("host", 6379)),
        ("redis://host:1", tcp("host", 1)),
        ("redis://[::1]", tcp("::1", 6379)),
        ("redis://[::1]:1/", tcp("::1", 1)),
        ("unix:/run/redis.sock", Address::Unix("/run/redis.sock".into())),
        ("unix:///run/redis.sock", Address::Unix("/run/redis.sock".into())),
    ] {
        assert_eq!(endpoint(text), Ok(Endpoint { address, user: None, password: None, database: 0 }), "{text}");
    }
}

#[test]
fn credentials_and_database_are_percent_decoded() {
    for (text, user, password, database) in [
        ("redis://u:p@h/3", Some("u"), Some("p"), 3),
        ("redis://:p@h", None, Some("p"), 0),
        ("redis://u@h", Some("u"), None, 0),
        ("redis://:@h", None, None, 0),
        ("redis://a%3Ab:p%40%25%2f%C3%BC@h:1/4294967295", Some("a:b"), Some("p@%/ü"), u32::MAX),
        // Not encoded, and still what was meant.
        ("redis://u:p@ss/w:rd@h", Some("u"), Some("p@ss/w:rd"), 0),
    ] {
        let endpoint = endpoint(text).expect(text);
        let secret = endpoint.password.as_ref().map(Secret::expose);
        assert_eq!((endpoint.user.as_deref(), secret, endpoint.database), (user, password, database), "{text}");
    }
}

#[test]
fn what_is_no_address_is_told_what_would_be_one() {
    for (text, expected) in [
        ("", "write `host:port`"),
        ("host", "`host` has no port; write `host:6379`"),
        ("6379", "`6379` has no host; write `127.0.0.1:6379`"),
        ("[::1]", "`[::1]` has no port; write `[::1]:6379`"),
        (":6379", "no host in front of the port; write `127.0.0.1:6379`"),
        ("*:6379", "write `0.0.0.0:6379`"),
        ("::1:6379", "an IPv6 address stands in brackets: `[::1]:6379`"),
        ("[::1:6379", "opens a bracket that is not closed"),
        ("[host]:6379", "`host` is not an IPv6 address"),
        ("[::1]6379", "`6379` behind the bracket; write `[::1]:6379`"),
        ("host:", "the port is not a number; write 1 to 65535"),
        ("host:redis", "the port is not a number"),
        ("host:+1", "the port is not a number"),
        ("host:65536", "the port is too large; write 1 to 65535"),
        ("a b:1", "`a b` is not a host's name"),
        ("u:p@host:1", "needs the form `redis://user:password@host:port`"),
        ("rediss://host:1", "TLS is not supported yet"),
        ("http://host:1", "`http://` is not known; write `host:port`, `redis://host:port` or `unix:/path`"),
        ("redis://", "no host in front of the port"),
        ("redis://host/x", "the database is not a number"),
        ("redis://host/4294967296", "the database's number is too large"),
        ("redis://host/0?x=1", "options behind `?` or `#` are not supported"),
        ("redis://u:100%@host", "a `%` in the password that begins no code; write `%25`"),
        ("redis://u:%zz@host", "a `%` in the password that begins no code"),
        ("redis://%ff:p@host", "the user is not UTF-8"),
        ("unix:redis.sock", "`unix:redis.sock` is not absolute; write `unix:/path`"),
        ("unix:/", "names no socket"),
    ] {
        let error = endpoint(text).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
    let long = endpoint(&format!("unix:/{}", "x".repeat(200))).expect_err("too long");
    assert!(long.contains("is not a socket's path"), "{long}");
}

#[test]
fn an_error_never_quotes_what_may_be_a_password() {
    for text in [
        "redis://u:hidden",
        "redis://u:hidden/0",
        "redis://u:x/hidden",
        "redis://:hidden",
        "u:hidden@host",
        "redis://u:hidden%@host:1",
        "redis://u:hidden@host:x",
        "redis://u:hidden@a b",
        "redis://u:v:hidden",
        "rediss://u:hidden@host",
        "http://u:hidden@host",
        "redis://u:hidden@host?x",
        "redis://u:hidden@[host]:1",
    ] {
        let error = endpoint(text).expect_err(text);
        assert!(!error.contains("hidden"), "{text}: {error}");
    }
}

#[test]
fn an_address_to_listen_on_has_neither_credentials_nor_database() {
    let listen = |text: &str| text.parse::<Address>().map_err(|error| error.to_string());
    assert_eq!(listen("redis://host"), Ok(tcp("host", 6379)));
    assert_eq!(listen("host:0"), Ok(tcp("host", 0)));
    assert!(listen("redis://u:p@host").expect_err("credentials").contains("no user and no password"));
    assert!(listen("redis://host/1").expect_err("a database").contains("no database"));
}

#[test]
fn an_address_reads_back_what_it_shows() {
    for text in ["host:1", "[::1]:1", "unix:/run/a b", "[fe80::1%eth0]:1"] {
        assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
    }
}
