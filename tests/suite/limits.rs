//! Every `limits.*` key, set to something small: what happens there, and that it happens nowhere below.

use std::time::{Duration, Instant};

use support::resp::encode_command;
use support::{Action, ByteClient, Kind, PATIENCE, Proxy, ProxyOptions, ScriptedNode, Value, eventually, shared};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::common::{Lock, PROXY, granted, patient, start, with_descriptors};

/// More than any kernel buffers on the way.
const FLOOD_BYTES: usize = 64 * 1024 * 1024;

/// A proxy in front of the shared servers.
async fn limited(key: &str, value: impl std::fmt::Display) -> Proxy {
    limited_by(&[(key, value.to_string())]).await
}

async fn limited_by(settings: &[(&str, String)]) -> Proxy {
    let fleet = shared(Kind::any(), 3).await;
    // Not asked over and over whether every primary votes: with few connections, or short-lived ones, that is in the way.
    Proxy::start(PROXY, patient(fleet.addresses()).set_all(settings).await_ready()).await
}

/// Three nodes, and a proxy that waits long for them.
async fn in_front_of_nodes(settings: &[(&str, &str)]) -> ([ScriptedNode; 3], Proxy) {
    let nodes = [ScriptedNode::start(), ScriptedNode::start(), ScriptedNode::start()];
    let options = ProxyOptions::new(nodes.iter().map(ScriptedNode::address));
    let options = options.set("node_timeout_ms", 20_000).set("silence_timeout_ms", 60_000).set("max_ttl_ms", 600_000);
    let proxy = start(options.set_all(settings)).await;
    for node in &nodes {
        // A link that is opened tries SET out.
        node.forget_commands();
    }
    (nodes, proxy)
}

/// Sends a command that is over a limit of the framing: an error line, then the end.
async fn is_refused(proxy: &Proxy, command: &[&str], error: &str) {
    let mut client = ByteClient::connect(proxy.address()).await;
    let _ = client.try_send_raw(encode_command(command)).await;
    client.expect_bytes(format!("-ERR Protocol error: {error}\r\n")).await;
    client.expect_closed().await;
}

#[tokio::test]
async fn request_bytes_bound_all_arguments_of_a_request_together() {
    let proxy = limited("limits.request_bytes", 16_384).await;
    let mut client = proxy.connect().await;
    let fits = "x".repeat(16_384 - 4);
    assert_eq!(client.call(&["ECHO", &fits]).await, Value::bulk(&fits));
    is_refused(&proxy, &["ECHO", &"x".repeat(16_384 - 3)], "invalid bulk length").await;
    is_refused(&proxy, &["PING", &"x".repeat(8_192), &"x".repeat(8_189)], "invalid bulk length").await;
    let told = client.call(&["CONFIG", "GET", "proto-max-bulk-len"]).await;
    assert_eq!(told.field("proto-max-bulk-len"), Some(&Value::bulk("16384")));
}

#[tokio::test]
async fn request_elements_bound_the_arguments_of_a_request() {
    let proxy = limited("limits.request_elements", 16).await;
    let mut client = proxy.connect().await;
    let fits = client.call(&[&["COMMAND", "INFO"][..], &["ping"; 14]].concat()).await;
    assert_eq!(fits.items().len(), 14);
    is_refused(&proxy, &[&["COMMAND", "INFO"][..], &["ping"; 15]].concat(), "invalid multibulk length").await;
}

#[tokio::test]
async fn key_bytes_bound_the_name_of_a_lock() {
    let proxy = limited("limits.key_bytes", 40).await;
    let mut client = proxy.connect().await;
    let key = format!("{:0>40}", support::unique_key("key"));
    let lock = granted(&client.call(&["RLOCK", &key, "30000"]).await);
    assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
    let long = format!("{key}x");
    for command in [&["RLOCK", &long, "1000"][..], &["RUNLOCK", &long, "t"], &["REXTEND", &long, "t", "1000"]] {
        assert_eq!(client.call(command).await, Value::error("ERR key is too long: at most 40 bytes"));
    }
    assert_eq!(proxy.counter("errors_limit").await, 3);
}

