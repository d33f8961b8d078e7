//! Clients: they take locks, hold them, extend them, take their own over, release them twice, late, through another
//! proxy or never, and leave in the middle of things.
//!
//! A reply is written when the task that waited for it says so, some time after the verdict (replies wait behind
//! others): that is the moment at which validity is read, and from which the client counts.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use redlock_proxy::coordinator::{AcquireRequest, Acquired, Caller, Extended, Released};
use redlock_proxy::lock::{Owner, Token, Ttl, Validity};
use tokio::task::{JoinError, JoinHandle};

use super::canaries::Canary;
use super::checker::RequestId;
use super::entropy::{COMMAND, Command};
use super::fences::FenceGrant;
use super::node::resource_of;
use super::order::Asked;
use super::plan::Pace;
use super::primary::Micros;
use super::surroundings::{Guard, Surroundings};
use crate::common::Random;

/// A lock in a client's hands.
#[derive(Debug, Clone)]
pub(super) struct Held {
    key: usize,
    token: Token,
    proxy: usize,
    /// Its place in the history: of two that came in one moment, one came first.
    place: usize,
    validity_ms: u64,
}

/// An RLOCK under way.
struct UnderWay {
    id: RequestId,
    caller: Arc<Caller>,
    task: JoinHandle<Option<Held>>,
}

pub(super) struct Client {
    number: usize,
    owner: Option<Owner>,
    /// It stands in line for its locks.
    waits: bool,
    random: Random,
    commands: u64,
    around: Arc<Surroundings>,
}

/// The longest ttl that clients ask for.
pub(super) const LONGEST_TTL_MS: u64 = 3_000;

impl Client {
    pub(super) fn new(number: usize, owned: bool, random: Random, around: Arc<Surroundings>) -> Self {
        let name = || Owner::new(Bytes::from(format!("client-{number}"))).expect("a short name");
        Self { number, owner: owned.then(name), waits: false, random, commands: 0, around }
    }

    /// One that stands in line for its locks.
    pub(super) fn patient(self) -> Self {
        Self { waits: true, ..self }
    }

    /// Takes and leaves locks until `end`.
    pub(super) async fn live(mut self, end: Micros) {
        while self.now() < end && !self.around.world.is_over() {
            let key = self.random.below(self.around.keys);
            match self.take(key).await {
                Some(held) => self.hold(held, end).await,
                None if !self.waits && self.random.percent(self.around.pace.lies_in_wait) => {
                    self.lie_in_wait(key, end).await;
                }
                None => self.rest(0, self.around.pace.retry_us, end).await,
            }
        }
    }

    /// Takes a free lock through one proxy, as a client does that asks once all is well again.
    pub(super) async fn take_at_ease(&mut self, key: usize, proxy: usize) -> bool {
        self.commands += 1;
        let taking = self.ask(key, proxy, self.longest_ttl_ms(), 0, 0);
        let Some(held) = reply(taking.task.await) else { return false };
        self.release(&held, proxy).await;
        true
    }

    /// Takes a lock through one proxy, standing in line for it.
    pub(super) async fn take_in_line(&mut self, key: usize, proxy: usize, wait_ms: u64) -> Option<Held> {
        self.commands += 1;
        let taking = self.ask(key, proxy, self.longest_ttl_ms(), wait_ms, 0);
        reply(taking.task.await)
    }

    /// One command: a try, and for the impatient another one through another proxy.
    async fn take(&mut self, key: usize) -> Option<Held> {
        self.commands += 1;
        let ttl_ms = self.ttl();
        let proxy = self.random.below(self.around.proxies.count());
        let wait_ms = if self.waits { self.random.pick(&[30, 200, 1_500]) } else { 0 };
        let mut first = self.ask(key, proxy, ttl_ms, wait_ms, 0);
        if !self.random.percent(self.around.impatience) {
            return reply(first.task.await);
        }
        let longest = self.random.pick(&[8_000, 60_000]).max(wait_ms * 700);
        let patience = Duration::from_micros(self.random.between(500, longest));
        if let Ok(result) = tokio::time::timeout(patience, &mut first.task).await {
            return reply(result);
        }
        let other = (proxy + 1) % self.around.proxies.count();
        match self.random.between(0, 3) {
            // Both tries at once.
            0 if self.owner.is_some() => {
                let second = self.ask(key, other, ttl_ms, wait_ms, 1);
                let (first, second) = (reply(first.task.await), reply(second.task.await));
                return match (first, second) {
                    (Some(first), Some(second)) => Some(if first.place > second.place { first } else { second }),
                    (first, second) => first.or(second),
                };
            }
            0 | 1 => self.around.world.with(|state| {
                first.caller.leave();
                state.checker.acquire_left(state.now, first.id);
            }),
            _ => {
                first.task.abort();
                self.around.world.with(|state| state.checker.acquire_left(state.now, first.id));
            }
        }
        if self.random.percent(20) {
            return None;
        }
        if self.random.percent(50) {
            tokio::time::sleep(Duration::from_micros(self.random.between(0, 30_000))).await;
        }
        reply(self.ask(key, other, ttl_ms, wait_ms, 1).task.await)
    }

