//! The end of a connection.
//!
//! Closing a socket that has unread input resets the connection, and a reset can overtake and destroy what was written
//! last. So the proxy writes what it owes, says that nothing more comes, and reads on for a while, discarding.
//!
//! A client whose stream has ended may have half-closed, and wait for its answers, or be gone; the two look alike until
//! something is written. If it is gone, its system answers with a reset. A lock granted to such a client is therefore
//! not handed over at once: it stays [`Unconfirmed`] for that while, and is withdrawn if the connection breaks.

use std::io;

use bytes::BytesMut;
use tokio::io::Interest;
use tokio::time::timeout;

use super::lock_reply::LockReply;
use super::{Service, Session, Stage};
use crate::coordinator::Grant;
use crate::limits::LINGERING_CLOSE;
use crate::lock::Moment;
use crate::net::Socket;

/// Taken from the socket at a time when nothing of it is of use, in bytes.
const DISCARD_BYTES: usize = 4 * 1024;

/// Locks whose grants were written to a client of which it is not known whether it is there.
///
/// Dropped, they are handed over: a client that has read of its lock counts on it, whatever became of this task.
#[derive(Debug, Default)]
pub(super) struct Unconfirmed(Vec<Grant>);

impl Unconfirmed {
    pub(super) fn push(&mut self, grant: Grant) {
        self.0.push(grant);
    }

    /// The connection is broken: nobody was there.
    pub(super) fn withdraw(&mut self, service: &Service) {
        for grant in self.0.drain(..) {
            service.counters.rlock_abandoned.increment();
            drop(grant);
        }
    }
}

impl Drop for Unconfirmed {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Grant::hand_over);
    }
}

impl Service {
    /// Withdraws locks whose grants could not be delivered.
    pub(super) fn forget(&self, undelivered: impl IntoIterator<Item = LockReply>) {
        for grant in undelivered.into_iter().flat_map(LockReply::into_grants) {
            self.counters.rlock_abandoned.increment();
            drop(grant);
        }
    }

    /// Notes how long a grant took, from its request's reading to its reply's writing, if nothing but the proxy and its
    /// primaries can have held it up.
    pub(super) fn note_latency(&self, grant: &Grant, read_at: Option<Moment>) {
        if let Some(read_at) = read_at.filter(|_| grant.is_first_attempt()) {
            let now = self.clock.now();
            self.latency.record(u64::try_from(now.since(read_at).as_micros()).unwrap_or(u64::MAX), now);
        }
    }
}

impl Session {
    /// Waiting for this has ended: if for a failure only, no read or write will tell of it.
    pub(super) fn look_whether_lost(&mut self, interest: Option<Interest>) {
        if interest == Some(Interest::ERROR) {
            let error = self.socket.take_error().unwrap_or_else(Some);
            self.lose(&error.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into()));
        }
    }

    /// Writes what is owed, takes leave, and waits a while for the client to do the same.
    pub(super) async fn close(mut self: Box<Self>) {
        let mut through = self.through.take();
        let mut has_run = through.as_ref().is_none_or(|through| through.has_run_all());
        if let Some(through) = &mut through {
            self.take_over_replies(through);
        }
        let rest = std::mem::take(&mut self.input);
        let tenancy = self.tenancy.take();
        tenancy.lose();
        if has_run {
            tenancy.release_known();
        }
        let is_broken = !self.take_leave(tenancy.is_in_doubt()).await;
        if let Some(through) = through {
            has_run |= through.see_off(rest).await;
        }
        if has_run {
            tenancy.release_rest(is_broken);
        }
    }

    /// Returns whether the client has read all that it was told, as far as can be known: looked at when that is `asked`.
    async fn take_leave(mut self: Box<Self>, asked: bool) -> bool {
        while self.stage != Stage::Broken && !self.replies.is_empty() {
            let before = self.replies.unwritten_bytes();
            self.write();
            if self.replies.unwritten_bytes() >= before {
                // As long as it takes, if only some bytes go out each while.
                let room = timeout(LINGERING_CLOSE, self.socket.ready(Interest::WRITABLE)).await;
                if !matches!(room, Ok(Ok(()))) {
                    tracing::debug!("closing a client that does not read its last replies");
                    self.give_up();
                }
            }
        }
        if self.stage == Stage::Broken {
            return false;
        }
        // Behind the end of both streams no reset would be heard of.
        let heard = if asked && self.caller.has_left() { watch(&self.socket).await } else { Ok(()) };
        let stayed = match heard.and_then(|()| self.socket.shutdown_write()) {
            Ok(()) if self.caller.has_left() && self.unconfirmed.0.is_empty() => Ok(()),
            Ok(()) if self.caller.has_left() => watch(&self.socket).await,
            Ok(()) => timeout(LINGERING_CLOSE, discard(&mut self.socket)).await.unwrap_or(Ok(())),
            Err(error) => Err(error),
        };
        if let Err(error) = &stayed {
            tracing::debug!(%error, "the client was gone before its last replies came");
            self.unconfirmed.withdraw(&self.service);
        }
        stayed.is_ok()
    }
}

/// Waits whether the client, whose stream has ended, turns out to be gone.
async fn watch(socket: &Socket) -> io::Result<()> {
    let _ = timeout(LINGERING_CLOSE, socket.ready(Interest::ERROR)).await;
    socket.take_error()?.map_or(Ok(()), Err)
}

/// Reads, without any use for it, until the peer's stream ends.
pub(super) async fn discard(socket: &mut Socket) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(DISCARD_BYTES);
    loop {
        buffer.clear();
        match socket.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => tokio::task::yield_now().await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.ready(Interest::READABLE).await?;
            }
            Err(error) => return Err(error),
        }
    }
}
