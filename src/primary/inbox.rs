//! Where operations wait for a link's task: bounded, and shut while there is no connection.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::operation;
use super::pipeline::Queued;
use super::status::Status;
use crate::clock::Clock;
use crate::coordinator::{Operation, Trouble};
use crate::counters::Counters;
use crate::limits::OWED_AT_ONCE;
use crate::lock::{Moment, Resource, Token};

/// A compare-and-delete that must reach the primary sooner or later.
#[derive(Debug)]
pub(super) struct Withdrawal {
    pub(super) resource: Resource,
    pub(super) token: Token,
    /// When every record it could find has expired.
    pub(super) until: Moment,
    /// What is published behind it.
    pub(super) notice: Option<Bytes>,
}

impl Withdrawal {
    /// What an operation that came to nothing still owes: a release. In memory of its own, since it may be owed for long.
    pub(super) fn owed_by(operation: &Operation) -> Option<Self> {
        match operation {
            Operation::Release { resource, token, until, notice, .. } => {
                let (resource, token, notice) = (resource.detached(), token.detached(), notice.clone());
                Some(Self { resource, token, until: *until, notice })
            }
            _ => None,
        }
    }

    pub(super) fn into_operation(self) -> Operation {
        let Self { resource, token, until, notice } = self;
        Operation::Release { resource, token, until, notice, ticket: None }
    }
}

/// The sending side of one link.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    wake: Arc<Notify>,
    /// What the link has written and the server has not answered.
    unanswered: AtomicUsize,
    /// Most operations that are queued, unanswered or owed.
    capacity: usize,
    pub(super) status: Arc<Status>,
    pub(super) clock: Clock,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct State {
    /// Why nothing can be sent; `None` while the link is open.
    shut: Option<Trouble>,
    queue: VecDeque<Queued>,
    owed: VecDeque<Withdrawal>,
    /// How many of those, the first ones, were owed when the connection was opened.
    former: usize,
}

impl Inbox {
    pub(super) fn new(capacity: usize, status: Arc<Status>, clock: Clock, counters: Arc<Counters>) -> Self {
        Self {
            state: Mutex::new(State {
                shut: Some(Trouble::NotConnected),
                queue: VecDeque::new(),
                owed: VecDeque::new(),
                former: 0,
            }),
            wake: Arc::default(),
            unanswered: AtomicUsize::new(0),
            capacity,
            status,
            clock,
            counters,
        }
    }

    /// Queues the operation, or says at once why not. A release is owed in any case.
    pub(super) fn submit(&self, mut operation: Operation, timeout: Duration) {
        self.status.operations.increment();
        if matches!(operation, Operation::Release { .. }) {
            self.counters.withdrawals_pending.increment();
        }
        let refusal = {
            let mut state = self.lock();
            let trouble = match &state.shut {
                Some(trouble) => Some(trouble.clone()),
                None => (state.queue.len() + self.unanswered.load(Ordering::Relaxed) >= self.capacity)
                    .then_some(Trouble::Overloaded),
            };
            match trouble {
                None => {
                    let first = state.queue.is_empty();
                    let waited_for = !matches!(operation, Operation::Release { ticket: None, .. });
                    let deadline = waited_for.then(|| Instant::now() + timeout);
                    state.queue.push_back(Queued { operation, deadline, timeout });
                    drop(state);
                    if first {
                        self.wake.notify_one();
                    }
                    return;
                }
                Some(trouble) => {
                    self.owe(&mut state, &operation);
                    trouble
                }
            }
        };
        // Outside of the lock: the vote may wake a task, or end a round that submits withdrawals here.
        self.status.unsent.increment();
        operation::unsent(&mut operation, refusal);
    }

    /// Remembers what an operation still owes after it has come to nothing.
    pub(super) fn still_owed(&self, operation: &Operation) {
        self.owe(&mut self.lock(), operation);
    }

    /// A release has been answered, or nothing that it could delete lives any more.
    pub(super) fn settled(&self) {
        self.counters.withdrawals_pending.decrement();
    }

    /// The next of what was owed when the connection was opened, which goes before anything new; nothing when all of it
    /// has been taken.
    pub(super) fn take_former(&self) -> Vec<Withdrawal> {
        let mut state = self.lock();
        while state.former > 0 {
            let count = state.former.min(OWED_AT_ONCE);
            state.former -= count;
            let living = self.take_owed(&mut state, count);
            if !living.is_empty() {
                return living;
            }
        }
        Vec::new()
    }

