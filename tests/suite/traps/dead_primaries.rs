//! Dead and slow primaries delay nobody, and their trouble is theirs.

use std::time::Duration;

use support::{Action, Fault, Fleet, Kind, Proxy, Relay, ScriptedNode, Server, ServerOptions, Value};
use support::{Direction, eventually, shared, unique_key};

use crate::common::{
    LONGEST_TTL, PROXY, Rig, every_primary_holds, granted, no_primary_holds, on_acquire, patient, reasons, scripted,
    start, timed, voters,
};

/// Trap 22.
#[tokio::test]
async fn a_primary_that_never_answered_hangs_no_command() {
    for &kind in Kind::all() {
        let servers = shared(kind, 3).await;
        let relay = Relay::start(servers[0].address());
        relay.set_both(Fault::BlackHole);
        let addresses = [relay.address(), servers[1].address(), servers[2].address()];
        let proxy =
            Proxy::start(PROXY, patient(addresses).set("node_timeout_ms", 5_000).set("silence_timeout_ms", 10_000))
                .await;
        voters(&proxy, 2).await;
        let mut client = proxy.connect().await;
        let key = unique_key("trap22");
        for _ in 0..10 {
            let round = async {
                let token = granted(&client.call(&["RLOCK", &key, LONGEST_TTL]).await).token;
                assert!(client.call(&["RLOCK", &key, LONGEST_TTL]).await.is_null());
                assert!(client.call(&["REXTEND", &key, &token, LONGEST_TTL]).await.integer() > 0);
                assert_eq!(client.call(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
            };
            let ((), took) = timed(round).await;
            assert!(took < Duration::from_secs(4), "four commands took {took:?}, one time-out is 5 s");
        }
    }
}

/// Trap 23.
#[tokio::test]
async fn five_slow_primaries_are_as_slow_as_one() {
    const DELAY: Duration = Duration::from_millis(400);
    let settings = [("node_timeout_ms", 5_000), ("silence_timeout_ms", 10_000)];
    for &kind in Kind::all() {
        let rig = Rig::relayed(kind, 5, &settings).await;
        rig.relays.iter().for_each(|relay| relay.set(Direction::ToServer, Fault::latency(DELAY)));
        let mut client = rig.proxy.connect().await;
        let key = unique_key("trap23");
        let mut call = async |arguments: &[&str]| {
            let (reply, took) = timed(client.call(arguments)).await;
            assert!(took >= DELAY, "{arguments:?} took {took:?}: nobody was asked");
            assert!(took < 4 * DELAY, "{arguments:?} took {took:?}, one primary takes {DELAY:?}");
            reply
        };
        let token = granted(&call(&["RLOCK", &key, LONGEST_TTL]).await).token;
        assert!(call(&["RLOCK", &key, LONGEST_TTL]).await.is_null());
        assert!(call(&["REXTEND", &key, &token, LONGEST_TTL]).await.integer() > 0);
        assert_eq!(call(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
    }
}

/// Trap 24.
#[tokio::test]
async fn an_error_of_any_one_primary_ends_no_round() {
    for failing in 0..3 {
        let nodes: [ScriptedNode; 3] = std::array::from_fn(|_| scripted());
        on_acquire(&nodes[failing], Action::error("ERR no such luck"));
        let proxy = start(patient(nodes.iter().map(ScriptedNode::address))).await;
        let key = unique_key("trap24");
        let token = granted(&proxy.command(&["RLOCK", &key, LONGEST_TTL]).await).token;
        for (index, node) in nodes.iter().enumerate() {
            let expected = (index != failing).then(|| token.clone());
            eventually(async || node.get(&key) == expected, "the others to hold the lock").await;
        }
        assert_eq!(proxy.command(&["RUNLOCK", &key, &token]).await, Value::Integer(1));

        // A second one fails: the verdict is theirs, and what the third granted is taken back.
        let second = (failing + 1) % 3;
        on_acquire(&nodes[second], Action::error("ERR no luck here either"));
        let (head, reasons) = reasons(&proxy.command(&["RLOCK", &key, LONGEST_TTL]).await);
        assert_eq!(head, "NOQUORUM 1 of 3 primaries answered, 2 needed");
        let reason = |index: usize| reasons.iter().find(|(address, _)| *address == nodes[index].address());
        assert_eq!(reason(failing).map(|(_, words)| words.as_str()), Some("ERR no such luck"));
        assert_eq!(reason(second).map(|(_, words)| words.as_str()), Some("ERR no luck here either"));
        for node in &nodes {
            eventually(async || node.get(&key).is_none(), "nothing to be left").await;
        }
    }
}

/// Trap 24.
#[tokio::test]
async fn a_primary_that_refuses_leaves_the_verdict_to_the_quorum_and_the_others_clean() {
    for &kind in Kind::all() {
        let servers = shared(kind, 3).await;
        let proxy = start(patient(servers.addresses())).await;
        for refusing in 0..3 {
            let key = unique_key("trap24");
            servers[refusing].command(&["SET", &key, "another's", "PX", LONGEST_TTL]).await;
            let token = granted(&proxy.command(&["RLOCK", &key, LONGEST_TTL]).await).token;
            assert_eq!(proxy.command(&["RUNLOCK", &key, &token]).await, Value::Integer(1));

            let second = (refusing + 1) % 3;
            servers[second].command(&["SET", &key, "another's", "PX", LONGEST_TTL]).await;
            assert!(proxy.command(&["RLOCK", &key, LONGEST_TTL]).await.is_null(), "one other holds it on a quorum");
            let third = &servers[(refusing + 2) % 3];
            eventually(async || !third.exists(&key).await, "the third to be cleaned").await;
            assert_eq!(servers.holding(&key).await, 2, "nothing of another's is touched");
        }
    }
}

/// Trap 25.
#[tokio::test]
async fn a_primary_without_memory_is_no_holder_of_the_lock() {
    for &kind in Kind::all() {
        let mut rig = Rig::direct(kind, 3, &[]).await;
        let held = unique_key("trap25");
        let token = granted(&rig.proxy.command(&["RLOCK", &held, LONGEST_TTL]).await).token;
        every_primary_holds(&rig.fleet, &held, &token).await;
        for full in 0..2 {
            rig.fleet[full].config_set("maxmemory", "1").await;
        }
        let reply = rig.proxy.command(&["RLOCK", &unique_key("trap25"), LONGEST_TTL]).await;
        assert_eq!(
            reply,
            Value::error(format!(
                "NOQUORUM 1 of 3 primaries answered, 2 needed: {} out of memory; {} out of memory",
                rig.address(0),
                rig.address(1)
            ))
        );
        // Extending and releasing need no memory.
        assert!(rig.proxy.command(&["REXTEND", &held, &token, LONGEST_TTL]).await.integer() > 50_000);
        assert_eq!(rig.proxy.command(&["RUNLOCK", &held, &token]).await, Value::Integer(1));
        no_primary_holds(&rig.fleet, &held).await;
    }
}

/// Trap 25.
#[tokio::test]
async fn locks_are_released_on_primaries_that_were_full_before_the_proxy_came() {
    for &kind in Kind::all() {
        let mut servers = Fleet::start(kind, 3).await;
        let key = unique_key("trap25");
        for server in servers.iter_mut() {
            server.command(&["SET", &key, "token", "PX", LONGEST_TTL]).await;
            server.config_set("maxmemory", "1").await;
        }
        // Nothing can be written there, not even a marker.
        let proxy = start(patient(servers.addresses()).set("quarantine", "off")).await;
        assert!(proxy.command(&["REXTEND", &key, "token", LONGEST_TTL]).await.integer() > 50_000);
        assert_eq!(proxy.command(&["RUNLOCK", &key, "token"]).await, Value::Integer(1));
        let (_, reasons) = reasons(&proxy.command(&["RLOCK", &key, LONGEST_TTL]).await);
        assert!(reasons.iter().all(|(_, reason)| reason == "out of memory"), "{reasons:?}");
    }
}

/// Trap 25.
#[tokio::test]
async fn a_primary_without_a_free_connection_is_no_holder_of_the_lock() {
    for &kind in Kind::all() {
        let options = ServerOptions { max_clients: Some(1), ..ServerOptions::default() };
        let full = Server::start(kind, options).await;
        let _occupant = full.connect().await;
        let servers = shared(kind, 3).await;
        let addresses = [full.address(), servers[1].address(), servers[2].address()];
        let proxy = Proxy::start(PROXY, patient(addresses).set("quorum", 3)).await;
        voters(&proxy, 2).await;
        let key = unique_key("trap25");
        let expected =
            Value::error(format!("NOQUORUM 2 of 3 primaries answered, 3 needed: {} too many clients", full.address()));
        // A server that closes at once may reset the connection before its words have been read.
        eventually(async || proxy.command(&["RLOCK", &key, LONGEST_TTL]).await == expected, "the reason").await;
        no_primary_holds(servers, &key).await;
    }
}
