//! One connection to a primary while it lives: batches out, answers in, votes cast.

use std::sync::Arc;

use tokio::io::Interest;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::super::admission::{Admitted, is_primary, unix_micros};
use super::super::backlog::Backlog;
use super::super::census::{Errand, Soundness, Tail};
use super::super::dialect::Dialect;
use super::super::encoding::{self, Call};
use super::super::inbox::Inbox;
use super::super::operation;
use super::super::pipeline::{Event, Pipeline, Queued};
use super::super::settings::Settings;
use super::super::status::PrimaryState;
use super::super::trouble::{classify, own_words, unexpected};
use super::super::vouching;
use super::super::wire::Wire;
use crate::coordinator::{Operation, Trouble};
use crate::limits::BATCH_BYTES;
use crate::protocol::Answer;

/// One connection while it lives.
pub(super) struct Service<'a> {
    settings: &'a Settings,
    inbox: &'a Inbox,
    /// Told once the first commands need not fear that the link is about to be usable.
    tried: &'a watch::Sender<bool>,
    wire: Wire,
    /// The process at the other end.
    run: String,
    dialect: Dialect,
    pipeline: Pipeline,
    /// Taken from the inbox and not yet written.
    queue: Backlog,
    /// Operations whose script the server did not know.
    again: Vec<Queued>,
    /// Releases that the server could not carry out; tried again with the next probe.
    refused: Vec<Operation>,
    /// When the last answer came, or the first of the unanswered was written.
    heard: Instant,
    next_probe: Instant,
    /// Whether the primary votes, as of the last look.
    soundness: Soundness,
    /// When there may be something to do about its marker; `None`: not before something happens.
    errand_at: Option<Instant>,
    /// Why the marker could not be written when that was tried last.
    unmarked: Option<Arc<str>>,
}

/// What a connection leaves behind.
pub(super) struct Left {
    pub(super) pipeline: Pipeline,
    pub(super) queue: Backlog,
    pub(super) again: Vec<Queued>,
    pub(super) refused: Vec<Operation>,
}

