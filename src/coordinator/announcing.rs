//! What is told to other proxies of the lines here, and heard from them.

use std::time::Duration;

use bytes::Bytes;

use super::notice::{Notice, NoticeKind};
use super::registry::Place;
use super::{Coordinator, Operation};
use crate::lock::{NodeId, Resource};

impl Coordinator {
    /// Tells other proxies of the lines in which this waiter is first, unless they were told within `pause`.
    pub(super) fn announce(&self, place: &Place<'_>, pause: Duration) {
        for resource in place.announce(self.clock.now(), pause) {
            let sender = self.rules.sender;
            let notice = Notice { kind: NoticeKind::Waiting, sender, resource: resource.clone() }.encode();
            for (_, node) in self.nodes() {
                self.counters.notices_sent.increment();
                let (resource, notice) = (resource.clone(), notice.clone());
                node.submit(Operation::Announce { resource, notice }, self.rules.node_timeout);
            }
        }
    }

    /// What goes behind each withdrawal of a lock that another proxy waits for.
    pub(super) fn notice_of_release(&self, resource: &Resource) -> Option<Bytes> {
        if !self.lines.others_wait_for(resource, self.clock.now()) {
            return None;
        }
        self.counters.notices_sent.add(self.nodes.len() as u64);
        let (sender, resource) = (self.rules.sender, resource.clone());
        Some(Notice { kind: NoticeKind::Released, sender, resource }.encode())
    }

    /// A notice has come from a primary: this proxy's own are known by their sender.
    pub fn hear_notice(&self, notice: Notice, node: NodeId) {
        if notice.sender != self.rules.sender {
            self.counters.notices_received.increment();
            self.lines.hear(notice, node, self.clock.now());
        }
    }

    /// From here on this primary's notices are heard, or not any more.
    pub fn listens_to(&self, node: NodeId, listens: bool) {
        self.lines.subscribed(node, listens);
    }

    /// The proxy is about to end: nobody stands in line from here on.
    pub fn close_lines(&self) {
        self.lines.close();
    }

    /// How many wait for this lock.
    pub fn waiters(&self, resource: &Resource) -> usize {
        self.lines.waiters_for(resource)
    }
}
