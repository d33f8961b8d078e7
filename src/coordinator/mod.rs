//! Drives lock operations over the primaries: asks all at once, waits for the verdict, cleans up.
//!
//! The decisions are `lock`'s; the bytes are `primary`'s. What is here is the order of things: an attempt is made with a
//! token of its own, the verdict leaves with the vote that decides it, and whatever was not won is withdrawn from every
//! primary that may hold it, by the drop of a value, so that no way out can forget it.
//!
//! Who wants to wait stands in a `line`. Only the first of a line makes attempts (`waiting`); `registry` holds the
//! lines, and `notice` is what proxies tell each other of them.

mod announcing;
mod caller;
mod contest;
mod counting;
mod entropy;
mod explain;
mod fencing;
mod inspect;
mod leading;
mod lease_keeper;
mod leases;
mod line;
mod node;
mod notice;
mod outcome;
mod outlook;
mod registry;
mod retry;
mod round;
mod rules;
mod several;
mod tenant;
mod waiting;
mod watched;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use caller::Caller;
pub use entropy::{Entropy, SystemEntropy};
pub use inspect::Inspection;
pub use leases::Seat;
pub use line::LineLimits;
pub use node::{Amnesia, Ballot, LockNode, Operation, Raise, Ticket, Trouble, Vote, WallClock};
pub use notice::{Notice, NoticeKind};
pub use outcome::{Acquired, Extended, Extension, Grant, NoQuorum, Released};
pub use retry::Backoff;
pub use round::Term;
pub use rules::{Rules, SessionRules};
pub use several::{AcquireSeveral, AcquiredSeveral, ExtendedSeveral, ReleasedSeveral};
pub use tenant::{Loss, Tenant};

use self::counting::CountingRound;
use self::leases::Leases;
use self::outcome::Attempt;
use self::registry::Registry;
use self::round::{AcquireRound, Work};
use crate::clock::Clock;
use crate::counters::Counters;
use crate::lock::{
    AcquireVerdict, Confirmed, Extend, ExtendVerdict, Fence, FenceNumber, LeaseRules, Moment, NodeId, NodeSet, Owner,
    Release, ReleaseVerdict, Resource, Token, Ttl,
};

/// What to take, for how long, for whom.
#[derive(Debug, Clone)]
pub struct AcquireRequest {
    pub resource: Resource,
    pub ttl: Ttl,
    pub owner: Option<Owner>,
    /// Whether a fencing token is wanted.
    pub fence: bool,
    /// How long to stand in line; zero: not at all.
    pub wait: Duration,
}

/// Lock operations over one set of primaries.
pub struct Coordinator {
    nodes: Box<[Arc<dyn LockNode>]>,
    rules: Rules,
    clock: Clock,
    entropy: Arc<dyn Entropy>,
    counters: Arc<Counters>,
    lines: Registry,
    leases: Leases,
}

impl Coordinator {
    /// `nodes` are in the order of configuration, as many as `rules.quorum` counts.
    pub fn new(
        nodes: Vec<Arc<dyn LockNode>>,
        rules: Rules,
        clock: Clock,
        entropy: Arc<dyn Entropy>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        assert_eq!(nodes.len(), rules.quorum.total(), "one node for each primary that the quorum counts");
        let lines = Registry::new(rules.lines, rules.quorum, Arc::clone(&counters));
        let leases = Leases::default();
        Arc::new(Self { nodes: nodes.into(), rules, clock, entropy, counters, lines, leases })
    }

    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Takes the lock: by at most `attempts` attempts, or in line. A client that has left gets one attempt, and no signing
    /// anew.
    pub async fn acquire(self: Arc<Self>, request: AcquireRequest, caller: Arc<Caller>) -> Acquired {
        // Both in memory of their own: as a rule nobody waits.
        if !request.wait.is_zero() {
            return Box::pin(self.acquire_in_line(request, caller)).await;
        }
        if self.lines.has_lines()
            && let Some(answer) = Box::pin(self.ask_the_line(&request, &caller)).await
        {
            return answer;
        }
        let mut backoff = Backoff::new(self.rules.retry_delay);
        for remaining in (0..self.rules.attempts).rev() {
            let attempt = self.start_attempt(&request, remaining + 1 == self.rules.attempts, false);
            match self.decide(attempt, &caller).await {
                Decided::Granted(attempt) => return self.granted(attempt),
                Decided::Unsettled(verdict, reason) => return self.unsettled(verdict, reason),
                Decided::Held => break,
                Decided::Split => {
                    if remaining == 0 || caller.has_left() {
                        break;
                    }
                    tokio::time::sleep(backoff.next(self.entropy.jitter())).await;
                    if caller.has_left() {
                        break;
                    }
                    self.counters.rlock_split_retries.increment();
                }
            }
        }
        self.refused()
    }

    fn granted(&self, attempt: Attempt) -> Acquired {
        self.counters.rlock_granted.increment();
        if attempt.round.fence().is_some() {
            self.counters.fences_issued.increment();
        }
        if attempt.round.took_over() {
            self.counters.rlock_taken_over.increment();
        }
        Acquired::Granted(Grant(attempt))
    }

