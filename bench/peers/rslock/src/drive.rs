//! A closed loop: each worker locks and releases in turn until the time is up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rslock::LockManager;
use tokio::task::JoinSet;

const TTL: Duration = Duration::from_secs(30);

pub async fn drive(manager: &LockManager, distinct: bool, clients: usize, span: Duration, name: &str) -> String {
    let began = Instant::now();
    let race = Arc::new(Race { last: AtomicUsize::new(usize::MAX), hand_overs: AtomicU64::new(0) });
    let mut workers = JoinSet::new();
    for client in 0..clients {
        let key = if distinct { format!("{name}{client}") } else { name.to_owned() };
        let race = Arc::clone(&race);
        let done = move || race.note(client);
        let work = work(manager.clone(), key, began + span, distinct, done);
        workers.spawn(async move { (client, work.await) });
    }
    let mut done = workers.join_all().await;
    let elapsed_us = began.elapsed().as_micros();

    done.sort_unstable_by_key(|&(client, _)| client);
    let pairs_per_client: Vec<_> = done.iter().map(|(_, work)| work.latencies_us.len()).collect();
    let errors: u64 = done.iter().map(|(_, work)| work.errors).sum();
    let mut latencies_us: Vec<u128> = done.into_iter().flat_map(|(_, work)| work.latencies_us).collect();
    latencies_us.sort_unstable();
    let pairs = latencies_us.len();
    let [p50, p99, p999] = [500, 990, 999].map(|per_mille| match pairs {
        0 => 0,
        _ => latencies_us[(pairs * per_mille).div_ceil(1000) - 1],
    });
    let counts =
        format!(r#""pairs":{pairs},"elapsed_us":{elapsed_us},"errors":{errors},"clients":{pairs_per_client:?}"#);
    let hand_overs = race.hand_overs.load(Ordering::Relaxed);
    let latencies = format!(r#""p50_us":{p50},"p99_us":{p99},"p999_us":{p999},"hand_overs":{hand_overs}"#);
    format!("{{{counts},{latencies}}}")
}

/// How often a pair was another client's than the one before.
struct Race {
    last: AtomicUsize,
    hand_overs: AtomicU64,
}

impl Race {
    fn note(&self, client: usize) {
        if self.last.swap(client, Ordering::Relaxed) != client {
            self.hand_overs.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[derive(Default)]
struct Work {
    latencies_us: Vec<u128>,
    errors: u64,
}

/// `lock` tries three times by itself. For a contended key it is called until it succeeds, as rslock's own `acquire`
/// does, which cannot be stopped: only a future that is dropped ends it, and that would leave records behind.
async fn work(manager: LockManager, key: String, end: Instant, distinct: bool, done: impl Fn()) -> Work {
    let mut work = Work::default();
    let mut asked = Instant::now();
    while Instant::now() < end {
        match manager.lock(key.as_bytes(), TTL).await {
            Ok(lock) => {
                lock.release().await;
                work.latencies_us.push(asked.elapsed().as_micros());
                done();
                asked = Instant::now();
            }
            Err(_) if distinct => {
                work.errors += 1;
                asked = Instant::now();
            }
            Err(_) => {}
        }
    }
    work
}
