//! What all clients of one simulated world share.

use std::sync::Arc;

use redlock_proxy::coordinator::Coordinator;
use redlock_proxy::lock::Drift;

use super::canaries::Canary;
use super::checker::Claim;
use super::network::World;
use super::plan::Pace;

/// Counts a command until its future has ended, on whichever way.
pub(super) struct Guard(Arc<World>);

impl Guard {
    pub(super) fn new(world: &Arc<World>) -> Self {
        world.with(|state| state.under_way += 1);
        Self(Arc::clone(world))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        self.0.with(|state| {
            state.under_way -= 1;
            if panicked {
                state.checker.violate(Claim::Hung, 0, "a command panicked".to_owned());
            }
        });
    }
}

/// What all clients of one simulated world share.
pub(super) struct Surroundings {
    pub(super) world: Arc<World>,
    pub(super) proxies: Vec<Arc<Coordinator>>,
    /// The same over again, where nobody stands in line: for the one canary that asks them.
    pub(super) without_lines: Vec<Arc<Coordinator>>,
    pub(super) keys: usize,
    pub(super) quorum: usize,
    pub(super) drift: Drift,
    pub(super) canary: Option<Canary>,
    /// How many commands in a hundred their clients do not wait for patiently.
    pub(super) impatience: u64,
    pub(super) pace: Pace,
}
