//! What vouches for a primary's answers, as the links of a proxy share it: the production [`Census`], fed with what every
//! answer shows of the marker and the clock, and asked for its errands.
//!
//! Where a canary breaks a rule of it, that is done here, between the census and the link.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redlock_proxy::coordinator::Trouble;
use redlock_proxy::lock::{ExtendVote, InspectVote, Moment, NodeId, ReleaseVote, Ttl};
use redlock_proxy::primary::{
    Census, CensusRules, ClockReading, Epoch, Errand, Look, Marker, MarkerState, Soundness, Tail,
};

use super::canaries::Canary;
use super::history::Actor;
use super::link::SILENCE_TIMEOUT;
use super::network::{Event, Request, State};
use super::plan::Plan;
use super::primary::{Answer, Micros, Primary, Seen};

/// What each proxy knows of the primaries' memories; nothing, where none forgets and nobody asks.
#[derive(Debug)]
pub(super) struct Censuses {
    rules: Option<CensusRules>,
    of_proxies: Vec<Census>,
    /// How often each proxy has started anew.
    pub(super) lives: Vec<u64>,
    /// How often primaries were quarantined by proxies that have ended since.
    ended: u64,
}

/// Which rules a proxy of such a world goes by.
pub(super) fn rules(plan: &Plan) -> CensusRules {
    CensusRules {
        set: "main".into(),
        quorum: plan.quorum,
        max_ttl: Ttl::from_millis(plan.pace.longest_ttl_ms()).expect("in range"),
        drift: plan.drift(),
        node_timeout: Duration::from_millis(plan.pace.node_timeout_ms),
        probe_interval: Duration::from_micros(plan.probe_interval),
        silence_timeout: Duration::from_micros(SILENCE_TIMEOUT),
        at_once: (plan.canary == Some(Canary::NewSetToldByUptime)).then_some(Duration::ZERO),
    }
}

/// A primary of a set that was marked long ago.
pub(super) fn mark_as_sound(plan: &Plan, primary: &mut Primary) {
    let CensusRules { set, max_ttl, .. } = rules(plan);
    let (total, run, epoch) = (plan.total, primary.run(), Epoch(0));
    let marker = Marker { set, total, max_ttl, run, epoch, state: MarkerState::Sound };
    primary.mark(None, &marker.encode());
}

impl Censuses {
    pub(super) fn new(plan: &Plan) -> Self {
        let rules = plan.forgetting.map(|_| rules(plan));
        let of_proxies = rules.iter().flat_map(|rules| (0..plan.proxies).map(|_| Census::new(rules.clone()))).collect();
        Self { rules, of_proxies, lives: vec![0; plan.proxies], ended: 0 }
    }

    /// How often a primary was quarantined by one of the proxies.
    pub(super) fn quarantines(&self) -> u64 {
        self.ended + self.of_proxies.iter().map(Census::quarantines).sum::<u64>()
    }

    /// Whether every primary votes, as far as every proxy knows.
    pub(super) fn all_are_sound(&self, now: Micros) -> bool {
        let Some(rules) = &self.rules else { return true };
        let now = Moment::from_micros(now);
        let all = self.of_proxies.iter().flat_map(|census| rules.quorum.nodes().map(move |node| (census, node)));
        all.into_iter().all(|(census, node)| census.soundness(node, now) == Soundness::Sound)
    }

    /// Whether anybody asks for markers.
    pub(super) fn are_kept(&self) -> bool {
        self.rules.is_some()
    }

    /// The proxy starts again, and knows nothing.
    pub(super) fn forget(&mut self, proxy: usize) {
        let Some(rules) = &self.rules else { return };
        let former = std::mem::replace(&mut self.of_proxies[proxy], Census::new(rules.clone()));
        self.ended += former.quarantines();
    }
}

impl State {
    fn census(&mut self, link: usize) -> Option<(NodeId, &mut Census)> {
        let (proxy, node) = (self.links[link].proxy, self.links[link].node);
        self.censuses.of_proxies.get_mut(proxy).map(|census| (node, census))
    }

    /// What the primary showed, as the census is to see it.
    fn look(&mut self, link: usize, asked: Micros, seen: &Seen, probed: bool) -> Look {
        let exists = self.canary == Some(Canary::ExistsInsteadOfGet) && !probed && seen.marker.is_some();
        let this = &mut self.links[link];
        let marker = if exists { this.marker_read.clone() } else { seen.marker.clone() };
        this.marker_read.clone_from(&marker);
        let micros = if self.canary == Some(Canary::ClockStepIgnored) { self.now } else { seen.micros };
        let (asked, answered) = (Moment::from_micros(asked), Moment::from_micros(self.now));
        Look { marker, clock: ClockReading { micros, asked, answered } }
    }

    /// A link has been opened, and has had its first look.
    pub(super) fn admit(&mut self, link: usize, asked: Micros, seen: &Seen) {
        self.links[link].run.clone_from(&seen.run);
        let look = self.look(link, asked, seen, true);
        if let Some((node, census)) = self.census(link) {
            census.admitted(node, &seen.run, &look);
        }
        self.stir(link);
    }

    /// A link has been lost that had been opened.
    pub(super) fn forsake(&mut self, link: usize) {
        if let Some((node, census)) = self.census(link) {
            census.lost(node);
        }
        if self.canary == Some(Canary::StepForgottenWithTheLink) {
            self.look_at_the_others_anew(link);
        }
    }

