//! The proxy as a whole: binds, connects to the primaries, takes clients in, and ends in good order.
//!
//! Whatever can make a start pointless is found out first: addresses that cannot be bound, a system without randomness.
//! The primaries need not be there: the proxy opens its doors when each link has had one try, and answers NOQUORUM
//! until a quorum has come.
//!
//! Sessions are tasks of the listener that took them in. One that panics ends alone; none is left behind when the
//! server ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource as Rlimit, Rlimit as Bounds, getrlimit, setrlimit};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};

use crate::clock::Clock;
use crate::config::{Address, Config};
use crate::coordinator::{Coordinator, Entropy, Rules, SystemEntropy};
use crate::counters::Counters;
use crate::drain::Drain;
use crate::limits::{ACCEPT_BACKOFF, LINGERING_CLOSE, RESERVED_DESCRIPTORS, TURNED_AWAY};
use crate::local::{PrimaryInfo, PrimaryState, Snapshot};
use crate::lock::Quorum;
use crate::net::{Listener, Peer, Socket};
use crate::primary::{self, Primaries};
use crate::session::{self, Facts, Service};

/// How often a failure to accept is logged at most.
const ACCEPT_LOG_INTERVAL: Duration = Duration::from_secs(1);

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
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for address in &config.listen {
            let failed = |reason| BindError { address: address.clone(), reason };
            let listener = Listener::bind(address).await.map_err(failed)?;
            addresses.push(listener.local_address().map_err(failed)?);
            listeners.push(listener);
        }
        let run_id = SystemEntropy.token_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
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
        let coordinator = Coordinator::new(primaries.nodes(), rules(&config), clock, entropy, Arc::clone(&counters));
        let look = snapshots(&config, &primaries, &drain);
        let service = Service::new(&config, coordinator, counters, drain.clone(), facts, look);

        let mut shutdown = std::pin::pin!(shutdown);
        // The first command should not meet links that have not even tried. Opening one has a timeout of its own.
        tokio::select! {
            _ = timeout(config.connect_timeout, primaries.settled()) => {}
            () = &mut shutdown => return,
        }
        let mut doors = JoinSet::new();
        for (listener, address) in listeners.into_iter().zip(&addresses) {
            tracing::info!(%address, "listening");
            doors.spawn(serve(Arc::clone(&service), listener));
        }
        tracing::info!(voting = primaries.voting(), of = config.quorum.total(), "primaries that may vote");
        shutdown.await;

        drain.begin();
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

fn tcp_port(address: &Address) -> Option<u16> {
    match address {
        Address::Tcp { port, .. } => Some(*port),
        Address::Unix(_) => None,
    }
}

fn rules(config: &Config) -> Rules {
    Rules {
        quorum: config.quorum,
        drift: config.drift,
        max_ttl: config.max_ttl,
        attempts: config.attempts,
        retry_delay: config.retry_delay,
        node_timeout: config.node_timeout,
    }
}

/// Looks at the primaries for INFO.
fn snapshots(
    config: &Config,
    primaries: &Arc<Primaries>,
    drain: &Drain,
) -> impl Fn() -> Snapshot + Send + Sync + use<> {
    let addresses: Vec<Address> = config.primaries.iter().map(|endpoint| endpoint.address.clone()).collect();
    let (primaries, drain, quorum) = (Arc::clone(primaries), drain.clone(), config.quorum);
    move || {
        let infos = addresses.iter().zip(primaries.snapshot()).map(|(address, snapshot)| PrimaryInfo {
            address: address.clone(),
            state: match snapshot.state {
                primary::PrimaryState::Up => PrimaryState::Up,
                primary::PrimaryState::Connecting => PrimaryState::Connecting,
                primary::PrimaryState::Down => PrimaryState::Down,
                primary::PrimaryState::Replica => PrimaryState::Replica,
                primary::PrimaryState::Duplicate => PrimaryState::Duplicate,
            },
            rtt_us: u64::try_from(snapshot.round_trip.as_micros()).unwrap_or(u64::MAX),
            operations: snapshot.operations,
            unknown: snapshot.unknown,
            unsent: snapshot.unsent,
            reconnects: snapshot.reconnects,
            queue: snapshot.queue as u64,
        });
        look(infos.collect(), quorum, &drain)
    }
}

