//! A history that is told to the world step by step, since no luck would bring it about: a lock is granted by two primaries
//! while the third, which set its record too, is silent; a release through another proxy deletes on this one and on one of
//! the two, and is answered 1; a renewal between the two deletions is won, and finds the record absent on the first.

use std::sync::Arc;
use std::time::Duration;

use redlock_proxy::lock::Quorum;

use super::canaries::Canary;
use super::checker::Claim;
use super::network::State;
use super::plan::Plan;
use super::primary::Micros;
use super::random::Random;
use super::sessions::SessionClient;
use super::{begin, keep_leases, on_a_paused_clock};

/// The session's ttl: it is renewed every 200 ms.
const TTL_MS: u64 = 600;

const MILLISECOND: Micros = 1_000;

/// Which promise is broken by it.
pub(super) fn put_back_behind_a_release(canary: Option<Canary>) -> Option<Claim> {
    on_a_paused_clock(live(canary))
}

async fn live(canary: Option<Canary>) -> Option<Claim> {
    let quorum = Quorum::majority(3).expect("a small set");
    let plan = Plan { canary, total: 3, quorum, proxies: 2, keys: 1, clients: 0, sessions: 0, ..Plan::new(0, canary) };
    let mut random = Random::new(plan.seed, 3);
    let (around, driver) = begin(&plan, &mut random, &Arc::default());
    let _keepers = keep_leases(&around);
    let world = Arc::clone(&around.world);
    world.with(|state| state.distance.fill(200));
    sleep(50).await;
    let began = world.now();
    let mut client = SessionClient::new(0, random, Arc::clone(&around));
    // The answer of the first primary is late.
    world.with(|state| stop(state, 0, 1, began + 100 * MILLISECOND));
    let bound = client.take_through(0, 0, TTL_MS, 0).await.expect("two have granted it");
    sleep(185).await;
    world.with(|state| {
        // The release reaches the second behind the renewal, and the third not at all.
        stop(state, 4, 0, began + 212 * MILLISECOND);
        stop(state, 5, 0, began + 5_000 * MILLISECOND);
        state.health[2].unreachable_until = began + 5_000 * MILLISECOND;
    });
    client.release_elsewhere(&bound).await;
    driver.abort();
    world.with(|state| {
        let restored = state.sessions.put_back;
        assert_eq!(restored, u64::from(canary.is_some()), "the renewal was won, and found the record absent");
        state.checker.violation.as_ref().map(|violation| violation.claim)
    })
}

/// Stops what is sent on a link from now on in one direction: 0 to the primary, 1 back.
fn stop(state: &mut State, link: usize, direction: usize, until: Micros) {
    let connection = state.links[link].connection().expect("the link is open");
    state.connections[connection].stopped_until[direction] = until;
}

async fn sleep(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
