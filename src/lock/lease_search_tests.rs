//! Every history of one lock of three primaries: a grant, two renewals, and a release through another proxy.
//!
//! One token, no time: whatever has left may be run at any later moment, or never; an answer may be lost; a request may
//! turn out never to have left. The promise: once the release has answered 1, no quorum has the record ever again. What
//! is not in the model is easier: an answer that comes late tells the proxy less, and what is not known is not put back.
//!
//! Breadth first, so that the history which breaks the promise is the shortest there is. Worlds that differ only in which
//! primary is which are one, so that from step to step of a history two primaries may have changed places.

use std::collections::{HashSet, VecDeque};

use super::*;
use crate::lock::walk_tests::{node, quorum};
use crate::lock::{Acquire, AcquireStep, AcquireVerdict, AcquireVote, Extend, ExtendVote, Holder, NodeId};

const NODES: usize = 3;
const QUORUM: usize = 2;

/// What counts as a primary that never ran the `SET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knowledge {
    /// The rule.
    Certain,
    /// A canary: one whose `SET` was silent, too.
    Silent,
    /// A canary: every one that lacks the record.
    Nothing,
}

/// A request on its way to one primary. Each is run in its turn, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Request {
    Set,
    Extend,
    PutBack,
}

/// Something that happens, at one primary or to the lock as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Granted,
    RenewalBegins,
    RenewalEnds,
    /// The request is run, and finds a record or none; its answer is heard or not.
    Runs(usize, Request, Found, bool),
    /// Its answer is waited for no longer.
    Silent(usize, Request),
    Unsent(usize, Request),
    /// The release through the other proxy is run, and finds a record or none; its answer is heard or not.
    Deletes(usize, Found, bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Set {
    Granted,
    Refused,
    Silent,
    Unsent,
}

/// What was found at one primary, as far as that was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Found {
    Record,
    Nothing,
    Unknown,
}

impl From<bool> for Found {
    fn from(is_there: bool) -> Self {
        if is_there { Self::Record } else { Self::Nothing }
    }
}

/// Requests on their way, the first in front, and whether their answer is still waited for. Never more than a `SET`
/// and for each renewal two.
type Sent = [Option<(Request, bool)>; 5];

/// One primary, and what the proxy that holds the lock has heard of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Primary {
    record: bool,
    sent: Sent,
    set: Option<Set>,
    /// What the renewal under way came to.
    extended: Option<Found>,
    /// What the release through the other proxy has deleted here, if it has been heard of.
    deleted: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    primaries: [Primary; NODES],
    lease: Option<Lease>,
    /// Renewals that have begun.
    renewals: u8,
    /// One of them has not been judged.
    renewing: bool,
}

impl Primary {
    fn send(&mut self, request: Request) {
        let place =
            self.sent.iter_mut().find(|place| place.is_none()).expect("there is room for all that is ever sent");
        *place = Some((request, true));
    }

    fn unsend(&mut self, place: usize) {
        self.sent[place] = None;
        self.sent[place..].rotate_left(1);
    }
}

const RULES: LeaseRules =
    LeaseRules { drift: Drift::from_parts_per_million(0), max_lifetime: None, client_silence: None };

fn confirmed() -> Confirmed {
    Confirmed { started: Moment::from_micros(0), ttl: Ttl::from_millis(1_000).expect("in range") }
}

impl World {
    /// The `SET` has been sent to all.
    fn new() -> Self {
        let mut primary = Primary::default();
        primary.send(Request::Set);
        Self { primaries: [primary; NODES], lease: None, renewals: 0, renewing: false }
    }

    fn records(&self) -> usize {
        self.primaries.iter().filter(|primary| primary.record).count()
    }

    fn is_released(&self) -> bool {
        self.primaries.iter().filter(|primary| primary.deleted == Some(true)).count() >= QUORUM
    }

    /// All that may happen next.
    fn successors(&self, knowledge: Knowledge) -> Vec<(Step, Self)> {
        let mut next = Vec::new();
        for index in 0..NODES {
            self.run_next(index, knowledge, &mut next);
            self.stop_waiting(index, knowledge, &mut next);
            self.release_at(index, &mut next);
        }
        let mut world = self.clone();
        if self.lease.is_none() {
            if world.grant(knowledge) {
                next.push((Step::Granted, world));
            }
        } else if self.renewing && self.primaries.iter().all(|primary| primary.extended.is_some()) {
            world.judge_renewal(knowledge);
            next.push((Step::RenewalEnds, world));
        } else if !self.renewing && self.renewals < 2 && self.lease.as_ref().is_some_and(Lease::is_alive) {
            world.begin_renewal();
            next.push((Step::RenewalBegins, world));
        }
        next
    }

