//! Contenders get on, and nobody waits for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{ByteClient, Direction, Fault, Kind, Proxy, Relay, ScriptedNode, Value, eventually, shared, unique_key};
use tokio::task::JoinSet;

use crate::common::{
    LONGEST_TTL, Rig, granted, no_primary_holds, patient, relays, scripted, settled, start, take_at_last, timed,
};

/// Two proxies with a client each in front of two primaries. Each is late at the other's first: begun together, their attempts
/// always split the votes.
async fn rivals(kind: Kind, settings: &[(&str, u64)]) -> ([Proxy; 2], [ByteClient; 2], Vec<Relay>) {
    let servers = shared(kind, 2).await;
    let late = relays(servers);
    let proxies = [
        start(patient([servers[0].address(), late[1].address()]).set_all(settings)).await,
        start(patient([late[0].address(), servers[1].address()]).set_all(settings)).await,
    ];
    for relay in &late {
        relay.set(Direction::ToServer, Fault::latency(Duration::from_millis(10)));
    }
    let clients = [proxies[0].connect().await, proxies[1].connect().await];
    (proxies, clients, late)
}

/// Trap 35.
#[tokio::test]
async fn contenders_that_split_the_votes_do_not_stay_in_step() {
    const ROUNDS: usize = 10;
    for &kind in Kind::all() {
        let settings = [("attempts", 100), ("node_timeout_ms", 500), ("retry_delay_ms", 25)];
        let (proxies, mut clients, _late) = rivals(kind, &settings).await;
        for round in 0..ROUNDS {
            let key = unique_key("trap35");
            for client in &mut clients {
                client.send(&["RLOCK", &key, LONGEST_TTL]).await;
            }
            let mut granted_to = Vec::new();
            for client in &mut clients {
                let reply = client.read_reply().await;
                if !reply.is_null() {
                    granted_to.push(granted(&reply).token);
                }
            }
            assert_eq!(granted_to.len(), 1, "round {round}: one of them gets the lock, and only one");
        }
        let mut retries = 0;
        for proxy in &proxies {
            retries += proxy.counter("rlock_split_retries").await;
        }
        assert!(retries > 0, "the votes were split, or this test shows nothing");
    }
}

/// Trap 35.
#[tokio::test]
async fn a_refusal_is_told_at_once_and_nobody_sleeps_after_the_last_attempt() {
    // Whoever slept would sleep for half of this, by and large.
    let settings = [("retry_delay_ms", 10_000), ("attempts", 1)];
    for &kind in Kind::all() {
        let servers = shared(kind, 3).await;
        let held = unique_key("trap35");
        let split = unique_key("trap35");
        for (index, server) in servers.iter().enumerate() {
            server.command(&["SET", &held, "another's", "PX", LONGEST_TTL]).await;
            server.command(&["SET", &split, &format!("number {index}'s"), "PX", LONGEST_TTL]).await;
        }
        let one_attempt = start(patient(servers.addresses()).set_all(&settings)).await;
        let many_attempts =
            start(patient(servers.addresses()).set("retry_delay_ms", 10_000).set("attempts", 100)).await;
        for _ in 0..10 {
            for (proxy, key) in [(&one_attempt, &held), (&one_attempt, &split), (&many_attempts, &held)] {
                let (reply, took) = timed(proxy.command(&["RLOCK", key, LONGEST_TTL])).await;
                assert!(reply.is_null(), "{reply:?}");
                assert!(took < Duration::from_secs(4), "a refusal took {took:?}");
            }
        }
        assert_eq!(many_attempts.counter("rlock_split_retries").await, 0, "a held lock is no reason to try again");
    }
}

/// Trap 35.
#[tokio::test]
async fn lines_of_two_proxies_that_split_the_votes_are_both_served() {
    const ROUNDS: usize = 5;
    for &kind in Kind::all() {
        let settings = [("node_timeout_ms", 500), ("retry_delay_ms", 25)];
        let (proxies, mut clients, _late) = rivals(kind, &settings).await;
        for _ in 0..ROUNDS {
            let key = unique_key("trap35");
            for client in &mut clients {
                client.send(&["RLOCK", &key, LONGEST_TTL, "WAIT", "600000"]).await;
            }
            // Whoever is first by chance, the other is next.
            let (mut one, mut other) = (false, false);
            while !(one && other) {
                for (client, served) in clients.iter_mut().zip([&mut one, &mut other]) {
                    if !*served && !client.is_quiet_for(Duration::from_millis(20)).await {
                        let lock = granted(&client.read_reply().await);
                        assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
                        *served = true;
                    }
                }
            }
        }
        let mut splits = 0;
        for proxy in &proxies {
            splits += proxy.counter("rlock_split_retries").await;
        }
        assert!(splits > 0, "the votes were split, or this test shows nothing");
    }
}

