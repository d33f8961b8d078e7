//! The primaries: one ordered connection to each (or a few, by the key), and what is known of it.
//!
//! A [`Primary`] is the coordinator's `LockNode`. Its operations go to a link's inbox and from there, in order, over
//! the wire; `link` tells that story. Before a connection counts, `admission` asks who is at the other end, and
//! `control` what it can do; `dialect` is the answer. Nothing here decides about locks.

mod admission;
mod backlog;
mod census;
mod clock_watch;
mod control;
mod dialect;
mod encoding;
mod inbox;
mod incarnation;
mod link;
mod marker;
mod notice;
mod operation;
mod pipeline;
mod settings;
mod status;
mod succession;
mod trouble;
mod vouching;
mod wire;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::census::{Census, CensusRules, Errand, Look, Soundness, Tail};
pub use self::clock_watch::ClockReading;
pub use self::marker::{Epoch, Marker, MarkerState};
pub use self::notice::Listeners;
pub use self::status::PrimaryState;
pub use self::succession::Succession;
pub use self::vouching::Ceiling;

use self::inbox::Inbox;
use self::incarnation::Incarnations;
use self::link::Link;
use self::settings::Settings;
use self::status::Status;
use self::vouching::Vouching;
use crate::clock::Clock;
use crate::config::{Config, NewSet, Quarantine};
use crate::coordinator::{LockNode, Operation, WallClock};
use crate::counters::Counters;
use crate::lock::{Moment, NodeId, Resource};

/// How often a drain looks whether every withdrawal has been answered.
const DRAIN_LOOK: Duration = Duration::from_millis(5);

/// All primaries of the set. Their links live as long as this does.
#[derive(Debug)]
pub struct Primaries {
    all: Vec<Arc<Primary>>,
    tried: Vec<watch::Receiver<bool>>,
    ceiling: Ceiling,
    _lanes: JoinSet<()>,
}

/// One primary, as the coordinator submits to it.
#[derive(Debug)]
pub struct Primary {
    address: Arc<str>,
    node: NodeId,
    /// One for each link; a key always takes the same.
    inboxes: Vec<Arc<Inbox>>,
    vouching: Option<Arc<Vouching>>,
}

/// What is shown of a primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrimarySnapshot {
    pub address: String,
    pub state: PrimaryState,
    /// Since when.
    pub since: Moment,
    /// The server's name and version, as it said last.
    pub server: Option<String>,
    /// Its clock less the lower median of all that vote.
    pub clock_offset_ms: Option<i64>,
    /// For how long it is not to vote yet; zero when it is not quarantined.
    pub quarantine: Duration,
    /// What was wrong with it last.
    pub last_error: Option<String>,
    /// Median of the latest round trips.
    pub round_trip: Duration,
    /// Operations submitted since start.
    pub operations: u64,
    /// Of these, how many left and got no usable answer in time.
    pub unknown: u64,
    /// Of these, how many never left.
    pub unsent: u64,
    /// Connections opened after the first of each link.
    pub reconnects: u64,
    /// Queued and unanswered operations.
    pub queue: usize,
}

impl Primaries {
    /// Starts the links; they connect in the background.
    pub fn connect(config: &Config, clock: Clock, counters: &Arc<Counters>) -> Self {
        let addresses: Arc<[Arc<str>]> =
            config.primaries.iter().map(|endpoint| endpoint.address.to_string().into()).collect();
        let incarnations = Arc::new(Incarnations::new(addresses.len()));
        let vouching = (config.quarantine == Quarantine::Auto)
            .then(|| Arc::new(Vouching::new(census_rules(config), &config.key_prefix, Arc::clone(counters))));
        let ceiling = vouching.as_ref().map_or_else(|| Ceiling::new(config.max_ttl), |vouching| vouching.ceiling());
        // What is asked of one primary is asked of all: their links share a task, which is woken once for all of them.
        let lanes: Vec<_> = (0..config.links_per_primary).map(|_| FuturesUnordered::new()).collect();
        let mut tried = Vec::new();
        let mut primaries = Vec::new();
        for (node, endpoint) in config.quorum.nodes().zip(&config.primaries) {
            let settings = Settings {
                node,
                endpoint: endpoint.clone(),
                addresses: Arc::clone(&addresses),
                key_prefix: config.key_prefix.clone(),
                connect_timeout: config.connect_timeout,
                silence_timeout: config.silence_timeout,
                probe_interval: config.probe_interval,
                tcp: config.tcp,
                reply_nesting: config.limits.reply_nesting,
                counters: Arc::clone(counters),
                incarnations: Arc::clone(&incarnations),
                vouching: vouching.clone(),
            };
            let mut inboxes = Vec::new();
            for lane in &lanes {
                let capacity = config.limits.operations_per_primary.div_ceil(config.links_per_primary);
                let inbox =
                    Arc::new(Inbox::new(capacity, Arc::new(Status::new(clock.now())), clock, Arc::clone(counters)));
                if let Some(vouching) = &vouching {
                    vouching.wakes(inbox.wake());
                }
                let (told, first_try) = watch::channel(false);
                lane.push(Link::new(settings.clone(), Arc::clone(&inbox), told).run());
                inboxes.push(inbox);
                tried.push(first_try);
            }
            let (address, vouching) = (Arc::clone(&addresses[node.index()]), vouching.clone());
            primaries.push(Arc::new(Primary { address, node, inboxes, vouching }));
        }
        let in_task = |mut lane: FuturesUnordered<_>| async move { while lane.next().await.is_some() {} };
        let lanes = lanes.into_iter().map(in_task).collect();
        Self { all: primaries, tried, ceiling, _lanes: lanes }
    }