    /// Moves everything queued behind `queue`. Some of what has come to be owed goes behind that, where the record that it
    /// is to delete may still wait to be set, as far as there is room.
    pub(super) fn take(&self, queue: &mut VecDeque<Queued>) {
        let mut state = self.lock();
        let taken = self.hand_over(&mut state, queue);
        let room = self.capacity.saturating_sub(taken).min(OWED_AT_ONCE);
        while room > 0 && !state.owed.is_empty() {
            let count = room.min(state.owed.len());
            let living = self.take_owed(&mut state, count);
            if !living.is_empty() {
                queue.extend(living.into_iter().map(|withdrawal| Queued::owed(withdrawal.into_operation())));
                break;
            }
        }
    }

    /// Whether there is more that is owed, and room for it.
    pub(super) fn may_take_owed(&self) -> bool {
        let state = self.lock();
        !state.owed.is_empty() && state.queue.len() + self.unanswered.load(Ordering::Relaxed) < self.capacity
    }

    /// So many of the first that are owed, where they go on taking room; without those that have nothing left to delete.
    fn take_owed(&self, state: &mut State, count: usize) -> Vec<Withdrawal> {
        let now = self.clock.now();
        let mut owed: Vec<_> = state.owed.drain(..count).collect();
        owed.retain(|withdrawal| withdrawal.until > now);
        (owed.len()..count).for_each(|_| self.settled());
        self.unanswered.fetch_add(owed.len(), Ordering::Relaxed);
        owed
    }

    /// Moves everything queued behind `queue`; what is owed stays here, where it is bounded.
    pub(super) fn take_queued(&self, queue: &mut VecDeque<Queued>) {
        self.hand_over(&mut self.lock(), queue);
    }

    /// Moves everything queued behind `queue`, where it goes on taking room. Returns how much is taken.
    fn hand_over(&self, state: &mut State, queue: &mut VecDeque<Queued>) -> usize {
        let moved = state.queue.len();
        let taken = self.unanswered.fetch_add(moved, Ordering::Relaxed) + moved;
        if queue.is_empty() {
            std::mem::swap(queue, &mut state.queue);
        } else {
            queue.append(&mut state.queue);
        }
        taken
    }

    /// From here on operations are queued.
    pub(super) fn open(&self) {
        let mut state = self.lock();
        state.shut = None;
        state.former = state.owed.len();
    }

    /// From here on operations are unsent for this reason, and so is what is queued.
    pub(super) fn shut(&self, trouble: &Trouble) {
        let queued = {
            let mut state = self.lock();
            state.shut = Some(trouble.clone());
            state.former = 0;
            let now = self.clock.now();
            let owed = state.owed.len();
            state.owed.retain(|withdrawal| withdrawal.until > now);
            (state.owed.len()..owed).for_each(|_| self.settled());
            std::mem::take(&mut state.queue)
        };
        for queued in queued {
            self.unsent(queued, trouble.clone());
        }
    }

    /// Gives up an operation that has not left; a release stays owed.
    pub(super) fn unsent(&self, mut queued: Queued, trouble: Trouble) {
        self.status.unsent.increment();
        self.still_owed(&queued.operation);
        operation::unsent(&mut queued.operation, trouble);
    }

    /// Gives up an operation that has not left within its time.
    pub(super) fn timed_out(&self, queued: Queued) {
        let trouble = Trouble::TimedOut(queued.timeout);
        self.unsent(queued, trouble);
    }

    /// What the link sleeps on, for others who have something for it.
    pub(super) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Waits until something has been queued, or somebody else woke the link.
    pub(super) async fn filled(&self) {
        self.wake.notified().await;
    }

    /// The link's task tells how much it has written that is unanswered.
    pub(super) fn set_unanswered(&self, unanswered: usize) {
        self.unanswered.store(unanswered, Ordering::Relaxed);
    }

    /// Queued and unanswered operations.
    pub(super) fn len(&self) -> usize {
        let queued = self.lock().queue.len();
        queued + self.unanswered.load(Ordering::Relaxed)
    }

    /// Whether nothing is queued, unanswered or owed.
    pub(super) fn is_drained(&self) -> bool {
        let state = self.lock();
        state.queue.is_empty() && state.owed.is_empty() && self.unanswered.load(Ordering::Relaxed) == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owe(&self, state: &mut State, operation: &Operation) {
        let Some(withdrawal) = Withdrawal::owed_by(operation) else { return };
        state.owed.push_back(withdrawal);
        if state.owed.len() > self.capacity {
            // The oldest has the least to live: what it would have deleted ends with its ttl.
            state.owed.pop_front();
            state.former = state.former.saturating_sub(1);
            self.settled();
        }
    }
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
