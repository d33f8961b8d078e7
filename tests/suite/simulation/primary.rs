//! A model primary: what the commands and scripts of a real one do to a handful of keys, on a clock of its own.
//!
//! The clock runs fast or slow within the allowance, and reads whole milliseconds: a record may go up to a millisecond
//! before its time, as it may on a real server.

use std::sync::Arc;

use bytes::Bytes;
use redlock_proxy::lock::{
    AcquireVote, ExtendVote, FenceNumber, Holder, InspectVote, Moment, RaiseVote, ReleaseVote, SignVote, Token,
};
use redlock_proxy::primary::Marker;

use super::canaries::Canary;

/// Microseconds since the simulation began, on the clock that the proxies read.
pub(super) type Micros = u64;

/// An operation as it travels.
#[derive(Debug, Clone)]
pub(super) enum Work {
    Acquire {
        key: usize,
        token: Token,
        ttl_ms: u64,
    },
    Look {
        key: usize,
    },
    Sign {
        key: usize,
        found: Bytes,
        token: Token,
        ttl_ms: u64,
    },
    Extend {
        key: usize,
        token: Token,
        ttl_ms: u64,
    },
    Release {
        key: usize,
        token: Token,
        until: Moment,
        notice: Option<Bytes>,
    },
    /// Raise the key's counter; `looks`: and tell whether the record bears the token then.
    Raise {
        key: usize,
        token: Token,
        number: FenceNumber,
        looks: bool,
    },
    Announce {
        key: usize,
        notice: Bytes,
    },
}

impl Work {
    pub(super) fn key(&self) -> usize {
        match self {
            Self::Acquire { key, .. }
            | Self::Look { key }
            | Self::Sign { key, .. }
            | Self::Extend { key, .. }
            | Self::Release { key, .. }
            | Self::Raise { key, .. }
            | Self::Announce { key, .. } => *key,
        }
    }

    pub(super) fn token(&self) -> Option<&Token> {
        match self {
            Self::Acquire { token, .. }
            | Self::Sign { token, .. }
            | Self::Extend { token, .. }
            | Self::Release { token, .. }
            | Self::Raise { token, .. } => Some(token),
            Self::Look { .. } | Self::Announce { .. } => None,
        }
    }

    /// Whether it needs memory.
    pub(super) fn sets(&self) -> bool {
        matches!(self, Self::Acquire { .. } | Self::Sign { .. } | Self::Raise { .. })
    }

    /// What everybody who listens hears of when it has been run.
    pub(super) fn notice(&self) -> Option<&Bytes> {
        match self {
            Self::Release { notice, .. } => notice.as_ref(),
            Self::Announce { notice, .. } => Some(notice),
            _ => None,
        }
    }
}

/// What a primary answers.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Hello,
    Killed(i64),
    /// With how long the record in the way lives on.
    Acquire(AcquireVote, Option<u64>),
    Look(InspectVote),
    Sign(SignVote),
    Extend(ExtendVote),
    Release(ReleaseVote),
    Raise(RaiseVote),
    Published,
    OutOfMemory,
    /// To a probe, and to a marking.
    Probed,
    /// It is a replica.
    ReadOnly,
}

/// What a link learns of a primary with every answer.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// The process.
    pub(super) run: Arc<str>,
    pub(super) marker: Option<Bytes>,
    /// What its clock shows.
    pub(super) micros: Micros,
    pub(super) is_replica: bool,
}

#[derive(Debug, Clone)]
struct Record {
    value: Token,
    /// On the primary's clock.
    expires_ms: u64,
}

/// All that is lost with a process, unless it was saved.
#[derive(Debug, Clone)]
struct Memory {
    records: Vec<Option<Record>>,
    /// The fencing counters of the keys.
    counters: Vec<Option<FenceNumber>>,
    marker: Option<Bytes>,
}

impl Memory {
    fn empty(keys: usize) -> Self {
        Self { records: vec![None; keys], counters: vec![None; keys], marker: None }
    }
}

#[derive(Debug)]
pub(super) struct Primary {
    number: usize,
    memory: Memory,
    /// What was saved last.
    snapshot: Option<Memory>,
    /// How often it was started again.
    restarts: u32,
    pub(super) is_replica: bool,
    /// When it last got records back that were deleted since, or lost some.
    pub(super) forgot_at: Option<Micros>,
    /// Its clock when the simulation began, and what it has been moved by since.
    offset: Micros,
    /// How far its clock was moved backward.
    pub(super) set_back: Micros,
    /// Its clock's rate, in microseconds per second of the proxies' clock.
    rate: u64,
    canary: Option<Canary>,
}

