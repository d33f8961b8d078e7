//! One ordered connection to one primary, kept open by a task of its own.
//!
//! Everything queued since the last wake-up is written at once, in order, and the answers are counted in the same
//! order: on one primary, what was submitted first on a key takes effect first. What is written together is a batch;
//! whatever must vouch for its answers goes behind the batch's last operation.
//!
//! An operation ends in one of three ways. *Answered*: the server said what it did. *Silent*: the bytes left and no
//! usable answer came in time; it may have been done, and the connection keeps its place among the answers. *Unsent*:
//! the bytes never left, because there is no connection, the queue is full, or the round no longer wants it.
//!
//! A slow server keeps its connection, since a new one would lose the order; it is replaced only when nothing at all
//! has come for `silence_timeout_ms`, or when it breaks. The successor ends the former connection at the server, sends
//! the withdrawals that are owed, and only then takes new work.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::admission::{Admitted, admit, is_primary, unix_micros};
use super::dialect::Dialect;
use super::encoding::{self, Call};
use super::inbox::Inbox;
use super::operation;
use super::pipeline::{Event, Pipeline, Queued};
use super::settings::Settings;
use super::status::PrimaryState;
use super::succession::Succession;
use super::trouble::{classify, unexpected};
use super::wire::Wire;
use crate::coordinator::{Entropy, Operation, SystemEntropy, Trouble};
use crate::limits::{BATCH_BYTES, RECONNECT_FIRST, RECONNECT_LONGEST};
use crate::protocol::Answer;

/// The task that keeps one link.
pub(super) struct Link {
    settings: Settings,
    inbox: Arc<Inbox>,
    succession: Succession,
    /// Told once, after the first try to connect.
    tried: watch::Sender<bool>,
}

impl Link {
    pub(super) fn new(settings: Settings, inbox: Arc<Inbox>, tried: watch::Sender<bool>) -> Self {
        Self { settings, inbox, succession: Succession::default(), tried }
    }

    /// Connects, serves until the connection is lost, and begins again, for ever.
    pub(super) async fn run(mut self) {
        let mut delay = RECONNECT_FIRST;
        let mut opened_before = false;
        loop {
            let trouble = match self.open().await {
                Ok(admitted) => {
                    if std::mem::replace(&mut opened_before, true) {
                        self.inbox.status.reconnects.increment();
                    }
                    tracing::info!(primary = %self.settings.endpoint.address, run = admitted.run, "connected");
                    delay = RECONNECT_FIRST;
                    self.serve(admitted).await
                }
                Err(trouble) => trouble,
            };
            self.inbox.shut(&trouble);
            self.tell(&trouble);
            self.tried.send_replace(true);
            let wait = match trouble {
                // It answers: look again as often as a voter is looked at.
                Trouble::Replica | Trouble::DuplicateOf(_) => self.settings.probe_interval,
                _ => jittered(delay),
            };
            tokio::time::sleep(wait).await;
            delay = (delay * 2).min(RECONNECT_LONGEST);
        }
    }

    async fn open(&mut self) -> Result<Admitted, Trouble> {
        let limit = self.settings.connect_timeout;
        match tokio::time::timeout(limit, admit(&self.settings, &mut self.succession)).await {
            Ok(admitted) => admitted,
            Err(_) => Err(Trouble::TimedOut(limit)),
        }
    }

    /// Logs and shows why there is no connection; once for as long as the reason stays the same.
    fn tell(&self, trouble: &Trouble) {
        let status = &self.inbox.status;
        status.set_error(trouble.to_string());
        let state = PrimaryState::after(trouble);
        if status.state() == state {
            tracing::debug!(primary = %self.settings.endpoint.address, reason = %trouble, "still does not vote");
        } else {
            tracing::warn!(primary = %self.settings.endpoint.address, reason = %trouble, "this primary does not vote");
            status.set_state(state, self.inbox.clock.now());
        }
    }

