//! Lock and release, each client a key of its own: what a lock costs that nobody else wants.
//!
//! The operation that is counted and timed is the pair: from RLOCK being sent to RUNLOCK being answered.

use super::Plan;
use crate::connections::Connections;
use crate::load::Pace;
use crate::pairs::Verb;
use crate::results::Section;
use crate::series::{FLOOR, SHARED_FLOOR, Series};
use crate::stand::Stand;

/// Who locks.
enum Subject {
    Floor(Connections),
    Proxy(Connections),
}

/// As fast as answers come.
pub fn measure(stand: &Stand, plan: &Plan) -> Section {
    let title = format!("Lock and release, distinct keys, {} primaries", stand.fleet.len());
    of_keys(stand, plan, title, "distinct", Verb::Plain)
}

/// The same for a lock of one key or of several, against the floor of as many clients.
pub(super) fn of_keys(stand: &Stand, plan: &Plan, title: String, case: &'static str, verb: Verb) -> Section {
    let keys_each = if let Verb::Several(count) = verb { count } else { 1 };
    let load = plan.load(Pace::Closed);
    let series = plan.take_turns(entrants(stand, plan, case), |subject| match *subject {
        Subject::Floor(connections) => stand.floor(connections, keys_each, &load),
        Subject::Proxy(connections) => stand.pairs(connections, verb, &load),
    });
    Section::of(title, FLOOR, series)
}

fn entrants(stand: &Stand, plan: &Plan, case: &'static str) -> Vec<(Series, Subject)> {
    let described = |by, clients| Series::new(case, by, stand.fleet.len(), clients);
    let mut entrants: Vec<(Series, Subject)> = Vec::new();
    for connections in plan.connections() {
        let clients = connections.clients();
        if !entrants.iter().any(|(series, _)| series.is_floor() && series.clients == clients) {
            let own = Connections::of(clients);
            entrants.push((described(FLOOR, clients), Subject::Floor(own)));
            if clients > 1 {
                let shared = Connections::shared_by(clients);
                let series = described(SHARED_FLOOR, clients).on(shared).against(FLOOR, clients);
                entrants.push((series, Subject::Floor(shared)));
            }
        }
        let series = described("proxy", clients).on(connections).against(FLOOR, clients);
        entrants.push((series, Subject::Proxy(connections)));
    }
    entrants
}
