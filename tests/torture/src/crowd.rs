//! The clients: each does one thing with locks, again and again, through whichever proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::index;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::clerk::Clerk;
use crate::line::Line;
use crate::plan::PROXIES;
use crate::record::Record;
use crate::score::Mode;

const CLIENTS: u64 = 64;
const KEYS: usize = 48;

/// The longest ttl that the proxies grant: short, so that quarantines end within a storm.
pub(crate) const LONGEST_TTL: u64 = 2_500;
/// Ttls that clients ask for, in milliseconds.
const TTLS: std::ops::RangeInclusive<u64> = 800..=LONGEST_TTL;

/// Clients, and what they contend for.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) record: Arc<Record>,
    addresses: Vec<String>,
    pub(crate) keys: Vec<String>,
    is_over: AtomicBool,
}

impl Crowd {
    /// Clients of these proxies, who begin at once.
    pub(crate) fn gather(
        record: &Arc<Record>,
        addresses: &[String],
        (seed, round): (u64, u64),
    ) -> (Arc<Self>, JoinSet<()>) {
        let keys = (0..KEYS).map(|number| format!("torture:{number}")).collect();
        let is_over = AtomicBool::new(false);
        let crowd = Arc::new(Self { record: Arc::clone(record), addresses: addresses.to_vec(), keys, is_over });
        let live = |number: u64| {
            let stream = (round * CLIENTS + number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            Client::new(Arc::clone(&crowd), number, StdRng::seed_from_u64(seed ^ stream)).live()
        };
        let clients = (0..CLIENTS).map(live).collect();
        (crowd, clients)
    }

    /// From now on nobody begins anything.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) crowd: Arc<Crowd>,
    pub(crate) clerk: Clerk,
    pub(crate) random: StdRng,
    pub(crate) lines: Vec<Line>,
}

impl Client {
    fn new(crowd: Arc<Crowd>, number: u64, random: StdRng) -> Self {
        let mode = Mode::ALL[usize::try_from(number).expect("few") % Mode::ALL.len()];
        let clerk = Clerk { record: Arc::clone(&crowd.record), name: format!("client-{number}"), mode };
        let lines = crowd.addresses.iter().enumerate().map(|(proxy, address)| Line::new(proxy, address)).collect();
        Self { crowd, clerk, random, lines }
    }

    async fn live(mut self) {
        self.pause(200).await;
        while !self.crowd.is_over.load(Ordering::Relaxed) {
            let succeeded = match self.clerk.mode {
                Mode::Plain => self.live_plainly().await,
                Mode::Owner => self.take_over().await,
                Mode::Wait => self.wait_in_line().await,
                Mode::Session => self.live_in_a_session().await,
                Mode::Fence => self.take_numbers().await,
                Mode::Several => self.take_several().await,
            };
            self.pause(if succeeded { 120 } else { 240 }).await;
        }
    }

    /// Waits up to so many milliseconds.
    pub(crate) async fn pause(&mut self, milliseconds: u64) {
        let pause = self.random.random_range(0..=1_000 * milliseconds);
        tokio::time::sleep(Duration::from_micros(pause)).await;
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u32) -> bool {
        self.random.random_ratio(1, times)
    }

    pub(crate) fn a_proxy(&mut self) -> usize {
        self.random.random_range(0..PROXIES)
    }

    pub(crate) fn a_ttl(&mut self) -> u64 {
        self.random.random_range(TTLS)
    }

    /// A new connection to a proxy.
    pub(crate) fn new_line(&mut self) -> Line {
        let proxy = self.a_proxy();
        Line::new(proxy, &self.crowd.addresses[proxy])
    }

    pub(crate) fn keys(&mut self, count: usize) -> Vec<String> {
        let chosen = index::sample(&mut self.random, KEYS, count);
        chosen.iter().map(|place| self.crowd.keys[place].clone()).collect()
    }
}
