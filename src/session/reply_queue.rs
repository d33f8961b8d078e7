//! The replies that one client is owed, in the order of its requests, whoever makes them and whenever.
//!
//! Most replies are known when their request is read; they are encoded there and then. A lock command's comes later,
//! and everything behind it waits: so the queue is a line of lock replies, each with the encoded bytes that follow it,
//! and in front of the line the bytes that may leave.
//!
//! A lock's validity shrinks while its reply waits for a slow client. The number is therefore made when the bytes are
//! handed to the socket: [`ReplyQueue::fill`] encodes, one write follows, and [`ReplyQueue::wrote`] takes back every
//! timed reply of which not one byte has left. Where nothing is left of a validity at that moment, the reply says so
//! instead, and the lock is given up.
//!
//! Pure: the time is an argument, bytes come out, and what has been delivered is handed to the caller.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};

use crate::limits::{OUTPUT_CHUNK_BYTES, RETAINED_BUFFER_BYTES};
use crate::lock::Moment;
use crate::protocol::{Reply, Version};

/// A reply that depends on when it is written.
pub(super) trait Timed {
    /// The reply at `now`; `None` when it is too late for it.
    fn reply(&self, now: Moment) -> Option<Reply>;

    /// Gives up what the reply would have told of, and says so.
    fn too_late(self) -> Reply;
}

/// How a lock command has ended.
#[derive(Debug)]
pub(super) enum Settled<T> {
    /// With a reply that is the same whenever it is written.
    Reply(Reply),
    /// With a reply that is made when it is written.
    Timed(T),
}

impl<T> Settled<T> {
    /// The timed reply, if it is one.
    pub(super) fn into_timed(self) -> Option<T> {
        match self {
            Self::Reply(_) => None,
            Self::Timed(timed) => Some(timed),
        }
    }
}

/// The place of a reply that is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReplyId(u64);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct ReplyQueue<T> {
    /// Encoded, in front of everything else.
    output: BytesMut,
    /// The timed replies in `output`, in their order. Between writes at most one: the one that has left in part.
    exposed: VecDeque<Exposed<T>>,
    /// The line behind `output`.
    line: VecDeque<Place<T>>,
    /// The id of the first place in `line`.
    first: u64,
    /// What is in `line`, in bytes: encoded replies, and the texts of errors.
    line_bytes: usize,
}

/// A timed reply that is encoded: it stands at `start..end` of the output.
#[derive(Debug)]
struct Exposed<T> {
    reply: T,
    version: Version,
    start: usize,
    end: usize,
    /// Some of its bytes have left in an earlier write.
    begun: bool,
}

/// A lock command's place in the line.
#[derive(Debug)]
struct Place<T> {
    /// The protocol version that was in force when its request was read.
    version: Version,
    /// `None` while the command is under way.
    settled: Option<Settled<T>>,
    /// The replies that follow, up to the next lock command's.
    behind: BytesMut,
}

impl<T> Default for ReplyQueue<T> {
    fn default() -> Self {
        Self { output: BytesMut::new(), exposed: VecDeque::new(), line: VecDeque::new(), first: 0, line_bytes: 0 }
    }
}

impl<T: Timed> ReplyQueue<T> {
    /// Queues a reply that is known.
    pub(super) fn push(&mut self, version: Version, reply: &Reply) {
        if let Some(last) = self.line.back_mut() {
            let before = last.behind.len();
            reply.encode(version, &mut last.behind);
            self.line_bytes += last.behind.len() - before;
        } else {
            reply.encode(version, &mut self.output);
        }
    }

    /// Queues replies that somebody else has encoded.
    pub(super) fn push_bytes(&mut self, replies: &[u8]) {
        if let Some(last) = self.line.back_mut() {
            last.behind.extend_from_slice(replies);
            self.line_bytes += replies.len();
        } else {
            self.output.extend_from_slice(replies);
        }
    }

    /// Puts whole messages in front of every reply that cannot leave yet. Between writes only.
    pub(super) fn interject(&mut self, messages: &[u8]) {
        self.output.extend_from_slice(messages);
    }

    /// The protocol that the client speaks where [`interject`](Self::interject) puts something, if that may be another
    /// than the connection's: that of the first lock command whose reply has not left.
    pub(super) fn front_version(&self) -> Option<Version> {
        self.line.front().map(|place| place.version)
    }

    /// Keeps the place of a lock command's reply.
    pub(super) fn reserve(&mut self, version: Version) -> ReplyId {
        let id = ReplyId(self.first + self.line.len() as u64);
        self.line.push_back(Place { version, settled: None, behind: BytesMut::new() });
        id
    }

