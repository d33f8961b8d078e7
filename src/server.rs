//! The proxy as a whole: binds, connects to the primaries, takes clients in, and ends in good order.
//!
//! Whatever can make a start pointless is found out first: addresses that cannot be bound, a system without randomness.
//! The primaries need not be there: the proxy opens its doors when each link has had one try, and answers NOQUORUM
//! until a quorum has come.

use std::io;
use std::sync::Arc;

use rustix::process::{Resource as Rlimit, Rlimit as Bounds, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::{Address, Config};
use crate::coordinator::{Coordinator, Entropy, LineLimits, Rules, SessionRules, SystemEntropy};
use crate::counters::Counters;
use crate::drain::Drain;
use crate::limits::RESERVED_DESCRIPTORS;
use crate::local::Snapshot;
use crate::net::Listener;
use crate::primary::{Listeners, Primaries, PrimaryState};
use crate::session::{self, Facts, Service};

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct BindError {
    /// As it was configured.
    pub address: Address,
    /// What the system says.
    pub reason: io::Error,
}

/// A proxy that has its addresses and serves nobody yet.
#[derive(Debug)]
pub struct Server {
    config: Config,
    listeners: Vec<Listener>,
    addresses: Vec<Address>,
    clock: Clock,
    run_id: String,
    descriptor_limit: u64,
}

impl Server {
    /// Binds every address of the configuration.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let (listeners, addresses) = listen(&config.listen).await?;
        let run_id =
            SystemEntropy.token_bytes().iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"));
        Ok(Self {
            config,
            listeners,
            addresses,
            clock: Clock::System,
            run_id,
            descriptor_limit: raise_descriptor_limit(),
        })
    }

    /// Where clients reach it, in the order of configuration, with the ports that the system chose.
    pub fn local_addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Serves until `shutdown` resolves and everything under way has ended, or `shutdown_grace_ms` has passed after it.
    /// Dropped before, it ends at once.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { config, listeners, addresses, clock, run_id, descriptor_limit } = self;
        let counters = Arc::new(Counters::default());
        let drain = Drain::default();
        let facts = Facts {
            started: clock.now(),
            run_id,
            tcp_port: addresses.iter().find_map(tcp_port).unwrap_or(0),
            max_clients: max_clients(&config, descriptor_limit),
            descriptor_limit,
        };
        let primaries = Arc::new(Primaries::connect(&config, clock, &counters));
        let entropy = Arc::new(SystemEntropy);
        let rules = rules(&config, SystemEntropy.jitter());
        let coordinator = Coordinator::new(primaries.nodes(), rules, clock, entropy, Arc::clone(&counters));
        let _listeners = Listeners::start(&config, &coordinator);
        let mut keeper = JoinSet::new();
        // To the very end: clients get as much time as there is to come back through another proxy.
        keeper.spawn(Arc::clone(&coordinator).keep_leases());
        let look = snapshots(&config, &primaries, &drain);
        let service = Service::new(&config, coordinator, counters, drain.clone(), facts, primaries.ceiling(), look);

        let mut shutdown = std::pin::pin!(shutdown);
        // The first command should not meet links that have not even tried. Opening one has a timeout of its own.
        tokio::select! {
            _ = timeout(config.connect_timeout, primaries.settled()) => {}
            () = &mut shutdown => return,
        }
        let mut doors = JoinSet::new();
        if let Some(upstreams) = &service.upstreams {
            doors.spawn(Arc::clone(upstreams).look_after(drain.clone()));
        }
        for (listener, address) in listeners.into_iter().zip(&addresses) {
            tracing::info!(%address, "listening");
            doors.spawn(session::take_in(Arc::clone(&service), listener));
        }
        tracing::info!(voting = primaries.voting(), of = config.quorum.total(), "primaries that may vote");
        shutdown.await;

        drain.begin();
        service.coordinator.close_lines();
        tracing::info!(
            clients = service.clients.count(),
            withdrawals = service.counters.withdrawals_pending.value(),
            "draining: waiting for clients to leave and for releases to be answered"
        );
        let ended = timeout(config.shutdown_grace, async {
            while doors.join_next().await.is_some() {}
            primaries.drained().await;
        });
        if ended.await.is_err() {
            tracing::warn!(
                clients = service.clients.count(),
                withdrawals = service.counters.withdrawals_pending.value(),
                "the grace period is over before everything has ended: shutdown_grace_ms"
            );
        }
    }
}

