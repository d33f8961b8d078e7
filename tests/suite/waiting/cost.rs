//! What waiting costs: the primaries, the next in line, and the proxy's memory.

use std::time::{Duration, Instant};

use support::{ByteClient, Fleet, Kind, Proxy, unique_key};

use super::{LONG, Pair, Watch, granted_in_turn, queued, release};
use crate::common::{LONGEST_TTL, Rig, granted, patient, settled, start};

/// What each server has been asked, added up.
#[derive(Debug, Clone, Copy)]
struct Asked {
    set: u64,
    pttl: u64,
    delete: u64,
    publish: u64,
    get: u64,
}

async fn asked(fleet: &Fleet) -> Asked {
    let mut sum = Asked { set: 0, pttl: 0, delete: 0, publish: 0, get: 0 };
    for server in fleet.iter() {
        sum.set += server.calls("set").await;
        sum.pttl += server.calls("pttl").await;
        for form in ["delifeq", "delex", "evalsha"] {
            sum.delete += server.calls(form).await;
        }
        sum.publish += server.calls("publish").await;
        // Beside those at the ends of batches, which have a TIME before them.
        sum.get += server.calls("get").await.saturating_sub(server.calls("time").await);
    }
    sum
}

/// A line of so many that is served to its end: what the primaries were asked meanwhile, and how long that took.
async fn serve(rig: &Rig, waiters: u64) -> (Asked, Duration) {
    let mut watch = Watch::on(&rig.proxy).await;
    let key = unique_key("cost");
    let mut holder = rig.proxy.connect().await;
    let mut lock = granted(&holder.call(&["RLOCK", &key, LONGEST_TTL]).await);
    let mut clients = Vec::new();
    for behind in 0..waiters {
        clients.push(queued(&rig.proxy, &mut watch, behind, &key, &[]).await);
    }
    settled(&rig.proxy).await;
    let (before, began) = (asked(&rig.fleet).await, Instant::now());
    release(&mut holder, &key, &lock).await;
    for client in &mut clients {
        lock = granted(&client.read_reply().await);
        release(client, &key, &lock).await;
    }
    settled(&rig.proxy).await;
    let (after, took) = (asked(&rig.fleet).await, began.elapsed());
    let asked = Asked {
        set: after.set - before.set,
        pttl: after.pttl - before.pttl,
        delete: after.delete - before.delete,
        publish: after.publish - before.publish,
        get: after.get.saturating_sub(before.get),
    };
    (asked, took)
}

#[tokio::test]
async fn a_grant_costs_the_primaries_the_same_whoever_else_waits() {
    for &kind in Kind::all() {
        let rig = Rig::direct(kind, 3, &[]).await;
        for waiters in [10, 500] {
            let (asked, took) = serve(&rig, waiters).await;
            println!("{kind}, {waiters} waiters, three primaries, in {took:?}: {asked:?}");
            // Each grant is one SET with one PTTL, and one release. Beyond that there are looks at a lock that is held,
            // which come no more often than every 50 ms, and each is one SET, one PTTL, one withdrawal and one notice.
            let looks = u64::try_from(took.as_millis()).expect("short") / 50 + 2;
            let most = |each: u64| 3 * (each + looks);
            assert!(asked.set >= 3 * waiters && asked.set <= most(waiters), "{asked:?} in {took:?}");
            assert_eq!(asked.pttl, asked.set);
            assert!(asked.delete <= most(waiters + 1), "{asked:?} in {took:?}");
            assert!(asked.publish <= most(0), "{asked:?} in {took:?}");
            assert!(
                asked.get <= asked.delete,
                "{asked:?}: releases apart, where they are scripts, nobody gets anything"
            );
        }
    }
}

const PAUSE: Duration = Duration::from_millis(5);

/// The middle of so many durations.
fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    durations[durations.len() / 2]
}

