//! COMMAND through the proxy: the upstream's commands and the proxy's own, whatever the upstream makes of the question.

use support::servers::shared;
use support::{Action, ByteClient, Kind, Proxy, ScriptedNode, Value, redis_cli};

use super::{Front, PROXY, options, voting};

/// The proxy's own commands, in the order in which they are listed.
const OWN: [&str; 8] = ["rlock", "runlock", "rextend", "rmlock", "rmunlock", "rmextend", "rinspect", "rprimaries"];

#[tokio::test]
async fn commands_of_both_are_listed() {
    // Dragonfly answers few of these.
    for &kind in Kind::all().iter().filter(|&&kind| kind != Kind::Dragonfly) {
        let front = Front::start(kind).await;
        let mut client = front.proxy.connect().await;
        let count = ["COMMAND", "COUNT"];
        let own = client.call(&count).await.integer() - front.upstream.command(&count).await.integer();
        assert_eq!(own, 8);
        for (command, added) in [(&["COMMAND"][..], 8), (&["COMMAND", "LIST"], 8), (&["COMMAND", "DOCS"], 16)] {
            let (merged, plain) = (client.call(command).await, front.upstream.command(command).await);
            assert_eq!(merged.items().len(), plain.items().len() + added, "{command:?}");
        }
        let named = client.call(&["COMMAND", "INFO", "get", "rlock", "nope"]).await;
        let [get, rlock, nope] = named.items() else { panic!("{named:?}") };
        assert_eq!((get.items().len(), rlock.items().len(), nope.is_null()), (10, 10, true));
        let keys = client.call(&["COMMAND", "GETKEYS", "RLOCK", "a", "100"]).await;
        assert_eq!(keys, Value::Array(vec![Value::bulk("a")]));
        assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
    }
}

#[tokio::test]
async fn info_redlock_is_the_proxys_and_every_other_info_the_upstreams() {
    for &kind in Kind::all() {
        let front = Front::start(kind).await;
        let info = front.proxy.command(&["INFO", "redlock"]).await.text();
        assert!(info.contains("\r\nmode:relay\r\n"), "{info}");
        for command in [&["INFO"][..], &["INFO", "server"]] {
            let info = front.proxy.command(command).await.text();
            assert!(info.contains(&format!("tcp_port:{}\r\n", front.upstream.port())), "{info}");
        }
    }
}

/// A server that knows COMMAND and COMMAND INFO of one name, as Dragonfly does, and is at a loss with the rest.
async fn proxy_before_a_server_at_a_loss() -> (ScriptedNode, Proxy) {
    let upstream = ScriptedNode::start();
    let get = "*6\r\n$3\r\nget\r\n:2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n";
    upstream.on_call("COMMAND", move |command| match &command.arguments[1..] {
        [] => Action::bytes(format!("*1\r\n{get}")),
        [word, name] if word.eq_ignore_ascii_case(b"INFO") && name.eq_ignore_ascii_case(b"get") => {
            Action::bytes(format!("*1\r\n{get}"))
        }
        _ => Action::error("ERR syntax error"),
    });
    let primaries = shared(Kind::any(), 3).await;
    let proxy = Proxy::start(PROXY, options(primaries.addresses(), &upstream.address())).await;
    voting(&proxy, primaries).await;
    (upstream, proxy)
}

async fn ask(client: &mut ByteClient, line: &str) -> Value {
    client.call(&line.split(' ').collect::<Vec<_>>()).await
}

#[tokio::test]
async fn the_lock_commands_are_told_of_where_the_upstream_cannot_answer() {
    let (upstream, proxy) = proxy_before_a_server_at_a_loss().await;
    for protocol in ["2", "3"] {
        let mut client = proxy.connect().await;
        client.call(&["HELLO", protocol]).await;
        let names =
            |reply: &Value| -> Vec<String> { reply.items().iter().map(|entry| entry.items()[0].text()).collect() };
        for (line, expected) in [
            ("COMMAND", &[&["get"], &OWN[..]].concat()[..]),
            ("COMMAND INFO", &OWN),
            ("COMMAND INFO rlock get", &["rlock", "get"]),
            ("COMMAND INFO REXTEND", &["rextend"]),
        ] {
            assert_eq!(names(&ask(&mut client, line).await), expected, "{line}");
        }
        for (line, expected) in
            [("COMMAND DOCS", &OWN[..]), ("COMMAND DOCS rlock", &["rlock"]), ("COMMAND DOCS get runlock", &["runlock"])]
        {
            let names: Vec<String> = match ask(&mut client, line).await {
                Value::Map(pairs) if protocol == "3" => pairs.iter().map(|(name, _)| name.text()).collect(),
                Value::Array(items) if protocol == "2" => items.iter().step_by(2).map(Value::text).collect(),
                other => panic!("{line}: {other:?}"),
            };
            assert_eq!(names, expected, "{line}");
        }
        assert_eq!(
            ask(&mut client, "COMMAND LIST FILTERBY PATTERN run*").await,
            Value::Array(vec![Value::bulk("runlock")])
        );
        let keys = Value::Array(vec![Value::bulk("a")]);
        assert_eq!(ask(&mut client, "COMMAND GETKEYS RUNLOCK a t").await, keys);
        // Of its own commands the upstream says what it says.
        for line in ["COMMAND COUNT", "COMMAND GETKEYS get a", "COMMAND INFO get set"] {
            assert_eq!(ask(&mut client, line).await, Value::error("ERR syntax error"), "{line}");
        }
        assert_eq!(client.call(&["SET", "k", "v"]).await, Value::ok());
    }
    assert!(!upstream.commands_named("COMMAND").is_empty());
}

#[tokio::test]
async fn redis_cli_helps_with_the_lock_commands_where_the_upstream_cannot() {
    let (upstream, proxy) = proxy_before_a_server_at_a_loss().await;
    let help = redis_cli(proxy.port(), &["help", "@redlock"]).await;
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for name in OWN.map(str::to_uppercase) {
        assert!(help.contains(&format!("{name}\u{1b}")), "{name} in {help}");
    }
    assert!(help.contains("key milliseconds [OWNER name]"), "{help}");
    let asked = upstream.commands_named("COMMAND");
    assert!(asked.iter().any(|command| command.argument(1).eq_ignore_ascii_case("docs")), "{asked:?}");
}
