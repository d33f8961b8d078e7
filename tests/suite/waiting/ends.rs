//! How waiting ends without a lock: the client leaves, its time is up, there is no room, or the proxy ends.

use std::process::Stdio;
use std::time::Duration;

use support::{ByteClient, Kind, Value, eventually, shared, unique_key};
use tokio::process::Command;

use super::{Held, LONG, Pair, Watch, queued, release};
use crate::common::{LONGEST_TTL, Lock, granted, outlive, patient, start};

#[tokio::test]
async fn a_client_whose_stream_ends_leaves_the_line_at_once_and_is_told() {
    for &kind in Kind::all() {
        let pair = Pair::start(kind).await;
        let Held { mut watch, key, mut holder, lock } = pair.held("leaves").await;
        // The first in line, and one behind it.
        let first = queued(&pair.proxies[0], &mut watch, 0, &key, &[]).await;
        let second = queued(&pair.proxies[0], &mut watch, 1, &key, &[]).await;
        for (left, mut client) in [(1, second), (2, first)] {
            client.send(&["PING"]).await;
            client.shutdown_write().await;
            assert!(client.read_reply().await.is_null());
            assert_eq!(client.read_reply().await, Value::simple("PONG"));
            client.expect_eof().await;
            watch.until("wait_abandoned", left).await;
        }
        assert_eq!((watch.counter("waiters").await, watch.counter("lines").await), (0, 0));
        release(&mut holder, &key, &lock).await;
    }
}

/// Whoever is first dies: by a reset, by a closed connection, or as a process. Whoever is next gets the lock.
#[tokio::test]
async fn whoever_is_behind_a_dead_client_is_served() {
    for &kind in Kind::all() {
        let pair = Pair::start(kind).await;
        let Held { mut watch, key, mut holder, lock } = pair.held("dead").await;

        let port = pair.proxies[0].port().to_string();
        let mut process = Command::new("redis-cli");
        process.args(["-p", &port, "RLOCK", &key, LONGEST_TTL, "WAIT", LONG]).stdout(Stdio::null());
        let mut process = process.kill_on_drop(true).spawn().expect("redis-cli runs");
        watch.until("waiters", 1).await;
        let reset = queued(&pair.proxies[0], &mut watch, 1, &key, &[]).await;
        let closed = queued(&pair.proxies[0], &mut watch, 2, &key, &[]).await;
        let mut next = queued(&pair.proxies[0], &mut watch, 3, &key, &[]).await;
        process.kill().await.expect("it runs");
        watch.until("waiters", 3).await;
        reset.reset();
        watch.until("waiters", 2).await;
        drop(closed);
        watch.until("waiters", 1).await;

        release(&mut holder, &key, &lock).await;
        let lock = granted(&next.read_reply().await);
        release(&mut next, &key, &lock).await;
        assert_eq!(watch.counter("wait_abandoned").await, 3);
    }
}

/// What is behind a WAIT is read as far as the buffer goes, whatever may not be taken on yet: so its end is seen.
#[tokio::test]
async fn the_end_of_a_client_is_seen_behind_more_commands_than_it_may_have_under_way() {
    let fleet = shared(Kind::any(), 3).await;
    let proxy = start(patient(fleet.addresses()).set("limits.pipeline_depth", 2)).await;
    let mut watch = Watch::on(&proxy).await;
    let key = unique_key("depth");
    let mut holder = proxy.connect().await;
    let lock = granted(&holder.call(&["RLOCK", &key, LONGEST_TTL]).await);
    let mut client = queued(&proxy, &mut watch, 0, &key, &[]).await;
    for _ in 0..10 {
        client.send(&["RUNLOCK", &key, "no such token"]).await;
    }
    drop(client);
    watch.until("waiters", 0).await;
    release(&mut holder, &key, &lock).await;
}

#[tokio::test]
async fn the_end_of_a_client_is_seen_behind_its_last_word() {
    let pair = Pair::start(Kind::any()).await;
    let Held { mut watch, key, mut holder, lock } = pair.held("quit").await;
    for last in ["QUIT\r\n", "*1\r\n$nonsense\r\n"] {
        let mut client = queued(&pair.proxies[0], &mut watch, 0, &key, &[]).await;
        client.send_raw(last).await;
        assert!(client.is_quiet_for(Duration::from_millis(50)).await, "it goes on waiting");
        drop(client);
        watch.until("waiters", 0).await;
    }
    release(&mut holder, &key, &lock).await;
}

#[tokio::test]
async fn whose_time_is_up_is_told_that_somebody_else_holds_it() {
    for &kind in Kind::all() {
        let pair = Pair::start(kind).await;
        let Held { mut watch, key, mut holder, lock } = pair.held("expired").await;
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = pair.proxies[0].connect().await;
            client.send(&["RLOCK", &key, LONGEST_TTL, "WAIT", "300"]).await;
            clients.push(client);
        }
        for client in &mut clients {
            assert!(client.read_reply().await.is_null());
        }
        assert_eq!(watch.counter("wait_expired").await, 20);
        assert_eq!((watch.counter("waiters").await, watch.counter("wait_granted").await), (0, 0));
        release(&mut holder, &key, &lock).await;
    }
}

