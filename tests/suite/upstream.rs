//! With an upstream: ordinary commands pass, lock commands keep their place among them, and both ends may go away.

use std::time::Duration;

use support::{
    ByteClient, Direction, Fault, Kind, Proxy, ProxyOptions, Relay, Server, ServerOptions, Value, eventually, shared,
    unique_key,
};

const PROXY: &str = env!("CARGO_BIN_EXE_redlock-proxy");

async fn server(kind: Kind) -> Server {
    Server::start(kind, ServerOptions::default()).await
}

async fn proxy(kind: Kind, upstream: &str) -> Proxy {
    Proxy::start(PROXY, options(kind, upstream).await.await_ready()).await
}

async fn options(kind: Kind, upstream: &str) -> ProxyOptions {
    ProxyOptions::new(shared(kind, 3).await.addresses()).argument("--upstream").argument(upstream)
}

fn token(granted: &Value) -> String {
    match granted {
        Value::Array(parts) if parts.len() == 2 => parts[0].text(),
        other => panic!("no grant: {other:?}"),
    }
}

fn error(value: &Value) -> String {
    match value {
        Value::Error(text) => text.clone(),
        other => panic!("no error: {other:?}"),
    }
}

/// Waits until the proxy knows that the upstream is away.
async fn noticed(proxy: &Proxy, state: &str) {
    eventually(async || proxy.info("upstream").await.as_deref() == Some(state), "the proxy to notice the upstream")
        .await;
}