    /// Serves one connection until it is lost, and settles what it leaves behind.
    async fn serve(&mut self, admitted: Admitted) -> Trouble {
        let Admitted { wire, client_id, run, dialect, time, server, eviction } = admitted;
        let now = self.inbox.clock.now();
        self.inbox.status.read_clock(time, now, now);
        let mut service = Service {
            settings: &self.settings,
            inbox: &self.inbox,
            wire,
            dialect,
            pipeline: Pipeline::new(dialect),
            queue: VecDeque::new(),
            again: Vec::new(),
            refused: Vec::new(),
            heard: Instant::now(),
            next_probe: Instant::now(),
        };
        self.inbox.status.set_server(server);
        if let Some(policy) = eviction {
            self.inbox.status.set_error(format!("may evict keys, and drops live locks when it does: {policy}"));
        }
        self.inbox.status.set_state(PrimaryState::Up, now);
        self.inbox.open();
        self.tried.send_replace(true);
        let trouble = service.run().await;
        let Service { pipeline, queue, again, refused, .. } = service;
        self.inbox.shut(&trouble);
        if !pipeline.is_empty() {
            self.succession.bury(client_id, &run);
        }
        for queued in queue {
            self.inbox.unsent(queued, trouble.clone());
        }
        let (mut operations, mut silent) = pipeline.lose(&trouble);
        for mut queued in again {
            silent += u64::from(operation::silent(&mut queued.operation, trouble.clone()));
            operations.push(queued.operation);
        }
        self.inbox.status.unknown.add(silent);
        operations.extend(refused);
        for operation in &operations {
            self.inbox.still_owed(operation);
        }
        self.inbox.set_unanswered(0);
        trouble
    }
}

/// One connection while it lives.
struct Service<'a> {
    settings: &'a Settings,
    inbox: &'a Inbox,
    wire: Wire,
    dialect: Dialect,
    pipeline: Pipeline,
    /// Taken from the inbox and not yet written.
    queue: VecDeque<Queued>,
    /// Operations whose script the server did not know.
    again: Vec<Queued>,
    /// Releases that the server could not carry out; tried again with the next probe.
    refused: Vec<Operation>,
    /// When the last answer came, or the first of the unanswered was written.
    heard: Instant,
    next_probe: Instant,
}

