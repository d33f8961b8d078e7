//! How the first in line learns that the lock is free: through this proxy, through another, or although nobody tells.

use std::time::{Duration, Instant};

use support::{Action, Fleet, Kind, Proxy, Relay, ScriptedNode, Value, eventually, shared, unique_key};

use super::{LONG, Pair, Watch, queued, release};
use crate::common::{LONGEST_TTL, Lock, Rig, SharedRig, granted, occupy, patient, relays, scripted, start, take};

#[tokio::test]
async fn a_release_through_either_proxy_wakes_the_line_of_the_other() {
    for &kind in Kind::all() {
        let pair = Pair::start(kind).await;
        let mut watches = pair.watches().await;
        for (holding, waiting) in [(0, 1), (1, 0)] {
            let key = unique_key("across");
            let mut holder = pair.proxies[holding].connect().await;
            let lock = granted(&holder.call(&["RLOCK", &key, LONGEST_TTL]).await);
            let heard = watches[holding].counter("notices_received").await;
            let mut waiter = queued(&pair.proxies[waiting], &mut watches[waiting], 0, &key, &[]).await;
            // The holder's proxy has been told of the line by every primary.
            watches[holding].until_it("notices_received", |now| now >= heard + 3).await;
            let told = watches[waiting].counter("notices_received").await;
            release(&mut holder, &key, &lock).await;
            let next = granted(&waiter.read_reply().await);
            watches[waiting].until_it("notices_received", |now| now >= told + 3).await;
            release(&mut waiter, &key, &next).await;
        }
    }
}

/// What nobody waits for is nobody's business.
#[tokio::test]
async fn a_release_of_what_nobody_else_waits_for_tells_nobody() {
    let nodes: [ScriptedNode; 3] = std::array::from_fn(|_| scripted());
    let addresses = || nodes.iter().map(ScriptedNode::address);
    let proxies = [start(patient(addresses())).await, start(patient(addresses())).await];
    for number in 0..10 {
        let key = format!("job{number}");
        let lock = granted(&proxies[0].command(&["RLOCK", &key, LONGEST_TTL]).await);
        assert_eq!(proxies[1].command(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
    }
    // Nor does a line of this proxy's own need any notice of a release through it.
    let mut watch = Watch::on(&proxies[0]).await;
    let mut holder = proxies[0].connect().await;
    let lock = granted(&holder.call(&["RLOCK", "job", LONGEST_TTL]).await);
    let mut waiting = queued(&proxies[0], &mut watch, 0, "job", &[]).await;
    release(&mut holder, "job", &lock).await;
    granted(&waiting.read_reply().await);
    for node in &nodes {
        let published = node.commands_named("PUBLISH");
        assert!(published.iter().all(|command| command.argument(2).starts_with("1 waiting ")), "{published:?}");
    }
}

/// Notices name the lock as clients do, and their channel is the set's own.
#[tokio::test]
async fn a_prefix_keeps_the_notices_of_one_set_from_those_of_another() {
    let nodes: [ScriptedNode; 3] = std::array::from_fn(|_| scripted());
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address)).set("key_prefix", "blue:")).await;
    for node in &nodes {
        node.put("blue:a job", "somebody else's", None);
    }
    let mut watch = Watch::on(&proxy).await;
    let _waiting = queued(&proxy, &mut watch, 0, "a job", &[]).await;
    for node in &nodes {
        let published = &node.wait_for("PUBLISH", 1).await[0];
        assert_eq!(published.argument(1), "blue:redlock-proxy:released");
        let notice = published.argument(2);
        let sender = notice.strip_prefix("1 waiting ").and_then(|rest| rest.strip_suffix(" a job"));
        assert!(sender.is_some_and(|sender| sender.len() == 16), "{notice}");
        let subscribed = node.wait_for("SUBSCRIBE", 1).await;
        assert_eq!(subscribed[0].argument(1), "blue:redlock-proxy:released");
    }
}

/// Nobody releases: the first in line comes back when the records in its way have ended. That this is not left to its looks
/// now and then is shown on the simulation's clock; here it is measured.
#[tokio::test]
async fn the_lock_of_a_holder_that_never_releases_is_had_when_it_has_ended() {
    const TTL: &str = "2000";
    for &kind in Kind::all() {
        let rig: &SharedRig = Rig::shared(kind, 3).await;
        let mut late = Vec::new();
        for _ in 0..3 {
            let key = unique_key("expiry");
            take(&mut rig.proxy.connect().await, rig.fleet, &key, TTL).await;
            let end = majority_free_at(rig.fleet, &key).await;
            let mut waiter = rig.proxy.connect().await;
            let lock = granted(&waiter.call(&["RLOCK", &key, LONGEST_TTL, "WAIT", LONG]).await);
            late.push(Instant::now().saturating_duration_since(end));
            release(&mut waiter, &key, &lock).await;
        }
        println!("{kind}: had so long after the end of its record on a majority: {late:?}");
    }
}

/// When the record will be gone from a majority, by what the primaries say.
async fn majority_free_at(fleet: &Fleet, key: &str) -> Instant {
    let mut ends = Vec::new();
    for server in fleet.iter() {
        let left = u64::try_from(server.pttl(key).await).expect("it is held, and not for ever");
        ends.push(Instant::now() + Duration::from_millis(left));
    }
    ends.sort_unstable();
    ends[ends.len() / 2]
}