    /// Sends an RLOCK. The reply is written some time after the verdict.
    fn ask(&mut self, key: usize, proxy: usize, ttl_ms: u64, wait_ms: u64, attempt: u64) -> UnderWay {
        let around = Arc::clone(&self.around);
        let ttl = Ttl::from_millis(ttl_ms).expect("a ttl in range");
        let longer = around.canary == Some(Canary::WaitsASecondLonger) && wait_ms > 0;
        let patience = Duration::from_millis(if longer { wait_ms + 1_000 } else { wait_ms });
        let fence = self.random.percent(around.pace.fenced);
        let request =
            AcquireRequest { resource: resource_of(key), ttl, owner: self.owner.clone(), fence, wait: patience };
        let caller = Arc::new(Caller::default());
        let (client, owned, since) = (self.number, self.owner.is_some(), self.now());
        let id = around.world.with(|state| state.checker.acquire_asked(state.now, key, client, owned, proxy));
        let reply_delay = self.reply_delay();
        let command = Command {
            number: (self.number as u64) << 32 | self.commands,
            attempt,
            drawn: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            caller: Arc::clone(&caller),
            world: Arc::clone(&around.world),
            key,
        };
        let passes = around.canary == Some(Canary::NewcomersPassTheLine) && wait_ms == 0;
        let proxies = if passes { &around.without_lines } else { &around.proxies };
        let acquiring = proxies.get(proxy).acquire(request, Arc::clone(&caller));
        let guard = Guard::new(&around.world);
        let left = Arc::clone(&caller);
        let task = tokio::spawn(COMMAND.scope(command, async move {
            let _guard = guard;
            let world = &around.world;
            let asked = Asked::new(world, proxy, key, wait_ms * 1_000);
            let acquired = acquiring.await;
            asked.answered(matches!(acquired, Acquired::Granted(_)), owned);
            let grant = match acquired {
                Acquired::Granted(grant) => grant,
                _ if left.has_left() => return None,
                Acquired::Refused => {
                    world.with(|state| state.checker.acquire_failed(state.now, id, "RLOCK refused through proxy"));
                    return None;
                }
                Acquired::TooManyWaiters | Acquired::ShuttingDown => unreachable!("there is room for all, to the end"),
                Acquired::NoQuorum(_) => {
                    world.with(|state| state.checker.acquire_failed(state.now, id, "RLOCK unsettled through proxy"));
                    return None;
                }
            };
            wait(reply_delay).await;
            if left.has_left() {
                return None;
            }
            let now = around.world.clock().now();
            let validity = match around.canary {
                Some(Canary::ValidityWithoutElapsed) => Validity::at(now, now, ttl, around.drift),
                _ => grant.validity(now),
            };
            let Some(validity) = validity else {
                world.with(|state| state.checker.acquire_too_late(state.now, id));
                drop(grant.too_late());
                return None;
            };
            let (token, fence) = (grant.token().clone(), grant.fence());
            grant.hand_over();
            let place = world.with(|state| {
                state.checker.acquired(state.now, id, &token, validity);
                if let Some(number) = fence {
                    let token = token.clone();
                    state.fenced(key, FenceGrant { token, number, client, owned, asked: since, at: state.now });
                }
                state.checker.history.length()
            });
            Some(Held { key, token, proxy, place, validity_ms: validity.as_millis() })
        }));
        UnderWay { id, caller, task }
    }

    /// What a client does with its lock.
    async fn hold(&mut self, mut held: Held, end: Micros) {
        while self.now() < end && !self.around.world.is_over() {
            let Pace { long_holds, hold_us, .. } = self.around.pace;
            let longest = if self.random.percent(long_holds) { held.validity_ms * 1_050 } else { hold_us };
            self.rest(0, longest, end).await;
            match self.random.between(0, 99) {
                0..=34 => {
                    let proxy = self.random.below(self.around.proxies.count());
                    let ttl_ms = self.ttl();
                    if self.extend(&held, proxy, ttl_ms).await == Some(false) {
                        return;
                    }
                }
                35..=64 if self.owner.is_some() => {
                    let newer = match self.take(held.key).await {
                        None if self.random.percent(60) => self.take(held.key).await,
                        newer => newer,
                    };
                    if let Some(newer) = newer {
                        if self.random.percent(20) {
                            self.use_former(&held).await;
                        }
                        held = newer;
                    }
                }
                35..=89 => return self.let_go(&held).await,
                // Never released: it ends with its ttl.
                _ => return,
            }
        }
    }

