//! Time as the lock core knows it: integers, and `now` always an argument.
//!
//! validity = ttl - elapsed - drift (<https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/>).
//! Every rounding goes against the holder: elapsed and drift are rounded up to whole milliseconds.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::limits::{DRIFT_MARGIN_MS, MAX_TTL_MS, NODE_TIMEOUT_TTL_FRACTION};

/// A point on the proxy's monotonic clock, in microseconds since some start. Comparable only within one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// No clock gets there.
    pub const END: Self = Self(u64::MAX);

    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this moment is; zero when it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The moment `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// A lock's time to live: 1 ms up to the largest `max_ttl_ms` that configuration allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(NonZeroU64);

impl Ttl {
    /// `None` for 0 and for more than any configuration allows.
    pub fn from_millis(millis: u64) -> Option<Self> {
        if millis > *MAX_TTL_MS.end() { None } else { NonZeroU64::new(millis).map(Self) }
    }

    pub const fn as_millis(self) -> u64 {
        self.0.get()
    }

    /// How long one primary is waited for: `node_timeout`, never over a tenth of the ttl, never under 1 ms.
    pub fn node_timeout(self, node_timeout: Duration) -> Duration {
        let tenth = Duration::from_millis((self.as_millis() / NODE_TIMEOUT_TTL_FRACTION).max(1));
        node_timeout.min(tenth)
    }
}

/// The allowance for clocks that run at different rates: a share of the ttl, and 2 ms for the primaries' rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drift {
    parts_per_million: u32,
    margin_ms: u64,
}

impl Drift {
    pub const fn from_parts_per_million(parts_per_million: u32) -> Self {
        Self { parts_per_million, margin_ms: DRIFT_MARGIN_MS }
    }

    /// No allowance at all: unsound, and here only so that the simulation can show that it notices.
    #[doc(hidden)]
    pub const fn unsound_none() -> Self {
        Self { parts_per_million: 0, margin_ms: 0 }
    }

    /// The allowance for a lock of this ttl, in milliseconds, rounded up.
    pub fn of(self, ttl: Ttl) -> u64 {
        // At most 86,400,000 ms times 500,000: far below 2^64.
        (ttl.as_millis() * u64::from(self.parts_per_million)).div_ceil(1_000_000) + self.margin_ms
    }

    /// How far two clocks may drift apart in this time, without the margin for rounding.
    pub fn during(self, time: Duration) -> Duration {
        let micros = (time.as_micros() * u128::from(self.parts_per_million)).div_ceil(1_000_000);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The smallest ttl that leaves any validity, in milliseconds.
    pub fn smallest_ttl_ms(self) -> u64 {
        // At half of the ttl, the largest share, 6 ms leave a millisecond.
        (1..=*MAX_TTL_MS.end())
            .find(|&millis| Ttl::from_millis(millis).is_some_and(|ttl| self.of(ttl) < millis))
            .unwrap_or(u64::MAX)
    }
}

/// How long a holder may count on its lock, in milliseconds. Never zero: where nothing is left there is no validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Validity(NonZeroU64);

impl Validity {
    /// What is left at `now` of a lock whose attempt began at `started`; `None` when nothing is.
    pub fn at(now: Moment, started: Moment, ttl: Ttl, drift: Drift) -> Option<Self> {
        let elapsed_ms = u64::try_from(now.since(started).as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
        let spent = elapsed_ms.saturating_add(drift.of(ttl));
        NonZeroU64::new(ttl.as_millis().saturating_sub(spent)).map(Self)
    }

    pub const fn as_millis(self) -> u64 {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ttl(millis: u64) -> Ttl {
        Ttl::from_millis(millis).expect("in range")
    }

    const DRIFT: Drift = Drift::from_parts_per_million(10_000);

    #[test]
    fn drift_is_a_share_of_the_ttl_rounded_up_and_two_milliseconds() {
        assert_eq!(DRIFT.of(ttl(30_000)), 302);
        assert_eq!(DRIFT.of(ttl(1)), 3);
        assert_eq!(DRIFT.of(ttl(100)), 3);
        assert_eq!(DRIFT.of(ttl(101)), 4);
        assert_eq!(Drift::from_parts_per_million(0).of(ttl(86_400_000)), 2);
        assert_eq!(Drift::from_parts_per_million(500_000).of(ttl(86_400_000)), 43_200_002);
    }

    #[test]
    fn one_to_three_milliseconds_leave_nothing_after_drift() {
        assert_eq!(DRIFT.smallest_ttl_ms(), 4);
        assert_eq!(Drift::from_parts_per_million(500_000).smallest_ttl_ms(), 6);
        let now = Moment::from_micros(7);
        for millis in 1..=3 {
            assert_eq!(Validity::at(now, now, ttl(millis), DRIFT), None, "{millis} ms");
        }
        assert_eq!(Validity::at(now, now, ttl(4), DRIFT).map(Validity::as_millis), Some(1));
    }

    #[test]
    fn a_primary_is_waited_for_a_tenth_of_the_ttl_at_most_and_a_millisecond_at_least() {
        let configured = Duration::from_millis(50);
        assert_eq!(ttl(30_000).node_timeout(configured), configured);
        assert_eq!(ttl(500).node_timeout(configured), configured);
        assert_eq!(ttl(499).node_timeout(configured), Duration::from_millis(49));
        assert_eq!(ttl(4).node_timeout(configured), Duration::from_millis(1));
    }

    proptest! {
        #[test]
        fn validity_never_exceeds_what_is_left_and_never_grows(
            ttl_ms in 1_u64..=86_400_000,
            ppm in 0_u32..=500_000,
            started in 0_u64..1_000_000_000_000,
            first in 0_u64..100_000_000_000,
            later in 0_u64..100_000_000_000,
        ) {
            let (ttl, drift) = (ttl(ttl_ms), Drift::from_parts_per_million(ppm));
            let at = |elapsed| Validity::at(Moment::from_micros(started + elapsed), Moment::from_micros(started), ttl, drift);
            let (sooner, later) = (at(first), at(first + later));
            if let Some(validity) = sooner {
                // In microseconds, without any rounding: elapsed + drift + validity fit into the ttl.
                let drift_micros = u128::from(ttl_ms) * u128::from(ppm) / 1_000 + 2_000;
                prop_assert!(u128::from(first) + drift_micros + u128::from(validity.as_millis()) * 1_000 <= u128::from(ttl_ms) * 1_000);
            }
            prop_assert!(later <= sooner);
        }

        #[test]
        fn a_clock_that_stands_still_or_runs_backward_gives_no_more_than_the_whole(ttl_ms in 1_u64..=86_400_000, started in 0_u64..u64::MAX) {
            let ttl = ttl(ttl_ms);
            let validity = Validity::at(Moment::from_micros(0), Moment::from_micros(started), ttl, DRIFT);
            prop_assert_eq!(validity.map_or(0, Validity::as_millis), ttl_ms.saturating_sub(DRIFT.of(ttl)));
        }
    }
}
