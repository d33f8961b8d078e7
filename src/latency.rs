//! How long recent grants took: a histogram of about the last minute.
//!
//! Every recording is one atomic addition, so that it may stand on the hot path of every connection. Buckets grow with
//! what they count (32 to each doubling), which keeps the error of a percentile below 2 % over the whole range; what
//! is longer than about half an hour counts as that. Memory is fixed: six slices of ten seconds, used in turn.
//!
//! It is a measurement, not a ledger: at the turn of a slice the few recordings that meet its clearing are left out.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::lock::Moment;

/// Length of a slice, in microseconds.
const SLICE_MICROS: u64 = 10_000_000;
/// Slices kept: the present one and those of the fifty seconds before it.
const SLICES: u64 = 6;
/// Buckets to each doubling; values below it have buckets of their own.
const STEPS: u64 = 1 << STEP_BITS;
const STEP_BITS: u32 = 5;
/// The first value that no longer has a bucket of its own kind, in microseconds: 2^31, some 36 minutes.
const LONGEST_MICROS: u64 = 1 << 31;
const BUCKETS: usize = bucket(LONGEST_MICROS - 1) + 1;

/// Marks of a slice instead of its period; no clock reaches them.
const UNUSED: u64 = u64::MAX;
const CLEARING: u64 = u64::MAX - 1;

/// Durations of about the last minute.
#[derive(Debug)]
pub struct Latency {
    slices: Vec<Slice>,
}

/// The median and the slow end, in microseconds; zeros when nothing was recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// Half took no longer.
    pub p50: u64,
    /// 99 of 100 took no longer.
    pub p99: u64,
    /// 999 of 1000 took no longer.
    pub p999: u64,
}

#[derive(Debug)]
struct Slice {
    /// Which ten seconds it counts, from the clock's start; or a mark.
    period: AtomicU64,
    counts: Vec<AtomicU32>,
}

impl Default for Latency {
    fn default() -> Self {
        Self { slices: (0..SLICES).map(|_| Slice::default()).collect() }
    }
}

impl Default for Slice {
    fn default() -> Self {
        Self { period: AtomicU64::new(UNUSED), counts: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect() }
    }
}

