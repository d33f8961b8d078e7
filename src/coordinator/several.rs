//! Several locks as one: all of them or none, with one token.
//!
//! Each key has a round of its own; they run side by side, and what they ask of one primary travels together. The first
//! that cannot be won decides for all: the others are given up, and every record is withdrawn by the drop of its
//! attempt. So no lock is ever held while another is waited for, and two commands on overlapping keys cannot block each
//! other for good.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::line::Outcome;
use super::outcome::Attempt;
use super::outlook::Outlook;
use super::round::Work;
use super::waiting::{Contender, Tried};
use super::{AcquireRequest, Acquired, Backoff, Caller, Coordinator, Extended, Extension, Grant, NoQuorum, Released};
use crate::command::Resources;
use crate::lock::{AcquireVerdict, Moment, NodeId, Owner, Resource, Token, Ttl};

/// What to take together, for how long, for whom.
#[derive(Debug, Clone)]
pub struct AcquireSeveral {
    /// At least one, none twice.
    pub resources: Arc<[Resource]>,
    pub ttl: Ttl,
    pub owner: Option<Owner>,
    /// How long to stand in line; zero: not at all.
    pub wait: Duration,
}

/// The end of [`Coordinator::acquire_several`]: one grant for each key, with one token, begun in one moment. Refused:
/// another holds one of them, or nobody does and the votes split to the end.
pub type AcquiredSeveral = Acquired<Vec<Grant>>;

/// The end of [`Coordinator::release_several`].
#[derive(Debug)]
pub enum ReleasedSeveral {
    /// So many were held, and are not any more.
    Released(usize),
    NoQuorum(NoQuorum),
}

/// The end of [`Coordinator::extend_several`].
#[derive(Debug)]
pub enum ExtendedSeveral {
    Extended(Vec<Extension>),
    /// The token holds one of them no longer.
    Lost,
    NoQuorum(NoQuorum),
}

impl AcquireSeveral {
    /// What is asked for each of its keys.
    fn each(&self) -> impl Iterator<Item = AcquireRequest> {
        self.resources.iter().map(|resource| AcquireRequest {
            resource: resource.clone(),
            ttl: self.ttl,
            owner: self.owner.clone(),
            fence: false,
            wait: Duration::ZERO,
        })
    }
}

/// Why not all were won: the attempt that was not, and its verdict.
struct Failure {
    verdict: AcquireVerdict,
    at: usize,
}

impl Coordinator {
    /// Takes all of these locks or none, by at most `attempts` attempts. A client that has left gets one, and no
    /// signing anew.
    pub async fn acquire_several(self: Arc<Self>, request: AcquireSeveral, caller: Arc<Caller>) -> AcquiredSeveral {
        if !request.wait.is_zero() && !caller.is_called_off() {
            return Box::pin(self.acquire_several_in_line(request, caller)).await;
        }
        if self.lines.has_lines()
            && let Some(answer) = Box::pin(self.ask_the_lines(&request, &caller)).await
        {
            return answer;
        }
        let mut backoff = Backoff::new(self.rules.retry_delay);
        for remaining in (0..self.rules.attempts).rev() {
            let attempts = self.start_attempts(&request, remaining + 1 == self.rules.attempts, false);
            let Err(failure) = self.drive_all(&attempts, &caller).await else {
                return self.granted_several(attempts);
            };
            match failure.verdict {
                AcquireVerdict::Held => break,
                AcquireVerdict::Split => {
                    drop(attempts);
                    if remaining == 0 || caller.has_left() {
                        break;
                    }
                    tokio::time::sleep(backoff.next(self.entropy.jitter())).await;
                    if caller.has_left() {
                        break;
                    }
                    self.counters.rlock_split_retries.increment();
                }
                verdict => {
                    let reason = self.why_not(&attempts[failure.at], verdict).await;
                    return self.told_several(Outcome::NoQuorum(reason));
                }
            }
        }
        self.told_several(Outcome::Refused)
    }

