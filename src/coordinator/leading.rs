//! Being first in line: trying until the lock is won or the time is up.
//!
//! After a refusal the first in line sleeps until there is reason to believe that the lock is free: a release through this
//! proxy, or one that another proxy tells of; the end of the records in the way, by what they had left to live; or, since
//! notices get lost and libraries send none, just some time. Whoever comes first next begins where its predecessor left
//! off: what the line knows is not asked for again.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::line::{Last, Outcome};
use super::registry::{NoPlace, Place, Turn};
use super::retry::{Backoff, Retry};
use super::waiting::{Contender, Tried, Waited};
use super::{Caller, Coordinator};
use crate::limits::LINE_ANNOUNCED_FOR;
use crate::lock::Moment;

/// A record that has a millisecond left may be there for the whole of it.
const EXPIRY_ROUNDING: Duration = Duration::from_millis(1);

/// Why whoever is first stops sleeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// Something was released.
    Woken,
    /// It may have become free by itself, or it is time to have a look.
    Due,
    TimeUp,
    CalledOff,
    Closed,
}

/// A waiter that is first in each of its lines.
pub(super) struct First<'a, C> {
    coordinator: &'a Coordinator,
    place: Place<'a>,
    contender: &'a mut C,
    caller: &'a Caller,
    deadline: Instant,
    /// It was first when it came: what it has sent is tried once, whether it is still there or not.
    at_once: bool,
    has_tried: bool,
    patience: Patience,
}

impl<'a, C: Contender> First<'a, C> {
    pub(super) fn new(
        coordinator: &'a Coordinator,
        place: Place<'a>,
        contender: &'a mut C,
        caller: &'a Caller,
        deadline: Instant,
        at_once: bool,
    ) -> Self {
        let patience = Patience::new(coordinator.rules.retry_delay);
        Self { coordinator, place, contender, caller, deadline, at_once, has_tried: false, patience }
    }

    pub(super) async fn lead(mut self) -> Waited<C::Won> {
        let mut reason = Reason::Woken;
        // What the line knows, and when to have a look at the latest.
        let mut known = self.place.prospect().last.map(|last| {
            let retry_at = last.tried_at.after(self.patience.retry.next(self.coordinator.entropy.jitter()));
            (last, retry_at)
        });
        loop {
            if let Some((last, retry_at)) = known {
                let pause = if reason == Reason::Due { Duration::ZERO } else { LINE_ANNOUNCED_FOR };
                self.coordinator.announce(&self.place, pause);
                reason = self.rest(&last, retry_at).await;
                match reason {
                    Reason::Woken => self.patience = Patience::new(self.coordinator.rules.retry_delay),
                    Reason::Due => {}
                    Reason::TimeUp => return Waited::Expired(last.outcome),
                    Reason::CalledOff => return Waited::Abandoned(Outcome::Refused),
                    Reason::Closed => return Waited::NoPlace(NoPlace::Closed),
                }
            }
            self.hold_back().await;
            let tried_at = self.coordinator.clock.now();
            let Some((tried, took)) = self.attempt().await else { return Waited::Abandoned(Outcome::Refused) };
            let (outcome, wait) = match tried {
                Tried::Won(won, until) => {
                    let last = Last { outcome: Outcome::Refused, tried_at, free_at: Some(until) };
                    self.place.won(&last, took);
                    return Waited::Won(won);
                }
                Tried::Held => (Outcome::Refused, self.patience.retry.next(self.coordinator.entropy.jitter())),
                Tried::Split => {
                    self.coordinator.counters.rlock_split_retries.increment();
                    (Outcome::Refused, self.patience.split.next(self.coordinator.entropy.jitter()))
                }
                Tried::Unsettled(reason) => {
                    (Outcome::NoQuorum(reason), self.patience.retry.next(self.coordinator.entropy.jitter()))
                }
            };
            let last = Last { outcome, tried_at, free_at: self.contender.free_at() };
            self.place.end(&last, took);
            if self.caller.is_called_off() {
                return Waited::Abandoned(last.outcome);
            }
            known = Some((last, self.coordinator.clock.now().after(wait)));
        }
    }

    /// Sleeps until there is a reason not to.
    async fn rest(&self, last: &Last, retry_at: Moment) -> Reason {
        let mut timer = pin!(sleep_until(self.deadline));
        let mut called_off = pin!(self.caller.called_off());
        let mut heard_all = pin!(self.contender.heard_all());
        let mut has_heard_all = !self.has_tried;
        loop {
            if Instant::now() >= self.deadline {
                return Reason::TimeUp;
            }
            if self.place.turn() == Turn::Closed {
                return Reason::Closed;
            }
            if self.place.prospect().woken {
                return Reason::Woken;
            }
            // Until an attempt of its own tells better, what its predecessor knew counts.
            let free_at = if self.has_tried { self.contender.free_at() } else { last.free_at };
            let due = free_at.map_or(retry_at, |free_at| retry_at.min(free_at.after(EXPIRY_ROUNDING)));
            let now = self.coordinator.clock.now();
            if now >= due {
                return Reason::Due;
            }
            timer.as_mut().reset(self.deadline.min(Instant::now() + due.since(now)));
            tokio::select! {
                biased;
                () = &mut called_off => return Reason::CalledOff,
                () = self.place.called() => {}
                // The last of the answers may show an earlier end.
                () = &mut heard_all, if !has_heard_all => has_heard_all = true,
                () = &mut timer => {}
            }
        }
    }

    /// Leaves the lock to the line of another proxy for a moment, when it is that one's turn.
    async fn hold_back(&self) {
        let Coordinator { clock, entropy, .. } = self.coordinator;
        if let Some(pause) = self.place.hold_back(clock.now(), || entropy.jitter())
            && Instant::now() + pause < self.deadline
        {
            tokio::select! {
                biased;
                () = self.caller.called_off() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// One attempt, and how long it took. `None`: its client has left, or leaves meanwhile; but what a client had sent
    /// before it left is tried once, and answered.
    async fn attempt(&mut self) -> Option<(Tried<C::Won>, Duration)> {
        let is_owed = self.at_once && !self.has_tried;
        if !is_owed && self.caller.is_called_off() {
            return None;
        }
        self.has_tried = true;
        self.place.begin();
        let began = Instant::now();
        let tried = if is_owed {
            self.contender.attempt(true).await
        } else {
            tokio::select! {
                biased;
                tried = self.contender.attempt(false) => tried,
                () = self.caller.called_off() => return None,
            }
        };
        Some((tried, began.elapsed()))
    }
}

/// How patient whoever is first has become.
struct Patience {
    retry: Retry,
    split: Backoff,
}

impl Patience {
    const fn new(retry_delay: Duration) -> Self {
        Self { retry: Retry::new(), split: Backoff::new(retry_delay) }
    }
}
