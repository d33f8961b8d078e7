//! From the client to the gate: whose each request is, and what may pass.

use bytes::Buf;

use super::{Gate, Link, Own, Pending, Step, Through};
use crate::command::Effect;
use crate::protocol::{Advance, Beginning, Head, ProtocolError, RequestDelimiter, encode_request};
use crate::router::{self, Destination, SessionMode};
use crate::session::mode::Standing;
use crate::session::{Session, Stage};

impl Session {
    /// Brings the requests that have come as far as they may go.
    pub(in crate::session) fn forward(&mut self, through: &mut Through) {
        through.stirred = false;
        if std::mem::take(&mut through.is_overdue) {
            self.wait_no_longer(through);
        }
        while matches!(self.stage, Stage::Open | Stage::Ended) {
            let step = match through.gate {
                Gate::Open => self.next_request(through),
                Gate::Reading(own) => self.read_own(through, own),
                Gate::Holding(_) => self.hold(through),
                Gate::Asking(_) => Step::Wait,
                Gate::Resetting => self.await_reset(through),
                Gate::Skipping => self.skip(through),
                Gate::Refusing => self.refuse_when_settled(through),
            };
            match step {
                Step::Onward => {}
                Step::Wait => return,
                Step::Starved => {
                    self.starved = true;
                    return;
                }
            }
        }
    }

    fn next_request(&mut self, through: &mut Through) -> Step {
        let unseen = self.input.get(through.cleared..).unwrap_or_default();
        if unseen.is_empty() {
            return Step::Starved;
        }
        if !through.question.is_empty() {
            // It goes behind what is cleared, and in front of what is not.
            return Step::Wait;
        }
        if through.mode.standing() == Standing::Raw {
            through.cleared = self.input.len();
            return Step::Starved;
        }
        if !through.delimiter.is_between_requests() {
            return self.pass_on(through);
        }
        if self.connection.mode() == SessionMode::Unauthenticated {
            return self.read_when_settled(through, Own::Door);
        }
        match RequestDelimiter::beginning(unseen, router::is_word_wanted) {
            Beginning::Starved => Step::Starved,
            // Whether it is one is the server's to say: not every one skips what Redis skips.
            Beginning::Blank(length) if matches!(through.link, Link::Closed) => {
                self.input.advance(length);
                Step::Onward
            }
            Beginning::Blank(_) if self.in_flight > 0 => Step::Wait,
            Beginning::Blank(length) => {
                through.cleared += length;
                Step::Onward
            }
            Beginning::Malformed => match self.reach(through) {
                Some(Step::Onward) => self.go_raw(through),
                Some(step) => step,
                // Nobody else is there to say what is wrong with it.
                None => self.read_when_settled(through, Own::Door),
            },
            Beginning::Request(head) => self.direct(through, &head),
        }
    }

    /// A request begins, and it is known whose it is.
    fn direct(&mut self, through: &mut Through, head: &Head) -> Step {
        let proxied_password = self.service.asks_for_password();
        match router::destination(head, proxied_password) {
            Destination::Door => self.read_when_settled(through, Own::Door),
            Destination::Upstream(Effect::Exec) if through.mode.is_poisoned() && head.words == 1 => {
                self.read_when_settled(through, Own::Exec)
            }
            Destination::Upstream(effect) => self.pass(through, head, effect),
            Destination::Own { lock } => {
                let may_take = self.in_flight < self.service.limits.pipeline_depth
                    && self.replies.unwritten_bytes() <= self.service.limits.buffer_bytes;
                if !through.is_settled() || !may_take || (self.in_flight > 0 && !lock) {
                    through.limit_patience();
                    return Step::Wait;
                }
                match through.mode.standing() {
                    Standing::Normal => self.begin_reading(through, Own::Command),
                    Standing::Closing => {
                        self.starved = true;
                        Step::Wait
                    }
                    standing @ (Standing::Transaction | Standing::Subscribed | Standing::Muted) if lock => {
                        self.begin_reading(through, Own::Misplaced(standing))
                    }
                    // Of the others the upstream says what they are worth there.
                    _ => self.pass(through, head, Effect::None),
                }
            }
        }
    }

    /// A request for the upstream: passes when no lock command is under way, and the connection is open.
    fn pass(&mut self, through: &mut Through, head: &Head, effect: Effect) -> Step {
        if self.in_flight > 0 || through.mode.is_full() {
            return Step::Wait;
        }
        match self.reach(through) {
            Some(Step::Onward) => {}
            Some(step) => return step,
            None => return self.refuse_away(through, head),
        }
        // With more words it is refused, and changes nothing.
        let effect = if effect == Effect::Reset && head.words != 1 { Effect::None } else { effect };
        through.mode.sent(effect);
        self.relayed += 1;
        match effect {
            Effect::Authenticate | Effect::Hello(_) => {
                through.admission.passed = false;
                through.admission.authenticated |= effect == Effect::Authenticate || head.words > 2;
            }
            Effect::Reset => {
                through.admission.passed = false;
                through.admission.is_resetting = true;
            }
            _ => {}
        }
        self.pass_on(through)
    }

