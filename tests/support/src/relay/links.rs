//! What the relay's owner and its connections know of each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::pump::End;
use super::{Connection, Direction, Fault};
use crate::waiting::PATIENCE;

/// The orders of the owner, and the connections there have been.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) target: String,
    pub(super) seed: u64,
    faults: [watch::Sender<Fault>; 2],
    half_closes: [watch::Sender<u64>; 2],
    /// Connections up to this number end in this way.
    pub(super) ends: watch::Sender<(u64, End)>,
    links: Mutex<Vec<Arc<Link>>>,
    /// Told whenever a connection has ended.
    pub(super) ended: Condvar,
}

impl Shared {
    pub(super) fn new(target: String, seed: u64) -> Self {
        Self {
            target,
            seed,
            faults: [watch::Sender::default(), watch::Sender::default()],
            half_closes: [watch::Sender::default(), watch::Sender::default()],
            ends: watch::Sender::new((0, End::Close)),
            links: Mutex::default(),
            ended: Condvar::new(),
        }
    }

    pub(super) fn fault(&self, direction: Direction) -> &watch::Sender<Fault> {
        &self.faults[direction as usize]
    }

    pub(super) fn half_close(&self, direction: Direction) -> &watch::Sender<u64> {
        &self.half_closes[direction as usize]
    }

    pub(super) fn links(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection; it obeys every order given from now on.
    pub(super) fn register(&self) -> (Arc<Link>, Orders) {
        let mut links = self.links();
        let link = Arc::new(Link::new(links.len() as u64 + 1));
        links.push(Arc::clone(&link));
        let half_closes = Direction::BOTH.map(|direction| self.half_close(direction).subscribe());
        (link, Orders { half_closes, ends: self.ends.subscribe() })
    }

    /// Blocks until the condition holds, looking whenever a connection has ended.
    pub(super) fn wait_until(&self, what: &str, condition: impl Fn(&[Arc<Link>]) -> bool) {
        let waiting = self.ended.wait_timeout_while(self.links(), PATIENCE, |links| !condition(links));
        let (_links, waited) = waiting.unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "the relay waited in vain for {what}");
    }
}

/// What a connection can be told, beside the faults that hold for all of them.
pub(super) struct Orders {
    pub(super) half_closes: [watch::Receiver<u64>; 2],
    pub(super) ends: watch::Receiver<(u64, End)>,
}

/// What is known of one connection from outside.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: u64,
    opened: Instant,
    pub(super) open: AtomicBool,
    /// Everything that is read on it is lost, whatever the fault of the others.
    pub(super) swallowed: AtomicBool,
    delivered: [AtomicU64; 2],
    read: [AtomicU64; 2],
}

impl Link {
    pub(super) fn new(id: u64) -> Self {
        let (delivered, read) = Default::default();
        Self { id, opened: Instant::now(), open: true.into(), swallowed: false.into(), delivered, read }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(super) fn delivered(&self, direction: Direction) -> &AtomicU64 {
        &self.delivered[direction as usize]
    }

    pub(super) fn read(&self, direction: Direction) -> &AtomicU64 {
        &self.read[direction as usize]
    }

    pub(super) fn describe(&self) -> Connection {
        Connection {
            id: self.id,
            opened: self.opened,
            is_open: self.is_open(),
            bytes_to_server: self.delivered(Direction::ToServer).load(Ordering::Relaxed),
            bytes_to_client: self.delivered(Direction::ToClient).load(Ordering::Relaxed),
        }
    }
}
