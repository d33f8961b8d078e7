//! The report's plots, as SVG with a background of their own: they are looked at on light pages and on dark ones.
//!
//! A point is the median of the rounds, the stroke through it reaches from the lowest to the highest.

use plotters::style::RGBColor;

use crate::numbers::grouped;
use crate::results::Section;
use crate::series::{FLOOR, Run, SHARED_FLOOR, Series, Spread};

mod draw;

use draw::{Axis, Dots, Mark, Panel, svg};

const BLUE: RGBColor = RGBColor(37, 99, 235);
const ORANGE: RGBColor = RGBColor(217, 119, 6);
const RED: RGBColor = RGBColor(190, 18, 60);
const GREEN: RGBColor = RGBColor(21, 128, 61);
const GREY: RGBColor = RGBColor(100, 116, 139);

/// Its name, its colour, and what it is of a run.
type Percentile = (&'static str, RGBColor, fn(&Run) -> f64);

const PERCENTILES: [Percentile; 3] =
    [("p50", BLUE, |run| run.p50_us), ("p99", ORANGE, |run| run.p99_us), ("p99.9", RED, |run| run.p999_us)];

/// A plot and the name of its file.
#[derive(Debug, Clone)]
pub struct Plot {
    /// Always the same, so that pages can show it.
    pub file: &'static str,
    /// What it shows, for who cannot see it.
    pub title: &'static str,
    /// The picture.
    pub svg: String,
}

/// All plots for which enough was measured.
pub fn all(sections: &[Section]) -> Vec<Plot> {
    let series: Vec<&Series> = sections.iter().flat_map(|section| &section.series).collect();
    let plots = [throughput(&series), latency(&series), hand_over(&series), dead_primary(&series)];
    plots.into_iter().flatten().collect()
}

fn rate(series: &Series) -> Spread {
    series.spread(|run| run.per_second)
}

/// The series of a case by one contestant, each with its number of clients; of the proxy's those with a request under way on
/// each connection. Those of the first stand only.
fn by_clients<'a>(all: &[&'a Series], case: &str, by: &str) -> Vec<(usize, &'a Series)> {
    let mut found: Vec<(usize, &Series)> = Vec::new();
    for series in all.iter().filter(|series| series.case == case && series.by == by) {
        let is_plain = by != "proxy" || series.connections.is_none_or(|connections| connections.depth == 1);
        if is_plain && found.iter().all(|(clients, _)| *clients != series.clients) {
            found.push((series.clients, series));
        }
    }
    found.sort_by_key(|(clients, _)| *clients);
    found
}

/// A place on the axis for each number of clients, at even distances.
fn dots(found: &[(usize, &Series)], axis: &[usize], figure: impl Fn(&Series) -> Spread) -> Dots {
    let place = |clients| axis.iter().position(|own| *own == clients);
    let dots = found.iter().filter_map(|(clients, series)| Some((place(*clients)? as f64, figure(series))));
    // Where nothing was done there is no time it took.
    dots.filter(|(_, spread)| spread.median.is_finite()).collect()
}

fn axis(found: &[(usize, &Series)]) -> Option<Vec<usize>> {
    let axis: Vec<usize> = found.iter().map(|(clients, _)| *clients).collect();
    (axis.len() >= 2).then_some(axis)
}

/// Without marks yet, over numbers of clients.
fn panel(title: &str, x: &str, axis: &[usize], y: &'static str, scale: Axis) -> Panel {
    let places = axis.iter().map(|&clients| grouped(clients as f64)).collect();
    Panel { title: title.into(), x: x.into(), places, y, axis: scale, marks: Vec::new() }
}

const CONNECTIONS: &str = "clients, each with one request under way";
const PAIR: &str = "time of lock + unlock";

