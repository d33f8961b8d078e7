//! Everybody in line is served, once, and in order.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use support::{Kind, Value, unique_key};
use tokio::task::JoinSet;

use super::{LONG, Pair, Watch, granted_in_turn, queued, release};
use crate::common::{LONGEST_TTL, Lock, Rig, granted, no_primary_holds};

/// In front of each of two proxies.
const CLIENTS: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_of_two_proxies_are_served_once_each_and_in_order() {
    for &kind in Kind::all() {
        let pair = Pair::start(kind).await;
        let mut watches = pair.watches().await;
        let key = unique_key("order");
        let mut holder = pair.proxies[0].connect().await;
        let lock = granted(&holder.call(&["RLOCK", &key, LONGEST_TTL]).await);

        let (held, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let order = Arc::new(Mutex::new([Vec::new(), Vec::new()]));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            for (proxy, watch) in watches.iter_mut().enumerate() {
                let mut client = queued(&pair.proxies[proxy], watch, number as u64, &key, &[]).await;
                let (held, served, order, key) =
                    (Arc::clone(&held), Arc::clone(&served), Arc::clone(&order), key.clone());
                clients.spawn(async move {
                    let lock = granted_in_turn(&mut client, || served.load(Ordering::SeqCst)).await;
                    assert!(!held.swap(true, Ordering::SeqCst), "two hold it");
                    order.lock().expect("no panic")[proxy].push(number);
                    served.fetch_add(1, Ordering::SeqCst);
                    held.store(false, Ordering::SeqCst);
                    release(&mut client, &key, &lock).await;
                });
            }
        }
        release(&mut holder, &key, &lock).await;
        while let Some(client) = clients.join_next().await {
            client.expect("each is served");
        }
        let everybody: Vec<usize> = (0..CLIENTS).collect();
        assert_eq!(*order.lock().expect("no panic"), [everybody.clone(), everybody]);
        for watch in &mut watches {
            assert_eq!(watch.counter("wait_granted").await, CLIENTS as u64);
            assert_eq!(watch.counter("waiters_peak").await, CLIENTS as u64);
            assert_eq!((watch.counter("waiters").await, watch.counter("lines").await), (0, 0));
        }
        no_primary_holds(pair.fleet, &key).await;
    }
}

/// Clients that release and want it again at once, at both proxies: neither line is kept from the lock by the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_never_empty_leaves_the_other_proxys_its_turn() {
    const EACH: usize = 3;
    const ENOUGH: usize = 60;
    for &kind in Kind::all() {
        let pair = Pair::start(kind).await;
        let key = unique_key("fair");
        let wins = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let mut clients = JoinSet::new();
        for number in 0..2 * EACH {
            let mut client = pair.proxies[number % 2].connect().await;
            let (wins, key) = (Arc::clone(&wins), key.clone());
            clients.spawn(async move {
                let all = || wins.iter().map(|wins| wins.load(Ordering::SeqCst)).sum();
                while wins.iter().any(|wins| wins.load(Ordering::SeqCst) < ENOUGH) {
                    client.send(&["RLOCK", &key, LONGEST_TTL, "WAIT", LONG]).await;
                    let lock = granted_in_turn(&mut client, all).await;
                    wins[number % 2].fetch_add(1, Ordering::SeqCst);
                    release(&mut client, &key, &lock).await;
                }
            });
        }
        while let Some(client) = clients.join_next().await {
            client.expect("each is served to the end");
        }
        println!("{kind}: {wins:?} grants until both lines had {ENOUGH}");
    }
}

#[tokio::test]
async fn lines_for_different_locks_do_not_meet() {
    let rig = Rig::shared(Kind::any(), 3).await;
    let keys = [unique_key("apart"), unique_key("apart")];
    let mut holder = rig.proxy.connect().await;
    let held = granted(&holder.call(&["RLOCK", &keys[0], LONGEST_TTL]).await);
    let mut waiting = rig.proxy.connect().await;
    waiting.send(&["RLOCK", &keys[0], LONGEST_TTL, "WAIT", LONG]).await;
    let other = rig.proxy.command(&["RLOCK", &keys[1], LONGEST_TTL, "WAIT", LONG]).await;
    assert!(Lock::of(&other).is_some(), "a free lock is had at once");
    release(&mut holder, &keys[0], &held).await;
    assert!(Lock::of(&waiting.read_reply().await).is_some());
}

/// Everything that a client sends behind a WAIT waits for its end; what it sent before does not.
#[tokio::test]
async fn what_is_sent_behind_a_wait_is_run_when_it_has_ended() {
    let pair = Pair::start(Kind::any()).await;
    let [mut watch, _] = pair.watches().await;
    let (key, other) = (unique_key("behind"), unique_key("behind"));
    let mut holder = pair.proxies[0].connect().await;
    let held = granted(&holder.call(&["RLOCK", &key, LONGEST_TTL]).await);
    let mut client = queued(&pair.proxies[0], &mut watch, 0, &key, &[]).await;
    client.send(&["RLOCK", &other, LONGEST_TTL]).await;
    client.send(&["PING"]).await;
    // Whoever comes later on another connection gets what the one behind the wait has not asked for yet.
    let mut quick = pair.proxies[0].connect().await;
    let taken = granted(&quick.call(&["RLOCK", &other, LONGEST_TTL]).await);
    assert_eq!(Watch::on(&pair.proxies[0]).await.counter("waiting_clients").await, 1);
    release(&mut holder, &key, &held).await;
    let replies = client.read_replies(3).await;
    assert!(Lock::of(&replies[0]).is_some() && replies[1].is_null(), "{replies:?}");
    assert_eq!(replies[2], Value::simple("PONG"));
    release(&mut quick, &other, &taken).await;
}
