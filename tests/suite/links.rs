//! The connections to the primaries: how many, when they are given up, how they come back.

use std::collections::HashMap;
use std::time::Duration;

use support::{Action, Fault, Fleet, Kind, Proxy, Relay, ScriptedNode, Server, Value, eventually, unique_key};

use crate::common::{
    LONGEST_TTL, PROXY, Rig, granted, on_acquire, patient, primary_field, reasons, relays, scripted, settled, start,
    take_at_last, voters,
};

#[tokio::test]
async fn links_per_primary_says_how_many_connections_there_are() {
    for &kind in Kind::all() {
        let servers = Fleet::start(kind, 3).await;
        for links in [1, 4] {
            let proxy = start(patient(servers.addresses()).set("links_per_primary", links)).await;
            for server in servers.iter() {
                let named = async || u64::try_from(links_of(server).await).ok() == Some(links);
                eventually(named, format_args!("{links} links of {kind}")).await;
            }
            // And they work, each of them, with whatever key it gets.
            let mut client = proxy.connect().await;
            for _ in 0..50 {
                let key = unique_key("links");
                let token = granted(&client.call(&["RLOCK", &key, LONGEST_TTL]).await).token;
                assert!(client.call(&["REXTEND", &key, &token, LONGEST_TTL]).await.integer() > 50_000);
                assert_eq!(client.call(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
            }
            drop(proxy);
            for server in servers.iter() {
                eventually(async || links_of(server).await == 0, "the links to end with their proxy").await;
            }
        }
    }
}

/// How many connections the server has that are named as links are.
async fn links_of(server: &Server) -> usize {
    let list = server.command(&["CLIENT", "LIST"]).await.text();
    list.lines().filter(|line| line.contains(" name=redlock-proxy ")).count()
}

#[tokio::test]
async fn a_key_always_takes_the_same_link() {
    let nodes: [ScriptedNode; 3] = std::array::from_fn(|_| scripted());
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address)).set("links_per_primary", 4)).await;
    nodes.iter().for_each(ScriptedNode::forget_commands);
    let keys: Vec<String> = (0..40).map(|_| unique_key("links")).collect();
    for _ in 0..3 {
        let mut client = proxy.connect().await;
        for key in &keys {
            let token = granted(&client.call(&["RLOCK", key, LONGEST_TTL]).await).token;
            client.call(&["REXTEND", key, &token, LONGEST_TTL]).await;
            assert_eq!(client.call(&["RUNLOCK", key, &token]).await, Value::Integer(1));
        }
    }
    settled(&proxy).await;
    for node in &nodes {
        let mut links: HashMap<String, u64> = HashMap::new();
        for command in node.commands() {
            let key = match command.name().as_str() {
                "SET" => command.argument(1),
                "EVALSHA" => command.argument(3),
                _ => continue,
            };
            let link = *links.entry(key).or_insert(command.connection);
            assert_eq!(link, command.connection, "{command:?}");
        }
        assert_eq!(links.len(), keys.len());
        let mut used: Vec<u64> = links.into_values().collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), 4, "40 keys are spread over all links");
    }
}

#[tokio::test]
async fn a_lost_link_comes_back_and_is_counted() {
    for &kind in Kind::all() {
        let rig = Rig::relayed(kind, 3, &[("links_per_primary", 2)]).await;
        for round in 1..=3_u64 {
            rig.relays.iter().for_each(Relay::reset);
            let back = async || {
                let mut reconnects = 0;
                for index in 0..3 {
                    let count: u64 = primary_field(&rig.proxy, index, "reconnects").await.parse().expect("a count");
                    reconnects += u64::from(count == 2 * round);
                }
                reconnects == 3
            };
            eventually(back, format_args!("both links of all three to be opened for the {round}. time again")).await;
            rig.settled().await;
            let key = unique_key("links");
            let token = granted(&rig.proxy.command(&["RLOCK", &key, LONGEST_TTL]).await).token;
            assert_eq!(rig.proxy.command(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
        }
    }
}

#[tokio::test]
async fn a_primary_that_is_away_is_looked_for_less_and_less_often() {
    let node = scripted();
    let others = [scripted(), scripted()];
    let addresses = [node.address(), others[0].address(), others[1].address()];
    let proxy = start(patient(addresses)).await;
    node.forget_commands();
    let before = node.accepted();
    node.on_connect(Action::Close);
    let lost = std::time::Instant::now();
    node.close_all();
    // A try is two connections at once: the link, and the one that asks what the server can do. The one by which notices are
    // heard is looked for in the same way beside it.
    eventually(async || node.accepted() >= before + 3 * 5, "five tries").await;
    // The waits double from 25 to 50 ms on: four of them take 375 ms at least, and 750 at most.
    let took = lost.elapsed();
    assert!(took >= Duration::from_millis(375), "five tries within {took:?}");
    node.on_connect(None);
    voters(&proxy, 3).await;
}

#[tokio::test]
async fn silence_timeout_ms_says_when_a_link_is_given_up() {
    let nodes: [ScriptedNode; 3] = std::array::from_fn(|_| scripted());
    let settings = [("silence_timeout_ms", 700), ("node_timeout_ms", 300), ("probe_interval_ms", 60_000)];
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address)).set_all(&settings)).await;
    nodes[0].wait_for("SUBSCRIBE", 1).await;
    let connections = nodes[0].accepted();
    on_acquire(&nodes[0], Action::Silence);
    let key = unique_key("links");
    let token = take_at_last(&proxy, &key, LONGEST_TTL).await.token;
    let asked = nodes[0].wait_for("SET", 2).await[1].at;
    eventually(async || nodes[0].accepted() > connections, "another connection").await;
    let waited = asked.elapsed();
    assert!(waited >= Duration::from_millis(650), "given up after {waited:?} of 700 ms");
    proxy.wait_for_log("timed out after 700 ms").await;
    assert_eq!(proxy.command(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
}

#[tokio::test]
async fn a_primary_that_is_merely_slow_keeps_its_link() {
    let nodes: [ScriptedNode; 3] = std::array::from_fn(|_| scripted());
    let settings = [("silence_timeout_ms", 20_000), ("node_timeout_ms", 150)];
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address)).set_all(&settings)).await;
    nodes[0].wait_for("SUBSCRIBE", 1).await;
    let connections = nodes[0].accepted();
    on_acquire(&nodes[0], Action::DelayReply(Duration::from_millis(300)));
    for _ in 0..3 {
        let key = unique_key("links");
        take_at_last(&proxy, &key, LONGEST_TTL).await;
    }
    let too_slow = async || primary_field(&proxy, 0, "unknown").await == "3";
    eventually(too_slow, "the slow one to have been given up three times").await;
    eventually(async || primary_field(&proxy, 0, "queue").await == "0", "all its answers").await;
    assert_eq!(nodes[0].accepted(), connections);
    assert_eq!(primary_field(&proxy, 0, "reconnects").await, "0");
}

