//! Who came first to each proxy: nobody who came later may have the lock before a waiter that is still in line, and no
//! waiter is left without an answer when its time is over.

use std::sync::Arc;

use super::checker::Claim;
use super::network::{State, World};
use super::primary::Micros;

/// How long after its time a waiter may be answered: an attempt that is under way then is finished, and so are those of
/// which the answer to others depends.
const LATENESS: Micros = 400_000;

/// Everybody who stands in line.
#[derive(Debug, Default)]
pub(super) struct Order {
    asked: u64,
    waiting: Vec<Waiting>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    number: u64,
    proxy: usize,
    key: usize,
    until: Micros,
}

impl Order {
    /// The proxy has ended, and whoever stood in its lines with it.
    pub(super) fn forget(&mut self, proxy: usize) {
        self.waiting.retain(|waiting| waiting.proxy != proxy);
    }
}

/// An RLOCK from the moment when its proxy took it on, until it is answered or its future dropped.
pub(super) struct Asked {
    world: Arc<World>,
    number: u64,
    proxy: usize,
    key: usize,
}

impl Asked {
    /// `wait` of zero: it does not stand in line.
    pub(super) fn new(world: &Arc<World>, proxy: usize, key: usize, wait: Micros) -> Self {
        let number = world.with(|state| {
            let number = state.order.asked;
            state.order.asked += 1;
            if wait > 0 {
                state.order.waiting.push(Waiting { number, proxy, key, until: state.now + wait });
            }
            number
        });
        Self { world: Arc::clone(world), number, proxy, key }
    }

    /// It is answered. Who takes its own lock over need not stand in line for it.
    pub(super) fn answered(self, granted: bool, may_take_over: bool) {
        self.world.with(|state| {
            if granted && !may_take_over {
                self.check_order(state);
            }
            let own = state.order.waiting.iter().find(|waiting| waiting.number == self.number);
            if let Some(late_us) = own.and_then(|own| state.now.checked_sub(own.until + LATENESS)) {
                let what = format!("a waiter was answered {late_us} us after {LATENESS} us after its time");
                state.checker.violate(Claim::Overdue, self.key, what);
            }
        });
    }

    fn check_order(&self, state: &mut State) {
        let overtaken = state.order.waiting.iter().find(|waiting| {
            (waiting.proxy, waiting.key) == (self.proxy, self.key)
                && waiting.number < self.number
                // Who is told later what the line said when its time was over is not in line any more.
                && waiting.until > state.now
        });
        if let Some(overtaken) = overtaken {
            let what = format!("number {} had the lock before number {}", self.number, overtaken.number);
            state.checker.violate(Claim::Overtaken, self.key, what);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.world.with(|state| state.order.waiting.retain(|waiting| waiting.number != self.number));
    }
}
