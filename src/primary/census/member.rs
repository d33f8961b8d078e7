//! What is known of one primary's memory.

use std::sync::Arc;

use bytes::Bytes;

use super::super::clock_watch::{ClockReading, ClockWatch};
use super::super::marker::{Epoch, Marker, MarkerState};
use super::CensusRules;
use crate::coordinator::Amnesia;
use crate::lock::{Drift, Moment};

/// One primary.
#[derive(Debug)]
pub(super) struct Member {
    /// The process that it is.
    pub(super) run: Option<Arc<str>>,
    /// Links to it that are open.
    pub(super) links: usize,
    /// What the newest look has found, and when that look's answer came.
    found: Option<(Found, Moment)>,
    /// Whether it was ever seen with a marker of this set.
    pub(super) was_marked: bool,
    /// The epoch that was read last, and when it was read first.
    pub(super) known: Option<(Epoch, Moment)>,
    /// Since when it is without a marker.
    pub(super) unmarked_since: Option<Moment>,
    /// A loss of which the marker does not tell, and which marker that is.
    pub(super) loss: Option<(Amnesia, Unaware)>,
    /// Why it does not vote, where the marker alone does not say.
    pub(super) reason: Amnesia,
    pub(super) clock: ClockWatch,
    /// When its clock was seen to have stepped; not judged yet.
    pub(super) step: Option<Moment>,
    /// Its clock has stepped with too many others for that to be a loss: it does not count for this proxy.
    pub(super) discounted: Option<(Option<Epoch>, Moment)>,
    /// When the newest look was begun.
    pub(super) looked_at: Option<Moment>,
    /// When all primaries were found to be new, and free to vote at once.
    pub(super) founds: Option<Moment>,
    /// A marker is being written.
    pub(super) is_writing: bool,
    /// None is written before.
    pub(super) rests_until: Moment,
}

/// The marker that was written before a loss and tells nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unaware {
    /// Whatever will be found first.
    Unmet,
    /// There was none.
    Unmarked,
    Epoch(Epoch),
}

/// What lies under the marker's name.
#[derive(Debug, Clone)]
enum Found {
    Nothing,
    Marked(Marker, Bytes),
    /// Nothing that a proxy of this version has written.
    Garbled(Bytes),
}

impl Found {
    fn new(value: Option<&Bytes>) -> Self {
        match value {
            None => Self::Nothing,
            // In memory of its own: it outlives the read buffer.
            Some(value) => match (Marker::parse(value), Bytes::copy_from_slice(value)) {
                (Some(marker), value) => Self::Marked(marker, value),
                (None, value) => Self::Garbled(value),
            },
        }
    }

    fn value(&self) -> Option<&Bytes> {
        match self {
            Self::Nothing => None,
            Self::Marked(_, value) | Self::Garbled(value) => Some(value),
        }
    }
}

impl Member {
    pub(super) fn new(drift: Drift) -> Self {
        Self {
            run: None,
            links: 0,
            found: None,
            was_marked: false,
            known: None,
            unmarked_since: None,
            loss: None,
            reason: Amnesia::Restarted,
            clock: ClockWatch::new(drift),
            step: None,
            discounted: None,
            looked_at: None,
            founds: None,
            is_writing: false,
            rests_until: Moment::from_micros(0),
        }
    }

    /// Another process has its address from here on.
    pub(super) fn begin(&mut self, run: &str) {
        self.run = Some(run.into());
        self.found = None;
        self.unmarked_since = None;
        self.founds = None;
        self.reason = Amnesia::Restarted;
    }

    /// Whether it has been looked at since its process is known.
    pub(super) fn has_met(&self) -> bool {
        self.found.is_some()
    }

    /// The marker of the newest look.
    pub(super) fn marker(&self) -> Option<&Marker> {
        match &self.found {
            Some((Found::Marked(marker, _), _)) => Some(marker),
            _ => None,
        }
    }

    /// Whether the newest look found the mark of a loss.
    pub(super) fn is_known_to_have_forgotten(&self) -> bool {
        self.marker().is_some_and(|marker| marker.state == MarkerState::Forgot)
    }

    /// What the newest look found, as it lies there.
    pub(super) fn value(&self) -> Option<&Bytes> {
        self.found.as_ref().and_then(|(found, _)| found.value())
    }

