//! What is measured, a file for each case.

use std::time::Duration;

use crate::connections::Connections;
use crate::load::{Load, Pace};
use crate::series::{Run, Series};

pub mod contended;
pub mod counts;
pub mod dead;
pub mod distinct;
pub mod fence;
pub mod memory;
pub mod open;
pub mod peers;
pub mod pipe;
pub mod relay;
pub mod several;
pub mod session;
pub mod settings;

/// How a case is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often the contestants take turns.
    pub rounds: usize,
    /// How long each is measured in a round.
    pub span: Duration,
    /// Connections to the proxy, where a case has none of its own.
    pub connections: Vec<Connections>,
    /// Only this one takes part.
    pub only: Option<Contestant>,
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Contestant {
    /// A bare client on the primaries themselves
    Floor,
    /// The proxy
    Proxy,
}

impl Plan {
    fn load(&self, pace: Pace) -> Load {
        Load { pace, warm_up: self.span.div_f64(4.0).min(Duration::from_millis(500)), span: self.span }
    }

    /// The connections, each once, by the number of clients on them.
    fn connections(&self) -> Vec<Connections> {
        let mut connections = self.connections.clone();
        connections.sort_by_key(|connections| (connections.clients(), connections.depth));
        connections.dedup();
        connections
    }

    /// Measures the contestants in turns, round by round; every other round begins with the last.
    fn take_turns<S>(&self, entrants: Vec<(Series, S)>, mut measure: impl FnMut(&S) -> Run) -> Vec<Series> {
        self.try_turns(entrants, |subject| Ok(measure(subject))).0
    }

    /// The same with contestants that may fail: such a one takes part no more, and is named with its reason.
    fn try_turns<S>(
        &self,
        entrants: Vec<(Series, S)>,
        mut measure: impl FnMut(&S) -> Result<Run, String>,
    ) -> (Vec<Series>, Vec<String>) {
        let only = |series: &Series| match self.only {
            None => true,
            Some(only) => series.is_floor() == (only == Contestant::Floor),
        };
        let mut entrants: Vec<_> = entrants.into_iter().filter(|(series, _)| only(series)).collect();
        let mut failed = Vec::new();
        for round in 0..self.rounds {
            if round > 0 {
                entrants.reverse();
            }
            entrants.retain_mut(|(series, subject)| {
                eprintln!("round {} of {}: {series}", round + 1, self.rounds);
                let run = measure(subject).map_err(|reason| failed.push(format!("{series}: {reason}")));
                run.map(|run| series.runs.push(run)).is_ok()
            });
        }
        if self.rounds.is_multiple_of(2) {
            entrants.reverse();
        }
        (entrants.into_iter().map(|(series, _)| series).collect(), failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::examples::run;

    #[test]
    fn turns_are_taken_there_and_back_and_who_fails_takes_no_more() {
        for (rounds, expected) in [(1, "ab!"), (2, "ab!ba"), (3, "ab!baab")] {
            let plan = Plan { rounds, span: Duration::ZERO, connections: Vec::new(), only: None };
            let entrants = ["a", "b", "!"].map(|by| (Series::new("test", by, 3, 1), by)).to_vec();
            let mut order = String::new();
            let (series, failed) = plan.try_turns(entrants, |by| {
                order.push_str(by);
                if *by == "!" { Err("broken".into()) } else { Ok(run(1.0)) }
            });
            assert_eq!(order, expected);
            assert_eq!(failed, ["test, !, 1 clients: broken"]);
            let measured: Vec<(&str, usize)> = series.iter().map(|one| (&one.by[..], one.runs.len())).collect();
            assert_eq!(measured, [("a", rounds), ("b", rounds)]);
        }
    }
}