#[tokio::test]
async fn pipeline_depth_bounds_the_locks_under_way_and_stops_reading() {
    let (nodes, proxy) = in_front_of_nodes(&[("limits.pipeline_depth", "2")]).await;
    let mut client = proxy.connect().await;
    for number in 0..50 {
        client.send(&["RLOCK", &format!("job{number}"), "600000"]).await;
    }
    let replies = client.read_replies(50).await;
    assert!(replies.iter().all(|reply| Lock::of(reply).is_some()), "{replies:?}");

    // Two that are never answered: the third is not begun, nothing behind it is read, and the proxy does not grow.
    for node in &nodes {
        node.on("SET", Action::Silence);
    }
    let before = proxy.footprint().resident_bytes;
    let commands: Vec<u8> = ["a", "b", "c", "d"].map(|key| encode_command(&["RLOCK", key, "600000"])).concat();
    let (stream, sent) = flood(proxy.address(), &commands).await;
    assert!(sent.is_ok_and(|sent| sent < FLOOD_BYTES), "all of it was read");
    for node in &nodes {
        // The first fifty may still have been on their way to one of the nodes.
        let keys = node.commands_named("SET").into_iter().map(|set| set.argument(1));
        let keys: Vec<String> = keys.filter(|key| !key.starts_with("job")).collect();
        assert_eq!(keys, ["a", "b"]);
    }
    assert!(proxy.footprint().resident_bytes.saturating_sub(before) < 16 * 1024 * 1024);
    assert_eq!(proxy.command(&["PING"]).await, Value::simple("PONG"));
    drop(stream);
}

/// Sends one command again and again and reads nothing. How many bytes were taken before no more were, or all; an error when the
/// other side has closed.
async fn flood(address: String, command: &[u8]) -> (TcpStream, std::io::Result<usize>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    // Small buffers on this side, so that the proxy's are soon the ones that matter.
    socket.set_send_buffer_size(16 * 1024).expect("it can be set");
    socket.set_recv_buffer_size(16 * 1024).expect("it can be set");
    let mut stream = socket.connect(address.parse().expect("an address")).await.expect("it accepts");
    let bytes = command.repeat(FLOOD_BYTES.div_ceil(command.len()));
    let mut sent = 0;
    while sent < FLOOD_BYTES {
        // Nothing can be awaited that says "for ever": a second in which not one byte is taken stands for it.
        match timeout(Duration::from_secs(1), stream.write(&bytes[sent..])).await {
            Ok(Ok(written)) => sent += written,
            Ok(Err(error)) => return (stream, Err(error)),
            Err(_) => break,
        }
    }
    (stream, Ok(sent))
}

#[tokio::test]
async fn connections_bound_the_clients_and_the_next_is_told_so() {
    let proxy = limited("limits.connections", 2).await;
    let (mut one, other) = (seated(&proxy).await, seated(&proxy).await);
    // Who was here before, to see whether the proxy was ready, may have held a seat a moment longer.
    let rejected = |info: &str| {
        let count = info.lines().find_map(|line| line.strip_prefix("rejected_connections:"));
        count.and_then(|count| count.parse::<u64>().ok()).expect("a number")
    };
    let before = rejected(&one.call(&["INFO", "redlock"]).await.text());
    for count in before + 1..=before + 3 {
        let mut third = ByteClient::connect(proxy.address()).await;
        third.expect_bytes("-ERR max number of clients reached\r\n").await;
        third.expect_eof().await;
        let info = one.call(&["INFO", "redlock"]).await.text();
        assert_eq!(rejected(&info), count, "{info}");
    }
    let told = one.call(&["CONFIG", "GET", "maxclients"]).await;
    assert_eq!(told.field("maxclients"), Some(&Value::bulk("2")));
    drop(other);
    seated(&proxy).await;
}

/// A client that has a seat, waited for until there is one.
async fn seated(proxy: &Proxy) -> ByteClient {
    let mut client = ByteClient::connect(proxy.address()).await;
    let let_in = async || {
        // Who is turned away may be so by a reset.
        let sent = client.try_send_raw("PING\r\n").await;
        if sent.is_ok() && matches!(client.try_read_reply().await, Ok(reply) if reply == Value::simple("PONG")) {
            return true;
        }
        client = ByteClient::connect(proxy.address()).await;
        false
    };
    eventually(let_in, "a seat").await;
    client
}

