//! Scripts: what happens in a round, one letter for each event, so that a corpus can be read and written by hand.
//!
//! A script about primaries begins with two digits, how many there are and how many make a quorum. Behind a letter that is
//! about a primary stands its place, counted from 0. White space is left out; what makes no sense is passed over.

use redlock_proxy::lock::{Drift, Moment, NodeId, Quorum, Ttl};

/// A script that is being read.
pub(crate) struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// The next letter.
    pub(crate) fn letter(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        let (letter, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*letter)
    }

    /// The digit that comes next, if one does.
    pub(crate) fn digit(&mut self) -> Option<usize> {
        let digit = self.rest.trim_ascii_start().first().filter(|byte| byte.is_ascii_digit())?;
        self.letter();
        Some(usize::from(digit - b'0'))
    }

    /// Whether this letter comes next; if so, it has been read.
    pub(crate) fn next_is(&mut self, letter: u8) -> bool {
        let is_next = self.rest.trim_ascii_start().first() == Some(&letter);
        if is_next {
            self.letter();
        }
        is_next
    }

    /// The quorum that the script begins with.
    pub(crate) fn quorum(&mut self) -> Option<Quorum> {
        let (total, needed) = (self.digit()?, self.digit()?);
        Quorum::new(needed, total)
    }

    /// The primary that comes next.
    pub(crate) fn node(&mut self, quorum: Quorum) -> Option<NodeId> {
        self.digit().and_then(|place| NodeId::new(place % quorum.total()))
    }
}

/// The time in which a round runs.
#[derive(Debug)]
pub(crate) struct Time {
    pub(crate) started: Moment,
    pub(crate) now: Moment,
    pub(crate) ttl: Ttl,
    pub(crate) drift: Drift,
}

const TTL_MS: u64 = 1_000;
/// 1 % of the ttl, and 2 ms.
const DRIFT_MS: u64 = 12;
const STEP_MS: u64 = 110;

impl Time {
    pub(crate) fn begin() -> Self {
        let started = Moment::from_micros(5_000_000);
        let ttl = Ttl::from_millis(TTL_MS).expect("in range");
        Self { started, now: started, ttl, drift: Drift::from_parts_per_million(10_000) }
    }

    /// Some tenths of the ttl go by, or a microsecond.
    pub(crate) fn pass(&mut self, steps: usize) {
        let micros = if steps == 0 { 1 } else { steps as u64 * STEP_MS * 1_000 };
        self.now = Moment::from_micros(self.now.as_micros() + micros);
    }

    /// Whether anything is left of the lock: ttl less elapsed and drift, both rounded up, in milliseconds.
    pub(crate) fn is_left(&self) -> bool {
        let elapsed_ms = (self.now.as_micros() - self.started.as_micros()).div_ceil(1_000);
        elapsed_ms + DRIFT_MS < TTL_MS
    }
}
