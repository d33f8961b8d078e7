//! Real servers with something in between: a proxy whose primaries can be cut off, one by one.
//!
//! A [`Rig`] owns its servers, so that a test may kill and stop them, and stands relays before them unless the fault is the
//! server's own death: behind a relay a dead server still has an open port. [`scripted`] primaries say what a real server cannot
//! be made to say.

use std::time::{Duration, Instant};

use support::{Action, Fleet, Kind, Proxy, ProxyOptions, Relay, ScriptedNode, Value, eventually};

const PROXY: &str = env!("CARGO_BIN_EXE_redlock-proxy");

/// A ttl that no test outlives: what is gone before it has been deleted.
pub(crate) const LONG: &str = "60000";

/// A proxy in front of servers of its own.
pub(crate) struct Rig {
    pub(crate) servers: Fleet,
    /// One before each server; none where the proxy talks to them directly.
    pub(crate) relays: Vec<Relay>,
    pub(crate) proxy: Proxy,
}

impl Rig {
    /// Servers behind relays, all of them up.
    pub(crate) async fn relayed(kind: Kind, count: usize, settings: &[(&str, u64)]) -> Self {
        let servers = Fleet::start(kind, count).await;
        let relays: Vec<Relay> = servers.iter().map(|server| Relay::start(server.address())).collect();
        let proxy = proxy(relays.iter().map(Relay::address), settings).await;
        all_up(&proxy, count).await;
        Self { servers, relays, proxy }
    }

    /// Servers that the proxy talks to directly, all of them up.
    pub(crate) async fn direct(kind: Kind, count: usize, settings: &[(&str, u64)]) -> Self {
        let servers = Fleet::start(kind, count).await;
        let proxy = proxy(servers.addresses(), settings).await;
        all_up(&proxy, count).await;
        Self { servers, relays: Vec::new(), proxy }
    }

    /// The address under which the proxy knows a primary.
    pub(crate) fn address(&self, index: usize) -> String {
        self.relays.get(index).map_or_else(|| self.servers[index].address(), Relay::address)
    }

    /// Waits until no server has the key.
    pub(crate) async fn gone(&self, key: &str) {
        eventually(async || self.servers.holding(key).await == 0, format_args!("{key} to be gone everywhere")).await;
    }

    /// Waits until every primary is up and nothing is owed to any.
    pub(crate) async fn settled(&self) {
        all_up(&self.proxy, self.servers.len()).await;
        eventually(async || self.proxy.counter("withdrawals_pending").await == 0, "every withdrawal to be made").await;
    }
}

/// A proxy before these primaries, with these numbers in its configuration.
pub(crate) async fn proxy(primaries: impl IntoIterator<Item = String>, settings: &[(&str, u64)]) -> Proxy {
    let options = ProxyOptions::new(primaries);
    Proxy::start(PROXY, settings.iter().fold(options, |options, (key, value)| options.set(key, value))).await
}

/// Waits until so many primaries are up.
pub(crate) async fn all_up(proxy: &Proxy, count: usize) {
    let up = async || proxy.counter("primaries_up").await == count as u64;
    eventually(up, format_args!("{count} primaries to be up")).await;
}

/// One field of a primary's line in INFO redlock, such as `state`.
pub(crate) async fn primary_field(proxy: &Proxy, index: usize, field: &str) -> String {
    let line = proxy.info(&format!("primary{index}")).await.expect("each primary has a line");
    let value = line.split(',').find_map(|part| part.strip_prefix(field)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {field} in {line}")).to_owned()
}

/// A primary that knows the three scripts by their number of arguments, and else what a small server knows.
pub(crate) fn scripted() -> ScriptedNode {
    let node = ScriptedNode::start();
    let told_by_arguments = |command: &support::scripted::Recorded| match command.arguments.len() {
        5 => Action::CompareAndDelete,
        _ => Action::CompareAndExtend,
    };
    node.on_call("EVALSHA", told_by_arguments);
    node.on_call("EVAL", told_by_arguments);
    node
}

/// From now on the node does this about every SET of a lock. The proxy tries SET out on connecting, with a ttl of 0.
pub(crate) fn on_acquire(node: &ScriptedNode, action: Action) {
    node.on_call("SET", move |command| if command.argument(5) == "0" { Action::Execute } else { action.clone() });
}

/// The token and the validity of a lock that was granted.
#[track_caller]
pub(crate) fn granted(reply: &Value) -> (String, i64) {
    match reply {
        Value::Array(items) if items.len() == 2 => (items[0].text(), items[1].integer()),
        other => panic!("not granted: {other:?}"),
    }
}

/// The reasons in a NOQUORUM error, by address, with the count of those that answered.
#[track_caller]
pub(crate) fn reasons(reply: &Value) -> (String, Vec<(String, String)>) {
    assert!(reply.is_error_with("NOQUORUM"), "not NOQUORUM: {reply:?}");
    let line = match reply {
        Value::Error(line) => line.clone(),
        other => panic!("not an error: {other:?}"),
    };
    let (head, list) = line.split_once(": ").unwrap_or_else(|| panic!("no reasons: {line}"));
    let split = |reason: &str| match reason.split_once(' ') {
        Some((address, words)) => (address.to_owned(), words.to_owned()),
        None => panic!("{reason} is no reason: {line}"),
    };
    (head.to_owned(), list.split("; ").map(split).collect())
}

/// What came of it, and how long it took.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let started = Instant::now();
    let result = work.await;
    (result, started.elapsed())
}
