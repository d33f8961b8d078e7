//! What all sessions share: the lock service behind them, the limits they keep, what they count.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::clients::Clients;
use crate::clock::Clock;
use crate::command::CommandLimits;
use crate::config::{Config, Limits, Secret, Tcp};
use crate::coordinator::Coordinator;
use crate::counters::Counters;
use crate::drain::Drain;
use crate::latency::Latency;
use crate::limits::{DRAIN_CLOSING, DRAIN_QUIET_FRACTION};
use crate::local::{Environment, Snapshot};
use crate::lock::Moment;
use crate::primary::Ceiling;
use crate::relay::Upstreams;

/// The proxy, as a session sees it.
pub struct Service {
    pub(crate) coordinator: Arc<Coordinator>,
    pub(crate) clock: Clock,
    pub(crate) counters: Arc<Counters>,
    pub(crate) clients: Arc<Clients>,
    /// A permit for each client that may be connected.
    pub(crate) seats: Arc<Semaphore>,
    pub(crate) latency: Latency,
    pub(crate) drain: Drain,
    /// How long a client that says nothing, and is owed nothing, is kept once the drain has begun.
    pub(crate) drain_quiet: Duration,
    /// How long any other is.
    pub(crate) drain_open: Duration,
    pub(crate) limits: Limits,
    command_limits: CommandLimits,
    /// The longest ttl that may be granted now.
    ceiling: Ceiling,
    pub(crate) tcp: Tcp,
    /// The way to the upstream; `None`: there is none, and locks only.
    pub(crate) upstreams: Option<Arc<Upstreams>>,
    password: Option<Secret>,
    facts: Facts,
    primaries: Box<dyn Fn() -> Snapshot + Send + Sync>,
}

/// What stands from the start on and is only told of.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When the proxy started.
    pub started: Moment,
    /// Random for every start, in hex digits.
    pub run_id: String,
    /// The first TCP port that is listened on; 0 when there is none.
    pub tcp_port: u16,
    /// Most clients at a time, as the descriptor limit allows.
    pub max_clients: usize,
    /// Most descriptors that the operating system allows this process.
    pub descriptor_limit: u64,
}

impl Service {
    /// A service over `coordinator`; `primaries` looks at what is behind it.
    pub fn new(
        config: &Config,
        coordinator: Arc<Coordinator>,
        counters: Arc<Counters>,
        drain: Drain,
        facts: Facts,
        ceiling: Ceiling,
        primaries: impl Fn() -> Snapshot + Send + Sync + 'static,
    ) -> Arc<Self> {
        let upstreams = Upstreams::new(config, &counters);
        let drain_quiet = config.shutdown_grace / DRAIN_QUIET_FRACTION;
        Arc::new(Self {
            clock: coordinator.clock(),
            coordinator,
            counters,
            clients: Clients::new(),
            seats: Arc::new(Semaphore::new(facts.max_clients)),
            latency: Latency::new(),
            drain,
            drain_quiet,
            drain_open: config.shutdown_grace.saturating_sub(DRAIN_CLOSING.min(drain_quiet)),
            limits: config.limits,
            command_limits: CommandLimits::new(config.limits.key_bytes, config.max_ttl, config.drift, config.max_wait),
            ceiling,
            tcp: config.tcp,
            upstreams,
            password: config.password.clone(),
            facts,
            primaries: Box::new(primaries),
        })
    }

    /// What holds for the arguments of lock commands now.
    pub(super) fn command_limits(&self) -> CommandLimits {
        CommandLimits { max_ttl: self.ceiling.ttl(), ..self.command_limits }
    }

    pub(super) fn asks_for_password(&self) -> bool {
        self.password.is_some()
    }

    /// The proxy at `now`, for one answer.
    pub(super) fn environment(&self, now: Moment) -> Environment<'_> {
        Environment {
            now,
            started: self.facts.started,
            run_id: &self.facts.run_id,
            process_id: std::process::id(),
            tcp_port: self.facts.tcp_port,
            max_clients: self.facts.max_clients,
            descriptor_limit: self.facts.descriptor_limit,
            limits: &self.limits,
            password: self.password.as_ref(),
            counters: &self.counters,
            clients: &self.clients,
            latency: &self.latency,
            upstream: self.upstreams.as_ref().map(|upstreams| upstreams.state()),
            primaries: &*self.primaries,
        }
    }
}
