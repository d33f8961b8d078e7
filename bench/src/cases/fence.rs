//! What a fencing token costs: the same locks with FENCE and without.

use super::Plan;
use crate::load::Pace;
use crate::pairs::Verb;
use crate::results::Section;
use crate::series::Series;
use crate::stand::Stand;

const PLAIN: &str = "proxy, plain";
const FENCED: &str = "proxy, FENCE";

/// As fast as answers come.
pub fn measure(stand: &Stand, plan: &Plan) -> Section {
    let mut entrants = Vec::new();
    for connections in plan.connections() {
        let clients = connections.clients();
        let described = |by| Series::new("fence", by, stand.fleet.len(), clients).on(connections);
        entrants.push((described(PLAIN), (connections, Verb::Plain)));
        entrants.push((described(FENCED).against(PLAIN, clients), (connections, Verb::Fence)));
    }
    let load = plan.load(Pace::Closed);
    let series = plan.take_turns(entrants, |&(connections, verb)| stand.pairs(connections, verb, &load));
    Section::of(format!("FENCE, distinct keys, {} primaries", stand.fleet.len()), "plain", series)
}
