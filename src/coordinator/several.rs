//! Several locks as one: all of them or none, with one token.
//!
//! Each key has a round of its own; they run side by side, and what they ask of one primary travels together. The first
//! that cannot be won decides for all: the others are given up, and every record is withdrawn by the drop of its
//! attempt. So no lock is ever held while another is waited for, and two commands on overlapping keys cannot block each
//! other for good.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::outcome::Attempt;
use super::round::Work;
use super::{AcquireRequest, Backoff, Caller, Coordinator, Extended, Extension, Grant, NoQuorum, Released};
use crate::lock::{AcquireVerdict, NodeId, Owner, Resource, Token, Ttl};

/// What to take together, for how long, for whom.
#[derive(Debug, Clone)]
pub struct AcquireSeveral {
    /// At least one, none twice.
    pub resources: Arc<[Resource]>,
    pub ttl: Ttl,
    pub owner: Option<Owner>,
}

/// The end of [`Coordinator::acquire_several`].
#[derive(Debug)]
pub enum AcquiredSeveral {
    /// One grant for each key, with one token, begun in one moment.
    Granted(Vec<Grant>),
    /// Another holds one of them, or nobody does and the votes split to the end.
    Refused,
    NoQuorum(NoQuorum),
}

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

/// Why not all were won: the attempt that was not, and its verdict.
struct Failure {
    verdict: AcquireVerdict,
    at: usize,
}

impl Coordinator {
    /// Takes all of these locks or none, by at most `attempts` attempts. A client that has left gets one, and no
    /// signing anew.
    pub async fn acquire_several(self: Arc<Self>, request: AcquireSeveral, caller: Arc<Caller>) -> AcquiredSeveral {
        let mut backoff = Backoff::new(self.rules.retry_delay);
        for remaining in (0..self.rules.attempts).rev() {
            let attempts = self.start_attempts(&request, remaining + 1 == self.rules.attempts);
            let Err(failure) = self.drive_all(&attempts, &caller).await else {
                self.counters.rmlock_granted.increment();
                return AcquiredSeveral::Granted(attempts.into_iter().map(Grant).collect());
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
                    self.counters.rmlock_noquorum.increment();
                    return AcquiredSeveral::NoQuorum(self.why_not(&attempts[failure.at], verdict).await);
                }
            }
        }
        self.counters.rmlock_refused.increment();
        AcquiredSeveral::Refused
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

    fn start_attempts(self: &Arc<Self>, request: &AcquireSeveral, first: bool) -> Vec<Attempt> {
        let token = self.new_token(request.owner.as_ref());
        let term = self.term(self.clock.now(), request.ttl);
        let start = |resource: &Resource| {
            let (resource, owner) = (resource.clone(), request.owner.clone());
            let request = AcquireRequest { resource, ttl: request.ttl, owner, fence: false };
            self.start_attempt_with(&request, token.clone(), term, first)
        };
        request.resources.iter().map(start).collect()
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
