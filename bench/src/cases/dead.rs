//! One primary that takes everything and answers nothing: what those who lock notice of it.
//!
//! It is stopped, so that its kernel still accepts connections and bytes, and goes on when its turn is over. A relay that
//! swallows would do the same, but it would also have to forward in the healthy turns, on cores that are measured.

use support::eventually;

use super::Plan;
use crate::load::Pace;
use crate::pairs::Verb;
use crate::results::Section;
use crate::series::Series;
use crate::stand::{Parts, Stand};

const HEALTHY: &str = "proxy, healthy";

/// As fast as answers come, on a stand of its own: the last primary is stopped in turns.
pub fn measure(parts: &Parts, plan: &Plan) -> Section {
    let mut stand = Stand::start(parts);
    let primaries = parts.primaries;
    let mut entrants = Vec::new();
    for connections in plan.connections() {
        let clients = connections.clients();
        let described = |by| Series::new("dead", by, primaries, clients).on(connections);
        entrants.push((described(HEALTHY), (connections, false)));
        entrants.push((described("proxy, one dead").against(HEALTHY, clients), (connections, true)));
    }
    let load = plan.load(Pace::Closed);
    let series = plan.take_turns(entrants, |&(connections, is_dead)| {
        if !is_dead {
            return stand.pairs(connections, Verb::Plain, &load);
        }
        stand.fleet[primaries - 1].pause();
        let run = stand.pairs(connections, Verb::Plain, &load);
        stand.fleet[primaries - 1].resume();
        let voting = async || stand.proxy.counter("primaries_voting").await == primaries as u64;
        stand.wait(eventually(voting, "the primary to be back"));
        run
    });
    Section::of(format!("One of {primaries} primaries answers nothing, distinct keys"), "healthy", series)
}
