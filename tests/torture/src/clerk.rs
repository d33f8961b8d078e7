//! Takes, extends and releases locks for a client, writes down what it is told, and holds the proxies to it.

use std::sync::Arc;
use std::time::Duration;

use support::Value;
use support::history::{Answer, GrantId};

use crate::line::{Line, words};
use crate::record::Record;
use crate::score::{Mode, Outcome};

/// What is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wish<'a> {
    /// Milliseconds.
    pub(crate) ttl: u64,
    /// Milliseconds in line; 0 is none.
    pub(crate) wait: u64,
    pub(crate) owner: Option<&'a str>,
    pub(crate) fence: bool,
    pub(crate) session: bool,
    pub(crate) notify: bool,
}

/// What a client holds: one lock, or several with one token.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) keys: Vec<String>,
    pub(crate) token: String,
    grants: Vec<GrantId>,
    /// The last that was told of its validity.
    answer: Answer,
    /// Its token may be worth nothing while the lock is still its owner's.
    is_owned: bool,
}

impl Held {
    /// Whether its holder may rely on it at this moment.
    fn is_certain(&self, now: Duration) -> bool {
        now < self.answer.sent + self.answer.validity
    }
}

/// Why there is no lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missed {
    /// Somebody else holds it.
    Refused,
    /// NOQUORUM.
    Unsettled,
    /// Who knows.
    Away,
}

/// What an extension said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extension {
    Extended,
    Lost,
    Unsettled,
}

/// Whoever asks in the name of one client.
#[derive(Debug, Clone)]
pub(crate) struct Clerk {
    pub(crate) record: Arc<Record>,
    pub(crate) name: String,
    pub(crate) mode: Mode,
}

