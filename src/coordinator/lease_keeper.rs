//! Keeps the locks that are bound to connections: one task renews them all.
//!
//! What is due together is submitted together, so that each link writes it as one batch. A renewal and a putting back
//! are submitted under the guard of their lock, by which every release that comes through this proxy ends the lease
//! before its own operations are submitted: nothing is ever renewed or put back behind a release.
//!
//! A lock that is lost is withdrawn everywhere but where a record of its owner was signed, since a grant of that owner of
//! which this one knows nothing may rest on that. What a renewal finds gone may be in the middle of being released, through
//! another proxy: that one gets the time to find all records that it looks for, so that it does not say of a lock which
//! was held that it was not.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::counting::CountingRound;
use super::leases::{Held, HeldState, Seat};
use super::node::{Ballot, Operation, Ticket, Trouble};
use super::round::AcquireRound;
use super::{Coordinator, Tenant};
use crate::counters::Counters;
use crate::limits::RENEWALS_AT_ONCE;
use crate::lock::{
    AcquireVote, Confirmed, Extend, ExtendVerdict, Lease, LeaseStep, Moment, NodeId, NodeSet, Packed, Resource, Token,
};

/// A renewal under way.
struct Renewal {
    held: Arc<Held>,
    asked: Confirmed,
    round: Arc<CountingRound<Extend>>,
}

/// How far a renewal has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its votes decide.
    Open,
    /// It has its verdict.
    Decided(ExtendVerdict),
    /// It was won, and every primary has been heard of.
    Complete,
    /// It was lost, and whoever may have released the lock has been answered.
    Gone,
}

/// Locks that are bound to connections.
impl Coordinator {
    /// The right to bind one more lock to this connection; `None` when there are as many as there may be.
    pub fn reserve(&self, tenant: &Arc<Tenant>) -> Option<Seat> {
        let rules = &self.rules.sessions;
        let seat = self.leases.reserve(tenant, rules.most, rules.most_of_connection);
        if seat.is_none() {
            self.counters.errors_limit.increment();
        }
        seat
    }

    /// Something has come from the client: what waits for that goes on.
    pub fn hear(&self, tenant: &Tenant) {
        let now = self.clock.now();
        if tenant.hear(now) {
            for held in tenant.bound() {
                self.leases.set_timer(&held, &mut held.lock());
            }
        }
    }

    /// The client gives up its connection with all that is bound to it: its locks are released as if it had asked for that.
    pub fn release_all(&self, tenant: &Tenant) {
        tenant.bound().iter().for_each(|held| self.release_bound(held, NodeSet::EMPTY));
    }

    /// The same, of those locks only of which the client certainly knows that it holds them.
    pub fn release_known(&self, tenant: &Tenant) {
        let known = tenant.bound().into_iter().filter(|held| held.is_known());
        known.for_each(|held| self.release_bound(&held, NodeSet::EMPTY));
    }

    /// The same, when the client has not read all that it was told: what it had before may rest on what was signed.
    pub fn release_unread(&self, tenant: &Tenant) {
        for held in tenant.bound() {
            let signed = held.lock().lease.signed();
            self.release_bound(&held, signed);
        }
    }

    /// The connection has ended. What is still bound to it ends with its ttl: its client may be alive and count on that.
    pub fn abandon_all(&self, tenant: &Tenant) {
        for held in tenant.bound() {
            self.let_go(&held);
        }
        for held in tenant.leave() {
            self.leases.forget(&held);
        }
    }

    /// Until when a lock that is bound to a connection is known to be held; `None` when it is over, or was never bound.
    pub fn bound_until(&self, resource: &Resource, token: &Token) -> Option<Moment> {
        let held = self.leases.find(resource, token)?;
        let state = held.lock();
        state.lease.is_alive().then(|| state.lease.until())
    }

    /// The number of the client to whose connection this lock is bound.
    pub(super) fn client_of(&self, resource: &Resource, token: &Token) -> Option<u64> {
        let held = self.leases.find(resource, token)?;
        let is_alive = held.lock().lease.is_alive();
        is_alive.then(|| held.tenant.client())
    }

    /// The owner has taken over a lock that this connection may have held: what was bound to it was given up for that.
    pub fn succeed(&self, tenant: &Tenant, resource: &Resource, token: &Token) {
        for held in tenant.bound() {
            if held.name.resource() == resource.as_bytes() && held.name.token() != token.as_bytes() {
                self.let_go(&held);
            }
        }
    }

