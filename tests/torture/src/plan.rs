//! What goes wrong in a storm, and when: a function of the seed. Pure.
//!
//! Misfortunes are dealt like cards, so that none is seldom. Most strike so few primaries that a quorum is left; one in
//! eight is *wide* and strikes a majority, or two proxies.
//!
//! A clock steps only where that is covered. Whether it has stepped is known to who has looked at it before: so all proxies
//! have been there for a while, and stay until the primary is marked. And fencing numbers rest on what primaries remember, or
//! on clocks that agree: so a storm has steps, or other losses of memory, not both.

use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{SliceRandom, index};
use rand::{RngExt, SeedableRng};

pub(crate) const PRIMARIES: usize = 5;
pub(crate) const PROXIES: usize = 3;
/// So many primaries may be away while locks are granted.
pub(crate) const MINORITY: usize = (PRIMARIES - 1) / 2;
/// This proxy is only paused, never ended: its memory is watched over the whole run.
pub(crate) const WITNESS: usize = 0;

/// One misfortune in so many is wide.
const WIDE_IN: u32 = 8;
/// The longest quiet time between two of them, in milliseconds.
const QUIET_MS: u64 = 500;
/// How long primaries are not what they were, after what does not harm their memory.
const AFTERMATH: Duration = Duration::from_millis(500);
/// How long a proxy may take to be connected to all primaries again.
const RETURN: Duration = Duration::from_secs(1);

/// A misfortune.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    KilledEmpty,
    KilledSnapshot,
    Stopped,
    Flushed,
    ClientsPaused,
    ScriptsFlushed,
    Replica,
    ClockForward,
    ClockBack,
    Slow,
    OneWaySlow,
    CommandsLost,
    RepliesLost,
    CutOff,
    Reset,
    Refused,
    HalfOpen,
    HalfClosed,
    Drip,
    Truncated,
    HeldBack,
    ProxyKilled,
    ProxyDrained,
    ProxyPaused,
}

/// What a misfortune strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Primaries,
    /// Theirs.
    Clocks,
    Links,
    Proxies,
}

impl Kind {
    pub(crate) const ALL: [Kind; 24] = [
        Kind::KilledEmpty,
        Kind::KilledSnapshot,
        Kind::Stopped,
        Kind::Flushed,
        Kind::ClientsPaused,
        Kind::ScriptsFlushed,
        Kind::Replica,
        Kind::ClockForward,
        Kind::ClockBack,
        Kind::Slow,
        Kind::OneWaySlow,
        Kind::CommandsLost,
        Kind::RepliesLost,
        Kind::CutOff,
        Kind::Reset,
        Kind::Refused,
        Kind::HalfOpen,
        Kind::HalfClosed,
        Kind::Drip,
        Kind::Truncated,
        Kind::HeldBack,
        Kind::ProxyKilled,
        Kind::ProxyDrained,
        Kind::ProxyPaused,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::KilledEmpty => "primary killed, back empty",
            Kind::KilledSnapshot => "primary killed, back with an old snapshot",
            Kind::Stopped => "primary stopped (SIGSTOP)",
            Kind::Flushed => "primary flushed (FLUSHALL)",
            Kind::ClientsPaused => "primary holds its clients (CLIENT PAUSE)",
            Kind::ScriptsFlushed => "primary forgets scripts (SCRIPT FLUSH)",
            Kind::Replica => "primary a replica, and back",
            Kind::ClockForward => "primary's clock steps forward",
            Kind::ClockBack => "primary's clock steps back, later forward again",
            Kind::Slow => "links slow, with jitter",
            Kind::OneWaySlow => "links very slow one way",
            Kind::CommandsLost => "links lose commands, then reset",
            Kind::RepliesLost => "links lose replies, then reset",
            Kind::CutOff => "links lose everything, then reset",
            Kind::Reset => "links reset",
            Kind::Refused => "links reset, and refused for a while",
            Kind::HalfOpen => "links half open: dead, and nobody is told",
            Kind::HalfClosed => "links half closed",
            Kind::Drip => "links drip",
            Kind::Truncated => "links break in the middle of a message",
            Kind::HeldBack => "links hold everything, deliver late in one burst",
            Kind::ProxyKilled => "proxy killed (SIGKILL)",
            Kind::ProxyDrained => "proxy drained (SIGTERM)",
            Kind::ProxyPaused => "proxy stopped (SIGSTOP)",
        }
    }

    pub(crate) fn target(self) -> Target {
        match self {
            Kind::KilledEmpty
            | Kind::KilledSnapshot
            | Kind::Stopped
            | Kind::Flushed
            | Kind::ClientsPaused
            | Kind::ScriptsFlushed
            | Kind::Replica => Target::Primaries,
            Kind::ClockForward | Kind::ClockBack => Target::Clocks,
            Kind::ProxyKilled | Kind::ProxyDrained | Kind::ProxyPaused => Target::Proxies,
            _ => Target::Links,
        }
    }

    /// Whether primaries may forget locks by it, and are kept out until these have ended.
    pub(crate) fn loses_memory(self) -> bool {
        self.loses_counters() || self.target() == Target::Clocks
    }

    /// Whether they may forget fencing counters as well, which no step of a clock is long enough for.
    fn loses_counters(self) -> bool {
        matches!(self, Kind::KilledEmpty | Kind::KilledSnapshot | Kind::Flushed | Kind::Replica)
    }

    /// Whether primaries that it strikes cannot be counted on meanwhile.
    fn impairs(self) -> bool {
        self.target() != Target::Proxies && !matches!(self, Kind::ScriptsFlushed | Kind::Slow)
    }

    /// How long it lasts, in milliseconds.
    fn lasts(self) -> Range<u64> {
        match self {
            Kind::Flushed | Kind::ScriptsFlushed | Kind::Reset | Kind::HalfClosed | Kind::ClockForward => 1..2,
            Kind::KilledEmpty | Kind::KilledSnapshot | Kind::ProxyKilled | Kind::ProxyDrained => 50..1_000,
            Kind::Truncated => 50..300,
            Kind::Replica => 300..1_500,
            Kind::ClockBack => 500..2_500,
            Kind::HeldBack | Kind::ProxyPaused | Kind::Stopped => 100..2_500,
            _ => 100..1_200,
        }
    }
}