/// How long an uncontended RLOCK takes.
async fn uncontended(client: &mut ByteClient) -> Duration {
    let mut took = Vec::new();
    for _ in 0..200 {
        let key = unique_key("alone");
        // As between two hand-overs: who has just worked is quicker than who has to be woken.
        tokio::time::sleep(PAUSE).await;
        let began = Instant::now();
        let lock = granted(&client.call(&["RLOCK", &key, LONGEST_TTL]).await);
        took.push(began.elapsed());
        release(client, &key, &lock).await;
    }
    median(took)
}

/// A lock goes from one to the next of these again and again: from the sending of the release to the grant.
async fn hand_overs(clients: &mut [ByteClient; 2], key: &str) -> Duration {
    let mut took = Vec::new();
    let mut lock = granted(&clients[0].call(&["RLOCK", key, LONGEST_TTL]).await);
    for turn in 0..300_usize {
        let [from, to] = if turn.is_multiple_of(2) { [0, 1] } else { [1, 0] };
        clients[to].send(&["RLOCK", key, LONGEST_TTL, "WAIT", LONG]).await;
        // In line by then, refused and asleep.
        tokio::time::sleep(PAUSE).await;
        let began = Instant::now();
        clients[from].send(&["RUNLOCK", key, &lock.token]).await;
        lock = granted_in_turn(&mut clients[to], || turn).await;
        took.push(began.elapsed());
        assert_eq!(clients[from].read_reply().await.integer(), 1);
    }
    release(&mut clients[0], key, &lock).await;
    median(took)
}

/// Measured and told, not judged: a busy machine is no fault of the proxy.
#[tokio::test]
async fn a_hand_over_takes_about_as_long_as_an_uncontended_lock() {
    for &kind in Kind::all() {
        let pair = Pair::start(kind).await;
        let alone = uncontended(&mut pair.proxies[0].connect().await).await;
        for (what, other) in [("one proxy", 0), ("two proxies", 1)] {
            let mut clients = [pair.proxies[0].connect().await, pair.proxies[other].connect().await];
            let took = hand_overs(&mut clients, &unique_key("hand-over")).await;
            let ratio = took.as_secs_f64() / alone.as_secs_f64();
            println!("{kind}, {what}: {took:?} for a hand-over, {alone:?} for a free lock: {ratio:.2}");
        }
    }
}

/// What one more waiting client adds to the memory of a proxy that it is connected to already.
async fn memory_per_waiter(proxy: &Proxy, clients: usize, key: &str) -> u64 {
    let mut watch = Watch::on(proxy).await;
    let mut connected = Vec::new();
    for number in 0..clients {
        let mut client = proxy.connect().await;
        // Once through the whole of it, so that what a connection takes for good is not taken for the wait's.
        client.call(&["RLOCK", &format!("{key}:{number}"), "4", "WAIT", "1"]).await;
        connected.push(client);
    }
    watch.until("waiters", 0).await;
    let before = proxy.footprint().resident_bytes;
    for client in &mut connected {
        client.send(&["RLOCK", key, LONGEST_TTL, "WAIT", LONG]).await;
    }
    watch.until("waiters", clients as u64).await;
    proxy.footprint().resident_bytes.saturating_sub(before) / clients as u64
}

#[tokio::test]
async fn a_waiter_weighs_little() {
    const CLIENTS: usize = 4_000;
    let fleet = support::shared(Kind::any(), 3).await;
    let proxy = start(patient(fleet.addresses())).await;
    let key = unique_key("memory");
    let lock = granted(&proxy.command(&["RLOCK", &key, LONGEST_TTL]).await);
    let each = memory_per_waiter(&proxy, CLIENTS, &key).await;
    println!("{each} bytes for each of {CLIENTS} waiters, besides its connection");
    // Some of it is what the allocator keeps; a read buffer or a task for each would be far beyond this.
    assert!(each < 3 * 1024, "{each} bytes each");
    drop(lock);
}