#[tokio::test]
async fn probe_interval_ms_says_how_often_an_idle_link_is_looked_at() {
    let node = scripted();
    let other = scripted();
    let _often = start(patient([node.address()]).set("probe_interval_ms", 100)).await;
    let _seldom = start(patient([other.address()]).set("probe_interval_ms", 60_000)).await;
    let probes = node.wait_for("ROLE", 8).await;
    // One on admission, one with the first batch, and so many more. One may be late, and the next not.
    let took = probes[7].at - probes[1].at;
    assert!(took >= Duration::from_millis(350), "six probes in {took:?}, 100 ms each were asked for");
    assert_eq!(other.commands_named("ROLE").len(), 2);
}

#[tokio::test]
async fn connect_timeout_ms_says_how_long_a_connection_may_take() {
    for timeout in [200, 900] {
        let silent = ScriptedNode::start();
        silent.on("CLIENT", Action::Silence);
        let others = [scripted(), scripted()];
        let addresses = [silent.address(), others[0].address(), others[1].address()];
        // The others are met for the first time, and not with all of their set.
        let options = patient(addresses).set("connect_timeout_ms", timeout).set("quorum", 3).set("quarantine", "off");
        let proxy = Proxy::start(PROXY, options).await;
        voters(&proxy, 2).await;
        let tries = silent.wait_for("CLIENT", 3).await;
        for pair in tries.windows(2) {
            let gap = pair[1].at - pair[0].at;
            // The command is not the first thing that a connection takes time for.
            assert!(gap >= Duration::from_millis(timeout) * 9 / 10, "given up after {gap:?} of {timeout} ms");
        }
        let (_, told) = reasons(&proxy.command(&["RLOCK", &unique_key("links"), LONGEST_TTL]).await);
        assert_eq!(told, [(silent.address(), format!("timed out after {timeout} ms"))]);
    }
}

#[tokio::test]
async fn a_connection_that_cannot_be_opened_at_first_is_opened_later() {
    for &kind in Kind::all() {
        let servers = Fleet::start(kind, 3).await;
        let relays = relays(&servers);
        relays.iter().for_each(Relay::refuse);
        let proxy = Proxy::start(PROXY, patient(relays.iter().map(Relay::address))).await;
        let told = async || {
            let (_, told) = reasons(&proxy.command(&["RLOCK", &unique_key("links"), LONGEST_TTL]).await);
            told.iter().all(|(_, reason)| reason == "connection refused")
        };
        eventually(told, "all three to refuse").await;
        relays.iter().for_each(Relay::accept);
        relays[0].set_both(Fault::Drip { bytes: 100, pause: Duration::from_micros(100) });
        voters(&proxy, 3).await;
        granted(&proxy.command(&["RLOCK", &unique_key("links"), LONGEST_TTL]).await);
    }
}

#[tokio::test]
async fn a_primary_that_does_not_read_holds_nobody_up_and_keeps_nothing() {
    // More than the buffers of the two sockets take.
    const LOCKS: usize = 3_000;
    for &kind in Kind::all() {
        let settings = [("node_timeout_ms", 5_000), ("silence_timeout_ms", 10_000), ("probe_interval_ms", 100)];
        let rig = Rig::relayed(kind, 3, &settings).await;
        let mut client = rig.proxy.connect().await;
        rig.relays[0].set_both(Fault::Stall);
        let keys: Vec<String> = (0..LOCKS).map(|_| format!("{:x<4096}", unique_key("links"))).collect();
        let mut tokens = Vec::new();
        for some in keys.chunks(500) {
            for key in some {
                client.send(&["RLOCK", key, LONGEST_TTL]).await;
            }
            tokens.extend(client.read_replies(some.len()).await.iter().map(|reply| granted(reply).token));
        }
        assert_ne!(primary_field(&rig.proxy, 0, "queue").await, "0");
        for (keys, tokens) in keys.chunks(500).zip(tokens.chunks(500)) {
            for (key, token) in keys.iter().zip(tokens) {
                client.send(&["RUNLOCK", key, token]).await;
            }
            assert_eq!(client.read_replies(keys.len()).await, vec![Value::Integer(1); keys.len()]);
        }
        rig.relays[0].heal();
        rig.settled().await;
        for server in rig.fleet.iter() {
            assert_eq!(server.command(&["DBSIZE"]).await, Value::Integer(1), "its marker");
        }
    }
}
