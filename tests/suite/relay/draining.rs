//! The end of a proxy whose clients are in the middle of something: what they wait for still comes, nothing comes in half, and then
//! they are closed.

use support::servers::shared;
use support::{ByteClient, Direction, Fault, Kind, Proxy, Relay, Server, ServerOptions, Value, eventually, unique_key};
use tokio::io::ErrorKind;

use super::{LONG, PROXY, every_primary_holds, granted, options, pipeline, voting};
use crate::common::{draining, ended};

/// A server, and a proxy that takes at most so long to end.
async fn upstream_and_proxy(kind: Kind, grace_ms: u64) -> (Server, Proxy) {
    let upstream = Server::start(kind, ServerOptions::default()).await;
    let options = options(shared(kind, 3).await.addresses(), &upstream.address());
    let proxy = Proxy::start(PROXY, options.set("shutdown_grace_ms", grace_ms)).await;
    (upstream, proxy)
}

/// A client that waits for a list in which there is nothing.
async fn blocked(proxy: &Proxy, upstream: &Server, list: &str) -> ByteClient {
    let mut client = proxy.connect().await;
    client.send(&["BLPOP", list, "0"]).await;
    let blocks = async || upstream.info("blocked_clients").await.as_deref() == Some("1");
    eventually(blocks, "the upstream to have it wait").await;
    client
}

#[tokio::test]
async fn replies_under_way_are_delivered_before_clients_are_closed() {
    for &kind in Kind::all() {
        let primaries = shared(kind, 3).await;
        let upstream = Server::start(kind, ServerOptions::default()).await;
        let relay = Relay::start(upstream.address());
        let options = options(primaries.addresses(), &relay.address()).set("shutdown_grace_ms", 24_000);
        let proxy = Proxy::start(PROXY, options).await;
        voting(&proxy, primaries).await;

        let [job, queued, forgotten] = ["job", "queued", "forgotten"].map(unique_key);
        let mut idle = proxy.connect().await;
        assert_eq!(idle.call(&["SET", "idle", "v"]).await, Value::ok());
        let mut blocked = blocked(&proxy, &upstream, "list").await;
        let mut transaction = proxy.connect().await;
        transaction.send_raw(pipeline(&[&["MULTI"], &["SET", &queued, "v"]])).await;
        transaction.expect_bytes("+OK\r\n+QUEUED\r\n").await;
        let mut silent = proxy.connect().await;
        silent.send_raw(pipeline(&[&["MULTI"], &["SET", &forgotten, "v"]])).await;
        silent.expect_bytes("+OK\r\n+QUEUED\r\n").await;
        let mut busy = proxy.connect().await;
        let token = granted(&busy.call(&["RLOCK", &job, LONG]).await);
        every_primary_holds(primaries, &job, &token).await;
        busy.send_raw("INCR count\r\n".repeat(500)).await;
        assert_eq!(busy.read_replies(100).await.pop(), Some(Value::Integer(100)));
        relay.set(Direction::ToClient, Fault::Hold);
        busy.send_raw("INCR count\r\n".repeat(500)).await;
        busy.send_raw(pipeline(&[&["RLOCK", "other", LONG], &["RUNLOCK", &job, &token], &["GET", "count"]])).await;
        let all = async || upstream.get("count").await.as_deref() == Some("1000");
        eventually(all, "the pipeline to be run").await;

        proxy.terminate();
        draining(&proxy).await;
        relay.heal();
        for number in 101..=1_000 {
            assert_eq!(busy.read_reply().await, Value::Integer(number), "{kind}");
        }
        busy.expect_bytes("-ERR the proxy is shutting down\r\n:1\r\n$4\r\n1000\r\n").await;
        transaction.send(&["EXEC"]).await;
        transaction.expect_bytes("*1\r\n+OK\r\n").await;
        assert_eq!(upstream.command(&["RPUSH", "list", "element"]).await, Value::Integer(1));
        assert_eq!(blocked.read_reply().await, Value::Array(vec![Value::bulk("list"), Value::bulk("element")]));
        for client in [&mut idle, &mut blocked, &mut transaction, &mut silent, &mut busy] {
            client.expect_eof().await;
        }
        drop([idle, blocked, transaction, silent, busy]);
        ended(&proxy).await;
        assert!(upstream.exists(&queued).await && !upstream.exists(&forgotten).await, "{kind}");
    }
}

#[tokio::test]
async fn those_who_are_still_there_are_closed_between_replies_before_the_grace_is_over() {
    let (upstream, proxy) = upstream_and_proxy(Kind::any(), 8_000).await;
    let mut blocked = blocked(&proxy, &upstream, "nothing").await;
    let mut busy = proxy.connect().await;
    proxy.terminate();
    draining(&proxy).await;
    let reply = Value::bulk("v".repeat(1_000));
    let end = 'closed: loop {
        if let Err(error) = busy.try_send_raw(format!("ECHO {}\r\n", "v".repeat(1_000)).repeat(50)).await {
            break error;
        }
        for _ in 0..50 {
            match busy.try_read_reply().await {
                Ok(found) => assert!(found == reply, "{found:?}"),
                Err(error) => break 'closed error,
            }
        }
    };
    assert_eq!(end.kind(), ErrorKind::UnexpectedEof, "{end}");
    busy.expect_eof().await;
    blocked.expect_eof().await;
    drop([busy, blocked]);
    ended(&proxy).await;
    assert!(!proxy.log().contains("the grace period is over"), "{}", proxy.log());
}

/// Messages come unasked: who waits for them is owed nothing, and is closed when none has come for a while, as others who are silent.
#[tokio::test]
async fn a_subscriber_is_closed_before_those_who_are_owed_a_reply() {
    for protocol in ["2", "3"] {
        let (upstream, proxy) = upstream_and_proxy(Kind::any(), 16_000).await;
        let mut blocked = blocked(&proxy, &upstream, "list").await;
        let mut subscriber = proxy.connect().await;
        subscriber.call(&["HELLO", protocol]).await;
        subscriber.call(&["SUBSCRIBE", "news"]).await;
        proxy.terminate();
        draining(&proxy).await;
        assert_eq!(upstream.command(&["PUBLISH", "news", "good"]).await, Value::Integer(1));
        let parts = ["message", "news", "good"].map(Value::bulk).to_vec();
        let message = if protocol == "3" { Value::Push(parts) } else { Value::Array(parts) };
        assert_eq!(subscriber.read_reply().await, message);
        subscriber.expect_eof().await;
        assert_eq!(upstream.command(&["RPUSH", "list", "element"]).await, Value::Integer(1));
        assert_eq!(blocked.read_reply().await, Value::Array(vec![Value::bulk("list"), Value::bulk("element")]));
        drop([subscriber, blocked]);
        ended(&proxy).await;
    }
}
