//! Extending, by the holder or by the proxy that renews: it never harms the lock it is about, and ends with it.

use futures_util::future::join_all;
use support::{Action, ByteClient, Direction, Fault, Kind, Proxy, Relay, ScriptedNode, Value, eventually, unique_key};

use crate::common::{
    LONGEST_TTL, Random, Rig, SESSION_TTL, bind, counted, every_primary_holds, granted, no_primary_holds, none_bound,
    outlive, patient, reasons, resp3, scripted, start, take_at_last, voters,
};

/// From here on nothing reaches these primaries.
fn lose(relays: &[Relay]) {
    relays.iter().for_each(Relay::refuse);
    relays.iter().for_each(Relay::cut);
}

/// Trap 30.
///
/// Behind a partition the records may outlive the validity: then there is nothing that could be told of them any more.
#[tokio::test]
async fn a_lock_that_was_lost_is_never_held_again_and_told_once() {
    for &kind in Kind::all() {
        let rig = Rig::relayed(kind, 3, &[("connect_timeout_ms", 1_000)]).await;
        let key = unique_key("trap30");
        let mut client = resp3(&rig.proxy).await;
        let lock = bind(&mut client, &rig.fleet, &key, SESSION_TTL, &["NOTIFY"]).await;
        // Somebody has let the records live much longer.
        for server in rig.fleet.iter() {
            assert_eq!(server.command(&["PEXPIRE", &key, LONGEST_TTL]).await, Value::Integer(1));
        }
        lose(&rig.relays[..2]);
        let push = client.read_reply().await;
        assert_eq!(push, Value::Push(vec![Value::bulk("rlock-lost"), Value::bulk(&key), Value::bulk(&lock.token)]));
        let mut never_held = async || {
            assert!(client.call(&["REXTEND", &key, &lock.token, SESSION_TTL]).await.is_null());
            assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(0));
        };
        never_held().await;
        for server in &rig.fleet[..2] {
            assert_eq!(server.get(&key).await.as_ref(), Some(&lock.token), "nobody reaches it");
        }
        rig.relays[..2].iter().for_each(Relay::heal);
        rig.settled().await;
        no_primary_holds(&rig.fleet, &key).await;
        never_held().await;
        outlive(&rig.fleet[0], SESSION_TTL).await;
        never_held().await;
        assert_eq!(rig.proxy.counter("session_lost").await, 1);
        let other = granted(&client.call(&["RLOCK", &key, SESSION_TTL]).await);
        assert_eq!(client.call(&["RUNLOCK", &key, &other.token]).await, Value::Integer(1));
        assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"), "nothing is told twice");
    }
}

/// Releases locks one after the other at random moments, through either proxy; says how many were held, through each.
async fn release_all(locks: Vec<(String, String)>, proxies: [&Proxy; 2], seed: u64) -> [usize; 2] {
    let mut random = Random::new(seed);
    let mut clients: [ByteClient; 2] = [proxies[0].connect().await, proxies[1].connect().await];
    let mut held = [0, 0];
    for (key, token) in locks {
        random.pause(50).await;
        let through = random.below(2);
        let reply = clients[through].call(&["RUNLOCK", &key, &token]).await;
        held[through] += usize::from(reply == Value::Integer(1));
    }
    held
}

/// Trap 31.
///
/// One primary gets its record by a renewal only, which is what a release may race with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_unlocks_during_renewals_leave_no_key() {
    const CLIENTS: u64 = 10;
    const LOCKS: usize = 60;
    let rig = Rig::relayed(Kind::any(), 3, &[("connect_timeout_ms", 1_000)]).await;
    let other = start(patient(rig.fleet.addresses())).await;
    let (mut held, mut keys) = ([0, 0], Vec::new());
    for round in 0..5 {
        lose(&rig.relays[2..]);
        voters(&rig.proxy, 2).await;
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let mut client = rig.proxy.connect().await;
            let names: Vec<String> = (0..LOCKS).map(|index| format!("trap31:{round}:{number}:{index}")).collect();
            for key in &names {
                client.send(&["RLOCK", key, SESSION_TTL, "SESSION"]).await;
            }
            let replies = client.read_replies(LOCKS).await;
            let tokens = replies.iter().map(|reply| granted(reply).token);
            keys.extend(names.iter().cloned());
            clients.push((client, names.iter().cloned().zip(tokens).collect::<Vec<_>>()));
        }
        rig.relays[2].heal();
        voters(&rig.proxy, 3).await;
        let releases = clients.iter().zip(round * CLIENTS..);
        let releases = releases.map(|((_, locks), seed)| release_all(locks.clone(), [&rig.proxy, &other], seed));
        for [own, others] in join_all(releases).await {
            held = [held[0] + own, held[1] + others];
        }
        // What was released through the other proxy is found out.
        none_bound(&rig.proxy).await;
    }
    let restored = rig.proxy.counter("rextend_records_restored").await;
    assert!(restored > 100, "only {restored} were set anew");
    // On a busy machine some may have been lost before.
    assert!(held[0] + held[1] + 300 > keys.len(), "only {held:?} of {} were held", keys.len());
    // What was released through the same proxy was never looked for again.
    let lost = rig.proxy.counter("session_lost").await;
    assert!(lost <= (keys.len() - held[0]) as u64, "{lost} were lost, {held:?} of {} released", keys.len());
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for server in rig.fleet.iter() {
        let gone = async || server.command(&[&["EXISTS"][..], &keys].concat()).await == Value::Integer(0);
        eventually(gone, "no record to be left").await;
    }
    outlive(&rig.fleet[0], SESSION_TTL).await;
    for server in rig.fleet.iter() {
        assert_eq!(server.command(&[&["EXISTS"][..], &keys].concat()).await, Value::Integer(0));
    }
}