/// Trap 36.
#[tokio::test]
async fn a_waiter_that_is_woken_looks_before_it_believes_and_a_dead_one_blocks_nobody() {
    for &kind in Kind::all() {
        let fleet = shared(kind, 3).await;
        let proxy = start(patient(fleet.addresses())).await;
        let key = unique_key("trap36");
        let waiters = async |count: u64| {
            eventually(async || proxy.counter("waiters").await == count, format_args!("{count} in line")).await;
        };
        let mut holder = proxy.connect().await;
        let lock = granted(&holder.call(&["RLOCK", &key, LONGEST_TTL]).await);
        let mut first = proxy.connect().await;
        first.send(&["RLOCK", &key, LONGEST_TTL, "WAIT", "600000"]).await;
        waiters(1).await;
        let mut second = proxy.connect().await;
        second.send(&["RLOCK", &key, LONGEST_TTL, "WAIT", "600000"]).await;
        waiters(2).await;
        // Each of these wakes the first in line, and releases nothing.
        for _ in 0..20 {
            assert_eq!(holder.call(&["RUNLOCK", &key, "no such token"]).await, Value::Integer(0));
        }
        assert!(first.is_quiet_for(Duration::from_millis(50)).await, "it was granted what another holds");
        assert!(fleet.get(&key).await.iter().all(|value| value.as_deref() == Some(lock.token.as_str())));
        // (One that dies when its grant has been written keeps the lock until its ttl ends: nobody can know.)
        first.reset();
        waiters(1).await;
        assert_eq!(holder.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
        let next = granted(&second.read_reply().await);
        assert_eq!(second.call(&["RUNLOCK", &key, &next.token]).await, Value::Integer(1));
        waiters(0).await;
        no_primary_holds(fleet, &key).await;
    }
}

/// Trap 37.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_comes_later_has_the_lock_before_the_line() {
    const LINE: usize = 40;
    const NEWCOMERS: usize = 8;
    for &kind in Kind::all() {
        let fleet = shared(kind, 3).await;
        let proxy = Arc::new(start(patient(fleet.addresses())).await);
        let key = unique_key("trap37");
        let mut holder = proxy.connect().await;
        let lock = granted(&holder.call(&["RLOCK", &key, LONGEST_TTL]).await);
        let mut line = Vec::new();
        for number in 0..LINE {
            let mut client = proxy.connect().await;
            client.send(&["RLOCK", &key, LONGEST_TTL, "WAIT", "600000"]).await;
            let in_line = async || proxy.counter("waiters").await == number as u64 + 1;
            eventually(in_line, "the next in line").await;
            line.push(client);
        }
        // They ask without a pause, and would take it in any moment in which it is free.
        let over = Arc::new(AtomicBool::new(false));
        let mut newcomers = JoinSet::new();
        for _ in 0..NEWCOMERS {
            let (proxy, over, key) = (Arc::clone(&proxy), Arc::clone(&over), key.clone());
            newcomers.spawn(async move {
                let mut client = proxy.connect().await;
                let mut asked = 0;
                while !over.load(Ordering::SeqCst) {
                    let reply = client.call(&["RLOCK", &key, LONGEST_TTL]).await;
                    assert!(reply.is_null() || over.load(Ordering::SeqCst), "overtaken: {reply:?}");
                    asked += 1;
                }
                asked
            });
        }
        assert_eq!(holder.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
        for (number, client) in line.iter_mut().enumerate() {
            let lock = granted(&client.read_reply().await);
            // When the last is served the line is over.
            over.store(number + 1 == LINE, Ordering::SeqCst);
            assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
        }
        let mut asked = 0;
        while let Some(newcomer) = newcomers.join_next().await {
            asked += newcomer.expect("nobody overtakes");
        }
        assert!(asked > LINE, "{asked} questions are no load");
    }
}

/// Trap 38.
#[tokio::test]
async fn releasing_what_is_not_held_answers_0_in_one_round_trip() {
    const DELAY: Duration = Duration::from_millis(800);
    let settings = [("node_timeout_ms", 5_000), ("silence_timeout_ms", 10_000)];
    for &kind in Kind::all() {
        let rig = Rig::relayed(kind, 3, &settings).await;
        let (never, expired) = (unique_key("trap38"), unique_key("trap38"));
        let token = take_at_last(&rig.proxy, &expired, "1000").await.token;
        no_primary_holds(&rig.fleet, &expired).await;
        // One does not answer at all, which is nobody's reason to try again.
        rig.relays[0].set_both(Fault::BlackHole);
        rig.relays.iter().skip(1).for_each(|relay| relay.set(Direction::ToServer, Fault::latency(DELAY)));
        for (key, token) in [(&never, "no such token"), (&expired, token.as_str())] {
            let (reply, took) = timed(rig.proxy.command(&["RUNLOCK", key, token])).await;
            assert_eq!(reply, Value::Integer(0));
            assert!(took < 2 * DELAY, "one round trip is {DELAY:?}, this took {took:?}");
        }
    }
}

/// Trap 38.
#[tokio::test]
async fn releasing_what_is_not_held_asks_each_primary_once() {
    let nodes: [ScriptedNode; 3] = std::array::from_fn(|_| scripted());
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address))).await;
    assert_eq!(proxy.command(&["RUNLOCK", &unique_key("trap38"), "no such token"]).await, Value::Integer(0));
    settled(&proxy).await;
    for node in &nodes {
        assert_eq!(node.commands_named("EVALSHA").len(), 1);
    }
}