    /// Whether the newest look found exactly this.
    pub(super) fn shows(&self, value: Option<&Bytes>) -> bool {
        self.found.as_ref().is_some_and(|(found, _)| found.value() == value)
    }

    /// The set that it belongs to, if that is not ours.
    pub(super) fn foreign(&self, rules: &CensusRules) -> Option<Arc<str>> {
        match &self.found {
            Some((Found::Marked(marker, _), _)) if is_ours(marker, rules) => None,
            Some((Found::Marked(marker, _), _)) => Some(format!("{}/{}", marker.set, marker.total).into()),
            Some((Found::Garbled(_), _)) => Some("unknown".into()),
            Some((Found::Nothing, _)) | None => None,
        }
    }

    /// It may have forgotten locks, whatever its marker says.
    pub(super) fn lose(&mut self, loss: Amnesia) {
        let unaware = match (&self.found, self.known) {
            (Some((Found::Marked(marker, _), _)), _) => Unaware::Epoch(marker.epoch),
            (Some(_), _) => Unaware::Unmarked,
            (None, Some((epoch, _))) => Unaware::Epoch(epoch),
            (None, None) => Unaware::Unmet,
        };
        self.loss = Some((loss, unaware));
    }

    /// It is a replica now: whatever is found there later, even in the same process, may be another's memory under its own
    /// marker.
    pub(super) fn become_replica(&mut self) {
        self.found = None;
        self.unmarked_since = None;
        self.founds = None;
        self.loss = Some((Amnesia::RoleChanged, Unaware::Unmet));
    }

    /// A link to it has been lost.
    pub(super) fn disconnect(&mut self) {
        self.links = self.links.saturating_sub(1);
        self.is_writing = false;
        if self.links == 0 {
            self.founds = None;
        }
    }

    /// Its clock has stepped, and it is not known to have lost anything by that: until then it does not count for this
    /// proxy, or until another epoch is read.
    pub(super) fn discount(&mut self, until: Moment) {
        self.discounted = Some((self.known.map(|(epoch, _)| epoch), until));
    }

    /// A look has found this. False when it changes what is known and is not certainly newer.
    pub(super) fn find(&mut self, value: Option<&Bytes>, clock: &ClockReading, rules: &CensusRules) -> bool {
        let answered = clock.answered;
        if let Some((found, newest)) = &mut self.found {
            if found.value() == value {
                *newest = answered.max(*newest);
                return true;
            }
            if clock.asked < *newest {
                return false;
            }
        }
        let found = Found::new(value);
        match &found {
            Found::Nothing => {
                if self.marker().is_some() {
                    self.reason = Amnesia::Flushed;
                }
                if let Some((_, unaware @ Unaware::Unmet)) = &mut self.loss {
                    *unaware = Unaware::Unmarked;
                }
                self.unmarked_since = Some(answered);
            }
            Found::Marked(marker, _) if is_ours(marker, rules) => self.read(marker, answered),
            Found::Marked(..) | Found::Garbled(_) => {}
        }
        self.found = Some((found, answered));
        self.rests_until = Moment::from_micros(0);
        true
    }

    /// Takes note of a marker of this set.
    fn read(&mut self, marker: &Marker, answered: Moment) {
        let former = self.known.replace((marker.epoch, answered)).filter(|(epoch, _)| *epoch == marker.epoch);
        if former.is_some() {
            self.known = former;
        } else {
            let is_of_same_run = self.marker().is_some_and(|former| former.run == marker.run);
            if marker.state == MarkerState::Forgot && is_of_same_run && self.step.is_none() {
                // Another proxy has seen the loss, and the marker does not tell of what kind it was.
                self.reason = Amnesia::Flushed;
            }
            self.step = None;
            self.discounted = None;
        }
        match &mut self.loss {
            Some((_, unaware @ Unaware::Unmet)) => *unaware = Unaware::Epoch(marker.epoch),
            Some((_, Unaware::Epoch(epoch))) if *epoch == marker.epoch => {}
            Some((loss, _)) => {
                self.reason = *loss;
                self.loss = None;
            }
            None => {}
        }
        self.was_marked = true;
        self.unmarked_since = None;
        self.founds = None;
    }
}

fn is_ours(marker: &Marker, rules: &CensusRules) -> bool {
    marker.set == rules.set && marker.total == rules.quorum.total()
}
