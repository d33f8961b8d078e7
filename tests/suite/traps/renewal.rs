//! Extending: it never harms the lock it is about.

use support::{Action, Direction, Fault, Kind, Relay, ScriptedNode, Value, eventually, unique_key};

use crate::common::{LONGEST_TTL, Rig, every_primary_holds, granted, patient, reasons, scripted, start, take_at_last};

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
        assert!(client.call(&["REXTEND", &key, &token, LONGEST_TTL]).await.integer() > 50_000, "it is still held");
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
