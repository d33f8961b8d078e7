//! How attempts ended, and what each kind of misfortune cost. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plan::Kind;

/// How long after a misfortune its cost is looked for.
pub(crate) const LOOKED_AT: Duration = Duration::from_secs(1);

/// What a client does with locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Plain,
    Owner,
    Wait,
    Session,
    Fence,
    Several,
}

impl Mode {
    pub(crate) const ALL: [Mode; 6] = [Mode::Plain, Mode::Owner, Mode::Wait, Mode::Session, Mode::Fence, Mode::Several];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Plain => "RLOCK, REXTEND",
            Mode::Owner => "OWNER, take-overs",
            Mode::Wait => "WAIT",
            Mode::Session => "SESSION",
            Mode::Fence => "FENCE",
            Mode::Several => "RMLOCK",
        }
    }
}

/// How an attempt to take a lock ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Granted,
    /// Somebody else holds it.
    Refused,
    /// NOQUORUM.
    Unsettled,
    /// There was no proxy, or none any more.
    Away,
}

/// When and how an attempt ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) at: Duration,
    pub(crate) outcome: Outcome,
}

/// How many attempts ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) granted: u64,
    pub(crate) refused: u64,
    pub(crate) unsettled: u64,
    pub(crate) away: u64,
}

impl Tally {
    pub(crate) fn count(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Granted => &mut self.granted,
            Outcome::Refused => &mut self.refused,
            Outcome::Unsettled => &mut self.unsettled,
            Outcome::Away => &mut self.away,
        } += 1;
    }

    pub(crate) fn add(&mut self, other: Tally) {
        self.granted += other.granted;
        self.refused += other.refused;
        self.unsettled += other.unsettled;
        self.away += other.away;
    }

    pub(crate) fn attempts(&self) -> u64 {
        self.granted + self.refused + self.unsettled + self.away
    }
}

/// What some seconds were like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) seconds: u64,
    pub(crate) tally: Tally,
    /// The longest times without a grant in each of the seconds, added up.
    pub(crate) silent: Duration,
    /// The longest of them.
    pub(crate) silent_most: Duration,
}

impl Cost {
    /// Adds the second that begins at `from`.
    fn add(&mut self, attempts: &[Attempt], from: Duration) {
        let to = from + LOOKED_AT;
        let silent = silence(attempts, from, to);
        self.seconds += 1;
        self.silent += silent;
        self.silent_most = self.silent_most.max(silent);
        for attempt in within(attempts, from, to) {
            self.tally.count(attempt.outcome);
        }
    }
}

/// The attempts, which are sorted by time, that ended from `from` on and before `to`.
fn within(attempts: &[Attempt], from: Duration, to: Duration) -> &[Attempt] {
    let place = |moment| attempts.partition_point(|attempt| attempt.at < moment);
    &attempts[place(from)..place(to)]
}

/// The longest time without a grant between two moments; the attempts are sorted by time.
pub(crate) fn silence(attempts: &[Attempt], from: Duration, to: Duration) -> Duration {
    let grants = within(attempts, from, to).iter().filter(|attempt| attempt.outcome == Outcome::Granted);
    let (mut last, mut longest) = (from, Duration::ZERO);
    for moment in grants.map(|attempt| attempt.at).chain([to]) {
        longest = longest.max(moment.saturating_sub(last));
        last = moment;
    }
    longest
}

/// What every kind of misfortune cost, and what calm seconds are like.
#[derive(Debug, Clone, Default)]
pub(crate) struct Costs {
    pub(crate) calm: Cost,
    pub(crate) by_kind: BTreeMap<Kind, Cost>,
    /// The longest time without a grant while all was well, and in storms.
    pub(crate) longest_pause: [Duration; 2],
}

impl Costs {
    /// Adds attempts, which are sorted by time: those in calm seconds, those in the second after each of these misfortunes,
    /// and the longest pauses.
    pub(crate) fn add(&mut self, attempts: &[Attempt], calm: (Duration, Duration), strikes: &[(Kind, Duration)]) {
        let mut second = calm.0;
        while second + LOOKED_AT <= calm.1 {
            self.calm.add(attempts, second);
            second += LOOKED_AT;
        }
        for (kind, at) in strikes {
            self.by_kind.entry(*kind).or_default().add(attempts, *at);
        }
        self.longest_pause[0] = self.longest_pause[0].max(silence(attempts, calm.0, calm.1));
    }

    /// The longest time without a grant in a storm.
    pub(crate) fn add_storm(&mut self, attempts: &[Attempt], from: Duration, to: Duration) {
        self.longest_pause[1] = self.longest_pause[1].max(silence(attempts, from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn attempts(ended: &[(u64, Outcome)]) -> Vec<Attempt> {
        ended.iter().map(|(at, outcome)| Attempt { at: ms(*at), outcome: *outcome }).collect()
    }

    #[test]
    fn silence_is_the_longest_time_without_a_grant_its_ends_included() {
        let ended = attempts(&[
            (100, Outcome::Granted),
            (300, Outcome::Refused),
            (600, Outcome::Granted),
            (900, Outcome::Granted),
        ]);
        assert_eq!(silence(&ended, ms(0), ms(1000)), ms(500));
        assert_eq!(silence(&ended, ms(601), ms(1000)), ms(299));
        assert_eq!(silence(&ended, ms(950), ms(2000)), ms(1050));
        assert_eq!(silence(&[], ms(5), ms(15)), ms(10));
    }

    #[test]
    fn a_misfortune_costs_what_the_second_after_it_was_like() {
        let ended = attempts(&[
            (990, Outcome::Granted),
            (1000, Outcome::Granted),
            (1100, Outcome::Unsettled),
            (1200, Outcome::Away),
            (1300, Outcome::Refused),
            (1500, Outcome::Granted),
            (2000, Outcome::Granted),
        ]);
        let mut costs = Costs::default();
        costs.add(&ended, (ms(0), ms(0)), &[(Kind::Reset, ms(1000)), (Kind::Reset, ms(5000))]);
        let cost = costs.by_kind[&Kind::Reset];
        assert_eq!(cost.seconds, 2);
        assert_eq!(cost.tally, Tally { granted: 2, refused: 1, unsettled: 1, away: 1 });
        assert_eq!((cost.silent, cost.silent_most), (ms(1500), ms(1000)));
        assert_eq!(costs.calm, Cost::default());
    }

    #[test]
    fn only_whole_calm_seconds_count() {
        let ended = attempts(&[(100, Outcome::Granted), (1200, Outcome::Granted), (2400, Outcome::Granted)]);
        let mut costs = Costs::default();
        costs.add(&ended, (ms(0), ms(2500)), &[]);
        assert_eq!((costs.calm.seconds, costs.calm.tally.granted), (2, 2));
        assert_eq!(costs.longest_pause[0], ms(1200));
        costs.add_storm(&ended, ms(1200), ms(2400));
        assert_eq!(costs.longest_pause, [ms(1200), ms(1200)]);
    }
}
