//! What is not the proxy's business and only passed on: through it, through a raw copy of bytes on the same runtime, and
//! through proxies that others wrote.

use super::Plan;
use crate::connections::Connections;
use crate::front::{Front, Way};
use crate::lines::Lines;
use crate::load::Pace;
use crate::others;
use crate::relayed::{Command, Relayed};
use crate::results::Section;
use crate::series::{Run, Series};
use crate::stand::measure as measure_run;

/// The raw copy, of which the proxy is seen as a part.
pub const SPLICE: &str = "splice";
/// The server itself, with nothing between.
const SERVER: &str = "server";
/// Connections; one request under way on each, and sixteen.
pub const COUNT: usize = 64;
const MANY: [Connections; 2] = [Connections { count: COUNT, depth: 1 }, Connections { count: COUNT, depth: 16 }];
/// A client alone, who waits for each reply: what a hop costs.
const ALONE: [Connections; 1] = [Connections { count: 1, depth: 1 }];

/// As fast as answers come.
pub fn measure(front: &Front, plan: &Plan) -> Vec<Section> {
    // Who profiles the proxy is not interested in others.
    let (others, missing) = if plan.only.is_none() { others::start(front) } else { (Vec::new(), Vec::new()) };
    let mut ways = vec![(SPLICE, Way::Splice), ("proxy", Way::Proxy)];
    ways.extend(others.iter().map(|other| (other.name.as_str(), Way::Other(other))));
    let alone: Vec<_> = std::iter::once((SERVER, Way::Server)).chain(ways.iter().copied()).collect();
    [
        ("Relayed SET", "relay SET", Command::Set, &ways, &MANY[..]),
        ("Relayed GET", "relay GET", Command::Get, &ways, &MANY[..]),
        ("One client's GET, relayed and not", "hop", Command::Get, &alone, &ALONE[..]),
    ]
    .map(|(title, case, command, ways, connections)| {
        let (series, failed) = of_command(front, plan, ways, case, command, connections);
        let section = Section::of(title.to_owned(), ways[0].0, series);
        section.without(&[&missing[..], &failed].concat())
    })
    .into()
}

/// The first of the ways is what the others are seen as a part of.
fn of_command(
    front: &Front,
    plan: &Plan,
    ways: &[(&str, Way<'_>)],
    case: &'static str,
    command: Command,
    connections: &[Connections],
) -> (Vec<Series>, Vec<String>) {
    let base = ways[0].0;
    let mut entrants = Vec::new();
    for &connections in connections {
        entrants.extend(ways.iter().map(|&(by, way)| {
            let series = Series::new(case, by, 1, connections.clients()).on(connections);
            let series = if by == base { series } else { series.against(base, connections.clients()) };
            (series, (connections, way))
        }));
    }
    let load = plan.load(Pace::Closed);
    plan.try_turns(entrants, |&(connections, way)| {
        let measure = || {
            let mut lines = Lines::connect(vec![front.address(way); connections.count]);
            let mut relayed = Relayed::new(connections.clients(), command);
            let (measured, processor) = measure_run(&mut relayed, &mut lines, &load, || front.used(way));
            Run::new(&measured, &measured.latencies, processor)
        };
        match way {
            Way::Other(other) => other.measured(measure),
            Way::Server | Way::Proxy | Way::Splice => Ok(measure()),
        }
    })
}
