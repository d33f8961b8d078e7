//! Standing in line.
//!
//! Only the first of a line talks to the primaries ([`leading`](super::leading) tells what it does), so a thousand waiters
//! cost as much as one. The others sleep until it is their turn or their time is up.
//!
//! A waiter is one future of its client's session, with no task of its own. Dropped, it leaves its line, and whoever
//! stands behind it is called.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::leading::First;
use super::line::Outcome;
use super::outcome::NoQuorum;
use super::registry::{Answer, NoPlace, Place, Turn};
use super::{Acquired, Caller, Coordinator};
use crate::command::Resources;
use crate::counters::ErrorKind;
use crate::lock::{Moment, Resource, Ttl};

/// What a waiter does when it is first in line.
pub(super) trait Contender: Send {
    type Won: Send;

    /// The locks that it wants.
    fn resources(&self) -> Resources;

    /// How long it is ready to wait.
    fn patience(&self) -> Duration;

    /// Takes over what its owner holds already: nobody stands in line for that.
    fn take_over(&mut self) -> impl Future<Output = Option<Self::Won>> + Send;

    /// One attempt; `first` when nothing was waited for before it. Dropped half-way, it is withdrawn.
    fn attempt(&mut self, first: bool) -> impl Future<Output = Tried<Self::Won>> + Send;

    /// When what was in the way of the last attempt will be gone, by what has been told so far.
    fn free_at(&self) -> Option<Moment>;

    /// Waits until every primary has answered the last attempt, or will not.
    fn heard_all(&self) -> impl Future<Output = ()> + Send;
}

/// The end of a waiter's attempt.
pub(super) enum Tried<W> {
    /// Won, for whoever is behind to know: until this moment unless it is released before.
    Won(W, Moment),
    Held,
    Split,
    Unsettled(NoQuorum),
}

/// The end of a waiter.
pub(super) enum Waited<W> {
    Won(W),
    /// Its time was over.
    Expired(Outcome),
    /// Its client left, or must not be kept waiting any more.
    Abandoned(Outcome),
    NoPlace(NoPlace),
}

impl Coordinator {
    /// Stands in the lines for what the contender wants, and lets it try when it is first in each.
    ///
    /// The future is small, since thousands of them may sleep. What only the first needs, and what happens only once, is in
    /// memory of its own.
    pub(super) async fn wait_in_line<C: Contender>(&self, contender: &mut C, caller: &Caller) -> Waited<C::Won> {
        let deadline = Instant::now() + contender.patience();
        let place = match self.lines.join(contender.resources()) {
            Ok(place) => place,
            Err(NoPlace::Full) => {
                let own = Box::pin(contender.take_over()).await;
                return own.map_or(Waited::NoPlace(NoPlace::Full), Waited::Won);
            }
            Err(NoPlace::Closed) => return Waited::NoPlace(NoPlace::Closed),
        };
        let at_once = place.turn() == Turn::First;
        if !at_once && let Some(won) = Box::pin(contender.take_over()).await {
            return Waited::Won(won);
        }
        let mut time_up = pin!(sleep_until(deadline));
        let mut called_off = pin!(caller.called_off());
        loop {
            match place.turn() {
                Turn::First => break,
                Turn::Closed => return Waited::NoPlace(NoPlace::Closed),
                Turn::Behind => {}
            }
            tokio::select! {
                biased;
                () = &mut called_off => return Waited::Abandoned(Outcome::Refused),
                () = place.called() => {}
                () = &mut time_up => return Waited::Expired(Box::pin(self.told_by_the_lines(place)).await),
            }
        }
        Box::pin(First::new(self, place, contender, caller, deadline, at_once).lead()).await
    }

    /// What the lines say to whoever has to leave before it was first.
    async fn told_by_the_lines(&self, place: Place<'_>) -> Outcome {
        let resources = place.resources();
        drop(place);
        self.lines_say(&resources).await.unwrap_or(Outcome::Refused)
    }

    /// What the lines for these locks say to whoever does not stand in them: nothing, when there are none, or they are
    /// gone without a word.
    pub(super) async fn lines_say(&self, resources: &[Resource]) -> Option<Outcome> {
        match self.lines.ask(resources) {
            Answer::NoLine => None,
            Answer::Told(outcome) => Some(outcome),
            Answer::Later(told) => told.await.ok(),
        }
    }

    /// What the client of a waiter is told.
    pub(super) fn end_of_wait<W, G>(
        &self,
        waited: Waited<W>,
        granted: impl FnOnce(&Self, W) -> Acquired<G>,
        told: impl FnOnce(&Self, Outcome) -> Acquired<G>,
    ) -> Acquired<G> {
        match waited {
            Waited::Won(won) => {
                self.counters.wait_granted.increment();
                granted(self, won)
            }
            Waited::Expired(outcome) => {
                self.counters.wait_expired.increment();
                told(self, outcome)
            }
            Waited::Abandoned(outcome) => {
                self.counters.wait_abandoned.increment();
                told(self, outcome)
            }
            Waited::NoPlace(NoPlace::Full) => {
                self.counters.count_error(ErrorKind::Limit);
                Acquired::TooManyWaiters
            }
            Waited::NoPlace(NoPlace::Closed) => Acquired::ShuttingDown,
        }
    }

    /// When a lock that is won now ends, unless it is released or extended before.
    pub(super) fn end_of(&self, ttl: Ttl) -> Moment {
        self.clock.now().after(Duration::from_millis(ttl.as_millis()))
    }
}
