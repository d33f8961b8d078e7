//! Those who come to a line and do not wait, and owners, who need not.

use std::time::Duration;

use support::{Action, Kind, Proxy, ScriptedNode, Value, eventually, unique_key};

use super::{LONG, Pair, Watch, queued, release};
use crate::common::{LONGEST_TTL, Lock, granted, on_acquire, patient, reasons, scripted, start};

/// Three primaries that answer what they are told, each holding `key` for somebody else, and a proxy.
async fn occupied(key: &str) -> ([ScriptedNode; 3], Proxy) {
    let nodes: [ScriptedNode; 3] = std::array::from_fn(|_| scripted());
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address))).await;
    for node in &nodes {
        node.put(key, "somebody else's", None);
        node.forget_commands();
    }
    (nodes, proxy)
}

#[tokio::test]
async fn whoever_does_not_wait_is_answered_by_the_line_and_asks_nobody() {
    const NEWCOMERS: usize = 500;
    let (nodes, proxy) = occupied("job").await;
    let mut watch = Watch::on(&proxy).await;
    let _waiting = queued(&proxy, &mut watch, 0, "job", &[]).await;
    for node in &nodes {
        node.wait_for("PTTL", 1).await;
    }
    let mut client = proxy.connect().await;
    for _ in 0..NEWCOMERS {
        client.send(&["RLOCK", "job", LONGEST_TTL]).await;
    }
    let replies = client.read_replies(NEWCOMERS).await;
    assert!(replies.iter().all(Value::is_null), "{replies:?}");
    for node in &nodes {
        // The first in line has a look now and then.
        let asked = node.commands_named("SET").len();
        assert!(asked < NEWCOMERS / 2, "{asked} attempts: the newcomers made their own");
    }
}

#[tokio::test]
async fn whoever_comes_during_the_lines_first_attempt_waits_for_its_end() {
    let nodes: [ScriptedNode; 3] = std::array::from_fn(|_| scripted());
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address))).await;
    for node in &nodes {
        node.forget_commands();
        on_acquire(node, Action::DelayReply(Duration::from_millis(600)));
    }
    let mut first = proxy.connect().await;
    first.send(&["RLOCK", "job", LONGEST_TTL, "WAIT", LONG]).await;
    for node in &nodes {
        node.wait_for("SET", 1).await;
    }
    let newcomer = proxy.command(&["RLOCK", "job", LONGEST_TTL]).await;
    assert!(newcomer.is_null(), "{newcomer:?}");
    granted(&first.read_reply().await);
    for node in &nodes {
        assert_eq!(node.commands_named("SET").len(), 1);
    }
}

#[tokio::test]
async fn whoever_does_not_wait_hears_why_there_is_no_quorum() {
    let (nodes, proxy) = occupied("job").await;
    nodes.iter().take(2).for_each(|node| on_acquire(node, Action::error("OOM command not allowed")));
    let mut watch = Watch::on(&proxy).await;
    let _waiting = queued(&proxy, &mut watch, 0, "job", &[]).await;
    let newcomer = proxy.command(&["RLOCK", "job", LONGEST_TTL]).await;
    let told = reasons(&newcomer).1;
    assert_eq!(told.iter().filter(|(_, reason)| reason == "out of memory").count(), 2, "{newcomer:?}");
}

#[tokio::test]
async fn an_owner_takes_its_own_lock_over_past_the_line() {
    for &kind in Kind::all() {
        let pair = Pair::start(kind).await;
        let [mut watch, _] = pair.watches().await;
        let key = unique_key("own");
        let mut owner = pair.proxies[0].connect().await;
        let first = granted(&owner.call(&["RLOCK", &key, LONGEST_TTL, "OWNER", "me"]).await);
        let mut waiting = queued(&pair.proxies[0], &mut watch, 0, &key, &[]).await;

        let second = granted(&owner.call(&["RLOCK", &key, LONGEST_TTL, "OWNER", "me"]).await);
        let third = granted(&owner.call(&["RLOCK", &key, LONGEST_TTL, "WAIT", LONG, "OWNER", "me"]).await);
        assert!(first.token != second.token && second.token != third.token);
        assert_eq!(watch.counter("rlock_taken_over").await, 2);
        // Somebody else's name is one of many, waiting or not.
        let other = pair.proxies[0].command(&["RLOCK", &key, LONGEST_TTL, "OWNER", "you"]).await;
        assert!(other.is_null(), "{other:?}");
        let other = pair.proxies[0].command(&["RLOCK", &key, LONGEST_TTL, "WAIT", "50", "OWNER", "you"]).await;
        assert!(other.is_null(), "{other:?}");

        assert_eq!(owner.call(&["RUNLOCK", &key, &first.token]).await, Value::Integer(0));
        release(&mut owner, &key, &third).await;
        assert!(Lock::of(&waiting.read_reply().await).is_some());
    }
}

#[tokio::test]
async fn an_owner_that_does_not_hold_it_asks_who_does_and_takes_nothing() {
    let (nodes, proxy) = occupied("job").await;
    let mut watch = Watch::on(&proxy).await;
    let _waiting = queued(&proxy, &mut watch, 0, "job", &[]).await;
    let mut client = proxy.connect().await;
    for _ in 0..5 {
        assert!(client.call(&["RLOCK", "job", LONGEST_TTL, "OWNER", "me"]).await.is_null());
    }
    // Two of three are enough to know, each time.
    let looks = async || nodes.iter().map(|node| node.commands_named("GET").len()).sum::<usize>() >= 10;
    eventually(looks, "five questions").await;
    for node in &nodes {
        let by_me = |set: &support::scripted::Recorded| set.argument(2).starts_with("me:");
        assert!(!node.commands_named("SET").iter().any(by_me), "that would overtake the line");
    }
}

#[tokio::test]
async fn an_owner_hears_when_it_cannot_be_told_whether_it_holds_the_lock() {
    let (nodes, proxy) = occupied("job").await;
    let mut watch = Watch::on(&proxy).await;
    let _waiting = queued(&proxy, &mut watch, 0, "job", &[]).await;
    nodes.iter().take(2).for_each(|node| node.on("GET", Action::error("LOADING Redis is loading")));
    let reply = proxy.command(&["RLOCK", "job", LONGEST_TTL, "OWNER", "me"]).await;
    assert_eq!(reasons(&reply).1.iter().filter(|(_, reason)| reason == "loading").count(), 2, "{reply:?}");
}

#[tokio::test]
async fn waiting_for_no_time_is_not_waiting() {
    let (nodes, proxy) = occupied("job").await;
    let mut client = proxy.connect().await;
    for _ in 0..3 {
        assert!(client.call(&["RLOCK", "job", LONGEST_TTL, "WAIT", "0"]).await.is_null());
    }
    assert_eq!(proxy.counter("waiters_peak").await, 0);
    let attempts = async || nodes.iter().map(|node| node.commands_named("SET").len()).sum::<usize>() >= 6;
    eventually(attempts, "three attempts at two of three primaries").await;
    for node in &nodes {
        assert!(node.commands_named("PTTL").is_empty());
    }
}
