//! The referee: did this history of grants ever have two holders at once?
//!
//! Tests write down what clients saw, and this module, which does no I/O and reads no clock, decides. It counts only what a client
//! may be *certain* of, so that a correct proxy can never be accused: a holder's certainty begins when the reply with its validity
//! has arrived, and it ends when the validity has run out, counted from the moment the command was **sent**, or when it begins to
//! give the lock up, whichever is first. If even two such intervals of different grants of one key overlap, two clients acted on
//! the same lock.
//!
//! Times are durations since any moment that all clients of the history share. Whether fencing numbers rise from grant to grant is
//! decided by the same certainty ([`fences`]); so is whether a primary has kept what it should not ([`ghosts`]). And locks have to be
//! granted at all ([`progress`]).

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

pub mod fences;
pub mod ghosts;
pub mod past;
pub mod progress;

/// One grant in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantId(usize);

/// When a command was sent, when its answer had arrived, and the validity that it told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Just before the command was sent.
    pub sent: Duration,
    /// When the whole reply had been read.
    pub arrived: Duration,
    /// What it promised.
    pub validity: Duration,
}

impl Answer {
    /// From when to when its receiver is certain; empty when the reply took longer than its validity.
    fn certain(self) -> (Duration, Duration) {
        (self.arrived, self.sent + self.validity)
    }
}

#[derive(Debug, Clone)]
struct Grant {
    client: String,
    key: String,
    answers: Vec<Answer>,
    given_up: Option<Duration>,
    fence: Option<u64>,
    token: Option<String>,
}

impl Grant {
    /// The times at which its holder is certain to hold the lock.
    fn certain(&self) -> impl Iterator<Item = (Duration, Duration)> {
        let until = self.given_up.unwrap_or(Duration::MAX);
        let spans = self.answers.iter().map(move |answer| {
            let (from, to) = answer.certain();
            (from, to.min(until))
        });
        spans.filter(|(from, to)| from < to)
    }
}

/// What clients saw.
#[derive(Debug, Clone, Default)]
pub struct History {
    grants: Vec<Grant>,
}

impl History {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// `client` was granted `key`.
    pub fn granted(&mut self, client: impl Into<String>, key: impl Into<String>, answer: Answer) -> GrantId {
        let (client, key) = (client.into(), key.into());
        self.grants.push(Grant { client, key, answers: vec![answer], given_up: None, fence: None, token: None });
        GrantId(self.grants.len() - 1)
    }

    /// The grant was extended (or its session's renewal confirmed).
    pub fn extended(&mut self, grant: GrantId, answer: Answer) {
        self.grants[grant.0].answers.push(answer);
    }

    /// Its holder began to give it up then: it was about to send RUNLOCK, or a take-over of its own lock, or to disconnect a
    /// session. What the answer was does not matter.
    pub fn given_up(&mut self, grant: GrantId, at: Duration) {
        let given_up = &mut self.grants[grant.0].given_up;
        *given_up = Some(given_up.map_or(at, |earlier| earlier.min(at)));
    }

    /// How many grants there are.
    pub fn len(&self) -> usize {
        self.grants.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// The first overlap of each two grants of one key that overlap; none in a history of mutual exclusion.
    pub fn overlaps(&self) -> Vec<Overlap> {
        let mut spans: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
        for (index, grant) in self.grants.iter().enumerate() {
            let of_key = spans.entry(&grant.key).or_default();
            of_key.extend(grant.certain().map(|(from, to)| Span { from, to, grant: GrantId(index) }));
        }
        let mut overlaps = Vec::new();
        for (key, mut spans) in spans {
            spans.sort_by_key(|span| (span.from, span.to, span.grant));
            self.overlaps_of(key, &spans, &mut overlaps);
        }
        overlaps
    }

    /// Goes through the spans of one key in the order of their beginnings; `open` are those that have not ended yet.
    fn overlaps_of(&self, key: &str, spans: &[Span], overlaps: &mut Vec<Overlap>) {
        let mut open: Vec<Span> = Vec::new();
        let mut told = HashSet::new();
        for &span in spans {
            // One that ends as the next begins does not overlap it.
            open.retain(|earlier| earlier.to > span.from);
            for earlier in open.iter().filter(|earlier| earlier.grant != span.grant) {
                let pair = (earlier.grant.min(span.grant), earlier.grant.max(span.grant));
                if told.insert(pair) {
                    overlaps.push(Overlap {
                        key: key.to_owned(),
                        earlier: self.describe(*earlier),
                        later: self.describe(span),
                        from: span.from,
                        to: span.to.min(earlier.to),
                    });
                }
            }
            open.push(span);
        }
    }

    fn describe(&self, span: Span) -> Held {
        Held { grant: span.grant, client: self.grants[span.grant.0].client.clone(), from: span.from, to: span.to }
    }

    /// Panics, and names both grants of each overlap, unless no two grants ever overlapped.
    #[track_caller]
    pub fn assert_exclusive(&self) {
        let overlaps = self.overlaps();
        let text: Vec<String> = overlaps.iter().map(Overlap::to_string).collect();
        assert!(overlaps.is_empty(), "{} of {} grants overlap:\n{}", overlaps.len(), self.len(), text.join("\n"));
    }
}

#[derive(Debug, Clone, Copy)]
struct Span {
    from: Duration,
    to: Duration,
    grant: GrantId,
}

/// A stretch in which a grant's holder is certain to hold its lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which grant.
    pub grant: GrantId,
    /// Whose.
    pub client: String,
    /// From when the holder is certain.
    pub from: Duration,
    /// Until when.
    pub to: Duration,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (grant {}) held it from {:?} to {:?}", self.client, self.grant.0, self.from, self.to)
    }
}

