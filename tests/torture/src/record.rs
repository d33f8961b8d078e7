//! What has been seen, by everybody: grants, ends of attempts, misfortunes, and what must not be.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use support::History;
use tokio::sync::watch;

use crate::plan::{PROXIES, Strike};
use crate::score::{Attempt, Mode, Outcome, Tally};

/// What is told of the time before and after something that must not be.
const AROUND: Duration = Duration::from_secs(4);

/// So much of what must not be is told; more of it is of the same kind.
const TOLD_MOST: usize = 6;

/// A misfortune as it came.
#[derive(Debug, Clone)]
pub(crate) struct Struck {
    pub(crate) strike: Strike,
    pub(crate) from: Duration,
    /// Unless it goes on.
    pub(crate) to: Option<Duration>,
}

/// What was seen since the last calm.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) struck: Vec<Struck>,
    pub(crate) tallies: BTreeMap<Mode, Tally>,
    /// The last grant through each proxy.
    pub(crate) last_granted: [Option<Duration>; PROXIES],
    /// By how much the latest answer to a WAIT came behind its time.
    pub(crate) latest: Duration,
}

/// What has been seen.
#[derive(Debug)]
pub(crate) struct Record {
    began: Instant,
    history: Mutex<History>,
    round: Mutex<Round>,
    wrongs: watch::Sender<Vec<String>>,
}

impl Record {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            history: Mutex::default(),
            round: Mutex::default(),
            wrongs: watch::Sender::default(),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn round(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt has ended.
    pub(crate) fn ended(&self, mode: Mode, proxy: usize, outcome: Outcome) {
        let at = self.now();
        let mut round = self.round();
        round.attempts.push(Attempt { at, outcome });
        round.tallies.entry(mode).or_default().count(outcome);
        if outcome == Outcome::Granted {
            round.last_granted[proxy] = Some(at);
        }
    }

    /// A misfortune begins; its place among all of this round.
    pub(crate) fn begins(&self, strike: Strike) -> usize {
        let from = self.now();
        let mut round = self.round();
        round.struck.push(Struck { strike, from, to: None });
        round.struck.len() - 1
    }

    /// That misfortune is over.
    pub(crate) fn is_over(&self, place: usize) {
        let to = self.now();
        self.round().struck[place].to = Some(to);
    }

    /// Something is that must not be: the run ends.
    pub(crate) fn accuse(&self, wrong: impl Into<String>) {
        let wrong = format!("at {:?}: {}", self.now(), wrong.into());
        self.wrongs.send_modify(|wrongs| {
            if wrongs.len() < TOLD_MOST {
                wrongs.push(wrong);
            }
        });
    }

    /// Returns when something was seen that must not be.
    pub(crate) async fn wrong(&self) {
        let mut wrongs = self.wrongs.subscribe();
        wrongs.wait_for(|wrongs| !wrongs.is_empty()).await.expect("the sender is ours");
    }

    pub(crate) fn wrongs(&self) -> Vec<String> {
        self.wrongs.borrow().clone()
    }

    /// Two holders at once, or numbers that do not rise?
    pub(crate) fn judge(&self) {
        let history = self.history();
        let overlaps = history.overlaps();
        if let Some(first) = overlaps.first() {
            let story = self.story(&history, &first.key, first.from, first.to);
            self.accuse(format!("{} pairs of holders at once, first {first}\n{story}", overlaps.len()));
        }
        let disorders = history.disorders();
        if let Some(first) = disorders.first() {
            let story = self.story(&history, &first.key, first.earlier.sent, first.later.arrived);
            self.accuse(format!("{} numbers do not rise, first {first}\n{story}", disorders.len()));
        }
    }

    /// What clients saw of a key, and what went wrong with servers and links, around this time.
    fn story(&self, history: &History, key: &str, from: Duration, to: Duration) -> String {
        let (from, to) = (from.saturating_sub(AROUND), to + AROUND);
        let mut story = history.tell(key, from, to);
        let near = |struck: &&Struck| struck.from <= to && struck.to.is_none_or(|over| over >= from);
        for Struck { strike, from, to } in self.round().struck.iter().filter(near) {
            let Strike { kind, primaries, proxies, detail, .. } = strike;
            let to = to.map_or_else(|| "now".to_owned(), |to| format!("{to:?}"));
            let name = kind.name();
            let told =
                writeln!(story, "{from:?} to {to}: {name}; primaries {primaries:?}, proxies {proxies:?}, {detail}");
            told.expect("a string takes it");
        }
        story
    }

    /// Accuses, with what was seen of the keys at that time.
    pub(crate) fn accuse_with(&self, wrong: &str, keys: &[String]) {
        let now = self.now();
        let history = self.history();
        let stories: Vec<String> = keys.iter().map(|key| self.story(&history, key, now, now)).collect();
        drop(history);
        self.accuse(format!("{wrong}\n{}", stories.concat()));
    }

    /// Everything of it has been judged and counted, and nobody holds anything: what follows is another round.
    pub(crate) fn turn_over(&self) -> Round {
        let mut history = self.history();
        *history = history.carried_over();
        drop(history);
        let mut round = std::mem::take(&mut *self.round());
        round.attempts.sort_by_key(|attempt| attempt.at);
        round
    }
}
