//! What was found, as a table for people and as JSON for programs.
//!
//! Every figure is the median of the rounds; beside a rate stand its lowest and highest, so that a machine that others
//! used meanwhile shows itself. A ratio is made within a round, between neighbours in time, and its median is taken.

use std::fmt;
use std::fmt::Write;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::connections::Connections;
use crate::load::Measured;
use crate::numbers::{grouped, median};

/// One contestant's run in one round.
#[derive(Debug, Clone)]
pub struct Run {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    failures: u64,
    first_failure: Option<String>,
    /// The grants of the client that had most, to those of the one that had least.
    unfairness: Option<f64>,
    processor: Processor,
}

/// What one operation has used of the processors.
#[derive(Debug, Clone, Copy)]
pub struct Processor {
    /// The generator; of the floor's runs it is the lock's client.
    pub generator_us: f64,
    /// The proxy; of the floor's runs it has nothing to do.
    pub proxy_us: f64,
    /// All primaries together.
    pub primaries_us: f64,
}

impl Run {
    /// What was measured, with the times that are of interest; panics when there are none.
    pub fn new(measured: &Measured, latencies: &Histogram<u64>, processor: Processor) -> Self {
        let failure = measured.first_failure.as_deref().unwrap_or("it took longer");
        assert!(!latencies.is_empty(), "no operation was done within the measured span: {failure}");
        let us = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        Self {
            per_second: measured.per_second,
            p50_us: us(latencies.value_at_quantile(0.5)),
            p99_us: us(latencies.value_at_quantile(0.99)),
            p999_us: us(latencies.value_at_quantile(0.999)),
            max_us: us(latencies.max()),
            failures: measured.failures,
            first_failure: measured.first_failure.clone(),
            unfairness: None,
            processor,
        }
    }

    /// With how evenly the grants were dealt out.
    #[must_use]
    pub fn with_unfairness(self, unfairness: f64) -> Self {
        Self { unfairness: Some(unfairness), ..self }
    }
}

/// What one contestant did, in all rounds.
#[derive(Debug, Clone)]
pub struct Series {
    case: &'static str,
    by: &'static str,
    primaries: usize,
    /// Virtual clients.
    pub clients: usize,
    connections: Option<Connections>,
    /// How many operations a second are due, in an open loop.
    due: Option<u32>,
    /// What it is to be seen against: another contestant, with so many clients.
    base: Option<(&'static str, usize)>,
    /// A run for each round.
    pub runs: Vec<Run>,
}

impl Series {
    /// Of a case, by a contestant; nothing has been measured yet.
    pub fn new(case: &'static str, by: &'static str, primaries: usize, clients: usize) -> Self {
        Self { case, by, primaries, clients, connections: None, due: None, base: None, runs: Vec::new() }
    }

    /// Whether it is a floor itself.
    pub fn is_floor(&self) -> bool {
        self.by == FLOOR || self.by == SHARED_FLOOR
    }

    /// What connections it has to whom it measures, where that is not always the same.
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
    pub fn against(self, by: &'static str, clients: usize) -> Self {
        Self { base: Some((by, clients)), ..self }
    }

    fn median(&self, figure: impl Fn(&Run) -> f64) -> f64 {
        median(self.runs.iter().map(figure))
    }

    /// The ratio to another's figure, of each round.
    fn ratios(&self, other: &Self, figure: impl Fn(&Run) -> f64) -> Ratio {
        let ratios: Vec<f64> =
            self.runs.iter().zip(&other.runs).map(|(own, other)| figure(own) / figure(other)).collect();
        Ratio { median: median(ratios.iter().copied()), range: Range::of(ratios) }
    }

