//! How primaries forget: they start again with nothing or from an old snapshot, are flushed, follow another for a while, and
//! their clocks are moved. And how a proxy forgets what it knew of them.

use super::history::Actor;
use super::link::Link;
use super::network::{Event, State};
use super::primary::Micros;

/// What may be forgotten in a world. A step that nobody else has marked yet is not seen by a proxy that starts then: the
/// contract excepts that, so one world has steps, and another has proxies that start anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forgetting {
    Steps,
    Crashes,
}

impl State {
    /// Some primary forgets, or some proxy.
    pub(super) fn forgetfulness(&mut self, forgetting: Forgetting, link: usize) {
        let Link { primary, proxy, .. } = self.links[link];
        match self.random.between(0, 99) {
            0..=19 => self.restart(primary, false),
            20..=44 => self.restart(primary, true),
            45..=64 => self.flush_all(primary),
            65..=74 => self.demote(primary),
            _ if forgetting == Forgetting::Crashes => self.crash(proxy),
            75..=79 => {
                let by = -i64::try_from(self.random.between(10_000, 500_000)).expect("short");
                self.step(primary, by);
            }
            80..=83 => {
                let by = self.step_forward();
                let several = self.random.between(2, self.primaries.len() as u64);
                for number in 0..several {
                    let primary = (primary + usize::try_from(number).expect("few")) % self.primaries.len();
                    self.step(primary, by);
                }
            }
            _ => {
                let by = self.step_forward();
                self.step(primary, by);
            }
        }
    }

    /// A second to an hour.
    fn step_forward(&mut self) -> i64 {
        let longest = self.random.pick(&[1_000_000, 5_000_000, 3_600_000_000]);
        i64::try_from(self.random.between(1_000_000, longest)).expect("short")
    }

    pub(super) fn restart(&mut self, primary: usize, from_snapshot: bool) {
        let what = if from_snapshot { "starts from its snapshot" } else { "starts empty" };
        self.forget(primary, what);
        self.primaries[primary].restart(self.now, from_snapshot);
        self.health[primary].stalled_until = self.now;
        self.health[primary].backlog.clear();
        if self.random.percent(50) {
            self.health[primary].unreachable_until = self.now + self.random.between(1_000, 200_000);
        }
        for connection in &mut self.connections {
            let is_its = self.links[connection.link].primary == primary;
            connection.severed |= is_its;
        }
        for link in 0..self.links.len() {
            // The others find out by the silence.
            if self.links[link].primary == primary && self.random.percent(70) {
                self.lose(link);
            }
        }
    }

    pub(super) fn flush_all(&mut self, primary: usize) {
        self.forget(primary, "is flushed");
        self.primaries[primary].flush(self.now);
    }

    /// Moves a clock, by microseconds. All proxies must have seen it before: who sees it for the first time sees no step.
    pub(super) fn step(&mut self, primary: usize, by: i64) {
        let mut links = self.links.iter().filter(|link| link.primary == primary);
        if links.any(|link| link.run.is_empty()) {
            return;
        }
        let what = if by < 0 { "has its clock set back, us:" } else { "has its clock set forward, us:" };
        self.checker.history.add_event(self.now, Actor::Primary(primary), what, by.unsigned_abs());
        self.primaries[primary].step(self.now, by);
        self.incidents.steps += 1;
    }

    /// It becomes a replica, and forgets what it knew for what its master does.
    pub(super) fn demote(&mut self, primary: usize) {
        let others = self.primaries.len() - 1;
        let master = (primary + 1 + self.random.below(others)) % self.primaries.len();
        self.primaries[primary].is_replica = true;
        self.checker.history.add_event(self.now, Actor::Primary(primary), "becomes a replica of", master as u64);
        let at = self.now + self.random.between(20_000, 600_000);
        self.schedule(at, Event::Promote { primary, master });
    }

    pub(super) fn promote(&mut self, primary: usize, master: usize) {
        if !self.primaries[primary].is_replica {
            // It was started again meanwhile.
            return;
        }
        self.forget(primary, "is a primary again");
        self.primaries[primary].is_replica = false;
        if self.primaries[master].is_marked() {
            let [primary, master] = self.primaries.get_disjoint_mut([primary, master]).expect("two of them");
            primary.copy(self.now, master);
        } else {
            // Its master had just copied it itself, or has nothing.
            self.primaries[primary].flush(self.now);
        }
    }

    /// The proxy's process ends: all that it knew is gone, and what it owed. Another one is to take its place.
    pub(super) fn crash(&mut self, proxy: usize) {
        let life = self.censuses.lives[proxy];
        self.checker.history.add_event(self.now, Actor::Proxy(proxy), "ends, after so many former lives:", life);
        for link in 0..self.links.len() {
            if self.links[link].proxy == proxy {
                self.lose(link);
                self.links[link].begin_anew();
                let at = self.now + self.random.between(5_000, 50_000);
                self.schedule(at, Event::Subscribe { link });
            }
        }
        self.censuses.forget(proxy);
        self.censuses.lives[proxy] += 1;
        self.order.forget(proxy);
        self.ended.push(proxy);
        self.ended_at = Some(self.now);
    }

    fn forget(&mut self, primary: usize, what: &'static str) {
        self.incidents.losses += 1;
        self.checker.history.add_event(self.now, Actor::Primary(primary), what, 0);
        self.fences.counters_lost(self.now);
    }

    /// Whether a record may lie on the primary to which nobody has a right.
    pub(super) fn may_be_haunted(&self, primary: usize, longest_ttl: Micros) -> bool {
        // What a proxy owed nobody withdraws after its end, and its last requests may arrive late.
        let ended_at = self.ended_at.map(|at| at + longest_ttl);
        let forgot_at = self.primaries[primary].forgot_at.max(ended_at);
        forgot_at.is_some_and(|at| at + longest_ttl > self.now)
    }
}
