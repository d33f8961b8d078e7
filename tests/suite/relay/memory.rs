//! Bytes pass through the proxy; they do not gather in it.

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use support::{ByteClient, Direction, Kind, Proxy, Relay, Server, ServerOptions, Value, eventually, shared};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{Front, PROXY, options, proxy_before, voting};

const MEGABYTE: u64 = 1024 * 1024;

/// What a large value may add to the proxy's memory: buffers, and what an allocator keeps of them.
const FEW: u64 = 8 * MEGABYTE;

/// The most memory the proxy has ever had, in bytes.
fn peak(proxy: &Proxy) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.id())).expect("the proxy runs");
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    peak.map(|kilobytes: u64| kilobytes * 1024).expect("the kernel tells the peak")
}

/// Sets a value of so many bytes and gets it back; only its length and its ends are looked at.
async fn set_and_get(proxy: &Proxy, key: &str, length: u64) {
    let mut stream = TcpStream::connect(proxy.address()).await.expect("the proxy accepts");
    let head = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${length}\r\n", key.len());
    stream.write_all(head.as_bytes()).await.expect("it is read");
    let piece = vec![b'v'; 256 * 1024];
    let mut left = length;
    while left > 0 {
        let part = &piece[..piece.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        stream.write_all(part).await.expect("it is read");
        left -= part.len() as u64;
    }
    let get = format!("\r\n*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
    stream.write_all(get.as_bytes()).await.expect("it is read");
    let head = format!("+OK\r\n${length}\r\n");
    let mut start = vec![0; head.len()];
    stream.read_exact(&mut start).await.expect("it is answered");
    assert_eq!(start.escape_ascii().to_string(), head.as_bytes().escape_ascii().to_string());
    discard(&mut stream, length).await;
    let mut end = [0; 2];
    stream.read_exact(&mut end).await.expect("it is answered");
    assert_eq!(&end, b"\r\n");
}

async fn discard(stream: &mut TcpStream, length: u64) {
    let mut body = stream.take(length);
    let read = tokio::io::copy(&mut body, &mut tokio::io::sink()).await.expect("the whole value comes");
    assert_eq!(read, length);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_of_hundreds_of_megabytes_adds_a_few_to_the_proxys_memory() {
    let front = Front::start(Kind::any()).await;
    set_and_get(&front.proxy, "warm", MEGABYTE).await;
    let before = peak(&front.proxy);
    for megabytes in [64, 300] {
        set_and_get(&front.proxy, "large", megabytes * MEGABYTE).await;
        let grown = peak(&front.proxy) - before;
        assert!(grown < FEW, "{grown} bytes for a value of {megabytes} megabytes");
    }
}

/// A server with a value, a relay before it, and the proxy before that.
async fn far(value: u64) -> (Server, Relay, Proxy) {
    let kind = Kind::any();
    let upstream = Server::start(kind, ServerOptions::default()).await;
    let last = (value - 1).to_string();
    assert_eq!(upstream.command(&["SETRANGE", "large", &last, "x"]).await, Value::Integer(value.cast_signed()));
    let relay = Relay::start(upstream.address());
    let proxy = proxy_before(kind, &relay.address()).await;
    (upstream, relay, proxy)
}

/// Asks for the value and reads nothing, with as small a buffer of the kernel's as it gives.
async fn ask_and_not_read(proxy: &Proxy) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a socket takes the option");
    let mut stream = socket.connect(proxy.address().parse().expect("an address")).await.expect("the proxy accepts");
    stream.write_all(b"*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n").await.expect("it is read");
    stream
}

/// Waits until the upstream has sent more than `so_far` and nothing more comes, and says how much it has sent since.
async fn at_rest(relay: &Relay, so_far: u64) -> u64 {
    let (mut last, mut looks) = (0, 0);
    let rests = async || {
        let now = relay.bytes(Direction::ToClient);
        looks = if now == last && now > so_far { looks + 1 } else { 0 };
        last = now;
        looks == 60
    };
    eventually(rests, "the upstream to be read no more").await;
    last - so_far
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_stops_the_upstream_from_being_read() {
    const VALUE: u64 = 128 * MEGABYTE;
    let (_upstream, relay, proxy) = far(VALUE).await;
    set_and_get(&proxy, "warm", MEGABYTE).await;
    let (before, so_far) = (peak(&proxy), relay.bytes(Direction::ToClient));
    let mut slow = ask_and_not_read(&proxy).await;
    // What has come lies in the kernel's buffers, which grow to some megabytes each.
    let came = at_rest(&relay, so_far).await;
    assert!(came < VALUE / 4, "{came} bytes have been read from the upstream for a client that reads nothing");
    assert!(peak(&proxy) - before < FEW, "{} bytes more", peak(&proxy) - before);
    // Others are served meanwhile.
    let mut other = ByteClient::connect(proxy.address()).await;
    assert_eq!(other.call(&["STRLEN", "large"]).await, Value::Integer(VALUE.cast_signed()));

    let head = format!("${VALUE}\r\n");
    let mut start = vec![0; head.len()];
    slow.read_exact(&mut start).await.expect("it is answered");
    assert_eq!(start, head.as_bytes());
    discard(&mut slow, VALUE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_that_do_not_read_cost_a_buffer_each() {
    const CLIENTS: u64 = 60;
    // Twice the default of `limits.buffer_bytes`, one for each direction, and as much again for all else.
    const EACH: u64 = 4 * 65_536;
    let (_upstream, relay, proxy) = far(8 * MEGABYTE).await;
    let (before, so_far) = (peak(&proxy), relay.bytes(Direction::ToClient));
    let slow = join_all((0..CLIENTS).map(|_| ask_and_not_read(&proxy))).await;
    at_rest(&relay, so_far).await;
    let grown = peak(&proxy) - before;
    assert!(grown < CLIENTS * EACH + FEW, "{grown} bytes for {CLIENTS} clients");
    drop(slow);
    let gone = async || proxy.counter("connected_clients").await == 1;
    eventually(gone, "the proxy to notice that they have left").await;
}

/// A client that sends much for an upstream that does not read is not read either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_does_not_read_stops_the_client_from_being_read() {
    const VALUE: u64 = 128 * MEGABYTE;
    let (_upstream, relay, proxy) = far(MEGABYTE).await;
    let before = peak(&proxy);
    relay.set(Direction::ToServer, support::Fault::Stall);
    let mut stream = TcpStream::connect(proxy.address()).await.expect("the proxy accepts");
    let writing = async {
        stream.write_all(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${VALUE}\r\n").as_bytes()).await?;
        let piece = vec![b'v'; usize::try_from(MEGABYTE).expect("a megabyte")];
        let mut written = 0;
        while written < VALUE {
            match tokio::time::timeout(Duration::from_millis(500), stream.write_all(&piece)).await {
                Ok(done) => done?,
                Err(_stuck) => break,
            }
            written += MEGABYTE;
        }
        std::io::Result::Ok(written)
    };
    let written = writing.await.expect("the connection stays");
    assert!(written < VALUE / 4, "{written} bytes have been taken from the client");
    assert!(peak(&proxy) - before < FEW, "{} bytes more", peak(&proxy) - before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_larger_than_the_buffer_passes_behind_one_of_the_proxys_own() {
    const VALUE: usize = 200_000;
    const ROUNDS: usize = 40;
    let front = Front::start(Kind::any()).await;
    front.upstream.command(&["SET", "large", &"v".repeat(VALUE)]).await;
    let mut client = front.proxy.connect().await;
    client.send_raw("GET large\r\nRUNLOCK job none\r\n".repeat(ROUNDS)).await;
    for round in 0..ROUNDS {
        assert_eq!(client.read_reply().await, Value::bulk("v".repeat(VALUE)), "round {round}");
        assert_eq!(client.read_reply().await, Value::Integer(0), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_larger_than_the_buffer_passes_when_a_lock_command_ends() {
    let front = Front::start(Kind::any()).await;
    let mut client = front.proxy.connect().await;
    client.call(&["HELLO", "3"]).await;
    client.call(&["SUBSCRIBE", "news"]).await;
    assert!(!client.call(&["RLOCK", "message", "60000"]).await.is_error());
    // As many lock commands as messages, so that some message comes while one is under way.
    let message = "m".repeat(150_000);
    for _ in 0..20 {
        client.send_raw("RUNLOCK message none\r\n".repeat(8)).await;
        front.upstream.command(&["PUBLISH", "news", &message]).await;
        let (mut answers, mut messages) = (0, 0);
        while answers < 8 || messages < 1 {
            match client.read_reply().await {
                Value::Integer(0) => answers += 1,
                _ => messages += 1,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_does_not_fit_the_smallest_buffer_follows_a_lock_reply() {
    let kind = Kind::any();
    let upstream = Server::start(kind, ServerOptions::default()).await;
    let options = options(shared(kind, 3).await.addresses(), &upstream.address()).set("limits.buffer_bytes", 4_096);
    let proxy = Proxy::start(PROXY, options).await;
    voting(&proxy, shared(kind, 3).await).await;
    let mut client = proxy.connect().await;
    let value = "v".repeat(20_000);
    assert_eq!(client.call(&["SET", "a", &value]).await, Value::ok());
    let reply = format!(":0\r\n$20000\r\n{value}\r\n");
    for _ in 0..200 {
        client.send_raw("RUNLOCK fits x\r\nGET a\r\n").await;
        client.expect_bytes(&reply).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deep_pipeline_whose_replies_are_read_late_passes_whole() {
    let front = Front::start(Kind::any()).await;
    let mut client = front.proxy.connect().await;
    let value = "x".repeat(1_000);
    client.send_raw("SET a ".to_owned() + &value + "\r\n" + &"GET a\r\n".repeat(50_000)).await;
    client.expect_bytes("+OK\r\n").await;
    let reply = format!("$1000\r\n{value}\r\n").repeat(1_000);
    for _ in 0..50 {
        client.expect_bytes(&reply).await;
    }
}
