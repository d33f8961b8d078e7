//! What clients cost that are connected and do nothing.
//!
//! Resident memory of the proxy, as `/proc` tells; what the kernel keeps for their sockets is not in it.

use std::path::Path;

use support::{ByteClient, Value, eventually};

/// A process may open 20,000 descriptors, and each of these takes two of the proxy's.
const CLIENTS: usize = 9_000;

/// How many ask at a time.
const AT_A_TIME: usize = 100;

/// Connects the clients, lets each ask once, and prints what one of them costs before and after.
pub(crate) async fn measure(binary: &Path) {
    let (upstream, proxy) = super::front(binary).await;
    eprintln!("{CLIENTS} idle clients");
    // What the proxy needs for itself is not to be counted: one client has come and gone.
    assert!(!proxy.command(&["GET", "key"]).await.is_error());
    eventually(async || proxy.counter("connected_clients").await == 1, "nobody but who asks").await;
    let empty = proxy.footprint().resident_bytes;
    let mut clients = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        clients.push(ByteClient::connect(proxy.address()).await);
    }
    eventually(async || proxy.counter("connected_clients").await == CLIENTS as u64 + 1, "all clients").await;
    let connected = proxy.footprint().resident_bytes;
    for clients in clients.chunks_mut(AT_A_TIME) {
        for client in clients.iter_mut() {
            client.send(&["GET", "key"]).await;
        }
        for client in clients {
            assert_eq!(client.read_reply().await, Value::NullBulk);
        }
    }
    let served = proxy.footprint().resident_bytes;
    let opened = upstream.info("connected_clients").await;
    let each = |bytes: u64| format!("{:.1} KiB", (bytes - empty) as f64 / CLIENTS as f64 / 1024.0);
    println!("## {CLIENTS} idle clients\n");
    println!("| | connections of the upstream | memory of the proxy | for each client |");
    println!("|---|---:|---:|---:|");
    println!("| none | | {} KiB | |", empty / 1024);
    println!("| connected | | {} KiB | {} |", connected / 1024, each(connected));
    println!("| after one GET each | {} | {} KiB | {} |\n", opened.unwrap_or_default(), served / 1024, each(served));
}
