//! Which primaries may vote: what one proxy knows of all their memories. Pure.
//!
//! A primary that restarts empty, is flushed, goes back to an old snapshot or has its clock step may have forgotten locks
//! that still live, and would vote twice. It is kept out, *quarantined*, until every lock that it may have forgotten has
//! expired. How a loss is seen: by the [`Marker`], which is lost with the memory, which names the process that the memory
//! belongs to, and of which every batch ends with a look; and by the server's clock (`clock_watch`).
//!
//! | found at a look | then |
//! |---|---|
//! | a marker of another set | no voter; nothing is written |
//! | `sound`, of this run | it votes, from the next batch on |
//! | `forgot`, of this run | quarantined under this epoch |
//! | a marker of another run | `forgot` is written, with a new epoch |
//! | none | as that, a second later; or `sound` is written on all, when all are new and may be used at once |
//! | the clock has stepped, it was a replica | as of another run, until another epoch is read |
//!
//! A quarantine ends when this proxy has known its epoch for the longest ttl that anybody may have granted, with drift and
//! the time of a round: `sound` is written, and other proxies trust that. Writing is compare-and-set, so that of several
//! proxies one wins and the others read what it wrote.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::clock_watch::ClockReading;
use super::marker::{Epoch, Marker, MarkerState};
use crate::coordinator::Amnesia;
use crate::limits::{MARKING_REST, SECOND_LOOK};
use crate::lock::{Drift, Moment, NodeId, Quorum, Ttl};

mod member;

use self::member::Member;

/// What a proxy goes by when it decides who may vote.
#[derive(Debug, Clone)]
pub struct CensusRules {
    pub set: Arc<str>,
    pub quorum: Quorum,
    pub max_ttl: Ttl,
    pub drift: Drift,
    pub node_timeout: Duration,
    pub probe_interval: Duration,
    pub silence_timeout: Duration,
    /// Whether primaries that nobody has ever marked may vote at once, since no lock can be held there: once all have
    /// answered, for which they have so long.
    pub at_once: Option<Duration>,
}

/// Whether a primary votes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Soundness {
    Sound,
    /// Not for so long yet, as far as can be told.
    Quarantined(Amnesia, Duration),
    /// It belongs to other proxies: to the set of this name and size.
    Foreign(Arc<str>),
}

/// What one batch's tail says about the answers of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail {
    /// They count.
    Counts,
    /// They do not, for this reason.
    Quarantined(Amnesia, Duration),
    /// They do not: the primary belongs to another set.
    Foreign(Arc<str>),
    /// They do not: this is older than what is known.
    Superseded,
    /// They do not: another process has this address now.
    Elsewhere,
}

/// What a link is to do about the marker of its primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    Nothing,
    /// Ask again then.
    At(Moment),
    /// Replace the marker, if it still is what was found.
    Write {
        found: Option<Bytes>,
        marker: Bytes,
    },
}

/// One look at a primary: its marker and its clock.
#[derive(Debug, Clone)]
pub struct Look {
    /// The value under the marker's name.
    pub marker: Option<Bytes>,
    pub clock: ClockReading,
}

/// What one proxy knows of the memories of all primaries.
#[derive(Debug)]
pub struct Census {
    rules: CensusRules,
    members: Vec<Member>,
    /// The longest ttl that was configured or read.
    longest: Ttl,
    quarantines: u64,
    /// Whether any primary was ever seen to be sound: else a new set cannot be told from one that has lost everything.
    has_seen_sound: bool,
    /// Something has changed that concerns other primaries than the one at which it was seen.
    stirred: bool,
}

impl Census {
    pub fn new(rules: CensusRules) -> Self {
        let members = rules.quorum.nodes().map(|_| Member::new(rules.drift)).collect();
        let longest = rules.max_ttl;
        Self { rules, members, longest, quarantines: 0, has_seen_sound: false, stirred: false }
    }

    /// A link to this primary has been opened: to the process `run`, where it found this.
    pub fn admitted(&mut self, node: NodeId, run: &str, look: &Look) -> Soundness {
        let member = &mut self.members[node.index()];
        member.links += 1;
        if member.run.as_deref() != Some(run) {
            member.begin(run);
        }
        self.look(node, look);
        self.soundness(node, look.clock.answered)
    }

    /// A link to this primary has been lost.
    pub fn lost(&mut self, node: NodeId) {
        self.members[node.index()].disconnect();
    }

    /// The server says that it is a replica: what it remembers becomes another's.
    pub fn is_replica(&mut self, node: NodeId) {
        self.members[node.index()].become_replica();
    }

