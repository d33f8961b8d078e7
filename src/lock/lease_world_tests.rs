//! The worlds that the search goes through: three primaries, one token, and all that may happen next.

use super::super::*;
use super::Knowledge;
use crate::lock::walk_tests::{node, quorum};
use crate::lock::{Acquire, AcquireStep, AcquireVerdict, AcquireVote, Extend, ExtendVote, Holder, NodeId};

const NODES: usize = 3;
pub(super) const QUORUM: usize = 2;

/// A request on its way to one primary. Each is run in its turn, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Request {
    Set,
    Extend,
    PutBack,
}

/// Something that happens, at one primary or to the lock as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
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
    /// The release hears of nothing any more: its time is over.
    ReleaseEnds,
    /// The memory is lost, and that is seen before anything that is answered from then on.
    Forgets(usize),
    /// Its quarantine ends.
    Returns(usize),
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
pub(super) enum Found {
    Record,
    Nothing,
    /// Nothing, on a primary that is quarantined.
    Forgotten,
    Unknown,
}

impl From<bool> for Found {
    fn from(is_there: bool) -> Self {
        if is_there { Self::Record } else { Self::Nothing }
    }
}

/// Requests on their way, the first in front, and whether their answer is still waited for. Never more than a `SET`
/// and for each renewal two.
pub(super) type Sent = [Option<(Request, bool)>; 5];

/// One primary, and what the proxy that holds the lock has heard of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Primary {
    record: bool,
    pub(super) sent: Sent,
    /// It has forgotten, and is quarantined: what it answers does not count.
    is_out: bool,
    /// It forgot when the release had begun.
    is_out_behind: bool,
    set: Option<Set>,
    /// What the renewal under way came to.
    extended: Option<Found>,
    /// What the release through the other proxy has deleted here, if it has been heard of.
    deleted: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) primaries: [Primary; NODES],
    lease: Option<Lease>,
    /// Renewals that have begun.
    renewals: u8,
    /// One of them has not been judged.
    renewing: Option<Age>,
    /// The release hears of nothing any more.
    release_is_over: bool,
    /// Of what the lease counts from.
    age: Age,
    /// The time of what the lease counts from is over.
    has_run_out: bool,
    /// Memories that may yet be lost.
    losses: u8,
    quarantine: Quarantine,
}

/// When something began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Age {
    BeforeReleaseWasOver,
    Unimportant,
}

