//! What a setting costs: the same locks through two proxies that differ in it, each with primaries of its own.

use super::Plan;
use crate::load::Pace;
use crate::pairs::Verb;
use crate::results::Section;
use crate::series::Series;
use crate::stand::{Parts, Stand};

/// Two settings of one key.
#[derive(Debug, Clone, Copy)]
pub struct Contrast {
    /// What the JSON calls the case.
    pub case: &'static str,
    /// The heading.
    pub title: &'static str,
    /// The setting that is the measure, and what it is called.
    pub base: (&'static str, [&'static str; 2]),
    /// The other.
    pub other: (&'static str, [&'static str; 2]),
    /// What the base is called in the headings of ratios.
    pub base_name: &'static str,
}

/// What vouching for every batch costs: a clock and a marker behind each.
pub const VOUCHING: Contrast = Contrast {
    case: "vouching",
    title: "Quarantine on and off",
    base: ("proxy, quarantine off", ["quarantine", "off"]),
    other: ("proxy, quarantine on", ["quarantine", "auto"]),
    base_name: "off",
};

/// Where the cores are shared with servers and clients, threads of the proxy's are in each other's way.
pub const THREADS: Contrast = Contrast {
    case: "threads",
    title: "One worker thread, and one for each core",
    base: ("proxy, a thread per core", ["worker_threads", "0"]),
    other: ("proxy, one thread", ["worker_threads", "1"]),
    base_name: "per core",
};

/// As fast as answers come, distinct keys.
pub fn measure(parts: &Parts, plan: &Plan, contrast: &Contrast) -> Section {
    let started = |(_, [key, value]): (&str, [&str; 2])| {
        let settings = parts.settings.iter().cloned().chain([(key.to_owned(), value.to_owned())]).collect();
        Stand::start(&Parts { settings, ..parts.clone() })
    };
    let stands = [started(contrast.base), started(contrast.other)];
    let (base, other) = (contrast.base.0, contrast.other.0);
    let mut entrants = Vec::new();
    for connections in plan.connections() {
        let clients = connections.clients();
        let described = |by| Series::new(contrast.case, by, parts.primaries, clients).on(connections);
        entrants.push((described(base), (&stands[0], connections)));
        entrants.push((described(other).against(base, clients), (&stands[1], connections)));
    }
    let load = plan.load(Pace::Closed);
    let series = plan.take_turns(entrants, |&(stand, connections)| stand.pairs(connections, Verb::Plain, &load));
    Section::of(format!("{}, distinct keys, {} primaries", contrast.title, parts.primaries), contrast.base_name, series)
}