fn throughput(all: &[&Series]) -> Option<Plot> {
    let proxy = by_clients(all, "distinct", "proxy");
    let axis = axis(&proxy)?;
    let title = "Lock + unlock of distinct keys, three primaries: throughput";
    let mut panel = panel(title, CONNECTIONS, &axis, "pairs a second", Axis::Rate);
    panel.marks.push(("proxy".into(), Mark::Line(BLUE), dots(&proxy, &axis, rate)));
    let is_multiplexed = |series: &&&Series| series.connections.is_some_and(|on| on.count == 1 && on.depth > 1);
    let of_proxy = all.iter().filter(|series| series.case == "distinct" && series.by == "proxy");
    if let Some(series) = of_proxy.into_iter().find(is_multiplexed) {
        let name = format!("proxy, one connection with {} requests under way", series.clients);
        panel.marks.push((name, Mark::Diamond(RED), dots(&[(series.clients, series)], &axis, rate)));
    }
    let floors = [
        ("floor: bare clients, no proxy", FLOOR, GREY),
        ("the same, all sharing one connection to each primary", SHARED_FLOOR, GREEN),
    ];
    for (name, by, color) in floors {
        let found = by_clients(all, "distinct", by);
        panel.marks.push((name.into(), Mark::Dashed(color), dots(&found, &axis, rate)));
    }
    Some(Plot { file: "throughput.svg", title, svg: svg(&[panel]) })
}

fn latency(all: &[&Series]) -> Option<Plot> {
    let proxy = by_clients(all, "distinct", "proxy");
    let axis = axis(&proxy)?;
    let floor = by_clients(all, "distinct", FLOOR);
    let title = "Lock + unlock of distinct keys, three primaries: latency";
    let mut panel = panel(title, CONNECTIONS, &axis, PAIR, Axis::Powers);
    for (by, found) in [("proxy", &proxy), ("floor", &floor)] {
        for (name, color, figure) in PERCENTILES {
            let mark = if by == FLOOR { Mark::Dashed(color) } else { Mark::Line(color) };
            panel.marks.push((format!("{by}, {name}"), mark, dots(found, &axis, |one| one.spread(figure))));
        }
    }
    Some(Plot { file: "latency.svg", title, svg: svg(&[panel]) })
}

fn hand_over(all: &[&Series]) -> Option<Plot> {
    let proxy = by_clients(all, "contended", "proxy, WAIT");
    let axis = axis(&proxy)?;
    let title = "Hand-over of one lock: from its release to the next grant";
    let mut panel = panel(title, "clients that want it", &axis, "time of a hand-over", Axis::Powers);
    for (name, color, figure) in PERCENTILES {
        let dots = dots(&proxy, &axis, |one| one.spread(figure));
        panel.marks.push((format!("proxy, {name}"), Mark::Line(color), dots));
    }
    if let Some((_, floor)) = by_clients(all, "contended", FLOOR).first() {
        let level = floor.spread(|run| run.p50_us);
        let dots = (0..axis.len()).map(|place| (place as f64, level)).collect();
        panel.marks.push(("floor, p50: one bare client, by itself".into(), Mark::Dashed(GREY), dots));
    }
    Some(Plot { file: "hand-over.svg", title, svg: svg(&[panel]) })
}

/// Left rates, right latencies of the first of the connections.
fn dead_primary(all: &[&Series]) -> Option<Plot> {
    let title = "One of three primaries answers nothing";
    let contestants = [("all healthy", BLUE, -0.17, "proxy, healthy"), ("one dead", ORANGE, 0.17, "proxy, one dead")];
    let empty =
        |title: String, y, axis| Panel { title, x: String::new(), places: Vec::new(), y, axis, marks: Vec::new() };
    let mut rates = empty(format!("{title}: rate"), "pairs a second", Axis::Rate);
    let mut times = empty("latency".into(), PAIR, Axis::Time);
    "connections (1x64: one with 64 requests under way)".clone_into(&mut rates.x);
    times.places = PERCENTILES.map(|(name, ..)| name.to_owned()).into();
    for (name, color, aside, by) in contestants {
        let series: Vec<&Series> = all.iter().filter(|one| one.case == "dead" && one.by == by).copied().collect();
        let first = series.first()?;
        let on = |series: &Series| series.connections.map(|on| on.to_string()).unwrap_or_default();
        rates.places = series.iter().map(|one| on(one)).collect();
        times.x = format!("{} connections", on(first));
        let beside = |spreads: Vec<Spread>| -> Dots {
            spreads.into_iter().enumerate().map(|(place, spread)| (place as f64 + aside, spread)).collect()
        };
        let found = beside(series.iter().map(|one| rate(one)).collect());
        rates.marks.push((name.into(), Mark::Bar(color), found));
        let found = beside(PERCENTILES.map(|(_, _, figure)| first.spread(figure)).into());
        times.marks.push((name.into(), Mark::Bar(color), found));
    }
    Some(Plot { file: "dead-primary.svg", title, svg: svg(&[rates, times]) })
}

#[cfg(test)]
#[path = "plots_tests.rs"]
mod tests;
