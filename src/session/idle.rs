//! Connections that are of no use to anybody, and when they are closed.
//!
//! A client that waits for a lock or holds one that is bound to its connection is not idle, and one that neither sends nor reads is, whatever it is owed. The timer
//! is not set anew with every request: it runs out, looks when the connection was last of use, and sleeps for the rest.
//!
//! When the proxy drains, the same timer brings every connection to its end: soon if it says nothing and is owed nothing,
//! and in the last part of the grace period whatever it does. So clients are closed between replies, and not cut off in
//! the middle of one when the grace is over.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::{Session, Stage};

/// How long a connection may be of no use before it is closed.
pub(super) struct Idle {
    limit: Option<Duration>,
    /// When it was last of any; kept up to date only where there is a limit.
    active_at: Instant,
    /// When it is closed whatever it does: the proxy is about to end.
    last_call: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        let timer = limit.map(|limit| Box::pin(sleep(limit)));
        Self { limit, active_at: Instant::now(), last_call: None, timer }
    }

    /// Waits until it is time to look; for ever where there is no limit.
    pub(super) async fn expired(&mut self) {
        match &mut self.timer {
            Some(timer) => timer.await,
            None => pending().await,
        }
    }

    fn reset(&mut self, due: Instant) {
        let due = self.last_call.map_or(due, |last_call| due.min(last_call));
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(due),
            None => self.timer = Some(Box::pin(tokio::time::sleep_until(due))),
        }
    }
}

impl Session {
    /// Something has come or has ended: the connection is of use.
    pub(super) fn touch(&mut self) {
        if self.idle.limit.is_some() {
            self.idle.active_at = Instant::now();
        }
    }

    /// A holder gets the chance to release; one that is silent is not waited for to the end.
    pub(super) fn begin_to_drain(&mut self) {
        let quiet = self.service.drain_quiet;
        let limit = self.idle.limit.map_or(quiet, |limit| limit.min(quiet));
        let now = Instant::now();
        self.idle.limit = Some(limit);
        self.idle.active_at = now;
        self.idle.last_call = Some(now + self.service.drain_open);
        self.idle.reset(now + limit);
    }

    /// The timer has run out: closes the connection if it was idle all the time, else sets the timer anew.
    pub(super) fn look_whether_idle(&mut self) {
        let Some(limit) = self.idle.limit else { return };
        let now = Instant::now();
        if self.idle.last_call.is_some_and(|last_call| last_call <= now) {
            tracing::debug!("closing a client: the grace period is nearly over");
            self.idle.timer = None;
            if self.stage != Stage::Broken {
                self.stage = Stage::Stopped;
            }
            return;
        }
        // What is to come unasked may come after the end as well; a reply may not.
        let is_draining = self.idle.last_call.is_some();
        let waits = |through: &super::Through| through.is_owed() || (!is_draining && through.is_patient());
        let holds = self.tenancy.has_locks() && !is_draining;
        if self.in_flight > 0 || holds || self.through.as_deref().is_some_and(waits) {
            self.touch();
        }
        let due = self.idle.active_at + limit;
        if due > now {
            self.idle.reset(due);
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
