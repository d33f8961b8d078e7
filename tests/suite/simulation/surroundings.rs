//! What all clients of one simulated world share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    pub(super) proxies: Proxies,
    /// The same over again, where nobody stands in line: for the one canary that asks them.
    pub(super) without_lines: Proxies,
    pub(super) keys: usize,
    pub(super) quorum: usize,
    pub(super) drift: Drift,
    pub(super) canary: Option<Canary>,
    /// How many commands in a hundred their clients do not wait for patiently.
    pub(super) impatience: u64,
    pub(super) pace: Pace,
}

/// The coordinators: of a proxy that starts anew, another one.
pub(super) struct Proxies(Mutex<Vec<Arc<Coordinator>>>);

impl Proxies {
    pub(super) fn new(coordinators: impl Iterator<Item = Arc<Coordinator>>) -> Self {
        Self(Mutex::new(coordinators.collect()))
    }

    pub(super) fn all(&self) -> Vec<Arc<Coordinator>> {
        self.lock().clone()
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn get(&self, proxy: usize) -> Arc<Coordinator> {
        Arc::clone(&self.lock()[proxy])
    }

    pub(super) fn replace(&self, proxy: usize, coordinator: Arc<Coordinator>) {
        self.lock()[proxy] = coordinator;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Coordinator>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