    /// The primary runs the request that was sent first; its answer comes, or is lost.
    fn run_next(&self, index: usize, knowledge: Knowledge, next: &mut Vec<(Step, Self)>) {
        let Some((request, waited)) = self.primaries[index].sent[0] else { return };
        // A `SET` may also find somebody else's record, which is not of interest beyond that.
        let refusals: &[bool] = if request == Request::Set { &[false, true] } else { &[false] };
        for &refused in refusals {
            let mut world = self.clone();
            let primary = &mut world.primaries[index];
            primary.unsend(0);
            let found = primary.record || refused;
            primary.record |= request != Request::Extend && !refused;
            if waited {
                let mut deaf = world.clone();
                deaf.hear(index, request, None, knowledge);
                next.push((Step::Runs(index, request, found.into(), false), deaf));
                world.hear(index, request, Some(found), knowledge);
            }
            next.push((Step::Runs(index, request, found.into(), waited), world));
        }
    }

    /// An answer is waited for no longer; or the request turns out never to have left.
    fn stop_waiting(&self, index: usize, knowledge: Knowledge, next: &mut Vec<(Step, Self)>) {
        for (place, sent) in self.primaries[index].sent.iter().enumerate() {
            let &Some((request, true)) = sent else { continue };
            let mut silent = self.clone();
            silent.primaries[index].sent[place] = Some((request, false));
            silent.hear(index, request, None, knowledge);
            next.push((Step::Silent(index, request), silent));
            let mut unsent = self.clone();
            unsent.primaries[index].unsend(place);
            unsent.not_sent(index, request);
            next.push((Step::Unsent(index, request), unsent));
        }
    }

    /// The other proxy's compare-and-delete is run, whether it hears of that or not.
    fn release_at(&self, index: usize, next: &mut Vec<(Step, Self)>) {
        if self.lease.is_none() || self.primaries[index].deleted.is_some() {
            return;
        }
        let mut world = self.clone();
        let found = std::mem::take(&mut world.primaries[index].record);
        if found {
            next.push((Step::Deletes(index, found.into(), false), world.clone()));
        }
        world.primaries[index].deleted = Some(found);
        next.push((Step::Deletes(index, found.into(), true), world));
    }

    /// The answer has come: whether the record was there. `None`: it is not known.
    fn hear(&mut self, index: usize, request: Request, found: Option<bool>, knowledge: Knowledge) {
        match (request, found) {
            (Request::Extend, _) => {
                self.primaries[index].extended = Some(found.map_or(Found::Unknown, Found::from));
            }
            (Request::Set, Some(true)) => {
                self.primaries[index].set = Some(Set::Refused);
                self.learn(index);
            }
            (Request::Set, Some(false)) => self.primaries[index].set = Some(Set::Granted),
            (Request::Set, None) => {
                self.primaries[index].set = Some(Set::Silent);
                if knowledge == Knowledge::Silent {
                    self.learn(index);
                }
            }
            (Request::PutBack, Some(true)) => self.learn(index),
            (Request::PutBack, None) if knowledge == Knowledge::Silent => self.learn(index),
            (Request::PutBack, _) => {}
        }
    }

    fn not_sent(&mut self, index: usize, request: Request) {
        match request {
            Request::Set => self.primaries[index].set = Some(Set::Unsent),
            Request::Extend => self.primaries[index].extended = Some(Found::Unknown),
            Request::PutBack => {}
        }
        if request != Request::Extend {
            self.learn(index);
        }
    }

    /// The primary is known not to have run what was sent last, besides what is known when the lock is granted.
    fn learn(&mut self, index: usize) {
        if let Some(lease) = &mut self.lease {
            lease.refused_at([node(index)].into_iter().collect());
        }
    }

    /// The lock is granted, if the votes so far make it so.
    fn grant(&mut self, knowledge: Knowledge) -> bool {
        let mut attempt = Acquire::new(quorum(QUORUM, NODES), None);
        for (index, primary) in self.primaries.iter().enumerate() {
            let vote = match primary.set {
                None => continue,
                Some(Set::Granted) => AcquireVote::Granted,
                Some(Set::Refused) => AcquireVote::Held(Holder::Unknown),
                Some(Set::Silent) => AcquireVote::Silent,
                Some(Set::Unsent) => AcquireVote::Unsent,
            };
            attempt.handle_vote(node(index), vote);
        }
        let Confirmed { started, ttl } = confirmed();
        if attempt.poll(started, started, ttl, RULES.drift) != AcquireStep::Done(AcquireVerdict::Granted) {
            return false;
        }
        let mut lease = Lease::offered(confirmed(), attempt.never_set(), attempt.signed(), &RULES);
        lease.hand_over(started, &RULES);
        if knowledge == Knowledge::Silent {
            lease.refused_at(self.nodes_where(|primary| primary.set == Some(Set::Silent)));
        }
        self.lease = Some(lease);
        true
    }

