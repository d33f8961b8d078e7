//! What was written to a link and not yet answered, in order. Pure.

use std::collections::VecDeque;
use std::iter;
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

/// What was written together.
#[derive(Debug, Default)]
struct Batch {
    written: VecDeque<Written>,
    /// How many answers there are to all of it.
    replies: usize,
    /// No deadline of those that are still waited for lies before this.
    earliest: Option<Instant>,
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
    /// The batches that have been written, of which the first is being answered. Each has memory of its own: a server that
    /// answers nothing for a while lets many grow, and none has to be moved for that.
    batches: VecDeque<Batch>,
    /// The batch that is being gathered.
    open: Batch,
    /// The memory of the last batch that was settled, for the next.
    spare: VecDeque<Written>,
    /// For the votes of so many batches, the first ones, nobody waits any more.
    given_up: usize,
    /// How many operations have been written.
    operations: usize,
    /// What has come of the first batch's answers.
    answers: VecDeque<Answer>,
    /// The earliest of all batches.
    earliest: Option<Instant>,
}

impl Pipeline {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            batches: VecDeque::new(),
            open: Batch::default(),
            spare: VecDeque::new(),
            given_up: 0,
            operations: 0,
            answers: VecDeque::new(),
            earliest: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.open.written.is_empty()
    }

    /// How many operations are unanswered.
    pub(super) fn len(&self) -> usize {
        self.operations
    }

    pub(super) fn push(&mut self, queued: Queued) {
        self.earliest = earlier(self.earliest, queued.deadline);
        self.open.earliest = earlier(self.open.earliest, queued.deadline);
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
        if self.is_gathering() {
            let next = Batch { written: std::mem::take(&mut self.spare), ..Batch::default() };
            self.batches.push_back(std::mem::replace(&mut self.open, next));
        }
    }

    /// Whether something was pushed that belongs to no batch yet.
    pub(super) fn is_gathering(&self) -> bool {
        !self.open.written.is_empty()
    }

    fn put(&mut self, written: Written, replies: usize) {
        self.open.written.push_back(written);
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
        let mut last = self.batches.front()?.written.iter().rev();
        match (last.next()?, last.next()?) {
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
        let Some(written) = self.batches.front_mut()?.written.pop_front() else {
            self.spare = self.batches.pop_front()?.written;
            self.given_up = self.given_up.saturating_sub(1);
            return None;
        };
        let mut answer = || self.answers.pop_front().unwrap_or(Answer::Null);
        Some(match written {
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
        self.give_up(|deadline| deadline <= now, |queued| Trouble::TimedOut(queued.timeout))
    }

    /// The connection is lost: whoever still waits hears that its primary is silent. Returns how many there were.
    pub(super) fn lose(&mut self, trouble: &Trouble) -> u64 {
        self.give_up(|_| true, |_| trouble.clone())
    }

    /// Casts the votes of which the deadline `is_due` as silent. A server that answers nothing leaves much unanswered: only
    /// batches in which somebody may be due are looked through.
    fn give_up(&mut self, is_due: impl Fn(Instant) -> bool, trouble: impl Fn(&Queued) -> Trouble) -> u64 {
        let mut silent = 0;
        self.earliest = None;
        for batch in self.batches.range_mut(self.given_up..).chain(iter::once(&mut self.open)) {
            if batch.earliest.is_some_and(&is_due) {
                batch.earliest = None;
                for written in &mut batch.written {
                    let Written::Operation(queued) = written else { continue };
                    if queued.deadline.is_some_and(&is_due) {
                        queued.deadline = None;
                        let trouble = trouble(queued);
                        silent += u64::from(operation::silent(&mut queued.operation, trouble));
                    }
                    batch.earliest = earlier(batch.earliest, queued.deadline);
                }
            }
            self.earliest = earlier(self.earliest, batch.earliest);
        }
        self.given_up += self.batches.range(self.given_up..).take_while(|batch| batch.earliest.is_none()).count();
        silent
    }

    /// The operations that were written and not answered.
    pub(super) fn into_operations(self) -> impl Iterator<Item = Operation> {
        let batches = self.batches.into_iter().chain(iter::once(self.open));
        batches.flat_map(|batch| batch.written).filter_map(|written| match written {
            Written::Operation(queued) => Some(queued.operation),
            _ => None,
        })
    }
}

/// The earlier of two deadlines that may not exist.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
