//! What was not granted is taken back, from every primary that may have it, whatever was lost on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::{Action, ByteClient, Direction, Fault, Kind, Relay, ScriptedNode, Server, eventually, unique_key};

use crate::common::{
    LONGEST_TTL, Rig, no_primary_holds, on_acquire, patient, primary_field, reasons, scripted, start, take_at_last,
};

/// Short waits, so that a link in trouble is soon replaced.
const HASTY: [(&str, u64); 3] =
    [("node_timeout_ms", 300), ("silence_timeout_ms", 1_000), ("connect_timeout_ms", 1_000)];

/// Trap 26.
#[tokio::test]
async fn a_record_whose_answer_was_lost_is_deleted_too() {
    for &kind in Kind::all() {
        let rig = Rig::relayed(kind, 3, &HASTY).await;
        let key = unique_key("trap26");
        let mut client = set_without_an_answer(&rig, &key).await;
        let (_, reasons) = reasons(&client.read_reply().await);
        assert!(reasons.iter().all(|(_, reason)| reason == "timed out after 300 ms"), "{reasons:?}");
        // Only the way back is lost: the withdrawals arrive.
        no_primary_holds(&rig.fleet, &key).await;
        heal(&rig).await;
        assert_eq!(rig.fleet.holding(&key).await, 0, "nothing comes back");
    }
}

/// Trap 26.
#[tokio::test]
async fn a_record_whose_withdrawal_was_lost_as_well_is_gone_after_healing() {
    for &kind in Kind::all() {
        let rig = Rig::relayed(kind, 3, &HASTY).await;
        let key = unique_key("trap26");
        let mut client = set_without_an_answer(&rig, &key).await;
        rig.relays[..2].iter().for_each(|relay| relay.set(Direction::ToServer, Fault::BlackHole));
        reasons(&client.read_reply().await);
        for server in &rig.fleet[..2] {
            assert!(server.exists(&key).await, "nobody can have deleted it yet");
        }
        heal(&rig).await;
        assert_eq!(rig.fleet.holding(&key).await, 0);
    }
}

/// Asks for a lock whose answers are lost on the way from two of three primaries, and waits until all have its record. The reply
/// is still to be read.
async fn set_without_an_answer(rig: &Rig, key: &str) -> ByteClient {
    rig.relays[..2].iter().for_each(|relay| relay.set(Direction::ToClient, Fault::BlackHole));
    let mut client = rig.proxy.connect().await;
    client.send(&["RLOCK", key, LONGEST_TTL]).await;
    eventually(async || rig.fleet.holding(key).await == 3, "the lock to be set where no answer comes from").await;
    client
}

/// Trap 27.
#[tokio::test]
async fn a_set_that_arrives_late_is_undone_by_what_follows_on_its_link() {
    for &kind in Kind::all() {
        let settings = [("node_timeout_ms", 300), ("silence_timeout_ms", 30_000)];
        let rig = Rig::relayed(kind, 3, &settings).await;
        let key = unique_key("trap27");
        rig.relays[..2].iter().for_each(|relay| relay.set(Direction::ToServer, Fault::Hold));
        let (_, reasons) = reasons(&rig.proxy.command(&["RLOCK", &key, LONGEST_TTL]).await);
        assert!(reasons.iter().all(|(_, reason)| reason == "timed out after 300 ms"), "{reasons:?}");
        rig.relays[..2].iter().for_each(|relay| relay.set(Direction::ToServer, Fault::Forward));
        rig.settled().await;
        assert_eq!(rig.fleet.holding(&key).await, 0);
        assert_eq!(rig.proxy.counter("late_grants_undone").await, 2, "both were set, and deleted again");
        for index in 0..3 {
            assert_eq!(primary_field(&rig.proxy, index, "reconnects").await, "0", "the links are the same");
        }
    }
}

/// The connection that carries locks: of those that are open the one that was sent most. The other waits for notices.
fn link(relay: &Relay) -> u64 {
    let open = relay.connections().into_iter().filter(|connection| connection.is_open);
    open.max_by_key(|connection| connection.bytes_to_server).expect("the primary votes").id
}

