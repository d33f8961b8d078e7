//! What contestants did, round by round, and how two of them compare.
//!
//! Every figure is the median of the rounds; beside it stand the lowest and the highest, so that a machine that others used
//! meanwhile shows itself. A ratio is made within a round, between neighbours in time, and its median is taken.

use std::fmt;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::connections::Connections;
use crate::load::Measured;
use crate::numbers::median;

/// A bare client on the primaries themselves, each with connections of its own.
pub const FLOOR: &str = "floor";

/// The same with one connection to each primary, which all of them share.
pub const SHARED_FLOOR: &str = "floor, shared";

/// One contestant's run in one round.
#[derive(Debug, Clone)]
pub struct Run {
    /// Operations.
    pub per_second: f64,
    /// How long half of them took at most.
    pub p50_us: f64,
    /// How long 99 of a hundred took at most.
    pub p99_us: f64,
    /// How long 999 of a thousand took at most.
    pub p999_us: f64,
    /// How long the longest took, where that is known.
    pub max_us: Option<f64>,
    /// Operations that ended otherwise than they should; neither counted nor timed.
    pub failures: u64,
    /// What the first of them was answered.
    pub first_failure: Option<String>,
    /// The grants of the client that had most, to those of the one that had least.
    pub unfairness: Option<f64>,
    /// What one operation has used of the processors.
    pub processor: Processor,
}

/// What one operation has used of the processors.
#[derive(Debug, Clone, Copy)]
pub struct Processor {
    /// Who locks: the generator, or the driver of a library.
    pub client_us: f64,
    /// Who stands in between; of the floor's runs and the libraries' nobody does.
    pub proxy_us: f64,
    /// All primaries together.
    pub primaries_us: f64,
}

impl Run {
    /// What was measured, with the times that are of interest. Without any, that is what has failed.
    pub fn new(measured: &Measured, latencies: &Histogram<u64>, processor: Processor) -> Self {
        let nothing = latencies.is_empty().then(|| "no operation began and ended within the measured span".to_owned());
        let us = |nanoseconds: u64| if latencies.is_empty() { f64::NAN } else { nanoseconds as f64 / 1000.0 };
        Self {
            per_second: measured.per_second,
            p50_us: us(latencies.value_at_quantile(0.5)),
            p99_us: us(latencies.value_at_quantile(0.99)),
            p999_us: us(latencies.value_at_quantile(0.999)),
            max_us: Some(us(latencies.max())),
            failures: measured.failures + u64::from(nothing.is_some()),
            first_failure: measured.first_failure.clone().or(nothing),
            unfairness: None,
            processor,
        }
    }

    /// With how evenly the grants were dealt out.
    #[must_use]
    pub fn with_unfairness(self, unfairness: f64) -> Self {
        Self { unfairness: Some(unfairness), ..self }
    }

    fn json(&self) -> Value {
        let Processor { client_us, proxy_us, primaries_us } = self.processor;
        json!({
            "per_second": self.per_second,
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "p999_us": self.p999_us,
            "max_us": self.max_us,
            "failures": self.failures,
            "first_failure": self.first_failure,
            "unfairness": self.unfairness,
            "processor_us": {"client": client_us, "proxy": proxy_us, "primaries": primaries_us},
        })
    }
}

/// What one contestant did, in all rounds.
#[derive(Debug, Clone)]
pub struct Series {
    /// What was done.
    pub case: &'static str,
    /// Who did it.
    pub by: String,
    primaries: usize,
    /// Virtual clients.
    pub clients: usize,
    /// What connections they have to whom is measured, where that is not always the same.
    pub connections: Option<Connections>,
    /// How many operations a second are due, in an open loop.
    due: Option<u32>,
    /// What it is to be seen against: another contestant, with so many clients.
    base: Option<(String, usize)>,
    /// A run for each round.
    pub runs: Vec<Run>,
}

impl Series {
    /// Of a case, by a contestant; nothing has been measured yet.
    pub fn new(case: &'static str, by: impl Into<String>, primaries: usize, clients: usize) -> Self {
        let by = by.into();
        Self { case, by, primaries, clients, connections: None, due: None, base: None, runs: Vec::new() }
    }

    /// Whether it is a floor itself.
    pub fn is_floor(&self) -> bool {
        self.by == FLOOR || self.by == SHARED_FLOOR
    }

    /// What connections it has.
    #[must_use]
    pub fn on(self, connections: Connections) -> Self {
        Self { connections: Some(connections), ..self }
    }

