//! One key that all clients want, each waiting in line: how often it changes hands, and how long that takes.
//!
//! The floor is one bare client that releases the lock and takes it again: what a hand-over costs when nobody has to be
//! told. Times are those of hand-overs: from the release being sent to the next grant being read.

use super::Plan;
use crate::connections::Connections;
use crate::load::Pace;
use crate::results::Section;
use crate::series::{FLOOR, Run, Series};
use crate::stand::{Stand, TTL_MS};
use crate::waiters::Waiters;

/// With so many clients in line.
pub fn measure(stand: &Stand, plan: &Plan, waiters: &[usize]) -> Section {
    let described = |by, clients| Series::new("contended", by, stand.fleet.len(), clients);
    let mut entrants = vec![(described(FLOOR, 1), None)];
    for &clients in waiters {
        entrants.push((described("proxy, WAIT", clients).against(FLOOR, 1), Some(clients)));
    }
    let series = plan.take_turns(entrants, |waiters| match *waiters {
        None => stand.floor(Connections::of(1), 1, &plan.load(Pace::Closed)),
        Some(clients) => handed_over(stand, plan, clients),
    });
    Section::of(format!("Hand-overs of one lock, {} primaries", stand.fleet.len()), FLOOR, series)
}

fn handed_over(stand: &Stand, plan: &Plan, clients: usize) -> Run {
    let mut waiters = Waiters::new(clients, "bench:contended", TTL_MS);
    let mut lines = stand.lines(clients);
    let (measured, processor) = stand.measure(&mut waiters, &mut lines, &plan.load(Pace::Closed));
    Run::new(&measured, waiters.hand_overs(), processor).with_unfairness(waiters.unfairness())
}
