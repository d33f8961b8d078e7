//! Clients whose locks are bound to their connections: the proxy renews them, and they look whether it still says so.
//!
//! They release through their own proxy or another, close, vanish, or let it go on. What their proxy has confirmed counts
//! like any holder's validity: nobody else may hold the lock meanwhile. Behind a release through it, it must ask no primary
//! for anything more in the lock's name; and no renewal that begins behind a release which answered 1 may ever be won.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use redlock_proxy::coordinator::{AcquireRequest, Acquired, Caller, Coordinator, Grant, Operation, Released, Tenant};
use redlock_proxy::lock::{Token, Ttl};

use super::checker::Claim;
use super::entropy::{COMMAND, Command};
use super::fences::FenceGrant;
use super::network::State;
use super::node::{key_of, resource_of};
use super::primary::Micros;
use super::surroundings::{Guard, Surroundings};
use crate::common::Random;

/// What is known of the locks of sessions.
#[derive(Debug, Default)]
pub(super) struct Books {
    of_tokens: HashMap<Token, Book>,
    /// Confirmed renewals that clients have seen.
    pub(super) renewals: u64,
    /// Records that were set anew.
    pub(super) put_back: u64,
}

#[derive(Debug)]
struct Book {
    proxy: usize,
    /// What a renewal confirms, from its beginning on.
    lasts: Micros,
    /// Given up at the proxy that keeps it.
    is_over: bool,
    /// When a release had answered 1.
    gone_at: Option<Micros>,
    /// Confirmed renewals that were seen.
    until: Micros,
}

impl State {
    /// Nothing may be asked for a session's lock behind its end.
    pub(super) fn look_at_session(&mut self, proxy: usize, operation: &Operation) {
        let (Operation::Acquire { resource, token, .. } | Operation::Extend { resource, token, .. }) = operation else {
            return;
        };
        let Some(book) = self.sessions.of_tokens.get(token) else { return };
        if book.is_over && book.proxy == proxy {
            let what = "a lock was renewed or put back behind its release".to_owned();
            self.checker.violate(Claim::ReleasedIsGone, key_of(resource), what);
        }
        self.sessions.put_back += u64::from(matches!(operation, Operation::Acquire { .. }));
    }
}

/// A lock in a session's hands.
pub(super) struct Bound {
    key: usize,
    proxy: usize,
    ttl_ms: u64,
    token: Token,
    tenant: Arc<Tenant>,
    /// Which of its proxy's lives it began in.
    life: u64,
}

pub(super) struct SessionClient {
    number: usize,
    random: Random,
    commands: u64,
    around: Arc<Surroundings>,
}

impl SessionClient {
    pub(super) fn new(number: usize, random: Random, around: Arc<Surroundings>) -> Self {
        Self { number, random, commands: 0, around }
    }

    /// Takes, keeps and leaves locks until `end`.
    pub(super) async fn live(mut self, end: Micros) {
        while self.now() < end && !self.around.world.is_over() {
            if let Some(bound) = self.take().await {
                let coordinator = self.coordinator(bound.proxy);
                self.keep(&bound, end).await;
                coordinator.abandon_all(&bound.tenant);
            }
            self.sleep(1_000, 40_000).await;
        }
    }

    async fn take(&mut self) -> Option<Bound> {
        let key = self.random.below(self.around.keys);
        let proxy = self.random.below(self.around.proxies.count());
        let ttl_ms = self.random.between(200, 600);
        let late = if self.random.percent(20) { self.random.between(1_000, 60_000) } else { 0 };
        self.take_through(proxy, key, ttl_ms, late).await
    }

    /// `late`: how long after the verdict its reply is written.
    pub(super) async fn take_through(&mut self, proxy: usize, key: usize, ttl_ms: u64, late: Micros) -> Option<Bound> {
        self.commands += 1;
        let (world, client) = (Arc::clone(&self.around.world), self.number);
        let ttl = Ttl::from_millis(ttl_ms).expect("a ttl in range");
        let coordinator = self.coordinator(proxy);
        let tenant = Tenant::new(client as u64, world.clock().now());
        let life = world.with(|state| state.censuses.lives[proxy]);
        let seat = coordinator.reserve(&tenant).expect("there are seats enough");
        let (asked, fence) = (self.now(), self.random.percent(self.around.pace.fenced));
        let id = world.with(|state| state.checker.acquire_asked(state.now, key, client, false, proxy));
        let caller = Arc::new(Caller::default());
        let command = Command {
            number: (client as u64) << 32 | self.commands,
            attempt: 0,
            drawn: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            caller: Arc::clone(&caller),
            world: Arc::clone(&world),
            key,
        };
        let request = AcquireRequest { resource: resource_of(key), ttl, owner: None, wait: Duration::ZERO, fence };
        let _guard = Guard::new(&world);
        let granted = COMMAND.scope(command, Arc::clone(&coordinator).acquire(request, caller)).await;
        let Acquired::Granted(mut grant) = granted else {
            world.with(|state| state.checker.acquire_failed(state.now, id, "RLOCK SESSION not granted through proxy"));
            return None;
        };
        grant.bind(seat, false);
        self.sleep(late, late).await;
        let Some(validity) = grant.validity(world.clock().now()) else {
            world.with(|state| state.checker.acquire_too_late(state.now, id));
            return None;
        };
        let (token, number) = (Grant::token(&grant).clone(), grant.fence());
        let lasts = (ttl_ms - self.around.drift.of(ttl)) * 1_000;
        grant.hand_over();
        world.with(|state| {
            let book = Book { proxy, lasts, is_over: false, gone_at: None, until: 0 };
            state.sessions.of_tokens.insert(token.clone(), book);
            state.checker.acquired(state.now, id, &token, validity);
            if let Some(number) = number {
                let (token, at) = (token.clone(), state.now);
                state.fenced(key, FenceGrant { token, number, client, owned: false, asked, at });
            }
        });
        Some(Bound { key, proxy, ttl_ms, token, tenant, life })
    }

