//! A primary's clock against the proxy's: has it stepped? Pure.
//!
//! Records end by the primary's clock. One that jumps forward ends them before their time, which is a loss of memory like
//! any other. The proxy knows how far that clock is ahead of its own only as well as a round trip tells it: somewhere
//! between two bounds. They are kept as narrow as the best of all looks has made them, widened by what clocks may drift
//! meanwhile; a look whose *least* possible lead is beyond the *greatest* that was possible shows a step.

use std::time::Duration;

use crate::limits::CLOCK_STEP;
use crate::lock::{Drift, Moment};

/// What a server's clock showed, and between which moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// Microseconds of unix time.
    pub micros: u64,
    pub asked: Moment,
    pub answered: Moment,
}

/// What is known of one primary's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClockWatch {
    drift: Drift,
    lead: Option<Lead>,
}

/// How many microseconds the server's clock is ahead of the proxy's: at least, at most, and as of which moment at the
/// earliest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lead {
    least: i128,
    most: i128,
    since: Moment,
}

impl ClockWatch {
    pub(super) fn new(drift: Drift) -> Self {
        Self { drift, lead: None }
    }

    /// A further look. `Some`: the clock has stepped forward since the one before, by so much at least. Whatever it shows
    /// is what the next look is compared with; a step backward only does that.
    pub(super) fn look(&mut self, reading: ClockReading) -> Option<Duration> {
        let least = i128::from(reading.micros) - i128::from(reading.answered.as_micros());
        let most = i128::from(reading.micros) - i128::from(reading.asked.as_micros());
        let fresh = Lead { least, most, since: reading.asked };
        let before = self.lead.replace(fresh)?;
        let drifted = i128::try_from(self.drift.during(reading.answered.since(before.since)).as_micros()).unwrap_or(0);
        let (lowest, highest) = (before.least - drifted, before.most + drifted);
        if least <= highest && most >= lowest {
            // No step, as far as can be seen: both looks hold.
            self.lead = Some(Lead { least: least.max(lowest), most: most.min(highest), since: reading.asked });
        }
        let stepped = least - highest;
        let limit = i128::try_from(CLOCK_STEP.as_micros()).unwrap_or(i128::MAX);
        (stepped > limit).then(|| Duration::from_micros(u64::try_from(stepped).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DRIFT: Drift = Drift::from_parts_per_million(10_000);
    const EPOCH: u64 = 1_700_000_000_000_000;

    /// At `at` ms of the proxy's clock, `round_trip` ms before the answer, the server shows `ahead` ms more than before.
    fn reading(at: u64, round_trip: u64, ahead: i64) -> ClockReading {
        let micros = (EPOCH + at * 1_000).saturating_add_signed(ahead * 1_000);
        ClockReading {
            micros,
            asked: Moment::from_micros((at - round_trip) * 1_000),
            answered: Moment::from_micros((at + round_trip) * 1_000),
        }
    }

    fn watch() -> ClockWatch {
        let mut watch = ClockWatch::new(DRIFT);
        assert_eq!(watch.look(reading(1_000, 0, 0)), None);
        watch
    }

    #[test]
    fn a_step_is_what_neither_drift_nor_the_round_trip_explains() {
        assert_eq!(watch().look(reading(2_000, 0, 60)), None, "50 ms, and 10 of drift");
        assert_eq!(watch().look(reading(2_000, 0, 62)), Some(Duration::from_millis(52)));
        assert_eq!(watch().look(reading(2_000, 100, 160)), None, "the answer may have been on its way for so long");
        assert!(watch().look(reading(2_000, 100, 400)).is_some());
        assert_eq!(watch().look(reading(2_000, 0, -60_000)), None, "backward");
    }

    #[test]
    fn a_slow_look_hides_no_step_from_the_next_one() {
        let mut watch = watch();
        assert_eq!(watch.look(reading(2_000, 900, 0)), None);
        assert!(watch.look(reading(3_000, 0, 500)).is_some());
    }

    #[test]
    fn every_look_is_compared_with_the_one_before() {
        let mut watch = watch();
        assert!(watch.look(reading(2_000, 0, 3_600_000)).is_some());
        assert_eq!(watch.look(reading(3_000, 0, 3_600_000)), None, "it has stepped once");
        assert_eq!(watch.look(reading(4_000, 0, 0)), None);
        assert!(watch.look(reading(5_000, 0, 3_600_000)).is_some(), "and again from where it went back to");
    }

    proptest! {
        #[test]
        fn a_clock_that_only_drifts_never_steps(
            looks in prop::collection::vec((1_u64..5_000_000, 0_u64..2_000_000, 0_u64..2_000_000, -10_000_i64..10_000), 1..50),
        ) {
            let mut watch = ClockWatch::new(DRIFT);
            let (mut now, mut server) = (0_u64, i128::from(EPOCH));
            for (pause, out, back, ppm) in looks {
                let passes = |micros: u64| i128::from(micros) + i128::from(micros) * i128::from(ppm) / 1_000_000;
                server += passes(pause);
                now += pause;
                let asked = Moment::from_micros(now);
                server += passes(out);
                let micros = u64::try_from(server).expect("positive");
                server += passes(back);
                now += out + back;
                prop_assert_eq!(watch.look(ClockReading { micros, asked, answered: Moment::from_micros(now) }), None);
            }
        }

        #[test]
        fn a_step_beyond_all_doubt_is_always_seen(
            before in prop::collection::vec((1_u64..2_000_000, 0_u64..20_000), 1..20), pause in 1_u64..2_000_000, step in 150_000_u64..1_000_000_000,
        ) {
            let mut watch = ClockWatch::new(DRIFT);
            let mut now = 0;
            for (pause, trip) in before {
                now += pause;
                let asked = Moment::from_micros(now);
                now += trip;
                watch.look(ClockReading { micros: EPOCH + now, asked, answered: Moment::from_micros(now) });
            }
            now += pause;
            let (asked, micros) = (Moment::from_micros(now), EPOCH + now + step);
            let seen = watch.look(ClockReading { micros, asked, answered: Moment::from_micros(now + 100) });
            prop_assert!(seen.is_some());
        }
    }
}
