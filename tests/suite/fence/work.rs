//! What clients do while everything fails: they take locks with numbers, in every way there is, and write down what they saw.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use support::history::ghosts::Ghost;
use support::history::{Answer, GrantId};
use support::resp::encode_command;
use support::{ByteClient, Fleet, History, Proxy, Value, eventually};

use super::Fenced;
use crate::common::Random;

pub(super) const PROXIES: usize = 3;

/// Long against what a client does with its lock, short against the test: what is left behind stands in nobody's way for long.
const TTL: &str = "1000";
/// No record may be there for longer behind the last request; that of a lock and as much again.
const GONE_WITHIN: Duration = Duration::from_secs(2);
/// Where a signing went nothing is withdrawn.
const OWNERS_TTL: &str = "600";
/// Of locks that nobody releases.
const SHORT_TTL: &str = "300";
/// How long somebody stands in line.
const WAIT: &str = "300";
/// The most locks that are asked for in one breath.
const BURST: usize = 4;

/// Proxies, keys, and what was seen of them.
pub(super) struct Work {
    pub(super) proxies: [Proxy; PROXIES],
    pub(super) keys: Vec<String>,
    seed: u64,
    began: Instant,
    history: Mutex<History>,
    granted: AtomicUsize,
    refused: AtomicUsize,
    unsettled: AtomicUsize,
    over: AtomicBool,
}

/// A lock that a client holds.
struct Held<'a> {
    key: &'a str,
    token: String,
    grant: GrantId,
}

impl Work {
    pub(super) fn new(proxies: [Proxy; PROXIES], keys: Vec<String>, seed: u64) -> Self {
        Self {
            proxies,
            keys,
            seed,
            began: Instant::now(),
            history: Mutex::default(),
            granted: AtomicUsize::default(),
            refused: AtomicUsize::default(),
            unsettled: AtomicUsize::default(),
            over: AtomicBool::default(),
        }
    }

    /// How many locks were granted so far.
    pub(super) fn granted(&self) -> usize {
        self.granted.load(Ordering::Relaxed)
    }

    /// How many requests were refused, and how many came to nothing for want of a quorum.
    pub(super) fn in_vain(&self) -> (usize, usize) {
        (self.refused.load(Ordering::Relaxed), self.unsettled.load(Ordering::Relaxed))
    }