    /// Renews what is due, for ever.
    pub async fn keep_leases(self: Arc<Self>) {
        let mut renewals = FuturesUnordered::new();
        let timeout = self.rules.node_timeout;
        loop {
            if let Some(room @ 1..) = RENEWALS_AT_ONCE.checked_sub(renewals.len()) {
                for held in self.leases.take_due(self.clock.now(), room) {
                    renewals.extend(self.look_at(&held).map(|renewal| advance(renewal, Stage::Open, timeout)));
                }
            }
            let next = self.leases.next().filter(|_| renewals.len() < RENEWALS_AT_ONCE);
            let wait = next.map(|at| at.since(self.clock.now()));
            tokio::select! {
                biased;
                Some((renewal, stage)) = renewals.next() => match stage {
                    Stage::Decided(verdict) if self.judge(&renewal, verdict) => {
                        renewals.push(advance(renewal, stage, timeout));
                    }
                    Stage::Complete => self.put_back(&renewal),
                    Stage::Gone => self.withdraw_lost(&renewal.held),
                    Stage::Open | Stage::Decided(_) => {}
                },
                () = self.leases.stirred() => {}
                () = passed(wait) => {}
            }
        }
    }

    /// Binds the lock that an attempt has won to the connection that has the seat. Nothing is done for it before it is
    /// handed over; but from here on a release ends it, whoever is faster to learn of its token.
    pub(super) fn bind(
        &self,
        seat: Seat,
        notify: bool,
        resource: &Resource,
        token: &Token,
        round: &AcquireRound,
    ) -> Arc<Held> {
        let won = Confirmed { started: round.term.started, ttl: round.term.ttl };
        let (unset, signed) = round.never_set();
        let lease = Lease::offered(won, unset, signed, &self.lease_rules());
        let held = self.leases.bind(Packed::new(resource, token), lease, seat, notify);
        let heir = Arc::clone(&held);
        round.when_complete(move |unset| heir.refused_at(unset));
        held
    }

    /// The holder of a bound lock has been told of it.
    pub(super) fn hand_over_bound(&self, held: &Arc<Held>) {
        let mut state = held.lock();
        state.told = self.clock.now();
        let told = state.told;
        if state.lease.hand_over(told, &self.lease_rules()) {
            self.counters.session_locks.increment();
            state.is_counted = true;
            self.leases.set_timer(held, &mut state);
        }
    }

    /// Renews it no more. False when it was over before.
    pub(super) fn let_go(&self, held: &Arc<Held>) -> bool {
        let was_alive = held.lock().lease.end();
        if was_alive {
            self.retire(held);
            held.tenant.unbind(&held.name);
            self.leases.forget(held);
        }
        was_alive
    }

    fn release_bound(&self, held: &Arc<Held>, except: NodeSet) {
        if self.let_go(held) {
            self.counters.session_released_on_close.increment();
            let targets = self.rules.quorum.nodes().collect::<NodeSet>().without(except);
            let (resource, token) = held.name.unpack();
            self.submit_releases(targets.iter(), &resource, &token, true);
        }
    }

    /// A client has had the lock extended. True when it has been lost meanwhile.
    pub(super) fn extended_bound(&self, held: &Arc<Held>, asked: Confirmed) -> bool {
        let mut state = held.lock();
        let is_lost = state.lease.extended(asked, self.clock.now(), &self.lease_rules());
        if is_lost {
            drop(state);
            self.mourn(held, "an extension came too late");
            self.withdraw_lost(held);
            return true;
        }
        self.leases.set_timer(held, &mut state);
        state.lease.is_lost()
    }

    /// A client has found out that the lock is held no longer.
    pub(super) fn lose_bound(&self, held: &Arc<Held>) {
        if held.lock().lease.lose() {
            self.mourn(held, GONE);
            self.withdraw_lost(held);
        }
    }

    /// Whether the lock has been lost, or its validity is over, of which nobody may have taken notice.
    pub(super) fn is_lost(&self, held: &Arc<Held>) -> bool {
        let mut state = held.lock();
        let step = state.lease.poll(self.clock.now(), held.tenant.heard(), &self.lease_rules());
        let is_lost = state.lease.is_lost();
        drop(state);
        if step == LeaseStep::Lose {
            self.mourn(held, LAPSED);
            self.withdraw_lost(held);
        }
        is_lost
    }

    /// Looks what a lock needs; returns its renewal when that has begun.
    fn look_at(&self, held: &Arc<Held>) -> Option<Renewal> {
        let mut state = held.lock();
        let mut step = self.poll(held, &mut state);
        if let LeaseStep::Pause(_) = step {
            held.tenant.pause();
            // Whatever came before that woke nobody.
            step = self.poll(held, &mut state);
        }
        match step {
            LeaseStep::Renew => {
                let now = self.clock.now();
                let ttl = state.lease.begin_renewal(now);
                let (resource, token) = held.name.unpack();
                let round = self.submit_extension(&resource, &token, self.term(now, ttl));
                self.leases.set_timer(held, &mut state);
                Some(Renewal { held: Arc::clone(held), asked: Confirmed { started: now, ttl }, round })
            }
            LeaseStep::Sleep(at) | LeaseStep::Pause(at) => {
                self.leases.set_timer_at(held, &mut state, Some(at));
                None
            }
            LeaseStep::Lose => {
                drop(state);
                self.mourn(held, LAPSED);
                self.withdraw_lost(held);
                None
            }
            LeaseStep::Over => None,
        }
    }

