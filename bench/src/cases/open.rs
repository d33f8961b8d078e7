//! Locks that come when they come: at a fixed rate, however the system fares.
//!
//! A lock's time counts from the moment it was due. A stall is so seen by all that it delays, not by the few that happened
//! to be under way.

use super::Plan;
use crate::connections::Connections;
use crate::load::Pace;
use crate::pairs::Verb;
use crate::results::Section;
use crate::series::{FLOOR, Series};
use crate::stand::Stand;

/// Clients, and connections to the proxy: whoever is free takes the next lock that is due.
const CLIENTS: usize = 64;

/// At so many pairs a second.
pub fn measure(stand: &Stand, plan: &Plan, per_second: u32) -> Section {
    let described = |by| Series::new("open", by, stand.fleet.len(), CLIENTS).due(per_second);
    let entrants = vec![(described(FLOOR), true), (described("proxy").against(FLOOR, CLIENTS), false)];
    let load = plan.load(Pace::Open(per_second.into()));
    let series = plan.take_turns(entrants, |&is_floor| {
        if is_floor {
            stand.floor(Connections::of(CLIENTS), 1, &load)
        } else {
            stand.pairs(Connections::of(CLIENTS), Verb::Plain, &load)
        }
    });
    let primaries = stand.fleet.len();
    let title = format!("Lock and release, {per_second} due a second, distinct keys, {primaries} primaries");
    Section::of(title, FLOOR, series)
}