/// Binds the addresses; returns with the listeners where they are.
async fn listen(configured: &[Address]) -> Result<(Vec<Listener>, Vec<Address>), BindError> {
    let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
    for address in configured {
        let failed = |reason| BindError { address: address.clone(), reason };
        let listener = Listener::bind(address).await.map_err(failed)?;
        addresses.push(listener.local_address().map_err(failed)?);
        listeners.push(listener);
    }
    Ok((listeners, addresses))
}

fn tcp_port(address: &Address) -> Option<u16> {
    match address {
        Address::Tcp { port, .. } => Some(*port),
        Address::Unix(_) => None,
    }
}

fn rules(config: &Config, sender: u64) -> Rules {
    Rules {
        quorum: config.quorum,
        drift: config.drift,
        max_ttl: config.max_ttl,
        attempts: config.attempts,
        retry_delay: config.retry_delay,
        node_timeout: config.node_timeout,
        lines: LineLimits { waiters: config.limits.waiters, waiters_per_key: config.limits.waiters_per_key },
        sender,
        sessions: SessionRules::new(config.session, &config.limits),
        fence_retention: config.fence_retention,
    }
}

/// Looks at the primaries for INFO.
fn snapshots(
    config: &Config,
    primaries: &Arc<Primaries>,
    drain: &Drain,
) -> impl Fn() -> Snapshot + Send + Sync + use<> {
    let (primaries, drain, quorum) = (Arc::clone(primaries), drain.clone(), config.quorum);
    move || {
        let primaries = primaries.snapshot();
        let voting = primaries.iter().filter(|primary| primary.state == PrimaryState::Up).count();
        Snapshot { primaries, voting, quorum, ready: voting >= quorum.needed() && !drain.has_begun() }
    }
}

/// Lets this process have as many descriptors as the system lets it ask for; returns how many that are.
fn raise_descriptor_limit() -> u64 {
    let Bounds { current, maximum } = getrlimit(Rlimit::Nofile);
    if current != maximum && setrlimit(Rlimit::Nofile, Bounds { current: maximum, maximum }).is_err() {
        return current.unwrap_or(u64::MAX);
    }
    maximum.unwrap_or(u64::MAX)
}

/// How many clients may be connected at a time.
fn max_clients(config: &Config, descriptor_limit: u64) -> usize {
    // The one by which a primary's notices are heard is no link, and takes as many.
    let links = config.primaries.len() * (config.links_per_primary + 1);
    let each = if config.upstream.is_some() { 2 } else { 1 };
    let clients = clients_with_room(config.limits.connections, each, links, descriptor_limit);
    if clients < config.limits.connections {
        tracing::warn!(
            descriptor_limit,
            "limits.connections is lowered from {} to {clients}: raise the limit of open files (ulimit -n)",
            config.limits.connections
        );
    }
    clients
}

/// As many of the `wanted` clients as there are descriptors for, `each` of which takes so many.
fn clients_with_room(wanted: usize, each: u64, links: usize, descriptor_limit: u64) -> usize {
    // A link may be opened anew while its predecessor is being closed, with a connection beside it for its set-up.
    let taken = RESERVED_DESCRIPTORS + 3 * links as u64;
    let room = usize::try_from(descriptor_limit.saturating_sub(taken) / each).unwrap_or(usize::MAX);
    wanted.min(room.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_clients_than_descriptors() {
        // One for each client; three for each of three primaries' links.
        assert_eq!(clients_with_room(10_000, 1, 3, 1_024), 1_024 - 96 - 9);
        assert_eq!(clients_with_room(10_000, 1, 3, 1_048_576), 10_000);
        assert_eq!(clients_with_room(10_000, 1, 3, u64::MAX), 10_000);
        assert_eq!(clients_with_room(10_000, 1, 3, 64), 1);
        // Two where there is an upstream.
        assert_eq!(clients_with_room(10_000, 2, 3, 1_024), (1_024 - 96 - 9) / 2);
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named_with_the_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("proxy.sock");
        let _taken = Listener::bind(&Address::Unix(path.clone())).await.expect("a fresh name");
        let error = listen(&[Address::Unix(path.clone())]).await.expect_err("it is taken");
        assert_eq!(
            error.to_string(),
            format!("cannot listen on unix:{}: Address already in use (os error 98)", path.display())
        );
    }
}
