//! Five primaries, three proxies, and a relay before each primary for each proxy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex as Plain;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use support::history::ghosts::Found;
use support::{Footprint, Kind, Proxy, ProxyOptions, Relay, Server, ServerOptions};
use tokio::sync::Mutex;

use crate::clocks::Clocks;
use crate::crowd::LONGEST_TTL;
use crate::plan::{PRIMARIES, PROXIES};
use crate::record::Record;

/// How long a proxy waits for one primary.
const NODE_TIMEOUT: u64 = 80;
/// How often a proxy looks at a primary of which it wants nothing, and for how long it waits for a sign of life.
const PROBE_INTERVAL: u64 = 200;
const SILENCE_TIMEOUT: u64 = 500;
/// How long a drained proxy may take.
const GRACE: u64 = 3_000;

/// The state of a proxy that has nothing to do any more: these are zero.
const GAUGES: [&str; 5] = ["withdrawals_pending", "waiting_clients", "lines", "waiters", "session_locks"];

/// The record that vouches for a primary's memory.
pub(crate) const MARKER: &str = "redlock-proxy:marker";

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) kind: Kind,
    pub(crate) servers: Vec<Mutex<Server>>,
    pub(crate) ports: Vec<u16>,
    /// Where servers can be shown another time of day.
    pub(crate) clocks: Option<Clocks>,
    /// For each proxy one before each primary.
    pub(crate) relays: Vec<Vec<Relay>>,
    pub(crate) proxies: Vec<Mutex<Proxy>>,
    pub(crate) addresses: Vec<String>,
    counters: Plain<Counters>,
}

/// Counters of all proxies, those that have ended included.
#[derive(Debug, Default)]
struct Counters {
    ended: BTreeMap<String, u64>,
    running: [BTreeMap<String, u64>; PROXIES],
}

/// How long a primary that forgot is kept out, a little more than that.
pub(crate) const QUARANTINE: Duration = Duration::from_millis(LONGEST_TTL + LONGEST_TTL / 100 + 2 + NODE_TIMEOUT + 50);

/// How long proxies need to see that a primary's clock has stepped, to look at the others, and to mark it; more than that.
pub(crate) const MARKING: Duration = Duration::from_millis(PROBE_INTERVAL + SILENCE_TIMEOUT + 800);

impl Rig {
    pub(crate) async fn start(kind: Kind, binary: &Path, seed: u64, settings: &[(String, String)]) -> Self {
        let clocks = kind.can_be_shown_a_clock().then(Clocks::new);
        let mut servers = Vec::new();
        for primary in 0..PRIMARIES {
            let options = match &clocks {
                Some(clocks) => ServerOptions::default().shown(clocks.shown(primary)),
                None => ServerOptions::default(),
            };
            servers.push(Server::start(kind, options).await);
        }
        let (mut relays, mut proxies) = (Vec::new(), Vec::new());
        for _ in 0..PROXIES {
            let links: Vec<Relay> = servers.iter().map(|server| Relay::start_seeded(server.address(), seed)).collect();
            proxies.push(Proxy::start(binary, options(&links, settings)).await);
            relays.push(links);
        }
        let addresses = proxies.iter().map(Proxy::address).collect();
        let proxies = proxies.into_iter().map(Mutex::new).collect();
        let ports = servers.iter().map(Server::port).collect();
        let servers = servers.into_iter().map(Mutex::new).collect();
        Self { kind, servers, ports, clocks, relays, proxies, addresses, counters: Plain::default() }
    }

    /// What the server calls itself.
    pub(crate) async fn server_version(&self) -> String {
        let server = self.servers[0].lock().await;
        let valkey = server.info("valkey_version").await;
        let version = if valkey.is_some() { valkey } else { server.info("redis_version").await };
        format!("{} {}", self.kind, version.expect("INFO tells the version"))
    }

    /// Every link is as it should be; those that were half open are not there any more.
    pub(crate) fn heal(&self) {
        for relay in self.relays.iter().flatten() {
            relay.reset();
            relay.heal();
        }
    }

    /// Looks at a proxy: its fields of INFO redlock. The counters are remembered.
    pub(crate) async fn look(&self, number: usize, proxy: &Proxy) -> BTreeMap<String, String> {
        let text = proxy.command(&["INFO", "redlock"]).await.text();
        let fields = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        let fields: BTreeMap<String, String> =
            fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let numbers = fields.iter().filter_map(|(name, value)| Some((name.clone(), value.parse().ok()?)));
        self.counters().running[number] = numbers.collect();
        fields
    }

