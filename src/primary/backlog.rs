//! What a link has taken from its inbox and not yet written. Pure.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::pipeline::Queued;

/// Operations that wait for the socket to have room, in order.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// What was taken at a time. A server that answers nothing lets many grow, which are not looked through one by one.
    parts: VecDeque<Part>,
    /// The memory of the last part that was used up, for the next.
    spare: VecDeque<Queued>,
    length: usize,
    /// No deadline lies before this.
    earliest: Option<Instant>,
}

#[derive(Debug)]
struct Part {
    queue: VecDeque<Queued>,
    /// No deadline lies before this.
    earliest: Option<Instant>,
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Puts behind the others what `take` puts into an empty line.
    pub(super) fn fill(&mut self, take: impl FnOnce(&mut VecDeque<Queued>)) {
        let mut queue = std::mem::take(&mut self.spare);
        take(&mut queue);
        if queue.is_empty() {
            self.spare = queue;
        } else {
            self.length += queue.len();
            let earliest = first_deadline(&queue);
            self.earliest = self.earliest.into_iter().chain(earliest).min();
            self.parts.push_back(Part { queue, earliest });
        }
    }

    /// The first in the line.
    pub(super) fn next(&mut self) -> Option<Queued> {
        let part = self.parts.front_mut()?;
        let first = part.queue.pop_front()?;
        self.length -= 1;
        if part.queue.is_empty() {
            self.spare = self.parts.pop_front()?.queue;
        }
        if self.parts.is_empty() {
            self.earliest = None;
        }
        Some(first)
    }

    /// When somebody may have waited long enough.
    pub(super) fn earliest_deadline(&self) -> Option<Instant> {
        self.earliest
    }

    /// Takes those out for whom somebody has waited long enough.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Queued> {
        self.take_if(|deadline| deadline <= now)
    }

    /// Takes those out for whom somebody waits.
    pub(super) fn take_awaited(&mut self) -> Vec<Queued> {
        self.take_if(|_| true)
    }

    /// Takes those out whose deadline is such a one; parts that have none are not looked through.
    fn take_if(&mut self, is_one: impl Fn(Instant) -> bool) -> Vec<Queued> {
        let mut taken = Vec::new();
        if !self.earliest.is_some_and(&is_one) {
            return taken;
        }
        for part in &mut self.parts {
            if part.earliest.is_some_and(&is_one) {
                for queued in std::mem::take(&mut part.queue) {
                    if queued.deadline.is_some_and(&is_one) {
                        taken.push(queued);
                    } else {
                        part.queue.push_back(queued);
                    }
                }
                part.earliest = first_deadline(&part.queue);
            }
        }
        self.length -= taken.len();
        self.parts.retain(|part| !part.queue.is_empty());
        self.earliest = self.parts.iter().filter_map(|part| part.earliest).min();
        taken
    }
}

fn first_deadline(queue: &VecDeque<Queued>) -> Option<Instant> {
    queue.iter().filter_map(|queued| queued.deadline).min()
}

impl IntoIterator for Backlog {
    type Item = Queued;
    type IntoIter = Box<dyn Iterator<Item = Queued> + Send>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.parts.into_iter().flat_map(|part| part.queue))
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
        backlog.fill(|queue| queue.push_back(announced("e", None)));
        assert_eq!(names(backlog.next()), "a");
        assert_eq!(names(backlog.take_due(now + Duration::from_secs(60))), "");
        assert_eq!((backlog.len(), backlog.earliest_deadline()), (2, None));
        backlog.fill(|queue| queue.extend([announced("f", at(7)), announced("g", None), announced("h", at(8))]));
        assert_eq!(names(backlog.take_awaited()), "fh");
        assert_eq!((backlog.len(), names(backlog)), (3, "beg".to_owned()));
    }
}
