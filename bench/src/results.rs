//! What was found, as a table for people and as JSON for programs.
//!
//! Every figure is the median of the rounds; beside a rate stand its lowest and highest, so that a machine that others
//! used meanwhile shows itself. A ratio is made within a round, between neighbours in time, and its median is taken.

use std::fmt;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::cases::Connections;
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
    /// What was measured; panics when nothing was.
    pub fn new(measured: &Measured, processor: Processor) -> Self {
        let latencies = &measured.latencies;
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
            processor,
        }
    }
}

/// What one contestant did, in all rounds.
#[derive(Debug, Clone)]
pub struct Series {
    case: &'static str,
    by: String,
    primaries: usize,
    /// Virtual clients.
    pub clients: usize,
    connections: Option<Connections>,
    /// A run for each round.
    pub runs: Vec<Run>,
}

impl Series {
    /// Of a case, by a contestant; nothing has been measured yet.
    pub fn new(case: &'static str, by: &str, primaries: usize, clients: usize) -> Self {
        Self { case, by: by.to_owned(), primaries, clients, connections: None, runs: Vec::new() }
    }

    /// What connections it has to whom it measures, where that is not always the same.
    #[must_use]
    pub fn on(self, connections: Connections) -> Self {
        Self { connections: Some(connections), ..self }
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

    /// The floor that this is to be seen against.
    fn floor<'a>(&self, all: &'a [Series]) -> Option<&'a Series> {
        let alike =
            |other: &&Series| (other.case, other.primaries, other.clients) == (self.case, self.primaries, self.clients);
        all.iter().filter(alike).find(|other| other.by == "floor").filter(|_| self.by != "floor")
    }

    fn json(&self, all: &[Series]) -> Value {
        let runs: Vec<Value> = self.runs.iter().map(Run::json).collect();
        let to_floor = self.floor(all).map(|floor| {
            let ratio =
                |ratio: Ratio| json!({"median": ratio.median, "lowest": ratio.range.0, "highest": ratio.range.1});
            json!({
                "per_second": ratio(self.ratios(floor, |run| run.per_second)),
                "p50": ratio(self.ratios(floor, |run| run.p50_us)),
                "p99": ratio(self.ratios(floor, |run| run.p99_us)),
            })
        });
        json!({
            "case": self.case,
            "by": self.by,
            "primaries": self.primaries,
            "clients": self.clients,
            "connections": self.connections.map(|connections| connections.count),
            "depth": self.connections.map(|connections| connections.depth),
            "median": {
                "per_second": self.median(|run| run.per_second),
                "p50_us": self.median(|run| run.p50_us),
                "p99_us": self.median(|run| run.p99_us),
                "p999_us": self.median(|run| run.p999_us),
            },
            "to_floor": to_floor,
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

/// The series as JSON.
pub fn json(all: &[Series]) -> Value {
    all.iter().map(|series| series.json(all)).collect()
}

/// A line for each series in which operations have failed; empty when none has.
pub fn failures(all: &[Series]) -> String {
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

const HEADINGS: [&str; 12] = [
    "by",
    "connections",
    "a second",
    "lowest to highest",
    "rate/floor",
    "p50, µs",
    "p50/floor",
    "p99, µs",
    "p99.9, µs",
    "generator, µs",
    "proxy, µs",
    "primaries, µs",
];

/// The series as a table in Markdown.
pub fn table(all: &[Series]) -> String {
    let mut text = format!("| {} |\n|---|---:{}\n", HEADINGS.join(" | "), "|---:".repeat(HEADINGS.len() - 2) + "|");
    for series in all {
        let range = Range::of(series.runs.iter().map(|run| run.per_second));
        let floor = series.floor(all);
        let ratio =
            |figure: fn(&Run) -> f64| floor.map(|floor| series.ratios(floor, figure).to_string()).unwrap_or_default();
        let connections = series.connections.map_or_else(|| series.clients.to_string(), |it| it.to_string());
        let cells = [
            series.by.clone(),
            connections,
            grouped(series.median(|run| run.per_second)),
            format!("{} to {}", grouped(range.0), grouped(range.1)),
            ratio(|run| run.per_second),
            grouped(series.median(|run| run.p50_us)),
            ratio(|run| run.p50_us),
            grouped(series.median(|run| run.p99_us)),
            grouped(series.median(|run| run.p999_us)),
            format!("{:.1}", series.median(|run| run.processor.generator_us)),
            format!("{:.1}", series.median(|run| run.processor.proxy_us)),
            format!("{:.1}", series.median(|run| run.processor.primaries_us)),
        ];
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(per_second: f64) -> Run {
        let processor = Processor { generator_us: 1.0, proxy_us: 2.0, primaries_us: 3.0 };
        let latency = 1e6 / per_second;
        Run {
            per_second,
            p50_us: latency,
            p99_us: 2.0 * latency,
            p999_us: 3.0 * latency,
            max_us: 1e6,
            failures: 0,
            first_failure: None,
            processor,
        }
    }

    fn series(by: &str, clients: usize, rates: [f64; 3]) -> Series {
        Series { runs: rates.map(run).to_vec(), ..Series::new("distinct", by, 3, clients) }
    }

    /// One round met a busy machine: both were slow, and the ratio is what it was.
    fn measured() -> Vec<Series> {
        let multiplexed = "1x64".parse().expect("one connection");
        vec![
            series("floor", 1, [7.0, 7.0, 7.0]),
            series("floor", 64, [1000.0, 100.0, 2000.0]),
            series("proxy", 64, [500.0, 60.0, 1000.0]).on(multiplexed),
        ]
    }

    #[test]
    fn ratios_are_made_within_a_round_and_against_the_floor_of_as_many_clients() {
        let all = measured();
        assert_eq!(all[1].floor(&all).map(|floor| floor.clients), None, "a floor has none");
        let floor = all[2].floor(&all).expect("of 64 clients");
        let ratio = all[2].ratios(floor, |run| run.per_second);
        assert_eq!(ratio, Ratio { median: 0.5, range: Range(0.5, 0.6) });
    }

    #[test]
    fn failures_are_told_with_the_first_of_them() {
        let mut all = measured();
        assert_eq!(failures(&all), "");
        let failed = Run { failures: 2, first_failure: Some("RLOCK: null".into()), ..run(1.0) };
        all[2].runs[1..].fill(failed);
        let line = "- **4 operations failed** in distinct, proxy, 1x64 connections; the first: RLOCK: null\n";
        assert_eq!(failures(&all), line);
    }

    #[test]
    fn the_table_has_a_row_for_each_series() {
        let table = table(&measured());
        let row = "| proxy | 1x64 | 500 | 60 to 1 000 | 0.50 (0.50 to 0.60) | 2 000 | 2.00 (1.67 to 2.00) \
                   | 4 000 | 6 000 | 1.0 | 2.0 | 3.0 |";
        assert_eq!(table.lines().last(), Some(row));
        let cells = |line: &str| line.matches('|').count();
        assert!(table.lines().all(|line| cells(line) == cells(row)), "{table}");
    }

    #[test]
    fn the_json_tells_medians_rounds_and_ratios() {
        let json = json(&measured());
        assert_eq!(json[2]["median"]["per_second"], 500.0);
        assert_eq!(json[2]["rounds"].as_array().map(Vec::len), Some(3));
        assert_eq!(json[2]["to_floor"]["per_second"]["highest"], 0.6);
        assert_eq!((json[2]["connections"].clone(), json[2]["depth"].clone()), (1.into(), 64.into()));
        assert_eq!(json[1]["to_floor"], Value::Null);
    }
}
