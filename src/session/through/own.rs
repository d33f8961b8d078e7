//! Commands of the proxy's own, where there is an upstream: what has to be asked before they run, and what is answered.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use super::{Gate, Link, NONCE_BYTES, Own, Pending, Question, Through};
use crate::command::table::LocalCommand;
use crate::command::{CommandError, LockCommand};
use crate::coordinator::{Entropy, SystemEntropy};
use crate::local;
use crate::protocol::{Reply, Request, encode_request};
use crate::relay::Demand;
use crate::router::{self, Route, SessionMode};
use crate::session::lock_reply::shutting_down;
use crate::session::mode::Standing;
use crate::session::{Session, Stage};

impl Session {
    /// A command of ours has come whole.
    pub(super) fn take_own(&mut self, through: &mut Through, own: Own, request: Request) {
        match own {
            Own::Command => self.take_command(through, request),
            Own::Misplaced(standing) => self.refuse_misplaced(through, standing, request),
            Own::Exec => {
                through.gate = Gate::Asking(Question::Discard);
                encode_request(&[b"DISCARD"], &mut through.question);
                through.mode.asked(false);
            }
            Own::Door => self.answer_at_the_door(through, request),
            Own::Greeting => self.greet(through, request),
        }
    }

    fn take_command(&mut self, through: &mut Through, request: Request) {
        let pending = match router::route(
            request,
            SessionMode::Open,
            self.connection.version(),
            &self.service.command_limits(),
        ) {
            Route::Lock(command) => Pending::Lock(command),
            // The order of checks is Redis': the number of arguments before the password, and that before the rest.
            Route::Refuse(error @ CommandError::Arity(_)) => return self.act(through, Pending::Mistake(error)),
            Route::Refuse(error) => Pending::Mistake(error),
            Route::Local(request) if request.command == LocalCommand::Info => Pending::Info(request),
            Route::Local(request) => match local::Question::of(&request) {
                Ok(local::Question::Known(reply)) => return self.reply(&reply),
                Ok(local::Question::Ask(merge)) => Pending::Merge(merge),
                Err(error) => Pending::Mistake(error),
            },
            Route::Close => return,
        };
        let knows = through.admission.passed || self.service.asks_for_password();
        if matches!(pending, Pending::Merge(_)) || !knows || through.mode.is_in_doubt() {
            through.gate = Gate::Holding(pending);
        } else {
            self.act(through, pending);
        }
    }

    /// Asks the upstream what has to be known before this may run. The connection is open.
    pub(super) fn ask(&mut self, through: &mut Through, pending: Pending) {
        if let Pending::Merge(merge) = pending {
            merge.encode(&mut through.question);
            through.mode.asked(false);
            through.gate = Gate::Asking(Question::Merge(merge));
            return;
        }
        let nonce = fence(&mut through.question);
        self.service.counters.relay_fences.increment();
        through.mode.asked(true);
        through.deadline = Some(through.upstreams.time_to_answer());
        through.gate = Gate::Asking(Question::Fence { nonce, pending });
    }

    /// Runs it.
    pub(super) fn act(&mut self, through: &mut Through, pending: Pending) {
        self.take_over_replies(through);
        let now = self.service.clock.now();
        match pending {
            Pending::Lock(command) if command.takes() && self.service.drain.has_begun() => {
                self.reply(&shutting_down());
            }
            Pending::Lock(LockCommand::Rprimaries) => self.reply(&local::primaries(&self.service.environment(now))),
            Pending::Lock(command) => self.enter(command, now),
            Pending::Mistake(error) => {
                self.service.counters.count_error(error.kind());
                self.reply(&error.into());
            }
            Pending::Info(request) => self.answer_locally(&request),
            Pending::Merge(merge) => {
                if let Some(reply) = merge.alone() {
                    self.reply(&reply);
                }
            }
        }
    }

    /// The answer to what was asked has come whole; `passed` when it is the fence's own word.
    pub(super) fn answered(&mut self, through: &mut Through, answer: &[u8], passed: bool) {
        let Gate::Asking(question) = std::mem::replace(&mut through.gate, Gate::Open) else { return };
        through.deadline = None;
        match question {
            Question::Fence { pending, .. } if passed => {
                through.admission.passed = true;
                if !through.admission.authenticated {
                    through.upstreams.note_demand(Demand::Nothing);
                }
                self.act(through, pending);
            }
            Question::Fence { pending, .. } => self.refuse_by(through, answer, &pending),
            Question::Merge(merge) => {
                let merged = merge.merge(answer, through.mode.version());
                self.take_over_replies(through);
                self.replies.push_bytes(&merged);
            }
            Question::Discard => {
                through.mode.discarded();
                self.take_over_replies(through);
                self.reply(&Reply::Error("EXECABORT Transaction discarded because of previous errors.".into()));
            }
            Question::Credentials(_) if answer.starts_with(b"-") => {
                tracing::warn!(
                    answer = %answer.escape_ascii(),
                    "the upstream refuses its configured credentials on a connection that had them"
                );
                self.lose_upstream(through);
            }
            Question::Credentials(left @ 2..) => through.gate = Gate::Asking(Question::Credentials(left - 1)),
            Question::Credentials(_) => {}
        }
    }

