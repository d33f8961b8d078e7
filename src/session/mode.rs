//! What state a client's connection to the upstream is in, and what the upstream owes it.
//!
//! A client that sends `MULTI` is not in a transaction: it is when the upstream says `+OK`. So the mode is fed twice:
//! with every command that goes to the upstream, and with every reply that comes back; only the second changes what the
//! connection *is*. In between stands the line of what is owed, one place per reply, by which each reply finds its
//! command. The one exception are replies that were switched off: what is not answered counts as done when it is sent.
//!
//! The count is exact as long as the upstream answers as Redis does. Where it may not (a transaction in which somebody
//! subscribed, commands without replies) the mode is in *doubt*, and a fence has to tell when all has been answered: an
//! `ECHO` of the proxy's own whose answer cannot be anybody else's.
//!
//! Pure: commands and replies come in, and what may be done next comes out.

pub(super) use super::glimpse::Glimpse;
use super::glimpse::{Confirmation, is_message};
use super::owed::{Awaited, Owed};
use super::phase::{Phase, Replies, Swallowed, Transaction};
use super::subscriptions::Subscriptions;
use crate::command::Effect;
use crate::protocol::Version;

/// What becomes of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes to the client.
    Deliver,
    /// It is the answer to what the proxy asked.
    Answer,
}

/// What a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Lock commands may run.
    Normal,
    /// In a transaction.
    Transaction,
    /// In a RESP2 subscription, which forbids nearly everything.
    Subscribed,
    /// Replies are switched off, or the next one is skipped.
    Muted,
    /// Not made of requests and replies any more.
    Raw,
    /// Said QUIT.
    Closing,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Mode {
    version: Version,
    phase: Phase,
    subscriptions: Subscriptions,
    replies: Replies,
    owed: Owed,
    doubt: bool,
    /// What became of lock commands behind a silence of which it is not known whether it was granted.
    swallowed: Swallowed,
    /// A RESET has been run.
    was_reset: bool,
}

impl Mode {
    /// A connection that speaks this version from its start.
    pub(super) fn new(version: Version) -> Self {
        Self { version, ..Self::default() }
    }

