//! Histories that are told to the world step by step, since luck would hardly bring them about: releases through another proxy
//! that meet a renewal.

use std::sync::Arc;
use std::time::Duration;

use redlock_proxy::lock::Quorum;
use tokio::task::{JoinHandle, JoinSet};

use super::canaries::Canary;
use super::checker::Claim;
use super::client::Client;
use super::forgetting::Forgetting;
use super::network::State;
use super::plan::{ORDINARY, Pace, Plan};
use super::primary::Micros;
use super::sessions::SessionClient;
use super::surroundings::Surroundings;
use super::{begin, keep_leases, on_a_paused_clock, start_anew};
use crate::common::Random;

/// The session's ttl: it is renewed every 200 ms.
const TTL_MS: u64 = 600;

/// Three primaries and two proxies, near to each other, and a client of the first proxy's.
struct Stage {
    around: Arc<Surroundings>,
    client: SessionClient,
    plan: Plan,
    began: Micros,
    driver: JoinHandle<()>,
    keepers: JoinSet<()>,
}

impl Stage {
    async fn set(canary: Option<Canary>) -> Self {
        let (quorum, pace) = (Quorum::majority(3).expect("a small set"), Pace { fenced: 0, ..ORDINARY });
        Self::of(Plan { total: 3, quorum, proxies: 2, keys: 1, pace, forgetting: None, ..Plan::new(0, canary) }).await
    }

    /// The same, with primaries that may forget, and at which nobody looks who has nothing else to ask.
    async fn of_forgetful(canary: Option<Canary>) -> Self {
        let quorum = Quorum::majority(3).expect("a small set");
        let (forgetting, probe_interval) = (Some(Forgetting::Steps), 5_000_000);
        let plan = Plan { total: 3, quorum, proxies: 2, keys: 1, pace: ORDINARY, forgetting, ..Plan::new(0, canary) };
        Self::of(Plan { probe_interval, ..plan }).await
    }

    async fn of(plan: Plan) -> Self {
        let mut random = Random::stream(plan.seed, 3);
        let (around, driver) = begin(&plan, &mut random, &Arc::default());
        let keepers = keep_leases(&around);
        around.world.with(|state| state.distance.fill(200));
        sleep(50).await;
        let client = SessionClient::new(0, random, Arc::clone(&around));
        Self { client, began: around.world.now(), around, driver, keepers, plan }
    }

    /// Asks for a lock of three seconds on behalf of another client.
    async fn take(&self, number: usize, proxy: usize) -> bool {
        let mut client = Client::new(number, false, Random::stream(1, 1), Arc::clone(&self.around));
        client.take_in_line(0, proxy, 0).await.is_some()
    }

    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        self.around.world.with(change)
    }

    /// So many milliseconds after the beginning.
    fn at(&self, milliseconds: u64) -> Micros {
        self.began + milliseconds * 1_000
    }

    fn end(self) -> Option<Claim> {
        self.driver.abort();
        self.with(|state| state.checker.violation.as_ref().map(|violation| violation.claim))
    }
}

/// The link of a proxy to a primary.
fn link(proxy: usize, primary: usize) -> usize {
    3 * proxy + primary
}

/// Stops what is sent on a link from now on in one direction: 0 to the primary, 1 back.
fn stop(state: &mut State, link: usize, direction: usize, until: Micros) {
    let connection = state.links[link].connection().expect("the link is open");
    state.connections[connection].stopped_until[direction] = until;
}

