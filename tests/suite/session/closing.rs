//! The end of the connection: in order, which releases its locks at once, and otherwise, which leaves them to their ttl.

use std::process::Stdio;
use std::time::Duration;

use support::{ByteClient, Kind, Value, eventually, unique_key};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::common::{
    LONGEST_TTL, Rig, SESSION_TTL, bind, bound, counted, every_primary_holds, granted, no_primary_holds, none_bound,
    outlive, start,
};

/// A client program that waits for what it is told to send.
fn redis_cli(port: u16) -> Child {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("redis-cli is installed: run `make setup`")
}

#[tokio::test]
async fn a_client_that_ends_its_stream_releases_all_its_locks_at_once() {
    for &kind in Kind::all() {
        let rig = Rig::direct(kind, 3, &[]).await;
        let keys = [unique_key("closed"), unique_key("closed")];
        let mut client = rig.proxy.connect().await;
        for key in &keys {
            bind(&mut client, &rig.fleet, key, LONGEST_TTL, &[]).await;
        }
        let unbound = unique_key("unbound");
        let lock = granted(&client.call(&["RLOCK", &unbound, LONGEST_TTL]).await);
        bound(&rig.proxy, 2).await;
        drop(client);
        for key in &keys {
            no_primary_holds(&rig.fleet, key).await;
        }
        none_bound(&rig.proxy).await;
        assert_eq!(rig.proxy.counter("session_released_on_close").await, 2);
        assert_eq!(rig.proxy.counter("session_lost").await, 0);
        every_primary_holds(&rig.fleet, &unbound, &lock.token).await;
    }
}

#[tokio::test]
async fn a_client_that_is_killed_releases_its_locks_at_once() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let key = unique_key("killed");
    let mut client = redis_cli(rig.proxy.port());
    let mut input = client.stdin.take().expect("it was asked for");
    input.write_all(format!("RLOCK {key} {LONGEST_TTL} SESSION\n").as_bytes()).await.expect("it reads");
    eventually(async || rig.fleet.holding(&key).await == 3, "the program to hold the lock").await;
    counted(&rig.proxy, "session_locks", 1).await;
    client.start_kill().expect("it runs");
    no_primary_holds(&rig.fleet, &key).await;
    assert_eq!(rig.proxy.counter("session_released_on_close").await, 1);
}

#[tokio::test]
async fn what_was_sent_before_the_end_of_the_stream_is_answered_before_the_lock_is_released() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let (key, other) = (unique_key("half"), unique_key("half"));
    let mut client = rig.proxy.connect().await;
    let lock = bind(&mut client, &rig.fleet, &key, LONGEST_TTL, &[]).await;
    client.send(&["RLOCK", &other, LONGEST_TTL, "SESSION"]).await;
    client.send(&["REXTEND", &key, &lock.token, "30000"]).await;
    client.send(&["PING"]).await;
    client.shutdown_write().await;
    granted(&client.read_reply().await);
    assert!(client.read_reply().await.integer() > 0);
    assert_eq!(client.read_reply().await, Value::simple("PONG"));
    client.expect_eof().await;
    for key in [&key, &other] {
        no_primary_holds(&rig.fleet, key).await;
    }
    assert_eq!(rig.proxy.counter("session_released_on_close").await, 2);
}

#[tokio::test]
async fn quit_and_reset_release() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let key = unique_key("quit");
    let mut client = rig.proxy.connect().await;
    bind(&mut client, &rig.fleet, &key, LONGEST_TTL, &[]).await;
    assert_eq!(client.call(&["QUIT"]).await, Value::ok());
    no_primary_holds(&rig.fleet, &key).await;

    let mut client = rig.proxy.connect().await;
    bind(&mut client, &rig.fleet, &key, LONGEST_TTL, &[]).await;
    assert_eq!(client.call(&["RESET"]).await, Value::simple("RESET"));
    no_primary_holds(&rig.fleet, &key).await;
    assert_eq!(rig.proxy.counter("session_released_on_close").await, 2);
    // The connection goes on, and may hold another.
    bind(&mut client, &rig.fleet, &key, LONGEST_TTL, &[]).await;
    bound(&rig.proxy, 1).await;
}

/// RESET comes behind the RLOCKs that were sent before it, however long they take.
#[tokio::test]
async fn a_reset_releases_what_is_still_being_taken() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let keys: Vec<String> = (0..20).map(|_| unique_key("pipelined")).collect();
    let mut client = rig.proxy.connect().await;
    for key in &keys {
        client.send(&["RLOCK", key, LONGEST_TTL, "SESSION"]).await;
    }
    client.send(&["RESET"]).await;
    client.send(&["RLOCK", &keys[0], LONGEST_TTL, "SESSION"]).await;
    for reply in client.read_replies(keys.len()).await {
        granted(&reply);
    }
    assert_eq!(client.read_reply().await, Value::simple("RESET"));
    let lock = granted(&client.read_reply().await);
    every_primary_holds(&rig.fleet, &keys[0], &lock.token).await;
    for key in &keys[1..] {
        no_primary_holds(&rig.fleet, key).await;
    }
    assert_eq!(rig.proxy.counter("session_released_on_close").await, 20);
    bound(&rig.proxy, 1).await;
}