#[tokio::test]
async fn ordinary_commands_and_locks_share_a_connection_and_replies_come_in_order() {
    for &kind in Kind::all() {
        let upstream = server(kind).await;
        let proxy = proxy(kind, &upstream.address()).await;
        let (key, mut client) = (unique_key("upstream"), proxy.connect().await);
        client.send_raw(format!("SET a 1\r\nRLOCK {key} 30000\r\nINCR a\r\nRLOCK {key} 30000\r\nNOPE x\r\n")).await;
        client.expect_bytes("+OK\r\n").await;
        let token = token(&client.read_reply().await);
        client.expect_bytes(":2\r\n*-1\r\n").await;
        let refused = error(&client.read_reply().await);
        assert!(refused.to_lowercase().starts_with("err unknown command"), "the server's own words: {refused}");
        assert_eq!(client.call(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
        assert_eq!(upstream.get("a").await.as_deref(), Some("2"));
        assert_eq!(proxy.info("mode").await.as_deref(), Some("relay"));
    }
}

#[tokio::test]
async fn a_lock_command_waits_for_the_command_before_it_and_holds_the_one_behind_it_back() {
    let kind = Kind::any();
    let upstream = server(kind).await;
    let relay = Relay::start(upstream.address());
    let proxy = proxy(kind, &relay.address()).await;
    let (key, mut client) = (unique_key("upstream"), proxy.connect().await);
    let token = token(&client.call(&["RLOCK", &key, "30000"]).await);
    relay.set(Direction::ToServer, Fault::Hold);
    client.send_raw(format!("SET before 1\r\nRUNLOCK {key} {token}\r\nSET behind 1\r\n")).await;
    // Another client of the proxy is served meanwhile, and finds the lock held.
    eventually(async || shared(kind, 3).await.holding(&key).await == 3, "every primary to hold it").await;
    assert!(client.is_quiet_for(Duration::from_millis(50)).await);
    assert_eq!(shared(kind, 3).await.holding(&key).await, 3);
    relay.heal();
    client.expect_bytes("+OK\r\n:1\r\n+OK\r\n").await;
    assert_eq!(upstream.get("behind").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn when_the_upstream_dies_with_a_command_unanswered_the_lock_command_behind_it_does_not_run() {
    let kind = Kind::any();
    let upstream = server(kind).await;
    let relay = Relay::start(upstream.address());
    let proxy = proxy(kind, &relay.address()).await;
    let (key, mut client) = (unique_key("upstream"), proxy.connect().await);
    let token = token(&client.call(&["RLOCK", &key, "30000"]).await);
    assert_eq!(client.call(&["SET", "a", "1"]).await, Value::ok());
    relay.set(Direction::ToServer, Fault::Hold);
    client.send_raw(format!("SET data 1\r\nRUNLOCK {key} {token}\r\n")).await;
    eventually(async || relay.bytes_read(Direction::ToServer) > relay.bytes(Direction::ToServer), "the SET to leave")
        .await;
    relay.cut();
    client.expect_eof().await;
    relay.heal();
    eventually(async || shared(kind, 3).await.holding(&key).await == 3, "every primary to hold it still").await;
    let mut again = proxy.connect().await;
    assert_eq!(again.call(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
}

#[tokio::test]
async fn a_transaction_in_which_a_lock_command_was_refused_does_not_run() {
    for &kind in Kind::all() {
        let upstream = server(kind).await;
        let proxy = proxy(kind, &upstream.address()).await;
        let mut client = proxy.connect().await;
        client.send_raw("MULTI\r\nSET a 1\r\nRLOCK job 1000\r\nSET b 1\r\nEXEC\r\nGET a\r\nEXEC\r\n").await;
        client.expect_bytes("+OK\r\n+QUEUED\r\n-ERR Command not allowed inside a transaction\r\n+QUEUED\r\n").await;
        client.expect_bytes("-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n").await;
        client.expect_bytes("-ERR EXEC without MULTI\r\n").await;
        client.send_raw("MULTI\r\nSET a 2\r\nEXEC\r\n").await;
        client.expect_bytes("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n").await;
    }
}

#[tokio::test]
async fn lock_commands_are_refused_in_a_resp2_subscription_and_run_in_a_resp3_one() {
    for &kind in Kind::all() {
        let upstream = server(kind).await;
        let proxy = proxy(kind, &upstream.address()).await;
        let (key, mut client) = (unique_key("upstream"), proxy.connect().await);
        client.send_raw(format!("SUBSCRIBE a b\r\nRLOCK {key} 1000\r\nUNSUBSCRIBE\r\nRUNLOCK {key} x\r\n")).await;
        client.read_replies(2).await;
        let text = "ERR Can't execute 'rlock': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
        assert_eq!(error(&client.read_reply().await), text);
        client.read_replies(2).await;
        assert_eq!(client.read_reply().await, Value::Integer(0));
        let mut modern = proxy.connect().await;
        modern.call(&["HELLO", "3"]).await;
        modern.send_raw(format!("SUBSCRIBE a\r\nRLOCK {key} 30000\r\n")).await;
        modern.expect_bytes(">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n").await;
        let token = token(&modern.read_reply().await);
        upstream.command(&["PUBLISH", "a", "hi"]).await;
        modern.expect_bytes(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n").await;
        assert_eq!(modern.call(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
    }
}

#[tokio::test]
async fn without_replies_no_lock_command_runs_and_a_skipped_one_uses_the_skip_up() {
    for &kind in Kind::all().iter().filter(|&&kind| kind != Kind::Dragonfly) {
        let upstream = server(kind).await;
        let proxy = proxy(kind, &upstream.address()).await;
        let (key, mut client) = (unique_key("upstream"), proxy.connect().await);
        client.send_raw(format!("CLIENT REPLY SKIP\r\nRLOCK {key} 30000\r\nPING\r\n")).await;
        client.expect_bytes("+PONG\r\n").await;
        client.send_raw(format!("CLIENT REPLY OFF\r\nSET a 1\r\nRLOCK {key} 30000\r\nCLIENT REPLY ON\r\n")).await;
        client.expect_bytes("+OK\r\n").await;
        assert_eq!(shared(kind, 3).await.holding(&key).await, 0);
        client.send_raw(format!("CLIENT REPLY SKIP\r\nSET a 2\r\nRLOCK {key} 30000\r\nGET a\r\n")).await;
        token(&client.read_reply().await);
        client.expect_bytes("$1\r\n2\r\n").await;
    }
}

#[tokio::test]
async fn no_lock_without_the_password_that_the_upstream_demands() {
    for &kind in Kind::all() {
        let options = ServerOptions { password: Some("secret".into()), ..ServerOptions::default() };
        let upstream = Server::start(kind, options).await;
        let primaries = shared(kind, 3).await;
        let proxy = {
            // The harness asks with PING whether the proxy is there, which is not answered here; so it gets to know it.
            let options = self::options(kind, &upstream.address()).await;
            Proxy::start(PROXY, options.upstream_password("secret").await_ready()).await
        };
        let key = unique_key("upstream");
        let mut client = ByteClient::connect(proxy.address()).await;
        let refused = client.call(&["RLOCK", &key]).await;
        assert_eq!(error(&refused), "ERR wrong number of arguments for 'rlock' command");
        for command in [["RLOCK", &key, "30000"], ["RLOCK", &key, "nope"]] {
            assert!(error(&client.call(&command).await).starts_with("NOAUTH"), "{command:?}");
        }
        assert!(error(&client.call(&["INFO", "redlock"]).await).starts_with("NOAUTH"));
        client.send_raw(format!("AUTH wrong\r\nRLOCK {key} 30000\r\nAUTH secret\r\nRLOCK {key} 30000\r\n")).await;
        assert!(error(&client.read_reply().await).contains("WRONGPASS"));
        assert!(error(&client.read_reply().await).starts_with("NOAUTH"));
        assert_eq!(client.read_reply().await, Value::ok());
        let token = token(&client.read_reply().await);
        client.send_raw(format!("RESET\r\nRUNLOCK {key} {token}\r\n")).await;
        client.expect_bytes("+RESET\r\n").await;
        assert!(error(&client.read_reply().await).starts_with("NOAUTH"));
        eventually(async || primaries.holding(&key).await == 3, "every primary to hold it still").await;
    }
}

#[tokio::test]
async fn with_a_password_of_its_own_the_proxy_asks_for_it_and_shows_the_upstream_the_configured_one() {
    for &kind in Kind::all() {
        let options = ServerOptions { password: Some("inner".into()), ..ServerOptions::default() };
        let upstream = Server::start(kind, options).await;
        let options = self::options(kind, &format!("redis://:inner@{}/0", upstream.address())).await;
        let proxy = Proxy::start(PROXY, options.password("outer").await_ready()).await;
        let (key, mut client) = (unique_key("upstream"), ByteClient::connect(proxy.address()).await);
        for command in [&["GET", "a"][..], &["RLOCK", &key, "1000"], &["AUTH", "inner"]] {
            let refused = error(&client.call(command).await);
            assert!(refused.starts_with("NOAUTH") || refused.starts_with("WRONGPASS"), "{refused}");
        }
        assert_eq!(client.call(&["AUTH", "outer"]).await, Value::ok());
        assert_eq!(client.call(&["SET", "a", "1"]).await, Value::ok());
        let token = token(&client.call(&["RLOCK", &key, "30000"]).await);
        // RESET takes both away; the upstream's comes back by itself.
        client.send_raw("RESET\r\nGET a\r\nAUTH outer\r\nGET a\r\n").await;
        client.expect_bytes("+RESET\r\n-NOAUTH Authentication required.\r\n+OK\r\n$1\r\n1\r\n").await;
        client.send_raw(b"HELLO 3 AUTH default outer SETNAME me\r\n").await;
        assert!(!client.read_reply().await.is_error());
        assert_eq!(client.call(&["CLIENT", "GETNAME"]).await, Value::bulk("me"));
        client.send_raw("GET nothing\r\n").await;
        client.expect_bytes("_\r\n").await;
        assert_eq!(client.call(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
    }
}

#[tokio::test]
async fn while_the_upstream_is_away_clients_connect_and_lock_and_go_on_when_it_is_back() {
    for &kind in Kind::all() {
        let mut upstream = server(kind).await;
        let proxy = proxy(kind, &upstream.address()).await;
        noticed(&proxy, "up").await;
        upstream.kill();
        noticed(&proxy, "down").await;
        let (key, mut client) = (unique_key("upstream"), proxy.connect().await);
        assert!(!client.call(&["HELLO", "3"]).await.is_error());
        assert_eq!(client.call(&["CLIENT", "SETNAME", "me"]).await, Value::ok());
        assert_eq!(client.call(&["CLIENT", "SETINFO", "LIB-NAME", "x"]).await, Value::ok());
        assert_eq!(client.call(&["SELECT", "0"]).await, Value::ok());
        let down = format!("UPSTREAMDOWN {}: connection refused", upstream.address());
        let large = "x".repeat(3_000_000);
        for command in [&["GET", "a"][..], &["SELECT", "1"], &["MULTI"], &["SET", "a", &large]] {
            assert_eq!(error(&client.call(command).await), down);
        }
        let granted = client.call(&["RLOCK", &key, "30000"]).await;
        client.send_raw(format!("GET a\r\nREXTEND {key} {} 30000\r\nPING\r\n", token(&granted))).await;
        assert_eq!(error(&client.read_reply().await), down);
        assert!(matches!(client.read_reply().await, Value::Integer(_)));
        client.expect_bytes("+PONG\r\n").await;
        upstream.restart().await;
        client.send_raw("GET a\r\nCLIENT GETNAME\r\n").await;
        client.expect_bytes("_\r\n$2\r\nme\r\n").await;
        assert_eq!(client.call(&["RUNLOCK", &key, &token(&granted)]).await, Value::Integer(1));
    }
}

#[tokio::test]
async fn nobody_locks_while_it_is_not_known_whether_the_upstream_demands_a_password() {
    let kind = Kind::any();
    let mut upstream = server(kind).await;
    upstream.kill();
    let proxy = Proxy::start(PROXY, options(kind, &upstream.address()).await.await_ready()).await;
    let (key, mut client) = (unique_key("upstream"), proxy.connect().await);
    assert!(error(&client.call(&["RLOCK", &key, "30000"]).await).starts_with("UPSTREAMDOWN"));
    upstream.restart().await;
    token(&client.call(&["RLOCK", &key, "30000"]).await);
}

#[tokio::test]
async fn an_upstream_that_accepts_and_says_nothing_holds_no_lock_up() {
    let kind = Kind::any();
    let mut upstream = server(kind).await;
    let proxy = proxy(kind, &upstream.address()).await;
    noticed(&proxy, "up").await;
    upstream.pause();
    let (key, mut client) = (unique_key("upstream"), proxy.connect().await);
    let token = token(&client.call(&["RLOCK", &key, "30000"]).await);
    assert!(error(&client.call(&["GET", "a"]).await).contains("timed out after 1000 ms"));
    assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
    assert_eq!(client.call(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
    upstream.resume();
    eventually(async || !client.call(&["GET", "a"]).await.is_error(), "the upstream to be back").await;
}

#[tokio::test]
async fn the_upstreams_end_closes_the_client_behind_what_had_come() {
    let kind = Kind::any();
    let mut upstream = server(kind).await;
    let proxy = proxy(kind, &upstream.address()).await;
    let mut client = proxy.connect().await;
    client.send_raw("SELECT 1\r\nSET a 1\r\nBLPOP nothing 0\r\nGET a\r\n").await;
    client.expect_bytes("+OK\r\n+OK\r\n").await;
    upstream.kill();
    client.expect_eof().await;
}

#[tokio::test]
async fn commands_of_both_are_listed() {
    for &kind in Kind::all().iter().filter(|&&kind| kind != Kind::Dragonfly) {
        let upstream = server(kind).await;
        let proxy = proxy(kind, &upstream.address()).await;
        let mut client = proxy.connect().await;
        let count = |value: Value| if let Value::Integer(count) = value { count } else { panic!("{value:?}") };
        let own =
            count(client.call(&["COMMAND", "COUNT"]).await) - count(upstream.command(&["COMMAND", "COUNT"]).await);
        assert_eq!(own, 3);
        let length = |value: &Value| match value {
            Value::Array(entries) => entries.len(),
            other => panic!("{other:?}"),
        };
        for (command, added) in [(&["COMMAND"][..], 3), (&["COMMAND", "LIST"], 3), (&["COMMAND", "DOCS"], 6)] {
            let (merged, plain) = (client.call(command).await, upstream.command(command).await);
            assert_eq!(length(&merged), length(&plain) + added, "{command:?}");
        }
        let Value::Array(named) = client.call(&["COMMAND", "INFO", "get", "rlock", "nope"]).await else {
            panic!("no array")
        };
        assert_eq!((length(&named[0]), length(&named[1]), named[2].is_null()), (10, 10, true));
        assert_eq!(
            client.call(&["COMMAND", "GETKEYS", "RLOCK", "a", "100"]).await,
            Value::Array(vec![Value::bulk("a")])
        );
        assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
    }
}

#[tokio::test]
async fn a_large_value_passes_without_staying() {
    let kind = Kind::any();
    let upstream = server(kind).await;
    let proxy = proxy(kind, &upstream.address()).await;
    let mut client = proxy.connect().await;
    let before = proxy.footprint().resident_bytes;
    let value = "0123456789abcdef".repeat(64 * 1024 * 1024 / 16);
    assert_eq!(client.call(&["SET", "large", &value]).await, Value::ok());
    let Value::Bulk(found) = client.call(&["GET", "large"]).await else { panic!("no bulk") };
    assert!(found == value.as_bytes());
    let after = proxy.footprint().resident_bytes;
    assert!(after < before + 16 * 1024 * 1024, "{before} bytes before, {after} after");
}

#[tokio::test]
async fn a_reply_that_does_not_fit_the_buffer_follows_a_lock_reply() {
    let kind = Kind::any();
    let upstream = server(kind).await;
    let options = options(kind, &upstream.address()).await.set("limits.buffer_bytes", 4_096).await_ready();
    let proxy = Proxy::start(PROXY, options).await;
    let (key, mut client) = (unique_key("upstream"), proxy.connect().await);
    let value = "v".repeat(20_000);
    assert_eq!(client.call(&["SET", "a", &value]).await, Value::ok());
    let reply = format!(":0\r\n$20000\r\n{value}\r\n");
    for _ in 0..200 {
        client.send_raw(format!("RUNLOCK {key} x\r\nGET a\r\n")).await;
        client.expect_bytes(&reply).await;
    }
}

#[tokio::test]
async fn a_deep_pipeline_whose_replies_are_read_late_passes_whole() {
    let upstream = server(Kind::any()).await;
    let proxy = proxy(Kind::any(), &upstream.address()).await;
    let mut client = proxy.connect().await;
    let value = "x".repeat(1_000);
    client.send_raw("SET a ".to_owned() + &value + "\r\n" + &"GET a\r\n".repeat(50_000)).await;
    client.expect_bytes("+OK\r\n").await;
    let reply = format!("$1000\r\n{value}\r\n").repeat(1_000);
    for _ in 0..50 {
        client.expect_bytes(&reply).await;
    }
}

#[tokio::test]
async fn a_client_that_half_closes_gets_what_it_is_owed_and_the_upstream_hears_of_its_end() {
    for &kind in Kind::all() {
        let upstream = server(kind).await;
        let proxy = proxy(kind, &upstream.address()).await;
        let (key, mut client) = (unique_key("upstream"), proxy.connect().await);
        client.send_raw(format!("SET a 1\r\nRLOCK {key} 30000\r\nGET a\r\n")).await;
        client.shutdown_write().await;
        client.expect_bytes("+OK\r\n").await;
        token(&client.read_reply().await);
        client.expect_bytes("$1\r\n1\r\n").await;
        client.expect_eof().await;
        // Who waits for a list to fill does not take its element when it is gone.
        let mut waiting = proxy.connect().await;
        waiting.send_raw("BLPOP list 0\r\n").await;
        eventually(async || upstream.info("blocked_clients").await.as_deref() == Some("1"), "it to block").await;
        drop(waiting);
        eventually(async || upstream.info("blocked_clients").await.as_deref() == Some("0"), "it to be gone").await;
    }
}

#[tokio::test]
async fn malformed_input_is_the_servers_matter() {
    for &kind in Kind::all() {
        let upstream = server(kind).await;
        let proxy = proxy(kind, &upstream.address()).await;
        for input in
            ["*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n+a\r\n", "PING \"a\r\n", "*x\r\n", "$1\r\n", "*1\r\n$-5\r\n"]
        {
            let (mut through, mut direct) = (proxy.connect().await, upstream.connect().await);
            through.send_raw(input).await;
            through.shutdown_write().await;
            direct.send_raw(input).await;
            direct.shutdown_write().await;
            let (through, direct) = (through.read_to_end().await, direct.read_to_end().await);
            assert_eq!(through.escape_ascii().to_string(), direct.escape_ascii().to_string(), "{input:?}");
        }
    }
}