const SECOND: u64 = 1_000_000;
/// Unix time when a simulation begins.
const EPOCH: Micros = 1_763_765_000 * SECOND;

impl Primary {
    /// `parts_per_million` fast (or slow, when negative).
    pub(super) fn new(
        number: usize,
        keys: usize,
        offset: Micros,
        parts_per_million: i64,
        canary: Option<Canary>,
    ) -> Self {
        Self {
            number,
            memory: Memory::empty(keys),
            snapshot: None,
            restarts: 0,
            is_replica: false,
            forgot_at: None,
            offset: EPOCH + offset,
            set_back: 0,
            rate: SECOND.checked_add_signed(parts_per_million).expect("a rate near one"),
            canary,
        }
    }

    /// Runs one operation; also tells in a word what became of it.
    pub(super) fn execute(&mut self, now: Micros, work: &Work) -> (Answer, &'static str) {
        let clock_ms = self.clock_ms(now);
        match work {
            Work::Acquire { key, token, ttl_ms } => {
                let slot = self.slot(*key, clock_ms);
                if let Some(record) = slot {
                    let held = AcquireVote::Held(holder_of(record));
                    return (Answer::Acquire(held, Some(record.expires_ms - clock_ms)), "SET NX: held");
                }
                *slot = Some(Record { value: token.clone(), expires_ms: clock_ms + ttl_ms });
                (Answer::Acquire(AcquireVote::Granted, None), "SET NX: set")
            }
            Work::Look { key } => match self.slot(*key, clock_ms) {
                Some(record) => (Answer::Look(InspectVote::Held(holder_of(record), None)), "GET: held"),
                None => (Answer::Look(InspectVote::Free), "GET: free"),
            },
            Work::Announce { .. } => (Answer::Published, "a line is announced"),
            Work::Sign { key, found, token, ttl_ms } => {
                let by_prefix = self.canary == Some(Canary::SigningByPrefix);
                match self.slot(*key, clock_ms) {
                    Some(record)
                        if record.value.as_bytes() == found
                            || by_prefix && owner_of(record.value.as_bytes()) == owner_of(found) =>
                    {
                        record.value = token.clone();
                        record.expires_ms = record.expires_ms.max(clock_ms + ttl_ms);
                        (Answer::Sign(SignVote::Signed), "signing: signed")
                    }
                    _ => (Answer::Sign(SignVote::Changed), "signing: changed"),
                }
            }
            Work::Extend { key, token, ttl_ms } => {
                let shortens = self.canary == Some(Canary::ExtendWithoutGreaterThan);
                match self.slot(*key, clock_ms) {
                    Some(record) if record.value == *token => {
                        let asked = clock_ms + ttl_ms;
                        record.expires_ms = if shortens { asked } else { asked.max(record.expires_ms) };
                        (Answer::Extend(ExtendVote::Extended), "extension: extended")
                    }
                    _ => (Answer::Extend(ExtendVote::Lacking), "extension: lacking"),
                }
            }
            Work::Release { key, token, .. } => match self.slot(*key, clock_ms) {
                slot @ Some(_) if slot.as_ref().is_some_and(|record| record.value == *token) => {
                    *slot = None;
                    (Answer::Release(ReleaseVote::Deleted), "release: deleted")
                }
                _ => (Answer::Release(ReleaseVote::Lacking), "release: lacking"),
            },
            Work::Raise { key, token, number, looks } => {
                let before = self.memory.counters[*key];
                self.memory.counters[*key] = before.max(Some(*number));
                let ours = !looks || self.slot(*key, clock_ms).as_ref().is_some_and(|record| record.value == *token);
                let accepted = before.is_none_or(|before| before < *number);
                let what = match (accepted, ours) {
                    (true, true) => "raise: accepted",
                    (true, false) => "raise: accepted, record not ours",
                    (false, _) => "raise: outrun",
                };
                (Answer::Raise(RaiseVote::Raised(before, ours)), what)
            }
        }
    }

    /// What its clock shows.
    pub(super) fn wall_clock(&self, now: Micros) -> Micros {
        self.clock(now)
    }