    /// The one canary: what was known of the primary is gone with its link.
    fn look_at_the_others_anew(&mut self, lost: usize) {
        let proxy = self.links[lost].proxy;
        self.censuses.forget(proxy);
        for link in 0..self.links.len() {
            if link != lost && self.links[link].proxy == proxy && self.links[link].connection().is_some() {
                let mut seen = self.primaries[self.links[link].primary].seen(self.now);
                seen.run = Arc::clone(&self.links[link].run);
                let look = self.look(link, self.now, &seen, true);
                let (node, census) = self.census(link).expect("it has just begun");
                census.admitted(node, &seen.run, &look);
            }
        }
    }

    /// The primary says that it is a replica: the link is lost.
    pub(super) fn finds_a_replica(&mut self, link: usize) {
        if let Some((node, census)) = self.census(link) {
            census.is_replica(node);
        }
        self.stir(link);
        self.lose(link);
    }

    /// What is wrong with what was answered together with this look; nothing, when it counts.
    pub(super) fn vouch(&mut self, link: usize, asked: Micros, seen: &Seen, probed: bool) -> Option<Trouble> {
        let (look, run, now) = (self.look(link, asked, seen, probed), Arc::clone(&self.links[link].run), self.now);
        let (canary, shown) = (self.canary, seen.micros - self.clock_error / 2);
        let (node, census) = self.census(link)?;
        let tail = if canary == Some(Canary::ProbesOnly) && !probed {
            match census.soundness(node, look.clock.answered) {
                Soundness::Quarantined(loss, left) => Tail::Quarantined(loss, left),
                _ => Tail::Counts,
            }
        } else {
            census.tail(node, &run, &look)
        };
        self.links[link].clock_seen = Some((shown, now));
        self.stir(link);
        match tail {
            _ if canary == Some(Canary::QuarantineOff) => None,
            Tail::Counts => None,
            Tail::Quarantined(loss, left) => Some(Trouble::Quarantined(loss, left)),
            Tail::Superseded | Tail::Elsewhere => Some(Trouble::ConnectionLost),
            Tail::Foreign(set) => unreachable!("there is no other set than this one: {set}"),
        }
    }

    /// What is wrong with this answer in particular.
    pub(super) fn wrong_with(&self, answer: &Answer, wrong: Option<Trouble>) -> Option<Trouble> {
        let is_absence = matches!(
            answer,
            Answer::Look(InspectVote::Free)
                | Answer::Extend(ExtendVote::Lacking)
                | Answer::Release(ReleaseVote::Lacking)
        );
        wrong.filter(|_| self.canary != Some(Canary::AbsenceCountedInQuarantine) || !is_absence)
    }

    /// Whether the primary votes, as far as the link's proxy knows.
    pub(super) fn is_sound(&mut self, link: usize) -> bool {
        let now = Moment::from_micros(self.now);
        self.census(link).is_none_or(|(node, census)| census.soundness(node, now) == Soundness::Sound)
    }

    /// Something may have changed for which other links of the proxy have errands.
    fn stir(&mut self, link: usize) {
        if !self.census(link).is_some_and(|(_, census)| census.take_stirred()) {
            return;
        }
        let proxy = self.links[link].proxy;
        for other in 0..self.links.len() {
            if self.links[other].proxy == proxy {
                self.schedule(self.now, Event::Errand { link: other });
            }
        }
    }

    /// The time of a probe has come.
    pub(super) fn probe(&mut self, link: usize, connection: usize) {
        if self.links[link].up() == Some(connection) {
            self.send_look(link, Request::Probe);
            self.run_errand(link);
            self.schedule(self.now + self.probe_interval, Event::Probe { link, connection });
        }
    }

    /// From now on the link, which is up, looks now and then.
    pub(super) fn begin_to_probe(&mut self, link: usize, connection: usize) {
        if self.censuses.are_kept() {
            self.schedule(self.now, Event::Probe { link, connection });
        }
    }

    /// Does what there is to be done about the primary's marker.
    pub(super) fn run_errand(&mut self, link: usize) {
        if self.links[link].up().is_none() || self.is_sound(link) {
            return;
        }
        let epoch = Epoch(u128::from(self.random.bits()) << 64 | u128::from(self.random.bits()));
        let now = Moment::from_micros(self.now);
        let Some((node, census)) = self.census(link) else { return };
        match census.errand(node, now, epoch) {
            Errand::Nothing => {}
            Errand::At(at) => {
                // What lies further ahead is asked for again with the next probe.
                let at = at.as_micros().max(self.now + 1);
                if at < self.now + self.probe_interval {
                    self.schedule(at, Event::Errand { link });
                }
            }
            Errand::Write { found, marker } => {
                let proxy = self.links[link].proxy;
                let primary = self.links[link].primary as u64;
                self.checker.history.add_event(self.now, Actor::Proxy(proxy), "writes a marker to", primary);
                let marker = if self.canary == Some(Canary::MaxTtlNotWaitedOut) { at_once(&marker) } else { marker };
                self.send_look(link, Request::Mark { found, marker });
            }
        }
    }
}

/// The marker that would be written when its quarantine has ended.
fn at_once(marker: &[u8]) -> Bytes {
    let marker = Marker::parse(marker).expect("what a census writes");
    Marker { state: MarkerState::Sound, ..marker }.encode()
}
