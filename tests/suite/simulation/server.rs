//! What goes on at a primary: requests arrive, wait while it stalls, are run one by one, each with a look at the marker and
//! the clock right behind it, and are answered.

use super::history::Actor;
use super::link::is_grant;
use super::network::{Connection, Direction, Event, Request, State};
use super::primary::Answer;

impl State {
    pub(super) fn arrive(&mut self, connection: usize, request: Request) {
        let link = self.connections[connection].link;
        let health = &mut self.health[self.links[link].primary];
        if health.stalled_until > self.now || !health.backlog.is_empty() {
            health.backlog.push((connection, request));
        } else {
            self.execute(connection, &request);
        }
    }

    fn execute(&mut self, connection: usize, request: &Request) {
        let Connection { link, killed_at, given_up, severed, .. } = self.connections[connection];
        if severed {
            return;
        }
        if killed_at.is_some_and(|killed_at| killed_at <= self.now) {
            self.incidents.bytes_of_the_killed += 1;
            return;
        }
        let primary = self.links[link].primary;
        let answer = match request {
            Request::Hello => Answer::Hello,
            Request::Kill(id) => self.kill(*id),
            Request::Probe => Answer::Probed,
            Request::Mark { found, marker } => {
                if self.primaries[primary].mark(found.as_ref(), marker) {
                    let proxy = self.links[link].proxy as u64;
                    let what = if marker.ends_with(b"sound") { "is marked sound by" } else { "is marked forgot by" };
                    self.checker.history.add_event(self.now, Actor::Primary(primary), what, proxy);
                }
                Answer::Probed
            }
            Request::Work(_) if self.primaries[primary].is_replica => Answer::ReadOnly,
            Request::Work(work) => {
                self.incidents.late_requests += u64::from(given_up);
                let has_room = !work.sets() || self.health[primary].full_until <= self.now || self.random.percent(50);
                let (answer, what) = if has_room {
                    self.primaries[primary].execute(self.now, work)
                } else {
                    (Answer::OutOfMemory, "out of memory")
                };
                if is_grant(&answer) {
                    self.fences.recorded(primary, work.token());
                }
                let (key, token, proxy) = (work.key(), work.token(), self.links[link].proxy as u64);
                self.checker.history.add(self.now, key, Actor::Primary(primary), what, token, Some(proxy));
                if let Some(notice) = work.notice() {
                    self.publish(primary, notice);
                }
                answer
            }
        };
        let seen = self.primaries[primary].seen(self.now);
        let at = self.arrival(connection, Direction::ToProxy);
        self.schedule(at, Event::Answer { connection, answer, seen });
    }

    /// Ends a connection. It goes on for a moment with what the primary has already read of it; until then, a further
    /// kill finds it again.
    fn kill(&mut self, id: i64) -> Answer {
        let connection = usize::try_from(id).ok().and_then(|index| self.connections.get_mut(index));
        let Some(connection) = connection else {
            return Answer::Killed(0);
        };
        let lingers = self.random.between(0, 3_000);
        let killed_at = *connection.killed_at.get_or_insert_with(|| {
            self.incidents.kills += 1;
            self.now + lingers
        });
        Answer::Killed(i64::from(killed_at > self.now))
    }

    pub(super) fn wake(&mut self, primary: usize) {
        if self.health[primary].stalled_until > self.now {
            return;
        }
        let mut backlog = std::mem::take(&mut self.health[primary].backlog);
        while !backlog.is_empty() {
            let connection = backlog[self.random.below(backlog.len())].0;
            let (its, others) = backlog.into_iter().partition(|(other, _)| *other == connection);
            backlog = others;
            let its: Vec<(usize, Request)> = its;
            for (connection, request) in &its {
                self.execute(*connection, request);
            }
        }
    }
}