    /// The tail of a batch that was sent to the process `run`.
    pub fn tail(&mut self, node: NodeId, run: &str, look: &Look) -> Tail {
        let now = look.clock.answered;
        if self.members[node.index()].run.as_deref() != Some(run) {
            return Tail::Elsewhere;
        }
        let before = self.soundness(node, now);
        let is_unchanged = self.members[node.index()].shows(look.marker.as_ref());
        let is_newest = self.look(node, look);
        match (self.soundness(node, now), before) {
            (Soundness::Foreign(set), _) => Tail::Foreign(set),
            (Soundness::Quarantined(loss, left), _) => Tail::Quarantined(loss, left),
            (Soundness::Sound, Soundness::Sound) if is_unchanged && is_newest => Tail::Counts,
            // Its quarantine has just ended; the next batch counts.
            (Soundness::Sound, Soundness::Quarantined(loss, _)) => Tail::Quarantined(loss, Duration::ZERO),
            (Soundness::Sound, _) => Tail::Superseded,
        }
    }

    /// Whether the primary may vote, as of `now`.
    pub fn soundness(&self, node: NodeId, now: Moment) -> Soundness {
        let member = &self.members[node.index()];
        if let Some(set) = member.foreign(&self.rules) {
            return Soundness::Foreign(set);
        }
        let quarantine = self.quarantine();
        let left = |until: Moment| until.since(now);
        if let Some((_, until)) = member.discounted.filter(|(_, until)| now < *until) {
            return Soundness::Quarantined(Amnesia::ClockStepped, left(until));
        }
        if let Some((loss, _)) = &member.loss {
            return Soundness::Quarantined(*loss, quarantine);
        }
        if member.step.is_some() {
            return Soundness::Quarantined(Amnesia::ClockStepped, quarantine);
        }
        match member.marker() {
            Some(marker) if member.run.as_ref() == Some(&marker.run) => match (marker.state, member.known) {
                (MarkerState::Sound, _) => Soundness::Sound,
                (MarkerState::Forgot, Some((_, since))) => {
                    Soundness::Quarantined(self.reason(member), left(since.after(quarantine)))
                }
                (MarkerState::Forgot, None) => Soundness::Quarantined(self.reason(member), quarantine),
            },
            _ => Soundness::Quarantined(self.reason(member), quarantine),
        }
    }

    /// What is to be done at this primary. `epoch` is random, for a marker that is written anew.
    pub fn errand(&mut self, node: NodeId, now: Moment, epoch: Epoch) -> Errand {
        self.judge_steps(now);
        let member = &self.members[node.index()];
        let Some(run) = member.run.clone().filter(|_| member.foreign(&self.rules).is_none()) else {
            return Errand::Nothing;
        };
        if member.is_writing {
            return Errand::Nothing;
        }
        let discounted = member.discounted.map(|(_, until)| until).filter(|until| now < *until);
        let pending = member.step.map(|since| self.judged_at(since));
        let (state, kept, due) = match (member.marker(), &member.loss) {
            (Some(_), Some(_)) => (MarkerState::Forgot, None, now),
            (Some(marker), None) if marker.run != run => (MarkerState::Forgot, None, now),
            (Some(Marker { state: MarkerState::Sound, .. }), None) => {
                return pending.or(discounted).map_or(Errand::Nothing, Errand::At);
            }
            // How long it must be, and whether it must begin again, is not known yet.
            (Some(_), None) if !self.has_read_others(node) => return Errand::Nothing,
            (Some(_), None) if pending.is_some() => return pending.map_or(Errand::Nothing, Errand::At),
            (Some(marker), None) => {
                let since = member.known.map_or(now, |(_, since)| since);
                let until = since.after(self.quarantine());
                (MarkerState::Sound, Some(marker.clone()), discounted.map_or(until, |other| other.max(until)))
            }
            (None, _) if member.founds.is_some_and(|at| now < at.after(SECOND_LOOK)) => (MarkerState::Sound, None, now),
            (None, _) => {
                let patience = self.rules.at_once.filter(|_| self.is_new()).unwrap_or_default();
                (MarkerState::Forgot, None, member.unmarked_since.unwrap_or(now).after(SECOND_LOOK.max(patience)))
            }
        };
        let due = due.max(member.rests_until);
        if now < due {
            return Errand::At(due);
        }
        let found = member.value().cloned();
        let marker = if let Some(marker) = kept {
            Marker { state, ..marker }
        } else {
            let (set, total) = (Arc::clone(&self.rules.set), self.rules.quorum.total());
            Marker { set, total, max_ttl: self.longest, run, epoch, state }
        };
        let member = &mut self.members[node.index()];
        member.is_writing = true;
        member.rests_until = now.after(MARKING_REST);
        Errand::Write { found, marker: marker.encode() }
    }

    /// The longest ttl that may be granted: no primary may be asked to remember longer than some proxy waits for it.
    pub fn ceiling(&self) -> Ttl {
        let read =
            self.members.iter().filter(|member| member.foreign(&self.rules).is_none()).filter_map(Member::marker);
        read.map(|marker| marker.max_ttl).fold(self.rules.max_ttl, Ttl::min)
    }

    /// How often a primary has been quarantined.
    pub fn quarantines(&self) -> u64 {
        self.quarantines
    }