impl Service<'_> {
    async fn run(&mut self) -> Trouble {
        let timer = sleep_until(self.next_wake());
        tokio::pin!(timer);
        loop {
            if let Err(trouble) = self.write() {
                return trouble;
            }
            let wake = self.next_wake();
            if wake < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(wake);
            }
            let blocked = !self.wire.output.is_empty();
            let interest = if blocked { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            let going = tokio::select! {
                ready = self.wire.ready(interest) => ready.map_err(|_| Trouble::ConnectionLost).and_then(|()| self.read()),
                () = self.inbox.filled() => Ok(()),
                () = &mut timer => self.look_at_the_clock(),
            };
            if let Err(trouble) = going {
                return trouble;
            }
        }
    }

    /// Writes batch after batch, until nothing is queued or the socket has no room.
    fn write(&mut self) -> Result<(), Trouble> {
        loop {
            if self.wire.output.is_empty() {
                let idle = self.pipeline.is_empty();
                self.gather();
                if self.wire.output.is_empty() {
                    return Ok(());
                }
                if idle {
                    self.heard = Instant::now();
                }
            }
            self.wire.write()?;
            if !self.wire.output.is_empty() {
                // What is queued meanwhile waits, and its votes are cast in time by the clock.
                self.inbox.take_queued(&mut self.queue);
                self.count();
                return Ok(());
            }
        }
    }

    /// Encodes one batch: scripts to be sent again, then what is owed, then the probe, then what is queued.
    fn gather(&mut self) {
        for queued in std::mem::take(&mut self.again) {
            self.encode(queued, Call::Source);
        }
        let now = Instant::now();
        let probes = self.next_probe <= now;
        if probes {
            for release in std::mem::take(&mut self.refused) {
                self.inbox.still_owed(&release);
            }
        }
        self.inbox.take(&mut self.queue);
        if probes {
            self.next_probe = now + self.settings.probe_interval;
            encoding::encode_command(&[b"ROLE"], &mut self.wire.output);
            encoding::encode_command(&[b"TIME"], &mut self.wire.output);
            self.pipeline.push_probe(now, self.inbox.clock.now());
        }
        while self.wire.output.len() < BATCH_BYTES {
            let Some(queued) = self.queue.pop_front() else { break };
            if queued.is_due(now) {
                // A release stays owed, and comes back with the next batch.
                let timeout = queued.timeout;
                self.inbox.unsent(queued, Trouble::TimedOut(timeout));
            } else if operation::departs(&queued.operation) {
                self.encode(queued, Call::Digest);
            } else {
                self.inbox.unsent(queued, Trouble::NotConnected);
            }
        }
        self.count();
    }

    /// Tells the inbox how much there is that it does not see, so that what is full is full.
    fn count(&self) {
        self.inbox.set_unanswered(self.pipeline.len() + self.queue.len());
    }

    fn encode(&mut self, queued: Queued, call: Call) {
        encoding::encode(&queued.operation, self.dialect, call, &self.settings.key_prefix, &mut self.wire.output);
        self.pipeline.push(queued);
    }

    fn read(&mut self) -> Result<(), Trouble> {
        if !self.wire.read()? {
            return Ok(());
        }
        self.heard = Instant::now();
        while let Some(answer) = self.wire.answer()? {
            match self.pipeline.answered(answer, self.heard) {
                Event::Answered { release: true } => self.inbox.settled(),
                Event::Answered { release: false } | Event::Partly => {}
                Event::LateGrant => self.settings.counters.late_grants_undone.increment(),
                Event::SendSource(queued) => self.again.push(queued),
                Event::StillOwed(release) => self.refused.push(release),
                Event::Probed(role, round_trip) if is_primary(&role) => self.inbox.status.measure(round_trip),
                // It may well be a primary, and says what hinders it.
                Event::Probed(Answer::Error(error), _) => return Err(classify(&error)),
                Event::Probed(..) => return Err(Trouble::Replica),
                Event::Clock(answer, asked) => {
                    let micros = unix_micros(&answer).ok_or_else(unexpected)?;
                    self.inbox.status.read_clock(micros, asked, self.inbox.clock.now());
                }
                Event::Unasked => return Err(Trouble::Other("an answer to nothing that was asked".into())),
            }
        }
        self.count();
        Ok(())
    }

    fn look_at_the_clock(&mut self) -> Result<(), Trouble> {
        let now = Instant::now();
        self.inbox.status.unknown.add(self.pipeline.sweep(now));
        if !self.pipeline.is_empty() && now.duration_since(self.heard) >= self.settings.silence_timeout {
            return Err(Trouble::TimedOut(self.settings.silence_timeout));
        }
        // What waits for the socket to have room has not left when its time is over.
        for queued in std::mem::take(&mut self.queue) {
            if queued.is_due(now) {
                let timeout = queued.timeout;
                self.inbox.unsent(queued, Trouble::TimedOut(timeout));
            } else {
                self.queue.push_back(queued);
            }
        }
        self.count();
        Ok(())
    }

    /// When the clock must be looked at next.
    fn next_wake(&self) -> Instant {
        let blocked = !self.wire.output.is_empty();
        let silence = (!self.pipeline.is_empty()).then(|| self.heard + self.settings.silence_timeout);
        // While the socket has no room, the probe cannot be written and what is queued can run out of time.
        let probe = (!blocked).then_some(self.next_probe);
        let queued = blocked.then(|| self.queue.iter().filter_map(|queued| queued.deadline).min()).flatten();
        [silence, probe, queued, self.pipeline.earliest_deadline()]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.next_probe)
    }
}

/// Between half of `delay` and all of it: proxies that lost a primary together do not come back together.
pub(super) fn jittered(delay: Duration) -> Duration {
    let half = delay / 2;
    let range_micros = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
    half + Duration::from_micros(SystemEntropy.jitter() % range_micros.saturating_add(1))
}
