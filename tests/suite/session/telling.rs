//! NOTIFY: a push where a client is between two replies, to whom asked for it, as long as it can be told.

use support::{ByteClient, Kind, Server, ServerOptions, Value, unique_key};

use crate::common::{LONGEST_TTL, Rig, SESSION_TTL, bind, counted, patient, resp3, start};

/// The push of a loss.
fn push(key: &str, token: &str) -> Value {
    Value::Push(vec![Value::bulk("rlock-lost"), Value::bulk(key), Value::bulk(token)])
}

/// Makes a lock lost that is bound somewhere.
async fn lose(rig: &Rig, key: &str) {
    for server in &rig.fleet[..2] {
        assert!(server.del(key).await);
    }
}

#[tokio::test]
async fn a_loss_is_told_to_an_idle_client_once_and_in_these_bytes() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let key = unique_key("told");
    let mut client = resp3(&rig.proxy).await;
    let lock = bind(&mut client, &rig.fleet, &key, SESSION_TTL, &["NOTIFY"]).await;
    lose(&rig, &key).await;
    let (length, token) = (key.len(), &lock.token);
    client.expect_bytes(format!(">3\r\n$10\r\nrlock-lost\r\n${length}\r\n{key}\r\n$40\r\n{token}\r\n")).await;
    assert!(client.call(&["REXTEND", &key, token, SESSION_TTL]).await.is_null());
    assert_eq!(client.call(&["RUNLOCK", &key, token]).await, Value::Integer(0));
    assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
}

#[tokio::test]
async fn a_loss_comes_before_the_reply_of_a_lock_command_under_way() {
    let rig = Rig::relayed(Kind::any(), 3, &[]).await;
    let (key, slow) = (unique_key("lost"), unique_key("slow"));
    let mut client = resp3(&rig.proxy).await;
    let lock = bind(&mut client, &rig.fleet, &key, SESSION_TTL, &["NOTIFY"]).await;
    // No primary answers, neither the command nor a renewal.
    for relay in &rig.relays {
        relay.set(support::Direction::ToClient, support::Fault::Hold);
    }
    client.send(&["RLOCK", &slow, LONGEST_TTL]).await;
    client.send(&["PING"]).await;
    assert_eq!(client.read_reply().await, push(&key, &lock.token));
    for relay in &rig.relays {
        relay.set(support::Direction::ToClient, support::Fault::Forward);
    }
    assert!(matches!(client.read_reply().await, Value::Array(_)));
    assert_eq!(client.read_reply().await, Value::simple("PONG"));
}

#[tokio::test]
async fn whoever_speaks_resp2_by_then_is_told_nothing() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let key = unique_key("resp2");
    let mut client = resp3(&rig.proxy).await;
    bind(&mut client, &rig.fleet, &key, SESSION_TTL, &["NOTIFY"]).await;
    client.call(&["HELLO", "2"]).await;
    lose(&rig, &key).await;
    counted(&rig.proxy, "session_lost", 1).await;
    assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
    assert!(matches!(client.call(&["HELLO", "3"]).await, Value::Map(_)), "nor is it kept for later");
    assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
}

#[tokio::test]
async fn resp2_has_no_pushes_to_ask_for() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let mut client = rig.proxy.connect().await;
    let key = unique_key("resp2");
    let refused = client.call(&["RLOCK", &key, SESSION_TTL, "SESSION", "NOTIFY"]).await;
    assert!(refused.is_error_with("ERR"), "{refused:?}");
    assert_eq!(rig.fleet.holding(&key).await, 0);
    bind(&mut client, &rig.fleet, &key, SESSION_TTL, &[]).await;
}

/// A lock that is given back, or left to its ttl, is not lost.
#[tokio::test]
async fn what_its_holder_gives_back_is_not_told_as_lost() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let mut client = resp3(&rig.proxy).await;
    for elsewhere in [false, true] {
        let key = unique_key("back");
        let lock = bind(&mut client, &rig.fleet, &key, "500", &["NOTIFY"]).await;
        let release = ["RUNLOCK", &key, &lock.token];
        let reply = if elsewhere { rig.proxy.command(&release).await } else { client.call(&release).await };
        assert_eq!(reply, Value::Integer(1));
        crate::common::outlive(&rig.fleet[0], "1000").await;
        assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
    }
    assert_eq!(rig.proxy.counter("session_lost").await, 0);
}

/// Reads replies until the push has come; says how many came before it.
async fn until_pushed(client: &mut ByteClient, expected: &Value, reply: &Value) -> usize {
    for before in 0.. {
        match client.read_reply().await {
            found if found == *expected => return before,
            found => assert!(found == *reply, "torn: {found:?}"),
        }
    }
    unreachable!("it comes, or reading fails")
}

/// Large replies of an upstream are passed on in pieces, and pushes stand between them, never inside one.
#[tokio::test]
async fn a_loss_is_told_between_the_replies_of_the_upstream_and_never_inside_one() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let upstream = Server::start(Kind::any(), ServerOptions::default()).await;
    let options = patient(rig.fleet.addresses()).argument("--upstream").argument(upstream.address());
    let proxy = start(options).await;
    let mut client = resp3(&proxy).await;
    // Far longer than any buffer, and shorter than one.
    for (length, count) in [(3_000_000, 12), (700, 20_000)] {
        let key = unique_key("between");
        let value = Value::bulk("v".repeat(length));
        assert_eq!(upstream.command(&["SET", "large", &value.text()]).await, Value::ok());
        let lock = bind(&mut client, &rig.fleet, &key, SESSION_TTL, &["NOTIFY"]).await;
        let gets = support::resp::encode_command(&["GET", "large"]).repeat(count);
        client.send_raw(gets).await;
        // What is not read stays in the proxy, in the middle of a reply.
        lose(&rig, &key).await;
        counted(&proxy, "session_lost", 1).await;
        let expected = push(&key, &lock.token);
        let before = until_pushed(&mut client, &expected, &value).await;
        assert!(before <= count);
        for reply in client.read_replies(count - before).await {
            assert!(reply == value, "torn");
        }
        assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
        // And to one that is idle, or waits for the upstream.
        let lock = bind(&mut client, &rig.fleet, &key, SESSION_TTL, &["NOTIFY"]).await;
        client.send(&["BLPOP", "nothing", "0"]).await;
        lose(&rig, &key).await;
        assert_eq!(client.read_reply().await, push(&key, &lock.token));
        assert_eq!(upstream.command(&["RPUSH", "nothing", "x"]).await, Value::Integer(1));
        assert_eq!(client.read_reply().await.items().len(), 2);
    }
}