/// Trap 32.
#[tokio::test]
async fn a_renewal_that_fails_is_tried_again_and_a_lost_one_is_told() {
    for &kind in Kind::all() {
        let rig = Rig::relayed(kind, 3, &[("connect_timeout_ms", 1_000)]).await;
        let key = unique_key("trap32");
        let mut client = resp3(&rig.proxy).await;
        let lock = bind(&mut client, &rig.fleet, &key, "6000", &["NOTIFY"]).await;
        lose(&rig.relays[1..]);
        counted(&rig.proxy, "session_renewal_failures", 2).await;
        rig.relays[1..].iter().for_each(Relay::heal);
        rig.settled().await;
        let renewals = rig.proxy.counter("session_renewals").await;
        counted(&rig.proxy, "session_renewals", renewals + 1).await;
        assert_eq!(rig.proxy.counter("session_lost").await, 0, "it was still valid");
        lose(&rig.relays[1..]);
        let push = client.read_reply().await;
        assert_eq!(push, Value::Push(vec![Value::bulk("rlock-lost"), Value::bulk(&key), Value::bulk(&lock.token)]));
        let line = rig.proxy.wait_for_log("the lock of a session is lost").await;
        assert!(line.contains(&key), "{line}");
    }
}

/// Trap 34.
#[tokio::test]
async fn renewing_ends_with_a_release_with_the_connection_and_at_the_configured_cap() {
    let rig = Rig::direct(Kind::any(), 3, &[("session.max_lifetime_ms", 4_000)]).await;
    let mut client = rig.proxy.connect().await;
    let keys = [unique_key("trap34"), unique_key("trap34"), unique_key("trap34")];
    let lock = bind(&mut client, &rig.fleet, &keys[0], SESSION_TTL, &[]).await;
    let mut broken = rig.proxy.connect().await;
    bind(&mut broken, &rig.fleet, &keys[1], SESSION_TTL, &[]).await;
    bind(&mut client, &rig.fleet, &keys[2], SESSION_TTL, &[]).await;
    counted(&rig.proxy, "session_renewals", 3).await;
    assert_eq!(client.call(&["RUNLOCK", &keys[0], &lock.token]).await, Value::Integer(1));
    no_primary_holds(&rig.fleet, &keys[0]).await;
    broken.reset();
    none_bound(&rig.proxy).await;
    let renewals = rig.proxy.counter("session_renewals").await;
    for key in &keys {
        no_primary_holds(&rig.fleet, key).await;
    }
    outlive(&rig.fleet[0], SESSION_TTL).await;
    assert_eq!(rig.proxy.counter("session_renewals").await, renewals);
    assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
}