    fn refused(&self) -> Acquired {
        self.counters.rlock_refused.increment();
        Acquired::Refused
    }

    fn unsettled(&self, verdict: AcquireVerdict, reason: NoQuorum) -> Acquired {
        match verdict {
            AcquireVerdict::TooLate => &self.counters.rlock_too_late,
            AcquireVerdict::Abandoned => &self.counters.rlock_abandoned,
            _ => &self.counters.rlock_noquorum,
        }
        .increment();
        Acquired::NoQuorum(reason)
    }

    /// Lets the lock live for at least `ttl` from now, if `token` holds it.
    pub async fn extend(self: Arc<Self>, resource: Resource, token: Token, ttl: Ttl) -> Extended {
        let lease = self.leases.find(&resource, &token);
        if lease.as_ref().is_some_and(|lease| self.is_lost(lease)) {
            self.counters.rextend_lost.increment();
            return Extended::Lost;
        }
        let term = self.term(self.clock.now(), ttl);
        let round = self.submit_extension(&resource, &token, term);
        match round.verdict().await {
            ExtendVerdict::Extended => {
                let asked = Confirmed { started: term.started, ttl };
                if lease.as_ref().is_some_and(|lease| self.extended_bound(lease, asked)) {
                    self.counters.rextend_lost.increment();
                    return Extended::Lost;
                }
                self.counters.rextend_extended.increment();
                Extended::Extended(Extension { coordinator: self, round, term, lease })
            }
            ExtendVerdict::NoQuorum if !lease.as_ref().is_some_and(|lease| self.is_lost(lease)) => {
                self.counters.rextend_noquorum.increment();
                let too_late = term.validity(self.clock.now()).is_none();
                Extended::NoQuorum(self.explain(round.report(), too_late))
            }
            ExtendVerdict::Lost | ExtendVerdict::NoQuorum => {
                self.counters.rextend_lost.increment();
                if let Some(lease) = lease {
                    self.lose_bound(&lease);
                }
                Extended::Lost
            }
        }
    }

    /// Deletes `token`'s records, everywhere, sooner or later; the verdict says whether it held the lock.
    pub async fn release(self: Arc<Self>, resource: Resource, token: Token) -> Released {
        if let Some(lease) = self.leases.find(&resource, &token)
            // Before anything is submitted: no renewal comes behind it.
            && !self.let_go(&lease)
            && self.is_lost(&lease)
        {
            self.counters.runlock_not_held.increment();
            return Released::NotHeld;
        }
        let round = CountingRound::new(Release::new(self.rules.quorum), None, self.clock);
        let until = self.withdrawal_deadline();
        let notice = self.notice_of_release(&resource);
        for (id, node) in self.nodes() {
            let (resource, token, notice) = (resource.clone(), token.clone(), notice.clone());
            let ticket = Some(round.ticket(id));
            node.submit(Operation::Release { resource, token, until, notice, ticket }, self.rules.node_timeout);
        }
        // What whoever is first in line asks for now goes behind.
        self.lines.released(&resource);
        match round.verdict().await {
            ReleaseVerdict::Released => {
                self.counters.runlock_released.increment();
                Released::Released
            }
            ReleaseVerdict::NotHeld => {
                self.counters.runlock_not_held.increment();
                Released::NotHeld
            }
            ReleaseVerdict::NoQuorum => {
                self.counters.runlock_noquorum.increment();
                Released::NoQuorum(self.explain(round.report(), false))
            }
        }
    }

    fn start_attempt(self: &Arc<Self>, request: &AcquireRequest, first: bool, asks_ttl: bool) -> Attempt {
        let (token, term) = (self.new_token(request.owner.as_ref()), self.term(self.clock.now(), request.ttl));
        self.start_attempt_with(request, token, term, first, asks_ttl)
    }

    fn new_token(&self, owner: Option<&Owner>) -> Token {
        Token::sign(owner, self.entropy.token_bytes())
    }

    fn start_attempt_with(
        self: &Arc<Self>,
        request: &AcquireRequest,
        token: Token,
        term: Term,
        first: bool,
        asks_ttl: bool,
    ) -> Attempt {
        let number = request.fence.then(|| self.fence_clock());
        let attempt = self.new_attempt(request, token, term, first, number, asks_ttl);
        let ttl = request.ttl;
        for (id, node) in self.nodes() {
            let (resource, token) = (attempt.resource.clone(), attempt.token.clone());
            let look = request.owner.is_some();
            let raise = number.map(|number| Box::new(self.raise(&attempt, id, number, look)));
            let ticket = attempt.round.acquire_ticket(id);
            let operation = Operation::Acquire { resource, token, ttl, raise, asks_ttl, ticket };
            node.submit(operation, ttl.node_timeout(self.rules.node_timeout));
        }
        attempt
    }

