//! One proxy's link to one primary, as the coordinator needs it: what is submitted leaves in order over one connection
//! at a time; a link that stays silent is given up and opened anew; withdrawals are owed until they are answered.
//!
//! A new connection first ends the former ones that were lost with commands unanswered (the production code's
//! [`Succession`] says which), then sends the withdrawals that are owed, then new work.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redlock_proxy::coordinator::{Operation, Trouble, WallClock};
use redlock_proxy::lock::{AcquireVote, Moment, NodeId, RaiseVote, SignVote};
use redlock_proxy::primary::Succession;

use super::ballot::Ballot;
use super::canaries::Canary;
use super::fences;
use super::network::{Event, Request, State};
use super::primary::{Answer, Micros, Seen, Work};

/// A link that gave no answer for so long, though it owed one, is given up.
pub(super) const SILENCE_TIMEOUT: Micros = 120_000;
/// The number of no connection.
const NOBODY: i64 = -1;

#[derive(Debug)]
pub(super) struct Item {
    pub(super) number: u64,
    pub(super) work: Work,
    /// The raise that travels directly behind it, and the answer to the work itself, when that has come.
    raise: Option<Work>,
    answer: Option<Answer>,
    /// When it left.
    asked: Micros,
    /// `None` when nobody waits for the answer, or not any more.
    pub(super) ballot: Option<Ballot>,
}

impl Item {
    pub(super) fn is_owed(&self) -> bool {
        matches!(self.work, Work::Release { .. })
    }
}

/// What has left, and will be answered.
#[derive(Debug)]
pub(super) enum Sent {
    Item(Box<Item>),
    /// A probe, or a marking.
    Look(Micros),
}

impl Sent {
    fn item(&mut self) -> Option<&mut Item> {
        match self {
            Self::Item(item) => Some(item),
            Self::Look(_) => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    Down,
    /// Said hello, at that moment.
    Greeting(usize, Micros),
    /// Ends a former connection.
    Killing(usize, i64),
    Up(usize),
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) proxy: usize,
    /// The model primary at the other end.
    pub(super) primary: usize,
    pub(super) node: NodeId,
    pub(super) phase: Phase,
    /// What has not left, in the order of submission.
    pub(super) queue: VecDeque<Item>,
    /// What has left and is not answered, in the same order.
    pub(super) sent: VecDeque<Sent>,
    /// A flush is scheduled.
    pub(super) flushing: bool,
    /// The last time something was heard, or first owed again.
    pub(super) quiet_since: Micros,
    /// A look at the silence is scheduled.
    pub(super) listening: bool,
    pub(super) succession: Succession,
    numbers: u64,
    /// What the primary's clock was seen to show when the connection was opened, and when that was.
    pub(super) clock_seen: Option<(Micros, Micros)>,
    /// The process at the other end, and the marker that was read there last.
    pub(super) run: Arc<str>,
    pub(super) marker_read: Option<Bytes>,
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
            clock_seen: None,
            run: "".into(),
            marker_read: None,
        }
    }

    pub(super) fn connection(&self) -> Option<usize> {
        match self.phase {
            Phase::Down => None,
            Phase::Greeting(connection, _) | Phase::Killing(connection, _) | Phase::Up(connection) => Some(connection),
        }
    }

    /// Nothing is known any more of what it did.
    pub(super) fn begin_anew(&mut self) {
        self.queue.clear();
        self.succession = Succession::default();
    }

    /// The connection over which it can send.
    pub(super) fn up(&self) -> Option<usize> {
        if let Phase::Up(connection) = self.phase { Some(connection) } else { None }
    }

    pub(super) fn is_at_rest(&self) -> bool {
        let is_look = |sent: &Sent| matches!(sent, Sent::Look(_));
        self.up().is_some() && self.sent.iter().all(is_look) && self.queue.is_empty()
    }

    /// Whether an answer is due.
    pub(super) fn is_owed(&self) -> bool {
        match self.phase {
            Phase::Down => false,
            Phase::Greeting(..) | Phase::Killing(..) => true,
            Phase::Up(_) => !self.sent.is_empty(),
        }
    }
}

