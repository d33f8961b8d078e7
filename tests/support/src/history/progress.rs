//! The referee of progress: were locks granted, and soon again after all was well?
//!
//! Exclusion alone is easy: grant nothing. So a history is also asked for progress.

use std::fmt;
use std::time::Duration;

use super::History;

/// A time without a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stall {
    /// The key.
    pub key: String,
    /// The last grant before it, or where the question began.
    pub from: Duration,
    /// The first grant after it, or where the question ended.
    pub to: Duration,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: no grant from {:?} to {:?}", self.key, self.from, self.to)
    }
}

/// What has become of locks since all was well again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Each has been granted again, the last of them after so long.
    Resumed(Duration),
    /// Not each, and there is time left.
    Awaited,
    /// These have not been granted in time.
    Stalled(Vec<Stall>),
}

impl History {
    /// The first stretch of `window` between `from` and `to` in which no grant of `key` arrived, if there is one.
    pub fn stall(&self, key: &str, window: Duration, from: Duration, to: Duration) -> Option<Stall> {
        let grants = self.grants.iter().filter(|grant| grant.key == key);
        let mut arrivals: Vec<Duration> = grants.map(|grant| grant.answers[0].arrived).collect();
        arrivals.retain(|arrival| (from..=to).contains(arrival));
        arrivals.sort_unstable();
        arrivals.push(to);
        let mut last = from;
        for arrival in arrivals {
            if arrival.saturating_sub(last) > window {
                return Some(Stall { key: key.to_owned(), from: last, to: arrival });
            }
            last = arrival;
        }
        None
    }

    /// Whether each of these keys, for all of which clients ask, was granted within `bound` after all was well at `healed`, as
    /// far as is known at `now`.
    pub fn progress(&self, keys: &[String], healed: Duration, bound: Duration, now: Duration) -> Progress {
        let first = |key: &String| {
            let arrivals = self.grants.iter().filter(|grant| grant.key == *key).map(|grant| grant.answers[0].arrived);
            arrivals.filter(|arrived| (healed..=now).contains(arrived)).min()
        };
        let (mut last, mut awaited, mut stalled) = (healed, false, Vec::new());
        for key in keys {
            let granted = first(key);
            let to = granted.unwrap_or(now);
            if to.saturating_sub(healed) > bound {
                stalled.push(Stall { key: key.clone(), from: healed, to });
            }
            awaited |= granted.is_none();
            last = last.max(to);
        }
        match (stalled.is_empty(), awaited) {
            (false, _) => Progress::Stalled(stalled),
            (true, true) => Progress::Awaited,
            (true, false) => Progress::Resumed(last.saturating_sub(healed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Answer;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn granted(grants: &[(&str, u64)]) -> History {
        let mut history = History::new();
        for (key, arrived) in grants {
            let answer = Answer { sent: ms(arrived - 1), arrived: ms(*arrived), validity: ms(5) };
            history.granted("one", *key, answer);
        }
        history
    }

    #[test]
    fn a_time_without_grants_is_found() {
        let history = granted(&[("job", 10), ("job", 50), ("job", 200)]);
        assert_eq!(history.stall("job", ms(150), ms(0), ms(300)), None);
        let stall = history.stall("job", ms(100), ms(0), ms(300)).expect("150 ms without a grant");
        assert_eq!(stall.to_string(), "job: no grant from 50ms to 200ms");
        let end = history.stall("job", ms(160), ms(0), ms(400)).expect("the end counts");
        assert_eq!((end.from, end.to), (ms(200), ms(400)));
        assert!(history.stall("other", ms(100), ms(0), ms(101)).is_some());
    }

    #[test]
    fn every_key_has_to_be_granted_again_and_in_time() {
        let keys = ["job", "other"].map(str::to_owned);
        let history = granted(&[("job", 10), ("other", 20), ("job", 110), ("other", 160), ("job", 170)]);
        let progress = |bound, now| history.progress(&keys, ms(100), ms(bound), ms(now));
        assert_eq!(progress(60, 200), Progress::Resumed(ms(60)));
        // What arrives later is not known yet.
        assert_eq!(progress(60, 150), Progress::Awaited);
        let late = |to| Progress::Stalled(vec![Stall { key: "other".to_owned(), from: ms(100), to: ms(to) }]);
        assert_eq!(progress(40, 150), late(150));
        assert_eq!(progress(40, 200), late(160), "too late is not in time");
    }

    #[test]
    fn grants_of_before_are_no_progress() {
        let keys = ["job".to_owned()];
        let history = granted(&[("job", 99)]);
        assert_eq!(history.progress(&keys, ms(100), ms(50), ms(150)), Progress::Awaited);
        assert!(matches!(history.progress(&keys, ms(100), ms(50), ms(151)), Progress::Stalled(_)));
    }
}