    /// An attempt that has asked nobody yet.
    fn new_attempt(
        self: &Arc<Self>,
        request: &AcquireRequest,
        token: Token,
        term: Term,
        first: bool,
        number: Option<FenceNumber>,
        asks_ttl: bool,
    ) -> Attempt {
        let fence = number.map(|number| Fence::new(self.rules.quorum, number));
        let round = AcquireRound::new(self.rules.quorum, request.owner.clone(), fence, term, self.clock, asks_ttl);
        let (coordinator, resource) = (Arc::clone(self), request.resource.clone());
        Attempt { coordinator, resource, token, round, kept: false, first, lease: None }
    }

    /// Brings the attempt to its end; unless it is granted, it is withdrawn.
    async fn decide(&self, attempt: Attempt, caller: &Caller) -> Decided {
        match self.drive(&attempt, caller).await {
            AcquireVerdict::Granted => Decided::Granted(attempt),
            AcquireVerdict::Held => Decided::Held,
            AcquireVerdict::Split => Decided::Split,
            verdict => Decided::Unsettled(verdict, self.why_not(&attempt, verdict).await),
        }
    }

    /// Waits for the attempt's verdict; signs own records anew, or raises a larger number, when that is what it takes.
    async fn drive(&self, attempt: &Attempt, caller: &Caller) -> AcquireVerdict {
        let mut raised_anew = false;
        loop {
            match attempt.round.work().await {
                Work::Done(verdict) => return verdict,
                Work::Sign(_) if caller.has_left() => return attempt.round.abandon(),
                Work::Sign(found) => self.sign(attempt, found),
                Work::Raise(number, nodes) => {
                    if !std::mem::replace(&mut raised_anew, true) {
                        self.counters.fences_second_round.increment();
                    }
                    self.raise_anew(attempt, number, nodes);
                }
            }
        }
    }

    fn sign(&self, attempt: &Attempt, found: Vec<(NodeId, Bytes)>) {
        let ttl = attempt.round.term.ttl;
        let nodes = found.iter().map(|(id, _)| *id).collect();
        let number = attempt.round.number_for_signing(nodes, || self.fence_clock());
        for (id, found) in found {
            let (resource, token) = (attempt.resource.clone(), attempt.token.clone());
            let raise = number.map(|number| Box::new(self.raise(attempt, id, number, true)));
            let ticket = attempt.round.sign_ticket(id);
            let operation = Operation::Sign { resource, found, token, ttl, raise, ticket };
            self.nodes[id.index()].submit(operation, ttl.node_timeout(self.rules.node_timeout));
        }
    }

    /// Asks all to let the record live longer.
    fn submit_extension(&self, resource: &Resource, token: &Token, term: Term) -> Arc<CountingRound<Extend>> {
        let (ttl, timeout) = (term.ttl, term.ttl.node_timeout(self.rules.node_timeout));
        let round = CountingRound::new(Extend::new(self.rules.quorum), Some(term), self.clock);
        for (id, node) in self.nodes() {
            let (resource, token, ticket) = (resource.clone(), token.clone(), round.ticket(id));
            node.submit(Operation::Extend { resource, token, ttl, ticket }, timeout);
        }
        round
    }

    /// Takes back what an attempt may have left. When that was a lock which others have seen held, they are told.
    fn withdraw(&self, targets: NodeSet, resource: &Resource, token: &Token, was_won: bool) {
        self.counters.withdrawals_sent.add(targets.len() as u64);
        self.submit_releases(targets.iter(), resource, token, was_won);
    }

    /// Has the record deleted there, sooner or later; nobody waits for the answers. When others have seen the lock held,
    /// they are told.
    fn submit_releases(
        &self,
        targets: impl Iterator<Item = NodeId>,
        resource: &Resource,
        token: &Token,
        was_won: bool,
    ) {
        let until = self.withdrawal_deadline();
        let notice = if was_won { self.notice_of_release(resource) } else { None };
        for id in targets {
            let (resource, token, notice) = (resource.clone(), token.clone(), notice.clone());
            let release = Operation::Release { resource, token, until, notice, ticket: None };
            self.nodes[id.index()].submit(release, self.rules.node_timeout);
        }
        if was_won {
            self.lines.released(resource);
        }
    }

    /// When every record that was asked for until now has expired: `max_ttl_ms` and its drift.
    fn withdrawal_deadline(&self) -> Moment {
        let longest = self.rules.max_ttl;
        self.clock.now().after(Duration::from_millis(longest.as_millis() + self.rules.drift.of(longest)))
    }

    fn term(&self, started: Moment, ttl: Ttl) -> Term {
        Term { started, ttl, drift: self.rules.drift }
    }

    fn lease_rules(&self) -> LeaseRules {
        let SessionRules { max_lifetime, client_silence, .. } = self.rules.sessions;
        LeaseRules { drift: self.rules.drift, max_lifetime, client_silence }
    }

    fn nodes(&self) -> impl Iterator<Item = (NodeId, &Arc<dyn LockNode>)> {
        self.rules.quorum.nodes().zip(&self.nodes)
    }
}

/// The end of an attempt. What was not granted has been withdrawn.
enum Decided {
    Granted(Attempt),
    Held,
    Split,
    /// With one of the other verdicts, and how that is told.
    Unsettled(AcquireVerdict, NoQuorum),
}