#[tokio::test]
async fn output_buffer_bytes_close_a_client_that_never_reads() {
    let proxy =
        limited_by(&[("limits.output_buffer_bytes", "65536".into()), ("limits.buffer_bytes", "65536".into())]).await;
    let before = proxy.footprint().resident_bytes;
    // Replies of half a megabyte: what does not fit into the kernel's buffers any more is over the limit at once.
    let (_, ended) = flood(proxy.address(), &encode_command(&["ECHO", &"x".repeat(500_000)])).await;
    assert!(ended.is_err(), "{ended:?}");
    let line = proxy.wait_for_log("limits.output_buffer_bytes").await;
    assert!(line.contains("WARN"), "{line}");
    assert_eq!(proxy.counter("clients_closed_output_limit").await, 1);
    assert!(proxy.footprint().resident_bytes.saturating_sub(before) < 32 * 1024 * 1024);
}

#[tokio::test]
async fn buffer_bytes_hold_up_a_client_that_reads_later_and_lose_nothing() {
    let proxy = limited("limits.buffer_bytes", 4096).await;
    let before = proxy.footprint().resident_bytes;
    let command = encode_command(&["ECHO", &"x".repeat(1000)]);
    let reply = format!("$1000\r\n{}\r\n", "x".repeat(1000)).into_bytes();
    let (stream, sent) = flood(proxy.address(), &command).await;
    let sent = sent.expect("it is not closed");
    assert!(sent < FLOOD_BYTES, "all of it was read, and the replies are kept somewhere");
    assert!(proxy.footprint().resident_bytes.saturating_sub(before) < 16 * 1024 * 1024);

    // What was sent in part is sent whole, and all of it is answered.
    let (mut from, mut to) = stream.into_split();
    let rest = command[sent % command.len()..].to_vec();
    let sending = tokio::spawn(async move {
        to.write_all(&rest).await.expect("it is not closed");
        to
    });
    let mut buffer = vec![0; reply.len()];
    for number in 0..=sent / command.len() {
        let read = timeout(PATIENCE, from.read_exact(&mut buffer)).await.expect("it goes on when it is read from");
        read.expect("the connection stays");
        assert!(buffer == reply, "reply {number}");
    }
    sending.await.expect("the rest was sent");
}

