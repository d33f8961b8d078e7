//! The seam: what a proxy's coordinator takes for its primaries.

use std::sync::Arc;
use std::time::Duration;

use redlock_proxy::coordinator::{LockNode, Operation};
use redlock_proxy::lock::{Moment, Resource};

use super::canaries::Canary;
use super::network::World;

/// A proxy's end of a link: what its coordinator submits to.
pub(super) struct Node {
    world: Arc<World>,
    link: usize,
    /// The links of the same proxy, for the one canary that withdraws where it should not.
    siblings: Vec<usize>,
    address: String,
}

impl Node {
    pub(super) fn new(world: Arc<World>, link: usize, siblings: Vec<usize>) -> Self {
        Self { world, link, siblings, address: format!("primary-{link}:6379") }
    }
}

impl LockNode for Node {
    fn address(&self) -> &str {
        &self.address
    }

    /// The primary's clock as it is now, while the link is up.
    fn wall_clock(&self, _now: Moment) -> Option<u64> {
        self.world.with(|state| state.wall_clock_of(self.link))
    }

    fn submit(&self, operation: Operation, timeout: Duration) {
        self.world.with(|state| {
            if let Operation::Release { resource, token, until, ticket: None } = &operation
                && state.canary == Some(Canary::TakeOverWithdrawnWhereSigned)
                && state.checker.signed_anywhere(token)
            {
                for link in &self.siblings {
                    let (resource, token, until) = (resource.clone(), token.clone(), *until);
                    state.submit(*link, Operation::Release { resource, token, until, ticket: None }, timeout);
                }
            }
            state.submit(self.link, operation, timeout);
        });
    }
}

/// The name of a key: `lock-` and its number.
pub(super) fn resource_of(key: usize) -> Resource {
    Resource::new(format!("lock-{key}").into_bytes().into(), 64).expect("a short name")
}

pub(super) fn key_of(resource: &Resource) -> usize {
    let digits = resource.as_bytes().strip_prefix(b"lock-").and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).expect("a name that resource_of made")
}
