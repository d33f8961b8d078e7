//! What a world is made of: all of it follows from the seed, and from the one rule that a canary breaks.

use std::time::Duration;

use redlock_proxy::coordinator::{LineLimits, Rules, SessionRules};
use redlock_proxy::limits::MAX_TTL_MS_DEFAULT;
use redlock_proxy::lock::{Drift, Quorum, Ttl};

use super::canaries::Canary;
use super::client::LONGEST_TTL_MS;
use super::forgetting::Forgetting;
use super::link::Link;
use super::primary::{Micros, Primary};
use super::vouching;
use crate::common::Random;

/// In parts per million of the ttl: the default.
const DRIFT_PPM: u32 = 10_000;

/// How clients go about it, and the network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How many clients in a hundred give an owner's name.
    pub(super) owners: u64,
    /// How many acquisitions in a hundred ask for a fencing number.
    pub(super) fenced: u64,
    /// How many times in a hundred a lock may be held for longer than its validity, and the longest time otherwise.
    pub(super) long_holds: u64,
    pub(super) hold_us: Micros,
    /// Of a hundred who were refused, how many wait for the moment at which the lock may be free; the others ask again
    /// within that time.
    pub(super) lies_in_wait: u64,
    pub(super) retry_us: Micros,
    pub(super) ttls_ms: [u64; 4],
    pub(super) node_timeout_ms: u64,
    /// How many messages in a hundred are late by a little, whatever the weather.
    pub(super) late_messages: u64,
}

pub(super) const ORDINARY: Pace = Pace {
    owners: 70,
    fenced: 50,
    long_holds: 40,
    hold_us: 40_000,
    lies_in_wait: 50,
    retry_us: 60_000,
    ttls_ms: [300, 300, 1_000, LONGEST_TTL_MS],
    node_timeout_ms: 40,
    late_messages: 0,
};

impl Pace {
    /// What nobody asks for a longer ttl than.
    pub(super) fn longest_ttl_ms(&self) -> u64 {
        self.ttls_ms.into_iter().max().expect("there are some")
    }
}

/// Many short locks on end, each with a number: a whole one may go by while the commands of another are on their way.
const HASTY: Pace = Pace {
    owners: 20,
    fenced: 100,
    long_holds: 3,
    hold_us: 100,
    lies_in_wait: 0,
    retry_us: 1_000,
    ttls_ms: [LONGEST_TTL_MS; 4],
    node_timeout_ms: 110,
    late_messages: 10,
};

/// Owners only, and a network that is late now and then by what a client does not wait for: they take their own locks over
/// through two proxies at once.
const IMPATIENT: Pace = Pace { owners: 100, node_timeout_ms: 110, late_messages: 10, ..ORDINARY };

/// Short locks only: what a primary has forgotten is known to be over within a storm.
const FORGETFUL: Pace = Pace { ttls_ms: [300, 500, 1_000, 1_000], ..ORDINARY };

/// A kind of worlds in which other things happen than in most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Haste,
    Impatience,
    Forgetfulness(Forgetting),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) canary: Option<Canary>,
    pub(super) total: usize,
    pub(super) quorum: Quorum,
    pub(super) proxies: usize,
    pub(super) keys: usize,
    pub(super) clients: usize,
    /// Clients whose locks are bound to their connections.
    pub(super) sessions: usize,
    /// How many commands in a hundred their clients do not wait for patiently.
    pub(super) impatience: u64,
    pub(super) pace: Pace,
    /// By how much proxies may be wrong about a primary's clock.
    pub(super) clock_error: Micros,
    /// The mean time between two misfortunes.
    pub(super) misfortune_every: Micros,
    /// Clients besides these that wait in line for their locks.
    pub(super) waiters: usize,
    /// How many notices in a hundred are lost.
    pub(super) notice_loss: u64,
    /// Whether primaries forget, and proxies ask whether they have.
    pub(super) forgetting: Option<Forgetting>,
    /// How often an idle link looks whether they have.
    pub(super) probe_interval: Micros,
}

