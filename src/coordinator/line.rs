//! Who waits for which lock, in which order.
//!
//! There is one line for each lock that somebody waits for. A waiter joins the lines of all its locks in one moment, and
//! may try for them when it is first in each. Places are given by one sequence for all lines, so whoever came first of
//! all is first everywhere: no two waiters can stand in each other's way.
//!
//! A line remembers how the last attempt of its first ended: whoever asks without waiting is answered by that. It also
//! remembers whether it was woken since that attempt began, since what became free then may still be free: that is worth
//! another attempt, by whoever is first by then.
//!
//! Pure: what happens comes in, and who must be told comes out, as the handle that it joined with.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::outcome::NoQuorum;
use crate::command::Resources;
use crate::lock::{Moment, NodeId, NodeSet, Resource};

/// How many may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineLimits {
    /// In all lines together.
    pub waiters: usize,
    /// In one line.
    pub waiters_per_key: usize,
}

/// A waiter's place: the smaller, the earlier it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WaiterId(u64);

/// There are as many waiters as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// What an attempt said to whoever asks about the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Somebody holds it.
    Refused,
    NoQuorum(NoQuorum),
}

/// The last attempt of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) outcome: Outcome,
    /// When it began.
    pub(super) tried_at: Moment,
    /// When the lock will be free by itself, as far as is known.
    pub(super) free_at: Option<Moment>,
}

/// What whoever is first goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prospect {
    /// Something may have become free since the last attempt began.
    pub(super) woken: bool,
    /// `None`: no attempt has been made in one of its lines.
    pub(super) last: Option<Last>,
}

/// A line as whoever asks without waiting sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum View {
    /// There is none.
    NoLine,
    /// Its last attempt ended so.
    Told(Outcome),
    /// Its first attempt is under way.
    Awaited,
}

/// See the module's documentation. `W` is what a waiter is told by.
#[derive(Debug)]
pub(super) struct Lines<W> {
    by_resource: HashMap<Resource, Line>,
    /// In the order of arrival, for those who go through all of them.
    waiters: BTreeMap<WaiterId, Waiter<W>>,
    limits: LineLimits,
    next: u64,
}

#[derive(Debug, Default)]
struct Line {
    queue: BTreeSet<WaiterId>,
    last: Option<Last>,
    woken: bool,
    /// The primaries from which a release was heard of since the last attempt began.
    heard: NodeSet,
    announced_at: Option<Moment>,
}

#[derive(Debug)]
struct Waiter<W> {
    resources: Resources,
    /// In how many of its lines somebody stands before it.
    behind: usize,
    /// It makes an attempt.
    trying: bool,
    handle: W,
}

impl<W: Clone> Lines<W> {
    pub(super) fn new(limits: LineLimits) -> Self {
        Self { by_resource: HashMap::new(), waiters: BTreeMap::new(), limits, next: 0 }
    }

    /// Takes a place at the end of each of these lines.
    pub(super) fn join(&mut self, resources: Resources, handle: W) -> Result<WaiterId, Full> {
        let is_full = |resource| self.waiters_for(resource) >= self.limits.waiters_per_key;
        if self.waiters.len() >= self.limits.waiters || resources.iter().any(is_full) {
            return Err(Full);
        }
        let id = WaiterId(self.next);
        self.next += 1;
        let mut behind = 0;
        for resource in resources.iter() {
            // Looked for first: the name is copied only where a line is formed.
            let line = match self.by_resource.get_mut(resource) {
                Some(line) => line,
                None => self.by_resource.entry(resource.clone()).or_default(),
            };
            behind += usize::from(!line.queue.is_empty());
            line.queue.insert(id);
        }
        self.waiters.insert(id, Waiter { resources, behind, trying: false, handle });
        Ok(id)
    }

    /// Gives a place up, wherever in its lines it is; `last` is what its attempt leaves for those behind it, if that was
    /// won. Returns who may try now and could not before.
    pub(super) fn leave(&mut self, id: WaiterId, last: Option<&Last>) -> Vec<W> {
        let Some(Waiter { resources, trying, .. }) = self.waiters.remove(&id) else { return Vec::new() };
        let mut first_now = Vec::new();
        for resource in resources.iter() {
            let Some(line) = self.by_resource.get_mut(resource) else { continue };
            let was_first = line.queue.first() == Some(&id);
            line.queue.remove(&id);
            let Some(next) = line.queue.first() else {
                self.by_resource.remove(resource);
                continue;
            };
            match last {
                Some(last) => {
                    line.last = Some(last.clone());
                    line.woken = false;
                }
                // Whatever its attempt had taken is given back.
                None => line.woken |= trying,
            }
            if was_first && let Some(next) = self.waiters.get_mut(next) {
                next.behind -= 1;
                if next.behind == 0 {
                    first_now.push(next.handle.clone());
                }
            }
        }
        first_now
    }

    /// Whether nobody stands before this waiter in any of its lines.
    pub(super) fn is_first(&self, id: WaiterId) -> bool {
        self.waiters.get(&id).is_some_and(|waiter| waiter.behind == 0)
    }