    fn poll(&self, held: &Held, state: &mut HeldState) -> LeaseStep {
        state.lease.poll(self.clock.now(), held.tenant.heard(), &self.lease_rules())
    }

    /// A renewal has its verdict. True when something remains to be done: records to be put back, or to be withdrawn.
    fn judge(&self, renewal: &Renewal, verdict: ExtendVerdict) -> bool {
        let Renewal { held, asked, .. } = renewal;
        let mut state = held.lock();
        if !state.lease.is_alive() {
            return false;
        }
        match verdict {
            ExtendVerdict::Extended => self.counters.session_renewals.increment(),
            ExtendVerdict::NoQuorum => self.counters.session_renewal_failures.increment(),
            ExtendVerdict::Lost => {}
        }
        let now = self.clock.now();
        if state.lease.renewed(verdict, *asked, now, self.entropy.jitter(), &self.lease_rules()) {
            drop(state);
            if verdict == ExtendVerdict::Lost {
                self.mourn(held, GONE);
                return true;
            }
            self.mourn(held, LAPSED);
            self.withdraw_lost(held);
            return false;
        }
        self.leases.set_timer(held, &mut state);
        verdict == ExtendVerdict::Extended
    }

    /// All primaries have been heard of in a renewal that was won: sets the record anew where that cannot undo a release.
    fn put_back(&self, renewal: &Renewal) {
        let Renewal { held, asked, round } = renewal;
        let (lacking, forgot) = round.with(|round| (round.lacking(), round.forgot()));
        let mut state = held.lock();
        let Some((nodes, ttl)) = state.lease.put_back(lacking, forgot, *asked, self.clock.now()) else { return };
        let ballot: Arc<dyn Ballot<AcquireVote>> =
            Arc::new(PutBack { held: Arc::clone(held), counters: Arc::clone(&self.counters) });
        let (resource, token) = held.name.unpack();
        for node in nodes.iter() {
            let (resource, token) = (resource.clone(), token.clone());
            let ticket = Ticket::new(Arc::clone(&ballot), node);
            self.nodes[node.index()].submit(
                Operation::Acquire { resource, token, ttl, asks_ttl: false, raise: None, ticket },
                ttl.node_timeout(self.rules.node_timeout),
            );
        }
    }

    /// The lock has been lost, which this is the only one to have noticed: tells its connection.
    fn mourn(&self, held: &Arc<Held>, reason: &str) {
        self.retire(held);
        if let Some(forgotten) = held.tenant.lose(held, self.rules.sessions.most_of_connection) {
            self.leases.forget(&forgotten);
        }
        self.counters.session_lost.increment();
        let key = held.name.resource().escape_ascii();
        tracing::warn!(%key, client = held.tenant.client(), reason, "the lock of a session is lost");
    }

    /// Deletes what is left of a lock that was lost.
    fn withdraw_lost(&self, held: &Held) {
        let signed = held.lock().lease.signed();
        let rest: NodeSet = self.rules.quorum.nodes().collect::<NodeSet>().without(signed);
        let (resource, token) = held.name.unpack();
        self.withdraw(rest, &resource, &token, true);
    }

    fn retire(&self, held: &Arc<Held>) {
        if std::mem::take(&mut held.lock().is_counted) {
            self.counters.session_locks.decrement();
        }
        self.leases.retire(held);
    }
}

const GONE: &str = "its records are gone";
const LAPSED: &str = "it could not be renewed in time";

/// Waits for the renewal's next stage. No release is waited for longer than `timeout` by its proxy.
async fn advance(renewal: Renewal, stage: Stage, timeout: Duration) -> (Renewal, Stage) {
    let next = match stage {
        Stage::Open => Stage::Decided(renewal.round.verdict().await),
        Stage::Decided(ExtendVerdict::Lost) | Stage::Gone => {
            tokio::time::sleep(timeout).await;
            Stage::Gone
        }
        Stage::Decided(_) | Stage::Complete => {
            renewal.round.complete().await;
            Stage::Complete
        }
    };
    (renewal, next)
}

/// Waits for so long; for ever when there is nothing to wait for.
async fn passed(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => pending().await,
    }
}

/// The votes of a record that is set anew: no part of any round.
struct PutBack {
    held: Arc<Held>,
    counters: Arc<Counters>,
}

impl Ballot<AcquireVote> for PutBack {
    /// A release goes behind it.
    fn depart(&self, _node: NodeId) -> bool {
        true
    }

    fn cast(&self, node: NodeId, vote: AcquireVote, _trouble: Option<Trouble>) {
        match vote {
            AcquireVote::Granted => self.counters.rextend_records_restored.increment(),
            AcquireVote::Held(_) | AcquireVote::Unsent => self.held.refused_at([node].into_iter().collect()),
            // It may have been run: never again.
            AcquireVote::Silent => {}
        }
    }
}