    /// Fills a place that was kept; once each.
    pub(super) fn settle(&mut self, id: ReplyId, settled: Settled<T>) {
        let index = id.0.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let place = index.and_then(|index| self.line.get_mut(index)).filter(|place| place.settled.is_none());
        debug_assert!(place.is_some(), "{id:?} is no place that waits");
        if let Some(place) = place {
            self.line_bytes += text_bytes(&settled);
            place.settled = Some(settled);
        }
    }

    /// Encodes what may leave at `now`, up to about [`OUTPUT_CHUNK_BYTES`], and returns all that is to be written.
    /// [`wrote`](Self::wrote) must follow.
    pub(super) fn fill(&mut self, now: Moment) -> &[u8] {
        while self.output.len() < OUTPUT_CHUNK_BYTES && self.is_next_settled() {
            let Some(Place { version, settled: Some(settled), behind }) = self.line.pop_front() else { break };
            self.first += 1;
            self.line_bytes -= text_bytes(&settled) + behind.len();
            match settled {
                Settled::Reply(reply) => reply.encode(version, &mut self.output),
                Settled::Timed(timed) => self.expose(timed, version, now),
            }
            self.output.extend_from_slice(&behind);
        }
        &self.output
    }

    fn expose(&mut self, timed: T, version: Version, now: Moment) {
        if let Some(reply) = timed.reply(now) {
            let start = self.output.len();
            reply.encode(version, &mut self.output);
            self.exposed.push_back(Exposed { reply: timed, version, start, end: self.output.len(), begun: false });
        } else {
            timed.too_late().encode(version, &mut self.output);
        }
    }

    /// The socket took the first `count` bytes of what [`fill`](Self::fill) returned. Timed replies that have left
    /// whole are handed to `delivered`.
    pub(super) fn wrote(&mut self, count: usize, mut delivered: impl FnMut(T)) {
        let count = count.min(self.output.len());
        let whole = self.exposed.iter().take_while(|exposed| exposed.end <= count).count();
        self.exposed.drain(..whole).for_each(|exposed| delivered(exposed.reply));
        self.take_back(count);
        self.output.advance(count);
        if let Some(begun) = self.exposed.front_mut() {
            // The one that is left was cut in two: its number stays what it was.
            begun.begun = true;
            begun.start = 0;
            begun.end -= count;
        }
        if self.output.is_empty() && self.output.capacity() > RETAINED_BUFFER_BYTES {
            self.output = BytesMut::new();
        }
    }

    /// Returns to the line all that begins with the first timed reply of which nothing is in the output's first
    /// `count` bytes, nor has left before.
    fn take_back(&mut self, count: usize) {
        let kept = self.exposed.iter().take_while(|exposed| exposed.begun || exposed.start < count).count();
        for Exposed { reply, version, start, end, .. } in self.exposed.drain(kept..).rev() {
            let behind = self.output.split_off(end);
            self.output.truncate(start);
            self.line_bytes += behind.len();
            self.line.push_front(Place { version, settled: Some(Settled::Timed(reply)), behind });
            self.first -= 1;
        }
    }

    /// Whether nothing is owed.
    pub(super) fn is_empty(&self) -> bool {
        self.output.is_empty() && self.line.is_empty()
    }

    /// Whether there is something to write.
    pub(super) fn is_ready(&self) -> bool {
        !self.output.is_empty() || self.is_next_settled()
    }

    fn is_next_settled(&self) -> bool {
        self.line.front().is_some_and(|place| place.settled.is_some())
    }

    /// How many bytes wait to be written, except those of lock replies that have no bytes yet.
    pub(super) fn unwritten_bytes(&self) -> usize {
        self.output.len() + self.line_bytes
    }

    /// Gives up: nothing more will be written, and no place that was kept may be settled any more. Returns the timed
    /// replies that were not delivered.
    pub(super) fn abandon(&mut self) -> impl Iterator<Item = T> + use<T> {
        let given_up = std::mem::take(self);
        let exposed = given_up.exposed.into_iter().map(|exposed| exposed.reply);
        exposed.chain(given_up.line.into_iter().filter_map(|place| place.settled?.into_timed()))
    }
}

/// The part of a settled reply that may be long.
fn text_bytes<T>(settled: &Settled<T>) -> usize {
    match settled {
        Settled::Reply(Reply::Error(text)) => text.len(),
        _ => 0,
    }
}

#[cfg(test)]
#[path = "reply_queue_tests.rs"]
mod tests;
