//! Primaries that are away while clients stand in line.

use support::{Action, Kind, ScriptedNode, unique_key};

use super::{Watch, queued, release};
use crate::common::{LONGEST_TTL, Rig, granted, on_acquire, patient, reasons, scripted, start, voters};

/// A line goes on without a quorum, and is served when there is one again; also when what was held is gone with its servers.
#[tokio::test]
async fn primaries_are_lost_and_come_back_and_the_line_is_served() {
    for &kind in Kind::all() {
        let mut rig = Rig::restarting(kind, 3, &[("node_timeout_ms", 500)]).await;
        let mut watch = Watch::on(&rig.proxy).await;
        let key = unique_key("outage");
        granted(&rig.proxy.command(&["RLOCK", &key, LONGEST_TTL]).await);
        let mut first = queued(&rig.proxy, &mut watch, 0, &key, &[]).await;
        let mut second = queued(&rig.proxy, &mut watch, 1, &key, &[]).await;
        for index in 0..2 {
            rig.fleet[index].kill();
        }
        voters(&rig.proxy, 1).await;
        // Whoever does not wait hears of it when the first in line has had another look.
        loop {
            let newcomer = rig.proxy.command(&["RLOCK", &key, LONGEST_TTL]).await;
            if newcomer.is_error() {
                assert!(reasons(&newcomer).1.len() >= 2, "{newcomer:?}");
                break;
            }
        }
        assert_eq!(watch.counter("waiters").await, 2);
        for index in 0..2 {
            rig.fleet[index].restart().await;
        }
        // They have forgotten the lock, and two are enough.
        let lock = granted(&first.read_reply().await);
        release(&mut first, &key, &lock).await;
        let lock = granted(&second.read_reply().await);
        release(&mut second, &key, &lock).await;
    }
}

#[tokio::test]
async fn the_last_attempt_decides_what_is_told_when_the_time_is_up() {
    let nodes: [ScriptedNode; 3] = std::array::from_fn(|_| scripted());
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address))).await;
    for node in &nodes {
        node.put("job", "somebody else's", None);
    }
    let mut watch = Watch::on(&proxy).await;
    let mut first = proxy.connect().await;
    first.send(&["RLOCK", "job", LONGEST_TTL, "WAIT", "3000"]).await;
    watch.until("waiters", 1).await;
    let mut second = proxy.connect().await;
    second.send(&["RLOCK", "job", LONGEST_TTL, "WAIT", "3000"]).await;
    watch.until("waiters", 2).await;
    nodes.iter().take(2).for_each(|node| on_acquire(node, Action::error("BUSY Redis is busy")));
    for client in [&mut first, &mut second] {
        let reply = client.read_reply().await;
        assert_eq!(reasons(&reply).1.iter().filter(|(_, reason)| reason == "busy").count(), 2, "{reply:?}");
    }
    assert_eq!((watch.counter("wait_expired").await, watch.counter("rlock_noquorum").await), (2, 2));
}

/// A primary that says nothing does not keep the line from the others' answers.
#[tokio::test]
async fn a_silent_primary_holds_no_line_up() {
    let rig = Rig::shared_relayed(Kind::any(), 3, &[]).await;
    let mut watch = Watch::on(&rig.proxy).await;
    let key = unique_key("silent");
    let mut holder = rig.proxy.connect().await;
    let mut lock = granted(&holder.call(&["RLOCK", &key, LONGEST_TTL]).await);
    let mut clients = Vec::new();
    for behind in 0..10 {
        clients.push(queued(&rig.proxy, &mut watch, behind, &key, &[]).await);
    }
    rig.relays[0].set_both(support::Fault::BlackHole);
    let began = std::time::Instant::now();
    release(&mut holder, &key, &lock).await;
    for client in &mut clients {
        lock = granted(&client.read_reply().await);
        release(client, &key, &lock).await;
    }
    // This proxy waits six seconds for a primary: nobody of eleven may have done so.
    assert!(began.elapsed() < crate::common::PROMPT, "{:?}", began.elapsed());
}
