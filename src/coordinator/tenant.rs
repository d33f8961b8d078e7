//! A connection, as the locks that are bound to it know it: which they are, whether its client still speaks, what has
//! been lost.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::leases::{Bound, Held, Name};
use crate::lock::{Moment, Resource, Token};

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
    /// Lost ones, the oldest first, and whether anybody asks for them.
    lost: HashSet<Arc<Name>>,
    lost_in_order: VecDeque<Arc<Name>>,
    untold: Vec<Loss>,
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

    /// Whether this lock was bound to it and has been lost.
    pub fn has_lost(&self, resource: &Resource, token: &Token) -> bool {
        let state = self.lock();
        !state.lost.is_empty() && state.lost.contains(&Name { resource: resource.clone(), token: token.clone() })
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

    pub(super) fn unbind(&self, name: &Name) {
        self.lock().bound.remove(name);
    }

    pub(super) fn bound(&self) -> Vec<Arc<Held>> {
        self.lock().bound.iter().map(|bound| Arc::clone(&bound.0)).collect()
    }

    /// Remembers that a lock was lost, beside at most `most` others; tells it, if that was asked for.
    pub(super) fn lose(&self, name: &Name, notify: bool, most: usize) {
        let mut state = self.lock();
        let name = Arc::new(name.clone());
        if state.lost.insert(Arc::clone(&name)) {
            state.lost_in_order.push_back(Arc::clone(&name));
        }
        while state.lost_in_order.len() > most {
            // What it was has expired, or is answered by the primaries as anybody's.
            if let Some(oldest) = state.lost_in_order.pop_front() {
                state.lost.remove(&*oldest);
            }
        }
        if notify && state.untold.len() < most {
            state.untold.push(Loss { resource: name.resource.clone(), token: name.token.clone() });
            drop(state);
            self.bell.notify_one();
        }
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
    use bytes::Bytes;

    use super::*;

    fn name(number: usize) -> Name {
        let resource = Resource::new(Bytes::from_static(b"job"), 10).expect("a short name");
        Name { resource, token: Token::new(Bytes::from(format!("token {number}"))).expect("a token") }
    }

    #[test]
    fn as_many_lost_locks_are_remembered_as_may_be_held() {
        let tenant = Tenant::new(1, Moment::from_micros(0));
        (0..10).for_each(|number| tenant.lose(&name(number), number % 2 == 0, 4));
        let has_lost = |number: usize| tenant.has_lost(&name(number).resource, &name(number).token);
        assert_eq!((0..10).filter(|number| has_lost(*number)).collect::<Vec<_>>(), [6, 7, 8, 9]);
        tenant.lose(&name(6), false, 4);
        assert!(has_lost(6));
        let told: Vec<Token> = tenant.take_losses().into_iter().map(|loss| loss.token).collect();
        assert_eq!(told, [0, 2, 4, 6].map(|number| name(number).token));
        assert_eq!(tenant.take_losses(), []);
    }

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
