//! One moment of a world.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::rounds::Acquiring;
use crate::world::{ATTEMPTS, PRIMARIES};

/// A request on its way to one primary, and its answer on the way back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Slot<A> {
    /// There is nothing.
    #[default]
    Idle,
    /// Sent, and waited for.
    Sent,
    /// Sent, and waited for no longer: it may be run yet.
    GivenUp,
    /// Run, and not heard of.
    Ran(A),
}

impl<A> Slot<A> {
    pub(crate) fn is_to_run(&self) -> bool {
        matches!(self, Self::Sent | Self::GivenUp)
    }

    /// It is run: whoever still waits will hear of it.
    pub(crate) fn run(&mut self, answer: A) {
        *self = if matches!(self, Self::Sent) { Self::Ran(answer) } else { Self::Idle };
    }

    /// It is waited for no longer.
    pub(crate) fn give_up(&mut self) {
        *self = if self.is_to_run() { Self::GivenUp } else { Self::Idle };
    }
}

/// What a primary answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    /// It is quarantined: whatever was done counts for nothing.
    Unsound,
    /// Done: set, extended, deleted.
    Yes,
    /// There is no record of this attempt.
    No,
    /// The record of that attempt is there.
    Held(u8),
}

/// What was heard of the raise behind a `SET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Raised {
    /// It failed, or none was asked for.
    Unknown,
    /// The counter as it was.
    Over(Option<u16>),
}

/// One attempt's requests to one primary. Only the order of `SET`, signing, raise and withdrawal is kept; extensions and releases
/// may go through other proxies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Link {
    pub(crate) set: Slot<(Answer, Raised)>,
    /// Whose record was to be signed anew here, and the signing.
    pub(crate) found: Option<u8>,
    pub(crate) sign: Slot<Answer>,
    /// The raise of the latest number that was drawn anew.
    pub(crate) number: u16,
    /// The counter as it was, and whether the record was the attempt's.
    pub(crate) raise: Slot<(Option<u16>, bool)>,
    /// A withdrawal is owed.
    pub(crate) withdraw: bool,
    pub(crate) extend: Slot<Answer>,
    pub(crate) release: Slot<Answer>,
}

/// The record of the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Record {
    /// Whose it is.
    pub(crate) attempt: u8,
    /// The ticks for which it certainly lives. From then on it may end at any time.
    pub(crate) left: u8,
}

/// A primary, and what is under way to it and back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Primary {
    pub(crate) record: Option<Record>,
    pub(crate) counter: Option<u16>,
    /// The ticks for which it does not vote.
    pub(crate) quarantine: u8,
    /// It has forgotten once.
    pub(crate) forgot: bool,
    pub(crate) links: [Link; ATTEMPTS],
}

impl Primary {
    pub(crate) fn bears(&self, attempt: usize) -> bool {
        self.record.is_some_and(|record| usize::from(record.attempt) == attempt)
    }
}

/// How far an attempt has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    #[default]
    Unbegun,
    Asking,
    /// Something was heard, and asked behind it: a signing, or the raise of another number.
    Further(Arc<Acquiring>),
    /// By signing its owner's records anew, or not.
    Granted {
        took_over: bool,
    },
    Lost,
}

/// A grant's extension.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) enum Extension {
    #[default]
    Unused,
    UnderWay {
        elapsed: u8,
        /// It began after a release had been answered with 1.
        is_late: bool,
    },
    Confirmed,
    Failed,
}

/// A grant's release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) enum Release {
    #[default]
    Unused,
    UnderWay,
    /// Answered with 1.
    Released,
    Failed,
}

/// One attempt, and what becomes of its grant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    pub(crate) stage: Stage,
    /// Ticks since it began, while it is under way; no more than the ttl.
    pub(crate) elapsed: u8,
    /// The ticks for which its client is certain to hold the lock, this one included.
    pub(crate) certain: u8,
    pub(crate) extension: Extension,
    pub(crate) release: Release,
}

impl Attempt {
    pub(crate) fn is_granted(&self) -> bool {
        matches!(self.stage, Stage::Granted { .. })
    }

    pub(crate) fn is_released(&self) -> bool {
        self.release == Release::Released
    }

    pub(crate) fn is_extended(&self) -> bool {
        self.extension == Extension::Confirmed
    }

    pub(crate) fn is_asking(&self) -> bool {
        matches!(self.stage, Stage::Asking | Stage::Further(_))
    }
}

/// A promise about the past that was broken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Broken {
    /// A grant got a number that is no larger than that of an earlier one.
    pub(crate) order: bool,
    /// An extension that began after a release was answered with 1 was confirmed.
    pub(crate) release: bool,
}

/// One moment of a world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub(crate) primaries: [Primary; PRIMARIES],
    pub(crate) attempts: [Attempt; ATTEMPTS],
    /// How often primaries may still forget.
    pub(crate) losses: u8,
    /// How often raises may still fail.
    pub(crate) lost_raises: u8,
    /// The number of the latest grant.
    pub(crate) latest: Option<u16>,
    pub(crate) broken: Broken,
}

/// Worlds that differ only in which primary is which are one to the search, as long as nobody has heard anything: what
/// has been heard is told apart by the primaries' places.
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let mut primaries = self.primaries.each_ref();
        if !self.attempts.iter().any(|attempt| matches!(attempt.stage, Stage::Further(_))) {
            primaries.sort_unstable();
        }
        primaries.hash(hasher);
        self.attempts.hash(hasher);
        (self.losses, self.lost_raises, self.latest, self.broken).hash(hasher);
    }
}
