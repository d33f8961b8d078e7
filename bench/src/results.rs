//! What was found, as tables for people and as JSON for programs.

use std::fmt;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::numbers::grouped;
use crate::series::{Processor, Run, Series};

/// What was found in one case.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// Its table.
    pub text: String,
    /// The same for programs, and more of it.
    pub json: Value,
    /// What has failed; empty when nothing has.
    pub failures: String,
    /// What the contestants did.
    pub series: Vec<Series>,
    /// What was measured beside that, by name.
    pub figures: Vec<(&'static str, f64)>,
}

impl Section {
    /// Of these series; `base` is what ratios are called to be to.
    pub fn of(title: String, base: &str, series: Vec<Series>) -> Self {
        let text = table(&series, base);
        Self { text, ..Self::titled(title, series) }
    }

    /// With what takes no part, and why.
    #[must_use]
    pub fn without(mut self, reasons: &[String]) -> Self {
        for reason in reasons {
            // Writing to a string cannot fail.
            let _ = writeln!(self.text, "\n- not measured: {reason}");
        }
        self.json["not_measured"] = reasons.into();
        self
    }

    /// Of these series, whose table is still to be written.
    pub fn titled(title: String, series: Vec<Series>) -> Self {
        let each: Value = series.iter().map(|one| one.json(&series)).collect();
        let json = json!({"title": &title, "series": each});
        Self { title, json, failures: failures(&series), series, ..Self::default() }
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
        if failed > 0 {
            let first = series.runs.iter().find_map(|run| run.first_failure.as_deref()).unwrap_or("not told");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "- **{failed} operations failed** in {series}; the first: {first}");
        }
    }
    text
}

/// A table in Markdown, its first column of words and the others of numbers.
pub fn markdown(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|---|{}\n", headings.join(" | "), "---:|".repeat(headings.len() - 1));
    for cells in rows {
        assert_eq!(cells.len(), headings.len(), "a cell for each column");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

/// The series as a table.
fn table(all: &[Series], base: &str) -> String {
    let is_fair = all.iter().any(|series| series.unfairness().is_some());
    let [rate_to, p50_to, p99_to] = ["rate", "p50", "p99"].map(|figure| format!("{figure}/{base}"));
    let mut headings = vec![
        "by",
        "connections",
        "a second",
        "lowest to highest",
        &rate_to,
        "p50, µs",
        &p50_to,
        "p99, µs",
        &p99_to,
        "p99.9, µs",
        "client, µs",
        "proxy, µs",
        "primaries, µs",
    ];
    headings.extend(is_fair.then_some("most/least grants"));
    markdown(
        &headings,
        all.iter().map(|series| {
            let mut cells = cells(series, all);
            cells.extend(is_fair.then(|| series.unfairness().map(|spread| spread.to_string()).unwrap_or_default()));
            cells
        }),
    )
}

fn cells(series: &Series, all: &[Series]) -> Vec<String> {
    let base = series.base(all);
    let ratio = |figure: fn(&Run) -> f64| base.map_or_else(String::new, |base| series.ratios(base, figure).to_string());
    let middle = |figure: fn(&Run) -> f64| grouped(series.spread(figure).median);
    let processor = |used: fn(&Processor) -> f64| format!("{:.1}", series.spread(|run| used(&run.processor)).median);
    let rate = series.spread(|run| run.per_second);
    vec![
        series.by.clone(),
        series.connections.map_or_else(|| series.clients.to_string(), |connections| connections.to_string()),
        grouped(rate.median),
        format!("{} to {}", grouped(rate.lowest), grouped(rate.highest)),
        ratio(|run| run.per_second),
        middle(|run| run.p50_us),
        ratio(|run| run.p50_us),
        middle(|run| run.p99_us),
        ratio(|run| run.p99_us),
        middle(|run| run.p999_us),
        processor(|used| used.client_us),
        processor(|used| used.proxy_us),
        processor(|used| used.primaries_us),
    ]
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;