    /// What this is to be seen against, if that was measured.
    fn base<'a>(&self, all: &'a [Series]) -> Option<&'a Series> {
        let (by, clients) = self.base?;
        let is_alike = |other: &&Series| other.connections.is_none() || other.connections == self.connections;
        all.iter().filter(is_alike).find(|other| other.by == by && other.clients == clients)
    }

    fn json(&self, all: &[Series]) -> Value {
        let runs: Vec<Value> = self.runs.iter().map(Run::json).collect();
        let to_base = self.base(all).map(|base| {
            let ratio = |figure: fn(&Run) -> f64| {
                let Ratio { median, range } = self.ratios(base, figure);
                json!({"median": median, "lowest": range.0, "highest": range.1})
            };
            json!({
                "base": base.by,
                "per_second": ratio(|run| run.per_second),
                "p50": ratio(|run| run.p50_us),
                "p99": ratio(|run| run.p99_us),
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
                "per_second": self.median(|run| run.per_second),
                "p50_us": self.median(|run| run.p50_us),
                "p99_us": self.median(|run| run.p99_us),
                "p999_us": self.median(|run| run.p999_us),
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

impl Run {
    fn json(&self) -> Value {
        let Processor { generator_us, proxy_us, primaries_us } = self.processor;
        json!({
            "per_second": self.per_second,
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "p999_us": self.p999_us,
            "max_us": self.max_us,
            "failures": self.failures,
            "first_failure": self.first_failure,
            "unfairness": self.unfairness,
            "processor_us": {"generator": generator_us, "proxy": proxy_us, "primaries": primaries_us},
        })
    }
}

/// Lowest and highest.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Range(f64, f64);

impl Range {
    fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let around = |Self(lowest, highest): Self, value: f64| Self(lowest.min(value), highest.max(value));
        values.into_iter().fold(Self(f64::INFINITY, f64::NEG_INFINITY), around)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Ratio {
    median: f64,
    range: Range,
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.range.0, self.range.1)
    }
}

/// A bare client on the primaries themselves, each with connections of its own.
pub const FLOOR: &str = "floor";

/// The same with one connection to each primary, which all of them share.
pub const SHARED_FLOOR: &str = "floor, shared";

/// What was found in one case.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// Its table.
    pub text: String,
    /// The same for programs, and more of it.
    pub json: Value,
    /// What has failed; empty when nothing has.
    pub failures: String,
}

impl Section {
    /// Of these series; `base` is what ratios are called to be to.
    pub fn of(title: String, base: &str, all: &[Series]) -> Self {
        let json = json!({"title": &title, "series": all.iter().map(|series| series.json(all)).collect::<Value>()});
        Self { title, text: table(all, base), json, failures: failures(all) }
    }
}

/// Markdown.
impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, text, failures, .. } = self;
        write!(f, "## {title}\n\n{text}")?;
        if failures.is_empty() { Ok(()) } else { write!(f, "\n{failures}") }
    }
}

/// A line for each series in which operations have failed; empty when none has.
fn failures(all: &[Series]) -> String {
    let mut text = String::new();
    for series in all {
        let failed: u64 = series.runs.iter().map(|run| run.failures).sum();
        if let Some(first) = series.runs.iter().find_map(|run| run.first_failure.as_ref()) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "- **{failed} operations failed** in {series}; the first: {first}");
        }
    }
    text
}

/// The series as a table in Markdown.
fn table(all: &[Series], base: &str) -> String {
    let is_fair = all.iter().any(|series| series.runs.iter().any(|run| run.unfairness.is_some()));
    let mut headings = vec![
        "by".to_owned(),
        "connections".into(),
        "a second".into(),
        "lowest to highest".into(),
        format!("rate/{base}"),
        "p50, µs".into(),
        format!("p50/{base}"),
        "p99, µs".into(),
        format!("p99/{base}"),
        "p99.9, µs".into(),
        "generator, µs".into(),
        "proxy, µs".into(),
        "primaries, µs".into(),
    ];
    headings.extend(is_fair.then(|| "most/least grants".into()));
    let mut text = format!("| {} |\n|---|{}\n", headings.join(" | "), "---:|".repeat(headings.len() - 1));
    for series in all {
        let mut cells = series.cells(all);
        cells.extend(is_fair.then(|| series.unfairness()));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

impl Series {
    fn cells(&self, all: &[Series]) -> Vec<String> {
        let range = Range::of(self.runs.iter().map(|run| run.per_second));
        let base = self.base(all);
        let ratio =
            |figure: fn(&Run) -> f64| base.map_or_else(String::new, |base| self.ratios(base, figure).to_string());
        let processor = |figure: fn(&Processor) -> f64| format!("{:.1}", self.median(|run| figure(&run.processor)));
        vec![
            self.by.to_owned(),
            self.connections.map_or_else(|| self.clients.to_string(), |connections| connections.to_string()),
            grouped(self.median(|run| run.per_second)),
            format!("{} to {}", grouped(range.0), grouped(range.1)),
            ratio(|run| run.per_second),
            grouped(self.median(|run| run.p50_us)),
            ratio(|run| run.p50_us),
            grouped(self.median(|run| run.p99_us)),
            ratio(|run| run.p99_us),
            grouped(self.median(|run| run.p999_us)),
            processor(|used| used.generator_us),
            processor(|used| used.proxy_us),
            processor(|used| used.primaries_us),
        ]
    }

    fn unfairness(&self) -> String {
        let measured: Vec<f64> = self.runs.iter().filter_map(|run| run.unfairness).collect();
        if measured.is_empty() { String::new() } else { format!("{:.2}", median(measured)) }
    }
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;
