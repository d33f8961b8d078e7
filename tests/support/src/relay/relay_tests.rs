use super::*;
use crate::client::ByteClient;
use crate::waiting::eventually;
use tokio::net::TcpListener as Listener;

const LONG: Duration = Duration::from_millis(60);
/// Not forever, but longer than loopback takes.
const QUIET: Duration = Duration::from_millis(20);

/// Both ends of a connection through a relay.
async fn through_relay() -> (Relay, Listener, ByteClient, ByteClient) {
    let listener = Listener::bind("127.0.0.1:0").await.expect("a port is free");
    let relay = Relay::start_seeded(listener.local_addr().expect("bound").to_string(), 7);
    let (client, server) = connect(&relay, &listener).await;
    (relay, listener, client, server)
}

async fn connect(relay: &Relay, listener: &Listener) -> (ByteClient, ByteClient) {
    let mut client = ByteClient::connect(relay.address()).await;
    let (server, _) = listener.accept().await.expect("the relay connects");
    let mut server = ByteClient::from(server);
    // The relay's own side is connected when a byte has come through.
    server.send_raw("!").await;
    client.expect_bytes("!").await;
    (client, server)
}

#[tokio::test]
async fn bytes_and_ends_go_through_in_both_directions() {
    let (relay, _listener, mut client, mut server) = through_relay().await;
    client.send_raw("to the server").await;
    server.expect_bytes("to the server").await;
    server.send_raw("back").await;
    client.expect_bytes("back").await;
    assert_eq!((relay.bytes(Direction::ToServer), relay.bytes(Direction::ToClient)), (13, 5));

    client.shutdown_write().await;
    server.expect_eof().await;
    server.send_raw("still open").await;
    client.expect_bytes("still open").await;
    drop(server);
    client.expect_eof().await;
    eventually(async || relay.open() == 0, "the connection to be over").await;
    assert_eq!(relay.accepted(), 1);
}

#[tokio::test]
async fn a_black_hole_swallows_one_direction_and_leaves_the_other() {
    let (relay, _listener, mut client, mut server) = through_relay().await;
    relay.set(Direction::ToClient, Fault::BlackHole);
    client.send_raw("command").await;
    server.expect_bytes("command").await;
    server.send_raw("lost").await;
    eventually(async || relay.bytes_read(Direction::ToClient) == 5, "the bytes to be swallowed").await;
    relay.heal();
    server.send_raw("seen").await;
    client.expect_bytes("seen").await;
    assert_eq!(relay.bytes(Direction::ToClient), 5);
}

#[tokio::test]
async fn a_black_hole_swallows_the_end_of_a_stream_and_a_reset() {
    let (relay, listener, mut client, server) = through_relay().await;
    let (mut second_client, second_server) = connect(&relay, &listener).await;
    relay.set_both(Fault::BlackHole);
    drop(server);
    second_server.reset();
    assert!(client.is_quiet_for(QUIET).await && second_client.is_quiet_for(QUIET).await);
    assert_eq!(relay.open(), 2);
}

#[tokio::test]
async fn what_is_held_is_delivered_late_and_in_order_with_its_end() {
    let (relay, _listener, mut client, mut server) = through_relay().await;
    relay.set(Direction::ToServer, Fault::Hold);
    client.send_raw("one ").await;
    client.send_raw("two").await;
    client.shutdown_write().await;
    assert!(server.is_quiet_for(QUIET).await);
    relay.set(Direction::ToServer, Fault::Forward);
    assert_eq!(server.read_to_end().await, b"one two");
}

#[tokio::test]
async fn a_stalled_direction_is_not_read() {
    let (relay, _listener, mut client, mut server) = through_relay().await;
    relay.set(Direction::ToServer, Fault::Stall);
    client.send_raw("later").await;
    assert!(server.is_quiet_for(QUIET).await);
    assert_eq!(relay.bytes_read(Direction::ToServer), 0);
    relay.heal();
    server.expect_bytes("later").await;
}

