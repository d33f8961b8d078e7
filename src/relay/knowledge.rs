//! What is known of the upstream while no connection tells.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::OpenError;

/// Whether the upstream can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The last connection could be opened.
    Up,
    /// It could not, or none has been yet.
    Down,
}

/// Whether the upstream answers a connection that has shown no password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Nobody has asked since the proxy started.
    Unknown,
    /// It does.
    Nothing,
    /// It does not.
    Password,
}

#[derive(Debug)]
pub(super) struct Knowledge {
    up: watch::Sender<bool>,
    demand: AtomicU8,
    /// The last try that had to be given up: the next ones would take as long.
    silence: Mutex<Option<(Instant, OpenError)>>,
}

impl Default for Knowledge {
    fn default() -> Self {
        Self { up: watch::Sender::new(false), demand: AtomicU8::new(0), silence: Mutex::default() }
    }
}

impl Knowledge {
    /// Returns whether that is news.
    pub(super) fn reached(&self) -> bool {
        *self.silence.lock().unwrap_or_else(PoisonError::into_inner) = None;
        !self.up.send_replace(true)
    }

    /// Returns whether that is news.
    pub(super) fn missed(&self, error: &OpenError) -> bool {
        if error.is_silence() {
            *self.silence.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), error.clone()));
        }
        if error.demands_password() {
            self.note_demand(Demand::Password);
        }
        self.up.send_replace(false)
    }

    /// A connection has ended, which says that it may be away, not that it is.
    pub(super) fn lost(&self) {
        self.up.send_modify(|_| {});
    }

    /// Waits until something was missed or lost.
    pub(super) async fn missing(&self) {
        // The sender is in `self`.
        let _ = self.up.subscribe().changed().await;
    }

    /// The reason why a try would only take time, if one failed so a moment ago.
    pub(super) fn recent_silence(&self, within: Duration) -> Option<OpenError> {
        let silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        silence.as_ref().filter(|(at, _)| at.elapsed() < within).map(|(_, error)| error.clone())
    }

    pub(super) fn state(&self) -> State {
        if *self.up.borrow() { State::Up } else { State::Down }
    }

    pub(super) fn demand(&self) -> Demand {
        match self.demand.load(Ordering::Relaxed) {
            0 => Demand::Unknown,
            1 => Demand::Nothing,
            _ => Demand::Password,
        }
    }

    pub(super) fn note_demand(&self, demand: Demand) {
        let number = match demand {
            Demand::Unknown => return,
            Demand::Nothing => 1,
            Demand::Password => 2,
        };
        self.demand.store(number, Ordering::Relaxed);
    }
}
