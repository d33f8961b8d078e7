//! What the tests of the lock have in common: real primaries, the real program in front of them, and how its answers are read.
//!
//! The servers are those which the whole test process shares, and so is one proxy for each set of them: a test that harms nobody
//! needs nothing but keys of its own ([`unique_key`](support::unique_key)). Whoever needs a fault puts a [`Relayed`] set between.
//!
//! These proxies are patient: a machine that is busy with other tests must not make a primary miss a time-out which the test at hand
//! is not about.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use support::servers::shared;
use support::{ByteClient, Fleet, Kind, Proxy, ProxyOptions, Relay, Server, Value, eventually, unique_key};
use tokio::sync::OnceCell;

/// The program under test.
pub(crate) const PROXY: &str = env!("CARGO_BIN_EXE_redlock-proxy");

/// The longest ttl that a proxy takes unless it is told otherwise: what it set must be deleted, for it does not expire while a test runs.
pub(crate) const LONGEST_TTL: &str = "60000";

/// How long a patient proxy waits for a primary: a tenth of [`LONGEST_TTL`], the most that a lock allows.
pub(crate) const PATIENT_MS: u64 = 6_000;

/// An answer within this time did not wait for a silent primary, if the proxy is a patient one.
pub(crate) const PROMPT: Duration = Duration::from_millis(PATIENT_MS / 2);

/// A proxy in front of these primaries that waits long for a slow one.
pub(crate) fn patient<A: Into<String>>(primaries: impl IntoIterator<Item = A>) -> ProxyOptions {
    waiting(PATIENT_MS, primaries)
}

/// A proxy that waits so many milliseconds for a primary, and never replaces the connection to a slow one.
fn waiting<A: Into<String>>(node_timeout_ms: u64, primaries: impl IntoIterator<Item = A>) -> ProxyOptions {
    ProxyOptions::new(primaries).set("node_timeout_ms", node_timeout_ms).set("silence_timeout_ms", 60_000)
}

/// Starts a proxy and waits until every primary votes.
pub(crate) async fn start(options: ProxyOptions) -> Proxy {
    let proxy = Proxy::start(PROXY, options).await;
    let all = proxy.counter("primaries").await;
    voters(&proxy, all).await;
    proxy
}

/// Waits until exactly so many primaries vote.
pub(crate) async fn voters(proxy: &Proxy, count: u64) {
    eventually(async || proxy.counter("primaries_voting").await == count, format_args!("{count} voting primaries"))
        .await;
}

/// Primaries, and a patient proxy in front of them.
pub(crate) struct Set {
    pub(crate) fleet: &'static Fleet,
    pub(crate) proxy: Proxy,
}

/// The set that all tests share, for each kind and number of primaries one.
pub(crate) async fn shared_set(kind: Kind, count: usize) -> &'static Set {
    type Sets = Mutex<HashMap<(Kind, usize), &'static OnceCell<Set>>>;
    static SETS: OnceLock<Sets> = OnceLock::new();
    let set = {
        let mut sets = SETS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        *sets.entry((kind, count)).or_insert_with(|| Box::leak(Box::default()))
    };
    let first = async || {
        let fleet = shared(kind, count).await;
        Set { fleet, proxy: start(patient(fleet.addresses())).await }
    };
    set.get_or_init(first).await
}

/// Three and five primaries of every kind.
pub(crate) async fn every_set() -> Vec<&'static Set> {
    let mut sets = Vec::new();
    for &kind in Kind::all() {
        for count in [3, 5] {
            sets.push(shared_set(kind, count).await);
        }
    }
    sets
}

/// Each number of primaries once, on one kind of server or the other: for what takes its time.
pub(crate) fn three_and_five() -> impl Iterator<Item = (Kind, usize)> {
    Kind::all().iter().copied().cycle().zip([3, 5])
}

/// The shared primaries of a kind behind a relay each, and a proxy of the test's own that knows only the relays.
pub(crate) struct Relayed {
    pub(crate) fleet: &'static Fleet,
    pub(crate) relays: Vec<Relay>,
    pub(crate) proxy: Proxy,
}

