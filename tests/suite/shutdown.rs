//! SIGTERM, SIGINT and SIGHUP: what is under way is brought to its end, and the end comes in time.

use std::time::{Duration, Instant};

use support::{
    Action, Direction, Fault, Kind, PATIENCE, Proxy, ProxyOptions, Relay, ScriptedNode, Value, eventually, shared,
    unique_key,
};

use crate::common::{draining, ended, granted, no_primary_holds, patient, start};

const REFUSAL: &str = "ERR the proxy is shutting down";

/// A proxy with links through `relays` where there are any, in front of nodes that answer SET after so long.
async fn slow(delay: Duration, settings: &[(&str, u64)], relay: Option<&Relay>, nodes: &[ScriptedNode; 3]) -> Proxy {
    let mut primaries = nodes.each_ref().map(ScriptedNode::address);
    if let Some(relay) = relay {
        primaries[2] = relay.address();
    }
    let options = ProxyOptions::new(primaries).set("node_timeout_ms", 10_000).set("silence_timeout_ms", 20_000);
    let options = options.set("max_ttl_ms", 600_000).set("attempts", 1);
    let proxy = start(options.set_all(settings)).await;
    // Only now: a link that is opened tries SET out.
    for node in nodes {
        node.forget_commands();
        node.on("SET", Action::DelayReply(delay));
        node.on("EVALSHA", Action::CompareAndDelete);
    }
    proxy
}

fn nodes() -> [ScriptedNode; 3] {
    [ScriptedNode::start(), ScriptedNode::start(), ScriptedNode::start()]
}

#[tokio::test]
async fn a_round_under_way_is_answered_and_its_lock_stays() {
    let nodes = nodes();
    let proxy = slow(Duration::from_millis(500), &[], None, &nodes).await;
    let mut client = proxy.connect().await;
    client.send(&["RLOCK", "job", "60000"]).await;
    for node in &nodes {
        node.wait_for("SET", 1).await;
    }
    proxy.terminate();
    draining(&proxy).await;
    let lock = granted(&client.read_reply().await);
    drop(client);
    ended(&proxy).await;
    assert!(nodes.iter().all(|node| node.get("job").as_ref() == Some(&lock.token)));
}

#[tokio::test]
async fn new_locks_are_refused_while_held_ones_are_extended_and_released() {
    for &kind in Kind::all() {
        let fleet = shared(kind, 3).await;
        let proxy = start(patient(fleet.addresses())).await;
        let key = unique_key("drained");
        let mut client = proxy.connect().await;
        let lock = granted(&client.call(&["RLOCK", &key, "30000"]).await);
        proxy.interrupt();
        draining(&proxy).await;

        assert_eq!(client.call(&["RLOCK", &unique_key("late"), "30000"]).await, Value::error(REFUSAL));
        assert_eq!(client.call(&["RLOCK", &key, "30000", "OWNER", "me"]).await, Value::error(REFUSAL));
        // Mistakes keep their words.
        let mistake = client.call(&["RLOCK", &key, "x"]).await;
        assert_eq!(mistake, Value::error("ERR value is not an integer or out of range"));
        let info = client.call(&["INFO", "redlock"]).await.text();
        assert!(info.contains("\r\nready:0\r\n"), "{info}");
        assert!(client.call(&["REXTEND", &key, &lock.token, "40000"]).await.integer() > 0);
        assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
        drop(client);
        ended(&proxy).await;
        assert!(proxy.log().ends_with("shut down\n"), "{}", proxy.log());
        no_primary_holds(fleet, &key).await;
    }
}