impl Clerk {
    pub(crate) fn command(&self, keys: &[String], wish: &Wish<'_>) -> Vec<String> {
        let mut command =
            if self.mode == Mode::Several { words(&["RMLOCK", &keys.len().to_string()]) } else { words(&["RLOCK"]) };
        command.extend_from_slice(keys);
        command.push(wish.ttl.to_string());
        if wish.wait > 0 {
            command.extend(["WAIT".to_owned(), wish.wait.to_string()]);
        }
        if let Some(owner) = wish.owner {
            command.extend(words(&["OWNER", owner]));
        }
        let flags = [(wish.fence, "FENCE"), (wish.session, "SESSION"), (wish.notify, "NOTIFY")];
        command.extend(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, word)| word.to_owned()));
        command
    }

    /// Asks for a lock, or for several as one.
    pub(crate) async fn take(&self, line: &mut Line, keys: &[String], wish: &Wish<'_>) -> Result<Held, Missed> {
        let wait = Duration::from_millis(wish.wait);
        let sent = self.record.now();
        let reply = line.ask(&self.record, self.command(keys, wish), wait).await;
        if wish.wait > 0 && reply.is_some() {
            let late = self.record.now().saturating_sub(sent + wait);
            let mut round = self.record.round();
            round.latest = round.latest.max(late);
        }
        self.note(line.proxy, keys, wish, sent, reply.as_ref())
    }

    /// Writes down what a request that was sent then has been answered just now.
    pub(crate) fn note(
        &self,
        proxy: usize,
        keys: &[String],
        wish: &Wish<'_>,
        sent: Duration,
        reply: Option<&Value>,
    ) -> Result<Held, Missed> {
        let arrived = self.record.now();
        let missed = match reply {
            Some(Value::Array(items)) if items.len() == 2 + usize::from(wish.fence) => {
                let held = self.granted(keys, wish, (sent, arrived), items);
                self.record.ended(self.mode, proxy, Outcome::Granted);
                return Ok(held);
            }
            Some(reply) if reply.is_null() => Missed::Refused,
            Some(reply) if reply.is_error_with("NOQUORUM ") => Missed::Unsettled,
            Some(reply) if reply.is_error_with("ERR the proxy is shutting down") => Missed::Away,
            None => Missed::Away,
            Some(other) => {
                self.record.accuse(format!("{:?} was answered by {other:?}", self.command(keys, wish)));
                Missed::Away
            }
        };
        let outcome = match missed {
            Missed::Refused => Outcome::Refused,
            Missed::Unsettled => Outcome::Unsettled,
            Missed::Away => Outcome::Away,
        };
        self.record.ended(self.mode, proxy, outcome);
        Err(missed)
    }

    fn granted(&self, keys: &[String], wish: &Wish<'_>, when: (Duration, Duration), items: &[Value]) -> Held {
        let (sent, arrived) = when;
        let answer = Answer { sent, arrived, validity: milliseconds(&items[1]) };
        let mut history = self.record.history();
        let grants: Vec<GrantId> =
            keys.iter().map(|key| history.granted(self.name.as_str(), key.as_str(), answer)).collect();
        for grant in &grants {
            history.signed(*grant, items[0].text());
        }
        if let Some(number) = items.get(2) {
            let number = number.integer().try_into().expect("a number is positive");
            for grant in &grants {
                history.fenced(*grant, number);
            }
        }
        drop(history);
        Held { keys: keys.to_vec(), token: items[0].text(), grants, answer, is_owned: wish.owner.is_some() }
    }

    /// REXTEND, or RMEXTEND.
    pub(crate) async fn extend(&self, line: &mut Line, held: &mut Held, ttl: u64) -> Extension {
        let command = of_lock(["REXTEND", "RMEXTEND"], held, self.mode, Some(ttl));
        let sent = self.record.now();
        let reply = line.ask(&self.record, command, Duration::ZERO).await;
        let arrived = self.record.now();
        match reply {
            Some(reply @ Value::Integer(_)) => {
                held.answer = Answer { sent, arrived, validity: milliseconds(&reply) };
                let mut history = self.record.history();
                for grant in &held.grants {
                    history.extended(*grant, held.answer);
                }
                Extension::Extended
            }
            Some(reply) if reply.is_null() => {
                self.expect_uncertain(held, arrived, "REXTEND says that it is lost");
                Extension::Lost
            }
            Some(reply) if !reply.is_error_with("NOQUORUM ") => {
                self.record.accuse(format!("REXTEND was answered by {reply:?}"));
                Extension::Unsettled
            }
            Some(_) | None => Extension::Unsettled,
        }
    }

    /// RUNLOCK, or RMUNLOCK.
    pub(crate) async fn release(&self, line: &mut Line, held: &Held) {
        self.give_up(held);
        let command = of_lock(["RUNLOCK", "RMUNLOCK"], held, self.mode, None);
        let reply = line.ask(&self.record, command, Duration::ZERO).await;
        self.released(held, reply);
    }

    /// Looks at what a release was answered.
    pub(crate) fn released(&self, held: &Held, reply: Option<Value>) {
        match reply {
            Some(Value::Integer(count)) if usize::try_from(count) == Ok(held.keys.len()) => {}
            Some(Value::Integer(count)) if (0..64).contains(&count) => {
                self.expect_uncertain(held, self.record.now(), "RUNLOCK says that it was not held");
            }
            Some(reply) if !reply.is_error_with("NOQUORUM ") => {
                self.record.accuse(format!("RUNLOCK was answered by {reply:?}"));
            }
            Some(_) | None => {}
        }
    }

    pub(crate) fn runlock(held: &Held) -> Vec<String> {
        of_lock(["RUNLOCK", "RMUNLOCK"], held, Mode::Plain, None)
    }

    /// Whoever is certain to hold a lock must not be told that it does not.
    fn expect_uncertain(&self, held: &Held, now: Duration, said: &str) {
        if !held.is_owned && held.is_certain(now) {
            let wrong = format!("{} holds {:?} for certain, {:?}, and {said}", self.name, held.keys, held.answer);
            self.record.accuse_with(&wrong, &held.keys);
        }
    }

    /// From now on its holder does not rely on it.
    pub(crate) fn give_up(&self, held: &Held) {
        let now = self.record.now();
        let mut history = self.record.history();
        for grant in &held.grants {
            history.given_up(*grant, now);
        }
    }

    /// A take-over of it has failed: what was told of its validity before stands again.
    pub(crate) fn rely_again(&self, held: &mut Held) {
        let now = self.record.now();
        if held.is_certain(now) {
            let name = format!("{}, again", self.name);
            let answer = Answer { arrived: now, ..held.answer };
            let mut history = self.record.history();
            held.grants = held.keys.iter().map(|key| history.granted(name.as_str(), key.as_str(), answer)).collect();
        }
    }
}

/// A command that names a lock and its token, in its form for one lock or in that for several.
fn of_lock([one, several]: [&str; 2], held: &Held, mode: Mode, ttl: Option<u64>) -> Vec<String> {
    let mut command = match mode {
        Mode::Several => words(&[several, &held.keys.len().to_string()]),
        _ => words(&[one]),
    };
    command.extend_from_slice(&held.keys);
    command.push(held.token.clone());
    command.extend(ttl.map(|ttl| ttl.to_string()));
    command
}

fn milliseconds(validity: &Value) -> Duration {
    Duration::from_millis(validity.integer().try_into().expect("a validity is positive"))
}
