//! How a link is opened, given up, and opened anew.

use std::sync::Arc;

use redlock_proxy::coordinator::Trouble;
use redlock_proxy::primary::Succession;

use super::canaries::Canary;
use super::fences;
use super::history::Actor;
use super::link::{Phase, SILENCE_TIMEOUT, Sent};
use super::network::{Event, Request, State};

impl State {
    /// Ends the former connections, one after the other; then the link is up.
    pub(super) fn succeed(&mut self, link: usize, connection: usize) {
        let run = Arc::clone(&self.links[link].run);
        if let Some(id) = self.links[link].succession.next_to_kill(&run) {
            self.links[link].phase = Phase::Killing(connection, id);
            self.send(connection, Request::Kill(id));
        } else {
            let late = self.random.between(0, self.clock_error);
            let shown = self.primaries[self.links[link].primary].wall_clock(self.now) - late;
            self.links[link].clock_seen = Some((shown, self.now));
            self.links[link].phase = Phase::Up(connection);
            self.begin_to_probe(link, connection);
            self.flush(link);
        }
    }

    pub(super) fn open(&mut self, link: usize) {
        let Some(connection) = self.connect(link) else {
            let at = self.now + self.random.between(5_000, 30_000);
            return self.schedule(at, Event::Open { link });
        };
        self.links[link].phase = Phase::Greeting(connection, self.now);
        self.links[link].quiet_since = self.now;
        self.send(connection, Request::Hello);
        self.listen_on(link, connection);
    }

    pub(super) fn listen_on(&mut self, link: usize, connection: usize) {
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
        if this.is_owed() && !matches!(this.phase, Phase::Greeting(..)) && self.canary != Some(Canary::NoKill) {
            if self.canary == Some(Canary::OnlyTheLastKilled) {
                this.succession = Succession::default();
            }
            this.succession.bury(i64::try_from(connection).expect("few connections"), &this.run);
        }
        let was_admitted = !matches!(this.phase, Phase::Greeting(..));
        this.phase = Phase::Down;
        this.listening = false;
        this.flushing = false;
        let unanswered = std::mem::take(&mut this.sent);
        let waiting = std::mem::take(&mut this.queue);
        for sent in unanswered {
            let Sent::Item(mut item) = sent else { continue };
            if let Some(ballot) = item.ballot.take() {
                fences::silent(ballot, &item.work, Trouble::ConnectionLost, self.canary);
            }
            if item.is_owed() {
                self.links[link].queue.push_back(*item);
            }
        }
        for item in waiting {
            self.refuse(link, item);
        }
        if was_admitted {
            self.forsake(link);
        }
        let at = self.now + self.random.between(2_000, 40_000);
        self.schedule(at, Event::Open { link });
    }
}
