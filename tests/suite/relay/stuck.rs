//! Nothing waits for ever: neither for a client that is gone, nor for an upstream that does not say what it should.

use std::fs;

use support::{ByteClient, Kind, Proxy, Server, ServerOptions, Value, eventually, shared};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Front, LONG, PROXY, granted, pipeline};

/// How many descriptors the proxy holds.
fn descriptors(proxy: &Proxy) -> usize {
    fs::read_dir(format!("/proc/{}/fd", proxy.id())).expect("the proxy runs").count()
}

/// Clients that send this and go, one way or the other, leave nothing behind in the proxy.
async fn leaves_nothing_behind(front: &Front, sent: &[u8], resets: bool) {
    let before = descriptors(&front.proxy);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = ByteClient::connect(front.proxy.address()).await;
        client.send_raw(sent).await;
        clients.push(client);
    }
    // Two for each, the client's connection and the upstream's; what the harness had open may have gone.
    eventually(async || descriptors(&front.proxy) >= before + 30, "the proxy to have taken them in").await;
    for client in clients {
        if resets { client.reset() } else { drop(client) }
    }
    let gone = async || descriptors(&front.proxy) <= before + 5;
    eventually(gone, format_args!("connections to be closed behind {:?}", sent.escape_ascii().to_string())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_ends_in_the_middle_of_a_request_is_not_kept() {
    let front = Front::start(Kind::any()).await;
    for resets in [false, true] {
        leaves_nothing_behind(&front, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\nabc", resets).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_ends_with_a_lock_command_behind_a_blocked_one_is_not_kept() {
    let front = Front::start(Kind::any()).await;
    let few = pipeline(&[&["BLPOP", "nothing", "0"], &["RLOCK", "behind", LONG]]);
    // More than is read while nothing of it can be run.
    let many = [few.clone(), b"PING\r\n".repeat(40_000)].concat();
    for resets in [false, true] {
        leaves_nothing_behind(&front, &few, resets).await;
    }
    leaves_nothing_behind(&front, &many, true).await;
    assert_eq!(front.primaries.holding("behind").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waited_and_is_gone_takes_nothing() {
    for &kind in Kind::all() {
        let front = Front::start(kind).await;
        let mut waiting = front.proxy.connect().await;
        waiting.send_raw("BLPOP list 0\r\n").await;
        let blocked = async |count: &str| front.upstream.info("blocked_clients").await.as_deref() == Some(count);
        eventually(async || blocked("1").await, "it to wait").await;
        drop(waiting);
        eventually(async || blocked("0").await, "the upstream to hear of its end").await;
        front.upstream.command(&["RPUSH", "list", "element"]).await;
        assert_eq!(front.upstream.command(&["LLEN", "list"]).await, Value::Integer(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_that_is_refused_does_not_let_others_lock_without_the_password() {
    let kind = Kind::any();
    let mut upstream =
        Server::start(kind, ServerOptions { password: Some("secret".into()), ..ServerOptions::default() }).await;
    let options = super::options(shared(kind, 3).await.addresses(), &upstream.address());
    let proxy = Proxy::start(PROXY, options.upstream_password("secret").await_ready()).await;
    let mut client = ByteClient::connect(proxy.address()).await;
    client.send_raw(pipeline(&[&["AUTH", "secret"], &["RESET", "x"], &["RLOCK", "refused-reset", LONG]])).await;
    assert_eq!(client.read_reply().await, Value::ok());
    assert!(client.read_reply().await.is_error());
    granted(&client.read_reply().await);
    upstream.kill();
    client.expect_eof().await;
    let mut stranger = ByteClient::connect(proxy.address()).await;
    let refused = stranger.call(&["RLOCK", "stranger", LONG]).await;
    assert!(matches!(&refused, Value::Error(text) if text.starts_with("UPSTREAMDOWN")), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_the_upstream_comes_back_with_is_demanded_of_those_who_connected_meanwhile() {
    let mut front = Front::start(Kind::any()).await;
    eventually(async || front.proxy.info("upstream").await.as_deref() == Some("up"), "it to be known").await;
    front.upstream.kill();
    let mut client = ByteClient::connect(front.proxy.address()).await;
    assert!(!client.call(&["HELLO", "3"]).await.is_error());
    let listener = TcpListener::bind(front.upstream.address()).await.expect("its port is free");
    let guard = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut said = [0; 512];
            while let Ok(1..) = stream.read(&mut said).await {
                stream.write_all(b"-NOAUTH Authentication required.\r\n").await.ok();
            }
        }
    });
    let refused = client.call(&["RLOCK", "comes-back", LONG]).await;
    assert!(matches!(&refused, Value::Error(text) if text.contains("NOAUTH")), "{refused:?}");
    let mut stranger = ByteClient::connect(front.proxy.address()).await;
    assert!(stranger.call(&["RLOCK", "stranger", LONG]).await.is_error());
    guard.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_stops_answering_holds_the_first_lock_of_a_connection_up_for_a_while_only() {
    let mut front = Front::start(Kind::any()).await;
    eventually(async || front.proxy.info("upstream").await.as_deref() == Some("up"), "it to be known").await;
    let mut client = front.proxy.connect().await;
    // A connection that no lock command has opened: nothing is known of it but that it answers.
    assert_eq!(client.call(&["SET", "a", "1"]).await, Value::ok());
    front.upstream.pause();
    granted(&client.call(&["RLOCK", "stops", LONG]).await);
    client.expect_eof().await;
    front.upstream.resume();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_are_skipped_or_refused_neither_hold_a_lock_up_nor_shift_what_follows() {
    // Dragonfly does not switch replies off.
    for &kind in Kind::all().iter().filter(|&&kind| kind != Kind::Dragonfly) {
        let front = Front::start(kind).await;
        let mut client = front.proxy.connect().await;
        let skipped: [&[&str]; 4] =
            [&["CLIENT", "REPLY", "SKIP"], &["SET", "a", "1"], &["CLIENT", "FOO"], &["RLOCK", "skipped", LONG]];
        client.send_raw(pipeline(&skipped)).await;
        assert!(client.read_reply().await.is_error());
        granted(&client.read_reply().await);

        let mut client = front.proxy.connect().await;
        client.send_raw("CLIENT REPLY SKIP\r\nRESET\r\nRLOCK reset 60000\r\n").await;
        granted(&client.read_reply().await);

        let mut client = front.proxy.connect().await;
        client.send_raw("MULTI\r\nEXEC q\r\nRLOCK wrong-exec 60000\r\n").await;
        assert_eq!(client.read_reply().await, Value::ok());
        assert!(client.read_reply().await.is_error());
        granted(&client.read_reply().await);

        // Whether replies are switched off by EXEC, or not at all, is the server's matter; nobody sees a fence.
        let mut client = front.proxy.connect().await;
        client.send_raw("MULTI\r\nCLIENT REPLY OFF\r\nEXEC\r\nRLOCK off 60000\r\n").await;
        client.shutdown_write().await;
        let text = String::from_utf8_lossy(&client.read_to_end().await).into_owned();
        assert!(text.starts_with("+OK\r\n") && !text.contains("$40"), "{text}");

        for mode in ["OFF", "SKIP"] {
            let mut client = front.proxy.connect().await;
            assert_eq!(client.call(&["ACL", "SETUSER", "few", "on", "nopass", "+@all", "-client"]).await, Value::ok());
            assert_eq!(client.call(&["AUTH", "few", "x"]).await, Value::ok());
            client.send_raw(format!("CLIENT REPLY {mode}\r\nRLOCK refused-{mode} 60000\r\nGET a\r\n")).await;
            client.shutdown_write().await;
            let text = String::from_utf8_lossy(&client.read_to_end().await).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            assert!(lines[0].starts_with("-NOPERM") && text.ends_with("\r\n"), "{mode} {text}");
            // The refusal may come before the lock command is looked at, which then runs; else it is the last word.
            let lock_ran = lines.len() == 6 && lines[1..3] == ["*2", "$40"] && lines[5].starts_with("-NOPERM");
            assert!(lines.len() == 1 || lock_ran, "{mode} {text}");
        }
    }
}