    fn begin_renewal(&mut self) {
        self.renewals += 1;
        self.renewing = true;
        for primary in &mut self.primaries {
            primary.extended = None;
            primary.send(Request::Extend);
        }
    }

    /// All primaries have been heard of, or given up.
    fn judge_renewal(&mut self, knowledge: Knowledge) {
        self.renewing = false;
        let Confirmed { started, ttl } = confirmed();
        let mut renewal = Extend::new(quorum(QUORUM, NODES));
        for (index, primary) in self.primaries.iter().enumerate() {
            let vote = match primary.extended {
                Some(Found::Record) => ExtendVote::Extended,
                Some(Found::Nothing) => ExtendVote::Lacking,
                Some(Found::Unknown) | None => ExtendVote::Unknown,
            };
            renewal.handle_vote(node(index), vote);
        }
        let verdict = renewal.poll(started, started, ttl, RULES.drift).expect("all have been heard of");
        let Some(lease) = &mut self.lease else { return };
        lease.renewed(verdict, confirmed(), started, 0, &RULES);
        if verdict != ExtendVerdict::Extended {
            return;
        }
        if knowledge == Knowledge::Nothing {
            lease.refused_at(renewal.lacking());
        }
        let put_back = lease.put_back(renewal.lacking(), renewal.forgot(), confirmed(), started);
        for index in put_back.iter().flat_map(|(nodes, _)| nodes.iter()).map(NodeId::index) {
            self.primaries[index].send(Request::PutBack);
        }
    }

    /// The same world with its primaries in an order of their own.
    fn sorted(mut self) -> Self {
        let unset = self.lease.as_ref().map_or(NodeSet::EMPTY, |lease| lease.unset);
        let mut order = std::array::from_fn::<usize, NODES, _>(|index| index);
        order.sort_by_key(|index| (self.primaries[*index], unset.contains(node(*index))));
        self.primaries = order.map(|index| self.primaries[index]);
        if let Some(lease) = &mut self.lease {
            lease.unset = (0..NODES).filter(|place| unset.contains(node(order[*place]))).map(node).collect();
        }
        self
    }

    fn nodes_where(&self, is_one: impl Fn(&Primary) -> bool) -> NodeSet {
        (0..NODES).filter(|index| is_one(&self.primaries[*index])).map(node).collect()
    }
}

/// What the search has seen: worlds, those in which the release had answered 1, those in which a record was put back.
#[derive(Debug, Default)]
struct Seen {
    worlds: usize,
    released: usize,
    put_back: usize,
}

/// Every world there is; or the shortest way to one that breaks the promise.
fn search(knowledge: Knowledge) -> Result<Seen, Vec<Step>> {
    let mut known = HashSet::from([World::new()]);
    // How each world came about: from which one, by what.
    let mut origins = vec![(0, Step::Granted)];
    let mut to_visit = VecDeque::from([(0, World::new())]);
    let mut seen = Seen::default();
    while let Some((place, world)) = to_visit.pop_front() {
        seen.worlds += 1;
        seen.released += usize::from(world.is_released());
        let puts_back =
            |primary: &Primary| primary.sent.iter().flatten().any(|(request, _)| *request == Request::PutBack);
        seen.put_back += usize::from(world.primaries.iter().any(puts_back));
        if world.is_released() && world.records() >= QUORUM {
            return Err(way(place, &origins));
        }
        for (step, next) in world.successors(knowledge) {
            let next = next.sorted();
            if known.insert(next.clone()) {
                origins.push((place, step));
                to_visit.push_back((origins.len() - 1, next));
            }
        }
    }
    Ok(seen)
}

fn way(mut place: usize, origins: &[(usize, Step)]) -> Vec<Step> {
    let mut steps = Vec::new();
    while place != 0 {
        steps.push(origins[place].1);
        place = origins[place].0;
    }
    steps.reverse();
    steps
}

#[test]
fn a_lock_whose_release_answered_one_is_never_held_again() {
    let seen = search(Knowledge::Certain).unwrap_or_else(|way| panic!("held again: {way:#?}"));
    println!("{seen:?}");
    assert!(seen.released > 5_000 && seen.put_back > 5_000, "too little was tried: {seen:?}");
}

#[test]
fn putting_back_where_a_set_was_silent_holds_a_released_lock_again() {
    let way = search(Knowledge::Silent).expect_err("this is the canary");
    println!("{} steps: {way:#?}", way.len());
    let is_silent = |step: &Step| match step {
        Step::Silent(_, request) | Step::Runs(_, request, _, false) => *request == Request::Set,
        _ => false,
    };
    assert!(way.iter().any(is_silent), "{way:#?}");
}

#[test]
fn putting_back_wherever_the_record_is_absent_holds_a_released_lock_again() {
    let way = search(Knowledge::Nothing).expect_err("this is the canary");
    println!("{} steps: {way:#?}", way.len());
}