impl Relayed {
    /// With a patient proxy.
    pub(crate) async fn start(kind: Kind, count: usize) -> Self {
        Self::waiting(PATIENT_MS, kind, count).await
    }

    /// With a proxy that waits so many milliseconds for a primary.
    pub(crate) async fn waiting(node_timeout_ms: u64, kind: Kind, count: usize) -> Self {
        let fleet = shared(kind, count).await;
        let relays: Vec<Relay> = fleet.iter().map(|server| Relay::start(server.address())).collect();
        let proxy = start(waiting(node_timeout_ms, relays.iter().map(Relay::address))).await;
        Self { fleet, relays, proxy }
    }
}

/// What RLOCK answers when it grants.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    pub(crate) token: String,
    pub(crate) validity: i64,
}

/// The grant in a reply; panics on any other.
#[track_caller]
pub(crate) fn granted(reply: &Value) -> Granted {
    match reply {
        Value::Array(items) if items.len() == 2 => Granted { token: items[0].text(), validity: items[1].integer() },
        other => panic!("not a grant: {other:?}"),
    }
}

/// What a lock costs of its ttl, at the default `clock_drift_factor`.
pub(crate) fn drift(ttl: i64) -> i64 {
    (ttl + 99) / 100 + 2
}

/// Takes a lock that must be free, and waits until every primary has its record.
pub(crate) async fn take(client: &mut ByteClient, fleet: &Fleet, key: &str, ttl: &str) -> Granted {
    let granted = granted(&client.call(&["RLOCK", key, ttl]).await);
    every_primary_holds(fleet, key, &granted.token).await;
    granted
}

/// Waits until every primary has `token` under `key`: a verdict does not wait for the last of them.
pub(crate) async fn every_primary_holds(fleet: &Fleet, key: &str, token: &str) {
    let holds = async || fleet.get(key).await.iter().all(|value| value.as_deref() == Some(token));
    eventually(holds, format_args!("every primary to hold {key} for {token}")).await;
}

/// Waits until a quorum of the primaries has `token` under `key`, and says which: a take-over that is decided asks no more of them.
pub(crate) async fn a_quorum_holds<'a>(fleet: &'a Fleet, key: &str, token: &str) -> Vec<&'a Server> {
    let mut holders = Vec::new();
    let decided = async || {
        let values = fleet.get(key).await;
        holders = fleet
            .iter()
            .zip(values)
            .filter(|(_, value)| value.as_deref() == Some(token))
            .map(|(server, _)| server)
            .collect();
        holders.len() > fleet.len() / 2
    };
    eventually(decided, format_args!("a quorum to hold {key} for {token}")).await;
    holders
}

/// Waits until no primary has anything under `key`.
pub(crate) async fn no_primary_holds(fleet: &Fleet, key: &str) {
    eventually(async || fleet.holding(key).await == 0, format_args!("no primary to hold {key}")).await;
}

/// Waits until the proxy owes no primary anything and has had every answer: what it did is done.
pub(crate) async fn settled(proxy: &Proxy) {
    for place in 0..proxy.counter("primaries").await {
        let idle =
            async || proxy.info(&format!("primary{place}")).await.is_some_and(|shown| shown.ends_with(",queue=0"));
        eventually(idle, format_args!("every answer of primary {place}")).await;
    }
    eventually(async || proxy.counter("withdrawals_pending").await == 0, "every withdrawal to be answered").await;
}

/// Makes somebody who does not use this proxy the holder of `key` there, without an expiry.
pub(crate) async fn occupy(server: &Server, key: &str, holder: &str) {
    assert_eq!(server.command(&["SET", key, holder]).await, Value::ok());
}

/// Waits until a record that is set now with this ttl has expired: by the clock of those who keep the locks.
pub(crate) async fn outlive(server: &Server, ttl: &str) {
    let witness = unique_key("witness");
    assert_eq!(server.command(&["SET", &witness, "", "PX", ttl]).await, Value::ok());
    eventually(async || !server.exists(&witness).await, format_args!("{ttl} ms")).await;
}
