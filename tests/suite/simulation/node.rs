//! The seam: what a proxy's coordinator takes for its primaries.

use std::sync::Arc;
use std::time::Duration;

use redlock_proxy::coordinator::{LockNode, Operation, Raise, Ticket, WallClock};
use redlock_proxy::lock::{Moment, RaiseVote, Resource, Token};

use super::ballot::Ballot;
use super::canaries::Canary;
use super::checker::Claim;
use super::network::{State, World};
use super::primary::Work;

/// A proxy's end of a link: what its coordinator submits to.
pub(super) struct Node {
    world: Arc<World>,
    link: usize,
    /// The links of the same proxy, for the one canary that withdraws where it should not.
    siblings: Vec<usize>,
    address: String,
    /// Which of its proxy's lives it belongs to.
    life: u64,
}

impl Node {
    pub(super) fn new(world: Arc<World>, link: usize, siblings: Vec<usize>) -> Self {
        let life = world.with(|state| state.censuses.lives[state.links[link].proxy]);
        Self { world, link, siblings, address: format!("primary-{link}:6379"), life }
    }

    fn is_alive(&self, state: &State) -> bool {
        state.censuses.lives[state.links[self.link].proxy] == self.life
    }
}

impl LockNode for Node {
    fn address(&self) -> &str {
        &self.address
    }

    fn wall_clock(&self, _now: Moment) -> Option<WallClock> {
        self.world.with(|state| if self.is_alive(state) { state.wall_clock_of(self.link) } else { None })
    }

    fn submit(&self, operation: Operation, timeout: Duration) {
        self.world.with(|state| {
            if !self.is_alive(state) {
                return;
            }
            if let Operation::Release { resource, token, until, ticket: None, .. } = &operation
                && state.canary == Some(Canary::TakeOverWithdrawnWhereSigned)
                && state.checker.signed_anywhere(token)
            {
                for link in &self.siblings {
                    let (resource, token, until) = (resource.clone(), token.clone(), *until);
                    let release = Operation::Release { resource, token, until, notice: None, ticket: None };
                    state.submit(*link, release, timeout);
                }
            }
            state.submit(self.link, operation, timeout);
        });
    }
}

/// What is submitted, as it travels.
impl State {
    /// Takes an operation apart, and notes what the checker must know of it.
    pub(super) fn receive(&mut self, link: usize, operation: Operation) -> (Work, Option<Work>, Option<Ballot>) {
        let (proxy, node) = (self.links[link].proxy, self.links[link].node);
        self.look_at_session(proxy, &operation);
        match operation {
            Operation::Acquire { resource, token, ttl, raise, ticket, .. } => {
                self.checker.attempted(proxy, &token);
                let key = key_of(&resource);
                let (raise, behind) = self.take_apart(key, &token, raise);
                let work = Work::Acquire { key, token, ttl_ms: ttl.as_millis() };
                (work, raise, Some(Ballot::Acquire(ticket, behind)))
            }
            Operation::Inspect { resource, ticket } => {
                (Work::Look { key: key_of(&resource) }, None, Some(Ballot::Look(ticket)))
            }
            Operation::Sign { resource, found, token, ttl, raise, ticket } => {
                self.checker.signing(node, &token);
                let key = key_of(&resource);
                let (raise, behind) = self.take_apart(key, &token, raise);
                let work = Work::Sign { key, found, token, ttl_ms: ttl.as_millis() };
                (work, raise, Some(Ballot::Sign(ticket, behind)))
            }
            Operation::Raise { resource, token, raise } => {
                let Raise { number, look, ticket, .. } = *raise;
                let key = key_of(&resource);
                if let Some(what) = self.fences.drawn_anew(&token, number) {
                    self.checker.violate(Claim::FenceStep, key, what);
                }
                (Work::Raise { key, token, number, looks: look }, None, Some(Ballot::Raise(ticket)))
            }
            Operation::Extend { resource, token, ttl, ticket } => {
                let work = Work::Extend { key: key_of(&resource), token, ttl_ms: ttl.as_millis() };
                (work, None, Some(Ballot::Extend(ticket)))
            }
            Operation::Release { resource, token, until, notice, ticket } => {
                let work = Work::Release { key: key_of(&resource), token, until, notice };
                (work, None, ticket.map(Ballot::Release))
            }
            Operation::Announce { resource, notice } => (Work::Announce { key: key_of(&resource), notice }, None, None),
        }
    }

    /// The raise behind a request, as it travels, and the right to tell of it.
    fn take_apart(
        &mut self,
        key: usize,
        token: &Token,
        raise: Option<Box<Raise>>,
    ) -> (Option<Work>, Option<Ticket<RaiseVote>>) {
        let Some(raise) = raise else { return (None, None) };
        let Raise { number, look, ticket, .. } = *raise;
        self.fences.begun(token);
        (Some(Work::Raise { key, token: token.clone(), number, looks: look }), Some(ticket))
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
