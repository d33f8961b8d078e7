//! Requests of a client that has no upstream: taken off the read buffer, routed, answered or begun.
//!
//! What is answered where there is an upstream goes through the same hands, one request at a time.

use super::lock_reply::{Launch, shutting_down};
use super::{Session, Stage};
use crate::command::table::LocalCommand;
use crate::command::{LockCommand, Resources};
use crate::counters::ErrorKind as ErrorCounter;
use crate::limits::REQUESTS_PER_TURN;
use crate::local;
use crate::lock::Moment;
use crate::protocol::{ProtocolError, Reply, Request, RequestLimits};
use crate::router::{self, LocalRequest, Route, SessionMode};

impl Session {
    /// Runs the requests that have come whole, up to one turn's share.
    pub(super) fn run_requests(&mut self) {
        if let Some(reset) = self.reset.take_if(|_| self.in_flight == 0) {
            self.answer_locally(&reset);
        }
        if self.starved {
            return;
        }
        let now = self.service.clock.now();
        for _ in 0..REQUESTS_PER_TURN {
            if !self.may_take() {
                return;
            }
            let limits = self.request_limits();
            match self.decoder.decode(&mut self.input, &limits) {
                Ok(Some(request)) => self.take(request, now),
                Ok(None) => {
                    self.starved = true;
                    return;
                }
                Err(error) => return self.refuse_input(error),
            }
        }
    }

    fn take(&mut self, request: Request, now: Moment) {
        self.connection.client().touch(now);
        match router::route(request, self.connection.mode(), self.connection.version(), &self.service.command_limits())
        {
            Route::Lock(command) if command.takes() && self.service.drain.has_begun() => {
                self.reply(&shutting_down());
            }
            Route::Lock(LockCommand::Rprimaries) => self.reply(&local::primaries(&self.service.environment(now))),
            Route::Lock(command) => self.enter(command, now),
            // It gives up what the commands before it have taken.
            Route::Local(request) if request.command == LocalCommand::Reset && self.in_flight > 0 => {
                self.reset = Some(request);
            }
            Route::Local(request) => self.answer_locally(&request),
            Route::Refuse(error) => {
                self.service.counters.count_error(error.kind());
                self.reply(&error.into());
            }
            Route::Close => {
                tracing::debug!("not a client of ours: this is HTTP");
                self.stage = Stage::Stopped;
            }
        }
    }

    /// Answers what the proxy knows.
    pub(super) fn answer_locally(&mut self, request: &LocalRequest) {
        let now = self.service.clock.now();
        let answer = local::answer(request, &mut self.connection, &self.service.environment(now));
        if request.command == LocalCommand::Reset {
            self.tenancy.reset();
        }
        self.reply(&answer.reply);
        if answer.close {
            self.tenancy.close();
            self.stage = Stage::Stopped;
        }
    }

    /// Answers in the protocol that the connection speaks at this point of its requests.
    pub(super) fn reply(&mut self, reply: &Reply) {
        self.replies.push(self.connection.version(), reply);
    }

    /// A lock command gets its place among the replies, and begins unless one on its key is under way.
    pub(super) fn enter(&mut self, command: LockCommand, now: Moment) {
        self.in_flight += 1;
        if command.options().is_some_and(|options| options.session.is_some()) {
            self.tenancy.begin(self.connection.client().id(), now);
        }
        let reply = self.replies.reserve(self.connection.version());
        let waits = command.waits();
        let command = if waits { command.detached() } else { command };
        self.waiting += usize::from(waits);
        let resources = command.resources();
        let launch = Launch { reply, command, read_at: Some(now) };
        self.startable.extend(self.lanes.enter(resources, waits, launch));
    }

    /// The next lock command that may begin.
    pub(super) fn next_launch(&mut self) -> Option<Launch> {
        while let Some(launch) = self.startable.pop_front() {
            // A lock that nobody can be told of is not asked for. What was asked to be released is released.
            if self.stage != Stage::Broken || !launch.command.takes() {
                return Some(launch);
            }
            self.in_flight -= 1;
            self.waiting -= usize::from(launch.command.waits());
            self.leave_lanes(&launch.command.resources(), launch.command.waits());
        }
        None
    }

    pub(super) fn leave_lanes(&mut self, resources: &Resources, waited: bool) {
        let startable = &mut self.startable;
        self.lanes.leave(resources, waited, |next| startable.push_back(Launch { read_at: None, ..next }));
    }

    /// The input is no request, and nothing after it is: says so behind everything that is owed, then closes.
    pub(super) fn refuse_input(&mut self, error: ProtocolError) {
        tracing::debug!(%error, "closing a client that does not speak the protocol");
        self.service.counters.count_error(ErrorCounter::Protocol);
        self.reply(&Reply::Error(format!("ERR {error}").into()));
        self.stage = Stage::Stopped;
    }

    pub(super) fn request_limits(&self) -> RequestLimits {
        let limits = &self.service.limits;
        let unauthenticated = self.connection.mode() == SessionMode::Unauthenticated;
        let (elements, bulk_bytes) = if unauthenticated {
            (limits.unauthenticated_elements, limits.unauthenticated_bulk_bytes)
        } else {
            (limits.request_elements, limits.request_bytes)
        };
        RequestLimits { elements, bulk_bytes, request_bytes: limits.request_bytes, unauthenticated }
    }
}
