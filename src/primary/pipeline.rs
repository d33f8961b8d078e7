//! What was written to a link and not yet answered, in order. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::dialect::Dialect;
use super::operation::{self, Settled};
use crate::coordinator::{Operation, Trouble};
use crate::lock::Moment;
use crate::protocol::Answer;

/// An operation on its way, and how long somebody waits for its vote.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) operation: Operation,
    /// When the vote is cast without an answer; `None` once it has been, or when nobody waits for it.
    pub(super) deadline: Option<Instant>,
    /// How long that was from the beginning.
    pub(super) timeout: Duration,
}

impl Queued {
    /// An operation for whose vote nobody waits.
    pub(super) fn owed(operation: Operation) -> Self {
        Self { operation, deadline: None, timeout: Duration::ZERO }
    }

    /// Whether somebody has waited for the vote long enough.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// Something that was written.
#[derive(Debug)]
enum Written {
    /// With those of its answers that have come, while there are more to come.
    Operation(Queued, Vec<Answer>),
    /// The question for the server's role, and when it was asked.
    Probe(Instant),
    /// The question for its clock, and when it was asked.
    Clock(Moment),
}

/// What an answer led to.
#[derive(Debug)]
pub(super) enum Event {
    /// An operation has been answered; whether it was a release, which is owed no longer.
    Answered { release: bool },
    /// Another answer to the same operation comes next.
    Partly,
    /// A record was set whose attempt had been given up.
    LateGrant,
    /// To be sent again, with the script's source.
    SendSource(Queued),
    /// A release that the server could not carry out.
    StillOwed(Operation),
    /// The answer to a probe, which took this long.
    Probed(Answer, Duration),
    /// What the server's clock shows, which was asked at this moment.
    Clock(Answer, Moment),
    /// An answer to nothing that was asked.
    Unasked,
}

/// The operations and probes that a link has written and the server has not answered.
#[derive(Debug)]
pub(super) struct Pipeline {
    dialect: Dialect,
    written: VecDeque<Written>,
    /// No deadline of those that are still waited for lies before this.
    earliest: Option<Instant>,
}

impl Pipeline {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, written: VecDeque::new(), earliest: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.written.len()
    }

    pub(super) fn push(&mut self, queued: Queued) {
        self.earliest = earlier(self.earliest, queued.deadline);
        self.written.push_back(Written::Operation(queued, Vec::new()));
    }

    /// The questions of a probe: for the role, and for the clock behind it.
    pub(super) fn push_probe(&mut self, now: Instant, moment: Moment) {
        self.written.push_back(Written::Probe(now));
        self.written.push_back(Written::Clock(moment));
    }

    /// When the next vote may have to be cast without an answer.
    pub(super) fn earliest_deadline(&self) -> Option<Instant> {
        self.earliest
    }

    /// Counts the next answer for what was written first.
    pub(super) fn answered(&mut self, answer: Answer, now: Instant) -> Event {
        match self.written.pop_front() {
            None => Event::Unasked,
            Some(Written::Probe(asked)) => Event::Probed(answer, now - asked),
            Some(Written::Clock(asked)) => Event::Clock(answer, asked),
            Some(Written::Operation(queued, mut answers)) => {
                if answers.len() + 1 < operation::replies(&queued.operation, self.dialect) {
                    answers.push(answer);
                    self.written.push_front(Written::Operation(queued, answers));
                    return Event::Partly;
                }
                // One answer, as most operations have, has taken no memory of its own.
                self.settled(queued, answers.into_iter().chain([answer]))
            }
        }
    }

    fn settled(&self, mut queued: Queued, answers: impl Iterator<Item = Answer>) -> Event {
        match operation::answered(&mut queued.operation, self.dialect, answers) {
            Settled::Done => Event::Answered { release: matches!(queued.operation, Operation::Release { .. }) },
            Settled::LateGrant => Event::LateGrant,
            Settled::SendSource => Event::SendSource(queued),
            Settled::StillOwed => Event::StillOwed(queued.operation),
        }
    }

    /// Casts the votes whose time is over as silent; what was written keeps its place. Returns how many there were.
    pub(super) fn sweep(&mut self, now: Instant) -> u64 {
        let mut silent = 0;
        self.earliest = None;
        for written in &mut self.written {
            let Written::Operation(queued, _) = written else { continue };
            if queued.is_due(now) {
                queued.deadline = None;
                silent += u64::from(operation::silent(&mut queued.operation, Trouble::TimedOut(queued.timeout)));
            }
            self.earliest = earlier(self.earliest, queued.deadline);
        }
        silent
    }

    /// The connection is lost: whoever still waits hears that its primary is silent. What is left are the operations,
    /// and the number of those that were waited for.
    pub(super) fn lose(self, trouble: &Trouble) -> (Vec<Operation>, u64) {
        let mut operations = Vec::new();
        let mut silent = 0;
        for written in self.written {
            if let Written::Operation(mut queued, _) = written {
                silent += u64::from(operation::silent(&mut queued.operation, trouble.clone()));
                operations.push(queued.operation);
            }
        }
        (operations, silent)
    }
}

/// The earlier of two deadlines that may not exist.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
