//! One ordered connection to one primary, kept open for as long as the proxy runs.
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

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::yield_now;

use super::admission::{Admitted, admit};
use super::inbox::Inbox;
use super::operation;
use super::settings::Settings;
use super::status::PrimaryState;
use super::succession::Succession;
use crate::coordinator::{Entropy, SystemEntropy, Trouble};
use crate::limits::{LEFT_AT_ONCE, RECONNECT_FIRST, RECONNECT_LONGEST};

mod service;

use self::service::{Left, Service};

/// What keeps one link.
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
                Err(trouble) => {
                    self.shut(&trouble);
                    trouble
                }
            };
            let wait = match trouble {
                // It answers: look again as often as a voter is looked at.
                Trouble::Replica | Trouble::DuplicateOf(_) | Trouble::OfAnotherSet(_) => self.settings.probe_interval,
                _ => jittered(delay),
            };
            tokio::time::sleep(wait).await;
            delay = (delay * 2).min(RECONNECT_LONGEST);
        }
    }

    async fn open(&mut self) -> Result<Admitted, Trouble> {
        let limit = self.settings.connect_timeout;
        match tokio::time::timeout(limit, admit(&self.settings, self.inbox.clock, &mut self.succession)).await {
            Ok(admitted) => admitted,
            Err(_) => Err(Trouble::TimedOut(limit)),
        }
    }

    /// There is no connection: from here on nothing waits for one.
    fn shut(&self, trouble: &Trouble) {
        self.inbox.shut(trouble);
        self.tell(trouble);
        self.tried.send_replace(true);
        if let (Trouble::Replica, Some(vouching)) = (trouble, &self.settings.vouching) {
            vouching.is_replica(self.settings.node);
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
        let (client_id, run) = (admitted.client_id, admitted.run.clone());
        let mut service = Service::new(&self.settings, &self.inbox, &self.tried, admitted);
        self.inbox.open();
        // A bug in what one primary is told or answers must not take the others' links with it.
        let ended = AssertUnwindSafe(service.run()).catch_unwind().await;
        let trouble = ended.unwrap_or_else(|_| Trouble::Other("internal error".into()));
        let left = service.leave();
        if let Some(vouching) = &self.settings.vouching {
            vouching.lost(self.settings.node);
        }
        if !left.pipeline.is_empty() {
            self.succession.bury(client_id, &run);
        }
        self.shut(&trouble);
        self.settle(left, &trouble).await;
        trouble
    }

    /// Casts the votes that a lost connection still owes, and remembers its withdrawals.
    async fn settle(&self, left: Left, trouble: &Trouble) {
        let Left { mut pipeline, mut queue, again, refused } = left;
        // Whoever waits for a vote is told at once; they are those of the last `node_timeout_ms`.
        let mut silent = pipeline.lose(trouble);
        for queued in queue.take_awaited() {
            self.inbox.unsent(queued, trouble.clone());
        }
        for mut queued in again {
            silent += u64::from(operation::silent(&mut queued.operation, trouble.clone()));
            self.inbox.still_owed(&queued.operation);
        }
        self.inbox.status.unknown.add(silent);
        let mut rests = Rests::default();
        for queued in queue {
            self.inbox.unsent(queued, trouble.clone());
            rests.after_each().await;
        }
        for operation in pipeline.into_operations().chain(refused) {
            self.inbox.still_owed(&operation);
            rests.after_each().await;
        }
        self.inbox.set_unanswered(0);
    }
}

/// Lets others go on while much is done one after the other.
#[derive(Debug, Default)]
struct Rests {
    done: usize,
}

impl Rests {
    async fn after_each(&mut self) {
        self.done += 1;
        if self.done.is_multiple_of(LEFT_AT_ONCE) {
            yield_now().await;
        }
    }
}

/// Between half of `delay` and all of it: proxies that lost a primary together do not come back together.
pub(super) fn jittered(delay: Duration) -> Duration {
    let half = delay / 2;
    let range_micros = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
    half + Duration::from_micros(SystemEntropy.jitter() % range_micros.saturating_add(1))
}
