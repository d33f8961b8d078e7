//! The referee of fencing numbers: did each later grant of a key carry a larger number?
//!
//! Which of two grants is the later one is decided by what clients are certain of, so that a correct proxy can never be accused:
//!
//! * one that was asked for when the other had been answered is the later one, whatever became of either;
//! * of two that were held (their holders were certain, for however short a time) the one that was answered later is the later
//!   one, although its client may have been waiting for it all the time: two holdings never overlap, which
//!   [`History::overlaps`] decides.
//!
//! What else was under way at the same time may have been granted in any order, and is not compared.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{Grant, GrantId, History};

/// A later grant whose number is not larger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disorder {
    /// The key.
    pub key: String,
    /// The one with the largest number of all that were earlier.
    pub earlier: Numbered,
    /// The other.
    pub later: Numbered,
}

impl fmt::Display for Disorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, earlier, later } = self;
        write!(f, "{key}: {earlier}, and then {later}")
    }
}

/// A grant and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    /// Which grant.
    pub grant: GrantId,
    /// Whose.
    pub client: String,
    /// When it was asked for.
    pub sent: Duration,
    /// When it was answered.
    pub arrived: Duration,
    /// Its number.
    pub number: u64,
}

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { grant, client, sent, arrived, number } = self;
        write!(f, "{client} (grant {}) asked at {sent:?} and had number {number} at {arrived:?}", grant.0)
    }
}

impl History {
    /// The grant came with this fencing number.
    pub fn fenced(&mut self, grant: GrantId, number: u64) {
        self.grants[grant.0].fence = Some(number);
    }

    /// Every grant whose number is not larger than those of all grants before it; none where numbers rise as they must.
    pub fn disorders(&self) -> Vec<Disorder> {
        let mut of_keys: BTreeMap<&str, Vec<(GrantId, &Grant, u64)>> = BTreeMap::new();
        for (index, grant) in self.grants.iter().enumerate() {
            if let Some(number) = grant.fence {
                of_keys.entry(&grant.key).or_default().push((GrantId(index), grant, number));
            }
        }
        let mut disorders: Vec<Disorder> = of_keys.values().flat_map(|grants| disorders_of(grants)).collect();
        // A pair may be ordered by either rule.
        disorders.sort_by_key(|disorder| (disorder.later.grant, disorder.earlier.grant));
        disorders.dedup();
        disorders
    }

    /// Panics, and names both grants of each disorder, unless numbers rose from grant to grant.
    #[track_caller]
    pub fn assert_fences_rise(&self) {
        let disorders = self.disorders();
        let text: Vec<String> = disorders.iter().map(Disorder::to_string).collect();
        assert!(disorders.is_empty(), "{} of {} grants are out of order:\n{}", text.len(), self.len(), text.join("\n"));
    }
}

type Fenced<'a> = (GrantId, &'a Grant, u64);

/// The disorders among the grants of one key, by both rules.
fn disorders_of(grants: &[Fenced<'_>]) -> Vec<Disorder> {
    let arrived = |(_, grant, _): &Fenced<'_>| grant.answers[0].arrived;
    let mut by_arrival: Vec<&Fenced<'_>> = grants.iter().collect();
    by_arrival.sort_by_key(|fenced| arrived(fenced));
    let mut by_sending: Vec<&Fenced<'_>> = grants.iter().collect();
    by_sending.sort_by_key(|(_, grant, _)| grant.answers[0].sent);

    let mut disorders = Vec::new();
    let mut answered = by_arrival.iter().peekable();
    let mut largest: Option<&Fenced<'_>> = None;
    for later in by_sending {
        while let Some(earlier) = answered.next_if(|earlier| arrived(earlier) <= later.1.answers[0].sent) {
            largest = Some(larger(largest, earlier));
        }
        disorders.extend(disorder(largest, later));
    }

    let mut largest: Option<&Fenced<'_>> = None;
    for held in by_arrival.into_iter().filter(|(_, grant, _)| grant.certain().next().is_some()) {
        disorders.extend(disorder(largest, held));
        largest = Some(larger(largest, held));
    }
    disorders
}

fn larger<'a>(largest: Option<&'a Fenced<'a>>, other: &'a Fenced<'a>) -> &'a Fenced<'a> {
    largest.filter(|largest| largest.2 >= other.2).unwrap_or(other)
}