/// The client may be alive and count on its validity: renewing stops, and the lock is over with its ttl.
#[tokio::test]
async fn a_connection_that_ends_otherwise_leaves_its_locks_to_their_ttl() {
    for &kind in Kind::all() {
        let rig = Rig::direct(kind, 3, &[]).await;
        let broken: [fn(ByteClient) -> Option<ByteClient>; 2] = [
            |client| {
                client.reset();
                None
            },
            // Closed by the proxy: this is no request.
            Some,
        ];
        for end in broken {
            let key = unique_key("broken");
            let mut client = rig.proxy.connect().await;
            let lock = bind(&mut client, &rig.fleet, &key, SESSION_TTL, &[]).await;
            if let Some(mut client) = end(client) {
                client.send_raw("*1\r\nx\r\n").await;
                client.expect_closed().await;
            }
            none_bound(&rig.proxy).await;
            every_primary_holds(&rig.fleet, &key, &lock.token).await;
            outlive(&rig.fleet[0], SESSION_TTL).await;
            no_primary_holds(&rig.fleet, &key).await;
        }
        assert_eq!(rig.proxy.counter("session_released_on_close").await, 0);
        assert_eq!(rig.proxy.counter("session_lost").await, 0);
    }
}

/// Its client may not know of it, if it has said nothing since. When its system does not say otherwise, it does.
#[tokio::test]
async fn a_lock_that_was_taken_over_is_released_with_its_connection_too() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    for speaks in [true, false] {
        let key = unique_key("over");
        let mut former = rig.proxy.connect().await;
        bind(&mut former, &rig.fleet, &key, LONGEST_TTL, &["OWNER", "me"]).await;
        let mut client = rig.proxy.connect().await;
        granted(&client.call(&["RLOCK", &key, LONGEST_TTL, "SESSION", "OWNER", "me"]).await);
        if speaks {
            client.call(&["PING"]).await;
        }
        former.reset();
        drop(client);
        // Records that the take-over did not need keep the former token.
        eventually(async || rig.fleet.holding(&key).await <= 1, "a quorum to have no record").await;
        none_bound(&rig.proxy).await;
    }
    assert_eq!(rig.proxy.counter("session_released_on_close").await, 2);
}

#[tokio::test]
async fn a_session_that_takes_its_own_lock_over_has_lost_nothing() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let key = unique_key("again");
    let mut client = crate::common::resp3(&rig.proxy).await;
    for _ in 0..5 {
        granted(&client.call(&["RLOCK", &key, SESSION_TTL, "SESSION", "NOTIFY", "OWNER", "me"]).await);
        bound(&rig.proxy, 1).await;
    }
    outlive(&rig.fleet[0], SESSION_TTL).await;
    assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"), "and no push before it");
    assert_eq!(rig.proxy.counter("session_lost").await, 0);
    bound(&rig.proxy, 1).await;
}

#[tokio::test]
async fn a_proxy_that_drains_leaves_locks_to_their_ttl_and_releases_those_of_clients_that_close() {
    let rig = Rig::direct(Kind::any(), 3, &[("shutdown_grace_ms", 4_000)]).await;
    let (stays, closes) = (unique_key("stays"), unique_key("closes"));
    let mut staying = rig.proxy.connect().await;
    let lock = bind(&mut staying, &rig.fleet, &stays, LONGEST_TTL, &["OWNER", "me"]).await;
    let mut closing = rig.proxy.connect().await;
    bind(&mut closing, &rig.fleet, &closes, LONGEST_TTL, &[]).await;
    rig.proxy.terminate();
    rig.proxy.wait_for_log("draining").await;
    let refused = closing.call(&["RLOCK", "another", LONGEST_TTL, "SESSION"]).await;
    assert_eq!(refused, Value::error("ERR the proxy is shutting down"));
    drop(closing);
    no_primary_holds(&rig.fleet, &closes).await;
    staying.expect_closed().await;
    rig.proxy.wait_exit().await;
    every_primary_holds(&rig.fleet, &stays, &lock.token).await;
    // Whoever had it takes it over, through another proxy.
    let successor = start(crate::common::patient(rig.fleet.addresses())).await;
    granted(&successor.command(&["RLOCK", &stays, LONGEST_TTL, "OWNER", "me"]).await);
}

/// `limits.idle_timeout_ms`
#[tokio::test]
async fn a_client_that_holds_a_lock_of_its_session_is_not_idle() {
    let rig = Rig::direct(Kind::any(), 3, &[("limits.idle_timeout_ms", 1_000)]).await;
    let key = unique_key("idle");
    let mut holder = rig.proxy.connect().await;
    let lock = bind(&mut holder, &rig.fleet, &key, LONGEST_TTL, &[]).await;
    for _ in 0..2 {
        let mut idle = rig.proxy.connect().await;
        idle.expect_eof().await;
    }
    assert!(holder.is_quiet_for(Duration::from_millis(1)).await);
    assert_eq!(holder.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
    holder.expect_eof().await;
}