/// One misfortune of a storm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Strike {
    pub(crate) kind: Kind,
    /// From the beginning of the storm.
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    /// The primaries it strikes, or whose links; in order.
    pub(crate) primaries: Vec<usize>,
    /// The proxies it strikes, or whose links; in order.
    pub(crate) proxies: Vec<usize>,
    pub(crate) wide: bool,
    /// For what else there is to choose.
    pub(crate) detail: u64,
}

impl Strike {
    /// By how many seconds clocks step: as often by some as by some hundred, an hour at most; back by a few.
    pub(crate) fn seconds(&self) -> i64 {
        if self.kind == Kind::ClockBack {
            return 2 + i64::try_from(self.detail % 4).expect("few");
        }
        let about = 1 << (self.detail % 12);
        i64::try_from((about + self.detail / 12 % about).min(3_600)).expect("an hour")
    }
}

/// What can be dealt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deal {
    /// All that needs no clocks.
    Clockless,
    /// In every other storm clocks step.
    Alternately,
    /// Nothing but steps of clocks.
    OnlyClocks,
}

impl Deal {
    /// Whether clocks step in this storm.
    pub(crate) fn moves_clocks(self, number: u64) -> bool {
        match self {
            Deal::Clockless => false,
            Deal::Alternately => !number.is_multiple_of(2),
            Deal::OnlyClocks => true,
        }
    }

    fn includes(self, kind: Kind, number: u64) -> bool {
        match kind.target() {
            Target::Clocks => self.moves_clocks(number),
            _ if self == Deal::OnlyClocks => false,
            _ => !(kind.loses_counters() && self.moves_clocks(number)),
        }
    }
}

/// How long storms and what is in them last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) length: Duration,
    /// How long a primary that forgot is not to be counted on.
    pub(crate) quarantine: Duration,
    /// How long proxies need to see that a clock has stepped, and to mark its primary.
    pub(crate) marking: Duration,
}

