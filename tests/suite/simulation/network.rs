//! The world between the proxies and the model primaries: connections that keep the order of their bytes and promise
//! nothing else.
//!
//! Everything that will happen lies in one queue, ordered by time; [`drive`] runs it on tokio's paused clock. A message
//! is late by a little, now and then by much, and in foul weather the rest of a connection's bytes in one direction may
//! stop at any message, to arrive long after, whatever has become of the connection. A stalled primary runs what it was
//! sent when it wakes: each connection's bytes in order, the connections in any order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use redlock_proxy::clock::Clock;
use redlock_proxy::lock::NodeId;
use tokio::sync::Notify;

use super::canaries::Canary;
use super::checker::Checker;
use super::fences::Fences;
use super::forgetting::Forgetting;
use super::link::Link;
use super::notices::Notices;
use super::order::Order;
use super::plan::Plan;
use super::primary::{Answer, Micros, Primary, Seen, Work};
use super::sessions::Books;
use super::vouching::Censuses;
use crate::common::Random;

/// What travels to a primary.
#[derive(Debug, Clone)]
pub(super) enum Request {
    /// The first word on a connection.
    Hello,
    /// End that connection.
    Kill(i64),
    Work(Work),
    /// Only what every request ends with.
    Probe,
    /// Replace the marker, if it still is what was found.
    Mark {
        found: Option<Bytes>,
        marker: Bytes,
    },
}

#[derive(Debug)]
pub(super) enum Event {
    Arrive {
        connection: usize,
        request: Request,
    },
    Answer {
        connection: usize,
        answer: Answer,
        /// The marker and the clock, as they were right behind it.
        seen: Seen,
    },
    /// A link that is up may have been idle for long.
    Probe {
        link: usize,
        connection: usize,
    },
    /// There may be something to do about the marker.
    Errand {
        link: usize,
    },
    /// A replica becomes a primary again.
    Promote {
        primary: usize,
        master: usize,
    },
    Flush {
        link: usize,
    },
    TimeOut {
        link: usize,
        item: u64,
    },
    Silence {
        link: usize,
        connection: usize,
    },
    Open {
        link: usize,
    },
    Wake {
        primary: usize,
    },
    /// What a primary tells a proxy that listens to it.
    Notice {
        link: usize,
        notice: Bytes,
    },
    /// A proxy's subscription has broken, which it notices now.
    Deaf {
        link: usize,
    },
    Subscribe {
        link: usize,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Direction {
    ToPrimary,
    ToProxy,
}

/// One connection, from its opening to the last of its bytes.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) link: usize,
    /// The proxy has given it up: no answer is read from it any more. What it sent may still arrive.
    pub(super) given_up: bool,
    /// It broke so that what was on its way is lost.
    pub(super) severed: bool,
    /// The primary has ended it, from this moment on.
    pub(super) killed_at: Option<Micros>,
    /// When the last message in each direction arrives: none overtakes it.
    pub(super) last: [Micros; 2],
    /// Until when each direction is stopped.
    pub(super) stopped_until: [Micros; 2],
}

/// How a primary fares.
#[derive(Debug, Default)]
pub(super) struct Health {
    pub(super) stalled_until: Micros,
    pub(super) unreachable_until: Micros,
    /// Its memory is nearly full: it refuses to set anything now and then.
    pub(super) full_until: Micros,
    pub(super) backlog: Vec<(usize, Request)>,
}

/// What went on, for those who want to know whether a simulation was worth its time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Incidents {
    pub(super) links_lost: u64,
    pub(super) kills: u64,
    /// Requests of killed connections that arrived and were not run.
    pub(super) bytes_of_the_killed: u64,
    /// Requests that were run although their link had been given up.
    pub(super) late_requests: u64,
    pub(super) timed_out: u64,
    pub(super) unsent: u64,
    pub(super) notices_lost: u64,
    /// Memories lost, and clocks moved.
    pub(super) losses: u64,
    pub(super) steps: u64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) now: Micros,
    pub(super) primaries: Vec<Primary>,
    pub(super) links: Vec<Link>,
    pub(super) connections: Vec<Connection>,
    pub(super) checker: Checker,
    pub(super) fences: Fences,
    pub(super) censuses: Censuses,
    pub(super) sessions: Books,
    pub(super) order: Order,
    pub(super) notices: Notices,
    pub(super) incidents: Incidents,
    pub(super) canary: Option<Canary>,
    pub(super) forgetting: Option<Forgetting>,
    /// How often an idle link looks.
    pub(super) probe_interval: Micros,
    /// How many messages in a hundred are late by a little.
    pub(super) late_messages: u64,
    /// By how much a primary's clock is seen too late at most.
    pub(super) clock_error: Micros,
    pub(super) random: Random,
    /// Proxies that have ended, until others are in their places; and when one did last.
    pub(super) ended: Vec<usize>,
    pub(super) ended_at: Option<Micros>,
    /// Things go wrong now.
    pub(super) stormy: bool,
    /// Commands whose futures have not ended.
    pub(super) under_way: usize,
    pub(super) health: Vec<Health>,
    /// Per link, until when its network is in foul weather.
    pub(super) foul_until: Vec<Micros>,
    /// Per link, until when its messages take longer, and by how much.
    pub(super) slow: Vec<Option<(Micros, Micros)>>,
    /// The usual travel time of each link, in microseconds.
    pub(super) distance: Vec<u64>,
    events: BTreeMap<(Micros, u64), Event>,
    scheduled: u64,
    /// When the driver will look again, if nobody wakes it.
    next_look: Micros,
}

