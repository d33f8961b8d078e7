//! Contenders get on, and nobody waits for nothing.

use std::time::Duration;

use support::{Direction, Fault, Kind, ScriptedNode, Value, shared, unique_key};

use crate::common::{
    LONGEST_TTL, Rig, granted, no_primary_holds, patient, relays, scripted, settled, start, take_at_last, timed,
};

/// Trap 35.
#[tokio::test]
async fn contenders_that_split_the_votes_do_not_stay_in_step() {
    const ROUNDS: usize = 10;
    for &kind in Kind::all() {
        let servers = shared(kind, 2).await;
        // Each proxy is late at the other's first server: begun together, their attempts always split.
        let late = relays(servers);
        let settings = [("attempts", 100), ("node_timeout_ms", 500), ("retry_delay_ms", 25)];
        let proxies = [
            start(patient([servers[0].address(), late[1].address()]).set_all(&settings)).await,
            start(patient([late[0].address(), servers[1].address()]).set_all(&settings)).await,
        ];
        for relay in &late {
            relay.set(Direction::ToServer, Fault::latency(Duration::from_millis(10)));
        }
        let mut clients = [proxies[0].connect().await, proxies[1].connect().await];
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
