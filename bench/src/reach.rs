//! What the proxy is to reach, and whether it did: ratios of one run, between neighbours in time.

use serde_json::{Value, json};

use crate::cases::{memory, peers, session};
use crate::connections::Connections;
use crate::numbers::grouped;
use crate::results::{Section, markdown};
use crate::series::{FLOOR, Run, SHARED_FLOOR, Series, Spread};

/// Where a figure should lie.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {}", number(bound)),
            Self::AtMost(bound) => format!("≤ {}", number(bound)),
        }
    }
}

/// A ratio with two digits behind the point, a number of bytes with none.
fn number(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { grouped(value) }
}

/// One figure that is to be reached.
struct Aim {
    what: String,
    bound: Bound,
    /// `None`: it was not measured.
    found: Option<Spread>,
}

impl Aim {
    /// By the median.
    fn is_reached(&self) -> Option<bool> {
        Some(self.bound.holds(self.found?.median))
    }
}

const RATE: fn(&Run) -> f64 = |run| run.per_second;
const P50: fn(&Run) -> f64 = |run| run.p50_us;
const P99: fn(&Run) -> f64 = |run| run.p99_us;

/// Everything that was measured.
struct Found<'a>(&'a [Section]);

impl<'a> Found<'a> {
    /// The first that fits: cases that are measured with several numbers of primaries begin with the usual one.
    fn series(&self, case: &str, by: &str, on: &str) -> Option<&'a Series> {
        let connections: Connections = on.parse().expect("connections");
        let fits = |series: &&Series| {
            // A library's name has its version behind it.
            let is_by = series.by == by || series.by.rsplit_once(' ').is_some_and(|(name, _)| name == by);
            let is_on = series.connections.is_none_or(|own| own == connections);
            series.case == case && is_by && is_on && series.clients == connections.clients()
        };
        self.0.iter().flat_map(|section| &section.series).find(fits)
    }

    fn ratio(
        &self,
        case: &str,
        [by, on]: [&str; 2],
        [other, other_on]: [&str; 2],
        figure: fn(&Run) -> f64,
    ) -> Option<Spread> {
        let (own, other) = (self.series(case, by, on)?, self.series(case, other, other_on)?);
        Some(own.ratios(other, figure))
    }

    fn figure(&self, name: &str) -> Option<Spread> {
        let figures = self.0.iter().flat_map(|section| &section.figures);
        figures.into_iter().find(|(own, _)| *own == name).map(|(_, value)| Spread::of([*value]))
    }
}

/// The table of what is to be reached. When everything was to be measured, it names what was not.
pub fn section(sections: &[Section], is_whole: bool) -> Section {
    let mut aims = aims(&Found(sections));
    aims.retain(|aim| is_whole || aim.found.is_some());
    let rows = aims.iter().map(|aim| {
        let spread = |text: fn(Spread) -> String| aim.found.map_or_else(|| "–".into(), text);
        let verdict = match aim.is_reached() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "not measured",
        };
        vec![
            aim.what.clone(),
            aim.bound.text(),
            spread(|found| number(found.median)),
            spread(|found| format!("{} to {}", number(found.lowest), number(found.highest))),
            verdict.into(),
        ]
    });
    let text = markdown(&["what", "aim", "median", "lowest to highest", "reached"], rows);
    let json: Value = aims
        .iter()
        .map(|aim| {
            json!({
                "what": aim.what,
                "aim": aim.bound.text(),
                "median": aim.found.map(|found| found.median),
                "lowest": aim.found.map(|found| found.lowest),
                "highest": aim.found.map(|found| found.highest),
                "reached": aim.is_reached(),
            })
        })
        .collect();
    Section {
        title: "What is to be reached".into(),
        text,
        json: json!({"case": "reach", "aims": json}),
        ..Section::default()
    }
}