    /// Whether, since this was asked last, something has changed for which links to other primaries should ask for their
    /// errands.
    pub fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }

    /// Whether the primary is about to be marked as sound, or waits for all others to be found new, too.
    pub fn may_found(&self, node: NodeId) -> bool {
        let member = &self.members[node.index()];
        member.founds.is_some() || (self.rules.at_once.is_some() && member.value().is_none() && self.is_new())
    }

    /// Takes note of a look. False when it is older than what is known.
    fn look(&mut self, node: NodeId, look: &Look) -> bool {
        let Look { marker, clock } = look;
        let was_sound = self.soundness(node, clock.answered) == Soundness::Sound;
        let member = &mut self.members[node.index()];
        let (was_marked, former) = (member.was_marked, member.known);
        member.looked_at = member.looked_at.max(Some(clock.asked));
        member.is_writing = false;
        let has_stepped = member.clock.look(*clock).is_some();
        let is_newest = member.find(marker.as_ref(), clock, &self.rules);
        let is_marked_since = member.known != former && member.is_known_to_have_forgotten();
        if has_stepped && !is_marked_since {
            // Behind the look at the marker: one that is new, and says nothing of a loss, may be older than the step.
            member.step.get_or_insert(clock.answered);
        }
        if let Some(marker) = member.marker().filter(|_| member.known != former) {
            self.longest = self.longest.max(marker.max_ttl);
            self.quarantines += u64::from(marker.state == MarkerState::Forgot);
        }
        self.stirred |= was_marked != self.members[node.index()].was_marked;
        self.found_if_new(clock.answered);
        if self.members.iter().any(|member| member.step.is_some()) {
            self.judge_steps(clock.answered);
        }
        let is_sound = self.soundness(node, clock.answered) == Soundness::Sound;
        self.has_seen_sound |= is_sound;
        self.stirred |= was_sound != is_sound;
        is_newest
    }

    /// Why a primary does not vote whose marker says so, or is missing.
    fn reason(&self, member: &Member) -> Amnesia {
        if self.has_seen_sound { member.reason } else { Amnesia::NewSet }
    }

    /// Whether no primary has ever been seen with a marker.
    fn is_new(&self) -> bool {
        self.members.iter().all(|member| !member.was_marked)
    }

    /// All primaries have answered, and none was ever marked: they may vote at once where that is configured.
    fn found_if_new(&mut self, now: Moment) {
        let is_new = |member: &Member| member.links > 0 && member.has_met() && member.value().is_none();
        if self.rules.at_once.is_some() && self.is_new() && self.members.iter().all(is_new) {
            self.stirred |= self.members.iter().any(|member| member.founds.is_none());
            self.members.iter_mut().for_each(|member| member.founds = Some(now));
        }
    }

    /// How long a primary is kept out from the first sight of its loss on.
    fn quarantine(&self) -> Duration {
        let longest = self.longest;
        Duration::from_millis(longest.as_millis() + self.rules.drift.of(longest)) + self.rules.node_timeout
    }

    /// Whether enough others were read to know how long a quarantine must be.
    fn has_read_others(&self, node: NodeId) -> bool {
        let others = self.rules.quorum.nodes().filter(|other| *other != node);
        others.filter(|other| self.members[other.index()].was_marked).count() + 1 >= self.rules.quorum.needed()
    }

    /// When a step that was seen then is judged at the latest.
    fn judged_at(&self, since: Moment) -> Moment {
        since.after(self.rules.probe_interval + self.rules.silence_timeout)
    }

    /// Steps that were seen are judged when every other primary has been looked at since: those of a minority are losses;
    /// if more have stepped, it is a clock that they share, or the proxy's own, and this proxy alone counts none of them
    /// for as long as a loss would last.
    fn judge_steps(&mut self, now: Moment) {
        let is_ripe = |index: usize, since: Moment| {
            let others = self.members.iter().enumerate().filter(|(other, _)| *other != index);
            // Those that are away as well: where all links were lost together, it was the proxy that slept.
            let mut calm =
                others.map(|(_, member)| member).filter(|member| member.run.is_some() && member.step.is_none());
            now >= self.judged_at(since) || calm.all(|member| member.looked_at >= Some(since))
        };
        let stepped: Vec<(usize, Moment)> =
            self.members.iter().enumerate().filter_map(|(index, member)| Some((index, member.step?))).collect();
        if !stepped.iter().any(|(index, since)| is_ripe(*index, *since)) {
            return;
        }
        let is_loss = stepped.len() <= self.rules.quorum.total() - self.rules.quorum.needed();
        let until = now.after(self.quarantine());
        for (index, _) in stepped {
            let member = &mut self.members[index];
            member.step = None;
            if is_loss {
                member.lose(Amnesia::ClockStepped);
            } else {
                member.discount(until);
                self.quarantines += 1;
            }
        }
        self.stirred = true;
    }
}

#[cfg(test)]
#[path = "census_tests.rs"]
mod tests;