fn disorder(earlier: Option<&Fenced<'_>>, later: &Fenced<'_>) -> Option<Disorder> {
    let earlier = earlier.filter(|earlier| earlier.2 >= later.2)?;
    Some(Disorder { key: later.1.key.clone(), earlier: numbered(earlier), later: numbered(later) })
}

fn numbered(&(grant, described, number): &Fenced<'_>) -> Numbered {
    let answer = described.answers[0];
    Numbered { grant, client: described.client.clone(), sent: answer.sent, arrived: answer.arrived, number }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Answer;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// A grant of `job` that is held for 100 ms, unless it is given up.
    fn granted(history: &mut History, sent: u64, arrived: u64, number: u64) -> GrantId {
        let answer = Answer { sent: ms(sent), arrived: ms(arrived), validity: ms(100) };
        let grant = history.granted("somebody", "job", answer);
        history.fenced(grant, number);
        grant
    }

    fn disorders(history: &History) -> Vec<(usize, usize)> {
        history.disorders().into_iter().map(|found| (found.earlier.grant.0, found.later.grant.0)).collect()
    }

    #[test]
    fn a_later_grant_with_a_smaller_number_is_found_and_named() {
        let mut history = History::new();
        let first = granted(&mut history, 0, 5, 8);
        history.given_up(first, ms(10));
        granted(&mut history, 12, 15, 7);
        assert_eq!(disorders(&history), [(0, 1)]);
        let text = history.disorders()[0].to_string();
        let expected = "job: somebody (grant 0) asked at 0ns and had number 8 at 5ms, \
                        and then somebody (grant 1) asked at 12ms and had number 7 at 15ms";
        assert_eq!(text, expected);
    }

    #[test]
    #[should_panic(expected = "1 of 2 grants are out of order:\njob: somebody (grant 0)")]
    fn a_disorder_fails_the_test_that_asserts_that_numbers_rise() {
        let mut history = History::new();
        granted(&mut history, 0, 5, 8);
        granted(&mut history, 200, 205, 7);
        history.assert_fences_rise();
    }

    #[test]
    fn the_same_number_twice_is_a_disorder() {
        let mut history = History::new();
        granted(&mut history, 0, 5, 7);
        granted(&mut history, 200, 205, 7);
        assert_eq!(disorders(&history), [(0, 1)]);
    }

    #[test]
    fn numbers_that_rise_are_in_order_however_they_were_written_down() {
        let mut history = History::new();
        for (sent, number) in [(400, 9), (0, 3), (200, 5), (600, 10)] {
            granted(&mut history, sent, sent + 5, number);
        }
        history.assert_fences_rise();
    }

    #[test]
    fn a_grant_is_compared_with_the_largest_number_before_it_and_not_with_the_last() {
        let mut history = History::new();
        for (sent, number) in [(0, 9), (200, 5), (400, 6)] {
            granted(&mut history, sent, sent + 5, number);
        }
        assert_eq!(disorders(&history), [(0, 1), (0, 2)]);
    }

    #[test]
    fn whoever_waited_all_the_time_was_granted_after_those_whose_locks_it_waited_for() {
        let mut history = History::new();
        for (sent, number) in [(10, 4), (30, 5)] {
            let grant = granted(&mut history, sent, sent + 5, number);
            history.given_up(grant, ms(sent + 10));
        }
        granted(&mut history, 0, 50, 3);
        assert_eq!(disorders(&history), [(1, 2)]);
    }

    #[test]
    fn what_nobody_was_certain_of_counts_only_against_what_was_asked_for_later() {
        let mut history = History::new();
        // Its answer took longer than its validity: when it was granted is not known.
        granted(&mut history, 0, 150, 9);
        let between = granted(&mut history, 120, 130, 5);
        history.given_up(between, ms(140));
        assert_eq!(disorders(&history), []);
        granted(&mut history, 160, 165, 8);
        assert_eq!(disorders(&history), [(0, 2)]);
    }

    #[test]
    fn other_keys_and_grants_without_a_number_do_not_matter() {
        let mut history = History::new();
        granted(&mut history, 0, 5, 9);
        let answer = Answer { sent: ms(200), arrived: ms(205), validity: ms(100) };
        let other = history.granted("somebody", "other", answer);
        history.fenced(other, 1);
        history.granted("somebody", "job", answer);
        history.assert_fences_rise();
    }
}