#[tokio::test]
async fn a_delay_is_kept_and_order_with_it() {
    let (relay, _listener, mut client, mut server) = through_relay().await;
    relay.set(Direction::ToServer, Fault::Delay { latency: LONG, jitter: LONG });
    let sent = Instant::now();
    let text = b"the pieces in which this is sent";
    for piece in text {
        client.send_raw([*piece]).await;
    }
    server.expect_bytes(text).await;
    assert!(sent.elapsed() >= LONG, "after {:?}", sent.elapsed());
    // The other direction is not delayed: nothing else could make this quicker than the delay.
    relay.set(Direction::ToServer, Fault::Delay { latency: PATIENCE * 2, jitter: Duration::ZERO });
    server.send_raw("quick").await;
    client.expect_bytes("quick").await;
}

#[tokio::test]
async fn a_drip_lets_a_few_bytes_through_at_a_time() {
    let (relay, _listener, mut client, mut server) = through_relay().await;
    let pause = Duration::from_millis(10);
    relay.set(Direction::ToServer, Fault::Drip { bytes: 3, pause });
    let sent = Instant::now();
    client.send_raw("0123456789").await;
    server.expect_bytes("0123456789").await;
    // Four pieces, three pauses.
    assert!(sent.elapsed() >= pause * 3, "after {:?}", sent.elapsed());
}

#[tokio::test]
async fn a_truncated_connection_is_closed_behind_its_last_byte() {
    let (relay, _listener, mut client, mut server) = through_relay().await;
    server.send_raw("whole").await;
    client.expect_bytes("whole").await;
    relay.set(Direction::ToClient, Fault::Truncate { after: 5 });
    server.send_raw("*1\r\n$3\r\nabc\r\n").await;
    assert_eq!(client.read_to_end().await, b"*1\r\n$");
    server.expect_closed().await;
}

#[tokio::test]
async fn cut_closes_in_order_and_reset_does_not() {
    let (relay, listener, mut client, mut server) = through_relay().await;
    relay.cut();
    assert_eq!(relay.open(), 0);
    client.expect_eof().await;
    server.expect_eof().await;

    let (mut client, mut server) = connect(&relay, &listener).await;
    relay.reset();
    let error = client.try_read_reply().await.expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let error = server.try_read_reply().await.expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(relay.accepted(), 2);
}

#[tokio::test]
async fn half_close_ends_one_direction_only() {
    let (relay, _listener, mut client, mut server) = through_relay().await;
    relay.half_close(Direction::ToServer);
    server.expect_eof().await;
    server.send_raw("last words").await;
    client.expect_bytes("last words").await;
}

#[tokio::test]
async fn refused_connections_leave_open_ones_alone() {
    let (relay, listener, mut client, mut server) = through_relay().await;
    relay.refuse();
    let error = ByteClient::try_connect(relay.address()).await.expect_err("refused");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    client.send_raw("open").await;
    server.expect_bytes("open").await;
    relay.accept();
    let (mut client, mut server) = connect(&relay, &listener).await;
    client.send_raw("again").await;
    server.expect_bytes("again").await;
}

#[tokio::test]
async fn a_target_that_is_down_resets_and_a_dropped_relay_is_gone() {
    let relay = Relay::start(format!("127.0.0.1:{}", free_port()));
    // The reset may come while the connection is still being made.
    let error = match ByteClient::try_connect(relay.address()).await {
        Ok(mut client) => client.try_read_reply().await.expect_err("a reset"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let address = relay.address();
    drop(relay);
    assert!(ByteClient::try_connect(address).await.is_err());
}

#[tokio::test]
async fn one_connection_is_swallowed_and_the_others_go_on() {
    let (relay, listener, mut client, mut server) = through_relay().await;
    let (mut other_client, mut other_server) = connect(&relay, &listener).await;
    relay.swallow(1);
    client.send_raw("lost").await;
    server.send_raw("lost too").await;
    let read = |direction| relay.bytes_read(direction);
    eventually(async || read(Direction::ToServer) == 4 && read(Direction::ToClient) == 10, "all to be read").await;
    other_client.send_raw("through").await;
    other_server.expect_bytes("through").await;
    assert!(client.is_quiet_for(QUIET).await && server.is_quiet_for(QUIET).await);
}
