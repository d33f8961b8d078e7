//! What is measured, a file for each case.

use std::time::Duration;

use crate::connections::Connections;
use crate::load::{Load, Pace};
use crate::results::{Run, Series};

pub mod contended;
pub mod dead;
pub mod distinct;
pub mod fence;
pub mod open;
pub mod several;
pub mod session;

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
        let only = |series: &Series| match self.only {
            None => true,
            Some(only) => series.is_floor() == (only == Contestant::Floor),
        };
        let mut entrants: Vec<_> = entrants.into_iter().filter(|(series, _)| only(series)).collect();
        for round in 0..self.rounds {
            let mut turns: Vec<_> = entrants.iter_mut().collect();
            if round % 2 == 1 {
                turns.reverse();
            }
            for (series, subject) in turns {
                eprintln!("round {} of {}: {series}", round + 1, self.rounds);
                series.runs.push(measure(subject));
            }
        }
        entrants.into_iter().map(|(series, _)| series).collect()
    }
}