    /// Uses a token that was given up with a take-over: it must not work any more.
    async fn use_former(&mut self, former: &Held) {
        let proxy = self.random.below(self.around.proxies.count());
        if self.random.percent(50) {
            self.extend(former, proxy, self.longest_ttl_ms()).await;
        } else {
            self.release(former, proxy).await;
        }
    }

    /// Releases, through this proxy or another, perhaps twice, perhaps with an extension on its heels.
    async fn let_go(&mut self, held: &Held) {
        let same = self.random.percent(60);
        let proxy = if same { held.proxy } else { self.random.below(self.around.proxies.count()) };
        self.release(held, proxy).await;
        if self.random.percent(15) {
            let proxy = self.random.below(self.around.proxies.count());
            self.release(held, proxy).await;
        }
        if self.random.percent(15) {
            let proxy = self.random.below(self.around.proxies.count());
            self.extend(held, proxy, self.longest_ttl_ms()).await;
        }
    }

    /// Whether the lock lives on; `None` when that is not known.
    async fn extend(&mut self, held: &Held, proxy: usize, ttl_ms: u64) -> Option<bool> {
        let around = Arc::clone(&self.around);
        let (world, key, token, client) = (&around.world, held.key, &held.token, self.number);
        let ttl = Ttl::from_millis(ttl_ms).expect("a ttl in range");
        let may_live = world.with(|state| {
            state.checker.extend_asked(state.now, key, client, token, ttl_ms);
            state.checker.may_live(state.now, key, token)
        });
        let reply_delay = self.reply_delay();
        let _guard = Guard::new(world);
        let outcome = around.proxies.get(proxy).extend(resource_of(key), token.clone(), ttl).await;
        let validity = match outcome {
            Extended::Extended(extension) => {
                wait(reply_delay).await;
                extension.validity(world.clock().now())
            }
            Extended::Lost => {
                world.with(|state| state.checker.extend_lost(state.now, key, token));
                return Some(false);
            }
            Extended::NoQuorum(_) => None,
        };
        world.with(|state| match validity {
            Some(validity) => state.checker.extended(state.now, key, token, validity, may_live),
            None => state.checker.extend_unsettled(state.now, key, client, token),
        });
        validity.map(|_| true)
    }

    pub(super) async fn release(&mut self, held: &Held, proxy: usize) {
        let (world, key, token, client) = (&self.around.world, held.key, &held.token, self.number);
        let asked = world.with(|state| state.checker.release_asked(state.now, key, client, proxy, token));
        let _guard = Guard::new(world);
        let outcome = self.around.proxies.get(proxy).release(resource_of(key), token.clone()).await;
        let deleted = match outcome {
            Released::Released => Some(true),
            Released::NotHeld => Some(false),
            Released::NoQuorum(_) => None,
        };
        world.with(|state| state.checker.release_answered(state.now, key, client, token, (asked, deleted)));
    }

    /// Waits until about the moment at which a majority is free, as the luckiest of all contenders would.
    async fn lie_in_wait(&mut self, key: usize, end: Micros) {
        let quorum = self.around.quorum;
        let free_at = self.around.world.with(|state| {
            let mut free: Vec<Micros> = state.primaries.iter().map(|primary| primary.free_at(key)).collect();
            free.sort_unstable();
            free[quorum - 1]
        });
        let wait = free_at.saturating_sub(self.now());
        self.rest(wait.saturating_sub(1_000), wait + 1_000, end).await;
    }

    async fn rest(&mut self, shortest: Micros, longest: Micros, end: Micros) {
        let micros = self.random.between(shortest, longest).min(end.saturating_sub(self.now()));
        tokio::time::sleep(Duration::from_micros(micros)).await;
    }

    fn longest_ttl_ms(&self) -> u64 {
        self.around.pace.longest_ttl_ms()
    }

    fn ttl(&mut self) -> u64 {
        let longest = self.random.pick(&self.around.pace.ttls_ms);
        self.random.between(longest / 3, longest)
    }

    fn reply_delay(&mut self) -> Duration {
        Duration::from_millis(match self.random.between(0, 99) {
            0..=79 => 0,
            80..=97 => self.random.between(1, 60),
            _ => self.random.between(100, self.longest_ttl_ms() * 2 / 5),
        })
    }

    fn now(&self) -> Micros {
        self.around.world.now()
    }
}

/// What a command's task ended with; its panic goes on here.
fn reply(ended: Result<Option<Held>, JoinError>) -> Option<Held> {
    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

async fn wait(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}
