//! Connections that are of no use to anybody, and when they are closed.
//!
//! A client that waits for a lock or holds one that is bound to its connection is not idle, and one that neither sends nor reads is, whatever it is owed. The timer
//! is not set anew with every request: it runs out, looks when the connection was last of use, and sleeps for the rest.

use std::future::pending;
use std::pin::Pin;

use tokio::time::{Instant, Sleep};

use super::{Session, Stage};

impl Session {
    /// Something has come or has ended: the connection is of use.
    pub(super) fn touch(&mut self) {
        if self.idle_limit.is_some() {
            self.active_at = Instant::now();
        }
    }

    /// The idle timer has run out: closes the connection if it was idle all the time, else sets the timer anew.
    pub(super) fn look_whether_idle(&mut self, timer: &mut Option<Pin<Box<Sleep>>>) {
        let (Some(timer), Some(limit)) = (timer, self.idle_limit) else { return };
        let is_patient = self.through.as_ref().is_some_and(|through| through.is_patient());
        let is_of_use = is_patient || self.tenancy.has_locks();
        if self.in_flight > 0 || (is_of_use && !self.service.drain.has_begun()) {
            self.touch();
        }
        let due = self.active_at + limit;
        if due > Instant::now() {
            timer.as_mut().reset(due);
            return;
        }
        tracing::debug!("closing an idle client");
        if self.replies.is_empty() {
            self.stage = Stage::Stopped;
        } else {
            // It has not even read its replies.
            self.give_up();
        }
    }
}

/// Waits until the timer has run out; for ever without one.
pub(super) async fn expired(timer: &mut Option<Pin<Box<Sleep>>>) {
    match timer {
        Some(timer) => timer.await,
        None => pending().await,
    }
}
