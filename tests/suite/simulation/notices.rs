//! What primaries tell the proxies that listen to them, on connections of which nobody makes sure: notices get lost, and
//! a subscription breaks some time before its proxy notices.

use std::sync::Weak;

use bytes::Bytes;
use redlock_proxy::coordinator::{Coordinator, Notice};

use super::history::Actor;
use super::network::{Event, State};

/// Each proxy's subscription to each primary, in the order of the links.
#[derive(Debug)]
pub(super) struct Notices {
    subscribed: Vec<bool>,
    /// Who listens on behalf of each link, and to which node.
    listeners: Vec<(Weak<Coordinator>, redlock_proxy::lock::NodeId)>,
    /// How many in a hundred are lost.
    loss: u64,
}

impl Notices {
    pub(super) fn new(links: usize) -> Self {
        Self { subscribed: vec![false; links], listeners: Vec::new(), loss: 0 }
    }

    /// From here on nothing is heard, and the proxy does not know.
    pub(super) fn muffle(&mut self, link: usize) {
        self.subscribed[link] = false;
    }

    /// Another one listens from now on, and has to subscribe.
    pub(super) fn replace(&mut self, link: usize, listener: Weak<Coordinator>) {
        self.subscribed[link] = false;
        self.listeners[link].0 = listener;
    }

    pub(super) fn listens_to(&mut self, link: usize, listens: bool) {
        self.subscribed[link] = listens;
        let (coordinator, node) = &self.listeners[link];
        if let Some(coordinator) = coordinator.upgrade() {
            coordinator.listens_to(*node, listens);
        }
    }
}

impl State {
    /// From here on proxies subscribe; one for each link.
    pub(super) fn listen_on_behalf(
        &mut self,
        listeners: Vec<(Weak<Coordinator>, redlock_proxy::lock::NodeId)>,
        loss: u64,
    ) {
        for link in 0..listeners.len() {
            let at = self.now + self.random.between(0, 50_000);
            self.schedule(at, Event::Subscribe { link });
        }
        self.notices.listeners = listeners;
        self.notices.loss = loss;
    }

    /// A primary tells everybody who listens.
    pub(super) fn publish(&mut self, primary: usize, notice: &Bytes) {
        for link in 0..self.links.len() {
            if self.links[link].primary != primary || !self.notices.subscribed[link] {
                continue;
            }
            if self.random.percent(self.notices.loss) {
                self.incidents.notices_lost += 1;
                continue;
            }
            let distance = self.distance[link];
            let at = self.now + distance + self.random.between(0, distance);
            self.schedule(at, Event::Notice { link, notice: notice.clone() });
        }
    }

    pub(super) fn hear(&mut self, link: usize, notice: &Bytes) {
        let (coordinator, node) = &self.notices.listeners[link];
        if let Some(coordinator) = coordinator.upgrade() {
            let notice = Notice::parse(notice, 64).expect("what a proxy encodes is a notice");
            coordinator.hear_notice(notice, *node);
        }
    }

    /// A subscription breaks; its proxy notices some time later, and subscribes again.
    pub(super) fn deafen(&mut self, link: usize) {
        let Self { checker, links, now, .. } = self;
        checker.history.add_event(
            *now,
            Actor::Proxy(links[link].proxy),
            "hears nothing of",
            links[link].primary as u64,
        );
        self.notices.muffle(link);
        let noticed = self.now + self.random.between(0, 800_000);
        let again = noticed + self.random.between(5_000, 200_000);
        self.schedule(noticed, Event::Deaf { link });
        self.schedule(again, Event::Subscribe { link });
    }
}
