//! Numbers rise from grant to grant, over very many grants through three proxies, while everything that can fail fails.
//!
//! `REDLOCK_FENCE_GRANTS` asks for more grants on each kind of server, `REDLOCK_SEED` for other choices:
//!
//! ```console
//! $ REDLOCK_FENCE_GRANTS=100000 cargo test --test suite fence::order -- --nocapture
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use support::{Fleet, Kind, PATIENCE, Proxy, ProxyOptions, Relay, eventually, unique_key};
use tokio::task::JoinSet;

use super::weather::{self, PRIMARIES, PROBED_EVERY, Tally, persistent};
use super::work::{PROXIES, Work};
use crate::common::{from_environment, relays, settled, start};

/// Grants on each kind of server.
const GRANTS: u64 = 1_000;
const CLIENTS: u64 = 32;
const KEYS: usize = 16;

/// A proxy that soon gives up what is silent, and soon tries again.
async fn proxy(links: &[Relay]) -> Proxy {
    let probed_every = u64::try_from(PROBED_EVERY.as_millis()).expect("short");
    let impatient = [
        ("node_timeout_ms", 100),
        ("silence_timeout_ms", 1_000),
        ("connect_timeout_ms", 300),
        ("probe_interval_ms", probed_every),
    ];
    // The primaries have every write on disk before they answer, and come back with it.
    start(ProxyOptions::new(links.iter().map(Relay::address)).set_all(&impatient).set("quarantine", "off")).await
}

/// Waits for so many grants; panics when none comes any more.
async fn until_granted(work: &Work, grants: usize) {
    let (mut last, mut since) = (0, Instant::now());
    while work.granted() < grants {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if work.granted() > last {
            (last, since) = (work.granted(), Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "no grant for {PATIENCE:?}, after {last}");
    }
}

/// When all is well again, every lock can be had through every proxy, and its number is larger still.
async fn every_key_is_free_in_the_end(work: &Work) {
    for key in 0..KEYS {
        for proxy in 0..PROXIES {
            let passed = async || work.pass_through(proxy, key).await;
            eventually(passed, format_args!("{} to be free for proxy {proxy}", work.keys[key])).await;
        }
    }
    for proxy in &work.proxies {
        settled(proxy).await;
        assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
    }
}

async fn total(work: &Work, counter: &str) -> u64 {
    let mut total = 0;
    for proxy in &work.proxies {
        total += proxy.counter(counter).await;
    }
    total
}

async fn numbers_rise(kind: Kind, grants: u64, seed: u64) {
    let mut fleet = Fleet::start_with(kind, PRIMARIES, persistent()).await;
    let links = [relays(&fleet), relays(&fleet), relays(&fleet)];
    let proxies = [proxy(&links[0]).await, proxy(&links[1]).await, proxy(&links[2]).await];
    let keys = (0..KEYS).map(|_| unique_key("numbered")).collect();
    let work = Arc::new(Work::new(proxies, keys, seed));
    let began = Instant::now();
    let mut clients: JoinSet<()> = (0..CLIENTS).map(|number| Arc::clone(&work).live(number)).collect();
    let grants = usize::try_from(grants).expect("so many fit");
    let enough = async {
        until_granted(&work, grants).await;
        work.end();
    };
    let ((), mut faults, cuts) =
        tokio::join!(enough, weather::strike(&mut fleet, &work, seed), weather::cut(&links, &work, seed));
    while let Some(ended) = clients.join_next().await {
        ended.expect("no client fails");
    }
    let (took, (refused, unsettled)) = (began.elapsed(), work.in_vain());
    every_key_is_free_in_the_end(&work).await;
    work.ends(&fleet).await;
    faults.extend(cuts);
    tell(kind, seed, &work, took, (refused, unsettled), &faults).await;
    work.history(|history| {
        history.assert_exclusive();
        history.assert_fences_rise();
    });
    assert!(total(&work, "fences_issued").await >= work.granted() as u64);
    // Where one round is always enough, nothing was in the way.
    assert!(total(&work, "fences_second_round").await > 0);
}

async fn tell(
    kind: Kind,
    seed: u64,
    work: &Work,
    took: Duration,
    (refused, unsettled): (usize, usize),
    faults: &Tally,
) {
    let grants = work.granted();
    println!("{kind}, seed {seed}: {grants} grants of {KEYS} locks to {CLIENTS} clients in {took:?}");
    println!("  in vain: {refused} refused, {unsettled} without a quorum");
    println!("  faults: {faults:?}");
    for counter in [
        "fences_second_round",
        "rlock_taken_over",
        "rlock_split_retries",
        "rlock_noquorum",
        "rlock_too_late",
        "rlock_abandoned",
        "wait_granted",
        "late_grants_undone",
    ] {
        println!("  {counter}: {}", total(work, counter).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_rise_from_grant_to_grant_while_primaries_and_links_fail() {
    let grants = from_environment("REDLOCK_FENCE_GRANTS").unwrap_or(GRANTS);
    let seed = from_environment("REDLOCK_SEED").unwrap_or(1);
    for &kind in Kind::all() {
        numbers_rise(kind, grants, seed).await;
    }
}