impl State {
    pub(super) fn new(plan: &Plan, primaries: Vec<Primary>, mut random: Random) -> Self {
        let links = plan.links();
        let far = random.pick(&[300, 1_000, 3_000]);
        let distance = links.iter().map(|_| random.between(100, far)).collect();
        Self {
            now: 0,
            health: primaries.iter().map(|_| Health::default()).collect(),
            foul_until: vec![0; links.len()],
            slow: vec![None; links.len()],
            distance,
            primaries,
            order: Order::default(),
            notices: Notices::new(links.len()),
            links,
            connections: Vec::new(),
            checker: Checker::new(plan.all_keys()),
            fences: Fences::new(plan),
            censuses: Censuses::new(plan),
            sessions: Books::default(),
            incidents: Incidents::default(),
            canary: plan.canary,
            forgetting: plan.forgetting,
            probe_interval: plan.probe_interval,
            late_messages: plan.pace.late_messages,
            clock_error: plan.clock_error,
            random,
            ended: Vec::new(),
            ended_at: None,
            stormy: false,
            under_way: 0,
            events: BTreeMap::new(),
            scheduled: 0,
            next_look: Micros::MAX,
        }
    }

    pub(super) fn schedule(&mut self, at: Micros, event: Event) {
        self.scheduled += 1;
        self.events.insert((at.max(self.now), self.scheduled), event);
    }

    /// A new connection of a link; `None` when the primary does not accept any.
    pub(super) fn connect(&mut self, link: usize) -> Option<usize> {
        if self.health[self.links[link].primary].unreachable_until > self.now {
            return None;
        }
        self.connections.push(Connection {
            link,
            given_up: false,
            severed: false,
            killed_at: None,
            last: [0; 2],
            stopped_until: [0; 2],
        });
        Some(self.connections.len() - 1)
    }

    pub(super) fn send(&mut self, connection: usize, request: Request) {
        let at = self.arrival(connection, Direction::ToPrimary);
        self.schedule(at, Event::Arrive { connection, request });
    }

    /// The model primary that stands for a node.
    pub(super) fn primary_of(&self, node: NodeId) -> usize {
        self.links[node.index()].primary
    }

    /// Everything has arrived, every link is up and flows, and nothing is owed.
    pub(super) fn is_at_rest(&self) -> bool {
        let travels = |event: &Event| match event {
            // These never end.
            Event::Arrive { request: Request::Probe | Request::Mark { .. }, .. }
            | Event::Answer { answer: Answer::Probed, .. } => false,
            Event::Arrive { .. }
            | Event::Answer { .. }
            | Event::Open { .. }
            | Event::Wake { .. }
            | Event::Promote { .. } => true,
            _ => false,
        };
        let flows = |link: &Link| {
            let connection = link.connection().map(|connection| &self.connections[connection]);
            connection.is_some_and(|connection| connection.stopped_until.iter().all(|until| *until <= self.now))
        };
        self.links.iter().all(|link| link.is_at_rest() && flows(link)) && !self.events.values().any(travels)
    }

    /// Runs all that is due.
    fn run_due(&mut self) {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Event::Arrive { connection, request } => self.arrive(connection, request),
                Event::Answer { connection, answer, seen } => self.answered(connection, answer, &seen),
                Event::Probe { link, connection } => self.probe(link, connection),
                Event::Errand { link } => self.run_errand(link),
                Event::Promote { primary, master } => self.promote(primary, master),
                Event::Flush { link } => self.flush(link),
                Event::TimeOut { link, item } => self.timed_out(link, item),
                Event::Silence { link, connection } => self.listen(link, connection),
                Event::Open { link } => self.open(link),
                Event::Wake { primary } => self.wake(primary),
                Event::Notice { link, notice } => self.hear(link, &notice),
                Event::Deaf { link } => self.notices.listens_to(link, false),
                Event::Subscribe { link } => self.notices.listens_to(link, true),
            }
        }
    }
}

/// The state, shared by the links, the clients and the driver.
#[derive(Debug)]
pub(super) struct World {
    state: Mutex<State>,
    clock: Clock,
    bell: Notify,
}

impl World {
    pub(super) fn new(state: State, clock: Clock) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(state), clock, bell: Notify::new() })
    }

    pub(super) fn now(&self) -> Micros {
        self.clock.now().as_micros()
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Looks at the state, or changes it, at this moment.
    pub(super) fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = self.now();
        let result = change(&mut state);
        if state.events.first_key_value().is_some_and(|(key, _)| key.0 < state.next_look) {
            state.next_look = 0;
            self.bell.notify_one();
        }
        result
    }

    /// Whether a promise was broken, so that the rest is of no interest.
    pub(super) fn is_over(&self) -> bool {
        self.with(|state| state.checker.violation.is_some())
    }
}

/// Lets things happen when their time has come, to the microsecond: tokio's timers know whole milliseconds, so the last
/// bit of the way to an event the clock is moved by hand.
pub(super) async fn drive(world: Arc<World>) {
    loop {
        let next = world.with(|state| {
            state.run_due();
            let next = state.events.first_key_value().map_or(Micros::MAX, |(key, _)| key.0);
            state.next_look = next;
            next
        });
        // Whoever was woken acts before time goes on.
        tokio::task::yield_now().await;
        let wait_us = next.saturating_sub(world.now());
        if next == Micros::MAX {
            world.bell.notified().await;
        } else if wait_us >= 2_000 {
            let most = Duration::from_millis(wait_us / 1_000 - 1);
            let _ = tokio::time::timeout(most, world.bell.notified()).await;
        } else if wait_us > 0 {
            tokio::time::advance(Duration::from_micros(wait_us)).await;
        }
    }
}
