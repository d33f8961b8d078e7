//! Redlock libraries and the proxy on the same primaries, in turns: for keys nobody else wants, and for one that all want.
//!
//! A library waits for a lock in its own way, the proxy's clients with WAIT. Times are from asking for a lock to having it
//! released, the wait included. Of a lock that all want, hand-overs are counted: grants to another client than the one before.
//! Who polls often gets a lock again that it has just released, which is none.

use std::time::Duration;

use super::Plan;
use crate::connections::Connections;
use crate::load::Pace;
use crate::numbers::grouped;
use crate::pairs::Verb;
use crate::peers::{self, Keys, Peer};
use crate::results::{Section, markdown};
use crate::series::{Run, Series};
use crate::stand::{Stand, TTL_MS};
use crate::waiters::Waiters;

/// Distinct keys.
pub const DISTINCT: &str = "peers";
/// One key.
pub const CONTENDED: &str = "peers, contended";
/// The proxy, as it is called beside libraries.
pub const PROXY: &str = "proxy";

/// Who wants it.
pub const CONTENDING: usize = 64;
const CLIENTS: [usize; 2] = [1, 64];

/// Who polls gets few locks in a short time, and some get none.
const SHORTEST_CONTENDED: Duration = Duration::from_secs(1);

/// Every library that is there.
pub fn measure(stand: &Stand, plan: &Plan) -> Vec<Section> {
    let (mut peers, missing) = peers::start(stand);
    let primaries = stand.fleet.len();
    let mut turn = 0;
    [(Keys::Distinct, DISTINCT, &CLIENTS[..]), (Keys::Contended, CONTENDED, &[CONTENDING])]
        .map(|(keys, case, clients)| {
            let entrants = entrants(&peers, case, primaries, clients);
            let (series, failed) = plan.try_turns(entrants, |&(clients, peer)| {
                turn += 1;
                let name = format!("bench:peers:{turn}:");
                match peer {
                    None => Ok(proxy(stand, plan, keys, clients)),
                    Some(peer) => peers[peer].drive(stand, keys, clients, spans(plan, keys), &name),
                }
            });
            let what =
                if keys == Keys::Distinct { "Lock and release, distinct keys" } else { "Hand-overs of one lock" };
            let mut section = Section::titled(format!("Redlock libraries: {what}, {primaries} primaries"), series);
            section.text = table(&section.series, keys);
            // A library that fails now and then says nothing of the proxy, and is told of in the table.
            let of_proxy: Vec<Series> = section.series.iter().filter(|one| one.by == PROXY).cloned().collect();
            section.failures = Section::titled(String::new(), of_proxy).failures;
            section.without(&[&missing[..], &failed].concat())
        })
        .into()
}

/// The proxy, and each library by its place.
fn entrants(
    peers: &[Peer],
    case: &'static str,
    primaries: usize,
    clients: &[usize],
) -> Vec<(Series, (usize, Option<usize>))> {
    let mut entrants = Vec::new();
    for &clients in clients {
        entrants.push((Series::new(case, PROXY, primaries, clients), (clients, None)));
        for (place, peer) in peers.iter().enumerate() {
            let series = Series::new(case, &peer.name, primaries, clients).against(PROXY, clients);
            entrants.push((series, (clients, Some(place))));
        }
    }
    entrants
}

/// Not measured, and measured.
fn spans(plan: &Plan, keys: Keys) -> [Duration; 2] {
    let load = plan.load(Pace::Closed);
    let span = if keys == Keys::Contended { load.span.max(SHORTEST_CONTENDED) } else { load.span };
    [load.warm_up, span]
}

fn proxy(stand: &Stand, plan: &Plan, keys: Keys, clients: usize) -> Run {
    let load = plan.load(Pace::Closed);
    if keys == Keys::Distinct {
        return stand.pairs(Connections { count: clients, depth: 1 }, Verb::Plain, &load);
    }
    let mut waiters = Waiters::new(clients, "bench:peers:proxy", TTL_MS);
    let (measured, processor) = stand.measure(&mut waiters, &mut stand.lines(clients), &load);
    Run::new(&measured, &measured.latencies, processor).with_unfairness(waiters.unfairness())
}

fn table(all: &[Series], keys: Keys) -> String {
    let mut headings = vec![
        "by",
        "clients",
        if keys == Keys::Contended { "hand-overs a second" } else { "a second" },
        "lowest to highest",
        "rate of proxy/it",
        "p50, µs",
        "p50 of it/proxy",
        "p99, µs",
        "p99 of it/proxy",
        "p99.9, µs",
        "client, µs",
        "proxy, µs",
        "primaries, µs",
        "failed",
    ];
    headings.extend((keys == Keys::Contended).then_some("most/least grants"));
    let rows = all.iter().map(|series| {
        let rate = series.spread(|run| run.per_second);
        let middle = |figure: fn(&Run) -> f64| grouped(series.spread(figure).median);
        let each = |figure: fn(&Run) -> f64| format!("{:.1}", series.spread(figure).median);
        let proxy = series.base(all);
        let to_proxy =
            |figure: fn(&Run) -> f64| proxy.map_or_else(String::new, |proxy| series.ratios(proxy, figure).to_string());
        let failed: u64 = series.runs.iter().map(|run| run.failures).sum();
        let mut cells = vec![
            series.by.clone(),
            series.clients.to_string(),
            grouped(rate.median),
            format!("{} to {}", grouped(rate.lowest), grouped(rate.highest)),
            proxy.map_or_else(String::new, |proxy| proxy.ratios(series, |run| run.per_second).to_string()),
            middle(|run| run.p50_us),
            to_proxy(|run| run.p50_us),
            middle(|run| run.p99_us),
            to_proxy(|run| run.p99_us),
            middle(|run| run.p999_us),
            each(|run| run.processor.client_us),
            each(|run| run.processor.proxy_us),
            each(|run| run.processor.primaries_us),
            failed.to_string(),
        ];
        let unfairness = series.unfairness().map(|spread| spread.to_string()).unwrap_or_default();
        cells.extend((keys == Keys::Contended).then_some(unfairness));
        cells
    });
    markdown(&headings, rows)
}