/// Links, as the coordinator and the network drive them.
impl State {
    pub(super) fn submit(&mut self, link: usize, operation: Operation, timeout: Duration) {
        let (work, raise, ballot) = self.receive(link, operation);
        let canary = self.canary;
        let this = &mut self.links[link];
        this.numbers += 1;
        let item = Item { number: this.numbers, work, raise, answer: None, asked: 0, ballot };
        if !matches!(this.phase, Phase::Up(_)) {
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

    /// What the primary's clock shows: as it was last seen, carried on by the proxy's.
    /// The primary's clock as this link has last seen it.
    pub(super) fn wall_clock_of(&mut self, link: usize) -> Option<WallClock> {
        let (shown, at) = self.links[link].clock_seen?;
        let votes = self.links[link].up().is_some() && self.is_sound(link);
        Some(WallClock { micros: shown + (self.now - at), votes })
    }

    /// The link is not up: nothing leaves, and only withdrawals are kept.
    pub(super) fn refuse(&mut self, link: usize, mut item: Item) {
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
        let is_its_set = |sent: &Sent| match sent {
            Sent::Item(item) => matches!(&item.work, Work::Acquire { token, .. } if token == withdrawn),
            Sent::Look(_) => false,
        };
        self.links[link].sent.iter().any(is_its_set)
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
                if let Some(raise) = &item.raise {
                    self.send(connection, Request::Work(raise.clone()));
                }
                item.asked = self.now;
                self.expect(link, Sent::Item(Box::new(item)));
            } else if let Some(ballot) = item.ballot.take() {
                ballot.unsent(Trouble::NotConnected, self.canary);
            }
        }
        self.listen_on(link, connection);
    }

    fn expect(&mut self, link: usize, sent: Sent) {
        let this = &mut self.links[link];
        if this.sent.is_empty() {
            this.quiet_since = self.now;
        }
        this.sent.push_back(sent);
    }

    /// Sends what only looks, or marks.
    pub(super) fn send_look(&mut self, link: usize, request: Request) {
        let connection = self.links[link].up().expect("the link is up");
        self.send(connection, request);
        self.expect(link, Sent::Look(self.now));
        self.listen_on(link, connection);
    }

    pub(super) fn timed_out(&mut self, link: usize, number: u64) {
        let trouble = || Trouble::TimedOut(Duration::from_millis(1));
        let this = &mut self.links[link];
        if let Some(item) = this.sent.iter_mut().filter_map(Sent::item).find(|item| item.number == number) {
            if let Some(ballot) = item.ballot.take() {
                self.incidents.timed_out += 1;
                fences::silent(ballot, &item.work, trouble(), self.canary);
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
    pub(super) fn answered(&mut self, connection: usize, answer: Answer, seen: &Seen) {
        if self.connections[connection].given_up {
            return;
        }
        let link = self.connections[connection].link;
        let this = &mut self.links[link];
        this.quiet_since = self.now;
        if seen.is_replica {
            return self.finds_a_replica(link);
        }
        match (this.phase, answer) {
            (Phase::Greeting(_, asked), Answer::Hello) => {
                self.links[link].phase = Phase::Killing(connection, NOBODY);
                self.admit(link, asked, seen);
                self.succeed(link, connection);
            }
            (Phase::Killing(_, id), Answer::Killed(ended)) => {
                this.succession.killed(id, Some(ended));
                self.succeed(link, connection);
            }
            (Phase::Up(_), answer) => match this.sent.pop_front().expect("an answer to something that was sent") {
                Sent::Look(asked) => drop(self.vouch(link, asked, seen, true)),
                Sent::Item(mut item) if item.raise.is_some() && item.answer.is_none() => {
                    item.answer = Some(answer);
                    this.sent.push_front(Sent::Item(item));
                }
                Sent::Item(item) => {
                    let wrong = self.vouch(link, item.asked, seen, false);
                    self.tell(*item, answer, wrong);
                }
            },
            (phase, answer) => unreachable!("{answer:?} in {phase:?}"),
        }
    }

    /// All that was sent for an operation has been answered.
    fn tell(&mut self, item: Item, last: Answer, wrong: Option<Trouble>) {
        let Some(mut ballot) = item.ballot else { return };
        let mut told = |raise: &Work, granted: bool, answer: &Answer| match &wrong {
            None => self.fences.told(raise, granted, answer),
            Some(_) => RaiseVote::Silent,
        };
        let answer = match (&item.raise, item.answer) {
            (Some(raise), Some(first)) => {
                ballot.raised(told(raise, is_grant(&first), &last));
                first
            }
            _ if matches!(last, Answer::Raise(_)) => Answer::Raise(told(&item.work, true, &last)),
            _ => last,
        };
        let wrong = self.wrong_with(&answer, wrong);
        ballot.answer(answer, wrong.as_ref());
    }
}

/// Whether the primary set or signed the record.
pub(super) fn is_grant(answer: &Answer) -> bool {
    matches!(answer, Answer::Acquire(AcquireVote::Granted, _) | Answer::Sign(SignVote::Signed))
}
