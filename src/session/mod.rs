//! One client's connection, from its first byte to the end of the last thing it began.
//!
//! A session is one task. Each turn of its loop takes what has come, begins what may begin, collects what has ended and
//! writes what may leave, in one write; then it waits until any of these can go on. What it decides, it decides in pure
//! pieces: the decoder says where a request ends, the router who answers it, `lanes` what may start, `reply_queue`
//! what leaves and when. The lock commands of a pipeline are futures of this one task, side by side.
//!
//! Two promises shape the rest. A lock command that has begun is never dropped half-way: the task stays until it has
//! ended, with or without a client. And a lock that was granted is somebody's or nobody's: its [`Grant`] is handed over
//! when the bytes of its reply have left, and withdraws itself on every other way out.
//!
//! Memory is bounded by not reading: a client that has too much in flight, or that does not read its replies, is not
//! read from until that has changed.

mod buffers;
mod closing;
mod door;
mod glimpse;
mod idle;
mod lanes;
mod lock_reply;
mod mode;
mod owed;
mod phase;
mod readiness;
mod reply_queue;
mod requests;
mod running;
mod service;
mod subscriptions;
mod tenancy;
mod through;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;

use bytes::BytesMut;
use tracing::Instrument;

pub(crate) use door::take_in;
pub use service::{Facts, Service};

use self::closing::Unconfirmed;
use self::idle::Idle;
use self::lanes::Lanes;
use self::lock_reply::{Finished, Launch, LockReply};
use self::readiness::ready;
use self::reply_queue::ReplyQueue;
use self::running::Running;
use self::tenancy::Tenancy;
use self::through::Through;
use crate::coordinator::Caller;
use crate::limits::{OUTPUT_CHUNK_BYTES, READ_AHEAD_BYTES};
use crate::local::Connection;
use crate::net::{Peer, Socket};
use crate::protocol::RequestDecoder;
use crate::router::LocalRequest;

#[cfg(doc)]
use crate::coordinator::Grant;

/// What the fuzz target `mode` runs.
#[cfg(fuzzing)]
pub fn follow_mode(script: &[u8]) {
    mode::model::follow(script);
}

/// Serves a client that has just connected, until its connection and everything it began have ended.
async fn serve(service: Arc<Service>, socket: Socket, peer: Peer) {
    // Moved as a pointer: a future keeps a place for each of the hands that a value goes through.
    let session = Box::new(Session::new(service, socket, &peer));
    let span = tracing::info_span!("client", id = session.connection.client().id(), %peer);
    async move {
        tracing::debug!("connected");
        session.run().await;
        tracing::debug!("closed");
    }
    .instrument(span)
    .await;
}

/// How far a connection's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Requests are read and run.
    Open,
    /// The client's stream has ended: what it sent before is run and answered.
    Ended,
    /// Nothing more is run; what is owed is finished and written.
    Stopped,
    /// Nothing can be written any more; what has begun is finished.
    Broken,
}

struct Session {
    service: Arc<Service>,
    socket: Socket,
    connection: Connection,
    stage: Stage,
    decoder: RequestDecoder,
    input: BytesMut,
    /// The decoder has looked at all of `input` and needs more.
    starved: bool,
    replies: ReplyQueue<LockReply>,
    lanes: Lanes<Launch>,
    /// Lock commands that may begin.
    startable: VecDeque<Launch>,
    /// Lock commands that were read and have not ended.
    in_flight: usize,
    /// Those of them that may stand in line.
    waiting: usize,
    caller: Arc<Caller>,
    /// Grants whose replies were written to a client whose stream had ended.
    unconfirmed: Unconfirmed,
    idle: Idle,
    /// The locks that are bound to the connection.
    tenancy: Tenancy,
    /// A RESET that waits for what is under way.
    reset: Option<LocalRequest>,
    /// The way to the upstream, where there is one.
    through: Option<Box<Through>>,
    /// Commands sent to it that were not counted yet.
    relayed: u64,
}

impl Session {
    fn new(service: Arc<Service>, socket: Socket, peer: &Peer) -> Self {
        // Both fail only on a connection that is gone already, which its first read tells as well.
        if let Err(error) = socket.configure(&service.tcp) {
            tracing::debug!(%peer, %error, "cannot set the options of the connection");
        }
        let local_address = socket.local_address().map(|address| address.to_string()).unwrap_or_default();
        let registration = service.clients.register(peer.to_string(), local_address, service.clock.now());
        Self {
            connection: Connection::new(registration, service.asks_for_password()),
            idle: Idle::new(service.limits.idle_timeout),
            through: service.upstreams.clone().map(|upstreams| Through::new(upstreams, &service.limits)),
            relayed: 0,
            tenancy: Tenancy::new(Arc::clone(&service.coordinator)),
            reset: None,
            service,
            socket,
            stage: Stage::Open,
            decoder: RequestDecoder::default(),
            input: BytesMut::new(),
            starved: true,
            replies: ReplyQueue::default(),
            lanes: Lanes::default(),
            startable: VecDeque::new(),
            in_flight: 0,
            waiting: 0,
            caller: Arc::default(),
            unconfirmed: Unconfirmed::default(),
        }
    }