impl Plan {
    pub(super) fn new(seed: u64, canary: Option<Canary>) -> Self {
        let mut random = Random::stream(seed, 2);
        let total = random.pick(&[3, 3, 4, 5, 5]);
        let needed = total / 2 + 1 + usize::from(random.percent(10));
        let sound = Quorum::new(needed, total).expect("a majority, and never more than all");
        let half = Quorum::unsound(u8::try_from(total / 2).expect("small"), u8::try_from(total).expect("small"));
        let mut plan = Self {
            seed,
            canary,
            total,
            quorum: if canary == Some(Canary::QuorumOfHalf) { half } else { sound },
            proxies: random.pick(&[2, 2, 3]),
            keys: random.pick(&[1, 2, 2]),
            clients: random.pick(&[3, 4, 5]),
            sessions: Random::stream(seed, 5).pick(&[0, 1, 2]),
            impatience: random.pick(&[20, 50, 80]),
            clock_error: random.pick(&[1_000, 20_000, 1_000_000]),
            misfortune_every: random.pick(&[30_000, 100_000, 300_000]),
            waiters: random.pick(&[0, 0, 3, 8]),
            notice_loss: random.pick(&[0, 0, 20, 100]),
            pace: ORDINARY,
            forgetting: None,
            probe_interval: 100_000,
        };
        match (canary.and_then(Canary::best_caught_in), random.between(0, 99)) {
            (Some(Mood::Haste), _) | (None, 0..=9) => plan = Self { pace: HASTY, keys: 1, clients: 2, ..plan },
            (Some(Mood::Impatience), _) | (None, 10..=14) => {
                plan = Self { pace: IMPATIENT, keys: 1, clients: 2, impatience: 80, waiters: 0, sessions: 0, ..plan };
            }
            _ => {}
        }
        let mut random = Random::stream(seed, 6);
        let forgetting = match canary.map(Canary::best_caught_in) {
            Some(Some(Mood::Forgetfulness(forgetting))) => Some(forgetting),
            None if random.percent(30) => Some(random.pick(&[Forgetting::Steps, Forgetting::Crashes])),
            _ => None,
        };
        if forgetting.is_some() {
            let probe_interval = random.pick(&[100_000, 100_000, 400_000]);
            plan = Self { probe_interval, ..plan.forgetful(forgetting) };
        }
        plan
    }

    /// The same, with primaries that forget.
    pub(super) fn forgetful(self, forgetting: Option<Forgetting>) -> Self {
        Self { pace: FORGETFUL, forgetting, misfortune_every: self.misfortune_every.max(100_000), ..self }
    }

    pub(super) fn drift(&self) -> Drift {
        match self.canary {
            Some(Canary::NoDrift) => Drift::unsound_none(),
            _ => Drift::from_parts_per_million(DRIFT_PPM),
        }
    }

    /// Primaries whose clocks run within the allowance, all fast in some worlds.
    pub(super) fn primaries(&self, random: &mut Random) -> Vec<Primary> {
        let slowest = random.pick(&[0, DRIFT_PPM, 2 * DRIFT_PPM]);
        let primaries = (0..self.total).map(|number| {
            let rate = i64::from(DRIFT_PPM) - i64::try_from(random.between(0, u64::from(slowest))).expect("small");
            let offset = random.between(0, 1_000_000);
            let mut primary = Primary::new(number, self.all_keys(), offset, rate, self.canary);
            if self.forgetting.is_some() {
                vouching::mark_as_sound(self, &mut primary);
            }
            primary
        });
        primaries.collect()
    }

    /// One more than the clients fight for: it is free when a storm is over.
    pub(super) fn all_keys(&self) -> usize {
        self.keys + 1
    }

    /// The links of all proxies, one proxy after the other.
    pub(super) fn links(&self) -> Vec<Link> {
        let mut links = Vec::new();
        for proxy in 0..self.proxies {
            for node in self.quorum.nodes() {
                let twice = self.canary == Some(Canary::OneServerVotesTwice) && node.index() == 1;
                links.push(Link::new(proxy, if twice { 0 } else { node.index() }, node));
            }
        }
        links
    }

    pub(super) fn rules(&self, proxy: usize) -> Rules {
        Rules {
            quorum: self.quorum,
            drift: self.drift(),
            // Far longer than a world lives: a withdrawal is owed to the end, however late its SET was run.
            max_ttl: Ttl::from_millis(MAX_TTL_MS_DEFAULT).expect("in range"),
            attempts: 3,
            retry_delay: Duration::from_millis(25),
            node_timeout: Duration::from_millis(self.pace.node_timeout_ms),
            lines: LineLimits { waiters: 100, waiters_per_key: 50 },
            sender: proxy as u64,
            sessions: SessionRules { max_lifetime: None, client_silence: None, most: 1_000, most_of_connection: 100 },
            fence_retention: Duration::from_secs(604_800),
        }
    }
}
