//! How long to wait before the next attempt.
//!
//! At a lock that nobody holds: two contenders that split the votes and come back in step split them again. So each
//! waits a random time, drawn from a range that doubles with every attempt ([`Backoff`]). At one that is held: whoever is
//! first in line hears of its release, as a rule, and tries again now and then for when it does not ([`Retry`]).

use std::time::Duration;

use crate::limits::{LINE_RETRY_FIRST, LINE_RETRY_LONGEST};

/// The largest number of doublings: past it the range stays as it is.
const DOUBLINGS: u32 = 6;

/// The waits between the attempts of one command. Pure: the randomness is an argument.
#[derive(Debug, Clone)]
pub struct Backoff {
    longest: Duration,
    doublings: u32,
}

impl Backoff {
    /// `longest` is the upper end of the first wait's range.
    pub const fn new(longest: Duration) -> Self {
        Self { longest, doublings: 0 }
    }

    /// The next wait: uniform between 1 ms and the range's upper end, which then doubles.
    pub fn next(&mut self, random: u64) -> Duration {
        let upper = self.longest.saturating_mul(1 << self.doublings);
        self.doublings = (self.doublings + 1).min(DOUBLINGS);
        let lower = Duration::from_millis(1);
        let range_micros = u64::try_from(upper.saturating_sub(lower).as_micros()).unwrap_or(u64::MAX);
        lower + Duration::from_micros(random % range_micros.saturating_add(1))
    }
}

/// The waits between the attempts of a line's first, as long as nothing is heard. Pure: the randomness is an argument.
#[derive(Debug, Clone)]
pub(super) struct Retry {
    longest: Duration,
}

impl Retry {
    pub(super) const fn new() -> Self {
        Self { longest: LINE_RETRY_FIRST }
    }

    /// The next wait: between half and all of a length that doubles up to [`LINE_RETRY_LONGEST`].
    pub(super) fn next(&mut self, random: u64) -> Duration {
        let half = self.longest / 2;
        self.longest = (self.longest * 2).min(LINE_RETRY_LONGEST);
        let range_micros = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
        half + Duration::from_micros(random % range_micros.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_wait_lies_in_its_range_and_both_ends_are_reached(longest_ms in 1_u64..=10_000, random in any::<u64>()) {
            let mut backoff = Backoff::new(Duration::from_millis(longest_ms));
            for attempt in 0..12 {
                let upper = Duration::from_millis(longest_ms << attempt.min(DOUBLINGS));
                let (mut shortest, mut longest) = (backoff.clone(), backoff.clone());
                let range = u64::try_from(upper.as_micros() - 1_000).expect("small");
                prop_assert_eq!(shortest.next(0), Duration::from_millis(1));
                prop_assert_eq!(longest.next(range), upper);
                let wait = backoff.next(random);
                prop_assert!(wait >= Duration::from_millis(1) && wait <= upper);
            }
        }
    }

    #[test]
    fn a_retry_comes_after_a_tenth_of_a_second_and_then_ever_later_up_to_a_second() {
        let waits = |random: u64| {
            let mut retry = Retry::new();
            (0..7).map(|_| retry.next(random).as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(waits(0), [50, 100, 200, 400, 500, 500, 500]);
        let mut retry = Retry::new();
        for longest in [100, 200, 400, 800, 1_000, 1_000] {
            let half_micros = longest * 1_000 / 2;
            assert_eq!(retry.next(half_micros), Duration::from_millis(longest));
        }
    }

    #[test]
    fn waits_spread_over_the_range() {
        let mut waits: Vec<_> = (0..1_000_u64)
            .map(|n| Backoff::new(Duration::from_millis(25)).next(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect();
        waits.sort_unstable();
        waits.dedup();
        assert!(waits.len() > 900, "only {} different waits", waits.len());
    }
}
