//! RLOCK and the lines: whoever waits for one lock, and whoever passes those that do.

use std::sync::Arc;
use std::time::Duration;

use super::line::Outcome;
use super::outcome::Attempt;
use super::outlook::Outlook;
use super::waiting::{Contender, Tried};
use super::{AcquireRequest, Acquired, Caller, Coordinator, Decided, Operation};
use crate::command::Resources;
use crate::lock::{Moment, Ttl};

impl Coordinator {
    /// RLOCK … WAIT: takes the lock in line. The future is small, since thousands of them may sleep.
    pub fn acquire_in_line(
        self: Arc<Self>,
        request: AcquireRequest,
        caller: Arc<Caller>,
    ) -> impl Future<Output = Acquired> + Send + use<> {
        // Made before the future, which would keep the arguments beside it.
        let (coordinator, leaving) = (Arc::clone(&self), Arc::clone(&caller));
        let mut contest = Contest { coordinator: self, request, caller, outlook: None };
        async move {
            if leaving.is_called_off() {
                contest.request.wait = Duration::ZERO;
                return Box::pin(coordinator.acquire(contest.request.clone(), leaving)).await;
            }
            let waited = coordinator.wait_in_line(&mut contest, &leaving).await;
            coordinator.end_of_wait(waited, Self::granted, Self::told)
        }
    }

    /// RLOCK without WAIT where there is a line: answered as the line's last attempt was, without one of its own. But an
    /// owner takes over what it holds already. `None`: there is no line any more, nor a word of it.
    pub(super) async fn ask_the_line(self: &Arc<Self>, request: &AcquireRequest, caller: &Caller) -> Option<Acquired> {
        let resources = std::slice::from_ref(&request.resource);
        if !self.lines.are_there(resources) {
            return None;
        }
        if request.owner.is_some() {
            match self.look(request, caller).await {
                Decided::Granted(attempt) => return Some(self.granted(attempt)),
                Decided::Unsettled(verdict, reason) => return Some(self.unsettled(verdict, reason)),
                // That was its one try.
                Decided::Held | Decided::Split if caller.has_left() => return Some(self.refused()),
                Decided::Held | Decided::Split => {}
            }
        }
        self.lines_say(resources).await.map(|outcome| self.told(outcome))
    }

    /// An attempt that takes nothing but what its owner has.
    async fn look(self: &Arc<Self>, request: &AcquireRequest, caller: &Caller) -> Decided {
        let (token, term) = (self.new_token(request.owner.as_ref()), self.term(self.clock.now(), request.ttl));
        let number = request.fence.then(|| self.fence_clock());
        let attempt = self.new_attempt(request, token, term, false, number, false);
        self.ask_who_holds(&attempt, request.ttl);
        self.decide(attempt, caller).await
    }

    /// Asks all primaries who holds the lock, on behalf of an attempt that takes nothing.
    pub(super) fn ask_who_holds(&self, attempt: &Attempt, ttl: Ttl) {
        for (id, node) in self.nodes() {
            let (resource, ticket) = (attempt.resource.clone(), attempt.round.look_ticket(id));
            node.submit(Operation::Inspect { resource, ticket }, ttl.node_timeout(self.rules.node_timeout));
        }
    }

    fn told(&self, outcome: Outcome) -> Acquired {
        match outcome {
            Outcome::Refused => self.refused(),
            Outcome::NoQuorum(reason) => {
                self.counters.rlock_noquorum.increment();
                Acquired::NoQuorum(reason)
            }
        }
    }
}

/// Somebody who waits for one lock.
struct Contest {
    coordinator: Arc<Coordinator>,
    request: AcquireRequest,
    caller: Arc<Caller>,
    /// In memory of its own, which only whoever is first needs.
    outlook: Option<Box<Outlook>>,
}

impl Contender for Contest {
    type Won = Attempt;

    fn resources(&self) -> Resources {
        Resources::One(self.request.resource.clone())
    }

    fn patience(&self) -> Duration {
        self.request.wait
    }

    async fn take_over(&mut self) -> Option<Attempt> {
        self.request.owner.as_ref()?;
        match self.coordinator.look(&self.request, &self.caller).await {
            Decided::Granted(attempt) => Some(attempt),
            _ => None,
        }
    }

    async fn attempt(&mut self, first: bool) -> Tried<Attempt> {
        let attempt = self.coordinator.start_attempt(&self.request, first, true);
        let outlook = self.outlook.take().unwrap_or_default();
        let round = std::iter::once(Arc::clone(&attempt.round));
        self.outlook = Some(Box::new(outlook.renew(round, attempt.round.term.started)));
        match self.coordinator.decide(attempt, &self.caller).await {
            Decided::Granted(attempt) => Tried::Won(attempt, self.coordinator.end_of(self.request.ttl)),
            Decided::Held => Tried::Held,
            Decided::Split => Tried::Split,
            Decided::Unsettled(_, reason) => Tried::Unsettled(reason),
        }
    }

    fn free_at(&self) -> Option<Moment> {
        self.outlook.as_ref()?.free_at()
    }

    async fn heard_all(&self) {
        if let Some(outlook) = &self.outlook {
            outlook.heard_all().await;
        }
    }
}
