//! The end of a connection to the upstream, from either side.
//!
//! When the upstream goes, all that lived in its connection goes with it: a selected database, a transaction, watched
//! keys. A client that went on would not know. So its connection is closed, behind what had come whole.
//!
//! When the client's stream ends, it may still wait for replies, and a server may drop what it has not run when its
//! client's stream ends. So our half towards the upstream is ended when nothing is owed any more; or when the upstream
//! itself waits, for a list to fill, on behalf of a client that is not there to be served.

use bytes::{Buf, BytesMut};
use tokio::io::Interest;
use tokio::time::{sleep, timeout};

use super::{Gate, Link, Through};
use crate::limits::{LINGERING_CLOSE, READ_AHEAD_BYTES};
use crate::session::mode::Standing;
use crate::session::{Session, Stage};

impl Session {
    /// The connection to the upstream has ended, or is of no use any more.
    pub(super) fn lose_upstream(&mut self, through: &mut Through) {
        if through.leaving.is_none() && through.mode.standing() != Standing::Closing {
            tracing::debug!("the upstream has ended the connection");
            through.upstreams.note_loss();
        }
        if through.in_part {
            // A reply that has begun to leave cannot be taken back: what has come of it follows. One that has not is dropped.
            through.whole = through.arrived.len();
        }
        self.take_over_replies(through);
        // Who ends its own half of the connection after ours has run what it ever will.
        let has_left = matches!(through.link, Link::Open(_)) && through.leaving.is_some();
        let in_doubt = !has_left && !through.has_run_all();
        if through.mode.standing() == Standing::Closing && !through.mode.owes() {
            self.tenancy.close();
        }
        through.link = Link::Lost { in_doubt };
        through.gate = Gate::Open;
        through.deadline = None;
        through.cleared = 0;
        through.question = BytesMut::new();
        through.arrived = BytesMut::new();
        (through.whole, through.scanned) = (0, 0);
        if matches!(self.stage, Stage::Open | Stage::Ended) {
            self.stage = Stage::Stopped;
            // Nobody stands in line for a connection that is to be closed.
            self.caller.call_off();
        }
    }

    /// Ends our half of the connection once a client that has ended its own has got what it is owed.
    pub(super) fn part(&mut self, through: &mut Through) {
        // What waits behind a command that blocks is not run when its client has ended, as no server would run it.
        let is_gate_hopeless = matches!(through.gate, Gate::Open | Gate::Resetting) && through.mode.is_blocked();
        let is_done = self.stage == Stage::Ended
            && (self.starved || is_gate_hopeless)
            && self.in_flight == 0
            && through.cleared == 0
            && through.question.is_empty()
            && (is_gate_hopeless || matches!(through.gate, Gate::Open | Gate::Reading(_) | Gate::Skipping));
        // A request of which the rest will never come is never answered.
        let is_owed =
            if through.delimiter.is_between_requests() { through.mode.owes() } else { through.mode.owes_before_last() };
        // Whoever lost count would wait for ever; where that can happen, a server runs all it has read before its end.
        let is_free = !is_owed
            || through.mode.has_lost_count()
            || through.mode.is_blocked()
            || through.mode.standing() == Standing::Raw;
        if let Link::Open(socket) = &through.link
            && is_done
            && is_free
            && through.leaving.is_none()
        {
            self.input.clear();
            self.starved = true;
            // If it fails, the connection is gone, which the next read tells.
            let _ = socket.shutdown_write();
            through.leaving = Some(Box::pin(sleep(LINGERING_CLOSE)));
        }
    }
}

impl Through {
    /// Whether a client whose stream has ended has nothing more to expect from the upstream.
    pub(in crate::session) fn is_finished(&self) -> bool {
        matches!(self.link, Link::Closed | Link::Lost { .. })
            && matches!(self.gate, Gate::Open | Gate::Reading(_) | Gate::Skipping)
            && self.whole == 0
    }

    /// The client is gone: what it had sent is sent on, and run, before the connection is closed. Returns whether that is
    /// certain.
    pub(in crate::session) async fn see_off(mut self: Box<Self>, mut rest: BytesMut) -> bool {
        rest.truncate(self.cleared);
        let Link::Open(_) = self.link else { return self.has_run_all() };
        // A server that takes longer is left with what it has.
        timeout(LINGERING_CLOSE, self.drain(rest)).await.unwrap_or(false)
    }

    /// Returns whether the server has ended the connection in order: it has run what it ever will.
    async fn drain(&mut self, mut rest: BytesMut) -> bool {
        let Link::Open(socket) = &mut self.link else { return true };
        let mut ended = false;
        loop {
            while let Ok(count @ 1..) = socket.try_write(&rest) {
                rest.advance(count);
            }
            let is_owed = self.mode.owes() && !self.mode.is_blocked() && self.mode.standing() != Standing::Raw;
            if rest.is_empty() && !is_owed && !ended {
                ended = true;
                if socket.shutdown_write().is_err() {
                    return false;
                }
            }
            self.arrived.clear();
            self.arrived.reserve(READ_AHEAD_BYTES);
            match socket.try_read(&mut self.arrived) {
                Ok(0) => return ended,
                Ok(_) => {
                    let mut bytes = &self.arrived[..];
                    while let Ok(scan) = self.scanner.scan(bytes)
                        && scan.consumed > 0
                    {
                        bytes = bytes.get(scan.consumed..).unwrap_or_default();
                        if let Some(kind) = scan.ended {
                            // What it says does not matter any more, only that it was said.
                            self.mode.answered(crate::session::mode::Glimpse { kind, bytes: &[] });
                        }
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    let interest =
                        if rest.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
                    if socket.ready(interest).await.is_err() {
                        return false;
                    }
                }
                Err(_) => return false,
            }
            tokio::task::yield_now().await;
        }
    }
}