    async fn run(mut self: Box<Self>) {
        let mut running = Running::new();
        let mut drain_begun = pin!(self.service.drain.begun());
        let mut draining = false;
        loop {
            self.read();
            self.take_requests();
            loop {
                while let Some(launch) = self.next_launch() {
                    let tenant = self.tenancy.tenant();
                    if launch.command.waits() {
                        running.stand(launch.stand_in_line(&self.service, &self.caller, tenant));
                    } else {
                        running.push(launch.execute(&self.service, &self.caller, tenant));
                    }
                }
                let Some(finished) = running.ended() else { break };
                self.finish(finished);
            }
            self.relay();
            self.tell_losses();
            self.write();
            if self.is_over() {
                break;
            }
            if self.may_go_on() {
                // Its turn is over, but not its requests.
                tokio::task::yield_now().await;
                continue;
            }
            self.rest();
            let interest = self.interest();
            tokio::select! {
                biased;
                finished = running.next() => self.finish(finished),
                () = ready(&self.socket, interest) => self.look_whether_lost(interest),
                () = self.tenancy.bereaved() => {}
                () = through::moved(self.through.as_mut(), self.service.limits.buffer_bytes) => {}
                () = &mut drain_begun, if !draining => {
                    draining = true;
                    self.begin_to_drain();
                }
                () = self.idle.expired() => self.look_whether_idle(),
            }
        }
        // In memory of its own, which is not kept ready from the connection's first byte on.
        Box::pin(self.close()).await;
    }

    /// Takes what has come from the socket, if there is use for it.
    fn read(&mut self) {
        if !self.wants_bytes() || !self.socket.is_readable() {
            return;
        }
        match &mut self.through {
            None => self.input.reserve(READ_AHEAD_BYTES.min(self.service.limits.buffer_bytes)),
            Some(_) => buffers::make_room(&mut self.input, OUTPUT_CHUNK_BYTES.min(self.service.limits.buffer_bytes)),
        }
        match self.socket.try_read(&mut self.input) {
            Ok(0) => {
                self.caller.leave();
                if self.stage == Stage::Open {
                    self.tenancy.close();
                    self.stage = Stage::Ended;
                }
            }
            // Read for the end of the stream, which whoever stands in line must not miss.
            Ok(_) if self.stage == Stage::Stopped => self.input.clear(),
            Ok(_) => {
                self.starved = false;
                self.touch();
                self.tenancy.hear();
                if let Some(through) = &mut self.through {
                    through.try_again();
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => {
                self.lose(&error);
            }
        }
    }

    /// Looks at what has come, and at what it waits for.
    fn take_requests(&mut self) {
        if let Some(mut through) = self.through.take() {
            if !self.starved || through.is_stirred() {
                self.forward(&mut through);
            }
            self.through = Some(through);
        } else {
            self.run_requests();
        }
    }

    /// Lets both directions of the way to the upstream advance.
    fn relay(&mut self) {
        if let Some(mut through) = self.through.take() {
            self.exchange(&mut through);
            self.through = Some(through);
        }
    }

    fn finish(&mut self, finished: Finished) {
        self.in_flight -= 1;
        self.waiting -= usize::from(finished.waited);
        self.touch();
        if let Some(through) = &mut self.through {
            through.stir();
        }
        self.leave_lanes(&finished.resources, finished.waited);
        if self.stage == Stage::Broken {
            self.service.forget(finished.settled.into_timed());
        } else {
            self.replies.settle(finished.reply, finished.settled);
        }
    }

    /// Writes what may leave, until nothing is left or the socket takes no more.
    fn write(&mut self) {
        while self.stage != Stage::Broken && self.replies.is_ready() {
            let now = self.service.clock.now();
            let bytes = self.replies.fill(now);
            let (length, written) = (bytes.len(), self.socket.try_write(bytes));
            let count = match written {
                Ok(count) => count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
                Err(error) => return self.lose(&error),
            };
            let Self { replies, service, unconfirmed, tenancy, caller, .. } = self;
            replies.wrote(count, |delivered| {
                if let LockReply::Granted { grant, read_at } = &delivered {
                    service.note_latency(grant, *read_at);
                }
                for grant in delivered.into_grants() {
                    // One that is bound is released with the connection.
                    if caller.has_left() && !grant.is_bound() {
                        unconfirmed.push(grant);
                    } else {
                        tenancy.hand_over(grant);
                    }
                }
            });
            if count < length {
                break;
            }
        }
        if let Some(mut through) = self.through.take() {
            self.write_relayed(&mut through);
            self.through = Some(through);
        }
        let unread = self.replies.unwritten_bytes();
        if unread > self.service.limits.output_buffer_bytes {
            self.service.counters.clients_closed_output_limit.increment();
            tracing::warn!(unread, "closing a client that does not read its replies: limits.output_buffer_bytes");
            self.give_up();
        }
    }

    /// The connection has failed.
    fn lose(&mut self, error: &io::Error) {
        tracing::debug!(%error, "the connection is lost");
        // Linux says so of a stream that had ended before: one that is cut off in its middle is reset.
        let had_ended = cfg!(target_os = "linux") && error.kind() == ErrorKind::BrokenPipe;
        if had_ended && self.stage == Stage::Open {
            self.tenancy.close();
        }
        self.unconfirmed.withdraw(&self.service);
        self.give_up();
    }

    /// Nothing can be written any more, or shall be: grants that were not delivered are withdrawn.
    fn give_up(&mut self) {
        self.stage = Stage::Broken;
        self.tenancy.lose();
        self.caller.leave();
        self.service.forget(self.replies.abandon());
        // So that the peer learns it now, and not when the last lock command has ended. It may be gone already.
        let _ = self.socket.shutdown();
    }
}

#[cfg(test)]
mod tests_support;

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
