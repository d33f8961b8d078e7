//! With an upstream: waiting for a lock is like any other command that blocks.

use std::time::Duration;

use support::{Kind, Proxy, Server, ServerOptions, Value, eventually, shared, unique_key};

use super::{LONG, Watch, queued, release};
use crate::common::{LONGEST_TTL, Lock, granted, patient, start};

/// A proxy in front of the shared primaries and of a server of the test's own.
async fn before_an_upstream(kind: Kind) -> (Server, Proxy) {
    let upstream = Server::start(kind, ServerOptions::default()).await;
    let fleet = shared(kind, 3).await;
    let options = patient(fleet.addresses()).argument("--upstream").argument(upstream.address());
    (upstream, start(options).await)
}

#[tokio::test]
async fn nothing_behind_a_wait_is_passed_on_before_it_has_ended() {
    for &kind in Kind::all() {
        let (upstream, proxy) = before_an_upstream(kind).await;
        let mut watch = Watch::on(&proxy).await;
        let (key, data) = (unique_key("through"), unique_key("data"));
        let mut holder = proxy.connect().await;
        let lock = granted(&holder.call(&["RLOCK", &key, LONGEST_TTL]).await);
        let mut client = proxy.connect().await;
        client.send(&["SET", &data, "before"]).await;
        client.send(&["RLOCK", &key, LONGEST_TTL, "WAIT", LONG]).await;
        client.send(&["SET", &data, "behind"]).await;
        watch.until("waiters", 1).await;
        assert_eq!(client.read_reply().await, Value::ok());
        assert!(client.is_quiet_for(Duration::from_millis(50)).await);
        assert_eq!(upstream.get(&data).await.as_deref(), Some("before"));
        release(&mut holder, &key, &lock).await;
        assert!(Lock::of(&client.read_reply().await).is_some());
        assert_eq!(client.read_reply().await, Value::ok());
        assert_eq!(upstream.get(&data).await.as_deref(), Some("behind"));
    }
}

#[tokio::test]
async fn the_end_of_a_client_is_seen_while_it_waits() {
    let (upstream, proxy) = before_an_upstream(Kind::any()).await;
    let mut watch = Watch::on(&proxy).await;
    let (key, data) = (unique_key("through"), unique_key("data"));
    let mut holder = proxy.connect().await;
    let lock = granted(&holder.call(&["RLOCK", &key, LONGEST_TTL]).await);
    let mut half_closed = queued(&proxy, &mut watch, 0, &key, &[]).await;
    half_closed.send(&["SET", &data, "behind"]).await;
    half_closed.shutdown_write().await;
    assert!(half_closed.read_reply().await.is_null());
    // What it had sent before it ended is run, whatever became of the lock.
    assert_eq!(half_closed.read_reply().await, Value::ok());
    half_closed.expect_eof().await;
    assert_eq!(upstream.get(&data).await.as_deref(), Some("behind"));
    queued(&proxy, &mut watch, 0, &key, &[]).await.reset();
    watch.until("waiters", 0).await;
    assert_eq!(watch.counter("wait_abandoned").await, 2);
    release(&mut holder, &key, &lock).await;
}

/// The client's connection is closed with the upstream's, and its place in line with it.
#[tokio::test]
async fn nobody_waits_on_a_connection_whose_upstream_is_lost() {
    let (mut upstream, proxy) = before_an_upstream(Kind::any()).await;
    let mut watch = Watch::on(&proxy).await;
    let key = unique_key("through");
    let mut holder = proxy.connect().await;
    let lock = granted(&holder.call(&["RLOCK", &key, LONGEST_TTL]).await);
    let mut client = proxy.connect().await;
    assert_eq!(client.call(&["SET", &key, "data"]).await, Value::ok());
    client.send(&["RLOCK", &key, LONGEST_TTL, "WAIT", LONG]).await;
    watch.until("waiters", 1).await;
    upstream.kill();
    assert!(client.read_reply().await.is_null());
    client.expect_eof().await;
    // So was that of whoever watched.
    let mut watch = Watch::on(&proxy).await;
    watch.until("waiters", 0).await;
    assert_eq!(watch.counter("wait_abandoned").await, 1);

    // Locks go on without it, and so do lines.
    let mut waiter = proxy.connect().await;
    waiter.send(&["RLOCK", &key, LONGEST_TTL, "WAIT", LONG]).await;
    watch.until("waiters", 1).await;
    let mut other = proxy.connect().await;
    let held = other.call(&["RUNLOCK", &key, &lock.token]).await;
    assert_eq!(held, Value::Integer(1));
    assert!(Lock::of(&waiter.read_reply().await).is_some());
}

#[tokio::test]
async fn nobody_stands_in_line_where_locks_make_no_sense() {
    for &kind in Kind::all() {
        let (_upstream, proxy) = before_an_upstream(kind).await;
        let key = unique_key("multi");
        let lock = granted(&proxy.command(&["RLOCK", &key, LONGEST_TTL]).await);
        let rlock = ["RLOCK", &key, LONGEST_TTL, "WAIT", LONG];

        let mut client = proxy.connect().await;
        assert_eq!(client.call(&["MULTI"]).await, Value::ok());
        assert_eq!(client.call(&rlock).await, Value::error("ERR Command not allowed inside a transaction"));
        assert!(client.call(&["EXEC"]).await.is_error_with("EXECABORT"));

        let mut client = proxy.connect().await;
        client.call(&["SUBSCRIBE", &key]).await;
        assert!(client.call(&rlock).await.is_error_with("ERR Can't execute 'rlock'"));

        let mut client = proxy.connect().await;
        client.send(&["CLIENT", "REPLY", "SKIP"]).await;
        client.send(&rlock).await;
        assert_eq!(client.call(&["ECHO", "not kept waiting"]).await, Value::bulk("not kept waiting"));
        assert_eq!(proxy.counter("waiters_peak").await, 0);
        assert_eq!(proxy.command(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
        eventually(async || proxy.counter("lines").await == 0, "no line").await;
    }
}