fn aims(found: &Found) -> Vec<Aim> {
    use Bound::{AtLeast, AtMost};
    let mut aims = Vec::new();
    let mut aim = |what: &str, bound, found| aims.push(Aim { what: what.into(), bound, found });
    let distinct = |own, other, figure| found.ratio("distinct", ["proxy", own], other, figure);
    aim("1 connection: p50 to the floor's", AtMost(1.6), distinct("1", [FLOOR, "1"], P50));
    let library = |name, on| found.ratio(peers::DISTINCT, [peers::PROXY, on], [name, on], RATE);
    for (name, ratio) in [("rslock", 0.8), ("redsync", 1.2)] {
        aim(&format!("1 connection: rate to {name}'s"), AtLeast(ratio), library(name, "1"));
    }
    aim("64 connections: rate to the floor's", AtLeast(0.55), distinct("64", [FLOOR, "64"], RATE));
    let libraries =
        [("rslock", 0.8), ("redsync", 3.0), ("node-redlock-5", 3.0), ("redlock-py", 10.0), ("redisson", 20.0)];
    for (name, ratio) in libraries {
        aim(&format!("64 connections: rate to {name}'s"), AtLeast(ratio), library(name, "64"));
    }
    let shared = [SHARED_FLOOR, "1x64"];
    aim("64 connections: rate to the shared floor's", AtLeast(0.55), distinct("64", shared, RATE));
    aim("one connection, 64 in flight: rate to the floor's", AtLeast(1.0), distinct("1x64", [FLOOR, "64"], RATE));
    aim("one connection, 64 in flight: rate to the shared floor's", AtLeast(1.0), distinct("1x64", shared, RATE));
    aim("1,000 connections: rate to that of 64", AtLeast(0.9), distinct("1000", ["proxy", "64"], RATE));
    let contended = |name| found.series(peers::CONTENDED, name, "64");
    let proxy = contended(peers::PROXY);
    let contenders = found.0.iter().flat_map(|section| &section.series).filter(|one| one.case == peers::CONTENDED);
    // Redisson does not poll: a release is published, and who waits has subscribed.
    for library in contenders.filter(|one| one.by != peers::PROXY && !one.by.starts_with("redisson")) {
        let ratio = proxy.map(|proxy| proxy.ratios(library, RATE));
        aim(&format!("64 waiters: hand-overs to {}'s", library.by), AtLeast(10.0), ratio);
    }
    let unfairness = found.series("contended", "proxy, WAIT", "64").and_then(Series::unfairness);
    aim("64 waiters: most to least grants of a client", AtMost(1.2), unfairness);
    for (what, on) in [("64 connections", "64"), ("one connection, 64 in flight", "1x64")] {
        let dead = |figure| found.ratio("dead", ["proxy, one dead", on], ["proxy, healthy", on], figure);
        aim(&format!("one of three dead, {what}: rate to the healthy"), AtLeast(1.0 / 1.15), dead(RATE));
        aim(&format!("one of three dead, {what}: p99 to the healthy"), AtMost(1.15), dead(P99));
        let fence = found.ratio("fence", ["proxy, FENCE", on], ["proxy, plain", on], RATE);
        aim(&format!("FENCE, {what}: rate to that without"), AtLeast(0.65), fence);
    }
    for (what, on, bound) in [("1 connection", "1", 0.85), ("64 connections", "64", 0.95)] {
        let ratio = found.ratio("vouching", ["proxy, quarantine on", on], ["proxy, quarantine off", on], RATE);
        aim(&format!("quarantine, {what}: rate to that without"), AtLeast(bound), ratio);
    }
    for command in ["SET", "GET"] {
        for (depth, on) in [(1, "64"), (16, "64x16")] {
            let relay = found.ratio(&format!("relay {command}"), ["proxy", on], ["splice", on], RATE);
            aim(&format!("relayed {command}, {depth} deep: rate to the raw copy's"), AtLeast(0.95), relay);
        }
    }
    for (name, bytes) in [(memory::IDLE_BYTES, 8192.0), (memory::WAITING_BYTES, 1024.0), (session::LOCK_BYTES, 512.0)] {
        aim(name, AtMost(bytes), found.figure(name));
    }
    aims
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::examples::series;

    #[test]
    fn a_figure_is_reached_by_its_median_and_what_is_missing_is_not_measured() {
        let on = |text: &str| text.parse::<Connections>().expect("connections");
        let all = vec![
            series("peers", "proxy", 64, [90.0, 100.0, 10.0]).on(on("64")),
            series("peers", "rslock 0.10.0", 64, [100.0; 3]),
            series("peers, contended", "proxy", 64, [90.0; 3]),
            series("peers, contended", "rslock 0.10.0", 64, [10.0; 3]),
            series("peers, contended", "redisson 4.7.0", 64, [10.0; 3]),
        ];
        let figures = vec![(memory::IDLE_BYTES, 8193.0)];
        let found = [Section { series: all, figures, ..Section::default() }];
        let text = section(&found, true).text;
        for row in [
            "| 64 connections: rate to rslock's | ≥ 0.80 | 0.90 | 0.10 to 1.00 | yes |",
            "| 64 connections: rate to redsync's | ≥ 3.00 | – | – | not measured |",
            "| 64 waiters: hand-overs to rslock 0.10.0's | ≥ 10.00 | 9.00 | 9.00 to 9.00 | **no** |",
            "| bytes of an idle client | ≤ 8 192 | 8 193 | 8 193 to 8 193 | **no** |",
        ] {
            assert!(text.lines().any(|line| line == row), "{row}: {text}");
        }
        assert!(!text.contains("redisson 4.7.0"), "{text}");
        assert!(!section(&found, false).text.contains("not measured"));
    }
}
