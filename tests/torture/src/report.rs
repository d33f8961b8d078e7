//! What is told of a run in the end, as Markdown. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::calm::Recovery;
use crate::score::{Cost, Costs, Mode, Tally};

/// Counters of the proxies that are worth telling.
pub(crate) const COUNTERS: [&str; 16] = [
    "quarantines",
    "incarnation_changes",
    "fences_issued",
    "fences_second_round",
    "rlock_taken_over",
    "rlock_split_retries",
    "rlock_too_late",
    "wait_granted",
    "wait_expired",
    "session_renewals",
    "session_renewal_failures",
    "session_lost",
    "rextend_records_restored",
    "late_grants_undone",
    "withdrawals_sent",
    "notices_received",
];

/// Of what the run was made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    pub(crate) minutes: u64,
    pub(crate) server: String,
    pub(crate) commit: String,
    pub(crate) machine: String,
    pub(crate) date: String,
    pub(crate) repeat: String,
}

/// All that is told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) setting: Setting,
    pub(crate) took: Duration,
    pub(crate) storms: usize,
    pub(crate) tallies: BTreeMap<Mode, Tally>,
    pub(crate) costs: Costs,
    /// The slowest of all recoveries.
    pub(crate) recovery: Recovery,
    /// How long it took at most until each lock was granted again.
    pub(crate) each_granted: Duration,
    /// By how much the latest answer to a WAIT came behind its time.
    pub(crate) latest: Duration,
    pub(crate) counters: Vec<(&'static str, u64)>,
    /// Resident memory and descriptors of the proxy that was never ended, idle: after the first storm and after the last.
    pub(crate) idle: Option<[(u64, usize); 2]>,
    pub(crate) wrongs: Vec<String>,
}

impl Report {
    /// One storm is over.
    pub(crate) fn recovered(&mut self, recovery: Recovery) {
        let slowest = &mut self.recovery;
        slowest.granted = slowest.granted.max(recovery.granted);
        slowest.through_all = slowest.through_all.max(recovery.through_all);
        slowest.all_vote = slowest.all_vote.max(recovery.all_vote);
    }

    pub(crate) fn markdown(&self) -> String {
        [self.head(), self.modes(), self.misfortunes(), self.rest()].concat()
    }

    /// The last word.
    pub(crate) fn verdict(&self) -> String {
        match self.wrongs.len() {
            0 if self.storms == 0 => "**No storm has come to its end.**".into(),
            0 => "**Passed**: never two holders, numbers rose, nobody was stuck, nothing was left, nothing has grown."
                .into(),
            _ => "**Failed**: something was seen that must not be.".into(),
        }
    }

    fn head(&self) -> String {
        let Setting { seed, minutes, server, commit, machine, date, repeat } = &self.setting;
        let (storms, took) = (self.storms, self.took.as_secs());
        let wrongs: Vec<String> = self.wrongs.iter().map(|wrong| format!("```\n{wrong}\n```\n\n")).collect();
        format!(
            "# Torture, {date}\n\n{}\n\n{}\
             - seed {seed}, {minutes} minutes asked for, {storms} storms in {took} s\n\
             - 5 primaries ({server}), 3 proxies, 64 clients\n- commit {commit}\n- {machine}\n- again: `{repeat}`\n\n",
            self.verdict(),
            wrongs.concat()
        )
    }

    fn modes(&self) -> String {
        let mut all = Tally::default();
        let mut lines = Vec::new();
        for mode in Mode::ALL {
            let tally = self.tallies.get(&mode).copied().unwrap_or_default();
            all.add(tally);
            lines.push(line(mode.name(), tally));
        }
        lines.push(line("all", all));
        format!(
            "## Grants\n\n| clients with | granted | refused | NOQUORUM | no proxy |\n|---|---:|---:|---:|---:|\n{}\n",
            lines.concat()
        )
    }

    fn misfortunes(&self) -> String {
        let mut lines = vec![cost_line("*none: calm seconds*", &self.costs.calm)];
        lines.extend(self.costs.by_kind.iter().map(|(kind, cost)| cost_line(kind.name(), cost)));
        format!(
            "## Misfortunes, and what they cost\n\n\
             How attempts ended in the second after each, and the longest time without a grant in it. They overlap, so a \
             row shows what goes on beside it, too. *Refused* is somebody else's lock.\n\n\
             | misfortune | count | granted | refused | NOQUORUM | no proxy | no grant for, mean | at most |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|\n{}\n",
            lines.concat()
        )
    }

