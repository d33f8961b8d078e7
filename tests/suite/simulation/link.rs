//! One proxy's link to one primary, as the coordinator needs it: what is submitted leaves in order over one connection
//! at a time; a link that stays silent is given up and opened anew; withdrawals are owed until they are answered.
//!
//! A new connection first ends the former ones that were lost with commands unanswered (the production code's
//! [`Succession`] says which), then sends the withdrawals that are owed, then new work.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use redlock_proxy::coordinator::{LockNode, Operation, Trouble};
use redlock_proxy::lock::{Moment, NodeId, Resource};
use redlock_proxy::primary::Succession;

use super::ballot::Ballot;
use super::canaries::Canary;
use super::history::Actor;
use super::network::{Event, Request, State, World};
use super::primary::{Answer, Micros, Work};

/// A link that gave no answer for so long, though it owed one, is given up.
const SILENCE_TIMEOUT: Micros = 120_000;
/// The process of every model primary: none ever restarts.
const RUN: &str = "run";

#[derive(Debug)]
struct Item {
    number: u64,
    work: Work,
    /// `None` when nobody waits for the answer, or not any more.
    ballot: Option<Ballot>,
}

impl Item {
    fn is_owed(&self) -> bool {
        matches!(self.work, Work::Release { .. })
    }
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Down,
    /// Said hello.
    Greeting(usize),
    /// Ends a former connection.
    Killing(usize, i64),
    Up(usize),
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) proxy: usize,
    /// The model primary at the other end.
    pub(super) primary: usize,
    node: NodeId,
    phase: Phase,
    /// What has not left, in the order of submission.
    queue: VecDeque<Item>,
    /// What has left and is not answered, in the same order.
    sent: VecDeque<Item>,
    /// A flush is scheduled.
    flushing: bool,
    /// The last time something was heard, or first owed again.
    quiet_since: Micros,
    /// A look at the silence is scheduled.
    listening: bool,
    succession: Succession,
    numbers: u64,
}

impl Link {
    /// Not yet open: an [`Event::Open`] starts it.
    pub(super) fn new(proxy: usize, primary: usize, node: NodeId) -> Self {
        Self {
            proxy,
            primary,
            node,
            phase: Phase::Down,
            queue: VecDeque::new(),
            sent: VecDeque::new(),
            flushing: false,
            quiet_since: 0,
            listening: false,
            succession: Succession::default(),
            numbers: 0,
        }
    }

    pub(super) fn connection(&self) -> Option<usize> {
        match self.phase {
            Phase::Down => None,
            Phase::Greeting(connection) | Phase::Killing(connection, _) | Phase::Up(connection) => Some(connection),
        }
    }

    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self.phase, Phase::Up(_)) && self.sent.is_empty() && self.queue.is_empty()
    }

    /// Whether an answer is due.
    fn is_owed(&self) -> bool {
        match self.phase {
            Phase::Down => false,
            Phase::Greeting(_) | Phase::Killing(..) => true,
            Phase::Up(_) => !self.sent.is_empty(),
        }
    }
}

/// Links, as the coordinator and the network drive them.
impl State {
    fn submit(&mut self, link: usize, operation: Operation, timeout: Duration) {
        let (work, ballot) = self.receive(link, operation);
        let canary = self.canary;
        let this = &mut self.links[link];
        this.numbers += 1;
        let item = Item { number: this.numbers, work, ballot };
        if matches!(this.phase, Phase::Down) {
            self.incidents.unsent += u64::from(item.ballot.is_some());
            self.refuse(link, item);
            return;
        }
        if canary == Some(Canary::WithdrawalSkippedForSilent) && item.ballot.is_none() && self.unanswered(link, &item) {
            return;
        }
        if item.ballot.is_some() {
            let at = self.now + u64::try_from(timeout.as_micros()).expect("a short time");
            self.schedule(at, Event::TimeOut { link, item: item.number });
        }
        self.links[link].queue.push_back(item);
        self.flush_soon(link);
    }