    /// Lets the proxy keep the lock for a while, and ends it in one way or another.
    async fn keep(&mut self, bound: &Bound, end: Micros) {
        let ttl = bound.ttl_ms * 1_000;
        let last = end.min(self.now() + self.random.between(ttl / 4, 5 * ttl));
        while self.now() < last {
            self.sleep(1_000, ttl / 6).await;
            if !self.look(bound) {
                return;
            }
        }
        match self.random.between(0, 99) {
            0..=29 => {
                self.give_up(bound);
                self.release(bound, bound.proxy).await;
            }
            30..=79 => self.release_elsewhere(bound).await,
            80..=89 => {
                self.give_up(bound);
                let (world, client) = (&self.around.world, self.number);
                world.with(|state| {
                    state.checker.release_asked(state.now, bound.key, client, bound.proxy, &bound.token);
                });
                self.coordinator(bound.proxy).release_all(&bound.tenant);
            }
            _ => {
                self.give_up(bound);
                self.coordinator(bound.proxy).abandon_all(&bound.tenant);
            }
        }
    }

    pub(super) fn is_held(&self, bound: &Bound) -> bool {
        self.coordinator(bound.proxy).bound_until(&resource_of(bound.key), &bound.token).is_some()
    }

    /// Whether the proxy still says that the lock is held; tells the checker until when.
    fn look(&self, bound: &Bound) -> bool {
        let confirmed = self.coordinator(bound.proxy).bound_until(&resource_of(bound.key), &bound.token);
        self.around.world.with(|state| {
            if state.censuses.lives[bound.proxy] != bound.life {
                // Its connection is gone with the proxy, and nobody renews it.
                return false;
            }
            let Some(until) = confirmed else {
                state.checker.extend_lost(state.now, bound.key, &bound.token);
                state.sessions.of_tokens.get_mut(&bound.token).expect("it was bound").is_over = true;
                return false;
            };
            let book = state.sessions.of_tokens.get_mut(&bound.token).expect("it was bound");
            state.sessions.renewals += u64::from(until.as_micros() > book.until && book.until > 0);
            book.until = until.as_micros();
            if book.gone_at.is_some_and(|gone_at| until.as_micros() > gone_at + book.lasts) {
                let what = "a renewal that began behind a release which answered 1 was won".to_owned();
                state.checker.violate(Claim::ReleasedIsGone, bound.key, what);
            }
            let validity_ms = until.as_micros().saturating_sub(state.now) / 1_000;
            state.checker.renewed(state.now, bound.key, &bound.token, validity_ms);
            true
        })
    }

    /// From here on the proxy that keeps it must do nothing more for it.
    fn give_up(&self, bound: &Bound) {
        self.around.world.with(|state| {
            state.sessions.of_tokens.get_mut(&bound.token).expect("it was bound").is_over = true;
        });
    }

    /// Releases through another proxy; the one that keeps it has to find that out.
    pub(super) async fn release_elsewhere(&mut self, bound: &Bound) {
        let other = (bound.proxy + 1) % self.around.proxies.count();
        let is_released = self.release(bound, other).await == Some(true);
        let now = self.now();
        self.around.world.with(|state| {
            let book = state.sessions.of_tokens.get_mut(&bound.token).expect("it was bound");
            book.gone_at = is_released.then_some(now);
        });
        let latest = now + bound.ttl_ms * 1_000 + 50_000;
        while self.look(bound) && !self.around.world.is_over() {
            if is_released && self.now() > latest {
                let what = format!("a session of proxy {} outlives its release", bound.proxy);
                let claim = Claim::ReleasedIsGone;
                return self.around.world.with(|state| state.checker.violate(claim, bound.key, what));
            } else if !is_released && self.now() > latest {
                // Nobody knows whether it was released, and it is kept.
                self.give_up(bound);
                return self.coordinator(bound.proxy).abandon_all(&bound.tenant);
            }
            self.sleep(1_000, 10_000).await;
        }
    }

    async fn release(&mut self, bound: &Bound, proxy: usize) -> Option<bool> {
        let (world, key, token, client) = (&self.around.world, bound.key, &bound.token, self.number);
        let asked = world.with(|state| state.checker.release_asked(state.now, key, client, proxy, token));
        let _guard = Guard::new(world);
        let outcome = self.coordinator(proxy).release(resource_of(key), token.clone()).await;
        let deleted = match outcome {
            Released::Released => Some(true),
            Released::NotHeld => Some(false),
            Released::NoQuorum(_) => None,
        };
        world.with(|state| state.checker.release_answered(state.now, key, client, token, (asked, deleted)));
        deleted
    }

    fn coordinator(&self, proxy: usize) -> Arc<Coordinator> {
        self.around.proxies.get(proxy)
    }

    async fn sleep(&mut self, shortest: Micros, longest: Micros) {
        if longest == 0 {
            return;
        }
        let micros = self.random.between(shortest, longest.max(shortest));
        tokio::time::sleep(Duration::from_micros(micros)).await;
    }

    fn now(&self) -> Micros {
        self.around.world.now()
    }
}