    /// The upstream does not let this connection ask; its own words are the answer.
    fn refuse_by(&mut self, through: &mut Through, answer: &[u8], pending: &Pending) {
        if answer.starts_with(b"-NOAUTH") {
            through.upstreams.note_demand(Demand::Password);
            self.service.counters.errors_auth.increment();
        }
        self.take_over_replies(through);
        match pending {
            Pending::Lock(command) if answer.starts_with(b"-ERR Can't execute") => {
                self.reply(&not_in_subscription(command.name()));
            }
            _ => self.replies.push_bytes(answer),
        }
    }

    /// A lock command where it makes no sense.
    fn refuse_misplaced(&mut self, through: &mut Through, standing: Standing, request: Request) {
        if standing == Standing::Muted {
            through.mode.swallow();
            // Not run, nothing written; but what was to be skipped has been.
            if through.mode.skips_next() && matches!(through.link, Link::Open(_)) {
                fence(&mut through.question);
                through.mode.skipped();
            }
            return;
        }
        let name = request.arguments.first().map(|name| String::from_utf8_lossy(name).to_ascii_lowercase());
        let reply = match router::route(
            request,
            SessionMode::Open,
            self.connection.version(),
            &self.service.command_limits(),
        ) {
            // The number of arguments comes before where the command stands, as in Redis.
            Route::Refuse(error @ CommandError::Arity(_)) => error.into(),
            _ if standing == Standing::Transaction => {
                Reply::Error("ERR Command not allowed inside a transaction".into())
            }
            _ => not_in_subscription(&name.unwrap_or_default()),
        };
        if standing == Standing::Transaction {
            through.mode.poison();
        }
        self.service.counters.errors_syntax.increment();
        self.reply(&reply);
    }

    /// A client that has to tell the proxy's password, or tells it.
    fn answer_at_the_door(&mut self, through: &mut Through, request: Request) {
        let is_hello = request.arguments.first().is_some_and(|name| name.eq_ignore_ascii_case(b"hello"));
        let words = is_hello.then(|| request.arguments.clone());
        match router::route(request, self.connection.mode(), self.connection.version(), &self.service.command_limits())
        {
            Route::Local(request) => {
                let now = self.service.clock.now();
                let answer = local::answer(&request, &mut self.connection, &self.service.environment(now));
                let is_refused = matches!(answer.reply, Reply::Error(_));
                match words {
                    // The upstream has to hear of the protocol as well, and its own answer is the better one.
                    Some(words) if !is_refused && matches!(through.link, Link::Open(_)) => {
                        self.pass_hello(through, &words);
                    }
                    _ => {
                        self.reply(&answer.reply);
                        if answer.close {
                            self.tenancy.close();
                            self.stage = Stage::Stopped;
                        }
                    }
                }
            }
            Route::Refuse(error) => {
                let error = match error {
                    // Which commands there are is the upstream's to know.
                    CommandError::UnknownCommand { .. } | CommandError::UnknownSubcommand { .. } => {
                        CommandError::NoAuthentication
                    }
                    error => error,
                };
                self.act(through, Pending::Mistake(error));
            }
            Route::Lock(command) => through.gate = Gate::Holding(Pending::Lock(command)),
            Route::Close => self.stage = Stage::Stopped,
        }
    }

    /// `HELLO` without the password that was meant for the proxy.
    fn pass_hello(&mut self, through: &mut Through, words: &[Bytes]) {
        let mut kept: Vec<&[u8]> = Vec::new();
        let mut rest = words;
        while let [word, behind @ ..] = rest {
            let is_password = kept.len() >= 2 && word.eq_ignore_ascii_case(b"auth");
            if is_password {
                rest = behind.get(2..).unwrap_or_default();
            } else if kept.len() >= 2 && word.eq_ignore_ascii_case(b"setname") {
                kept.extend(rest.get(..2).unwrap_or(rest).iter().map(AsRef::as_ref));
                rest = behind.get(1..).unwrap_or_default();
            } else {
                kept.push(word);
                rest = behind;
            }
        }
        encode_request(&kept, &mut through.question);
        through.mode.sent(crate::command::Effect::Hello(Some(self.connection.version())));
    }
}

/// Appends an `ECHO` of a word that nobody else can say; returns the word.
fn fence(out: &mut BytesMut) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    for (digits, byte) in nonce.chunks_exact_mut(2).zip(SystemEntropy.token_bytes()) {
        for (digit, half) in digits.iter_mut().zip([byte >> 4, byte & 0x0f]) {
            *digit = char::from_digit(half.into(), 16).map_or(b'0', |digit| digit as u8);
        }
    }
    encode_request(&[b"ECHO", &nonce], out);
    nonce
}

fn not_in_subscription(name: &str) -> Reply {
    Reply::Error(Cow::Owned(format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    )))
}