    /// What a waiter that is first goes by.
    pub(super) fn prospect(&self, id: WaiterId) -> Prospect {
        let lines = || self.waiters.get(&id).into_iter().flat_map(|waiter| self.lines_of(&waiter.resources));
        let mut all: Option<Last> = None;
        for line in lines() {
            all = match (all, &line.last) {
                (_, None) => return Prospect { woken: lines().any(|line| line.woken), last: None },
                (None, Some(last)) => Some(last.clone()),
                // Of several locks the one that will be free last is what is waited for; the one that was tried first is
                // the one of which the least is known.
                (Some(all), Some(last)) => Some(Last {
                    outcome: last.outcome.clone(),
                    tried_at: all.tried_at.min(last.tried_at),
                    free_at: all.free_at.zip(last.free_at).map(|(one, other)| one.max(other)),
                }),
            };
        }
        Prospect { woken: lines().any(|line| line.woken), last: all }
    }

    /// A waiter that is first begins an attempt.
    pub(super) fn begin(&mut self, id: WaiterId) {
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        waiter.trying = true;
        for resource in waiter.resources.iter() {
            if let Some(line) = self.by_resource.get_mut(resource) {
                line.woken = false;
                line.heard = NodeSet::EMPTY;
            }
        }
    }

    /// Its attempt has ended without a grant.
    pub(super) fn end(&mut self, id: WaiterId, last: &Last) {
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        waiter.trying = false;
        for resource in waiter.resources.iter() {
            if let Some(line) = self.by_resource.get_mut(resource) {
                line.last = Some(last.clone());
            }
        }
    }

    /// The lock may have become free. Returns who is to try.
    pub(super) fn wake(&mut self, resource: &Resource) -> Option<W> {
        let line = self.by_resource.get_mut(resource)?;
        line.woken = true;
        let first = self.waiters.get(line.queue.first()?)?;
        (first.behind == 0).then(|| first.handle.clone())
    }

    /// A primary tells that a record of the lock was deleted there. When `enough` of them have, it may be free.
    pub(super) fn hear(&mut self, resource: &Resource, node: NodeId, enough: usize) -> Option<W> {
        let line = self.by_resource.get_mut(resource)?;
        line.heard.insert(node);
        if line.heard.len() < enough {
            return None;
        }
        line.heard = NodeSet::EMPTY;
        self.wake(resource)
    }

    /// Any lock may have become free. Returns who is to try, in the order of their arrival.
    pub(super) fn wake_all(&mut self) -> Vec<W> {
        self.by_resource.values_mut().for_each(|line| line.woken = true);
        self.waiters.values().filter(|waiter| waiter.behind == 0).map(|waiter| waiter.handle.clone()).collect()
    }

    /// Everybody who waits.
    pub(super) fn everybody(&self) -> impl Iterator<Item = &W> {
        self.waiters.values().map(|waiter| &waiter.handle)
    }

    /// What whoever asks about the lock is told.
    pub(super) fn view(&self, resource: &Resource) -> View {
        let Some(line) = self.by_resource.get(resource) else { return View::NoLine };
        let first = line.queue.first().and_then(|first| self.waiters.get(first));
        match &line.last {
            Some(last) => View::Told(last.outcome.clone()),
            None if first.is_some_and(|first| first.behind == 0) => View::Awaited,
            // Its first waits for another lock, and has not tried for this one. But it comes before whoever asks.
            None => View::Told(Outcome::Refused),
        }
    }

    /// Other proxies are to be told that this waiter waits. Returns the locks of which they were not told in the last
    /// `pause`, and which count as told from here on.
    pub(super) fn announce(&mut self, id: WaiterId, now: Moment, pause: Duration) -> Vec<Resource> {
        let Some(waiter) = self.waiters.get(&id) else { return Vec::new() };
        let mut untold = Vec::new();
        for resource in waiter.resources.iter() {
            let Some(line) = self.by_resource.get_mut(resource) else { continue };
            if line.announced_at.is_none_or(|announced_at| now >= announced_at.after(pause)) {
                line.announced_at = Some(now);
                untold.push(resource.clone());
            }
        }
        untold
    }

    /// The locks that the waiter waits for.
    pub(super) fn resources(&self, id: WaiterId) -> Resources {
        self.waiters.get(&id).map_or(Resources::None, |waiter| waiter.resources.clone())
    }

    /// How many wait for this lock.
    pub(super) fn waiters_for(&self, resource: &Resource) -> usize {
        self.by_resource.get(resource).map_or(0, |line| line.queue.len())
    }

    /// How many wait.
    pub(super) fn waiters(&self) -> usize {
        self.waiters.len()
    }

    /// How many locks are waited for.
    pub(super) fn lines(&self) -> usize {
        self.by_resource.len()
    }

    fn lines_of<'a>(&'a self, resources: &'a Resources) -> impl Iterator<Item = &'a Line> {
        resources.iter().filter_map(|resource| self.by_resource.get(resource))
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