    /// The primaries in the order of configuration.
    pub fn nodes(&self) -> Vec<Arc<dyn LockNode>> {
        self.all.iter().map(|primary| Arc::clone(primary) as Arc<dyn LockNode>).collect()
    }

    pub fn snapshot(&self) -> Vec<PrimarySnapshot> {
        let now = self.all.first().map(|primary| primary.inboxes[0].clock.now());
        let voting = |now| self.all.iter().filter_map(move |primary| primary.voting_clock(now));
        let median = now.and_then(|now| WallClock::lower_median(voting(now)));
        self.all.iter().map(|primary| primary.snapshot(median)).collect()
    }

    /// The longest ttl that may be granted.
    pub fn ceiling(&self) -> Ceiling {
        self.ceiling.clone()
    }

    /// How many primaries may vote now.
    pub fn voting(&self) -> usize {
        self.all.iter().filter(|primary| primary.state() == PrimaryState::Up).count()
    }

    /// Waits until every link has tried to connect once.
    pub async fn settled(&self) {
        for tried in &self.tried {
            // An error means that the link's task is gone, and with it anything to wait for.
            let _ = tried.clone().wait_for(|tried| *tried).await;
        }
    }

    /// Waits until everything sent has been answered, and every withdrawal that is owed, too. A primary that cannot be
    /// reached may come back.
    pub async fn drained(&self) {
        while !self.all.iter().flat_map(|primary| &primary.inboxes).all(|inbox| inbox.is_drained()) {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    }
}

impl Primary {
    fn inbox(&self, resource: &Resource) -> &Inbox {
        match self.inboxes.as_slice() {
            [only] => only,
            several => {
                let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(resource);
                let index = usize::try_from(hash % several.len() as u64).unwrap_or(0);
                &several[index]
            }
        }
    }

    /// Up when every link is, else what is wrong with the first that is not.
    fn state(&self) -> PrimaryState {
        self.telling().state()
    }

    fn quarantine(&self, state: PrimaryState, now: Moment) -> Duration {
        let vouching = self.vouching.as_ref().filter(|_| state == PrimaryState::Quarantined);
        vouching.map_or(Duration::ZERO, |vouching| vouching::left(&vouching.soundness(self.node, now)))
    }

    /// The status that tells of the whole: of the first link that is not up, else of the first.
    fn telling(&self) -> &Status {
        let mut statuses = self.inboxes.iter().map(|inbox| &inbox.status);
        statuses.find(|status| status.state() != PrimaryState::Up).unwrap_or(&self.inboxes[0].status)
    }

    fn voting_clock(&self, now: Moment) -> Option<WallClock> {
        self.wall_clock(now).filter(|clock| clock.votes)
    }

    /// `median`: of the clocks of all that vote.
    fn snapshot(&self, median: Option<u64>) -> PrimarySnapshot {
        let statuses = || self.inboxes.iter().map(|inbox| &inbox.status);
        let (state, since) = self.telling().state_since();
        let now = self.inboxes[0].clock.now();
        PrimarySnapshot {
            address: self.address.to_string(),
            state,
            since,
            server: self.telling().server(),
            clock_offset_ms: self.voting_clock(now).zip(median).map(|(clock, median)| offset_ms(clock.micros, median)),
            quarantine: self.quarantine(state, now),
            last_error: self.telling().last_error(),
            round_trip: statuses().map(|status| status.round_trip()).max().unwrap_or_default(),
            operations: statuses().map(|status| status.operations.value()).sum(),
            unknown: statuses().map(|status| status.unknown.value()).sum(),
            unsent: statuses().map(|status| status.unsent.value()).sum(),
            reconnects: statuses().map(|status| status.reconnects.value()).sum(),
            queue: self.inboxes.iter().map(|inbox| inbox.len()).sum(),
        }
    }
}

fn census_rules(config: &Config) -> CensusRules {
    CensusRules {
        set: config.set_name.as_str().into(),
        quorum: config.quorum,
        max_ttl: config.max_ttl,
        drift: config.drift,
        node_timeout: config.node_timeout,
        probe_interval: config.probe_interval,
        silence_timeout: config.silence_timeout,
        at_once: (config.new_set == NewSet::AtOnce).then_some(config.connect_timeout * 2),
    }
}

/// How far one clock is ahead of the other, in whole milliseconds.
fn offset_ms(micros: u64, other: u64) -> i64 {
    let ahead = (i128::from(micros) - i128::from(other)) / 1_000;
    i64::try_from(ahead).unwrap_or(i64::MAX)
}

impl LockNode for Primary {
    fn address(&self) -> &str {
        &self.address
    }

    fn submit(&self, operation: Operation, timeout: Duration) {
        self.inbox(operation.resource()).submit(operation, timeout);
    }

    fn wall_clock(&self, now: Moment) -> Option<WallClock> {
        let mut clocks = self.inboxes.iter().filter_map(|inbox| inbox.status.wall_clock(now));
        let first = clocks.next()?;
        Some(std::iter::once(first).chain(clocks).find(|clock| clock.votes).unwrap_or(first))
    }
}
