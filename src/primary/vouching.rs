//! Who may vote, as all links share it: the census under a lock, and what goes over the wire for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::admission::unix_micros;
use super::census::{Census, CensusRules, Errand, Look, Soundness, Tail};
use super::clock_watch::ClockReading;
use super::encoding::encode_command;
use super::marker::Epoch;
use super::pipeline::TailAnswers;
use super::trouble::{classify, is_wrong_type, unexpected};
use crate::coordinator::{Entropy, SystemEntropy, Trouble};
use crate::counters::Counters;
use crate::lock::{Moment, NodeId, Ttl};
use crate::protocol::Answer;

/// The marker's name, behind the configured prefix. No lock may have it.
const MARKER_KEY: &[u8] = b"redlock-proxy:marker";

/// Replaces the marker if it still is what was found. KEYS: the marker. ARGV: what was found, empty for none; the new one.
const MARK: &[u8] = b"local found = redis.call('get', KEYS[1]) \
                      if (found or '') == ARGV[1] then redis.call('set', KEYS[1], ARGV[2]) return 1 end \
                      return 0";

/// The longest ttl that may be granted now.
#[derive(Debug, Clone)]
pub struct Ceiling(Arc<AtomicU64>);

impl Ceiling {
    pub fn new(max_ttl: Ttl) -> Self {
        Self(Arc::new(AtomicU64::new(max_ttl.as_millis())))
    }

    pub fn ttl(&self) -> Ttl {
        let millis = self.0.load(Ordering::Relaxed);
        Ttl::from_millis(millis).expect("it was made of one")
    }
}

/// What the links know together.
#[derive(Debug)]
pub(super) struct Vouching {
    census: Mutex<Census>,
    /// What the links sleep on.
    wakes: Mutex<Vec<Arc<Notify>>>,
    ceiling: Ceiling,
    counters: Arc<Counters>,
    key: Bytes,
    /// `TIME` and `GET marker`, as every batch ends.
    tail: Bytes,
}

impl Vouching {
    pub(super) fn new(rules: CensusRules, key_prefix: &[u8], counters: Arc<Counters>) -> Self {
        let key = [key_prefix, MARKER_KEY].concat();
        let mut tail = BytesMut::new();
        encode_command(&[b"TIME"], &mut tail);
        encode_command(&[b"GET", &key], &mut tail);
        Self {
            ceiling: Ceiling::new(rules.max_ttl),
            census: Mutex::new(Census::new(rules)),
            wakes: Mutex::default(),
            counters,
            key: key.into(),
            tail: tail.freeze(),
        }
    }

    /// From now on this link is woken when there may be an errand for it.
    pub(super) fn wakes(&self, wake: Arc<Notify>) {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner).push(wake);
    }

    pub(super) fn ceiling(&self) -> Ceiling {
        self.ceiling.clone()
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// What every batch ends with.
    pub(super) fn encoded_tail(&self) -> &[u8] {
        &self.tail
    }

    /// The command that replaces the marker.
    pub(super) fn encode_marking(&self, found: Option<&Bytes>, marker: &[u8], out: &mut BytesMut) {
        let found: &[u8] = found.map_or(b"", |found| found);
        encode_command(&[b"EVAL", MARK, b"1", &self.key, found, marker], out);
    }

    pub(super) fn admitted(&self, node: NodeId, run: &str, look: &Look) -> Soundness {
        self.with(|census| census.admitted(node, run, look))
    }

    pub(super) fn lost(&self, node: NodeId) {
        self.with(|census| census.lost(node));
    }

    pub(super) fn is_replica(&self, node: NodeId) {
        self.with(|census| census.is_replica(node));
    }

    pub(super) fn tail(&self, node: NodeId, run: &str, look: &Look) -> Tail {
        self.with(|census| census.tail(node, run, look))
    }

    pub(super) fn soundness(&self, node: NodeId, now: Moment) -> Soundness {
        self.with(|census| census.soundness(node, now))
    }

    pub(super) fn errand(&self, node: NodeId, now: Moment) -> Errand {
        let [bytes @ .., _, _, _, _] = SystemEntropy.token_bytes();
        self.with(|census| census.errand(node, now, Epoch(u128::from_be_bytes(bytes))))
    }

    pub(super) fn may_found(&self, node: NodeId) -> bool {
        self.with(|census| census.may_found(node))
    }

    fn with<R>(&self, change: impl FnOnce(&mut Census) -> R) -> R {
        let mut census = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        let before = census.quarantines();
        let result = change(&mut census);
        self.counters.quarantines.add(census.quarantines() - before);
        self.ceiling.0.store(census.ceiling().as_millis(), Ordering::Relaxed);
        if census.take_stirred() {
            drop(census);
            let wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
            wakes.iter().for_each(|wake| wake.notify_one());
        }
        result
    }
}

/// Reads what a look at a primary was answered.
pub(super) fn look(answers: &TailAnswers<'_>, answered: Moment) -> Result<Look, Trouble> {
    let TailAnswers { clock, asked, marker } = *answers;
    let micros = match clock {
        Answer::Error(error) => return Err(classify(error)),
        clock => unix_micros(clock).ok_or_else(unexpected)?,
    };
    let marker = match marker {
        Answer::Null => None,
        Answer::Bulk(value) => Some(value.clone()),
        // Not ours, and nothing that a set of ours could be marked over.
        Answer::Oversized => Some(Bytes::from_static(b"?")),
        Answer::Error(error) if is_wrong_type(error) => Some(Bytes::from_static(b"?")),
        Answer::Error(error) => return Err(classify(error)),
        _ => return Err(unexpected()),
    };
    Ok(Look { marker, clock: ClockReading { micros, asked, answered } })
}

/// How long a primary does not vote yet.
pub(super) fn left(soundness: &Soundness) -> Duration {
    match soundness {
        Soundness::Quarantined(_, left) => *left,
        Soundness::Sound | Soundness::Foreign(_) => Duration::ZERO,
    }
}