/// Two grants of one key that were held at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The key.
    pub key: String,
    /// The grant whose holding began first.
    pub earlier: Held,
    /// The other.
    pub later: Held,
    /// The beginning of the overlap.
    pub from: Duration,
    /// Its end.
    pub to: Duration,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, earlier, later, from, to } = self;
        write!(f, "{key}: {earlier}, and {later}: both for {:?}", to.saturating_sub(*from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn answer(sent: u64, arrived: u64, validity: u64) -> Answer {
        Answer { sent: ms(sent), arrived: ms(arrived), validity: ms(validity) }
    }

    /// Pairs of grants that overlap, with the overlap's two ends in milliseconds.
    fn overlaps(history: &History) -> Vec<(usize, usize, u128, u128)> {
        let overlaps = history.overlaps().into_iter();
        overlaps.map(|o| (o.earlier.grant.0, o.later.grant.0, o.from.as_millis(), o.to.as_millis())).collect()
    }

    #[test]
    fn two_certain_holders_are_found_and_named() {
        let mut history = History::new();
        history.granted("one", "job", answer(0, 5, 100));
        history.granted("other", "job", answer(80, 90, 100));
        assert_eq!(overlaps(&history), [(0, 1, 90, 100)]);
        let text = history.overlaps()[0].to_string();
        let expected = "job: one (grant 0) held it from 5ms to 100ms, and other (grant 1) held it from 90ms to 180ms: both for 10ms";
        assert_eq!(text, expected);
    }

    #[test]
    #[should_panic(expected = "1 of 2 grants overlap:\njob: one")]
    fn an_overlap_fails_the_test_that_asserts_exclusion() {
        let mut history = History::new();
        history.granted("one", "job", answer(0, 5, 100));
        history.granted("other", "job", answer(80, 90, 100));
        history.assert_exclusive();
    }

    #[test]
    fn holdings_that_touch_do_not_overlap() {
        let mut history = History::new();
        history.granted("one", "job", answer(0, 5, 100));
        history.granted("other", "job", answer(90, 100, 50));
        history.assert_exclusive();
    }

    #[test]
    fn other_keys_do_not_matter() {
        let mut history = History::new();
        history.granted("one", "a", answer(0, 5, 100));
        history.granted("other", "b", answer(0, 5, 100));
        history.assert_exclusive();
    }

    #[test]
    fn a_holding_ends_where_its_release_begins() {
        let mut history = History::new();
        let first = history.granted("one", "job", answer(0, 5, 100));
        history.given_up(first, ms(40));
        history.given_up(first, ms(60));
        history.granted("other", "job", answer(30, 40, 100));
        history.assert_exclusive();
        let mut late = History::new();
        let first = late.granted("one", "job", answer(0, 5, 100));
        late.given_up(first, ms(41));
        late.granted("other", "job", answer(30, 40, 100));
        assert_eq!(overlaps(&late), [(0, 1, 40, 41)]);
    }

    #[test]
    fn an_extension_lengthens_and_a_release_ends_it_too() {
        let mut history = History::new();
        let first = history.granted("one", "job", answer(0, 5, 100));
        history.extended(first, answer(60, 65, 100));
        history.granted("other", "job", answer(120, 130, 100));
        assert_eq!(overlaps(&history), [(0, 1, 130, 160)]);
        history.given_up(first, ms(129));
        history.assert_exclusive();
    }

    #[test]
    fn nobody_is_certain_between_the_end_and_a_late_extension() {
        let mut history = History::new();
        let first = history.granted("one", "job", answer(0, 5, 50));
        history.extended(first, answer(40, 90, 100));
        let second = history.granted("other", "job", answer(55, 60, 100));
        history.given_up(second, ms(90));
        history.assert_exclusive();
    }

    #[test]
    fn a_reply_slower_than_its_validity_makes_nobody_certain() {
        let mut history = History::new();
        history.granted("slow", "job", answer(0, 200, 100));
        history.granted("other", "job", answer(150, 160, 100));
        history.assert_exclusive();
    }

    #[test]
    fn a_long_holding_is_compared_with_all_that_it_spans() {
        let mut history = History::new();
        history.granted("long", "job", answer(0, 1, 1000));
        for start in [100, 200, 300] {
            let short = history.granted("short", "job", answer(start, start + 1, 50));
            history.extended(short, answer(start + 10, start + 11, 50));
        }
        assert_eq!(overlaps(&history), [(0, 1, 101, 150), (0, 2, 201, 250), (0, 3, 301, 350)]);
    }
}
