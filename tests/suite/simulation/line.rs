//! A line at every proxy, for one lock, when all is well: everybody in them is served, whatever notices get lost.

use std::sync::Arc;
use std::time::Duration;

use super::checker::Claim;
use super::client::{Client, Surroundings};
use super::plan::Plan;
use super::random::Random;

/// How many stand in the line of each proxy.
const WAITERS: usize = 3;
/// The longest that the lock may lie idle between two of them: no retry waits longer, whatever is not heard, and then it
/// takes some round trips; two that come at one moment may be in each other's way.
const HAND_OVER: Duration = Duration::from_millis(1_500);

/// Somebody holds the lock, and everybody else waits for it at once. Who has it lets it go.
pub(super) async fn is_served(plan: &Plan, around: &Arc<Surroundings>, first: usize) {
    let key = plan.keys;
    let client = |number: usize| Client::new(number, false, Random::new(plan.seed, number as u64), Arc::clone(around));
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