    /// RMLOCK … WAIT.
    async fn acquire_several_in_line(self: Arc<Self>, request: AcquireSeveral, caller: Arc<Caller>) -> AcquiredSeveral {
        let coordinator = Arc::clone(&self);
        let mut contest =
            ContestForSeveral { coordinator, request, caller: Arc::clone(&caller), outlook: Outlook::default() };
        let waited = self.wait_in_line(&mut contest, &caller).await;
        self.end_of_wait(waited, Self::granted_several, Self::told_several)
    }

    /// RMLOCK without WAIT where there is a line for one of its keys; see [`ask_the_line`](Self::ask_the_line).
    async fn ask_the_lines(self: &Arc<Self>, request: &AcquireSeveral, caller: &Caller) -> Option<AcquiredSeveral> {
        if !self.lines.are_there(&request.resources) {
            return None;
        }
        if request.owner.is_some() {
            let attempts = self.start_looks(request);
            match self.drive_all(&attempts, caller).await {
                Ok(()) => return Some(self.granted_several(attempts)),
                Err(Failure { verdict: AcquireVerdict::Held | AcquireVerdict::Split, .. }) => {
                    if caller.has_left() {
                        // That was its one try.
                        return Some(self.told_several(Outcome::Refused));
                    }
                }
                Err(Failure { verdict, at }) => {
                    let reason = self.why_not(&attempts[at], verdict).await;
                    return Some(self.told_several(Outcome::NoQuorum(reason)));
                }
            }
        }
        self.lines_say(&request.resources).await.map(|outcome| self.told_several(outcome))
    }

    fn granted_several(&self, attempts: Vec<Attempt>) -> AcquiredSeveral {
        self.counters.rmlock_granted.increment();
        AcquiredSeveral::Granted(attempts.into_iter().map(Grant).collect())
    }

    fn told_several(&self, outcome: Outcome) -> AcquiredSeveral {
        match outcome {
            Outcome::Refused => {
                self.counters.rmlock_refused.increment();
                AcquiredSeveral::Refused
            }
            Outcome::NoQuorum(reason) => {
                self.counters.rmlock_noquorum.increment();
                AcquiredSeveral::NoQuorum(reason)
            }
        }
    }

    /// Deletes the token's records of all these keys, and tells how many it held.
    pub async fn release_several(self: Arc<Self>, resources: Arc<[Resource]>, token: Token) -> ReleasedSeveral {
        let releases = resources.iter().map(|resource| Arc::clone(&self).release(resource.clone(), token.clone()));
        let mut count = 0;
        let mut unsettled = None;
        for outcome in join_all(releases).await {
            match outcome {
                Released::Released => count += 1,
                Released::NotHeld => {}
                Released::NoQuorum(reason) => unsettled = unsettled.or(Some(reason)),
            }
        }
        unsettled.map_or(ReleasedSeveral::Released(count), ReleasedSeveral::NoQuorum)
    }

    /// Lets all these locks live for at least `ttl` from now, where `token` holds them.
    pub async fn extend_several(
        self: Arc<Self>,
        resources: Arc<[Resource]>,
        token: Token,
        ttl: Ttl,
    ) -> ExtendedSeveral {
        let extensions =
            resources.iter().map(|resource| Arc::clone(&self).extend(resource.clone(), token.clone(), ttl));
        let (mut extended, mut is_lost, mut unsettled) = (Vec::new(), false, None);
        for outcome in join_all(extensions).await {
            match outcome {
                Extended::Extended(extension) => extended.push(extension),
                Extended::Lost => is_lost = true,
                Extended::NoQuorum(reason) => unsettled = unsettled.or(Some(reason)),
            }
        }
        match unsettled {
            _ if is_lost => ExtendedSeveral::Lost,
            Some(reason) => ExtendedSeveral::NoQuorum(reason),
            None => ExtendedSeveral::Extended(extended),
        }
    }