    /// Takes an operation apart, and notes what the checker must know of it.
    fn receive(&mut self, link: usize, operation: Operation) -> (Work, Option<Ballot>) {
        let (proxy, node) = (self.links[link].proxy, self.links[link].node);
        self.look_at_session(proxy, &operation);
        match operation {
            Operation::Acquire { resource, token, ttl, ticket, .. } => {
                self.checker.attempted(proxy, &token);
                let work = Work::Acquire { key: key_of(&resource), token, ttl_ms: ttl.as_millis() };
                (work, Some(Ballot::Acquire(ticket)))
            }
            Operation::Inspect { resource, ticket } => {
                (Work::Look { key: key_of(&resource) }, Some(Ballot::Look(ticket)))
            }
            Operation::Sign { resource, found, token, ttl, ticket, .. } => {
                self.checker.signing(node, &token);
                let work = Work::Sign { key: key_of(&resource), found, token, ttl_ms: ttl.as_millis() };
                (work, Some(Ballot::Sign(ticket)))
            }
            Operation::Extend { resource, token, ttl, ticket } => {
                let work = Work::Extend { key: key_of(&resource), token, ttl_ms: ttl.as_millis() };
                (work, Some(Ballot::Extend(ticket)))
            }
            Operation::Release { resource, token, until, notice, ticket } => {
                let work = Work::Release { key: key_of(&resource), token, until, notice };
                (work, ticket.map(Ballot::Release))
            }
            Operation::Raise { .. } => unreachable!("nobody asks for a fencing token"),
            Operation::Announce { resource, notice } => (Work::Announce { key: key_of(&resource), notice }, None),
        }
    }

    /// The link is down: nothing leaves, and only withdrawals are kept.
    fn refuse(&mut self, link: usize, mut item: Item) {
        if let Some(ballot) = item.ballot.take() {
            ballot.unsent(Trouble::NotConnected, self.canary);
        }
        if item.is_owed() {
            self.links[link].queue.push_back(item);
        }
    }

    /// Whether the SET that this withdraws has left and was not answered.
    fn unanswered(&self, link: usize, withdrawal: &Item) -> bool {
        let Work::Release { token: withdrawn, .. } = &withdrawal.work else { return false };
        self.links[link].sent.iter().any(|item| matches!(&item.work, Work::Acquire { token, .. } if token == withdrawn))
    }

    fn flush_soon(&mut self, link: usize) {
        let this = &mut self.links[link];
        if matches!(this.phase, Phase::Up(_)) && !this.flushing {
            this.flushing = true;
            let at = self.now + self.random.pick(&[0, 50, 500]);
            self.schedule(at, Event::Flush { link });
        }
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self, link: usize) {
        self.links[link].flushing = false;
        let Phase::Up(connection) = self.links[link].phase else { return };
        while let Some(mut item) = self.links[link].queue.pop_front() {
            let wanted = match (&item.work, &item.ballot) {
                (Work::Release { until, .. }, _) => *until > Moment::from_micros(self.now),
                (Work::Announce { .. }, _) => true,
                (_, ballot) => ballot.as_ref().is_some_and(Ballot::depart),
            };
            if wanted {
                self.send(connection, Request::Work(item.work.clone()));
                if self.links[link].sent.is_empty() {
                    self.links[link].quiet_since = self.now;
                }
                self.links[link].sent.push_back(item);
            } else if let Some(ballot) = item.ballot.take() {
                ballot.unsent(Trouble::NotConnected, self.canary);
            }
        }
        self.listen_on(link, connection);
    }

    pub(super) fn timed_out(&mut self, link: usize, number: u64) {
        let trouble = || Trouble::TimedOut(Duration::from_millis(1));
        let this = &mut self.links[link];
        if let Some(item) = this.sent.iter_mut().find(|item| item.number == number) {
            if let Some(ballot) = item.ballot.take() {
                self.incidents.timed_out += 1;
                ballot.silent(trouble(), self.canary);
            }
        } else if let Some(place) = this.queue.iter().position(|item| item.number == number) {
            let ballot = this.queue[place].ballot.take();
            if !this.queue[place].is_owed() {
                this.queue.remove(place);
            }
            if let Some(ballot) = ballot {
                self.incidents.unsent += 1;
                ballot.unsent(trouble(), self.canary);
            }
        }
    }

    /// Something arrived from a primary.
    pub(super) fn answered(&mut self, connection: usize, answer: Answer) {
        if self.connections[connection].given_up {
            return;
        }
        let link = self.connections[connection].link;
        let this = &mut self.links[link];
        this.quiet_since = self.now;
        match (this.phase, answer) {
            (Phase::Greeting(_), Answer::Hello) => self.succeed(link, connection),
            (Phase::Killing(_, id), Answer::Killed(ended)) => {
                this.succession.killed(id, Some(ended));
                self.succeed(link, connection);
            }
            (Phase::Up(_), answer) => {
                let item = this.sent.pop_front().expect("an answer to something that was sent");
                if let Some(ballot) = item.ballot {
                    ballot.answer(answer);
                }
            }
            (phase, answer) => unreachable!("{answer:?} in {phase:?}"),
        }
    }