    /// Whose record lies under the key.
    pub(super) fn holder(&self, key: usize, now: Micros) -> Option<&Token> {
        let record = self.memory.records[key].as_ref()?;
        (record.expires_ms > self.clock_ms(now)).then_some(&record.value)
    }

    /// Somebody who goes through no proxy takes the key, for ever.
    pub(super) fn occupy(&mut self, key: usize, value: Token) {
        self.memory.records[key] = Some(Record { value, expires_ms: u64::MAX / 2_000_000 });
    }

    /// Somebody who goes through no proxy deletes the key.
    pub(super) fn vacate(&mut self, key: usize) {
        self.memory.records[key] = None;
    }

    /// When the key will be free, if nobody touches it: in the past when it is free already.
    pub(super) fn free_at(&self, key: usize) -> Micros {
        let expires_ms = self.memory.records[key].as_ref().map_or(0, |record| record.expires_ms);
        (expires_ms * 1_000).saturating_sub(self.offset) * SECOND / self.rate
    }

    /// Which process it is.
    pub(super) fn run(&self) -> Arc<str> {
        let restarts = if self.canary == Some(Canary::RunIgnored) { 0 } else { self.restarts };
        format!("{:x}{restarts:04x}", self.number).into()
    }

    pub(super) fn seen(&self, now: Micros) -> Seen {
        let marker = self.memory.marker.clone();
        Seen { run: self.run(), marker, micros: self.clock(now), is_replica: self.is_replica }
    }

    /// Replaces the marker, if it still is what was found.
    pub(super) fn mark(&mut self, found: Option<&Bytes>, marker: &Bytes) -> bool {
        let replaces = !self.is_replica && self.memory.marker.as_ref() == found;
        if replaces {
            self.memory.marker = Some(marker.clone());
        }
        replaces
    }

    /// Its memory as it is now is what it may be started from.
    pub(super) fn save(&mut self) {
        self.snapshot = Some(self.memory.clone());
    }

    /// Another process, with nothing in its memory, or with what was saved last.
    pub(super) fn restart(&mut self, now: Micros, from_snapshot: bool) {
        self.restarts += 1;
        self.is_replica = false;
        self.flush(now);
        if let Some(saved) = self.snapshot.clone().filter(|_| from_snapshot) {
            self.memory = saved;
        }
    }

    pub(super) fn flush(&mut self, now: Micros) {
        self.memory = Memory::empty(self.memory.records.len());
        self.forgot_at = Some(now);
    }

    /// It remembers from now on what the other does. (Each record ends when the other's does: with clocks an hour apart it
    /// might lie here for an hour, which hurts nobody's lock, but does not come to an end within a world.)
    pub(super) fn copy(&mut self, now: Micros, other: &Self) {
        let (here, there) = (self.clock_ms(now), other.clock_ms(now));
        self.memory = other.memory.clone();
        self.memory.records.iter_mut().flatten().for_each(|record| {
            record.expires_ms = here + record.expires_ms.saturating_sub(there);
        });
        self.forgot_at = Some(now);
    }

    /// Whether its marker is one of its own.
    pub(super) fn is_marked(&self) -> bool {
        let marker = self.memory.marker.as_ref().and_then(|marker| Marker::parse(marker));
        marker.is_some_and(|marker| marker.run == self.run())
    }

    /// Moves its clock.
    pub(super) fn step(&mut self, now: Micros, by: i64) {
        self.offset = self.offset.checked_add_signed(by).expect("far from the beginning of time");
        if by < 0 {
            self.set_back += by.unsigned_abs();
        } else {
            self.forgot_at = Some(now);
        }
    }

    fn clock(&self, now: Micros) -> Micros {
        self.offset + now * self.rate / SECOND
    }

    fn clock_ms(&self, now: Micros) -> u64 {
        self.clock(now) / 1_000
    }

    /// The key's place, emptied when its time has passed.
    fn slot(&mut self, key: usize, clock_ms: u64) -> &mut Option<Record> {
        let slot = &mut self.memory.records[key];
        if slot.as_ref().is_some_and(|record| record.expires_ms <= clock_ms) {
            *slot = None;
        }
        slot
    }
}

fn holder_of(record: &Record) -> Holder {
    Holder::Value(Bytes::copy_from_slice(record.value.as_bytes()))
}

/// What stands before the last colon of a token.
fn owner_of(token: &[u8]) -> Option<&[u8]> {
    token.iter().rposition(|byte| *byte == b':').map(|colon| &token[..colon])
}
