//! What clients weigh that do nothing, or that wait for a lock.
//!
//! Resident memory of the proxy, as `/proc` tells; what the kernel keeps for their sockets is not in it. Each on a proxy of its
//! own, whose memory nothing else has grown.

use serde_json::json;
use support::{ByteClient, Proxy, Value, eventually};

use crate::front::Front;
use crate::numbers::grouped;
use crate::results::{Section, markdown};
use crate::stand::{Parts, Stand};

/// A process may open 20,000 descriptors, and each of these takes two of the proxy's.
const IDLE: usize = 9_000;
const WAITING: usize = 4_000;

/// How many ask at a time.
const AT_A_TIME: usize = 100;

/// Bytes for each client that does nothing.
pub const IDLE_BYTES: &str = "bytes of an idle client";
/// Bytes for each waiting RLOCK, beside its connection.
pub const WAITING_BYTES: &str = "bytes of a waiting RLOCK";

/// Connects the clients, lets each ask once, and tells what one of them costs before and after; and the same of a wait.
pub fn measure(parts: &Parts) -> Section {
    eprintln!("{IDLE} idle clients");
    let front = Front::start(parts.kind, &parts.proxy);
    let [connected, served] = front.wait(idle(&front.proxy));
    drop(front);
    eprintln!("{WAITING} waiting clients");
    let stand = Stand::start(parts);
    let waiting = stand.wait(waiting(&stand.proxy));
    let row = |what: &str, clients: usize, bytes: f64| vec![what.to_owned(), grouped(clients as f64), grouped(bytes)];
    let rows = [
        row("connected, and nothing else", IDLE, connected),
        row("the same after one GET, with its connection to the upstream", IDLE, served),
        row("RLOCK with WAIT of a held lock, beside its connection", WAITING, waiting),
    ];
    Section {
        title: "Memory of the proxy for one client".into(),
        text: markdown(&["what it does", "clients", "bytes for each"], rows),
        json: json!({"case": "memory", "connected": connected, "after_get": served, "waiting": waiting}),
        figures: vec![(IDLE_BYTES, connected), (WAITING_BYTES, waiting)],
        ..Section::default()
    }
}

async fn connect(proxy: &Proxy, clients: usize) -> Vec<ByteClient> {
    let mut connected = Vec::with_capacity(clients);
    for _ in 0..clients {
        connected.push(ByteClient::connect(proxy.address()).await);
    }
    let all = async || proxy.counter("connected_clients").await == clients as u64 + 1;
    eventually(all, "all clients").await;
    connected
}

/// Each client asks for something, so many at a time, and is answered like this.
async fn ask(clients: &mut [ByteClient], command: impl Fn(usize) -> Vec<String>, is_expected: fn(&Value) -> bool) {
    for (group, clients) in clients.chunks_mut(AT_A_TIME).enumerate() {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(&command(group * AT_A_TIME + number)).await;
        }
        for client in clients {
            let reply = client.read_reply().await;
            assert!(is_expected(&reply), "{reply:?}");
        }
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

async fn idle(proxy: &Proxy) -> [f64; 2] {
    // What the proxy needs for itself is not to be counted: one client has come and gone.
    assert!(!proxy.command(&["GET", "key"]).await.is_error());
    eventually(async || proxy.counter("connected_clients").await == 1, "nobody but who asks").await;
    let resident = || proxy.footprint().resident_bytes;
    let empty = resident();
    let mut clients = connect(proxy, IDLE).await;
    let connected = resident();
    ask(&mut clients, |_| words(["GET", "key"]), |reply| *reply == Value::NullBulk).await;
    [connected, resident()].map(|bytes| bytes.saturating_sub(empty) as f64 / IDLE as f64)
}

async fn waiting(proxy: &Proxy) -> f64 {
    let key = "bench:memory";
    let granted = |reply: &Value| matches!(reply, Value::Array(_));
    let mut clients = connect(proxy, WAITING).await;
    // Once through the whole of it, so that what a connection takes for good is not taken for the wait's.
    ask(&mut clients, |number| words(["RLOCK", &format!("{key}:{number}"), "500", "WAIT", "1"]), granted).await;
    assert!(granted(&proxy.command(&["RLOCK", key, "60000"]).await));
    let before = proxy.footprint().resident_bytes;
    for client in &mut clients {
        client.send(&["RLOCK", key, "60000", "WAIT", "60000"]).await;
    }
    eventually(async || proxy.counter("waiters").await == WAITING as u64, "all to wait").await;
    proxy.footprint().resident_bytes.saturating_sub(before) as f64 / WAITING as f64
}