/// Validity counts from the attempt that won, not from the beginning of the wait.
#[tokio::test]
async fn whoever_has_waited_has_the_whole_of_its_validity() {
    let pair = Pair::start(Kind::any()).await;
    let Held { mut watch, key, mut holder, lock } = pair.held("whole").await;
    let mut waiter = queued(&pair.proxies[0], &mut watch, 0, &key, &[]).await;
    outlive(&pair.fleet[0], "3000").await;
    release(&mut holder, &key, &lock).await;
    let lock = granted(&waiter.read_reply().await);
    assert!(lock.validity > 60_000 - 602 - 2_500, "the time in line was taken off: {lock:?}");
    assert!(watch.counter("rlock_usec_p999").await < 2_500_000, "waiting is no measure of the proxy's speed");
}

#[tokio::test]
async fn there_is_room_for_as_many_waiters_as_configured() {
    let fleet = shared(Kind::any(), 3).await;
    let limits = [("limits.waiters", 3), ("limits.waiters_per_key", 2)];
    let proxy = start(patient(fleet.addresses()).set_all(&limits)).await;
    let mut watch = Watch::on(&proxy).await;
    let (one, other) = (unique_key("room"), unique_key("room"));
    let mut holder = proxy.connect().await;
    let held = granted(&holder.call(&["RLOCK", &one, LONGEST_TTL, "OWNER", "me"]).await);
    granted(&holder.call(&["RLOCK", &other, LONGEST_TTL]).await);
    let _first = queued(&proxy, &mut watch, 0, &one, &[]).await;
    let second = queued(&proxy, &mut watch, 1, &one, &[]).await;

    let full = Value::error("ERR max number of waiters reached");
    let mut client = proxy.connect().await;
    assert_eq!(client.call(&["RLOCK", &one, LONGEST_TTL, "WAIT", LONG]).await, full);
    let _third = queued(&proxy, &mut watch, 2, &other, &[]).await;
    assert_eq!(client.call(&["RLOCK", &other, LONGEST_TTL, "WAIT", LONG]).await, full);
    assert_eq!(watch.counter("errors_limit").await, 2);
    // An owner needs no room, nor does who does not wait.
    assert!(Lock::of(&client.call(&["RLOCK", &one, LONGEST_TTL, "WAIT", LONG, "OWNER", "me"]).await).is_some());
    assert!(client.call(&["RLOCK", &one, LONGEST_TTL]).await.is_null());
    assert_eq!(client.call(&["RUNLOCK", &one, &held.token]).await, Value::Integer(0));
    drop(second);
    watch.until("waiters", 2).await;
    let _fourth = queued(&proxy, &mut watch, 2, &one, &[]).await;
}

#[tokio::test]
async fn a_proxy_that_ends_keeps_nobody_waiting() {
    let fleet = shared(Kind::any(), 3).await;
    let proxy = start(patient(fleet.addresses()).set("shutdown_grace_ms", 60_000)).await;
    let mut watch = Watch::on(&proxy).await;
    let key = unique_key("ends");
    let mut holder = proxy.connect().await;
    let lock = granted(&holder.call(&["RLOCK", &key, LONGEST_TTL]).await);
    let mut clients: Vec<ByteClient> = Vec::new();
    for behind in 0..3 {
        clients.push(queued(&proxy, &mut watch, behind, &key, &[]).await);
    }
    clients[0].send(&["RUNLOCK", &key, "no such token"]).await;
    proxy.terminate();
    for client in &mut clients {
        assert_eq!(client.read_reply().await, Value::error("ERR the proxy is shutting down"));
    }
    assert_eq!(clients[0].read_reply().await, Value::Integer(0), "releases still work");
    release(&mut holder, &key, &lock).await;
    drop((clients, holder, watch));
    assert_eq!(proxy.wait_exit().await.code(), Some(0));
}

#[tokio::test]
async fn who_waits_is_not_idle() {
    let fleet = shared(Kind::any(), 3).await;
    let proxy = start(patient(fleet.addresses()).set("limits.idle_timeout_ms", 1_000)).await;
    let key = unique_key("idle");
    let witness = proxy.connect().await;
    let lock = granted(&proxy.command(&["RLOCK", &key, LONGEST_TTL]).await);
    let mut waiter = proxy.connect().await;
    waiter.send(&["RLOCK", &key, LONGEST_TTL, "WAIT", LONG]).await;
    // Two that say nothing, one after the other, are closed meanwhile.
    for mut idle in [witness, proxy.connect().await] {
        idle.expect_eof().await;
    }
    assert_eq!(proxy.counter("waiters").await, 1);
    assert_eq!(proxy.command(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
    granted(&waiter.read_reply().await);
    eventually(async || proxy.counter("waiters").await == 0, "nobody to wait").await;
}
