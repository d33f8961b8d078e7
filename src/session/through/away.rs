//! While the upstream is away: locks go on, clients may connect, and everything else is told so at once.

use super::{Gate, Own, Pending, Question, Step, Through};
use crate::command::CommandError;
use crate::protocol::{Head, Reply, Request, Version};
use crate::relay::{Demand, OpenError};
use crate::router::{self, Route, SessionMode};
use crate::session::{Session, Stage};

impl Session {
    /// A request for the upstream, which cannot be reached.
    pub(super) fn refuse_away(&mut self, through: &mut Through, head: &Head) -> Step {
        let is_rejected = through.down.as_ref().is_some_and(OpenError::is_rejection);
        if is_greeting(head) && !is_rejected {
            through.gate = Gate::Reading(Own::Greeting);
        } else {
            self.say_away(through);
            through.gate = Gate::Skipping;
            let was_promised =
                self.connection.version() != Version::default() || !self.connection.client().details().name.is_empty();
            if is_rejected && was_promised {
                // It is there, and does not let this connection be what the client believes that it is.
                self.stage = Stage::Stopped;
            }
        }
        Step::Onward
    }

    /// What a client says on connecting is answered as if there were no upstream, unless a password is due.
    pub(super) fn greet(&mut self, through: &mut Through, request: Request) {
        let is_quit = request.arguments.first().is_some_and(|name| name.eq_ignore_ascii_case(b"quit"));
        if through.upstreams.demand() == Demand::Password && !is_quit && !self.service.asks_for_password() {
            return self.act(through, Pending::Mistake(CommandError::NoAuthentication));
        }
        match router::route(request, SessionMode::Open, self.connection.version(), &self.service.command_limits()) {
            Route::Local(request) => self.answer_locally(&request),
            Route::Refuse(error) => self.act(through, Pending::Mistake(error)),
            Route::Lock(_) | Route::Close => {}
        }
    }

    /// A command of ours, for which the upstream should have been asked. Who has a password to tell could not have told
    /// it: so it runs only where the upstream is known to demand none.
    pub(super) fn decide_away(&mut self, through: &mut Through, pending: Pending) {
        let is_known = self.service.asks_for_password();
        let demand = if is_known { Demand::Nothing } else { through.upstreams.demand() };
        match pending {
            Pending::Merge(merge) => match merge.alone().filter(|_| demand != Demand::Password) {
                Some(reply) => self.reply(&reply),
                None => self.say_away(through),
            },
            pending @ Pending::Info(_) if demand != Demand::Password => self.act(through, pending),
            pending if demand == Demand::Nothing => self.act(through, pending),
            _ => self.say_away(through),
        }
    }

    /// The upstream has not said in time what had to be known. Its connection is given up: an answer that came after all
    /// would find nobody, and where replies cannot be counted none may ever come.
    pub(super) fn wait_no_longer(&mut self, through: &mut Through) {
        let is_waiting = match std::mem::replace(&mut through.gate, Gate::Open) {
            Gate::Asking(Question::Fence { pending, .. }) => {
                if !through.mode.is_in_doubt() && !through.mode.owes_before_last() && !through.in_part {
                    self.take_over_replies(through);
                    through.down = Some(through.upstreams.silence());
                    self.decide_away(through, pending);
                }
                true
            }
            gate => {
                through.gate = gate;
                through.mode.has_lost_count() && !through.is_settled()
            }
        };
        if is_waiting {
            tracing::debug!("the upstream does not say what is waited for");
            self.lose_upstream(through);
        }
    }

    fn say_away(&mut self, through: &mut Through) {
        let text = through.down.as_ref().map_or_else(|| "UPSTREAMDOWN".to_owned(), ToString::to_string);
        self.reply(&Reply::Error(text.into()));
    }
}

/// What clients say on connecting, as far as the proxy can answer it.
fn is_greeting(head: &Head) -> bool {
    match head.word(0) {
        b"hello" => head.words <= 4 && head.word(2) != b"auth",
        b"client" => matches!(head.word(1), b"setname" | b"setinfo" | b"id" | b"getname"),
        b"select" => head.words == 2 && head.word(1) == b"0",
        b"ping" | b"quit" => true,
        _ => false,
    }
}
