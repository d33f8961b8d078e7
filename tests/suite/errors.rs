//! What a client reads when it has made a mistake, to the byte; that the connection then goes on, unless the mistake was in
//! the framing; and that no primary was asked.

use std::collections::BTreeSet;

use support::scripted::Recorded;
use support::{ByteClient, Kind, ScriptedNode, Value};

use crate::common::{Rig, patient, start};

/// A request and the error it gets, without dash and line end.
type Row = (Vec<String>, String);

fn row(line: &str, error: &str) -> Row {
    (line.split(' ').map(str::to_owned).collect(), error.to_owned())
}

const INTEGER: &str = "ERR value is not an integer or out of range";
const SYNTAX: &str = "ERR syntax error";
const OWNER: &str = "ERR invalid owner: 1 to 200 bytes";
const TOKEN: &str = "ERR invalid token: 1 to 256 bytes";
const TOO_LONG: &str = "ERR key is too long: at most 4096 bytes";
const RESERVED: &str = "ERR names beginning with 'redlock-proxy:' are reserved";

fn arity() -> Vec<Row> {
    let counts = [
        ("rlock", &["RLOCK", "RLOCK k"][..]),
        ("runlock", &["RUNLOCK", "runlock k", "RUNLOCK k t x"]),
        ("rextend", &["REXTEND", "REXTEND k t", "rExtend k t 1000 x"]),
    ];
    let rows = counts.into_iter().flat_map(|(name, lines)| lines.iter().map(move |line| (name, line)));
    rows.map(|(name, line)| row(line, &format!("ERR wrong number of arguments for '{name}' command"))).collect()
}

fn times() -> Vec<Row> {
    let mut rows = Vec::new();
    for number in ["x", "", "+5000", " 5000", "5000 ", "05000", "5000.0", "0x10", "9223372036854775808", "5e3"] {
        rows.push((vec!["RLOCK".into(), "k".into(), number.into()], INTEGER.into()));
        rows.push((vec!["REXTEND".into(), "k".into(), "t".into(), number.into()], INTEGER.into()));
    }
    for number in ["3", "1", "0", "-1", "-9223372036854775808", "60001", "9223372036854775807"] {
        for (name, line) in [("rlock", format!("RLOCK k {number}")), ("rextend", format!("REXTEND k t {number}"))] {
            let error = format!("ERR invalid expire time in '{name}' command: 4 to 60000 milliseconds");
            rows.push(row(&line, &error));
        }
    }
    rows
}

fn names() -> Vec<Row> {
    let (long_key, long_owner, long_token) = ("k".repeat(4097), "o".repeat(201), "t".repeat(257));
    let mut rows = vec![
        row("RLOCK k 1000 NOPE", SYNTAX),
        row("RLOCK k 1000 OWNER", SYNTAX),
        row("RLOCK k 1000 OWNER a OWNER b", SYNTAX),
        row("RLOCK k 1000 OWNER a owner", SYNTAX),
        row("RLOCK k 1000 OWNER a b", SYNTAX),
        row(&format!("RLOCK k 1000 OWNER {long_owner}"), OWNER),
        row("RLOCK k 1000 OWNER ", OWNER),
    ];
    for (name, behind) in [("RLOCK", "1000"), ("RUNLOCK", "t"), ("REXTEND", "t 1000")] {
        rows.push(row(&format!("{name} {long_key} {behind}"), TOO_LONG));
        rows.push(row(&format!("{name} redlock-proxy:x {behind}"), RESERVED));
        rows.push(row(&format!("{name} redlock-proxy: {behind}"), RESERVED));
    }
    for (name, behind) in [("RUNLOCK k", ""), ("REXTEND k", " 1000")] {
        rows.push(row(&format!("{name} {behind}"), TOKEN));
        rows.push(row(&format!("{name} {long_token}{behind}"), TOKEN));
    }
    // From left to right, the first mistake is told.
    rows.extend([
        row(&format!("RLOCK {long_key} x NOPE"), TOO_LONG),
        row("RLOCK redlock-proxy:x x NOPE", RESERVED),
        row("RLOCK k x NOPE", INTEGER),
        row("RLOCK k 1000 OWNER  NOPE", OWNER),
        row(&format!("REXTEND k {long_token} x"), TOKEN),
    ]);
    rows
}

