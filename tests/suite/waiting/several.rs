//! Several locks as one, in line for all of them; and what else an RLOCK may ask for besides.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{Kind, Value, unique_key};
use tokio::task::JoinSet;

use super::{LONG, Pair, queued, release};
use crate::common::{LONGEST_TTL, Lock, granted, no_primary_holds};

#[tokio::test]
async fn several_locks_are_waited_for_together_and_had_when_all_are_free() {
    for &kind in Kind::all() {
        let pair = Pair::start(kind).await;
        let mut watches = pair.watches().await;
        let keys = [unique_key("several"), unique_key("several")];
        let mut holders = [pair.proxies[0].connect().await, pair.proxies[1].connect().await];
        let mut held = Vec::new();
        for (holder, key) in holders.iter_mut().zip(&keys) {
            held.push(granted(&holder.call(&["RLOCK", key, LONGEST_TTL]).await));
        }
        let mut client = pair.proxies[0].connect().await;
        client.send(&["RMLOCK", "2", &keys[0], &keys[1], LONGEST_TTL, "WAIT", LONG]).await;
        watches[0].until("waiters", 1).await;
        assert_eq!(watches[0].counter("lines").await, 2);
        // Whoever comes later for one of them stands behind, although that one is free before.
        let mut behind = queued(&pair.proxies[0], &mut watches[0], 1, &keys[0], &[]).await;
        release(&mut holders[0], &keys[0], &held[0]).await;
        let newcomer = pair.proxies[0].command(&["RLOCK", &keys[0], LONGEST_TTL]).await;
        assert!(newcomer.is_null(), "{newcomer:?}");
        release(&mut holders[1], &keys[1], &held[1]).await;
        let both = granted(&client.read_reply().await);
        assert_eq!(client.call(&["RMUNLOCK", "2", &keys[0], &keys[1], &both.token]).await, Value::Integer(2));
        let lock = granted(&behind.read_reply().await);
        release(&mut behind, &keys[0], &lock).await;
        assert_eq!(watches[0].counter("lines").await, 0);
        no_primary_holds(pair.fleet, &keys[1]).await;
    }
}

/// Named in any order, through two proxies: nobody holds one while it waits for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_that_overlap_block_nobody_for_good() {
    const CLIENTS: usize = 6;
    const ROUNDS: usize = 10;
    let pair = Pair::start(Kind::any()).await;
    let keys: [String; 3] = std::array::from_fn(|_| unique_key("overlap"));
    let (served, mut clients) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for number in 0..CLIENTS {
        let mut client = pair.proxies[number % 2].connect().await;
        let (keys, served) = (keys.clone(), Arc::clone(&served));
        clients.spawn(async move {
            for round in 0..ROUNDS {
                let pair = [&keys[(number + round) % 3], &keys[(number + 2 * round + 1 + number % 2) % 3]];
                let several: &[&String] = if pair[0] == pair[1] { &pair[..1] } else { &pair };
                let count = several.len().to_string();
                let names: Vec<&str> = several.iter().map(|key| key.as_str()).collect();
                let command = [&["RMLOCK", &count][..], &names, &[LONGEST_TTL, "WAIT", LONG]].concat();
                client.send(&command).await;
                let lock = super::granted_in_turn(&mut client, || served.load(Ordering::SeqCst)).await;
                served.fetch_add(1, Ordering::SeqCst);
                let command = [&["RMUNLOCK", &count][..], &names, &[&lock.token]].concat();
                assert_eq!(client.call(&command).await.integer().to_string(), count);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("everybody is served");
    }
    for key in &keys {
        no_primary_holds(pair.fleet, key).await;
    }
}

#[tokio::test]
async fn an_owner_takes_all_of_its_locks_over_past_the_lines() {
    let pair = Pair::start(Kind::any()).await;
    let [mut watch, _] = pair.watches().await;
    let keys = [unique_key("own"), unique_key("own")];
    let command = ["RMLOCK", "2", &keys[0], &keys[1], LONGEST_TTL, "OWNER", "me"];
    let mut owner = pair.proxies[0].connect().await;
    let first = granted(&owner.call(&command).await);
    let mut waiting = queued(&pair.proxies[0], &mut watch, 0, &keys[1], &[]).await;
    let second = granted(&owner.call(&command).await);
    let third = granted(&owner.call(&[&command[..], &["WAIT", LONG]].concat()).await);
    assert!(first.token != second.token && second.token != third.token);
    let stranger = ["RMLOCK", "2", &keys[0], &keys[1], LONGEST_TTL, "OWNER", "you"];
    assert!(pair.proxies[0].command(&stranger).await.is_null());
    assert_eq!(owner.call(&["RMUNLOCK", "2", &keys[0], &keys[1], &third.token]).await, Value::Integer(2));
    assert!(Lock::of(&waiting.read_reply().await).is_some());
}

#[tokio::test]
async fn a_waiter_gets_the_number_that_it_asked_for() {
    let pair = Pair::start(Kind::any()).await;
    let [mut watch, _] = pair.watches().await;
    let key = unique_key("fenced");
    let mut holder = pair.proxies[1].connect().await;
    let first = holder.call(&["RLOCK", &key, LONGEST_TTL, "FENCE"]).await;
    let mut waiter = queued(&pair.proxies[0], &mut watch, 0, &key, &["FENCE"]).await;
    let token = first.items()[0].text();
    assert_eq!(holder.call(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
    let second = waiter.read_reply().await;
    assert!(first.items()[2].integer() < second.items()[2].integer(), "{first:?} {second:?}");
}

/// A lock that was waited for is bound to its connection like any other, and goes to the next in line with its end.
#[tokio::test]
async fn a_sessions_lock_goes_to_the_next_in_line_when_its_client_closes() {
    for &kind in Kind::all() {
        let pair = Pair::start(kind).await;
        let mut watches = pair.watches().await;
        let key = unique_key("session");
        let mut first = pair.proxies[0].connect().await;
        let lock = granted(&first.call(&["RLOCK", &key, LONGEST_TTL, "SESSION", "WAIT", LONG]).await);
        let mut second = queued(&pair.proxies[0], &mut watches[0], 0, &key, &["SESSION"]).await;
        drop(first);
        let next = granted(&second.read_reply().await);
        assert_ne!(lock.token, next.token);
        let mut elsewhere = queued(&pair.proxies[1], &mut watches[1], 0, &key, &[]).await;
        second.shutdown_write().await;
        let last = granted(&elsewhere.read_reply().await);
        release(&mut elsewhere, &key, &last).await;
    }
}

#[tokio::test]
async fn whoever_looks_sees_how_many_wait() {
    let pair = Pair::start(Kind::any()).await;
    let mut watches = pair.watches().await;
    let key = unique_key("looked-at");
    granted(&pair.proxies[0].command(&["RLOCK", &key, LONGEST_TTL]).await);
    let waiters = async |proxy: usize| {
        let looked = pair.proxies[proxy].command(&["RINSPECT", &key]).await;
        let place = looked.items().iter().position(|item| *item == Value::bulk("waiters")).expect("it is told");
        looked.items()[place + 1].integer()
    };
    assert_eq!(waiters(0).await, 0);
    let _first = queued(&pair.proxies[0], &mut watches[0], 0, &key, &[]).await;
    let _second = queued(&pair.proxies[0], &mut watches[0], 1, &key, &[]).await;
    let _elsewhere = queued(&pair.proxies[1], &mut watches[1], 0, &key, &[]).await;
    assert_eq!((waiters(0).await, waiters(1).await), (2, 1));
}