fn look(primaries: Vec<PrimaryInfo>, quorum: Quorum, drain: &Drain) -> Snapshot {
    let voting = primaries.iter().filter(|primary| primary.state == PrimaryState::Up).count();
    Snapshot { primaries, voting, quorum, ready: voting >= quorum.needed() && !drain.has_begun() }
}

/// Lets this process have as many descriptors as the system lets it ask for; returns how many that are.
fn raise_descriptor_limit() -> u64 {
    let Bounds { current, maximum } = getrlimit(Rlimit::Nofile);
    if current != maximum && setrlimit(Rlimit::Nofile, Bounds { current: maximum, maximum }).is_err() {
        return current.unwrap_or(u64::MAX);
    }
    maximum.unwrap_or(u64::MAX)
}

/// How many clients there are descriptors for, at most as many as configured.
fn max_clients(config: &Config, descriptor_limit: u64) -> usize {
    // A link may be opened anew while its predecessor is being closed, with a connection beside it for its set-up.
    let links = config.primaries.len() as u64 * config.links_per_primary as u64 * 3;
    let room = usize::try_from(descriptor_limit.saturating_sub(RESERVED_DESCRIPTORS + links)).unwrap_or(usize::MAX);
    let clients = config.limits.connections.min(room.max(1));
    if clients < config.limits.connections {
        tracing::warn!(
            descriptor_limit,
            "limits.connections is lowered from {} to {clients}: raise the limit of open files (ulimit -n)",
            config.limits.connections
        );
    }
    clients
}

/// Takes clients in until the drain begins, then waits for them to leave. Ends them when it is dropped.
pub(crate) async fn serve(service: Arc<Service>, listener: Listener) {
    let mut sessions = JoinSet::new();
    let mut turned_away = JoinSet::new();
    let mut failures = AcceptFailures::default();
    let mut drain_begun = std::pin::pin!(service.drain.begun());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut drain_begun => break,
            Some(ended) = sessions.join_next() => {
                report(ended);
                continue;
            }
            Some(_) = turned_away.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                service.counters.total_connections_received.increment();
                if let Ok(seat) = Arc::clone(&service.seats).try_acquire_owned() {
                    let service = Arc::clone(&service);
                    sessions.spawn(async move {
                        session::serve(service, socket, peer).await;
                        drop(seat);
                    });
                } else {
                    service.counters.rejected_connections.increment();
                    service.counters.errors_limit.increment();
                    if turned_away.len() < TURNED_AWAY {
                        turned_away.spawn(turn_away(socket, peer));
                    }
                }
            }
            Err(error) => {
                service.counters.accept_errors.increment();
                if failures.note(&error) {
                    tokio::select! {
                        () = &mut drain_begun => break,
                        () = tokio::time::sleep(ACCEPT_BACKOFF) => {}
                    }
                }
            }
        }
    }
    drop(listener);
    while let Some(ended) = sessions.join_next().await {
        report(ended);
    }
}

/// Tells a client that there is no room for it. It may have sent something already, which has to be read, or the reset
/// that follows would overtake the reply.
async fn turn_away(mut socket: Socket, peer: Peer) {
    tracing::debug!(%peer, "no room for another client");
    let farewell = async {
        socket.try_write(b"-ERR max number of clients reached\r\n")?;
        socket.shutdown_write()?;
        session::discard(&mut socket).await
    };
    // Whether it got the message or not, it is gone now.
    let _ = timeout(LINGERING_CLOSE, farewell).await;
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a session ended by a bug; its connection is closed, its locks are left to their ttl");
    }
}

/// What went wrong with accepting, told once in a while.
#[derive(Debug, Default)]
struct AcceptFailures {
    logged_at: Option<Instant>,
    unlogged: u64,
}

impl AcceptFailures {
    /// Notes a failure; returns whether accepting should rest, because the next try will fail the same way.
    fn note(&mut self, error: &io::Error) -> bool {
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
            // The client was gone before it was its turn.
            return false;
        }
        self.unlogged += 1;
        if self.logged_at.is_none_or(|at| at.elapsed() >= ACCEPT_LOG_INTERVAL) {
            tracing::warn!(%error, failures = self.unlogged, "cannot take clients in");
            *self = Self { logged_at: Some(Instant::now()), unlogged: 0 };
        }
        true
    }
}
