//! What a link has taken from its inbox and not yet written. Pure.

use std::collections::{VecDeque, vec_deque};

use tokio::time::Instant;

use super::pipeline::Queued;

/// Operations that wait for the socket to have room, in order.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    queue: VecDeque<Queued>,
    /// The deadlines of so many are known: none lies before `earliest`.
    known: usize,
    earliest: Option<Instant>,
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Lets `take` put more into the line.
    pub(super) fn fill(&mut self, take: impl FnOnce(&mut VecDeque<Queued>)) {
        take(&mut self.queue);
    }

    /// The first in the line.
    pub(super) fn next(&mut self) -> Option<Queued> {
        (self.known, self.earliest) = (0, None);
        self.queue.pop_front()
    }

    /// When somebody will have waited long enough.
    pub(super) fn earliest_deadline(&mut self) -> Option<Instant> {
        let deadlines = self.queue.range(self.known..).filter_map(|queued| queued.deadline);
        self.earliest = deadlines.chain(self.earliest).min();
        self.known = self.queue.len();
        self.earliest
    }

    /// Takes those out for whom somebody has waited long enough.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Queued> {
        if self.earliest_deadline().is_none_or(|earliest| now < earliest) {
            return Vec::new();
        }
        let mut due = Vec::new();
        for queued in std::mem::take(self).queue {
            if queued.is_due(now) { due.push(queued) } else { self.queue.push_back(queued) }
        }
        due
    }
}

impl IntoIterator for Backlog {
    type Item = Queued;
    type IntoIter = vec_deque::IntoIter<Queued>;

    fn into_iter(self) -> Self::IntoIter {
        self.queue.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::coordinator::Operation;
    use crate::lock::Resource;

    fn announced(name: &'static str, deadline: Option<Instant>) -> Queued {
        let resource = Resource::new(Bytes::from_static(name.as_bytes()), 64).expect("a name");
        let operation = Operation::Announce { resource, notice: Bytes::new() };
        Queued { operation, deadline, timeout: Duration::ZERO }
    }

    fn names(queued: impl IntoIterator<Item = Queued>) -> String {
        queued.into_iter().map(|queued| char::from(queued.operation.resource().as_bytes()[0])).collect()
    }

    #[test]
    fn those_that_are_due_go_and_the_others_keep_their_order() {
        let mut backlog = Backlog::default();
        let now = Instant::now();
        let at = |seconds| Some(now + Duration::from_secs(seconds));
        backlog.fill(|queue| queue.extend([announced("a", at(9)), announced("b", None), announced("c", at(5))]));
        assert_eq!(backlog.earliest_deadline(), at(5));
        backlog.fill(|queue| queue.push_back(announced("d", at(3))));
        assert_eq!(backlog.earliest_deadline(), at(3));
        assert_eq!(names(backlog.take_due(now)), "");
        assert_eq!(names(backlog.take_due(now + Duration::from_secs(5))), "cd");
        assert_eq!((backlog.len(), backlog.earliest_deadline()), (2, at(9)));
        assert_eq!(names(backlog.next()), "a");
        assert_eq!(backlog.earliest_deadline(), None);
        assert_eq!(names(backlog), "b");
    }
}