/// Trap 27.
#[tokio::test]
async fn a_set_that_is_still_under_way_when_its_link_is_replaced_never_lands() {
    // Much longer than it takes to give the link up, open another and withdraw over that.
    const LATE: Duration = Duration::from_secs(4);
    for &kind in Kind::all() {
        let rig = Rig::relayed(kind, 3, &HASTY).await;
        let key = unique_key("trap27");
        let kills = kills(&rig.fleet[0]).await;
        let former: Vec<u64> = rig.relays[..2].iter().map(link).collect();
        for relay in &rig.relays[..2] {
            relay.set(Direction::ToServer, Fault::latency(LATE));
        }
        let read = || rig.relays[..2].iter().map(|relay| relay.bytes_read(Direction::ToServer)).collect::<Vec<_>>();
        let before = read();
        let mut client = rig.proxy.connect().await;
        client.send(&["RLOCK", &key, LONGEST_TTL]).await;
        // Longer than two probes: it is the SET.
        let under_way = async || read().iter().zip(&before).all(|(read, before)| *read >= before + 150);
        eventually(under_way, "the lock to be asked for").await;
        // What is under way stays late; what comes from now on goes through at once.
        rig.relays[..2].iter().for_each(|relay| relay.set(Direction::ToServer, Fault::Forward));
        reasons(&client.read_reply().await);
        rig.settled().await;
        for (relay, former) in rig.relays.iter().zip(former) {
            eventually(
                async || relay.connections().iter().all(|connection| connection.id != former || !connection.is_open),
                "the former connection to end",
            )
            .await;
        }
        assert_eq!(rig.fleet.holding(&key).await, 0);
        assert!(self::kills(&rig.fleet[0]).await >= kills + 2, "one that ended it, one to be sure");
    }
}

/// Trap 27.
#[tokio::test]
async fn a_former_link_is_killed_however_many_successors_are_lost_over_it() {
    const LOST: usize = 3;
    let nodes = [scripted(), scripted(), scripted()];
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address)).set_all(&HASTY)).await;
    let key = unique_key("trap27");
    let node = &nodes[0];
    // The answers to the first kills get lost, and the connection with them.
    let killed = Arc::new(AtomicUsize::new(0));
    let lose = Arc::clone(&killed);
    node.on_call("CLIENT", move |command| {
        let kill = command.argument(1).eq_ignore_ascii_case("KILL");
        if kill && lose.fetch_add(1, Ordering::Relaxed) < LOST { Action::Reset } else { Action::Execute }
    });
    // The SET is asked for and never answered; nor is anything behind it.
    on_acquire(node, Action::Silence);
    let token = take_at_last(&proxy, &key, LONGEST_TTL).await.token;
    let former = node.wait_for("SET", 2).await.last().map(|set| set.connection).expect("the trial and the lock");
    proxy.command(&["RUNLOCK", &key, &token]).await;
    eventually(async || proxy.counter("withdrawals_pending").await == 0, "the withdrawal to be answered").await;

    let commands = node.commands();
    let kills: Vec<_> = commands.iter().filter(|command| command.argument(1) == "KILL").collect();
    assert!(kills.len() > LOST, "{LOST} kills were lost: {kills:?}");
    assert!(kills.iter().all(|kill| kill.argument(3) == former.to_string()), "{former} only: {kills:?}");
    let last = kills.last().expect("there are some").at;
    let releases = commands.iter().filter(|command| command.name() == "EVALSHA" && command.connection != former);
    let releases: Vec<_> = releases.collect();
    assert!(!releases.is_empty(), "the lock was released over another link");
    assert!(releases.iter().all(|release| release.at >= last), "nothing goes before the last kill was answered");
}

/// Trap 28.
#[tokio::test]
async fn a_client_that_resets_while_it_acquires_leaves_nothing_behind() {
    a_client_leaves(ByteClient::reset).await;
}

/// Trap 28.
#[tokio::test]
async fn a_client_that_closes_while_it_acquires_leaves_nothing_behind() {
    a_client_leaves(drop).await;
}

async fn a_client_leaves(leave: fn(ByteClient)) {
    const PIPELINED: usize = 20;
    for &kind in Kind::all() {
        let settings = [("node_timeout_ms", 5_000), ("silence_timeout_ms", 10_000)];
        let rig = Rig::relayed(kind, 3, &settings).await;
        let keys: Vec<String> = (0..PIPELINED).map(|_| unique_key("trap28")).collect();
        rig.relays.iter().for_each(|relay| relay.set(Direction::ToClient, Fault::Hold));
        let mut client = rig.proxy.connect().await;
        for key in &keys {
            client.send(&["RLOCK", key, LONGEST_TTL]).await;
        }
        for key in &keys {
            eventually(async || rig.fleet.holding(key).await == 3, "the lock to be set everywhere").await;
        }
        leave(client);
        eventually(async || rig.proxy.counter("connected_clients").await <= 2, "the proxy to go on").await;
        rig.relays.iter().for_each(|relay| relay.set(Direction::ToClient, Fault::Forward));
        for key in &keys {
            no_primary_holds(&rig.fleet, key).await;
        }
        rig.settled().await;
        assert_eq!(rig.proxy.counter("rlock_abandoned").await, PIPELINED as u64);
    }
}

/// The network is well again; a stream with a hole in it cannot go on.
async fn heal(rig: &Rig) {
    rig.relays[..2].iter().for_each(Relay::reset);
    rig.relays[..2].iter().for_each(Relay::heal);
    rig.settled().await;
}

/// How often the server was told to end a client.
async fn kills(server: &Server) -> u64 {
    server.calls("client|kill").await
}