/// How long a primary is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Quarantine {
    /// The rule: `max_ttl` and `node_timeout`. There is no time here, but this order of things: a release that had begun
    /// before the loss hears of nothing behind it for longer than `node_timeout`, and what the lease counted from by then
    /// has run out `max_ttl` later.
    Whole,
    /// A canary: it ends at any moment.
    CutShort,
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
    /// The `SET` has been sent to all; so many memories may be lost.
    pub(super) fn new(losses: u8, quarantine: Quarantine) -> Self {
        let mut primary = Primary::default();
        primary.send(Request::Set);
        Self {
            primaries: [primary; NODES],
            lease: None,
            renewals: 0,
            renewing: None,
            release_is_over: false,
            age: Age::Unimportant,
            has_run_out: false,
            losses,
            quarantine,
        }
    }

    /// The release has answered 1, and primaries that vote would still let the lock be renewed.
    pub(super) fn is_held_after_release(&self) -> bool {
        let records = self.primaries.iter().filter(|primary| primary.record && !primary.is_out).count();
        self.is_released() && records >= QUORUM && !self.has_run_out
    }

    pub(super) fn is_released(&self) -> bool {
        self.primaries.iter().filter(|primary| primary.deleted == Some(true)).count() >= QUORUM
    }

    /// All that may happen next.
    pub(super) fn successors(&self, knowledge: Knowledge) -> Vec<(Step, Self)> {
        let mut next = Vec::new();
        for index in 0..NODES {
            self.run_next(index, knowledge, &mut next);
            self.stop_waiting(index, knowledge, &mut next);
            self.release_at(index, &mut next);
            self.forget_or_return(index, &mut next);
        }
        let mut world = self.clone();
        if self.primaries.iter().any(|primary| primary.is_out_behind) && !self.release_is_over {
            world.release_is_over = true;
            world.age = Age::BeforeReleaseWasOver;
            world.renewing = world.renewing.map(|_| Age::BeforeReleaseWasOver);
            next.push((Step::ReleaseEnds, world.clone()));
            world = self.clone();
        }
        if self.lease.is_none() {
            if world.grant(knowledge) {
                next.push((Step::Granted, world));
            }
        } else if self.renewing.is_some() && self.primaries.iter().all(|primary| primary.extended.is_some()) {
            world.judge_renewal(knowledge);
            next.push((Step::RenewalEnds, world));
        } else if self.renewing.is_none()
            && !self.has_run_out
            && self.renewals < 2
            && self.lease.as_ref().is_some_and(Lease::is_alive)
        {
            world.begin_renewal();
            next.push((Step::RenewalBegins, world));
        }
        next
    }

    /// The primary runs the request that was sent first, and its answer comes. One whose answer is lost is waited for
    /// until its time is over, and run then.
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
        // It counts where the primary votes, and is heard of in time.
        world.primaries[index].deleted = Some(found && !self.primaries[index].is_out && !self.release_is_over);
        next.push((Step::Deletes(index, found.into(), true), world));
    }

    fn forget_or_return(&self, index: usize, next: &mut Vec<(Step, Self)>) {
        let mut world = self.clone();
        let primary = &mut world.primaries[index];
        if primary.is_out {
            let is_behind = primary.is_out_behind && self.quarantine == Quarantine::Whole;
            if is_behind && !self.release_is_over {
                return;
            }
            (primary.is_out, primary.is_out_behind) = (false, false);
            world.has_run_out |= is_behind && self.age == Age::BeforeReleaseWasOver;
            next.push((Step::Returns(index), world));
        } else if self.losses > 0 && self.primaries.iter().all(|primary| !primary.is_out) {
            primary.is_out_behind = self.primaries.iter().any(|primary| primary.deleted.is_some());
            (world.primaries[index].record, world.primaries[index].is_out) = (false, true);
            world.losses -= 1;
            next.push((Step::Forgets(index), world));
        }
    }

    /// The answer has come: whether the record was there. `None`: it is not known.
    fn hear(&mut self, index: usize, request: Request, found: Option<bool>, knowledge: Knowledge) {
        let is_out = self.primaries[index].is_out;
        match (request, found.filter(|_| !is_out)) {
            (Request::Extend, None) if is_out && found == Some(false) => {
                self.primaries[index].extended = Some(Found::Forgotten);
            }
            (Request::Extend, found) => {
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
        self.renewing = Some(Age::Unimportant);
        for primary in &mut self.primaries {
            primary.extended = None;
            primary.send(Request::Extend);
        }
    }

    /// All primaries have been heard of, or given up.
    fn judge_renewal(&mut self, knowledge: Knowledge) {
        let Some(age) = self.renewing.take() else { return };
        let Confirmed { started, ttl } = confirmed();
        let mut renewal = Extend::new(quorum(QUORUM, NODES));
        for (index, primary) in self.primaries.iter().enumerate() {
            let vote = match primary.extended {
                Some(Found::Record) => ExtendVote::Extended,
                Some(Found::Nothing) => ExtendVote::Lacking,
                Some(Found::Forgotten) => ExtendVote::Forgot,
                Some(Found::Unknown) | None => ExtendVote::Unknown,
            };
            renewal.handle_vote(node(index), vote);
        }
        let verdict = renewal.poll(started, started, ttl, RULES.drift).expect("all have been heard of");
        let Some(lease) = self.lease.as_mut().filter(|_| !self.has_run_out) else { return };
        lease.renewed(verdict, confirmed(), started, 0, &RULES);
        if verdict != ExtendVerdict::Extended {
            return;
        }
        self.age = age;
        if knowledge == Knowledge::Nothing {
            lease.refused_at(renewal.lacking());
        }
        let put_back = lease.put_back(renewal.lacking(), renewal.forgot(), confirmed(), started);
        for index in put_back.iter().flat_map(|(nodes, _)| nodes.iter()).map(NodeId::index) {
            self.primaries[index].send(Request::PutBack);
        }
    }

    /// The same world with its primaries in an order of their own.
    pub(super) fn sorted(mut self) -> Self {
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