/// A library takes the lock on the primaries themselves and deletes its records there: no proxy hears of it.
#[tokio::test]
async fn a_librarys_release_is_found_by_trying_again() {
    for &kind in Kind::all() {
        let fleet = shared(kind, 3).await;
        let proxy = start(patient(fleet.addresses())).await;
        let mut watch = Watch::on(&proxy).await;
        let key = unique_key("library");
        for server in fleet.iter() {
            let set = server.command(&["SET", &key, "a library's", "NX", "PX", LONGEST_TTL]).await;
            assert_eq!(set, Value::ok());
        }
        let mut waiter = queued(&proxy, &mut watch, 0, &key, &[]).await;
        // It has been refused by then.
        watch.until_it("notices_sent", |sent| sent > 0).await;
        for server in fleet.iter() {
            assert!(server.del(&key).await);
        }
        let lock = granted(&waiter.read_reply().await);
        release(&mut waiter, &key, &lock).await;
    }
}

/// One holder without an end, of which nothing can be foretold.
#[tokio::test]
async fn a_record_that_never_ends_by_itself_is_waited_for_all_the_same() {
    let rig = Rig::shared(Kind::any(), 3).await;
    let key = unique_key("endless");
    for server in rig.fleet.iter() {
        occupy(server, &key, "somebody's").await;
    }
    let mut waiter = rig.proxy.connect().await;
    waiter.send(&["RLOCK", &key, LONGEST_TTL, "WAIT", LONG]).await;
    assert!(waiter.is_quiet_for(Duration::from_millis(300)).await);
    for server in rig.fleet.iter() {
        assert!(server.del(&key).await);
    }
    let lock = granted(&waiter.read_reply().await);
    release(&mut waiter, &key, &lock).await;
}

/// A proxy behind relays, and the connections by which it hears of releases.
async fn muffled(fleet: &Fleet, settings: &[(&str, u64)]) -> (Vec<Relay>, Proxy, Vec<u64>) {
    let relays = relays(fleet);
    let proxy = start(patient(relays.iter().map(Relay::address)).set_all(settings)).await;
    for relay in &relays {
        eventually(async || relay.open() == 2, "a link and a subscription, and nothing else").await;
    }
    // The one that carries locks is the link.
    let mut client = proxy.connect().await;
    let key = unique_key("muffled");
    for _ in 0..50 {
        let lock = granted(&client.call(&["RLOCK", &key, LONGEST_TTL]).await);
        release(&mut client, &key, &lock).await;
    }
    let mut subscriptions = Vec::new();
    for relay in &relays {
        let open = relay.connections().into_iter().filter(|connection| connection.is_open);
        let quiet = open.min_by_key(|connection| connection.bytes_to_server).expect("there are two");
        relay.swallow(quiet.id);
        subscriptions.push(quiet.id);
    }
    (relays, proxy, subscriptions)
}

#[tokio::test]
async fn a_release_of_which_the_notice_is_lost_is_found_by_trying_again() {
    for &kind in Kind::all() {
        let pair = Pair::start(kind).await;
        let (_relays, deaf, _) = muffled(pair.fleet, &[]).await;
        let mut watch = Watch::on(&deaf).await;
        let before = watch.counter("notices_received").await;
        let key = unique_key("lost");
        let mut holder = pair.proxies[0].connect().await;
        let lock = granted(&holder.call(&["RLOCK", &key, LONGEST_TTL]).await);
        let mut waiter = queued(&deaf, &mut watch, 0, &key, &[]).await;
        let heard = async || pair.proxies[0].counter("notices_received").await > 0;
        eventually(heard, "the holder's proxy to hear of the line").await;
        release(&mut holder, &key, &lock).await;
        assert!(Lock::of(&waiter.read_reply().await).is_some());
        assert_eq!(watch.counter("notices_received").await, before, "it is deaf, or this test shows nothing");
    }
}

#[tokio::test]
async fn a_subscription_that_is_dead_is_replaced_and_notices_are_heard_again() {
    let settings = [("node_timeout_ms", 500), ("silence_timeout_ms", 1_000), ("probe_interval_ms", 100)];
    let pair = Pair::start(Kind::any()).await;
    let (relays, proxy, subscriptions) = muffled(pair.fleet, &settings).await;
    for (relay, former) in relays.iter().zip(subscriptions) {
        let replaced =
            async || relay.connections().iter().filter(|other| other.is_open && other.id > former).count() > 0;
        eventually(replaced, "another subscription").await;
    }
    let mut watch = Watch::on(&proxy).await;
    let key = unique_key("again");
    let mut holder = pair.proxies[0].connect().await;
    let lock = granted(&holder.call(&["RLOCK", &key, LONGEST_TTL]).await);
    let mut waiter = queued(&proxy, &mut watch, 0, &key, &[]).await;
    let heard = async || pair.proxies[0].counter("notices_received").await >= 3;
    eventually(heard, "the holder's proxy to hear of the line").await;
    release(&mut holder, &key, &lock).await;
    assert!(Lock::of(&waiter.read_reply().await).is_some());
    watch.until_it("notices_received", |now| now > 0).await;
}

/// A server on which this user may not subscribe says so; the proxy says so once, and lines go on without notices.
#[tokio::test]
async fn a_primary_that_allows_no_subscription_is_no_obstacle() {
    let nodes: [ScriptedNode; 3] = std::array::from_fn(|_| scripted());
    for node in &nodes {
        node.on("SUBSCRIBE", Action::error("NOPERM No permissions to access a channel"));
    }
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address))).await;
    for node in &nodes {
        node.wait_for("SUBSCRIBE", 3).await;
        node.put("job", "somebody else's", None);
    }
    let log = proxy.log();
    assert_eq!(log.matches("notices of other proxies are not heard").count(), 3, "{log}");
    let mut watch = Watch::on(&proxy).await;
    let mut waiter = queued(&proxy, &mut watch, 0, "job", &[]).await;
    for node in &nodes {
        node.put("job", "somebody else's", Some(1));
    }
    granted(&waiter.read_reply().await);
}