/// Trap 33.
#[tokio::test]
async fn an_extension_without_a_quorum_leaves_the_lock_as_it_was() {
    let settings = [("node_timeout_ms", 300), ("silence_timeout_ms", 1_000), ("connect_timeout_ms", 1_000)];
    for &kind in Kind::all() {
        let rig = Rig::relayed(kind, 3, &settings).await;
        let key = unique_key("trap33");
        let mut client = rig.proxy.connect().await;
        let token = take_at_last(&rig.proxy, &key, LONGEST_TTL).await.token;
        every_primary_holds(&rig.fleet, &key, &token).await;
        let records = rig.fleet.get(&key).await;

        // First the answers are lost, then the questions.
        for direction in [Direction::ToClient, Direction::ToServer] {
            rig.relays[..2].iter().for_each(|relay| relay.set(direction, Fault::BlackHole));
            for ttl in ["1000", LONGEST_TTL] {
                reasons(&client.call(&["REXTEND", &key, &token, ttl]).await);
            }
            rig.relays[..2].iter().for_each(Relay::reset);
            rig.relays[..2].iter().for_each(Relay::heal);
            rig.settled().await;
            assert_eq!(rig.fleet.get(&key).await, records, "the records are as they were");
            for server in rig.fleet.iter() {
                assert!(server.pttl(&key).await > 30_000, "none was shortened");
            }
        }
        // However often the machine is too busy for these time-outs.
        let mut reply = Value::NullBulk;
        let is_told = async || {
            reply = client.call(&["REXTEND", &key, &token, LONGEST_TTL]).await;
            !reply.is_error()
        };
        eventually(is_told, "a quorum to answer").await;
        assert!(reply.integer() > 50_000, "it is still held");
        assert_eq!(client.call(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
    }
}

/// Trap 33.
#[tokio::test]
async fn an_extension_that_primaries_refuse_releases_nothing() {
    let nodes = [scripted(), scripted(), scripted()];
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address))).await;
    let key = unique_key("trap33");
    let token = granted(&proxy.command(&["RLOCK", &key, LONGEST_TTL]).await).token;
    for node in &nodes {
        eventually(async || node.get(&key).is_some(), "the lock to be everywhere").await;
    }
    for node in &nodes[..2] {
        node.once("EVALSHA", Action::error("OOM command not allowed when used memory > 'maxmemory'."));
    }
    let (_, reasons) = reasons(&proxy.command(&["REXTEND", &key, &token, LONGEST_TTL]).await);
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons.iter().all(|(_, reason)| reason == "out of memory"), "{reasons:?}");
    for node in &nodes {
        assert_eq!(node.get(&key), Some(token.clone()));
    }
    assert!(proxy.command(&["REXTEND", &key, &token, LONGEST_TTL]).await.integer() > 50_000);
}

/// Trap 45.
#[tokio::test]
async fn an_extension_never_shortens_a_record() {
    let settings = [("node_timeout_ms", 500), ("silence_timeout_ms", 30_000)];
    for &kind in Kind::all() {
        let rig = Rig::relayed(kind, 3, &settings).await;
        let key = unique_key("trap45");
        let mut client = rig.proxy.connect().await;
        let token = take_at_last(&rig.proxy, &key, LONGEST_TTL).await.token;
        every_primary_holds(&rig.fleet, &key, &token).await;
        let validity = client.call(&["REXTEND", &key, &token, "20000"]).await.integer();
        assert!((10_000..20_000).contains(&validity), "what was asked for, less drift: {validity}");
        for server in rig.fleet.iter() {
            assert!(server.pttl(&key).await > 30_000, "the record lives for the longer of both");
        }

        // Reaching a minority it settles nothing, so the validity told first must still be true.
        rig.relays[..2].iter().for_each(|relay| relay.set(Direction::ToServer, Fault::Hold));
        let calls = rig.fleet[2].calls("evalsha").await;
        reasons(&client.call(&["REXTEND", &key, &token, "20000"]).await);
        assert_eq!(rig.fleet[2].calls("evalsha").await, calls + 1, "one was reached");
        rig.relays[..2].iter().for_each(|relay| relay.set(Direction::ToServer, Fault::Forward));
        for server in rig.fleet.iter() {
            assert!(server.pttl(&key).await > 30_000);
        }
        assert_eq!(client.call(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
    }
}

/// Trap 46.
#[tokio::test]
async fn nobody_gets_a_push_who_did_not_ask_for_it() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let (quiet, told) = (unique_key("trap46"), unique_key("trap46"));
    let mut client = resp3(&rig.proxy).await;
    bind(&mut client, &rig.fleet, &quiet, SESSION_TTL, &[]).await;
    for server in &rig.fleet[..2] {
        assert!(server.del(&quiet).await);
    }
    counted(&rig.proxy, "session_lost", 1).await;
    assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
    // The one that was asked for is the first that comes.
    let lock = bind(&mut client, &rig.fleet, &told, SESSION_TTL, &["NOTIFY"]).await;
    for server in &rig.fleet[..2] {
        assert!(server.del(&told).await);
    }
    let push = client.read_reply().await;
    assert_eq!(push, Value::Push(vec![Value::bulk("rlock-lost"), Value::bulk(&told), Value::bulk(&lock.token)]));
}
