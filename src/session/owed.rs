//! The replies that the upstream owes one client, in their order.
//!
//! A line of what is awaited. Replies of which nothing need be known are many and alike: they are counted, not listed,
//! so that a pipeline of a million commands takes one place.

use std::collections::VecDeque;

use crate::command::{Class, Effect};
use crate::limits::OWED_RUNS;
use crate::protocol::Version;

/// What a reply is the reply to, where that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Any command of which nothing need be known.
    Plain,
    /// A command that may block.
    Blocking,
    Multi,
    Exec,
    Discard,
    Reset,
    Quit,
    Monitor,
    Hello(Option<Version>),
    /// One confirmation for each of `left` names; `None`: of as many as there are, which is known when the first comes.
    Confirmations {
        class: Class,
        subscribe: bool,
        left: Option<u64>,
    },
    /// `CLIENT REPLY OFF` or `SKIP`: no reply, nor to the `muted` commands behind it; or one, when it is refused.
    Silence {
        muted: u64,
    },
    /// An `ECHO` of the proxy's own.
    Fence,
    /// Another command of the proxy's own.
    Question,
}

impl From<Effect> for Awaited {
    fn from(effect: Effect) -> Self {
        let confirmations = |class, subscribe, left| Self::Confirmations { class, subscribe, left };
        match effect {
            Effect::Blocks => Self::Blocking,
            Effect::Multi => Self::Multi,
            Effect::Exec => Self::Exec,
            Effect::Discard => Self::Discard,
            Effect::Reset => Self::Reset,
            Effect::Quit => Self::Quit,
            Effect::Monitor => Self::Monitor,
            Effect::Hello(version) => Self::Hello(version),
            Effect::Subscribe(class, names) => confirmations(class, true, Some(names)),
            Effect::Unsubscribe(class, 0) => confirmations(class, false, None),
            Effect::Unsubscribe(class, names) => confirmations(class, false, Some(names)),
            _ => Self::Plain,
        }
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Owed {
    line: VecDeque<Run>,
    /// How many places of the line are answered for certain: all that are no silence.
    answerable: usize,
}

#[derive(Debug)]
struct Run {
    awaited: Awaited,
    times: u64,
}

impl Owed {
    pub(super) fn push(&mut self, awaited: Awaited) {
        match self.line.back_mut() {
            Some(last) if awaited == Awaited::Plain && last.awaited == Awaited::Plain => last.times += 1,
            _ => {
                self.answerable += usize::from(is_answerable(awaited));
                self.line.push_back(Run { awaited, times: 1 });
            }
        }
    }

    /// What the next reply is to be the reply to.
    pub(super) fn front(&self) -> Option<Awaited> {
        self.line.front().map(|run| run.awaited)
    }

    /// The same, where it is none of those that are silent.
    pub(super) fn first_answer(&self) -> Option<Awaited> {
        self.line.iter().map(|run| run.awaited).find(|awaited| is_answerable(*awaited))
    }

    pub(super) fn pop(&mut self) {
        let Some(front) = self.line.front_mut() else { return };
        front.times -= 1;
        if front.times == 0 {
            self.answerable -= usize::from(is_answerable(front.awaited));
            self.line.pop_front();
        }
    }

    /// The last command that was sent will not be answered after all.
    pub(super) fn retract(&mut self) {
        let Some(last) = self.line.back_mut() else { return };
        last.times -= 1;
        if last.times == 0 {
            self.answerable -= usize::from(is_answerable(last.awaited));
            self.line.pop_back();
        }
    }

    /// Changes what the front is; a place of its own in every case, since only plain ones are counted together.
    pub(super) fn replace_front(&mut self, awaited: Awaited, times: u64) {
        self.pop();
        if times > 0 {
            self.answerable += usize::from(is_answerable(awaited));
            self.line.push_front(Run { awaited, times });
        }
    }

    /// One more command behind the last silence gets no reply.
    pub(super) fn mute(&mut self) {
        let silence = self.line.iter_mut().rev().find_map(|run| match &mut run.awaited {
            Awaited::Silence { muted } => Some(muted),
            _ => None,
        });
        if let Some(muted) = silence {
            *muted += 1;
        }
    }

    /// Whether a silence is in the line, behind which nobody knows what has been run.
    pub(super) fn has_silence(&self) -> bool {
        self.answerable < self.line.len()
    }

    /// A fence has been answered: everything in front of it was as well.
    pub(super) fn pass_fence(&mut self) {
        while let Some(front) = self.front() {
            let times = self.line.front().map_or(0, |run| run.times);
            (0..times).for_each(|_| self.pop());
            if front == Awaited::Fence {
                break;
            }
        }
    }

    /// Whether a reply is awaited for certain.
    pub(super) fn is_awaited(&self) -> bool {
        self.answerable > 0
    }

    /// Whether a reply is awaited for certain to any command but the last.
    pub(super) fn is_awaited_before_last(&self) -> bool {
        let is_last_alone = self.line.back().is_some_and(|run| run.times == 1 && is_answerable(run.awaited));
        self.answerable > usize::from(is_last_alone)
    }

    /// Whether no further command may be sent before some have been answered.
    pub(super) fn is_full(&self) -> bool {
        self.line.len() >= OWED_RUNS
    }
}

fn is_answerable(awaited: Awaited) -> bool {
    !matches!(awaited, Awaited::Silence { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_that_are_alike_take_one_place() {
        let mut owed = Owed::default();
        (0..1_000_000).for_each(|_| owed.push(Awaited::Plain));
        owed.push(Awaited::Multi);
        owed.push(Awaited::Plain);
        assert_eq!(owed.line.len(), 3);
        (0..1_000_000).for_each(|_| owed.pop());
        assert_eq!(owed.front(), Some(Awaited::Multi));
        owed.pop();
        owed.pop();
        assert!(!owed.is_awaited() && owed.front().is_none());
    }

    #[test]
    fn silence_is_not_awaited() {
        let mut owed = Owed::default();
        owed.push(Awaited::Silence { muted: 0 });
        owed.mute();
        assert!(!owed.is_awaited() && owed.has_silence());
        owed.push(Awaited::Plain);
        assert!(owed.is_awaited());
        owed.replace_front(Awaited::Plain, 1);
        assert!(!owed.has_silence());
        owed.pop();
        owed.pop();
        assert!(!owed.is_awaited());
    }

    #[test]
    fn a_fence_takes_everything_in_front_of_it_along() {
        let mut owed = Owed::default();
        owed.push(Awaited::Plain);
        owed.push(Awaited::Plain);
        owed.push(Awaited::Fence);
        owed.push(Awaited::Multi);
        owed.pass_fence();
        assert_eq!(owed.front(), Some(Awaited::Multi));
    }
}