/// The misfortunes of one storm, by time; all are over when it is.
pub(crate) fn storm(seed: u64, number: u64, deal: Deal, terms: &Terms) -> Vec<Strike> {
    // An odd constant spreads neighbouring numbers over the seeds.
    let mut random = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut board = Board::default();
    let mut deck: Vec<(Kind, bool)> = Vec::new();
    let mut strikes = Vec::new();
    let mut now = Duration::ZERO;
    loop {
        now += Duration::from_millis(random.random_range(20..QUIET_MS));
        if now >= terms.length {
            return strikes;
        }
        if deck.is_empty() {
            let included = Kind::ALL.into_iter().filter(|kind| deal.includes(*kind, number));
            // A step of many clocks is not told from one of the proxy's own.
            let card = |kind: Kind| (kind, kind.target() != Target::Clocks && random.random_ratio(1, WIDE_IN));
            deck = included.map(card).collect();
            deck.shuffle(&mut random);
        }
        let fits = |card: &(Kind, bool)| board.room(*card, now).is_some();
        let Some(place) = deck.iter().position(fits) else { continue };
        let card = deck.remove(place);
        let (victims, count) = board.room(card, now).expect("it fits");
        let lasts = Duration::from_millis(random.random_range(card.0.lasts()));
        let strike = strike(card, (now, lasts), &victims, count, &mut random);
        if now + lasts < terms.length {
            board.note(&strike, terms);
            strikes.push(strike);
        }
    }
}

fn strike(
    (kind, wide): (Kind, bool),
    (at, lasts): (Duration, Duration),
    victims: &[usize],
    count: Range<usize>,
    random: &mut StdRng,
) -> Strike {
    let count = random.random_range(count);
    let struck = choose(random, victims, count);
    let (primaries, proxies) = match kind.target() {
        Target::Primaries | Target::Clocks => (struck, Vec::new()),
        Target::Proxies => (Vec::new(), struck),
        Target::Links => {
            let proxies = random.random_range(1..=PROXIES);
            (struck, choose(random, &[0, 1, 2], proxies))
        }
    };
    Strike { kind, at, lasts, primaries, proxies, wide, detail: random.random() }
}

/// So many of these, in order.
fn choose(random: &mut StdRng, among: &[usize], count: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> = index::sample(random, among.len(), count).iter().map(|place| among[place]).collect();
    chosen.sort_unstable();
    chosen
}

/// Until when primaries and proxies are what they should not be.
#[derive(Debug, Default)]
struct Board {
    busy: [Duration; PRIMARIES],
    impaired: [Duration; PRIMARIES],
    busy_proxies: [Duration; PROXIES],
    /// Until when a clock that has stepped may not be marked yet.
    stepping: Duration,
}

impl Board {
    /// Whom a misfortune may strike at this moment, and how many of them; `None` when it has to wait.
    fn room(&self, (kind, wide): (Kind, bool), now: Duration) -> Option<(Vec<usize>, Range<usize>)> {
        let primaries = |until: &[Duration; PRIMARIES]| -> Vec<usize> {
            (0..PRIMARIES).filter(|primary| until[*primary] <= now).collect()
        };
        let proxies_are_there = |so_long: Duration| self.busy_proxies.iter().all(|until| *until + so_long <= now);
        if kind.target() == Target::Proxies {
            if self.stepping > now || !proxies_are_there(Duration::ZERO) {
                return None;
            }
            let first = if kind == Kind::ProxyPaused { WITNESS } else { WITNESS + 1 };
            return Some(((first..PROXIES).collect(), if wide { 2..3 } else { 1..2 }));
        }
        if kind.target() == Target::Clocks && (self.stepping > now || !proxies_are_there(RETURN)) {
            return None;
        }
        let free = primaries(&self.busy);
        if wide {
            // Replicas of each other have no primary: one of them is left.
            let most = if kind == Kind::Replica { free.len().min(PRIMARIES - 1) } else { free.len() };
            return (most > MINORITY).then(|| (free, MINORITY + 1..most + 1));
        }
        if !kind.impairs() {
            return (!free.is_empty()).then(|| (free.clone(), 1..free.len() + 1));
        }
        let sound = primaries(&self.impaired);
        let room = MINORITY.saturating_sub(PRIMARIES - sound.len());
        let victims: Vec<usize> = sound.into_iter().filter(|primary| free.contains(primary)).collect();
        let most = room.min(victims.len());
        (most > 0).then(|| (victims, 1..most + 1))
    }

    fn note(&mut self, strike: &Strike, terms: &Terms) {
        let mut over = strike.at + strike.lasts;
        match strike.kind.target() {
            Target::Proxies => strike.proxies.iter().for_each(|proxy| self.busy_proxies[*proxy] = over),
            Target::Clocks => {
                over += terms.marking;
                self.stepping = over;
            }
            Target::Primaries | Target::Links => {}
        }
        let aftermath = if strike.kind.loses_memory() { terms.quarantine } else { AFTERMATH };
        for primary in &strike.primaries {
            self.busy[*primary] = over;
            if strike.kind.impairs() {
                self.impaired[*primary] = self.impaired[*primary].max(over + aftermath);
            }
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
