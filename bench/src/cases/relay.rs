//! What is not the proxy's business and only passed on: through it, and through a raw copy of bytes on the same runtime.

use super::Plan;
use crate::connections::Connections;
use crate::front::Front;
use crate::lines::Lines;
use crate::load::Pace;
use crate::relayed::{Command, Relayed};
use crate::results::Section;
use crate::series::{Run, Series};
use crate::stand::measure as measure_run;

/// The raw copy, of which the proxy is seen as a part.
pub const SPLICE: &str = "splice";
/// Connections; one request under way on each, and sixteen.
pub const COUNT: usize = 64;
const DEPTHS: [usize; 2] = [1, 16];

/// As fast as answers come.
pub fn measure(front: &Front, plan: &Plan) -> Vec<Section> {
    [("SET", "relay SET", Command::Set), ("GET", "relay GET", Command::Get)]
        .map(|(name, case, command)| of_command(front, plan, name, case, command))
        .into()
}

fn of_command(front: &Front, plan: &Plan, name: &str, case: &'static str, command: Command) -> Section {
    let mut entrants = Vec::new();
    for depth in DEPTHS {
        let connections = Connections { count: COUNT, depth };
        let described = |by| Series::new(case, by, 1, connections.clients()).on(connections);
        entrants.push((described(SPLICE), (connections, false)));
        entrants.push((described("proxy").against(SPLICE, connections.clients()), (connections, true)));
    }
    let load = plan.load(Pace::Closed);
    let series = plan.take_turns(entrants, |&(connections, by_proxy)| {
        let mut lines = Lines::connect(vec![front.address(by_proxy); connections.count]);
        let mut relayed = Relayed::new(connections.clients(), command);
        let (measured, processor) = measure_run(&mut relayed, &mut lines, &load, || front.used(by_proxy));
        Run::new(&measured, &measured.latencies, processor)
    });
    Section::of(format!("Relayed {name}"), SPLICE, series)
}