    /// Ends the former connections, one after the other; then the link is up.
    fn succeed(&mut self, link: usize, connection: usize) {
        if let Some(id) = self.links[link].succession.next_to_kill(RUN) {
            self.links[link].phase = Phase::Killing(connection, id);
            self.send(connection, Request::Kill(id));
        } else {
            self.links[link].phase = Phase::Up(connection);
            self.flush(link);
        }
    }

    pub(super) fn open(&mut self, link: usize) {
        let Some(connection) = self.connect(link) else {
            let at = self.now + self.random.between(5_000, 30_000);
            return self.schedule(at, Event::Open { link });
        };
        self.links[link].phase = Phase::Greeting(connection);
        self.links[link].quiet_since = self.now;
        self.send(connection, Request::Hello);
        self.listen_on(link, connection);
    }

    fn listen_on(&mut self, link: usize, connection: usize) {
        let this = &mut self.links[link];
        if this.is_owed() && !this.listening {
            this.listening = true;
            let at = this.quiet_since + SILENCE_TIMEOUT;
            self.schedule(at, Event::Silence { link, connection });
        }
    }

    /// Gives the connection up when nothing was heard for too long.
    pub(super) fn listen(&mut self, link: usize, connection: usize) {
        let this = &mut self.links[link];
        if this.connection() != Some(connection) {
            return;
        }
        this.listening = false;
        if this.is_owed() && this.quiet_since + SILENCE_TIMEOUT <= self.now {
            self.lose(link);
        } else {
            self.listen_on(link, connection);
        }
    }

    /// The link's connection is lost: what was sent is silent, what was not is unsent, withdrawals stay owed.
    pub(super) fn lose(&mut self, link: usize) {
        let Some(connection) = self.links[link].connection() else { return };
        self.connections[connection].given_up = true;
        self.incidents.links_lost += 1;
        let this = &mut self.links[link];
        self.checker.history.add_event(
            self.now,
            Actor::Proxy(this.proxy),
            "loses its link to primary",
            this.primary as u64,
        );
        // A greeting alone leaves nothing behind.
        if this.is_owed() && !matches!(this.phase, Phase::Greeting(_)) && self.canary != Some(Canary::NoKill) {
            if self.canary == Some(Canary::OnlyTheLastKilled) {
                this.succession = Succession::default();
            }
            this.succession.bury(i64::try_from(connection).expect("few connections"), RUN);
        }
        this.phase = Phase::Down;
        this.listening = false;
        this.flushing = false;
        let unanswered = std::mem::take(&mut this.sent);
        let waiting = std::mem::take(&mut this.queue);
        for mut item in unanswered {
            if let Some(ballot) = item.ballot.take() {
                ballot.silent(Trouble::ConnectionLost, self.canary);
            }
            if item.is_owed() {
                self.links[link].queue.push_back(item);
            }
        }
        for item in waiting {
            self.refuse(link, item);
        }
        let at = self.now + self.random.between(2_000, 40_000);
        self.schedule(at, Event::Open { link });
    }
}

/// A proxy's end of a link: what its coordinator submits to.
pub(super) struct Node {
    world: Arc<World>,
    link: usize,
    /// The links of the same proxy, for the one canary that withdraws where it should not.
    siblings: Vec<usize>,
    address: String,
}

impl Node {
    pub(super) fn new(world: Arc<World>, link: usize, siblings: Vec<usize>) -> Self {
        Self { world, link, siblings, address: format!("primary-{link}:6379") }
    }
}

impl LockNode for Node {
    fn address(&self) -> &str {
        &self.address
    }

    fn wall_clock(&self, _now: Moment) -> Option<u64> {
        None
    }

    fn submit(&self, operation: Operation, timeout: Duration) {
        self.world.with(|state| {
            if let Operation::Release { resource, token, until, ticket: None, .. } = &operation
                && state.canary == Some(Canary::TakeOverWithdrawnWhereSigned)
                && state.checker.signed_anywhere(token)
            {
                for link in &self.siblings {
                    let (resource, token, until) = (resource.clone(), token.clone(), *until);
                    let release = Operation::Release { resource, token, until, notice: None, ticket: None };
                    state.submit(*link, release, timeout);
                }
            }
            state.submit(self.link, operation, timeout);
        });
    }
}

/// The name of a key: `lock-` and its number.
pub(super) fn resource_of(key: usize) -> Resource {
    Resource::new(format!("lock-{key}").into_bytes().into(), 64).expect("a short name")
}

pub(super) fn key_of(resource: &Resource) -> usize {
    let digits = resource.as_bytes().strip_prefix(b"lock-").and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).expect("a name that resource_of made")
}