impl Latency {
    /// A histogram without recordings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that something ended at `now` which took so many microseconds.
    pub fn record(&self, micros: u64, now: Moment) {
        let period = now.as_micros() / SLICE_MICROS;
        let place = usize::try_from(period % SLICES).unwrap_or(0);
        if let Some(slice) = self.slices.get(place)
            && slice.turn_to(period)
            && let Some(count) = slice.counts.get(bucket(micros.min(LONGEST_MICROS - 1)))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The percentiles of what was recorded in the fifty to sixty seconds before `now`.
    pub fn percentiles(&self, now: Moment) -> Percentiles {
        let present = now.as_micros() / SLICE_MICROS;
        let mut counts = vec![0_u64; BUCKETS];
        for slice in &self.slices {
            let period = slice.period.load(Ordering::Acquire);
            if period <= present && present - period < SLICES {
                for (sum, count) in counts.iter_mut().zip(&slice.counts) {
                    *sum += u64::from(count.load(Ordering::Relaxed));
                }
            }
        }
        let total: u64 = counts.iter().sum();
        let at = |per_mille: u64| value_at(&counts, (total * per_mille).div_ceil(1_000));
        Percentiles { p50: at(500), p99: at(990), p999: at(999) }
    }
}

impl Slice {
    /// Makes the slice count this period, if it counts an older one; whether it counts it now.
    fn turn_to(&self, period: u64) -> bool {
        let counted = self.period.load(Ordering::Acquire);
        if counted == period {
            return true;
        }
        let outdated = counted == UNUSED || (counted != CLEARING && counted < period);
        // Whoever wins the exchange clears; the others leave their recordings out meanwhile.
        if !outdated || self.period.compare_exchange(counted, CLEARING, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        self.counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        self.period.store(period, Ordering::Release);
        true
    }
}

/// The value at this rank, counted from 1; 0 when there is none.
fn value_at(counts: &[u64], rank: u64) -> u64 {
    let mut seen = 0;
    let place = counts.iter().position(|count| {
        seen += count;
        rank > 0 && seen >= rank
    });
    place.map_or(0, middle)
}

/// The bucket of a value: values below [`STEPS`] have their own, then each doubling has [`STEPS`] buckets.
#[expect(clippy::cast_possible_truncation, reason = "durations are cut to LONGEST_MICROS: places stay below 864")]
const fn bucket(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let doubling = micros.ilog2() - STEP_BITS;
    // The leading bit and the five behind it: STEPS to 2 * STEPS - 1.
    let step = micros >> doubling;
    (doubling as u64 * STEPS + step) as usize
}

/// The middle of what a bucket counts, in microseconds.
fn middle(place: usize) -> u64 {
    let place = place as u64;
    if place < 2 * STEPS {
        return place;
    }
    let doubling = place / STEPS - 1;
    let lowest = (place % STEPS + STEPS) << doubling;
    lowest + (1 << doubling) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn second(seconds: u64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn nothing_recorded_is_zero() {
        assert_eq!(Latency::new().percentiles(second(100)), Percentiles::default());
    }

    #[test]
    fn percentiles_are_of_the_last_minute_only() {
        let latency = Latency::new();
        latency.record(20, second(5));
        assert_eq!(latency.percentiles(second(59)).p50, 20);
        assert_eq!(latency.percentiles(second(60)).p50, 0);
        // The same slice, a minute later: the former recordings are gone.
        latency.record(30, second(65));
        assert_eq!(latency.percentiles(second(65)), Percentiles { p50: 30, p99: 30, p999: 30 });
        // A recorder that was held up for a minute does not disturb the present.
        latency.record(20, second(5));
        assert_eq!(latency.percentiles(second(65)).p50, 30);
        // Nor is the future told.
        assert_eq!(latency.percentiles(second(5)), Percentiles::default());
    }

    #[test]
    fn the_slow_end_shows_in_its_percentile() {
        let latency = Latency::new();
        (0..990).for_each(|_| latency.record(10, second(1)));
        (0..9).for_each(|_| latency.record(20, second(11)));
        latency.record(31, second(21));
        assert_eq!(latency.percentiles(second(30)), Percentiles { p50: 10, p99: 10, p999: 20 });
        latency.record(31, second(21));
        assert_eq!(latency.percentiles(second(30)).p999, 31);
    }

    #[test]
    fn recordings_of_many_threads_all_count() {
        let latency = Latency::new();
        // One recording turns the slice first: what meets the clearing is left out, by design.
        latency.record(1, second(1));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| latency.record(1, second(1))));
            }
        });
        let counted: u64 =
            latency.slices.iter().flat_map(|s| &s.counts).map(|c| u64::from(c.load(Ordering::Relaxed))).sum();
        assert_eq!(counted, 40_001);
    }

    #[test]
    fn the_longest_durations_count_as_half_an_hour() {
        let latency = Latency::new();
        latency.record(u64::MAX, second(1));
        let p50 = latency.percentiles(second(1)).p50;
        assert!((LONGEST_MICROS - LONGEST_MICROS / 50..LONGEST_MICROS).contains(&p50), "{p50}");
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut edges: Vec<u64> = (0..31).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]).collect();
        edges.extend(0..5_000);
        edges.sort_unstable();
        for pair in edges.windows(2) {
            let (lower, upper) = (bucket(pair[0]), bucket(pair[1]));
            assert!(lower <= upper && (pair[1] - pair[0] > 1 || upper - lower <= 1), "{pair:?}");
        }
        assert_eq!((bucket(0), BUCKETS), (0, 864));
    }

    proptest! {
        #[test]
        fn a_percentile_is_close_to_the_recorded_one(
            mut micros in prop::collection::vec(prop_oneof![0_u64..1_000, 0_u64..LONGEST_MICROS], 1..2_000),
        ) {
            let latency = Latency::new();
            for &micros in &micros {
                latency.record(micros, second(1));
            }
            micros.sort_unstable();
            let Percentiles { p50, p99, p999 } = latency.percentiles(second(1));
            for (told, per_mille) in [(p50, 500), (p99, 990), (p999, 999)] {
                let exact = micros[(micros.len() * per_mille).div_ceil(1_000) - 1];
                prop_assert!(told.abs_diff(exact) * 50 <= exact, "{per_mille}: {told} for {exact}");
            }
        }
    }
}