    /// The protocol that the upstream's replies, and so ours, are written in.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn standing(&self) -> Standing {
        match self.phase {
            Phase::Monitoring | Phase::Raw => Standing::Raw,
            Phase::Closing => Standing::Closing,
            _ if self.replies != Replies::On => Standing::Muted,
            Phase::Transaction(_) => Standing::Transaction,
            Phase::Normal if self.is_locked_up() => Standing::Subscribed,
            Phase::Normal => Standing::Normal,
        }
    }

    /// Whether a reply is owed for certain.
    pub(super) fn owes(&self) -> bool {
        self.owed.is_awaited()
    }

    /// Whether that is so apart from the command that was sent last.
    pub(super) fn owes_before_last(&self) -> bool {
        self.owed.is_awaited_before_last()
    }

    /// Whether the count may be wrong: replies may have come for more than is known, or may never come.
    pub(super) fn has_lost_count(&self) -> bool {
        self.doubt
    }

    /// Whether nothing further may be sent before something is answered.
    pub(super) fn is_full(&self) -> bool {
        self.owed.is_full()
    }

    /// Whether only a fence can tell that everything sent before has been run.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubt || self.owed.has_silence()
    }

    /// Whether the upstream waits for something to happen elsewhere before it answers the next command.
    pub(super) fn is_blocked(&self) -> bool {
        self.owed.front() == Some(Awaited::Blocking)
    }

    /// Whether somebody waits for messages on this connection.
    pub(super) fn is_subscribed(&self) -> bool {
        self.subscriptions.any()
    }

    /// Whether a lock command was refused in the transaction that is open.
    pub(super) fn is_poisoned(&self) -> bool {
        matches!(self.phase, Phase::Transaction(Transaction { poisoned: true, .. }))
    }

    /// A lock command was refused: the transaction must not run.
    pub(super) fn poison(&mut self) {
        if let Phase::Transaction(transaction) = &mut self.phase {
            transaction.poisoned = true;
        }
    }

    /// The upstream's bytes, or the client's, are not to be understood any more.
    pub(super) fn give_up(&mut self) {
        self.phase = Phase::Raw;
    }

    /// A command of the client's has been sent.
    pub(super) fn sent(&mut self, effect: Effect) {
        match effect {
            // Any → On: it is answered, whatever was before.
            Effect::RepliesOn => {
                self.replies = Replies::On;
                self.owed.push(Awaited::Plain);
            }
            // Off → On; but what is skipped stays so.
            Effect::Reset if self.replies != Replies::Skip => {
                self.replies = Replies::On;
                self.owed.push(Awaited::Reset);
            }
            // On, Skip → Off.
            Effect::RepliesOff => {
                self.replies = Replies::Off;
                self.owed.push(Awaited::Silence { muted: 0 });
            }
            // Off stays off, Skip has been used up.
            _ if self.replies != Replies::On => self.sent_unanswered(effect),
            // On → Skip.
            Effect::SkipNext => {
                self.replies = Replies::Skip;
                self.owed.push(Awaited::Silence { muted: 0 });
            }
            // Whatever its answer is, it is not to be understood.
            Effect::Replicate => self.phase = Phase::Raw,
            effect => self.owed.push(Awaited::from(effect)),
        }
    }

    /// A command to which no reply comes has been sent: it counts as done.
    fn sent_unanswered(&mut self, effect: Effect) {
        self.owed.mute();
        match (effect, self.replies) {
            (Effect::SkipNext, _) => return,
            (Effect::Multi, _) => self.phase = Phase::Transaction(Transaction::default()),
            (Effect::Exec | Effect::Discard, _) => self.phase = Phase::Normal,
            (Effect::Monitor | Effect::Replicate, _) => self.phase = Phase::Raw,
            (Effect::Quit, _) => self.phase = Phase::Closing,
            (Effect::Reset, _) => self.start_anew(),
            (Effect::Subscribe(..) | Effect::Unsubscribe(..), _) => self.doubt = true,
            _ => {}
        }
        if self.replies == Replies::Skip {
            self.replies = Replies::On;
        }
    }

    /// A command of the proxy's own has been sent: an `ECHO`, or another.
    pub(super) fn asked(&mut self, fence: bool) {
        self.owed.push(if fence { Awaited::Fence } else { Awaited::Question });
    }

    /// The request that was sent last will never be whole.
    pub(super) fn retract(&mut self) {
        self.owed.retract();
    }

    /// Whether a RESET has been run since this was asked last.
    pub(super) fn take_reset(&mut self) -> bool {
        std::mem::take(&mut self.was_reset)
    }

    /// The proxy's own `DISCARD` has been answered.
    pub(super) fn discarded(&mut self) {
        self.phase = Phase::Normal;
    }

    /// An `ECHO` of the proxy's own has been sent in the place of a command whose reply is skipped.
    pub(super) fn skipped(&mut self) {
        self.sent_unanswered(Effect::None);
    }

    /// A lock command gets no reply, since none was wanted.
    pub(super) fn swallow(&mut self) {
        self.swallowed = Swallowed::Rightly;
    }

    /// Whether the client waits for a reply that it will not get.
    pub(super) fn is_out_of_step(&self) -> bool {
        self.swallowed == Swallowed::Wrongly
    }

    /// Whether the next command's reply is skipped.
    pub(super) fn skips_next(&self) -> bool {
        self.replies == Replies::Skip
    }

    /// Whether the next reply may be taken without a look at it.
    pub(super) fn expects_anything(&self) -> bool {
        self.owed.front() == Some(Awaited::Plain) && !self.is_locked_up()
    }

    /// Whether the next reply answers a question, and must be kept until it is whole.
    pub(super) fn expects_answer(&self) -> bool {
        self.owed.front() == Some(Awaited::Question)
    }

    /// A reply has come of which nothing need be known; [`expects_anything`](Self::expects_anything) said so.
    pub(super) fn answered_plainly(&mut self) {
        self.owed.pop();
    }

    /// The fence has been answered by its own words.
    pub(super) fn passed_fence(&mut self) {
        self.owed.pass_fence();
        self.doubt = false;
        self.swallowed = Swallowed::Nothing;
    }

    /// A whole reply has come.
    pub(super) fn answered(&mut self, reply: Glimpse<'_>) -> Fate {
        let confirmation = Confirmation::read(reply.bytes);
        if let Some(confirmation) = confirmation.filter(|_| reply.kind == b'>' || self.is_confirmable()) {
            self.confirmed(confirmation);
            return Fate::Deliver;
        }
        if reply.kind == b'>' || (self.is_locked_up() && is_message(reply.bytes)) {
            return Fate::Deliver;
        }
        while let Some(Awaited::Silence { muted }) = self.owed.front() {
            if reply.refuses_silence() {
                // Silence → as many plain replies: the upstream does not know this command, or does not allow it.
                self.owed.replace_front(Awaited::Plain, muted);
                self.replies = Replies::On;
                self.doubt = true;
                if self.swallowed == Swallowed::Rightly {
                    self.swallowed = Swallowed::Wrongly;
                }
                return Fate::Deliver;
            }
            self.owed.pop();
            self.swallowed = Swallowed::Nothing;
        }
        match self.owed.front() {
            Some(Awaited::Question) => {
                self.owed.pop();
                Fate::Answer
            }
            Some(Awaited::Fence) if reply.is_error() => {
                self.owed.pop();
                Fate::Answer
            }
            // Nobody asked for it, or it was not counted, and the fence's own answer is still to come.
            None | Some(Awaited::Fence) => Fate::Deliver,
            Some(awaited) => {
                self.owed.pop();
                self.change(awaited, reply);
                Fate::Deliver
            }
        }
    }

    /// Any → as it began, by RESET.
    fn start_anew(&mut self) {
        self.was_reset = true;
        self.phase = Phase::Normal;
        self.version = Version::default();
        self.subscriptions = Subscriptions::default();
    }

    /// What a reply to this makes of the connection.
    fn change(&mut self, awaited: Awaited, reply: Glimpse<'_>) {
        match (awaited, self.phase) {
            // Normal → Transaction, by `+OK`.
            (Awaited::Multi, Phase::Normal) if !reply.is_error() => {
                self.phase = Phase::Transaction(Transaction::default());
            }
            // Transaction → Normal, whatever became of it, except by an EXEC with the wrong number of words.
            (Awaited::Exec, Phase::Transaction(transaction)) if !reply.is_arity_error() => {
                self.phase = Phase::Normal;
                if !reply.is_error() {
                    self.version = transaction.version.unwrap_or(self.version);
                    self.subscriptions.add_channels(transaction.subscribes);
                    self.doubt |= transaction.strange;
                }
            }
            (Awaited::Discard, Phase::Transaction(_)) if !reply.is_arity_error() => self.phase = Phase::Normal,
            // In a transaction everything else is queued, to take effect with EXEC.
            (awaited, Phase::Transaction(mut transaction)) if reply.bytes == b"+QUEUED\r\n" => {
                match awaited {
                    Awaited::Hello(version) => transaction.version = version.or(transaction.version),
                    Awaited::Confirmations { subscribe, left, .. } => {
                        transaction.strange = true;
                        transaction.subscribes += if subscribe { left.unwrap_or(0) } else { 0 };
                    }
                    _ => {}
                }
                self.phase = Phase::Transaction(transaction);
            }
            (Awaited::Hello(version), _) if !reply.is_error() => self.version = version.unwrap_or(self.version),
            // Any → as it began.
            (Awaited::Reset, _) if !reply.is_error() => self.start_anew(),
            // Normal → Monitoring, by `+OK`.
            (Awaited::Monitor, _) if !reply.is_error() => self.phase = Phase::Monitoring,
            // Any → Closing, by any answer.
            (Awaited::Quit, _) => self.phase = Phase::Closing,
            _ => {}
        }
    }

    /// A subscription was made or ended, asked for or not.
    fn confirmed(&mut self, confirmation: Confirmation) {
        let before = self.subscriptions.of(confirmation.class);
        self.subscriptions.note(confirmation);
        let Some(Awaited::Confirmations { class, subscribe, left }) = self.owed.first_answer() else { return };
        if (class, subscribe) != (confirmation.class, confirmation.subscribe) {
            return;
        }
        while let Some(Awaited::Silence { .. }) = self.owed.front() {
            self.owed.pop();
            self.swallowed = Swallowed::Nothing;
        }
        // Who unsubscribes from everything is told once for each, and once when there is nothing.
        let left = left.unwrap_or(before).max(1) - 1;
        self.owed.replace_front(Awaited::Confirmations { class, subscribe, left: Some(left) }, u64::from(left > 0));
    }

    /// Whether an array that looks like a confirmation is one: in RESP2 they are told from other replies by what was
    /// asked, and by being subscribed, which leaves room for little else.
    fn is_confirmable(&self) -> bool {
        self.version == Version::Resp2
            && (self.subscriptions.any() || matches!(self.owed.first_answer(), Some(Awaited::Confirmations { .. })))
    }

    /// Whether the connection is in a RESP2 subscription: messages come unasked, as replies do.
    fn is_locked_up(&self) -> bool {
        self.version == Version::Resp2 && self.subscriptions.any()
    }
}

#[cfg(any(test, fuzzing))]
#[path = "mode_model.rs"]
pub(super) mod model;

#[cfg(test)]
#[path = "mode_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "mode_model_tests.rs"]
mod model_tests;
