//! The upstream: the server that answers every command that is not the proxy's own.
//!
//! A client gets a raw connection of its own, opened when it first needs one: transactions, subscriptions, the selected
//! database and blocked commands live in a connection, and no two clients may share them. [`Upstreams::open`] is the one
//! place where this is decided. A connection that plain commands of many clients share would be handed out there, and a
//! client be moved to its own when it does anything that leaves a trace; nothing else depends on it.
//!
//! Here is how a connection is opened, and what is known of the server while none is: whether it can be reached, and
//! whether it wants a password before it answers. What goes through a connection is the session's matter.

mod dial;
mod knowledge;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

pub use dial::{OpenError, Opened, Wishes};
pub use knowledge::{Demand, State};

use self::knowledge::Knowledge;
use crate::config::{Config, Endpoint, Tcp};
use crate::counters::Counters;
use crate::drain::Drain;
use crate::limits::{UPSTREAM_LOOK, UPSTREAM_REST};

/// The way to the upstream, shared by all sessions.
#[derive(Debug)]
pub struct Upstreams {
    endpoint: Endpoint,
    tcp: Tcp,
    connect_timeout: Duration,
    reply_nesting: usize,
    knowledge: Knowledge,
    counters: Arc<Counters>,
}

impl Upstreams {
    /// The way to the configured upstream; `None` when there is none.
    pub fn new(config: &Config, counters: &Arc<Counters>) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            endpoint: config.upstream.clone()?,
            tcp: config.tcp,
            connect_timeout: config.connect_timeout,
            reply_nesting: config.limits.reply_nesting,
            knowledge: Knowledge::default(),
            counters: Arc::clone(counters),
        }))
    }

    /// A connection for one client: the choice of it, see the module's documentation. It has said what `wishes` ask for,
    /// and been answered.
    pub async fn open(self: Arc<Self>, wishes: Wishes) -> Result<Opened, OpenError> {
        if let Some(error) = self.knowledge.recent_silence(UPSTREAM_LOOK + UPSTREAM_REST + self.connect_timeout) {
            return Err(error);
        }
        let dialled = timeout(self.connect_timeout, dial::dial(&self.endpoint, &self.tcp, &wishes, self.reply_nesting));
        let opened =
            dialled.await.unwrap_or_else(|_| Err(OpenError::silent(&self.endpoint.address, self.connect_timeout)));
        match &opened {
            Ok(opened) => {
                self.counters.relay_connections.increment();
                self.counters.relay_fences.add(u64::from(wishes.probe));
                if opened.admitted {
                    self.knowledge.note_demand(Demand::Nothing);
                }
                self.knowledge.reached();
            }
            Err(error) => {
                self.counters.relay_connect_failures.increment();
                self.knowledge.missed(error);
                tracing::debug!(%error, "cannot open a connection to the upstream");
            }
        }
        opened
    }

    /// What a connection says that has been reset, if credentials are configured: who it is, and which database it is in.
    pub fn introduction(&self) -> Vec<Vec<Vec<u8>>> {
        dial::introduction(&self.endpoint)
    }

    /// Whether it can be reached, as far as is known.
    pub fn state(&self) -> State {
        self.knowledge.state()
    }

    /// Whether it wants a password, as far as is known since the proxy started.
    pub fn demand(&self) -> Demand {
        self.knowledge.demand()
    }

    /// A connection that had shown no password was answered, or refused.
    pub fn note_demand(&self, demand: Demand) {
        self.knowledge.note_demand(demand);
    }

    /// A connection was lost.
    pub fn note_loss(&self) {
        self.knowledge.lost();
    }

    /// Finds out in the background whether the upstream is there, until the drain begins: once at the start, and when it
    /// was lost, until it is back. Clients do not depend on it; what INFO tells, and who may lock while the upstream is
    /// away, does.
    pub async fn look_after(self: Arc<Self>, drain: Drain) {
        let mut drained = std::pin::pin!(drain.begun());
        loop {
            let look = async {
                let looked =
                    timeout(self.connect_timeout, dial::look(&self.endpoint, &self.tcp, self.reply_nesting)).await;
                match looked.unwrap_or_else(|_| Err(OpenError::silent(&self.endpoint.address, self.connect_timeout))) {
                    Ok(demand) => {
                        if self.knowledge.reached() {
                            tracing::info!(address = %self.endpoint.address, "the upstream is there");
                        }
                        self.knowledge.note_demand(demand);
                        tokio::time::sleep(UPSTREAM_REST).await;
                        self.knowledge.missing().await;
                    }
                    Err(error) => {
                        if self.knowledge.missed(&error) {
                            tracing::warn!(%error, "the upstream is away");
                        }
                        tokio::time::sleep(UPSTREAM_LOOK).await;
                    }
                }
            };
            tokio::select! {
                () = &mut drained => return,
                () = look => {}
            }
        }
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
