//! A connection, as the locks that are bound to it know it: which they are, whether its client still speaks, what has
//! been lost.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::leases::{Bound, Held};
use crate::lock::{Moment, Packed, Resource, Token};

/// A lock that was lost, to be told to its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    pub resource: Resource,
    pub token: Token,
}

/// What locks are bound to: one connection.
#[derive(Debug)]
pub struct Tenant {
    /// The number of its client.
    client: u64,
    /// When something came from it last, in microseconds of [`Moment`]'s clock.
    heard: AtomicU64,
    /// A renewal was put off because it was silent.
    paused: AtomicBool,
    /// Its locks, and those that it is about to take.
    seats: AtomicUsize,
    state: Mutex<State>,
    /// There is a loss to be told.
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    bound: HashSet<Bound>,
    /// Those that were lost, the oldest first: whoever asks for them is told so as long as the connection lives.
    lost: VecDeque<Arc<Held>>,
    untold: Vec<Loss>,
    /// Its connection has ended.
    has_left: bool,
}

impl Tenant {
    /// The connection of the client with this number, which was heard just now.
    pub fn new(client: u64, now: Moment) -> Arc<Self> {
        Arc::new(Self {
            client,
            heard: AtomicU64::new(now.as_micros()),
            paused: AtomicBool::new(false),
            seats: AtomicUsize::new(0),
            state: Mutex::default(),
            bell: Notify::new(),
        })
    }

    /// The number of its client.
    pub fn client(&self) -> u64 {
        self.client
    }

    /// Whether a lock is bound to it, or about to be.
    pub fn has_locks(&self) -> bool {
        self.seats.load(Ordering::Relaxed) > 0
    }

    /// Waits until there is a loss to be told. Safe to cancel.
    pub async fn bereaved(&self) {
        self.bell.notified().await;
    }

    /// What is to be told and has not been: of those locks only whose holder asked for it.
    pub fn take_losses(&self) -> Vec<Loss> {
        std::mem::take(&mut self.lock().untold)
    }

    pub(super) fn heard(&self) -> Moment {
        Moment::from_micros(self.heard.load(Ordering::SeqCst))
    }

    /// Something has come from the client. True when a renewal waits for that.
    pub(super) fn hear(&self, now: Moment) -> bool {
        self.heard.store(now.as_micros(), Ordering::SeqCst);
        self.paused.swap(false, Ordering::SeqCst)
    }

    /// A renewal waits for the client to say something. What it has said meanwhile shows in [`heard`](Self::heard).
    pub(super) fn pause(&self) {
        self.paused.store(true, Ordering::SeqCst);
    }

    /// One lock more, if that is not more than `most`.
    pub(super) fn take_seat(&self, most: usize) -> bool {
        take_seat(&self.seats, most)
    }

    pub(super) fn leave_seat(&self) {
        self.seats.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn bind(&self, held: &Arc<Held>) {
        self.lock().bound.insert(Bound(Arc::clone(held)));
    }

    pub(super) fn unbind(&self, name: &Packed) {
        self.lock().bound.remove(name);
    }

    pub(super) fn bound(&self) -> Vec<Arc<Held>> {
        self.lock().bound.iter().map(|bound| Arc::clone(&bound.0)).collect()
    }

    /// Keeps a lock that was lost, beside at most `most` others; tells it, if that was asked for. Returns the one for which
    /// there is no room any more.
    pub(super) fn lose(&self, held: &Arc<Held>, most: usize) -> Option<Arc<Held>> {
        let mut state = self.lock();
        state.bound.remove(&held.name);
        if state.has_left {
            return Some(Arc::clone(held));
        }
        state.lost.push_back(Arc::clone(held));
        let forgotten = if state.lost.len() > most { state.lost.pop_front() } else { None };
        if held.notify && state.untold.len() < most {
            let (resource, token) = held.name.unpack();
            state.untold.push(Loss { resource, token });
            drop(state);
            self.bell.notify_one();
        }
        forgotten
    }

    /// The connection has ended: nobody asks for what was lost any more. Returns that.
    pub(super) fn leave(&self) -> VecDeque<Arc<Held>> {
        let mut state = self.lock();
        state.has_left = true;
        std::mem::take(&mut state.lost)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one more, if that is not more than `most`.
pub(super) fn take_seat(seats: &AtomicUsize, most: usize) -> bool {
    seats.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < most).then_some(taken + 1)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_as_many_as_there_are() {
        let tenant = Tenant::new(1, Moment::from_micros(0));
        assert!(tenant.take_seat(2) && tenant.take_seat(2) && !tenant.take_seat(2) && tenant.has_locks());
        tenant.leave_seat();
        assert!(tenant.take_seat(2));
        (0..2).for_each(|_| tenant.leave_seat());
        assert!(!tenant.has_locks());
    }
}