    /// A proxy is about to end, and its counters with it.
    pub(crate) async fn look_for_the_last_time(&self, number: usize, proxy: &Proxy) {
        self.look(number, proxy).await;
        let mut counters = self.counters();
        for (name, count) in std::mem::take(&mut counters.running[number]) {
            *counters.ended.entry(name).or_default() += count;
        }
    }

    /// A counter over all proxies, as it was when they were last looked at.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let counters = self.counters();
        let running: u64 = counters.running.iter().filter_map(|running| running.get(name)).sum();
        running + counters.ended.get(name).copied().unwrap_or_default()
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every proxy has the votes of every primary.
    pub(crate) async fn all_vote(&self) -> bool {
        for (number, proxy) in self.proxies.iter().enumerate() {
            let fields = self.look(number, &*proxy.lock().await).await;
            if fields.get("primaries_voting") != Some(&PRIMARIES.to_string()) {
                return false;
            }
        }
        true
    }

    /// The records on all primaries.
    pub(crate) async fn locks(&self) -> Vec<Found> {
        let mut locks = Vec::new();
        for (number, server) in self.servers.iter().enumerate() {
            locks.extend(server.lock().await.locks(number).await);
        }
        locks
    }

    /// What proxies have not done with. Nothing, when nobody asks for anything and every lock has ended.
    pub(crate) async fn unfinished(&self) -> Vec<String> {
        let mut remains = Vec::new();
        for (number, proxy) in self.proxies.iter().enumerate() {
            let fields = self.look(number, &*proxy.lock().await).await;
            let field = |name: &str| fields.get(name).map_or("missing", String::as_str);
            for name in GAUGES.iter().filter(|name| field(name) != "0") {
                remains.push(format!("proxy {number} has {name} {}", field(name)));
            }
            // The one that asks is a client, too.
            if field("connected_clients") != "1" {
                remains.push(format!("proxy {number} has connected_clients {}", field("connected_clients")));
            }
            for primary in (0..PRIMARIES).map(|primary| format!("primary{primary}")) {
                if !field(&primary).split(',').any(|part| part == "queue=0") {
                    remains.push(format!("proxy {number}, {primary}: {}", field(&primary)));
                }
            }
        }
        remains
    }

    /// What each proxy takes, and which process it is.
    pub(crate) async fn footprints(&self) -> Vec<(u32, Footprint)> {
        let mut footprints = Vec::new();
        for proxy in &self.proxies {
            let proxy = proxy.lock().await;
            footprints.push((proxy.id(), proxy.footprint()));
        }
        footprints
    }

    /// Proxies have not ended by themselves, and no task of theirs has panicked.
    pub(crate) async fn look_for_panics(&self, record: &Record) {
        for (number, proxy) in self.proxies.iter().enumerate() {
            look_for_panic(record, number, &*proxy.lock().await);
        }
    }
}

/// Whether this proxy runs, and has never panicked.
pub(crate) fn look_for_panic(record: &Record, number: usize, proxy: &Proxy) {
    if let Some(status) = proxy.exit_status() {
        record.accuse(format!("proxy {number} has ended by itself ({status}):\n{}", proxy.log()));
    } else if proxy.log().contains("panicked") {
        record.accuse(format!("proxy {number} has panicked:\n{}", proxy.log()));
    }
}

/// A proxy that soon gives up what is silent and soon tries again, and whose quarantines are short. To proxies that have
/// never met them, the primaries are not to be trusted: they may have lost everything.
fn options(links: &[Relay], settings: &[(String, String)]) -> ProxyOptions {
    let impatient = [
        ("max_ttl_ms", LONGEST_TTL),
        ("node_timeout_ms", NODE_TIMEOUT),
        ("silence_timeout_ms", SILENCE_TIMEOUT),
        ("connect_timeout_ms", 300),
        ("probe_interval_ms", PROBE_INTERVAL),
        ("shutdown_grace_ms", GRACE),
    ];
    // One heap, that gives back what is free: else memory that threads keep for later looks like memory that is held.
    let options = ProxyOptions::new(links.iter().map(Relay::address))
        .environment("MALLOC_ARENA_MAX", "1")
        .environment("MALLOC_TRIM_THRESHOLD_", "65536")
        .set_all(&impatient)
        .set("new_set", "wait");
    settings.iter().fold(options, |options, (key, value)| options.set(key, value))
}

/// The proxy that was built with this program.
pub(crate) fn built_proxy() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    own.with_file_name("redlock-proxy")
}