fn others() -> Vec<Row> {
    let no_password = "ERR AUTH <password> called without any password configured for the default user. \
                       Are you sure your configuration is correct?";
    let mut rows = vec![
        row("FOO a b", "ERR unknown command 'FOO', with args beginning with: 'a' 'b' "),
        row("foo", "ERR unknown command 'foo', with args beginning with: "),
        row("GET k", "ERR unknown command 'GET', with args beginning with: 'k' "),
        row("CLIENT NOPE", "ERR unknown subcommand 'NOPE'. Try CLIENT HELP."),
        row("client maint_notifications on", "ERR unknown subcommand 'maint_notifications'. Try CLIENT HELP."),
        row("COMMAND NOPE x", "ERR unknown subcommand 'NOPE'. Try COMMAND HELP."),
        row("CONFIG SET save x", "ERR unknown subcommand 'SET'. Try CONFIG HELP."),
        row("AUTH x", no_password),
        row("HELLO 4", "NOPROTO unsupported protocol version"),
        row("HELLO 1", "NOPROTO unsupported protocol version"),
        row("HELLO x", "ERR Protocol version is not an integer or out of range"),
        row("SELECT 1", "ERR DB index is out of range"),
    ];
    // 128 bytes of the name are shown, and of all arguments together.
    let name = "n".repeat(200);
    let shown = format!("ERR unknown command '{}', with args beginning with: 'a' ", "n".repeat(128));
    rows.push(row(&format!("{name} a"), &shown));
    rows.push((
        vec!["a\r\n-ERR forged\r\n".into(), "b\nc\0d".into()],
        "ERR unknown command 'a  -ERR forged  ', with args beginning with: 'b c' ".into(),
    ));
    rows
}

#[tokio::test]
async fn every_mistake_has_its_words_and_reaches_no_primary() {
    let nodes = [ScriptedNode::start(), ScriptedNode::start(), ScriptedNode::start()];
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address))).await;
    for node in &nodes {
        node.forget_commands();
    }
    let rows: Vec<Row> = [arity(), times(), names(), others()].concat();
    for hello in ["2", "3"] {
        let mut client = proxy.connect().await;
        client.call(&["HELLO", hello]).await;
        for (command, error) in &rows {
            client.send(command).await;
            let found = client.read_reply().await;
            assert_eq!(found, Value::error(error), "{command:?}");
            // In a pipeline with what is behind it, too, and the connection stays what it was.
            client.send(command).await;
            client.send(&["PING"]).await;
            client.expect_bytes(format!("-{error}\r\n+PONG\r\n")).await;
        }
    }
    for node in &nodes {
        let asked: BTreeSet<String> = node.commands().iter().map(Recorded::name).collect();
        // The link is looked at, and so is the subscription, which may just have been made.
        let looks = ["ROLE", "TIME", "GET", "SUBSCRIBE", "PING"];
        assert!(asked.iter().all(|name| looks.contains(&name.as_str())), "{asked:?}");
    }
}

#[tokio::test]
async fn what_is_in_the_right_order_and_case_is_no_mistake() {
    let proxy = &Rig::shared(Kind::any(), 3).await.proxy;
    let mut client = proxy.connect().await;
    // The word behind OWNER is its value, whatever it says; the smallest and the largest ttl are allowed.
    for (owner, ttl) in [("OWNER", "4"), ("owner", "60000"), ("WAIT", "1000")] {
        let key = support::unique_key("option");
        let reply = client.call(&["rLoCk", &key, ttl, "oWnEr", owner]).await;
        let fine = matches!(&reply, Value::Array(parts) if parts[0].text().starts_with(&format!("{owner}:")));
        // Two of four milliseconds are soon over.
        assert!(fine || (ttl == "4" && reply.is_error_with("NOQUORUM")), "{reply:?}");
    }
}