#[tokio::test]
async fn idle_timeout_ms_closes_who_says_nothing_and_nobody_else() {
    let proxy = limited("limits.idle_timeout_ms", 1000).await;
    let (mut idle, mut busy) = (proxy.connect().await, proxy.connect().await);
    let began = Instant::now();
    idle.call(&["PING"]).await;
    let ended = async {
        idle.expect_eof().await;
        began.elapsed()
    };
    let talks = async {
        loop {
            assert_eq!(busy.call(&["PING"]).await, Value::simple("PONG"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let took = tokio::select! {
        took = ended => took,
        () = talks => unreachable!("it talks for ever"),
    };
    assert!(took >= Duration::from_secs(1), "{took:?}");
    assert_eq!(busy.call(&["PING"]).await, Value::simple("PONG"));
}

#[tokio::test]
async fn a_client_that_waits_for_its_lock_is_not_idle() {
    let (nodes, proxy) = in_front_of_nodes(&[("limits.idle_timeout_ms", "1000")]).await;
    for node in &nodes {
        node.on("SET", Action::delay(Duration::from_millis(2500)));
    }
    let mut client = proxy.connect().await;
    granted(&client.call(&["RLOCK", "job", "600000"]).await);
}

#[tokio::test]
async fn before_auth_requests_are_small_and_after_it_not() {
    for (elements, bytes, settings) in [
        (10, 16_384, vec![]),
        (
            4,
            600,
            vec![
                ("limits.unauthenticated_elements", "4".to_owned()),
                ("limits.unauthenticated_bulk_bytes", "600".to_owned()),
            ],
        ),
    ] {
        let fleet = shared(Kind::any(), 3).await;
        let options = ProxyOptions::new(fleet.addresses()).password("secret");
        let proxy = start(options.set_all(&settings)).await;
        is_refused(&proxy, &vec!["PING"; elements + 1], "unauthenticated multibulk length").await;
        is_refused(&proxy, &["ECHO", &"x".repeat(bytes + 1)], "unauthenticated bulk length").await;

        let mut client = ByteClient::connect(proxy.address()).await;
        let no_auth = Value::error("NOAUTH Authentication required.");
        let long = "x".repeat(bytes);
        assert_eq!(client.call(&["ECHO", &long]).await, no_auth);
        assert_eq!(client.call(&[&["COMMAND", "INFO"][..], &vec!["x"; elements - 2]].concat()).await, no_auth);
        assert_eq!(client.call(&["AUTH", "secret"]).await, Value::ok());
        let longer = format!("{long}x");
        assert_eq!(client.call(&["ECHO", &longer]).await, Value::bulk(&longer));
        let many = client.call(&[&["COMMAND", "INFO"][..], &vec!["x"; elements]].concat()).await;
        assert_eq!(many.items().len(), elements);
        // RESET takes the password away, and the room with it.
        client.call(&["RESET"]).await;
        client.send(&["ECHO", &longer]).await;
        client.expect_bytes("-ERR Protocol error: unauthenticated bulk length\r\n").await;
        client.expect_closed().await;
    }
}

#[tokio::test]
async fn reply_nesting_bounds_what_a_primary_may_answer() {
    for (levels, fine) in [(8, true), (9, false), (100_000, false)] {
        let node = ScriptedNode::start();
        let options = ProxyOptions::new([node.address()]).set("limits.reply_nesting", 8).set("attempts", 1);
        let proxy = start(options).await;
        let nested = format!("{}:1\r\n", "*1\r\n".repeat(levels)).into_bytes();
        node.once("SET", Action::Reply(nested));
        let reply = proxy.command(&["RLOCK", "job", "1000"]).await.text();
        // An array is no answer to SET, whatever its depth; one that is too deep costs the link.
        assert!(reply.starts_with("NOQUORUM 0 of 1 primaries answered, 1 needed: "), "{reply}");
        let reconnected = async || proxy.info("primary0").await.is_some_and(|line| line.contains(",reconnects=1,"));
        if fine {
            assert!(reply.ends_with("an answer of an unexpected type"), "{reply}");
            assert!(!reconnected().await);
        } else {
            assert!(reply.ends_with("a reply is nested deeper than 8 levels"), "{reply}");
            eventually(reconnected, "the link to be opened anew").await;
        }
    }
}

#[tokio::test]
async fn operations_per_primary_bound_what_waits_for_a_slow_primary() {
    let (nodes, proxy) = in_front_of_nodes(&[("limits.operations_per_primary", "64"), ("attempts", "1")]).await;
    for node in &nodes {
        node.on("SET", Action::delay(Duration::from_millis(1)));
        node.once("SET", Action::delay(Duration::from_millis(1500)));
    }
    let mut client = proxy.connect().await;
    for number in 0..300 {
        client.send(&["RLOCK", &format!("job{number}"), "600000"]).await;
    }
    let replies = client.read_replies(300).await;
    let granted = replies.iter().filter(|reply| matches!(reply, Value::Array(_))).count();
    let overloaded =
        replies.iter().filter(|reply| reply.is_error_with("NOQUORUM") && reply.text().contains(" overloaded"));
    let overloaded = overloaded.count();
    assert!(
        granted >= 32 && overloaded > 0 && granted + overloaded == 300,
        "{granted} granted, {overloaded} overloaded"
    );
    // It passes.
    let key = support::unique_key("after");
    eventually(async || matches!(proxy.command(&["RLOCK", &key, "1000"]).await, Value::Array(_)), "room again").await;
}

#[tokio::test]
async fn too_few_descriptors_are_said_at_the_start_and_lower_the_connections() {
    let (_folder, program) = with_descriptors(200);
    let fleet = shared(Kind::any(), 3).await;
    let proxy = Proxy::start(&program, patient(fleet.addresses()).await_ready()).await;
    let line = proxy.wait_for_log("limits.connections is lowered").await;
    assert!(line.contains("from 10000 to ") && line.contains("ulimit -n"), "{line}");
    assert_eq!(proxy.counter("descriptor_limit").await, 200);
    let told = proxy.command(&["CONFIG", "GET", "maxclients"]).await;
    let clients: usize = told.field("maxclients").expect("a number").text().parse().expect("a number");
    assert!(line.contains(&format!("from 10000 to {clients}:")) && (20..200).contains(&clients), "{line}: {clients}");

    // So many fit indeed, beside the links; and who comes on top is told.
    let mut clients_in = Vec::new();
    while clients_in.len() < clients {
        clients_in.push(seated(&proxy).await);
    }
    let mut next = ByteClient::connect(proxy.address()).await;
    next.expect_bytes("-ERR max number of clients reached\r\n").await;
    assert!(Lock::of(&clients_in[0].call(&["RLOCK", &support::unique_key("seated"), "1000"]).await).is_some());
}
