//! What the fuzz target `request` begins with, said to the running program: every malformed, oversized and cut-off stream that
//! we could think of, at once, byte by byte, and from connections that break. Somebody else locks and unlocks meanwhile, and has
//! every answer; in the end nothing of it is left.

use std::fs;
use std::path::Path;

use support::{Kind, PATIENCE, Proxy, ProxyOptions, Server, ServerOptions, eventually, shared, unique_key};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::{Bystander, patient, start};

/// So many bytes of a stream come one by one.
const DRIPPED_BYTES: usize = 150;

/// The streams: those that are committed, and some that are too large for that.
fn streams() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/request");
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut streams: Vec<_> = files.map(|file| fs::read(file.expect("readable").path()).expect("readable")).collect();
    assert!(streams.len() > 50, "{} has only {} files", folder.display(), streams.len());
    streams.extend([
        [&b"*2\r\n$4\r\nECHO\r\n$2000000\r\n"[..], &b"x".repeat(2_000_000), b"\r\n"].concat(),
        [&b"*5000\r\n"[..], &b"$4\r\nPING\r\n".repeat(5_000)].concat(),
        b"\r\n".repeat(100_000),
        b"*0\r\n".repeat(100_000),
        b"PING\r\n".repeat(10_000),
    ]);
    streams
}

/// Sends a stream and its end, and reads whatever comes back, until that has an end too.
async fn at_once(proxy: &Proxy, stream: &[u8]) {
    let socket = TcpStream::connect(proxy.address()).await.expect("it accepts");
    let (mut from, mut to) = socket.into_split();
    let sent = async {
        // It may have been closed already.
        let _ = to.write_all(stream).await;
        let _ = to.shutdown().await;
    };
    let mut answer = vec![0; 65_536];
    // A reset is an end as well.
    let read = async { while matches!(from.read(&mut answer).await, Ok(length) if length > 0) {} };
    let both = async { tokio::join!(sent, read) };
    let shown = stream.get(..80).unwrap_or(stream).escape_ascii();
    timeout(PATIENCE, both).await.unwrap_or_else(|_| panic!("no end to \"{shown}\""));
}

/// All of them side by side, a byte each in turn; then they break off, one way or another.
async fn byte_by_byte(proxy: &Proxy, streams: &[Vec<u8>]) {
    let mut clients = Vec::new();
    for stream in streams {
        clients.push((proxy.connect().await, stream));
    }
    for place in 0..DRIPPED_BYTES {
        for (client, stream) in &mut clients {
            if let Some(byte) = stream.get(place) {
                // Some have been told what is wrong, and were closed.
                let _ = client.try_send_raw([*byte]).await;
            }
        }
    }
    for (index, (mut client, stream)) in clients.into_iter().enumerate() {
        match index % 3 {
            0 => drop(client),
            1 => client.reset(),
            _ => {
                let _ = client.try_send_raw(stream.get(DRIPPED_BYTES..).unwrap_or_default()).await;
            }
        }
    }
}

async fn nobody_is_harmed(options: ProxyOptions, relayed: bool) {
    // The streams take locks whose names others may use.
    let proxy = start(options.set("key_prefix", unique_key("corpus"))).await;
    let streams = streams();
    let bystander = Bystander::beside(&proxy, relayed).await;

    // What is opened once, and then stays, is open after the first pass.
    for stream in &streams {
        at_once(&proxy, stream).await;
    }
    // The bystander, and who asks.
    let all_gone = async || proxy.counter("connected_clients").await == 2;
    eventually(all_gone, "the first pass to be gone").await;
    let descriptors = proxy.footprint().descriptors;

    for stream in &streams {
        at_once(&proxy, stream).await;
    }
    byte_by_byte(&proxy, &streams).await;
    eventually(all_gone, "everybody else to be gone").await;
    let returned = async || proxy.footprint().descriptors <= descriptors;
    eventually(returned, format_args!("only {descriptors} descriptors to be open")).await;

    bystander.was_served().await;
    let log = proxy.log();
    assert!(!log.contains("panicked") && !log.contains("ended by a bug"), "{log}");
    assert_eq!(proxy.exit_status(), None);
}

#[tokio::test]
async fn no_stream_of_the_corpus_harms_another_client() {
    nobody_is_harmed(patient(shared(Kind::any(), 3).await.addresses()), false).await;
}

#[tokio::test]
async fn nor_does_it_beside_an_upstream() {
    let upstream = Server::start(Kind::any(), ServerOptions::default()).await;
    let options = patient(shared(Kind::any(), 3).await.addresses());
    nobody_is_harmed(options.argument("--upstream").argument(upstream.address()), true).await;
}