#[tokio::test]
async fn framing_mistakes_have_redis_words_and_end_the_connection() {
    let proxy = &Rig::shared(Kind::any(), 3).await.proxy;
    let long = "x".repeat(70_000);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"*x\r\n".to_vec(), "invalid multibulk length"),
        (b"*2147483648\r\n".to_vec(), "invalid multibulk length"),
        (b"*99999999999999999999\r\n".to_vec(), "invalid multibulk length"),
        (b"*1025\r\n".to_vec(), "invalid multibulk length"),
        (b"*1\r\n$x\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n$-1\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n$536870913\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n$1048577\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n:1\r\n".to_vec(), "expected '$', got ':'"),
        (b"*1\r\n*1\r\n$4\r\nPING\r\n".to_vec(), "expected '$', got '*'"),
        (format!("*{long}").into_bytes(), "too big mbulk count string"),
        (format!("*1\r\n${long}").into_bytes(), "too big bulk count string"),
        (long.clone().into_bytes(), "too big inline request"),
        (b"PING \"x\r\n".to_vec(), "unbalanced quotes in request"),
        (b"PING 'x'y\r\n".to_vec(), "unbalanced quotes in request"),
    ];
    for (bytes, error) in cases {
        let mut client = proxy.connect().await;
        // What stands before it is answered first, and what stands behind it never.
        client.send_raw(b"PING\r\n").await;
        client.expect_bytes("+PONG\r\n").await;
        client.send_raw(&bytes).await;
        let _ = client.try_send_raw(b"\r\nPING\r\n").await;
        client.expect_bytes(format!("-ERR Protocol error: {error}\r\n")).await;
        client.expect_eof().await;
    }
}

#[tokio::test]
async fn what_redis_lets_pass_passes() {
    let proxy = &Rig::shared(Kind::any(), 3).await.proxy;
    let cases: [&[u8]; 6] = [
        b"\r\n\r\nPING\r\n",
        b"*0\r\nPING\r\n",
        b"*-1\r\nPING\r\n",
        b"ping\n",
        b"*1\r\n$4\r\npInG\r\n",
        b"\"PING\"\r\n",
    ];
    let mut client: ByteClient = proxy.connect().await;
    for bytes in cases {
        client.send_raw(bytes).await;
        client.expect_bytes("+PONG\r\n").await;
    }
}

#[tokio::test]
async fn inline_commands_take_and_release_locks() {
    let proxy = &Rig::shared(Kind::any(), 3).await.proxy;
    let key = support::unique_key("inline");
    let mut client = proxy.connect().await;
    client.send_raw(format!("rlock \"{key}\\x00\" 30000 OWNER 'a b'\r\n")).await;
    let token = client.read_reply().await.items()[0].text();
    assert!(token.starts_with("a b:"), "{token}");
    assert_eq!(client.call(&["RUNLOCK", &format!("{key}\0"), &token]).await, Value::Integer(1));
}

#[tokio::test]
async fn mistakes_are_counted_by_kind() {
    let node = ScriptedNode::start();
    let proxy = start(patient([node.address()])).await;
    let mut client = proxy.connect().await;
    for mistake in ["NOPE", "RLOCK k", "RLOCK k x", "CLIENT NOPE", "HELLO 4"] {
        client.call(&mistake.split(' ').collect::<Vec<_>>()).await;
    }
    client.call(&["RLOCK", &"k".repeat(5000), "1000"]).await;
    client.call(&["AUTH", "x"]).await;
    client.send_raw("*x\r\n").await;
    client.expect_closed().await;
    for (field, count) in [("errors_syntax", 5), ("errors_limit", 1), ("errors_auth", 1), ("errors_protocol", 1)] {
        assert_eq!(proxy.counter(field).await, count, "{field}");
    }
}