    fn start_attempts(self: &Arc<Self>, request: &AcquireSeveral, first: bool, asks_ttl: bool) -> Vec<Attempt> {
        let (token, term) = (self.new_token(request.owner.as_ref()), self.term(self.clock.now(), request.ttl));
        let start = |one| self.start_attempt_with(&one, token.clone(), term, first, asks_ttl);
        request.each().map(start).collect()
    }

    /// Attempts that take nothing but what their owner has.
    fn start_looks(self: &Arc<Self>, request: &AcquireSeveral) -> Vec<Attempt> {
        let (token, term) = (self.new_token(request.owner.as_ref()), self.term(self.clock.now(), request.ttl));
        let start = |one| {
            let attempt = self.new_attempt(&one, token.clone(), term, false, None, false);
            self.ask_who_holds(&attempt, request.ttl);
            attempt
        };
        request.each().map(start).collect()
    }

    /// Waits until all are won or one cannot be. Nothing is signed anew before every key has a quorum in sight: a
    /// take-over that comes to nothing must not have cost the owner its former grants.
    async fn drive_all(&self, attempts: &[Attempt], caller: &Caller) -> Result<(), Failure> {
        let mut working: FuturesUnordered<_> = (0..attempts.len()).map(|at| work(attempts, at)).collect();
        let mut to_sign: Vec<(usize, Vec<(NodeId, Bytes)>)> = Vec::new();
        loop {
            match working.next().await {
                Some((_, Work::Done(AcquireVerdict::Granted))) => {}
                Some((at, Work::Done(verdict))) => return Err(Failure { verdict, at }),
                Some((at, Work::Sign(found))) => to_sign.push((at, found)),
                // Without a fence nothing is raised.
                Some((at, Work::Raise(..))) => working.push(work(attempts, at)),
                None if to_sign.is_empty() => return Ok(()),
                None if caller.has_left() => {
                    let (at, _) = to_sign[0];
                    return Err(Failure { verdict: attempts[at].round.abandon(), at });
                }
                None => {
                    for (at, found) in to_sign.drain(..) {
                        self.sign(&attempts[at], found);
                        working.push(work(attempts, at));
                    }
                }
            }
        }
    }
}

async fn work(attempts: &[Attempt], at: usize) -> (usize, Work) {
    (at, attempts[at].round.work().await)
}

/// Somebody who waits for several locks.
struct ContestForSeveral {
    coordinator: Arc<Coordinator>,
    request: AcquireSeveral,
    caller: Arc<Caller>,
    outlook: Outlook,
}

impl Contender for ContestForSeveral {
    type Won = Vec<Attempt>;

    fn resources(&self) -> Resources {
        Resources::Several(Arc::clone(&self.request.resources))
    }

    fn patience(&self) -> Duration {
        self.request.wait
    }

    async fn take_over(&mut self) -> Option<Vec<Attempt>> {
        self.request.owner.as_ref()?;
        let attempts = self.coordinator.start_looks(&self.request);
        let taken = self.coordinator.drive_all(&attempts, &self.caller).await;
        taken.is_ok().then_some(attempts)
    }

    async fn attempt(&mut self, first: bool) -> Tried<Vec<Attempt>> {
        let coordinator = &self.coordinator;
        let attempts = coordinator.start_attempts(&self.request, first, true);
        let (rounds, now) = (attempts.iter().map(|attempt| Arc::clone(&attempt.round)), coordinator.clock.now());
        self.outlook = std::mem::take(&mut self.outlook).renew(rounds, now);
        match coordinator.drive_all(&attempts, &self.caller).await {
            Ok(()) => Tried::Won(attempts, coordinator.end_of(self.request.ttl)),
            Err(Failure { verdict: AcquireVerdict::Held, .. }) => Tried::Held,
            Err(Failure { verdict: AcquireVerdict::Split, .. }) => Tried::Split,
            Err(Failure { verdict, at }) => Tried::Unsettled(coordinator.why_not(&attempts[at], verdict).await),
        }
    }

    fn free_at(&self) -> Option<Moment> {
        self.outlook.free_at()
    }

    async fn heard_all(&self) {
        self.outlook.heard_all().await;
    }
}
