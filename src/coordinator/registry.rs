//! The lines of this proxy, and what is remembered of those of others: one for all its clients.
//!
//! One lock guards all of it, held for some look-ups and never across a wait; whoever must be told is told afterwards. A
//! proxy on which nobody waits does not even take it: two numbers beside it say so.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::line::{Full, Last, LineLimits, Lines, Outcome, Prospect, View, WaiterId};
use super::notice::{Notice, NoticeKind, Others, hold_back};
use crate::command::Resources;
use crate::counters::Counters;
use crate::lock::{Moment, NodeId, NodeSet, Quorum, Resource};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Registry {
    state: Mutex<State>,
    /// How many lines there are.
    lines: AtomicUsize,
    /// How many locks are known to be waited for at other proxies.
    others: AtomicUsize,
    quorum: Quorum,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct State {
    lines: Lines<Arc<Notify>>,
    others: Others,
    /// Those who ask without waiting, while the first attempt of a line is under way.
    asking: HashMap<Resource, Vec<oneshot::Sender<Outcome>>>,
    /// The primaries that tell of releases.
    subscribed: NodeSet,
    /// How long an attempt takes, by the last one.
    round_trip: Duration,
    /// Nobody waits any more: the proxy is about to end.
    closed: bool,
}

/// Why there is no place in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    Full,
    Closed,
}

/// What a line says to whoever does not stand in it.
pub(super) enum Answer {
    /// There is no line.
    NoLine,
    Told(Outcome),
    /// It will say so when its first attempt has ended; an error when the line is gone before.
    Later(oneshot::Receiver<Outcome>),
}

impl Registry {
    pub(super) fn new(limits: LineLimits, quorum: Quorum, counters: Arc<Counters>) -> Self {
        let state = State {
            lines: Lines::new(limits),
            others: Others::new(),
            asking: HashMap::new(),
            subscribed: NodeSet::EMPTY,
            round_trip: Duration::ZERO,
            closed: false,
        };
        Self { state: Mutex::new(state), lines: AtomicUsize::new(0), others: AtomicUsize::new(0), quorum, counters }
    }

    /// Whether anybody waits here.
    ///
    /// A release asks after its withdrawals have been queued. Had a waiter's request been queued before one of them, the
    /// queue's own lock would make its line seen here; and one that is queued behind all of them finds the lock free.
    pub(super) fn has_lines(&self) -> bool {
        self.lines.load(Ordering::Acquire) > 0
    }

    /// Takes a place at the end of the lines for these locks.
    pub(super) fn join(&self, resources: Resources) -> Result<Place<'_>, NoPlace> {
        let bell = Arc::new(Notify::new());
        let id = self.change(|state| {
            if state.closed {
                return Err(NoPlace::Closed);
            }
            state.lines.join(resources, Arc::clone(&bell)).map_err(|Full| NoPlace::Full)
        })?;
        Ok(Place { registry: self, id, bell })
    }

    /// What the lines for these locks say to whoever does not wait.
    pub(super) fn ask(&self, resources: &[Resource]) -> Answer {
        if !self.has_lines() {
            return Answer::NoLine;
        }
        let mut state = self.lock();
        let mut answer = Answer::NoLine;
        for resource in resources {
            match state.lines.view(resource) {
                View::NoLine => {}
                View::Told(outcome) => answer = Answer::Told(outcome),
                View::Awaited => {
                    let (tell, told) = oneshot::channel();
                    state.asking.entry(resource.clone()).or_default().push(tell);
                    return Answer::Later(told);
                }
            }
        }
        answer
    }

    /// Whether anybody waits for one of these locks.
    pub(super) fn are_there(&self, resources: &[Resource]) -> bool {
        self.has_lines() && {
            let state = self.lock();
            resources.iter().any(|resource| state.lines.waiters_for(resource) > 0)
        }
    }

    /// How many wait for this lock.
    pub(super) fn waiters_for(&self, resource: &Resource) -> usize {
        if self.has_lines() { self.lock().lines.waiters_for(resource) } else { 0 }
    }

    /// Whether another proxy waits for this lock.
    pub(super) fn others_wait_for(&self, resource: &Resource, now: Moment) -> bool {
        self.others.load(Ordering::Relaxed) > 0 && self.change(|state| state.others.wait_for(resource, now))
    }

    /// The lock was released through this proxy: whoever is first tries for it.
    pub(super) fn released(&self, resource: &Resource) {
        if self.has_lines() {
            let first = self.change(|state| state.lines.wake(resource));
            ring(first);
        }
    }

    /// Another proxy's notice came from a primary.
    pub(super) fn hear(&self, notice: Notice, node: NodeId, now: Moment) {
        let Notice { kind, resource, .. } = notice;
        match kind {
            NoticeKind::Waiting => self.change(|state| state.others.note(resource, now)),
            NoticeKind::Released => {
                // When a quorum of the primaries has deleted it; of those that tell of it, if they are fewer.
                let first = self.change(|state| {
                    state.others.had_their_turn(&resource);
                    let enough = state.subscribed.len().min(self.quorum.needed());
                    state.lines.hear(&resource, node, enough)
                });
                ring(first);
            }
        }
    }

    /// From here on this primary tells of releases, or does not any more. What was released before may not have been
    /// heard of: the first of every line tries once more.
    pub(super) fn subscribed(&self, node: NodeId, tells: bool) {
        let firsts = self.change(|state| {
            if tells {
                state.subscribed.insert(node);
                return state.lines.wake_all();
            }
            state.subscribed.remove(node);
            Vec::new()
        });
        ring(firsts);
    }

    /// Nobody waits from here on.
    pub(super) fn close(&self) {
        let everybody: Vec<_> = self.change(|state| {
            state.closed = true;
            state.lines.everybody().cloned().collect()
        });
        ring(everybody);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under this lock panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state);
        self.lines.store(state.lines.lines(), Ordering::Release);
        self.others.store(state.others.len(), Ordering::Relaxed);
        self.counters.lines.set(state.lines.lines() as u64);
        self.counters.waiters.set(state.lines.waiters() as u64);
        self.counters.waiters_peak.raise(state.lines.waiters() as u64);
        result
    }
}

