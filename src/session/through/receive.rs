//! From the upstream to the client: replies are looked at only as far as their order and the mode demand.

use std::io::ErrorKind;

use bytes::Buf;

use super::{Gate, Link, Question, Through};
use crate::limits::{MERGED_REPLY_BYTES, OUTPUT_CHUNK_BYTES};
use crate::session::mode::{Fate, Glimpse, Standing};
use crate::session::{Session, Stage, buffers};

impl Session {
    /// Sends what is cleared, takes what has come, until both sides have to be waited for.
    pub(in crate::session) fn exchange(&mut self, through: &mut Through) {
        if self.send(through).is_err() {
            // What it said before may still be there.
            tracing::debug!("the upstream takes nothing more");
            (through.cleared, through.question) = (0, bytes::BytesMut::new());
            self.input.clear();
        }
        self.receive(through);
        self.part(through);
        let relayed = std::mem::take(&mut self.relayed);
        if relayed > 0 {
            self.service.counters.relay_commands.add(relayed);
        }
    }

    fn send(&mut self, through: &mut Through) -> std::io::Result<()> {
        let Link::Open(socket) = &through.link else { return Ok(()) };
        while through.cleared > 0 || !through.question.is_empty() {
            let bytes =
                if through.cleared > 0 { self.input.get(..through.cleared) } else { Some(&through.question[..]) };
            match socket.try_write(bytes.unwrap_or_default()) {
                Ok(count) => {
                    self.service.counters.relay_bytes_out.add(count as u64);
                    if through.cleared > 0 {
                        self.input.advance(count);
                        through.cleared -= count;
                        through.stirred |= through.cleared == 0;
                    } else {
                        through.question.advance(count);
                        through.stirred |= through.question.is_empty();
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive(&mut self, through: &mut Through) {
        let limit = self.service.limits.buffer_bytes;
        let ended = match &mut through.link {
            // Full: what is in it may go on in part by now.
            Link::Open(_) if through.arrived.len() >= limit => false,
            Link::Open(socket) if !socket.is_readable() => return,
            Link::Open(socket) => {
                buffers::make_room(&mut through.arrived, OUTPUT_CHUNK_BYTES.min(limit));
                match socket.try_read(&mut through.arrived) {
                    Ok(0) => true,
                    Ok(count) => {
                        self.service.counters.relay_bytes_in.add(count as u64);
                        self.touch();
                        false
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
                    Err(error) => {
                        tracing::debug!(%error, "the connection to the upstream has failed");
                        true
                    }
                }
            }
            Link::Lost { .. } => matches!(self.stage, Stage::Open | Stage::Ended),
            Link::Closed | Link::Opening(_) => return,
        };
        self.look_at_replies(through);
        if !matches!(through.gate, Gate::Resetting) && through.mode.take_reset() {
            self.connection.reset();
            self.tenancy.reset();
        }
        let version = through.mode.version();
        if version != self.connection.version() {
            self.connection.speak(version);
        }
        if ended {
            self.lose_upstream(through);
        }
    }

    fn look_at_replies(&mut self, through: &mut Through) {
        loop {
            if through.mode.standing() == Standing::Raw {
                through.whole = through.arrived.len();
                through.scanned = through.whole;
                return;
            }
            let rest = through.arrived.get(through.scanned..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            match through.scanner.scan(rest) {
                Ok(scan) => {
                    through.scanned += scan.consumed;
                    let Some(kind) = scan.ended else { break };
                    through.stirred = true;
                    self.look_at(through, kind);
                }
                Err(error) => {
                    tracing::debug!(%error, "what the upstream sends is not to be understood: it is passed on as it is");
                    through.mode.give_up();
                    if through.is_gate_closed() {
                        return self.lose_upstream(through);
                    }
                }
            }
        }
        if through.arrived.len() >= self.service.limits.buffer_bytes {
            self.make_way(through);
        }
    }

    /// A reply of this kind ends at `scanned`.
    fn look_at(&mut self, through: &mut Through, kind: u8) {
        let in_part = std::mem::take(&mut through.in_part);
        // Renewed if what is waited for is still to come: it does come.
        if !matches!(through.gate, Gate::Asking(_)) {
            through.deadline = None;
        }
        // A fence's own word is known wherever it comes, even if fewer replies came before it than were counted.
        let is_fenced = matches!(through.gate, Gate::Asking(Question::Fence { .. }));
        if kind != b'>' && !is_fenced && through.mode.expects_anything() {
            through.mode.answered_plainly();
            through.whole = through.scanned;
            return;
        }
        let bytes = through.arrived.get(through.whole..through.scanned).filter(|_| !in_part).unwrap_or_default();
        let passed = match &through.gate {
            Gate::Asking(Question::Fence { nonce, .. }) => is_echo(bytes, nonce),
            _ => false,
        };
        if passed {
            through.mode.passed_fence();
        } else if through.mode.answered(Glimpse { kind, bytes }) == Fate::Deliver {
            through.whole = through.scanned;
            if through.mode.is_out_of_step() {
                tracing::debug!("a lock command was not answered that should have been");
                self.lose_upstream(through);
            }
            return;
        }
        let behind = through.arrived.split_off(through.scanned);
        through.captured.extend_from_slice(through.arrived.get(through.whole..).unwrap_or_default());
        through.arrived.truncate(through.whole);
        through.arrived.unsplit(behind);
        through.scanned = through.whole;
        let answer = std::mem::take(&mut through.captured);
        self.answered(through, &answer, passed);
    }

    /// The buffer is full, and its last reply is not whole.
    fn make_way(&mut self, through: &mut Through) {
        let unfinished = through.arrived.get(through.whole..).unwrap_or_default();
        if unfinished.is_empty() {
            return;
        }
        if through.mode.expects_answer() && unfinished.first() != Some(&b'>') {
            through.captured.extend_from_slice(unfinished);
            through.arrived.truncate(through.whole);
            through.scanned = through.whole;
            if through.captured.len() > MERGED_REPLY_BYTES {
                tracing::warn!("the upstream's answer about its commands is too long");
                self.lose_upstream(through);
            }
        } else if self.replies.is_empty() {
            // It will not fit: what there is of it goes on, and nothing may come in between any more.
            through.whole = through.arrived.len();
            through.in_part = true;
        }
    }

    /// The upstream's replies that have not been written get their place in front of what is said now.
    pub(in crate::session) fn take_over_replies(&mut self, through: &mut Through) {
        if through.whole > 0 && self.stage != Stage::Broken {
            self.replies.push_bytes(through.arrived.get(..through.whole).unwrap_or_default());
            through.drop_front(through.whole);
        }
    }

    /// Gives back what memory is not needed while the session waits.
    pub(in crate::session) fn rest(&mut self) {
        if let Some(through) = &mut self.through {
            buffers::give_back(&mut self.input);
            buffers::give_back(&mut through.arrived);
        }
    }

    /// Writes what has come from the upstream, when nothing older is left.
    pub(in crate::session) fn write_relayed(&mut self, through: &mut Through) {
        if self.in_flight > 0 && through.whole > 0 && !through.in_part && !self.replies.is_empty() {
            // A lock command is under way, and the upstream owes nothing: these are pushes, which need not wait.
            self.replies.interject(through.arrived.get(..through.whole).unwrap_or_default());
            through.drop_front(through.whole);
            return;
        }
        if self.replies.is_empty() && through.arrived.len() >= self.service.limits.buffer_bytes {
            // What stood in front of a reply that does not fit may just have left.
            self.make_way(through);
        }
        while self.stage != Stage::Broken && through.whole > 0 && self.replies.is_empty() {
            match self.socket.try_write(through.arrived.get(..through.whole).unwrap_or_default()) {
                Ok(count) => through.drop_front(count),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
                Err(error) => return self.lose(&error),
            }
        }
    }
}

impl Through {
    /// So many bytes have left.
    fn drop_front(&mut self, count: usize) {
        self.arrived.advance(count);
        self.whole -= count;
        self.scanned -= count;
    }

    /// Whether something from the upstream waits to be written.
    pub(in crate::session) fn has_replies(&self) -> bool {
        self.whole > 0
    }
}

/// Whether this is the reply to an `ECHO` of the word.
fn is_echo(reply: &[u8], word: &[u8]) -> bool {
    reply.strip_prefix(b"$40\r\n").and_then(|rest| rest.strip_suffix(b"\r\n")) == Some(word)
}