    /// How many operations are due a second.
    #[must_use]
    pub fn due(self, per_second: u32) -> Self {
        Self { due: Some(per_second), ..self }
    }

    /// What it is to be seen against.
    #[must_use]
    pub fn against(self, by: impl Into<String>, clients: usize) -> Self {
        Self { base: Some((by.into(), clients)), ..self }
    }

    /// A figure, over all rounds.
    pub fn spread(&self, figure: impl Fn(&Run) -> f64) -> Spread {
        Spread::of(self.runs.iter().map(figure))
    }

    /// The ratio to another's figure, made within each round.
    pub fn ratios(&self, other: &Self, figure: impl Fn(&Run) -> f64) -> Spread {
        Spread::of(self.runs.iter().zip(&other.runs).map(|(own, other)| figure(own) / figure(other)))
    }

    /// How evenly the grants were dealt out, where that was looked at.
    pub fn unfairness(&self) -> Option<Spread> {
        let looked_at: Vec<f64> = self.runs.iter().filter_map(|run| run.unfairness).collect();
        (!looked_at.is_empty()).then(|| Spread::of(looked_at))
    }

    /// What this is to be seen against, if that was measured.
    pub fn base<'a>(&self, all: &'a [Series]) -> Option<&'a Series> {
        let (by, clients) = self.base.as_ref()?;
        let is_alike = |other: &&Series| other.connections.is_none() || other.connections == self.connections;
        all.iter().filter(is_alike).find(|other| other.by == *by && other.clients == *clients)
    }

    /// The same for programs.
    pub fn json(&self, all: &[Series]) -> Value {
        let runs: Vec<Value> = self.runs.iter().map(Run::json).collect();
        let to_base = self.base(all).map(|base| {
            json!({
                "base": base.by,
                "per_second": self.ratios(base, |run| run.per_second).json(),
                "p50": self.ratios(base, |run| run.p50_us).json(),
                "p99": self.ratios(base, |run| run.p99_us).json(),
            })
        });
        json!({
            "case": self.case,
            "by": self.by,
            "primaries": self.primaries,
            "clients": self.clients,
            "due_per_second": self.due,
            "connections": self.connections.map(|connections| connections.count),
            "depth": self.connections.map(|connections| connections.depth),
            "median": {
                "per_second": self.spread(|run| run.per_second).median,
                "p50_us": self.spread(|run| run.p50_us).median,
                "p99_us": self.spread(|run| run.p99_us).median,
                "p999_us": self.spread(|run| run.p999_us).median,
            },
            "ratio": to_base,
            "rounds": runs,
        })
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.case, self.by)?;
        match self.connections {
            Some(connections) => write!(f, ", {connections} connections"),
            None => write!(f, ", {} clients", self.clients),
        }
    }
}

/// One figure of all rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The one in the middle.
    pub median: f64,
    /// The lowest of all.
    pub lowest: f64,
    /// The highest of all.
    pub highest: f64,
}

impl Spread {
    /// Of these, of which there must be one.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().collect();
        Self {
            lowest: values.iter().copied().fold(f64::INFINITY, f64::min),
            highest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            median: median(values),
        }
    }

    fn json(self) -> Value {
        json!({"median": self.median, "lowest": self.lowest, "highest": self.highest})
    }
}

/// As a ratio.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, lowest, highest } = self;
        // Of grants when somebody had none.
        f.write_str(&format!("{median:.2} ({lowest:.2} to {highest:.2})").replace("inf", "∞"))
    }
}

#[cfg(test)]
pub(crate) mod examples {
    use super::{Processor, Run, Series};

    /// One after the other: what took as long as this rate lets it.
    pub(crate) fn run(per_second: f64) -> Run {
        let p50_us = 1e6 / per_second;
        Run {
            per_second,
            p50_us,
            p99_us: 2.0 * p50_us,
            p999_us: 3.0 * p50_us,
            max_us: Some(4.0 * p50_us),
            failures: 0,
            first_failure: None,
            unfairness: None,
            processor: Processor { client_us: 1.0, proxy_us: 2.0, primaries_us: 3.0 },
        }
    }

    /// With a run for each of these rates.
    pub(crate) fn series(case: &'static str, by: &str, clients: usize, rates: [f64; 3]) -> Series {
        let mut series = Series::new(case, by, 3, clients);
        series.runs = rates.map(run).to_vec();
        series
    }
}