async fn sleep(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// A lock is granted by two primaries while the first, which set its record too, is silent. A release through another proxy
/// deletes on the first and on the second, and is answered 1; between the two deletions a renewal is won, and finds the
/// record absent on the first. Which promise is broken by that.
pub(super) fn put_back_behind_a_release(canary: Option<Canary>) -> Option<Claim> {
    on_a_paused_clock(async {
        let mut stage = Stage::set(canary).await;
        let (answered, renewed, healed) = (stage.at(100), stage.at(212), stage.at(5_000));
        stage.with(|state| stop(state, link(0, 0), 1, answered));
        let bound = stage.client.take_through(0, 0, TTL_MS, 0).await.expect("two have granted it");
        sleep(185).await;
        stage.with(|state| {
            // The release reaches the second primary behind the renewal, and the third not at all.
            stop(state, link(1, 1), 0, renewed);
            stop(state, link(1, 2), 0, healed);
            state.health[2].unreachable_until = healed;
        });
        stage.client.release_elsewhere(&bound).await;
        let restored = stage.with(|state| state.sessions.put_back);
        assert_eq!(restored, u64::from(canary.is_some()), "the renewal was won, and found the record absent");
        stage.end()
    })
}

/// A lock is granted by two primaries. The clock of one of them steps an hour forward while the link of the other proxy is lost,
/// and the proxy that has granted it does not hear of that. Which promise is broken by who asks the other proxy.
pub(super) fn step_while_the_link_is_lost(canary: Option<Canary>) -> Option<Claim> {
    on_a_paused_clock(async {
        let stage = Stage::of_forgetful(canary).await;
        let healed = stage.at(5_000);
        stage.with(|state| stop(state, link(0, 2), 0, healed));
        assert!(stage.take(1, 0).await, "two have granted it");
        stage.with(|state| {
            stop(state, link(0, 0), 1, healed);
            state.lose(link(1, 0));
            state.step(0, 3_600_000_000);
        });
        sleep(100).await;
        assert_eq!(stage.take(2, 1).await, canary.is_some(), "it has forgotten, and the second does not know");
        stage.end()
    })
}

/// A lock is granted by two primaries, of which one is flushed and marked anew, while the other proxy asks for nothing. Which
/// promise is broken by who asks that then.
pub(super) fn flushed_and_marked_by_another(canary: Option<Canary>) -> Option<Claim> {
    on_a_paused_clock(async {
        let stage = Stage::of_forgetful(canary).await;
        let healed = stage.at(5_000);
        stage.with(|state| stop(state, link(0, 2), 0, healed));
        assert!(stage.take(1, 0).await, "two have granted it");
        stage.with(|state| state.flush_all(0));
        assert!(!stage.take(2, 0).await, "its proxy sees that the marker is gone");
        sleep(1_100).await;
        assert!(stage.with(|state| state.primaries[0].is_marked()), "and writes another one after a second look");
        assert_eq!(stage.take(3, 1).await, canary.is_some(), "there is a marker");
        stage.end()
    })
}

/// A lock is granted by all primaries, and then all of them start again, empty. Which promise is broken by who asks a proxy
/// that has never seen them.
pub(super) fn all_start_empty(canary: Option<Canary>) -> Option<Claim> {
    on_a_paused_clock(async {
        let mut stage = Stage::of_forgetful(canary).await;
        assert!(stage.take(1, 0).await, "all have granted it");
        stage.with(|state| {
            (0..3).for_each(|primary| state.restart(primary, false));
            state.crash(1);
            state.health.iter_mut().for_each(|health| health.unreachable_until = 0);
        });
        start_anew(&stage.plan, &stage.around, &Arc::default(), &mut stage.keepers);
        sleep(400).await;
        assert_eq!(stage.take(2, 1).await, canary.is_some(), "a new set would grant it");
        stage.end()
    })
}

/// A lock is granted by two primaries, and the other never has it. A release through another proxy deletes on the first, and
/// is on its way to the third when a renewal finds the record gone on two, and the lock lost.
#[test]
fn a_release_that_a_renewal_meets_half_way_is_not_told_that_the_lock_was_not_held() {
    let claim = on_a_paused_clock(async {
        let mut stage = Stage::set(None).await;
        let (reachable, arrives) = (stage.at(150), stage.at(225));
        stage.with(|state| {
            state.health[1].unreachable_until = reachable;
            state.lose(link(0, 1));
        });
        let bound = stage.client.take_through(0, 0, TTL_MS, 0).await.expect("two have granted it");
        sleep(195).await;
        stage.with(|state| stop(state, link(1, 2), 0, arrives));
        stage.client.release_elsewhere(&bound).await;
        assert!(!stage.client.is_held(&bound), "the renewal has found out");
        stage.end()
    });
    assert_eq!(claim, None);
}
