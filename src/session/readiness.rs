//! What a session can do next, and what it has to wait for.

use std::future::pending;

use tokio::io::Interest;

use super::{Session, Stage};
use crate::net::Socket;

impl Session {
    /// Whether another request may be taken on: nothing is full.
    pub(super) fn may_take(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Ended)
            && self.reset.is_none()
            && self.in_flight < self.service.limits.pipeline_depth
            && self.replies.unwritten_bytes() <= self.service.limits.buffer_bytes
    }

    pub(super) fn wants_bytes(&self) -> bool {
        let has_room = match &self.through {
            // Whoever stands in line is read from up to the buffer's limit: only so its end is noticed.
            None => {
                (self.starved && self.may_take())
                    || (self.waiting > 0 && self.input.len() < self.service.limits.buffer_bytes)
            }
            // What is behind a closed gate is read as far as the buffer goes; what is open is passed on.
            Some(through) if self.starved => through.cleared() < self.service.limits.buffer_bytes,
            Some(_) => self.input.len() < self.service.limits.buffer_bytes,
        };
        match self.stage {
            Stage::Open => has_room,
            // What comes is of no use any more, but that nothing more comes is.
            Stage::Stopped => self.waiting > 0 && !self.caller.has_left(),
            Stage::Ended | Stage::Broken => false,
        }
    }

    /// Whether there is more to do without waiting for anything.
    pub(super) fn may_go_on(&self) -> bool {
        match &self.through {
            None => (!self.starved && self.may_take()) || (self.reset.is_some() && self.in_flight == 0),
            Some(through) => {
                through.is_stirred()
                    && (!self.starved || through.is_gate_closed())
                    && matches!(self.stage, Stage::Open | Stage::Ended)
            }
        }
    }

    /// What the socket is waited for; at least its failure, as long as something can be written to it.
    pub(super) fn interest(&self) -> Option<Interest> {
        let has_replies = self.through.as_ref().is_some_and(|through| self.replies.is_empty() && through.has_replies());
        let wants_room = self.stage != Stage::Broken && (self.replies.is_ready() || has_replies);
        match (self.wants_bytes(), wants_room) {
            (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            // It may break all the same.
            (false, false) => (self.stage != Stage::Broken).then_some(Interest::ERROR),
        }
    }

    /// Whether there is nothing left to run. What is left to write is written while closing.
    pub(super) fn is_over(&self) -> bool {
        self.in_flight == 0
            && match self.stage {
                Stage::Open => false,
                Stage::Ended => {
                    let is_finished = self.through.as_ref().is_none_or(|through| through.is_finished());
                    self.starved && self.reset.is_none() && self.replies.is_empty() && is_finished
                }
                Stage::Stopped | Stage::Broken => true,
            }
    }
}

/// Waits until the socket can go on. An error is not told here: it shows when the socket is used.
pub(super) async fn ready(socket: &Socket, interest: Option<Interest>) {
    match interest {
        Some(interest) => drop(socket.ready(interest).await),
        None => pending().await,
    }
}
