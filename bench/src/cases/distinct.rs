//! Lock and release, each client a key of its own: what a lock costs that nobody else wants.
//!
//! The operation that is counted and timed is the pair: from RLOCK being sent to RUNLOCK being answered.

use std::iter;

use super::{Connections, Contestant, Plan, Stand, TTL_MS};
use crate::floor::Floor;
use crate::lines::{Ask, Lines};
use crate::load::{Pace, Progress, Work};
use crate::results::{Run, Series};
use crate::wire::Reply;

/// Measures the contestants in turns, round by round; every other round begins with the last.
pub fn measure(stand: &Stand, plan: &Plan, connections: &[Connections], only: Option<Contestant>) -> Vec<Series> {
    let wanted = |contestant| only.is_none_or(|only| only == contestant);
    let mut sorted: Vec<Connections> = connections.to_vec();
    // Behind the floor of as many clients.
    sorted.sort_by_key(|connections| (connections.clients(), connections.depth));
    sorted.dedup();
    let mut series: Vec<(Series, Option<Connections>)> = Vec::new();
    for connections in sorted {
        let clients = connections.clients();
        let described = |by: &str| Series::new("distinct", by, stand.fleet.len(), clients);
        let has_floor = series.iter().any(|(series, through)| through.is_none() && series.clients == clients);
        if wanted(Contestant::Floor) && !has_floor {
            series.push((described("floor"), None));
        }
        if wanted(Contestant::Proxy) {
            series.push((described("proxy").on(connections), Some(connections)));
        }
    }
    for round in 0..plan.rounds {
        let mut turns: Vec<&mut (Series, Option<Connections>)> = series.iter_mut().collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for (series, through) in turns {
            eprintln!("round {} of {}: {series}", round + 1, plan.rounds);
            let measured = match *through {
                None => floor(stand, plan, series.clients),
                Some(connections) => proxy(stand, plan, connections),
            };
            series.runs.push(measured);
        }
    }
    series.into_iter().map(|(series, _)| series).collect()
}

fn floor(stand: &Stand, plan: &Plan, clients: usize) -> Run {
    let keys = (0..clients).map(|client| format!("bench:floor:{client}"));
    let mut floor = Floor::new(keys, TTL_MS, stand.delete.clone());
    let mut lines = Lines::connect(stand.fleet.addresses());
    stand.measure(&mut floor, &mut lines, &plan.load(Pace::Closed))
}

fn proxy(stand: &Stand, plan: &Plan, connections: Connections) -> Run {
    let mut pairs = Pairs::new(connections.clients());
    let mut lines = Lines::connect(iter::repeat_n(stand.proxy.address(), connections.count));
    stand.measure(&mut pairs, &mut lines, &plan.load(Pace::Closed))
}

const LOCK: u32 = 0;
const RELEASE: u32 = 1;

/// Clients that lock and release through the proxy, in turn.
struct Pairs {
    keys: Vec<Vec<u8>>,
    ttl_ms: Vec<u8>,
}

impl Pairs {
    fn new(clients: usize) -> Self {
        let keys = (0..clients).map(|client| format!("bench:proxy:{client}").into_bytes()).collect();
        Self { keys, ttl_ms: TTL_MS.to_string().into_bytes() }
    }
}

impl Work for Pairs {
    fn clients(&self) -> usize {
        self.keys.len()
    }

    fn begin(&mut self, client: usize, lines: &mut Lines) {
        let line = client % lines.count();
        lines.send(line, Ask { client, step: LOCK }, &[b"RLOCK", &self.keys[client], &self.ttl_ms]);
    }

    fn answered(&mut self, ask: Ask, reply: Reply<'_>, lines: &mut Lines) -> Progress {
        let Ask { client, step } = ask;
        match (step, reply, reply.grant()) {
            (LOCK, _, Some(grant)) if grant.validity_ms > 0 => {
                let line = client % lines.count();
                lines.send(line, Ask { client, step: RELEASE }, &[b"RUNLOCK", &self.keys[client], grant.token]);
                Progress::Pending
            }
            (RELEASE, Reply::Integer(1), _) => Progress::Done,
            (LOCK, ..) => Progress::Failed(format!("RLOCK: {reply:?}")),
            _ => Progress::Failed(format!("RUNLOCK: {reply:?}")),
        }
    }
}