#[tokio::test]
async fn a_lock_that_is_held_outlives_the_proxy() {
    let fleet = shared(Kind::any(), 3).await;
    let proxy = start(patient(fleet.addresses())).await;
    let key = unique_key("outlives");
    let lock = granted(&proxy.command(&["RLOCK", &key, "30000"]).await);
    eventually(async || fleet.holding(&key).await == 3, "every primary to hold it").await;
    proxy.terminate();
    ended(&proxy).await;
    assert_eq!(fleet.get(&key).await, vec![Some(lock.token.clone()); 3]);
    let successor = start(patient(fleet.addresses())).await;
    assert_eq!(successor.command(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
}

/// A lock was refused, and on one primary its record lies where the withdrawal could not reach it: the link was lost. The proxy
/// ends when the link has come back and the withdrawal has been answered.
#[tokio::test]
async fn withdrawals_that_are_owed_are_sent_before_the_end() {
    let nodes = nodes();
    let relay = Relay::start(nodes[2].address());
    let proxy = slow(Duration::ZERO, &[("shutdown_grace_ms", 60_000)], Some(&relay), &nodes).await;
    for node in &nodes[..2] {
        node.put("job", "another's", Some(60_000));
    }
    relay.set(Direction::ToClient, Fault::Hold);
    let mut client = proxy.connect().await;
    client.send(&["RLOCK", "job", "60000"]).await;
    nodes[2].wait_for("SET", 1).await;
    assert!(client.read_reply().await.is_null());
    // The record is there, and whatever withdrawal has come behind it is undone.
    let token = nodes[2].commands_named("SET")[0].argument(2);
    relay.refuse();
    relay.cut();
    nodes[2].put("job", &token, Some(60_000));
    eventually(async || proxy.counter("withdrawals_pending").await > 0, "a withdrawal to be owed").await;
    drop(client);

    proxy.terminate();
    draining(&proxy).await;
    assert_eq!(proxy.exit_status(), None);
    assert_eq!(nodes[2].get("job").as_ref(), Some(&token));
    relay.heal();
    ended(&proxy).await;
    assert_eq!(nodes[2].get("job"), None);
    assert!(nodes[..2].iter().all(|node| node.get("job").as_deref() == Some("another's")));
}

#[tokio::test]
async fn the_grace_is_the_longest_that_an_end_takes() {
    let nodes = nodes();
    let proxy = slow(Duration::from_secs(60), &[("shutdown_grace_ms", 300)], None, &nodes).await;
    let mut client = proxy.connect().await;
    client.send(&["RLOCK", "job", "600000"]).await;
    nodes[0].wait_for("SET", 1).await;
    let began = Instant::now();
    proxy.terminate();
    ended(&proxy).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300) && took < PATIENCE / 5, "{took:?}");
    assert!(proxy.log().contains("shutdown_grace_ms"), "{}", proxy.log());
    client.expect_closed().await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_not_waited_for_to_the_end_of_the_grace() {
    let node = ScriptedNode::start();
    let proxy = start(ProxyOptions::new([node.address()]).set("shutdown_grace_ms", 20_000)).await;
    let mut silent = proxy.connect().await;
    silent.call(&["PING"]).await;
    let began = Instant::now();
    proxy.terminate();
    silent.expect_eof().await;
    ended(&proxy).await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    for second in [Proxy::terminate, Proxy::interrupt] {
        let nodes = nodes();
        let proxy = slow(Duration::from_secs(60), &[("shutdown_grace_ms", 600_000)], None, &nodes).await;
        let mut client = proxy.connect().await;
        client.send(&["RLOCK", "job", "600000"]).await;
        nodes[0].wait_for("SET", 1).await;
        proxy.terminate();
        draining(&proxy).await;
        assert_eq!(proxy.exit_status(), None);
        second(&proxy);
        ended(&proxy).await;
        assert!(proxy.log().contains("ending at once"), "{}", proxy.log());
    }
}

#[tokio::test]
async fn a_hang_up_is_logged_and_harmless() {
    let proxy = start(patient(shared(Kind::any(), 3).await.addresses())).await;
    let key = unique_key("hang-up");
    let mut client = proxy.connect().await;
    let lock = granted(&client.call(&["RLOCK", &key, "30000"]).await);
    proxy.hang_up();
    proxy.wait_for_log("SIGHUP").await;
    assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
    assert_eq!(proxy.command(&["PING"]).await, Value::simple("PONG"));
    // Nor is it the first of two signals.
    proxy.terminate();
    drop(client);
    ended(&proxy).await;
    assert!(!proxy.log().contains("ending at once"), "{}", proxy.log());
}
