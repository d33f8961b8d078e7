//! Lines when all is well: everybody in them is served, whatever notices get lost; and how long it takes until whoever is
//! first notices that the lock is free, to the microsecond, which no test on real servers could tell.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use redlock_proxy::coordinator::{AcquireRequest, Acquired, Caller, Grant, Released};
use redlock_proxy::lock::{Quorum, Token, Ttl};

use super::checker::Claim;
use super::client::Client;
use super::entropy::{COMMAND, Command};
use super::network::Event;
use super::node::resource_of;
use super::plan::{ORDINARY, Plan};
use super::primary::Micros;
use super::surroundings::Surroundings;
use super::{begin, on_a_paused_clock};
use crate::common::Random;

/// How many stand in the line of each proxy.
const WAITERS: usize = 3;
/// The longest that the lock may lie idle between two of them: no retry waits longer, whatever is not heard, and then it
/// takes some round trips; two that come at one moment may be in each other's way.
const HAND_OVER: Duration = Duration::from_millis(1_500);

/// Somebody holds the lock, and everybody else waits for it at once. Who has it lets it go.
pub(super) async fn is_served(plan: &Plan, around: &Arc<Surroundings>, first: usize) {
    let key = plan.keys;
    let client =
        |number: usize| Client::new(number, false, Random::stream(plan.seed, number as u64), Arc::clone(around));
    let mut holder = client(first);
    let Some(held) = holder.take_in_line(key, 0, 1).await else { return };
    let mut waiting = Vec::new();
    for place in 0..WAITERS * plan.proxies {
        let mut waiter = client(first + 1 + place);
        let (proxy, releases_through) = (place % plan.proxies, (place / plan.proxies) % plan.proxies);
        waiting.push(tokio::spawn(async move {
            let Some(held) = waiter.take_in_line(key, proxy, 60_000).await else { return false };
            waiter.release(&held, releases_through).await;
            true
        }));
        // In the order of their numbers.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let all = u32::try_from(waiting.len()).expect("few");
    let served = async {
        holder.release(&held, 0).await;
        let mut served = true;
        for waiter in waiting {
            served &= waiter.await.expect("no waiter panics");
        }
        served
    };
    let in_time = tokio::time::timeout(HAND_OVER * (all + 1), served).await;
    if in_time != Ok(true) && !around.world.is_over() {
        let what = format!("all is well, and {all} waiters of {} lines were not served", plan.proxies);
        around.world.with(|state| state.checker.violate(Claim::Progress, key, what));
    }
}

/// Waits for a lock in line, and takes it.
async fn wait(around: &Arc<Surroundings>, number: u64, proxy: usize, ttl_ms: u64) -> Grant {
    let (world, caller) = (Arc::clone(&around.world), Arc::new(Caller::default()));
    let (drawn, tokens) = (AtomicU64::new(0), AtomicU64::new(0));
    let command = Command { number, attempt: 0, drawn, tokens, caller: Arc::clone(&caller), world, key: 0 };
    let ttl = Ttl::from_millis(ttl_ms).expect("in range");
    let wait = Duration::from_secs(600);
    let request = AcquireRequest { resource: resource_of(0), ttl, owner: None, fence: false, wait };
    match COMMAND.scope(command, around.proxies.get(proxy).acquire(request, caller)).await {
        Acquired::Granted(grant) => grant,
        other => panic!("{other:?}"),
    }
}

/// Two proxies of worlds in which nothing goes wrong. Each gets the longest time that a message may take, and how much a
/// batch may be held back.
fn in_calm_worlds(body: &impl AsyncFn(&Arc<Surroundings>, Micros)) {
    for seed in 0..60 {
        on_a_paused_clock(async {
            let plan = Plan::new(seed, None);
            let quorum = Quorum::majority(plan.total).expect("a handful");
            let plan = Plan { notice_loss: 0, proxies: 2, quorum, pace: ORDINARY, ..plan };
            let (around, driver) = begin(&plan, &mut Random::stream(seed, 3), &Arc::default());
            // Every link is up, and every subscription there.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let slowest = around.world.with(|state| 2 * state.distance.iter().copied().max().expect("there are links"));
            body(&around, slowest + 500).await;
            driver.abort();
        });
    }
}

#[test]
fn the_end_of_a_holder_that_never_releases_is_anticipated() {
    in_calm_worlds(&async |around, message| {
        wait(around, 1, 0, 3_000).await.hand_over();
        // A grant does not wait for the last primary.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let free_at = around.world.with(|state| {
            let mut free: Vec<Micros> = state.primaries.iter().map(|primary| primary.free_at(0)).collect();
            free.sort_unstable();
            free[around.quorum - 1]
        });
        wait(around, 2, 1, 3_000).await.hand_over();
        let late_us = around.world.now().saturating_sub(free_at);
        // What was foretold a second before is off by as much as clocks may drift in that time; whole milliseconds and
        // timers add two, and the attempt there and back. The looks alone come half a second apart, and more.
        assert!(late_us < 10_000 + 3_000 + 3 * message, "{late_us} us late, messages take {message}");
    });
}

