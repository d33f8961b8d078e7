//! What goes wrong, and where: foul weather on the way to a primary, slow ways, a primary that stalls or is short of memory,
//! a connection that breaks, a primary that nobody reaches, a proxy that is cut off from most of them.

use super::history::Actor;
use super::network::{Direction, Event, State};
use super::primary::Micros;

impl State {
    /// When a message sent now arrives.
    pub(super) fn arrival(&mut self, connection: usize, direction: Direction) -> Micros {
        let link = self.connections[connection].link;
        let mut delay = self.distance[link] + self.random.between(0, self.distance[link]);
        if self.stormy && self.random.percent(1) {
            delay += self.random.between(10_000, 250_000);
        } else if self.late_messages > 0 && self.random.percent(self.late_messages) {
            delay += self.random.between(1_000, 20_000);
        }
        if let Some((until, by)) = self.slow[link]
            && until > self.now
        {
            delay += by;
        }
        let foul_until = self.foul_until[link];
        let stops = foul_until > self.now && self.random.percent(30);
        let longer = if stops { self.random.between(0, 400_000) } else { 0 };
        let connection = &mut self.connections[connection];
        let (last, stopped_until) = match direction {
            Direction::ToPrimary => (&mut connection.last[0], &mut connection.stopped_until[0]),
            Direction::ToProxy => (&mut connection.last[1], &mut connection.stopped_until[1]),
        };
        if stops {
            *stopped_until = (*stopped_until).max(foul_until + longer);
        }
        *last = (*last).max(self.now + delay).max(*stopped_until + delay);
        *last
    }

    /// Something goes wrong somewhere.
    pub(super) fn misfortune(&mut self) {
        self.stormy = true;
        let link = self.random.below(self.links.len());
        let primary = self.links[link].primary;
        if let Some(forgetting) = self.forgetting {
            if self.random.percent(30) {
                let saved = self.random.below(self.primaries.len());
                self.primaries[saved].save();
            }
            if self.random.percent(30) {
                return self.forgetfulness(forgetting, link);
            }
        }
        match self.random.between(0, 99) {
            0..=35 => {
                let lasts = self.random.between(50_000, 900_000);
                self.foul_until[link] = self.now + lasts;
            }
            36..=39 => self.fill_up(primary),
            40..=54 => self.slow_down(self.links[link].proxy),
            55..=66 => self.stall(primary),
            67..=79 => self.reset(link),
            80..=84 => self.isolate(primary),
            85..=89 => self.deafen(link),
            _ => self.cut_off(self.links[link].proxy),
        }
    }

    /// No new trouble begins; what is late still arrives late.
    pub(super) fn heal(&mut self) {
        self.stormy = false;
        self.slow.iter_mut().for_each(|slow| *slow = None);
        self.foul_until.iter_mut().for_each(|until| *until = 0);
        self.health.iter_mut().for_each(|health| health.full_until = 0);
    }

    /// Longer than a primary is waited for, shorter than the silence after which a link is given up.
    fn slow_down(&mut self, proxy: usize) {
        let lasts = self.random.between(50_000, 500_000);
        for link in 0..self.links.len() {
            if self.links[link].proxy == proxy && self.random.percent(60) {
                let by = self.random.between(5_000, 55_000);
                self.slow[link] = Some((self.now + lasts, by));
            }
        }
    }

    fn stall(&mut self, primary: usize) {
        let lasts = self.random.between(20_000, 500_000);
        self.checker.history.add_event(self.now, Actor::Primary(primary), "stalls, us:", lasts);
        let until = &mut self.health[primary].stalled_until;
        *until = (*until).max(self.now + lasts);
        let until = *until;
        self.schedule(until, Event::Wake { primary });
    }

    fn fill_up(&mut self, primary: usize) {
        let lasts = self.random.between(50_000, 500_000);
        self.checker.history.add_event(self.now, Actor::Primary(primary), "has little memory left, us:", lasts);
        self.health[primary].full_until = self.now + lasts;
    }

    fn reset(&mut self, link: usize) {
        if let Some(connection) = self.links[link].connection() {
            self.connections[connection].severed = self.random.percent(50);
            self.lose(link);
        }
    }

    /// Nobody can reach the primary for a while; it forgets nothing.
    fn isolate(&mut self, primary: usize) {
        let lasts = self.random.between(50_000, 400_000);
        self.checker.history.add_event(self.now, Actor::Primary(primary), "is isolated, us:", lasts);
        self.health[primary].unreachable_until = self.now + lasts;
        for link in 0..self.links.len() {
            if self.links[link].primary == primary {
                self.foul_until[link] = self.now + lasts;
                if self.random.percent(50) { self.reset(link) } else { self.stop(link) }
            }
        }
    }

    /// A proxy reaches few primaries for a while.
    fn cut_off(&mut self, proxy: usize) {
        let lasts = self.random.between(50_000, 400_000);
        self.checker.history.add_event(self.now, Actor::Proxy(proxy), "is cut off, us:", lasts);
        for link in 0..self.links.len() {
            if self.links[link].proxy == proxy && self.random.percent(70) {
                self.foul_until[link] = self.now + lasts;
                self.stop(link);
            }
        }
    }

    fn stop(&mut self, link: usize) {
        if let Some(connection) = self.links[link].connection() {
            let until = self.foul_until[link];
            self.connections[connection].stopped_until = [until; 2];
        }
    }
}
