//! What was written to a link and not yet answered, in order. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::dialect::Dialect;
use super::operation::{self, Settled};
use crate::coordinator::{Operation, Trouble};
use crate::limits::HOLDER_BYTES;
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
    Operation(Queued),
    /// The question for the server's role, and when it was asked.
    Probe(Instant),
    /// A marker that is to be replaced.
    Marking,
    /// The question for its clock, and when it was asked.
    Clock(Moment),
    /// The question for its marker.
    Marker,
}

/// What was written together: how many things, and how many answers they have between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Batch {
    things: usize,
    replies: usize,
}

/// What a whole batch of answers says about itself.
#[derive(Debug)]
pub(super) struct TailAnswers<'a> {
    /// What the server's clock showed, which was asked at this moment.
    pub(super) clock: &'a Answer,
    pub(super) asked: Moment,
    pub(super) marker: &'a Answer,
}

/// What an answer led to.
#[derive(Debug)]
pub(super) enum Event {
    /// An operation has been answered; whether it was a release, which is owed no longer.
    Answered { release: bool },
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
    /// The marker could not be replaced.
    NotMarked(Bytes),
    /// Nothing of consequence.
    Noted,
}

/// The operations and probes that a link has written and the server has not answered.
///
/// A batch's answers are held until the last of them has come, since it may be the one by which the others count.
#[derive(Debug)]
pub(super) struct Pipeline {
    dialect: Dialect,
    written: VecDeque<Written>,
    /// How many of them are operations.
    operations: usize,
    /// The batches that have been written, of which the first is being answered.
    batches: VecDeque<Batch>,
    /// The batch that is being gathered.
    open: Batch,
    /// What has come of the first batch's answers.
    answers: VecDeque<Answer>,
    /// No deadline of those that are still waited for lies before this.
    earliest: Option<Instant>,
}

impl Pipeline {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            written: VecDeque::new(),
            operations: 0,
            batches: VecDeque::new(),
            open: Batch::default(),
            answers: VecDeque::new(),
            earliest: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// How many operations are unanswered.
    pub(super) fn len(&self) -> usize {
        self.operations
    }

    pub(super) fn push(&mut self, queued: Queued) {
        self.earliest = earlier(self.earliest, queued.deadline);
        self.operations += 1;
        let replies = operation::replies(&queued.operation, self.dialect);
        self.put(Written::Operation(queued), replies);
    }

    /// The question for the role.
    pub(super) fn push_probe(&mut self, now: Instant) {
        self.put(Written::Probe(now), 1);
    }

    /// A marker to be replaced.
    pub(super) fn push_marking(&mut self) {
        self.put(Written::Marking, 1);
    }

    /// The question for the clock.
    pub(super) fn push_clock(&mut self, moment: Moment) {
        self.put(Written::Clock(moment), 1);
    }

    /// The question for the marker, behind that for the clock.
    pub(super) fn push_marker(&mut self) {
        self.put(Written::Marker, 1);
    }

    /// What has been pushed since the last batch is one.
    pub(super) fn end_batch(&mut self) {
        let batch = std::mem::take(&mut self.open);
        if batch.things > 0 {
            self.batches.push_back(batch);
        }
    }

    /// Whether something was pushed that belongs to no batch yet.
    pub(super) fn is_gathering(&self) -> bool {
        self.open.things > 0
    }

    fn put(&mut self, written: Written, replies: usize) {
        self.written.push_back(written);
        self.open.things += 1;
        self.open.replies += replies;
    }

    /// When the next vote may have to be cast without an answer.
    pub(super) fn earliest_deadline(&self) -> Option<Instant> {
        self.earliest
    }

    /// Keeps the next answer. True when it is the last of a batch, which is to be [settled](Self::settle) then; an error
    /// when nothing was asked.
    pub(super) fn answered(&mut self, answer: Answer) -> Result<bool, Answer> {
        let Some(batch) = self.batches.front() else { return Err(answer) };
        // No holder, and not worth the memory until the batch is settled.
        let is_long = matches!(&answer, Answer::Bulk(value) if value.len() > HOLDER_BYTES);
        self.answers.push_back(if is_long { Answer::Oversized } else { answer });
        Ok(self.answers.len() == batch.replies)
    }

    /// What the batch whose answers have come says about them; `None` when it was not asked for that.
    pub(super) fn tail(&self) -> Option<TailAnswers<'_>> {
        let last = self.batches.front()?.things.checked_sub(1)?;
        match (self.written.get(last)?, self.written.get(last.checked_sub(1)?)?) {
            (Written::Marker, Written::Clock(asked)) => {
                let marker = self.answers.back()?;
                let clock = self.answers.get(self.answers.len().checked_sub(2)?)?;
                Some(TailAnswers { clock, asked: *asked, marker })
            }
            _ => None,
        }
    }

    /// What the next thing of the batch whose answers have come led to; `None` when all has been told. Votes count unless
    /// something is said to be wrong with the whole batch.
    pub(super) fn settle(&mut self, wrong: Option<&Trouble>, now: Instant) -> Option<Event> {
        let batch = self.batches.front_mut()?;
        if batch.things == 0 {
            self.batches.pop_front();
            return None;
        }
        batch.things -= 1;
        let mut answer = || self.answers.pop_front().unwrap_or(Answer::Null);
        Some(match self.written.pop_front()? {
            Written::Probe(asked) => Event::Probed(answer(), now - asked),
            Written::Clock(asked) => Event::Clock(answer(), asked),
            Written::Marking => match answer() {
                Answer::Error(error) => Event::NotMarked(error),
                _ => Event::Noted,
            },
            Written::Marker => {
                answer();
                Event::Noted
            }
            Written::Operation(queued) => {
                self.operations -= 1;
                self.settle_operation(queued, wrong)
            }
        })
    }

    fn settle_operation(&mut self, mut queued: Queued, wrong: Option<&Trouble>) -> Event {
        let replies = operation::replies(&queued.operation, self.dialect).min(self.answers.len());
        let answers = self.answers.drain(..replies);
        match operation::answered(&mut queued.operation, self.dialect, answers, wrong) {
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
            let Written::Operation(queued) = written else { continue };
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
            if let Written::Operation(mut queued) = written {
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