#[test]
fn a_release_that_nobody_tells_of_is_found_within_about_a_second() {
    in_calm_worlds(&async |around, message| {
        let foreign = Token::new(Bytes::from_static(b"a library's")).expect("short");
        around.world.with(|state| state.primaries.iter_mut().for_each(|primary| primary.occupy(0, foreign.clone())));
        let waiting = tokio::spawn({
            let around = Arc::clone(around);
            async move { wait(&around, 1, 0, 3_000).await.hand_over() }
        });
        // By then the looks are as far apart as they get.
        tokio::time::sleep(Duration::from_millis(7_777)).await;
        assert!(!waiting.is_finished());
        let began = around.world.with(|state| {
            state.primaries.iter_mut().for_each(|primary| primary.vacate(0));
            state.now
        });
        waiting.await.expect("it is served");
        let took = around.world.now() - began;
        assert!(took < 1_002_000 + 4 * message, "{took} us");
    });
}

#[test]
fn a_release_hands_the_lock_over_in_a_round_trip_and_through_another_proxy_in_two() {
    in_calm_worlds(&async |around, message| {
        let mut grant = wait(around, 1, 0, 3_000).await;
        for (number, releasing, waiting) in [(2, 0, 0), (3, 0, 1), (4, 1, 0)] {
            let token = grant.token().clone();
            grant.hand_over();
            let next = tokio::spawn({
                let around = Arc::clone(around);
                async move { wait(&around, number, waiting, 3_000).await }
            });
            tokio::time::sleep(Duration::from_millis(45)).await;
            let began = around.world.now();
            let release = around.proxies.get(releasing).release(resource_of(0), token);
            let (released, next) = tokio::join!(release, next);
            assert!(matches!(released, Released::Released));
            grant = next.expect("it is served");
            let took = around.world.now() - began;
            // There and back; or there, to the other proxy, and there and back. Each time what is slow may be late twice.
            let messages = if releasing == waiting { 2 } else { 4 };
            assert!(took <= 2 * messages * message, "{took} us for {messages} messages of {message}");
        }
        grant.hand_over();
    });
}

#[test]
fn whoever_hears_again_tries_again() {
    in_calm_worlds(&async |around, message| {
        let grant = wait(around, 1, 0, 30_000).await;
        let token = grant.token().clone();
        grant.hand_over();
        let waiting = tokio::spawn({
            let around = Arc::clone(around);
            async move { wait(&around, 2, 1, 3_000).await.hand_over() }
        });
        tokio::time::sleep(Duration::from_millis(7_777)).await;
        // The other proxy hears nothing of the release, and does not know.
        let links = around.world.with(|state| {
            let links: Vec<usize> = (0..state.links.len()).filter(|link| state.links[*link].proxy == 1).collect();
            for link in &links {
                state.notices.muffle(*link);
            }
            links
        });
        around.proxies.get(0).release(resource_of(0), token).await;
        if waiting.is_finished() {
            // It had a look just now.
            return;
        }
        let again = around.world.with(|state| {
            for link in links {
                state.schedule(state.now, Event::Subscribe { link });
            }
            state.now
        });
        waiting.await.expect("it is served");
        let took = around.world.now() - again;
        assert!(took < 6 * message, "{took} us after it heard again, messages take {message}");
    });
}

/// A client that is gone when its grant is to be written: the next one has not to wait for a look.
#[test]
fn a_grant_that_is_not_handed_over_goes_to_the_next_at_once() {
    in_calm_worlds(&async |around, message| {
        for waiting in [0, 1] {
            let grant = wait(around, 1, 0, 30_000).await;
            let next = tokio::spawn({
                let around = Arc::clone(around);
                async move { wait(&around, 2, waiting, 30_000).await }
            });
            // The looks are far apart by then, and the other proxy has told of its line.
            tokio::time::sleep(Duration::from_millis(4_321)).await;
            assert!(!next.is_finished());
            let began = around.world.now();
            drop(grant);
            let next = next.await.expect("it is served");
            let took = around.world.now() - began;
            assert!(took <= 8 * message, "{took} us, messages take {message}");
            drop(next);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}
