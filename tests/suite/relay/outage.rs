//! An upstream that is away, that goes, or that wants to know who asks.

use std::path::Path;
use std::process::Stdio;

use support::servers::shared;
use support::{
    ByteClient, Direction, Fault, Kind, PATIENCE, Proxy, Relay, Server, ServerOptions, Value, eventually, unique_key,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::{LONG, PROXY, every_primary_holds, granted, options, pipeline, proxy_before, voting};

const PASSWORD: &str = "secret";

async fn guarded(kind: Kind) -> Server {
    Server::start(kind, ServerOptions { password: Some(PASSWORD.into()), ..ServerOptions::default() }).await
}

/// Takes a lock, as soon as the primaries vote, and releases it.
async fn may_lock(client: &mut ByteClient) {
    let job = unique_key("job");
    let mut reply = Value::Null;
    let votes = async || {
        reply = client.call(&["RLOCK", &job, LONG]).await;
        !reply.is_error_with("NOQUORUM")
    };
    eventually(votes, "a quorum that votes").await;
    let token = granted(&reply);
    assert_eq!(client.call(&["RUNLOCK", &job, &token]).await, Value::Integer(1));
}

/// Asks for a lock and expects this error, and nothing on any primary.
async fn may_not_lock(client: &mut ByteClient, kind: Kind, error: &str) {
    let job = unique_key("job");
    let reply = client.call(&["RLOCK", &job, LONG]).await;
    assert!(reply.is_error_with(error) && !reply.is_error_with("NOQUORUM"), "{reply:?} instead of {error}");
    assert_eq!(shared(kind, 3).await.holding(&job).await, 0);
}

#[tokio::test]
async fn no_lock_without_the_password_that_the_upstream_demands() {
    for &kind in Kind::all() {
        let upstream = guarded(kind).await;
        let proxy = proxy_before(kind, &upstream.address()).await;
        let mut client = proxy.connect().await;
        // The first thing said on a connection.
        may_not_lock(&mut client, kind, "NOAUTH").await;
        for command in [&["GET", "k"][..], &["INFO", "redlock"], &["RUNLOCK", "k", "t"], &["COMMAND", "DOCS"]] {
            let reply = client.call(command).await;
            assert!(reply.is_error_with("NOAUTH"), "{command:?}: {reply:?}");
        }
        assert!(client.call(&["AUTH", "wrong"]).await.is_error_with("WRONGPASS"));
        may_not_lock(&mut client, kind, "NOAUTH").await;
        assert_eq!(client.call(&["AUTH", PASSWORD]).await, Value::ok());
        may_lock(&mut client).await;
        assert_eq!(client.call(&["RESET"]).await, Value::simple("RESET"));
        may_not_lock(&mut client, kind, "NOAUTH").await;
        client.call(&["HELLO", "3", "AUTH", "default", PASSWORD]).await;
        may_lock(&mut client).await;
        // Who was somebody remains somebody when another password is wrong.
        assert!(client.call(&["AUTH", "wrong"]).await.is_error_with("WRONGPASS"));
        may_lock(&mut client).await;
    }
}

#[tokio::test]
async fn a_password_counts_for_what_stands_behind_it_in_the_pipeline() {
    for &kind in Kind::all() {
        let upstream = guarded(kind).await;
        let proxy = proxy_before(kind, &upstream.address()).await;
        let mut client = proxy.connect().await;
        client.call(&["AUTH", PASSWORD]).await;
        may_lock(&mut client).await;

        let [first, second, third] = ["first", "second", "third"].map(unique_key);
        let mut client = proxy.connect().await;
        let commands: [&[&str]; 5] = [
            &["RLOCK", &first, LONG],
            &["AUTH", PASSWORD],
            &["RLOCK", &second, LONG],
            &["RESET"],
            &["RLOCK", &third, LONG],
        ];
        client.send_raw(pipeline(&commands)).await;
        let replies = client.read_replies(5).await;
        assert!(replies[0].is_error_with("NOAUTH") && replies[4].is_error_with("NOAUTH"), "{replies:?}");
        granted(&replies[2]);
        let primaries = shared(kind, 3).await;
        assert_eq!(primaries.holding(&first).await + primaries.holding(&third).await, 0);
    }
}

#[tokio::test]
async fn checks_come_in_the_servers_own_order() {
    for &kind in Kind::all() {
        let upstream = guarded(kind).await;
        let proxy = proxy_before(kind, &upstream.address()).await;
        let mut client = proxy.connect().await;
        let arity = client.call(&["RLOCK", "k"]).await;
        assert_eq!(arity, Value::error("ERR wrong number of arguments for 'rlock' command"), "{kind}");
        may_not_lock(&mut client, kind, "NOAUTH").await;
        let argument = client.call(&["RLOCK", "k", "nonsense"]).await;
        assert!(argument.is_error_with("NOAUTH"), "{argument:?}");
    }
}

#[tokio::test]
async fn with_a_password_of_its_own_the_proxy_asks_for_it_and_gives_the_upstream_the_upstreams() {
    for &kind in Kind::all() {
        let upstream = guarded(kind).await;
        let address = format!("redis://default:{PASSWORD}@{}", upstream.address());
        let options = options(shared(kind, 3).await.addresses(), &address).password("front");
        let proxy = Proxy::start(PROXY, options).await;
        let mut client = ByteClient::connect(proxy.address()).await;
        let noauth = Value::error("NOAUTH Authentication required.");
        assert_eq!(client.call(&["GET", "k"]).await, noauth);
        may_not_lock(&mut client, kind, "NOAUTH").await;
        assert!(client.call(&["AUTH", PASSWORD]).await.is_error_with("WRONGPASS"), "the upstream's is not the proxy's");
        assert_eq!(client.call(&["AUTH", "front"]).await, Value::ok());
        assert_eq!(client.call(&["SET", "k", "v"]).await, Value::ok());
        may_lock(&mut client).await;
        assert_eq!(client.call(&["RESET"]).await, Value::simple("RESET"));
        assert_eq!(client.call(&["GET", "k"]).await, noauth);
        may_not_lock(&mut client, kind, "NOAUTH").await;
        let greeting = client.call(&["HELLO", "3", "AUTH", "default", "front"]).await;
        assert!(matches!(greeting, Value::Map(_)), "{greeting:?}");
        assert_eq!(client.call(&["GET", "none"]).await, Value::Null, "the upstream speaks RESP3 too");
        assert_eq!(client.call(&["GET", "k"]).await, Value::bulk("v"));
        may_lock(&mut client).await;

        client.call(&["HELLO", "3", "AUTH", "default", "front", "SETNAME", "worker"]).await;
        assert_eq!(client.call(&["CLIENT", "GETNAME"]).await, Value::bulk("worker"));

        // In one piece: the upstream hears of the protocol before it is asked in it, and RESET takes one password away only.
        let mut client = ByteClient::connect(proxy.address()).await;
        client.send_raw("AUTH front\r\nRESET\r\nGET k\r\nAUTH front\r\nGET k\r\n").await;
        client.expect_bytes("+OK\r\n+RESET\r\n-NOAUTH Authentication required.\r\n+OK\r\n$1\r\nv\r\n").await;
        for _ in 0..20 {
            let mut client = ByteClient::connect(proxy.address()).await;
            let hello: &[&str] = &["HELLO", "3", "AUTH", "default", "front"];
            client.send_raw(pipeline(&[hello, &["GET", "none"], &["HELLO", "2"], &["GET", "none"]])).await;
            let replies = client.read_replies(4).await;
            assert_eq!((&replies[1], &replies[3]), (&Value::Null, &Value::NullBulk), "{replies:?}");
        }
    }
}

/// An upstream that can be taken away and given back, and a proxy that knows it.
struct Away {
    upstream: Server,
    relay: Relay,
    proxy: Proxy,
}

impl Away {
    async fn start(kind: Kind) -> Self {
        let upstream = Server::start(kind, ServerOptions::default()).await;
        let relay = Relay::start(upstream.address());
        let proxy = proxy_before(kind, &relay.address()).await;
        voting(&proxy, shared(kind, 3).await).await;
        // That it demands nothing has been seen.
        may_lock(&mut proxy.connect().await).await;
        Self { upstream, relay, proxy }
    }

    fn take(&self) {
        self.relay.refuse();
        self.relay.cut();
    }
}

#[tokio::test]
async fn without_an_upstream_locks_go_on_and_ordinary_commands_say_what_is_wrong() {
    for &kind in Kind::all() {
        let away = Away::start(kind).await;
        away.take();
        let mut client = away.proxy.connect().await;
        assert!(matches!(client.call(&["HELLO", "3"]).await, Value::Map(_)));
        for hello in [&["CLIENT", "SETNAME", "worker"][..], &["CLIENT", "SETINFO", "LIB-NAME", "lib"], &["SELECT", "0"]]
        {
            assert_eq!(client.call(hello).await, Value::ok(), "{hello:?}");
        }
        assert_eq!(client.call(&["CLIENT", "GETNAME"]).await, Value::bulk("worker"));
        assert!(client.call(&["CLIENT", "ID"]).await.integer() > 0);
        assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
        may_lock(&mut client).await;
        let down = Value::error(format!("UPSTREAMDOWN {}: connection refused", away.relay.address()));
        let large = "x".repeat(3_000_000);
        for command in [&["GET", "k"][..], &["SELECT", "1"], &["MULTI"], &["SET", "k", &large]] {
            assert_eq!(client.call(command).await, down);
        }
        let [job, data] = ["job", "data"].map(unique_key);
        let commands: [&[&str]; 5] =
            [&["SET", &data, "v"], &["RLOCK", &job, LONG], &["MULTI"], &["RUNLOCK", &job, "t"], &["EXEC"]];
        client.send_raw(pipeline(&commands)).await;
        let replies = client.read_replies(5).await;
        for place in [0, 2, 4] {
            assert!(replies[place].is_error_with("UPSTREAMDOWN "), "{replies:?}");
        }
        granted(&replies[1]);
        assert_eq!(replies[3], Value::Integer(0), "no transaction has begun");

        away.relay.heal();
        let back = async || !client.call(&["GET", &data]).await.is_error();
        eventually(back, "the upstream to be back").await;
        assert_eq!(client.call(&["GET", &data]).await, Value::Null, "in RESP3, as was said while it was away");
        let clients = away.upstream.command(&["CLIENT", "LIST"]).await.text();
        assert!(clients.contains(" name=worker "), "{clients}");
        may_lock(&mut client).await;
        assert_eq!(client.call(&["QUIT"]).await, Value::ok());
        client.expect_eof().await;
    }
}

#[tokio::test]
async fn before_the_upstream_was_ever_seen_nobody_may_lock() {
    for &kind in Kind::all() {
        let upstream = guarded(kind).await;
        let relay = Relay::start(upstream.address());
        relay.refuse();
        let proxy = proxy_before(kind, &relay.address()).await;
        let mut client = proxy.connect().await;
        assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
        may_not_lock(&mut client, kind, "UPSTREAMDOWN").await;
        relay.heal();
        let asked = async || client.call(&["GET", "k"]).await.is_error_with("NOAUTH");
        eventually(asked, "the upstream to ask for its password").await;
        may_not_lock(&mut client, kind, "NOAUTH").await;
        assert_eq!(client.call(&["AUTH", PASSWORD]).await, Value::ok());
        may_lock(&mut client).await;
        // Now it is known to demand something: whoever has not said it does not lock while it is away.
        relay.refuse();
        relay.cut();
        client.expect_closed().await;
        let mut client = proxy.connect().await;
        may_not_lock(&mut client, kind, "").await;
    }
}

#[tokio::test]
async fn a_connection_whose_upstream_is_lost_is_closed_and_a_new_one_starts_anew() {
    for &kind in Kind::all() {
        let away = Away::start(kind).await;
        let mut client = away.proxy.connect().await;
        assert_eq!(client.call(&["SELECT", "3"]).await, Value::ok());
        assert_eq!(client.call(&["MULTI"]).await, Value::ok());
        away.take();
        client.expect_eof().await;
        away.relay.heal();
        let mut client = away.proxy.connect().await;
        let back = async || client.call(&["EXEC"]).await == Value::error("ERR EXEC without MULTI");
        eventually(back, "an upstream that knows of no transaction").await;
    }
}

#[tokio::test]
async fn the_upstreams_end_closes_the_client_behind_what_had_come() {
    for &kind in Kind::all() {
        let mut upstream = Server::start(kind, ServerOptions::default()).await;
        let proxy = proxy_before(kind, &upstream.address()).await;
        let mut client = proxy.connect().await;
        client.send_raw("SELECT 1\r\nSET a 1\r\nBLPOP nothing 0\r\nGET a\r\n").await;
        client.expect_bytes("+OK\r\n+OK\r\n").await;
        upstream.kill();
        client.expect_eof().await;
    }
}

#[tokio::test]
async fn an_upstream_that_accepts_and_says_nothing_holds_no_lock_up() {
    for &kind in Kind::all() {
        let mut away = Away::start(kind).await;
        away.upstream.pause();
        let mut client = away.proxy.connect().await;
        may_lock(&mut client).await;
        let silent = client.call(&["GET", "k"]).await;
        assert!(silent.is_error_with("UPSTREAMDOWN") && silent.text().contains("timed out after"), "{silent:?}");
        assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
        may_lock(&mut client).await;
        away.upstream.resume();
        eventually(async || !client.call(&["GET", "k"]).await.is_error(), "the upstream to be back").await;
    }
}

#[tokio::test]
async fn a_reply_cut_in_its_middle_is_delivered_as_far_as_it_came_and_nothing_behind_it() {
    const CAME: usize = 100_000;
    for &kind in Kind::all() {
        let away = Away::start(kind).await;
        let primaries = shared(kind, 3).await;
        let [job, data] = ["job", "data"].map(unique_key);
        let value = "v".repeat(1_000_000);
        let mut client = away.proxy.connect().await;
        assert_eq!(client.call(&["SET", &data, &value]).await, Value::ok());
        let token = granted(&client.call(&["RLOCK", &job, LONG]).await);
        every_primary_holds(primaries, &job, &token).await;

        away.relay.set(Direction::ToClient, Fault::Truncate { after: CAME as u64 });
        client.send_raw(pipeline(&[&["GET", &data], &["RUNLOCK", &job, &token], &["PING"]])).await;
        let heard = client.read_to_end().await;
        let whole = [b"$1000000\r\n", value.as_bytes()].concat();
        assert!(
            heard == whole[..CAME],
            "{} bytes, ending \"{}\"",
            heard.len(),
            heard[heard.len().saturating_sub(80)..].escape_ascii()
        );
        every_primary_holds(primaries, &job, &token).await;
    }
}

#[tokio::test]
async fn an_upstream_behind_a_unix_socket_serves_as_well() {
    for &kind in Kind::all().iter().filter(|kind| **kind != Kind::Dragonfly) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = folder.path().join("upstream").display().to_string();
        let arguments = vec!["--unixsocket".into(), socket.clone()];
        let _upstream = Server::start(kind, ServerOptions { arguments, ..ServerOptions::default() }).await;
        let proxy = proxy_before(kind, &format!("unix:{socket}")).await;
        let mut client = proxy.connect().await;
        assert_eq!(client.call(&["SET", "k", "v"]).await, Value::ok());
        may_lock(&mut client).await;
        assert_eq!(client.call(&["GET", "k"]).await, Value::bulk("v"));
    }
}

/// redis-py says HELLO and names itself before all else.
#[tokio::test]
async fn redis_py_connects_and_locks_while_the_upstream_is_away_and_goes_on_when_it_is_back() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/clients/outage.py");
    let away = Away::start(Kind::any()).await;
    for protocol in ["2", "3"] {
        away.take();
        let mut command = Command::new("python3");
        command.arg(&script).args([protocol, &away.proxy.port().to_string(), &unique_key("job"), &unique_key("data")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut python = command.spawn().expect("python3 is on PATH: make setup");
        let mut output = BufReader::new(python.stdout.take().expect("its output is piped")).lines();
        let said = timeout(PATIENCE, output.next_line()).await.expect("it says something").expect("text");
        assert_eq!(said.as_deref(), Some("away"));
        away.relay.heal();
        python.stdin.take().expect("its input is piped").write_all(b"\n").await.expect("it reads");
        let status = timeout(PATIENCE, python.wait()).await.expect("it ends").expect("it can be waited for");
        assert!(status.success(), "in RESP{protocol}");
    }
}
