//! The locks of this proxy that are bound to connections: found by name, and by when they have to be looked at.
//!
//! This remembers and decides nothing: what holds is on the primaries. Each lock has a guard of its own, under which it is
//! renewed, put back and given up: what was submitted under it comes before a release that ends it. Beside the guard of
//! one lock, only that of the timers is taken.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashSet;
use tokio::sync::Notify;

use super::tenant::{Tenant, take_seat};
use crate::limits::RENEWAL_SLACK;
use crate::lock::{Lease, Moment, NodeSet, Packed, Resource, Token};

/// The right to bind one more lock to a connection, within the limits.
#[derive(Debug)]
pub struct Seat {
    taken: Arc<AtomicUsize>,
    tenant: Arc<Tenant>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        self.tenant.leave_seat();
    }
}

/// A lock that is bound to a connection.
#[derive(Debug)]
pub(super) struct Held {
    /// What it is found by. There are many of them, and they are looked at seldom: so it is packed.
    pub(super) name: Packed,
    pub(super) tenant: Arc<Tenant>,
    /// Whether its loss is told.
    pub(super) notify: bool,
    number: u64,
    /// Primaries that have turned out not to have run a `SET` of the token, as a mask. Beside the guard, since votes may
    /// be cast while it is held.
    refused: AtomicU16,
    state: Mutex<HeldState>,
}

#[derive(Debug)]
pub(super) struct HeldState {
    pub(super) lease: Lease,
    /// When its holder was told of it.
    pub(super) told: Moment,
    /// It is among those that the counters tell of.
    pub(super) is_counted: bool,
    /// Its place among the timers; the end of time when it has none.
    timed: Moment,
    seat: Option<Seat>,
}

impl Held {
    pub(super) fn lock(&self) -> MutexGuard<'_, HeldState> {
        // Nothing that runs under it panics.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.refused.load(Ordering::Relaxed) != 0 {
            state.lease.refused_at(NodeSet::from_bits(self.refused.swap(0, Ordering::Relaxed)));
        }
        state
    }

    /// Whether its holder certainly knows that nothing which it held before counts any more: it has spoken since, or there
    /// was nothing that could have been signed anew.
    pub(super) fn is_known(&self) -> bool {
        let state = self.lock();
        state.lease.signed().is_empty() || self.tenant.heard() > state.told
    }

    /// These primaries have not run the `SET` that they were sent.
    pub(super) fn refused_at(&self, nodes: NodeSet) {
        self.refused.fetch_or(nodes.bits(), Ordering::Relaxed);
    }
}

/// A lock in a set of them: the same name is the same lock.
#[derive(Debug)]
pub(super) struct Bound(pub(super) Arc<Held>);

impl Borrow<Packed> for Bound {
    fn borrow(&self) -> &Packed {
        &self.0.name
    }
}

impl Hash for Bound {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Bound {}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Leases {
    bound: DashSet<Bound>,
    /// How many are there, lost ones as well: who asks for one need not look for it where there is none.
    count: AtomicUsize,
    /// How many are bound or about to be.
    seats: Arc<AtomicUsize>,
    numbers: AtomicU64,
    timers: Mutex<BTreeMap<(Moment, u64), Arc<Held>>>,
    /// The first of the timers is another one.
    stirred: Notify,
}

impl Leases {
    /// A seat for one more lock of this connection; `None` when that would be more than `most` in all, or
    /// `most_of_tenant`.
    pub(super) fn reserve(&self, tenant: &Arc<Tenant>, most: usize, most_of_tenant: usize) -> Option<Seat> {
        if !take_seat(&self.seats, most) {
            return None;
        }
        if !tenant.take_seat(most_of_tenant) {
            self.seats.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Seat { taken: Arc::clone(&self.seats), tenant: Arc::clone(tenant) })
    }

    /// Binds a lock to the connection that has the seat.
    pub(super) fn bind(&self, name: Packed, lease: Lease, seat: Seat, notify: bool) -> Arc<Held> {
        let tenant = Arc::clone(&seat.tenant);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let state =
            Mutex::new(HeldState { lease, told: Moment::END, is_counted: false, timed: Moment::END, seat: Some(seat) });
        let held = Arc::new(Held { name, tenant, notify, number, refused: AtomicU16::new(0), state });
        held.tenant.bind(&held);
        self.count.fetch_add(1, Ordering::SeqCst);
        self.bound.insert(Bound(Arc::clone(&held)));
        held
    }

    /// A lock is over: nothing is done for it any more, and it takes no room among those that are held.
    pub(super) fn retire(&self, held: &Arc<Held>) {
        let seat = {
            let mut state = held.lock();
            self.set_timer_at(held, &mut state, None);
            state.seat.take()
        };
        drop(seat);
    }

    /// Nobody asks for it any more either.
    pub(super) fn forget(&self, held: &Arc<Held>) {
        if self.bound.remove(&held.name).is_some() {
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    pub(super) fn find(&self, resource: &Resource, token: &Token) -> Option<Arc<Held>> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        self.bound.get(&Packed::new(resource, token)).map(|bound| Arc::clone(&bound.0))
    }

    /// The lock is to be looked at when its lease says so.
    pub(super) fn set_timer(&self, held: &Arc<Held>, state: &mut HeldState) {
        let at = state.lease.next_look();
        self.set_timer_at(held, state, at);
    }

    /// The lock is to be looked at then, or not any more.
    pub(super) fn set_timer_at(&self, held: &Arc<Held>, state: &mut HeldState, at: Option<Moment>) {
        let at = at.unwrap_or(Moment::END);
        let mut timers = self.timers();
        let former = std::mem::replace(&mut state.timed, at);
        if former != Moment::END {
            timers.remove(&(former, held.number));
        }
        if at == Moment::END {
            return;
        }
        timers.insert((at, held.number), Arc::clone(held));
        if timers.first_key_value().is_some_and(|(first, _)| *first == (at, held.number)) {
            drop(timers);
            self.stirred.notify_one();
        }
    }

    /// When the first lock has to be looked at.
    pub(super) fn next(&self) -> Option<Moment> {
        self.timers().first_key_value().map(|((at, _), _)| *at)
    }

    /// If any lock has to be looked at by now, this one and those that have to be soon; at most so many.
    pub(super) fn take_due(&self, now: Moment, most: usize) -> Vec<Arc<Held>> {
        let mut timers = self.timers();
        let mut due = Vec::new();
        if timers.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
            let soon = now.after(RENEWAL_SLACK);
            while due.len() < most
                && let Some(first) = timers.first_entry().filter(|first| first.key().0 <= soon)
            {
                due.push(first.remove());
            }
        }
        due
    }

    /// Waits until the first timer is another one.
    pub(super) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    fn timers(&self) -> MutexGuard<'_, BTreeMap<(Moment, u64), Arc<Held>>> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
