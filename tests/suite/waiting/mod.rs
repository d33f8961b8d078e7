//! Standing in line: RLOCK … WAIT.
//!
//! * `order`: everybody is served once, in the order of arrival, through two proxies.
//! * `newcomers`: those who do not wait, and owners, who need not.
//! * `wakes`: how the first in line learns that the lock is free, through whichever proxy, or although nobody tells.
//! * `several`: in line for several locks at once.
//! * `ends`: clients that leave, time that is up, a proxy that ends.
//! * `outages`: primaries that are away, with a line at the proxy.
//! * `through`: with an upstream.
//! * `cost`: what the primaries are asked, how long a hand-over takes, what a waiter weighs.

mod cost;
mod ends;
mod newcomers;
mod order;
mod outages;
mod several;
mod through;
mod wakes;

use std::time::Duration;

use support::{ByteClient, Fleet, Kind, PATIENCE, Proxy, Value, shared, unique_key};

use crate::common::{LONGEST_TTL, Lock, granted, patient, start};

/// Longer than any test takes.
const LONG: &str = "600000";

/// A connection on which a proxy is asked what it counts, as often as need be.
struct Watch(ByteClient);

impl Watch {
    async fn on(proxy: &Proxy) -> Self {
        Self(proxy.connect().await)
    }

    async fn counter(&mut self, field: &str) -> u64 {
        let info = self.0.call(&["INFO", "redlock"]).await.text();
        let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {field} in {info}")).parse().expect("a number")
    }

    /// Waits until the counter says so.
    async fn until(&mut self, field: &str, value: u64) {
        self.until_it(field, |now| now == value).await;
    }

    async fn until_it(&mut self, field: &str, is_right: impl Fn(u64) -> bool) {
        let began = std::time::Instant::now();
        loop {
            let now = self.counter(field).await;
            if is_right(now) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{field} stays {now}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Two proxies in front of the same primaries.
struct Pair {
    fleet: &'static Fleet,
    proxies: [Proxy; 2],
}

impl Pair {
    async fn start(kind: Kind) -> Self {
        let fleet = shared(kind, 3).await;
        let proxies = [start(patient(fleet.addresses())).await, start(patient(fleet.addresses())).await];
        for proxy in &proxies {
            assert_eq!(proxy.counter("waiters").await, 0);
        }
        Self { fleet, proxies }
    }

    /// A lock that is taken, with the first proxy watched.
    async fn held(&self, name: &str) -> Held {
        let (watch, key) = (Watch::on(&self.proxies[0]).await, unique_key(name));
        let mut holder = self.proxies[0].connect().await;
        let lock = granted(&holder.call(&["RLOCK", &key, LONGEST_TTL]).await);
        Held { watch, key, holder, lock }
    }

    async fn watches(&self) -> [Watch; 2] {
        [Watch::on(&self.proxies[0]).await, Watch::on(&self.proxies[1]).await]
    }
}

/// A lock that somebody holds through the first proxy of a pair, and who watches that.
struct Held {
    watch: Watch,
    key: String,
    holder: ByteClient,
    lock: Lock,
}

/// A client that stands in line, behind so many others of its proxy.
async fn queued(proxy: &Proxy, watch: &mut Watch, behind: u64, key: &str, options: &[&str]) -> ByteClient {
    let mut client = proxy.connect().await;
    client.send(&[&["RLOCK", key, LONGEST_TTL, "WAIT", LONG], options].concat()).await;
    watch.until("waiters", behind + 1).await;
    client
}

/// The grant of a client that waits, however long that takes as long as others get theirs.
async fn granted_in_turn(client: &mut ByteClient, served: impl Fn() -> usize) -> Lock {
    loop {
        let before = served();
        if !client.is_quiet_for(PATIENCE / 2).await {
            return granted(&client.read_reply().await);
        }
        assert!(served() > before, "nobody is served any more");
    }
}

async fn release(client: &mut ByteClient, key: &str, lock: &Lock) {
    assert_eq!(client.call(&["RUNLOCK", key, &lock.token]).await, Value::Integer(1));
}
