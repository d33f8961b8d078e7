//! Standing in line: sleeping until it is one's turn, then trying until the lock is won or the time is up.
//!
//! Only the first of a line talks to the primaries, so a thousand waiters cost as much as one. After a refusal it sleeps
//! until there is reason to believe that the lock is free: a release through this proxy, or one that another proxy tells
//! of; the end of the records in the way, by what they had left to live; or, since notices get lost and libraries send
//! none, just some time. Whoever comes first next begins where its predecessor left off: what the line knows is not asked
//! for again.
//!
//! A waiter is one future of its client's session, with no task of its own. Dropped, it leaves its line, and whoever
//! stands behind it is called.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::line::{Last, Outcome};
use super::notice::{Notice, NoticeKind};
use super::outcome::NoQuorum;
use super::registry::{Answer, NoPlace, Place, Turn};
use super::retry::{Backoff, Retry};
use super::{Acquired, Caller, Coordinator, Operation};
use crate::command::Resources;
use crate::counters::ErrorKind;
use crate::limits::LINE_ANNOUNCED_FOR;
use crate::lock::{Moment, NodeId, Resource, Ttl};

/// A record that has a millisecond left may be there for the whole of it.
const EXPIRY_ROUNDING: Duration = Duration::from_millis(1);

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
        Box::pin(self.lead(place, contender, deadline, caller, at_once)).await
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

    async fn lead<C: Contender>(
        &self,
        place: Place<'_>,
        contender: &mut C,
        deadline: Instant,
        caller: &Caller,
        at_once: bool,
    ) -> Waited<C::Won> {
        let mut pace = Pace::new(self.rules.retry_delay);
        let mut has_tried = false;
        let mut known = place.prospect().last;
        let mut retry_at = known.as_ref().map(|last| last.tried_at.after(pace.retry.next(self.entropy.jitter())));
        let mut reason = Reason::Woken;
        loop {
            if let (Some(last), Some(retry_at)) = (&known, retry_at) {
                let pause = if reason == Reason::Due { Duration::ZERO } else { LINE_ANNOUNCED_FOR };
                self.announce(&place, pause);
                let inherited = if has_tried { None } else { Some(last.free_at) };
                reason = self.rest(&place, contender, inherited, (retry_at, deadline), caller).await;
                match reason {
                    Reason::Woken => pace = Pace::new(self.rules.retry_delay),
                    Reason::Due => {}
                    Reason::TimeUp => return Waited::Expired(last.outcome.clone()),
                    Reason::CalledOff => return Waited::Abandoned(Outcome::Refused),
                    Reason::Closed => return Waited::NoPlace(NoPlace::Closed),
                }
            }
            if let Some(pause) = place.hold_back(self.clock.now(), || self.entropy.jitter())
                && Instant::now() + pause < deadline
            {
                tokio::select! {
                    biased;
                    () = caller.called_off() => {}
                    () = sleep(pause) => {}
                }
            }
            let is_first_try = at_once && !has_tried;
            if !is_first_try && caller.is_called_off() {
                return Waited::Abandoned(Outcome::Refused);
            }
            place.begin();
            let (tried_at, began) = (self.clock.now(), Instant::now());
            let tried = if is_first_try {
                // What a client had sent before it left is tried once, and answered.
                contender.attempt(true).await
            } else {
                tokio::select! {
                    biased;
                    tried = contender.attempt(false) => tried,
                    () = caller.called_off() => return Waited::Abandoned(Outcome::Refused),
                }
            };
            has_tried = true;
            let (outcome, wait) = match tried {
                Tried::Won(won, until) => {
                    let last = Last { outcome: Outcome::Refused, tried_at, free_at: Some(until) };
                    place.won(&last, began.elapsed());
                    return Waited::Won(won);
                }
                Tried::Held => (Outcome::Refused, pace.retry.next(self.entropy.jitter())),
                Tried::Split => {
                    self.counters.rlock_split_retries.increment();
                    (Outcome::Refused, pace.split.next(self.entropy.jitter()))
                }
                Tried::Unsettled(reason) => (Outcome::NoQuorum(reason), pace.retry.next(self.entropy.jitter())),
            };
            let last = Last { outcome, tried_at, free_at: contender.free_at() };
            place.end(&last, began.elapsed());
            if caller.is_called_off() {
                return Waited::Abandoned(last.outcome);
            }
            known = Some(last);
            retry_at = Some(self.clock.now().after(wait));
        }
    }

    /// Sleeps until there is a reason not to. Until an attempt of its own has told better, what its predecessor knew of
    /// the lock's end counts: `inherited`.
    async fn rest<C: Contender>(
        &self,
        place: &Place<'_>,
        contender: &C,
        inherited: Option<Option<Moment>>,
        (retry_at, deadline): (Moment, Instant),
        caller: &Caller,
    ) -> Reason {
        let mut timer = pin!(sleep_until(deadline));
        let mut called_off = pin!(caller.called_off());
        let mut heard_all = pin!(contender.heard_all());
        let mut has_heard_all = inherited.is_some();
        loop {
            if Instant::now() >= deadline {
                return Reason::TimeUp;
            }
            if place.turn() == Turn::Closed {
                return Reason::Closed;
            }
            if place.prospect().woken {
                return Reason::Woken;
            }
            let free_at = inherited.unwrap_or_else(|| contender.free_at());
            let due = free_at.map_or(retry_at, |free_at| retry_at.min(free_at.after(EXPIRY_ROUNDING)));
            let now = self.clock.now();
            if now >= due {
                return Reason::Due;
            }
            timer.as_mut().reset(deadline.min(Instant::now() + due.since(now)));
            tokio::select! {
                biased;
                () = &mut called_off => return Reason::CalledOff,
                () = place.called() => {}
                // The last of the answers may show an earlier end.
                () = &mut heard_all, if !has_heard_all => has_heard_all = true,
                () = &mut timer => {}
            }
        }
    }

    /// Tells other proxies of the lines in which this waiter is first, unless they were told within `pause`.
    fn announce(&self, place: &Place<'_>, pause: Duration) {
        for resource in place.to_announce(self.clock.now(), pause) {
            let sender = self.rules.sender;
            let notice = Notice { kind: NoticeKind::Waiting, sender, resource: resource.clone() }.encode();
            for (_, node) in self.nodes() {
                self.counters.notices_sent.increment();
                let (resource, notice) = (resource.clone(), notice.clone());
                node.submit(Operation::Announce { resource, notice }, self.rules.node_timeout);
            }
        }
    }

    /// What goes behind each withdrawal of a lock that another proxy waits for.
    pub(super) fn notice_of_release(&self, resource: &Resource) -> Option<bytes::Bytes> {
        if !self.lines.others_wait_for(resource, self.clock.now()) {
            return None;
        }
        self.counters.notices_sent.add(self.nodes.len() as u64);
        let (sender, resource) = (self.rules.sender, resource.clone());
        Some(Notice { kind: NoticeKind::Released, sender, resource }.encode())
    }

    /// A notice has come from a primary: this proxy's own are known by their sender.
    pub fn hear_notice(&self, notice: Notice, node: NodeId) {
        if notice.sender != self.rules.sender {
            self.counters.notices_received.increment();
            self.lines.hear(notice, node, self.clock.now());
        }
    }

    /// From here on this primary's notices are heard, or not any more.
    pub fn listens_to(&self, node: NodeId, listens: bool) {
        self.lines.subscribed(node, listens);
    }

    /// The proxy is about to end: nobody stands in line from here on.
    pub fn close_lines(&self) {
        self.lines.close();
    }

    /// How many wait for this lock.
    pub fn waiters(&self, resource: &Resource) -> usize {
        self.lines.waiters_for(resource)
    }
}

/// How patient whoever is first has become.
struct Pace {
    retry: Retry,
    split: Backoff,
}

impl Pace {
    const fn new(retry_delay: Duration) -> Self {
        Self { retry: Retry::new(), split: Backoff::new(retry_delay) }
    }
}
