//! Thousands of clients that come together, lock, and go together; and clients that send and never read. Whoever is beside them is
//! served, and afterwards the proxy is what it was.

use std::time::Duration;

use support::{ByteClient, Fleet, Kind, Proxy, Value, eventually, unique_key};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::common::{Bystander, SESSION_TTL, need_descriptors, patient, start, with_descriptors};

/// As many as descriptors allow on a machine where a process may have 20,000.
const CLIENTS: usize = 9_000;
/// How many connect at a time: fewer than the system keeps waiting for the proxy to accept them.
const AT_A_TIME: usize = 500;

/// One client that comes, takes a lock of its session, and waits for the sign to go.
async fn come(address: String, number: usize, prefix: String) -> std::io::Result<(ByteClient, Value)> {
    let mut client = ByteClient::try_connect(address).await?;
    client.try_send_raw(format!("RLOCK {prefix}{number} {SESSION_TTL} SESSION\r\n")).await?;
    let reply = client.try_read_reply().await?;
    Ok((client, reply))
}

/// Some close, some reset, some have asked for more and read nothing.
async fn go(mut client: ByteClient, number: usize, prefix: &str) {
    match number % 3 {
        0 => drop(client),
        1 => client.reset(),
        _ => drop(client.try_send_raw(format!("RLOCK {prefix}{number} {SESSION_TTL} WAIT 1000\r\nPING\r\n")).await),
    }
}

/// All come, and all go. Gives how many had a lock.
async fn storm(proxy: &Proxy, clients: usize, prefix: &str) -> usize {
    let mut here = Vec::with_capacity(clients);
    for first in (0..clients).step_by(AT_A_TIME) {
        let mut coming = JoinSet::new();
        for number in first..(first + AT_A_TIME).min(clients) {
            coming.spawn(come(proxy.address(), number, prefix.to_owned()));
        }
        here.extend(coming.join_all().await.into_iter().flatten());
    }
    let granted = here.iter().filter(|(_, reply)| matches!(reply, Value::Array(_))).count();
    for (number, (client, _)) in here.into_iter().enumerate() {
        go(client, number, prefix).await;
    }
    granted
}

/// Waits until the proxy has as many descriptors and clients as before, and the primaries nothing.
async fn is_over(proxy: &Proxy, fleet: &Fleet, descriptors: usize, prefix: &str) {
    let back = async || proxy.footprint().descriptors <= descriptors;
    eventually(back, format_args!("only {descriptors} descriptors to be open")).await;
    // Itself.
    eventually(async || proxy.counter("connected_clients").await == 1, "all to be gone").await;
    eventually(async || proxy.counter("session_locks").await == 0, "no lock to be bound").await;
    let left = async || {
        let mut left = 0;
        for server in fleet.iter() {
            left += server.command(&["KEYS", &format!("{prefix}*")]).await.items().len();
        }
        left == 0
    };
    eventually(left, "every lock to be released, or to have ended with its ttl").await;
}

#[tokio::test]
async fn thousands_of_clients_come_and_go_and_nothing_of_them_is_left() {
    need_descriptors(CLIENTS as u64 + 1_000);
    let fleet = Fleet::start(Kind::any(), 3).await;
    let proxy = start(patient(fleet.addresses())).await;
    let before = proxy.footprint().descriptors;
    let bystander = Bystander::beside(&proxy, false).await;
    for round in 0..2 {
        let prefix = format!("{}:", unique_key("storm"));
        let granted = storm(&proxy, CLIENTS, &prefix).await;
        assert_eq!(granted, CLIENTS, "round {round}");
        // Or there is no room for all of the next.
        eventually(async || proxy.counter("connected_clients").await == 2, "all but two to be gone").await;
    }
    bystander.was_served().await;
    is_over(&proxy, &fleet, before, "storm").await;
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}

#[tokio::test]
async fn with_too_few_descriptors_some_are_turned_away_and_the_proxy_lives() {
    need_descriptors(3_000);
    let (_folder, program) = with_descriptors(300);
    let fleet = Fleet::start(Kind::any(), 3).await;
    let proxy = Proxy::start(&program, patient(fleet.addresses()).await_ready()).await;
    let (before, prefix) = (proxy.footprint().descriptors, unique_key("storm"));
    let granted = storm(&proxy, 2_000, &prefix).await;
    assert!((20..300).contains(&granted), "{granted} of 2,000 had a lock");
    is_over(&proxy, &fleet, before, &prefix).await;
    assert!(proxy.counter("rejected_connections").await > 0);
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}

/// Sends one command again and again, and never reads. Gives up when nothing is taken for a second, or the other side has closed.
async fn flood(address: String, command: String, bytes: usize) {
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    let piece = command.repeat(64 * 1024 / command.len() + 1);
    for _ in 0..bytes / piece.len() {
        match timeout(Duration::from_secs(1), stream.write_all(piece.as_bytes())).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

#[tokio::test]
async fn clients_that_flood_and_never_read_take_no_memory_and_hold_nobody_up() {
    const MIB: u64 = 1024 * 1024;
    let fleet = Fleet::start(Kind::any(), 3).await;
    let proxy = start(patient(fleet.addresses())).await;
    let bystander = Bystander::beside(&proxy, false).await;
    let (descriptors, memory) = (proxy.footprint().descriptors, proxy.footprint().resident_bytes);
    let mut floods = JoinSet::new();
    for number in 0..8 {
        let lock = format!("RLOCK flood:{number} 1000\r\n");
        let unknown = format!("RUNLOCK flood:{number} {}\r\n", "t".repeat(200));
        for command in ["PING\r\n".to_owned(), "COMMAND DOCS\r\n".to_owned(), lock, unknown] {
            floods.spawn(flood(proxy.address(), command, 32 * 1024 * 1024));
        }
    }
    floods.join_all().await;
    // 32 clients, with a buffer in each direction and replies of the proxy's own up to their limit at the worst.
    let taken = proxy.footprint().resident_bytes.saturating_sub(memory);
    assert!(taken < 32 * 8 * MIB, "{} MiB", taken / MIB);
    bystander.was_served().await;
    let back = async || proxy.footprint().descriptors <= descriptors;
    eventually(back, format_args!("only {descriptors} descriptors to be open")).await;
}