    /// From now on nobody begins anything.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(super) fn history<T>(&self, look: impl FnOnce(&mut History) -> T) -> T {
        look(&mut self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One client's life.
    pub(super) async fn live(self: Arc<Self>, number: u64) {
        let mut random = Random::new(self.seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let name = format!("client-{number}");
        let mut clients =
            [self.proxies[0].connect().await, self.proxies[1].connect().await, self.proxies[2].connect().await];
        while !self.is_over() {
            let client = &mut clients[random.below(PROXIES)];
            let key = random.below(self.keys.len());
            let succeeded = match random.below(20) {
                0..=3 => self.pass(client, &name, key, &["WAIT", WAIT]).await,
                4 => self.ask(client, &name, &[key], SHORT_TTL, &[]).await.pop().flatten().is_some(),
                5..=7 => self.take_over(&mut clients, &name, key, &mut random).await,
                8..=11 => self.pass_around(&mut clients, &name, key, &mut random).await,
                _ => self.take_several(client, &name, &mut random).await,
            };
            random.pause(if succeeded { 2 } else { 20 }).await;
        }
    }

    /// Several locks in one breath, each for itself.
    async fn take_several(&self, client: &mut ByteClient, name: &str, random: &mut Random) -> bool {
        let first = random.below(self.keys.len());
        let count = 1 + random.below(BURST);
        let keys: Vec<usize> = (first..first + count).map(|key| key % self.keys.len()).collect();
        let held: Vec<_> = self.ask(client, name, &keys, TTL, &[]).await.into_iter().flatten().collect();
        random.pause(2).await;
        self.give_back(client, &held).await;
        !held.is_empty()
    }

    /// One lock, and at once back again. Whether it was had.
    async fn pass(&self, client: &mut ByteClient, name: &str, key: usize, options: &[&str]) -> bool {
        let held: Vec<_> = self.ask(client, name, &[key], TTL, options).await.into_iter().flatten().collect();
        self.give_back(client, &held).await;
        !held.is_empty()
    }

    /// One lock through this proxy and that, as fast as can be: each proxy begins where its own look at the clocks says.
    async fn pass_around(
        &self,
        clients: &mut [ByteClient; PROXIES],
        name: &str,
        key: usize,
        random: &mut Random,
    ) -> bool {
        let mut succeeded = false;
        for _ in 0..2 * PROXIES {
            let client = &mut clients[random.below(PROXIES)];
            succeeded |= self.pass(client, name, key, &[]).await;
        }
        succeeded
    }

    /// A lock with an owner, who asks for it again through this proxy and that, and does not always read what it is told.
    async fn take_over(
        &self,
        clients: &mut [ByteClient; PROXIES],
        name: &str,
        key: usize,
        random: &mut Random,
    ) -> bool {
        let options = ["OWNER", name];
        let mut last: Option<(usize, Held<'_>)> = None;
        for _ in 0..=random.below(4) {
            if let Some((_, held)) = &last {
                // A take-over gives the former grant up with its request.
                self.history(|history| history.given_up(held.grant, self.began.elapsed()));
            }
            if random.below(4) == 0 {
                // Away without its answer, and back through some proxy while that request is still under way.
                let mut gone = self.proxies[random.below(PROXIES)].connect().await;
                gone.send(&["RLOCK", &self.keys[key], OWNERS_TTL, "FENCE", "OWNER", name]).await;
                random.pause(1).await;
            }
            let proxy = random.below(PROXIES);
            if let Some(held) = self.ask(&mut clients[proxy], name, &[key], OWNERS_TTL, &options).await.pop().flatten()
            {
                last = Some((proxy, held));
            }
        }
        let Some((proxy, held)) = last else { return false };
        self.give_back(&mut clients[proxy], &[held]).await;
        true
    }

    /// Asks for each of these in one breath; what was granted of it, in its place.
    async fn ask(
        &self,
        client: &mut ByteClient,
        name: &str,
        keys: &[usize],
        ttl: &str,
        options: &[&str],
    ) -> Vec<Option<Held<'_>>> {
        let command = |key: &usize| encode_command(&[&["RLOCK", &self.keys[*key], ttl, "FENCE"], options].concat());
        let commands: Vec<u8> = keys.iter().flat_map(command).collect();
        let sent = self.began.elapsed();
        client.send_raw(commands).await;
        let mut held = Vec::new();
        for key in keys {
            let reply = client.read_reply().await;
            held.push(self.note(name, &self.keys[*key], sent, &reply));
        }
        held
    }

    /// Writes down what an RLOCK that was sent then has been answered just now.
    fn note<'a>(&self, name: &str, key: &'a str, sent: Duration, reply: &Value) -> Option<Held<'a>> {
        let arrived = self.began.elapsed();
        if reply.is_error_with("NOQUORUM") {
            self.unsettled.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let Some(Fenced { lock, number }) = Fenced::of(reply) else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let validity = Duration::from_millis(lock.validity.try_into().expect("a validity is positive"));
        let grant = self.history(|history| {
            let grant = history.granted(name, key, Answer { sent, arrived, validity });
            history.fenced(grant, number);
            history.signed(grant, lock.token.as_str());
            grant
        });
        self.granted.fetch_add(1, Ordering::Relaxed);
        Some(Held { key, token: lock.token, grant })
    }

    async fn give_back(&self, client: &mut ByteClient, held: &[Held<'_>]) {
        let now = self.began.elapsed();
        self.history(|history| held.iter().for_each(|held| history.given_up(held.grant, now)));
        let commands = held.iter().flat_map(|held| encode_command(&["RUNLOCK", held.key, &held.token]));
        client.send_raw(commands.collect::<Vec<u8>>()).await;
        for reply in client.read_replies(held.len()).await {
            assert!(matches!(reply, Value::Integer(0 | 1)) || reply.is_error_with("NOQUORUM"), "{reply:?}");
        }
    }

    /// Waits until nothing is left of any lock, which must be so when the last of them have had their time.
    pub(super) async fn ends(&self, fleet: &Fleet) {
        let quiet = self.began.elapsed();
        let is_gone = async || {
            let now = self.began.elapsed();
            let found = fleet.locks().await;
            let ghosts = self.history(|history| history.ghosts(&found, quiet, GONE_WITHIN, now));
            let ghosts: Vec<String> = ghosts.iter().map(Ghost::to_string).collect();
            assert!(ghosts.is_empty(), "{}", ghosts.join("\n"));
            found.is_empty()
        };
        eventually(is_gone, "every lock to end").await;
    }

    /// Takes a lock and gives it back, through this proxy; whether it could be had.
    pub(super) async fn pass_through(&self, proxy: usize, key: usize) -> bool {
        let mut client = self.proxies[proxy].connect().await;
        let held: Vec<_> = self.ask(&mut client, "afterwards", &[key], TTL, &[]).await.into_iter().flatten().collect();
        self.give_back(&mut client, &held).await;
        !held.is_empty()
    }
}
