//! RLOCK and the lines: whoever waits for one lock, and whoever passes those that do.

use std::sync::Arc;
use std::time::Duration;

use super::line::Outcome;
use super::outcome::Attempt;
use super::registry::{Answer, NoPlace};
use super::round::AcquireRound;
use super::waiting::{Contender, Tried, Waited};
use super::{AcquireRequest, Acquired, Caller, Coordinator, Decided, Operation, Unsettled};
use crate::command::Resources;
use crate::counters::ErrorKind;
use crate::lock::Moment;

impl Coordinator {
    /// RLOCK … WAIT: takes the lock in line. The future is small, since thousands of them may sleep.
    pub fn acquire_in_line(
        self: Arc<Self>,
        request: AcquireRequest,
        caller: Arc<Caller>,
    ) -> impl Future<Output = Acquired> + Send + use<> {
        // Made before the future, which would keep the arguments beside it.
        let (coordinator, leaving) = (Arc::clone(&self), Arc::clone(&caller));
        let mut contest = Contest { coordinator: self, request, caller, round: None };
        async move {
            if leaving.is_called_off() {
                contest.request.wait = Duration::ZERO;
                return Box::pin(coordinator.acquire(contest.request.clone(), leaving)).await;
            }
            let waited = coordinator.wait_in_line(&mut contest, &leaving).await;
            coordinator.end_of_wait(waited)
        }
    }

    fn end_of_wait(&self, waited: Waited<Attempt>) -> Acquired {
        match waited {
            Waited::Won(attempt) => {
                self.counters.wait_granted.increment();
                self.granted(attempt)
            }
            Waited::Expired(outcome) => {
                self.counters.wait_expired.increment();
                self.told(outcome)
            }
            Waited::Abandoned(outcome) => {
                self.counters.wait_abandoned.increment();
                self.told(outcome)
            }
            Waited::NoPlace(NoPlace::Full) => {
                self.counters.count_error(ErrorKind::Limit);
                Acquired::TooManyWaiters
            }
            Waited::NoPlace(NoPlace::Closed) => Acquired::ShuttingDown,
        }
    }

    /// RLOCK without WAIT where there is a line: answered as the line's last attempt was, without one of its own. But an
    /// owner takes over what it holds already. `None`: there is no line any more, nor a word of it.
    pub(super) async fn ask_the_line(self: &Arc<Self>, request: &AcquireRequest, caller: &Caller) -> Option<Acquired> {
        if self.waiters(&request.resource) == 0 {
            return None;
        }
        if request.owner.is_some() {
            if let Some(answer) = self.take_over_only(request, caller).await {
                return Some(answer);
            }
            if caller.has_left() {
                // That was its one try.
                return Some(self.refused());
            }
        }
        match self.lines.ask(std::slice::from_ref(&request.resource)) {
            Answer::NoLine => None,
            Answer::Told(outcome) => Some(self.told(outcome)),
            Answer::Later(told) => told.await.ok().map(|outcome| self.told(outcome)),
        }
    }

    /// Asks whether the owner holds the lock, and takes it over if so. `None`: it does not.
    async fn take_over_only(self: &Arc<Self>, request: &AcquireRequest, caller: &Caller) -> Option<Acquired> {
        match self.look(request, caller).await {
            Decided::Granted(attempt) => Some(self.granted(attempt)),
            Decided::Unsettled(unsettled) => Some(self.unsettled(unsettled)),
            Decided::Held | Decided::Split => None,
        }
    }

    /// An attempt that takes nothing but what its owner has.
    async fn look(self: &Arc<Self>, request: &AcquireRequest, caller: &Caller) -> Decided {
        let attempt = self.new_attempt(request, false);
        for (id, node) in self.nodes() {
            let (resource, ticket) = (attempt.resource.clone(), attempt.round.look_ticket(id));
            node.submit(Operation::Look { resource, ticket }, request.ttl.node_timeout(self.rules.node_timeout));
        }
        self.decide(attempt, caller).await
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
    /// Of the last attempt.
    round: Option<Arc<AcquireRound>>,
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
        let round = Arc::clone(&attempt.round);
        let decided = self.coordinator.decide(attempt, &self.caller).await;
        self.round = Some(round);
        match decided {
            Decided::Granted(attempt) => {
                let now = self.coordinator.clock.now();
                let until = now.after(Duration::from_millis(self.request.ttl.as_millis()));
                Tried::Won(attempt, until)
            }
            Decided::Held => Tried::Held,
            Decided::Split => Tried::Split,
            Decided::Unsettled(Unsettled { reason, .. }) => Tried::Unsettled(reason),
        }
    }

    fn free_at(&self) -> Option<Moment> {
        self.round.as_ref()?.free_at()
    }

    async fn heard_all(&self) {
        match &self.round {
            Some(round) => round.complete().await,
            None => std::future::pending().await,
        }
    }
}