    /// What there is of the request that has begun is cleared.
    fn pass_on(&mut self, through: &mut Through) -> Step {
        let unseen = self.input.get(through.cleared..).unwrap_or_default();
        match through.delimiter.advance(unseen) {
            Advance::Inside => {
                through.cleared = self.input.len();
                Step::Starved
            }
            Advance::Ended(length) => {
                through.cleared += length;
                let is_resetting = std::mem::take(&mut through.admission.is_resetting);
                // Only who has something to say behind it waits for its answer.
                if is_resetting && (self.service.asks_for_password() || !through.upstreams.introduction().is_empty()) {
                    through.gate = Gate::Resetting;
                }
                Step::Onward
            }
            Advance::Malformed => self.go_raw(through),
            Advance::TooLong => {
                through.gate = Gate::Refusing;
                through.mode.retract();
                Step::Onward
            }
        }
    }

    /// Opens the connection if need be. `None`: it cannot be opened.
    fn reach(&mut self, through: &mut Through) -> Option<Step> {
        match through.link {
            Link::Open(_) => Some(Step::Onward),
            Link::Opening(_) | Link::Lost { .. } => Some(Step::Wait),
            Link::Closed if through.down.is_some() => None,
            Link::Closed => {
                through.open(&self.connection);
                Some(Step::Wait)
            }
        }
    }

    /// The client's bytes cannot be understood: the upstream gets them as they are, and says what is wrong with them.
    fn go_raw(&mut self, through: &mut Through) -> Step {
        if self.in_flight > 0 {
            return Step::Wait;
        }
        tracing::debug!("what the client sends is no request: it is passed on as it is");
        through.mode.give_up();
        Step::Onward
    }

    /// What stands behind a RESET is another matter, or not, by what the upstream says to it.
    fn await_reset(&mut self, through: &mut Through) -> Step {
        let was_reset = through.mode.take_reset();
        if through.cleared > 0 || (through.mode.owes() && !was_reset) {
            through.limit_patience();
            return Step::Wait;
        }
        through.gate = Gate::Open;
        if !was_reset {
            return Step::Onward;
        }
        self.connection.reset();
        self.tenancy.reset();
        through.show_credentials()
    }

    fn read_when_settled(&mut self, through: &mut Through, own: Own) -> Step {
        if !through.is_settled() || self.in_flight > 0 {
            through.limit_patience();
            return Step::Wait;
        }
        self.begin_reading(through, own)
    }

    fn begin_reading(&mut self, through: &mut Through, own: Own) -> Step {
        // Whatever has come from the upstream is older than what will be said about this.
        self.take_over_replies(through);
        through.deadline = None;
        through.gate = Gate::Reading(own);
        Step::Onward
    }

    fn read_own(&mut self, through: &mut Through, own: Own) -> Step {
        let limits = self.request_limits();
        match self.decoder.decode(&mut self.input, &limits) {
            Ok(Some(request)) => {
                through.gate = Gate::Open;
                self.take_own(through, own, request);
                Step::Onward
            }
            Ok(None) => Step::Starved,
            Err(error) => {
                self.refuse_input(error);
                Step::Wait
            }
        }
    }

    /// A command of ours cannot do without the upstream's word, as long as that can be had.
    fn hold(&mut self, through: &mut Through) -> Step {
        let reached = self.reach(through);
        if let Some(Step::Wait | Step::Starved) = reached {
            return Step::Wait;
        }
        let Gate::Holding(pending) = std::mem::replace(&mut through.gate, Gate::Open) else { return Step::Onward };
        let is_known = through.admission.passed && !through.mode.is_in_doubt() && !matches!(pending, Pending::Merge(_));
        match reached {
            Some(_) if is_known => self.act(through, pending),
            Some(_) => self.ask(through, pending),
            None => self.decide_away(through, pending),
        }
        Step::Onward
    }

    /// Throws away what there is of a refused request.
    fn skip(&mut self, through: &mut Through) -> Step {
        match through.delimiter.advance(&self.input) {
            Advance::Inside => {
                self.input.clear();
                Step::Starved
            }
            Advance::Ended(length) => {
                self.input.advance(length);
                through.gate = Gate::Open;
                Step::Onward
            }
            Advance::Malformed | Advance::TooLong => {
                self.refuse_input(ProtocolError::BulkLength);
                Step::Wait
            }
        }
    }

    fn refuse_when_settled(&mut self, through: &mut Through) -> Step {
        if through.mode.owes() || through.in_part {
            return Step::Wait;
        }
        self.take_over_replies(through);
        self.refuse_input(ProtocolError::BulkLength);
        Step::Wait
    }
}

impl Through {
    /// `RESET` has taken the configured credentials away.
    fn show_credentials(&mut self) -> Step {
        let script = self.upstreams.introduction();
        if script.is_empty() {
            return Step::Onward;
        }
        self.gate = Gate::Asking(super::Question::Credentials(script.len()));
        for words in script {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            encode_request(&words, &mut self.question);
            self.mode.asked(false);
        }
        Step::Wait
    }
}