    fn rest(&self) -> String {
        let [calm, storm] = self.costs.longest_pause.map(|pause| pause.as_millis());
        let Recovery { granted, through_all, all_vote } = self.recovery;
        let [granted, through_all, each_lock, all_vote] =
            [granted, through_all, self.each_granted, all_vote].map(|time| time.as_millis());
        let latest = self.latest.as_millis();
        let counters: Vec<String> =
            self.counters.iter().map(|(name, count)| format!("| {name} | {count} |\n")).collect();
        format!(
            "## Time\n\n| what, at most | ms |\n|---|---:|\n| without a grant, calm | {calm} |\n\
             | without a grant, in a storm | {storm} |\n| from the end of a storm to a grant | {granted} |\n\
             | to a grant through each proxy | {through_all} |\n| to a grant of each lock | {each_lock} |\n\
             | until all primaries vote for all proxies | {all_vote} |\n\
             | an answer to WAIT behind its time | {latest} |\n\n\
             ## Proxies\n\n| INFO redlock, all proxies | |\n|---|---:|\n{}{}",
            counters.concat(),
            self.idle.map(idle).unwrap_or_default()
        )
    }
}

fn idle([first, last]: [(u64, usize); 2]) -> String {
    let [memory, last_memory] = [first.0, last.0].map(|bytes| bytes / 1024);
    format!(
        "\nThe proxy that was never ended, idle: {memory} KiB and {} descriptors after the first storm, {last_memory} KiB \
         and {} after the last.\n",
        first.1, last.1
    )
}

fn line(name: &str, tally: Tally) -> String {
    let Tally { granted, refused, unsettled, away } = tally;
    format!("| {name} | {granted} | {refused} | {unsettled} | {away} |\n")
}

fn cost_line(name: &str, cost: &Cost) -> String {
    let Tally { granted, refused, unsettled, away } = cost.tally;
    let [granted, refused, unsettled, away] =
        [granted, refused, unsettled, away].map(|count| share(count, cost.tally.attempts()));
    let mean = cost.silent.as_millis() / u128::from(cost.seconds.max(1));
    let (count, most) = (cost.seconds, cost.silent_most.as_millis());
    format!("| {name} | {count} | {granted} | {refused} | {unsettled} | {away} | {mean} ms | {most} ms |\n")
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "-".into() } else { format!("{:.1} %", 100.0 * part as f64 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Kind;

    fn report() -> Report {
        let tally = Tally { granted: 750, refused: 200, unsettled: 40, away: 10 };
        let cost =
            Cost { seconds: 4, tally, silent: Duration::from_millis(800), silent_most: Duration::from_millis(500) };
        let costs = Costs {
            calm: Cost { seconds: 9, ..Cost::default() },
            by_kind: BTreeMap::from([(Kind::Flushed, cost)]),
            longest_pause: [Duration::from_millis(30), Duration::from_millis(2_700)],
        };
        Report {
            setting: Setting { seed: 77, minutes: 30, server: "Redis 7.0.15".into(), ..Setting::default() },
            storms: 4,
            tallies: BTreeMap::from([(Mode::Plain, tally), (Mode::Fence, tally)]),
            costs,
            counters: vec![("quarantines", 12)],
            idle: Some([(2_048_000, 40), (4_096_000, 41)]),
            ..Report::default()
        }
    }

    #[test]
    fn everything_is_told_in_its_place() {
        let text = report().markdown();
        for expected in [
            "seed 77, 30 minutes asked for, 4 storms",
            "**Passed**",
            "| RLOCK, REXTEND | 750 | 200 | 40 | 10 |",
            "| SESSION | 0 | 0 | 0 | 0 |",
            "| all | 1500 | 400 | 80 | 20 |",
            "| *none: calm seconds* | 9 | - | - | - | - | 0 ms | 0 ms |",
            "| primary flushed (FLUSHALL) | 4 | 75.0 % | 20.0 % | 4.0 % | 1.0 % | 200 ms | 500 ms |",
            "| without a grant, in a storm | 2700 |",
            "| quarantines | 12 |",
            "2000 KiB and 40 descriptors after the first storm, 4000 KiB and 41 after the last",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
        }
    }

    #[test]
    fn what_must_not_be_comes_first() {
        let wrongs = vec!["two holders".to_owned()];
        let text = Report { wrongs, ..report() }.markdown();
        assert!(text.contains("**Failed**"), "{text}");
        let (head, _) = text.split_once("## Grants").expect("there is more");
        assert!(head.contains("two holders"), "{text}");
    }

    #[test]
    fn a_run_without_a_storm_has_shown_nothing() {
        assert!(!Report::default().verdict().contains("Passed"));
    }
}