impl State {
    /// Tells those who ask about these locks what their lines say now; `last` is what a line said that is gone.
    fn tell(&mut self, resources: &[Resource], last: Option<&Last>) {
        if self.asking.is_empty() {
            return;
        }
        for resource in resources {
            let outcome = match self.lines.view(resource) {
                View::Awaited => continue,
                View::Told(outcome) => Some(outcome),
                View::NoLine => last.map(|last| last.outcome.clone()),
            };
            for asking in self.asking.remove(resource).into_iter().flatten() {
                if let Some(outcome) = &outcome {
                    // Whoever asked may be gone.
                    let _ = asking.send(outcome.clone());
                }
            }
        }
    }
}

/// Outside of the lock: whoever is told may run at once.
fn ring(bells: impl IntoIterator<Item = Arc<Notify>>) {
    bells.into_iter().for_each(|bell| bell.notify_one());
}

/// A place in line. Dropped, it is given up, and whoever stands behind it is told.
#[derive(Debug)]
pub(super) struct Place<'a> {
    registry: &'a Registry,
    id: WaiterId,
    bell: Arc<Notify>,
}

/// How things stand for a waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Somebody stands before it.
    Behind,
    First,
    /// Nobody waits any more.
    Closed,
}

impl Place<'_> {
    pub(super) fn turn(&self) -> Turn {
        let state = self.registry.lock();
        match state.lines.is_first(self.id) {
            _ if state.closed => Turn::Closed,
            true => Turn::First,
            false => Turn::Behind,
        }
    }

    /// Waits until something may have changed. Nothing that happens between two waits is missed.
    pub(super) async fn called(&self) {
        self.bell.notified().await;
    }

    pub(super) fn prospect(&self) -> Prospect {
        self.registry.lock().lines.prospect(self.id)
    }

    pub(super) fn resources(&self) -> Resources {
        self.registry.lock().lines.resources(self.id)
    }

    /// The locks of which other proxies have to be told; see [`Lines::announce`].
    pub(super) fn announce(&self, now: Moment, pause: Duration) -> Vec<Resource> {
        self.registry.lock().lines.announce(self.id, now, pause)
    }

    /// How long to hold back, when it is the turn of another proxy's line.
    pub(super) fn hold_back(&self, now: Moment, random: impl FnOnce() -> u64) -> Option<Duration> {
        if self.registry.others.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut state = self.registry.lock();
        let resources = state.lines.resources(self.id);
        let due = resources.iter().filter(|resource| state.others.are_due(resource, now)).count() > 0;
        let round_trip = state.round_trip;
        drop(state);
        due.then(|| hold_back(round_trip, random()))
    }

    /// An attempt begins.
    pub(super) fn begin(&self) {
        self.registry.lock().lines.begin(self.id);
    }

    /// It has ended without a grant, after so long.
    pub(super) fn end(&self, last: &Last, took: Duration) {
        let mut state = self.registry.lock();
        state.round_trip = took;
        state.lines.end(self.id, last);
        let resources = state.lines.resources(self.id);
        state.tell(&resources, None);
    }

    /// It was won, after so long: the place is given up.
    pub(super) fn won(self, last: &Last, took: Duration) {
        let resources = self.resources();
        let firsts = self.registry.change(|state| {
            state.round_trip = took;
            resources.iter().for_each(|resource| state.others.won(resource));
            let firsts = state.lines.leave(self.id, Some(last));
            state.tell(&resources, Some(last));
            firsts
        });
        ring(firsts);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let resources = self.resources();
        let firsts = self.registry.change(|state| {
            let firsts = state.lines.leave(self.id, None);
            state.tell(&resources, None);
            firsts
        });
        ring(firsts);
    }
}