impl<'a> Service<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        inbox: &'a Inbox,
        tried: &'a watch::Sender<bool>,
        admitted: Admitted,
    ) -> Self {
        let Admitted { wire, client_id: _, run, dialect, time, server, eviction, soundness } = admitted;
        let (now, moment) = (Instant::now(), inbox.clock.now());
        let status = &inbox.status;
        status.read_clock(time, moment, moment);
        status.set_server(server);
        if let Some(policy) = eviction {
            status.set_error(format!("may evict keys, and drops live locks when it does: {policy}"));
        }
        let service = Self {
            settings,
            inbox,
            tried,
            wire,
            run,
            dialect,
            pipeline: Pipeline::new(dialect),
            queue: Backlog::default(),
            again: Vec::new(),
            refused: Vec::new(),
            heard: now,
            next_probe: now,
            soundness,
            errand_at: Some(now),
            unmarked: None,
        };
        service.tell();
        service
    }

    pub(super) fn leave(self) -> Left {
        let Self { pipeline, queue, again, refused, .. } = self;
        Left { pipeline, queue, again, refused }
    }

    pub(super) async fn run(&mut self) -> Trouble {
        let timer = sleep_until(self.next_wake());
        tokio::pin!(timer);
        loop {
            let more = match self.write() {
                Ok(more) => more,
                Err(trouble) => return trouble,
            };
            let wake = self.next_wake();
            if wake < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(wake);
            }
            let blocked = !self.wire.output.is_empty();
            let interest = if blocked { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            let going = tokio::select! {
                ready = self.wire.ready(interest) => ready.map_err(|_| Trouble::ConnectionLost).and_then(|()| self.read()),
                () = self.inbox.filled() => {
                    // While the server is at work, nothing is lost by letting everybody who is ready go first: what they
                    // have for it goes with the same write.
                    if !self.pipeline.is_empty() {
                        yield_now().await;
                    }
                    Ok(())
                }
                () = &mut timer => self.look_at_the_clock(),
                // Others have a turn between two batches.
                () = yield_now(), if more => Ok(()),
            };
            if let Err(trouble) = going {
                return trouble;
            }
        }
    }

    /// Writes what is left of a batch, or the next one. True when there is more that the socket may have room for.
    fn write(&mut self) -> Result<bool, Trouble> {
        let mut more = true;
        if self.wire.output.is_empty() {
            let idle = self.pipeline.is_empty();
            more = self.gather();
            if self.wire.output.is_empty() {
                return Ok(more);
            }
            if idle {
                self.heard = Instant::now();
            }
        }
        self.wire.write()?;
        if self.wire.output.is_empty() {
            return Ok(more);
        }
        // What is queued meanwhile waits, and its votes are cast in time by the clock.
        self.queue.fill(|queue| self.inbox.take_queued(queue));
        self.count();
        Ok(false)
    }

    /// Encodes one batch: scripts to be sent again, then the probe, then what is owed from former connections, or what is
    /// queued; and behind all of it, what vouches for the answers. True when there is more.
    fn gather(&mut self) -> bool {
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
        if probes {
            self.next_probe = now + self.settings.probe_interval;
            encoding::encode_command(&[b"ROLE"], &mut self.wire.output);
            self.pipeline.push_probe(now);
        }
        let former = self.inbox.take_former();
        let is_behind = !former.is_empty();
        if is_behind {
            for withdrawal in former {
                self.encode(Queued::owed(withdrawal.into_operation()), Call::Digest);
            }
            // What is new waits, and its votes are cast in time by the clock.
            self.queue.fill(|queue| self.inbox.take_queued(queue));
        } else {
            self.gather_queued(now);
        }
        self.run_errand(now);
        self.end_batch(probes);
        self.count();
        is_behind || !self.queue.is_empty() || self.inbox.may_take_owed()
    }

    /// Encodes what is queued, as much as fits into one batch.
    fn gather_queued(&mut self, now: Instant) {
        self.queue.fill(|queue| self.inbox.take(queue));
        while self.wire.output.len() < BATCH_BYTES {
            let Some(queued) = self.queue.next() else { break };
            if queued.is_due(now) {
                // A release stays owed, and comes back with the next batch.
                self.inbox.timed_out(queued);
            } else if operation::departs(&queued.operation) {
                self.encode(queued, Call::Digest);
            } else {
                self.inbox.unsent(queued, Trouble::NotConnected);
            }
        }
    }

    /// Does what there is to be done about the primary's marker.
    fn run_errand(&mut self, now: Instant) {
        let Some(vouching) = self.settings.vouching.as_deref().filter(|_| self.soundness != Soundness::Sound) else {
            return;
        };
        let moment = self.inbox.clock.now();
        self.errand_at = match vouching.errand(self.settings.node, moment) {
            Errand::Nothing => None,
            Errand::At(at) => Some(now + at.since(moment)),
            Errand::Write { found, marker } => {
                let words = String::from_utf8_lossy(&marker);
                if self.unmarked.is_none() {
                    tracing::info!(primary = %self.settings.endpoint.address, marker = %words, "marking");
                }
                vouching.encode_marking(found.as_ref(), &marker, &mut self.wire.output);
                self.pipeline.push_marking();
                None
            }
        };
    }

    /// Puts the questions behind a batch whose answers vouch for it; behind a probe at least that for the clock.
    fn end_batch(&mut self, probes: bool) {
        if !self.pipeline.is_gathering() {
            return;
        }
        let asked = self.inbox.clock.now();
        if let Some(vouching) = &self.settings.vouching {
            self.wire.output.extend_from_slice(vouching.encoded_tail());
            self.pipeline.push_clock(asked);
            self.pipeline.push_marker();
        } else if probes {
            encoding::encode_command(&[b"TIME"], &mut self.wire.output);
            self.pipeline.push_clock(asked);
        }
        self.pipeline.end_batch();
    }

    /// Tells the inbox how much there is that it does not see, so that what is full is full.
    fn count(&self) {
        let unfinished = self.again.len() + self.refused.len();
        self.inbox.set_unanswered(self.pipeline.len() + self.queue.len() + unfinished);
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
        // What is read behind its deadline came too late, whichever of the two was noticed first.
        if self.pipeline.earliest_deadline().is_some_and(|deadline| deadline <= self.heard) {
            self.inbox.status.unknown.add(self.pipeline.sweep(self.heard));
        }
        while let Some(answer) = self.wire.answer()? {
            match self.pipeline.answered(answer) {
                Ok(false) => {}
                Ok(true) => self.settle()?,
                Err(_) => return Err(Trouble::Other("an answer to nothing that was asked".into())),
            }
        }
        self.count();
        Ok(())
    }

    /// All answers of a batch have come: decides whether they count, and casts the votes.
    fn settle(&mut self) -> Result<(), Trouble> {
        let wrong = self.vouch()?;
        while let Some(event) = self.pipeline.settle(wrong.as_ref(), self.heard) {
            match event {
                Event::Answered { release: true } => self.inbox.settled(),
                Event::Answered { release: false } | Event::Noted => {}
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
                Event::NotMarked(error) => {
                    let reason = own_words(&error);
                    self.inbox.status.set_error(format!("the marker cannot be written: {reason}"));
                    // Tried again and again, told once for as long as the reason stays the same.
                    if self.unmarked.as_ref() != Some(&reason) {
                        tracing::warn!(primary = %self.settings.endpoint.address, %reason, "the marker cannot be written");
                    }
                    self.unmarked = Some(reason);
                }
            }
        }
        Ok(())
    }

    /// What is wrong with the answers of the batch that has come back; nothing, when they count.
    fn vouch(&mut self) -> Result<Option<Trouble>, Trouble> {
        let (Some(vouching), Some(answers)) = (self.settings.vouching.as_deref(), self.pipeline.tail()) else {
            return Ok(None);
        };
        let look = vouching::look(&answers, self.inbox.clock.now())?;
        let tail = vouching.tail(self.settings.node, &self.run, &look);
        let (soundness, wrong) = match tail {
            Tail::Counts => (Soundness::Sound, None),
            Tail::Quarantined(amnesia, left) if left.is_zero() => {
                // It has just ended: what was asked within it does not count.
                (vouching.soundness(self.settings.node, look.clock.answered), Some(Trouble::Quarantined(amnesia, left)))
            }
            Tail::Quarantined(amnesia, left) => {
                (Soundness::Quarantined(amnesia, left), Some(Trouble::Quarantined(amnesia, left)))
            }
            Tail::Foreign(set) => return Err(Trouble::OfAnotherSet(set)),
            Tail::Elsewhere => return Err(Trouble::ConnectionLost),
            Tail::Superseded => {
                (vouching.soundness(self.settings.node, look.clock.answered), Some(Trouble::ConnectionLost))
            }
        };
        let was = std::mem::replace(&mut self.soundness, soundness);
        if std::mem::discriminant(&was) != std::mem::discriminant(&self.soundness) || !*self.tried.borrow() {
            self.tell();
        }
        if self.soundness == Soundness::Sound {
            self.unmarked = None;
        } else if self.errand_at.is_none() {
            self.errand_at = Some(self.heard);
        }
        Ok(wrong)
    }

    /// Shows and logs whether the primary votes.
    fn tell(&self) {
        let (status, now, address) = (&self.inbox.status, self.inbox.clock.now(), &self.settings.endpoint.address);
        let is_being_founded =
            self.settings.vouching.as_deref().is_some_and(|vouching| vouching.may_found(self.settings.node));
        match &self.soundness {
            Soundness::Sound => {
                if status.state() == PrimaryState::Quarantined {
                    tracing::info!(primary = %address, "votes");
                }
                status.set_state(PrimaryState::Up, now);
            }
            Soundness::Quarantined(amnesia, left) => {
                if !is_being_founded {
                    let for_ms = left.as_millis();
                    tracing::warn!(primary = %address, reason = %amnesia, for_ms, "this primary is quarantined: it may have forgotten locks");
                    status.set_error(format!("quarantined: {amnesia}"));
                }
                status.set_state(PrimaryState::Quarantined, now);
            }
            Soundness::Foreign(_) => {}
        }
        if !is_being_founded {
            self.tried.send_replace(true);
        }
    }

    fn look_at_the_clock(&mut self) -> Result<(), Trouble> {
        let now = Instant::now();
        self.inbox.status.unknown.add(self.pipeline.sweep(now));
        if !self.pipeline.is_empty() && now.duration_since(self.heard) >= self.settings.silence_timeout {
            return Err(Trouble::TimedOut(self.settings.silence_timeout));
        }
        // What waits for the socket to have room has not left when its time is over.
        self.queue.take_due(now).into_iter().for_each(|queued| self.inbox.timed_out(queued));
        self.count();
        Ok(())
    }

    /// When the clock must be looked at next.
    fn next_wake(&self) -> Instant {
        let blocked = !self.wire.output.is_empty();
        let silence = (!self.pipeline.is_empty()).then(|| self.heard + self.settings.silence_timeout);
        // While the socket has no room, the probe cannot be written and what is queued can run out of time.
        let probe = (!blocked).then_some(self.next_probe);
        let errand = self.errand_at.filter(|_| !blocked && self.soundness != Soundness::Sound);
        [silence, probe, errand, self.queue.earliest_deadline(), self.pipeline.earliest_deadline()]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.next_probe)
    }
}
