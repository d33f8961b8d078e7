use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::tests_support::{Proxy, eventually, patiently};
use crate::config::Secret;

#[tokio::test]
async fn replies_come_in_request_order_however_long_a_lock_takes() {
    let proxy = Proxy::start(|_| {}).await;
    proxy.script.hold();
    let mut client = proxy.connect().await;
    client.send("PING\r\nRLOCK a 30000\r\nHELLO 3\r\nRLOCK a 30000\r\nNOPE\r\n").await;
    client.expect("+PONG\r\n").await;
    proxy.script.asked("acquire a").await;
    proxy.script.answer();
    let token = client.expect_grant().await;
    client.expect("%8\r\n$6\r\nserver\r\n$5\r\nredis\r\n").await;
    assert_eq!(proxy.script.records("a"), [&token, &token, &token]);
    client.half_close().await;
    let mut rest = String::new();
    patiently(client.0.read_to_string(&mut rest), "the rest").await.expect("text");
    assert!(rest.ends_with("_\r\n-ERR unknown command 'NOPE', with args beginning with: \r\n"), "{rest}");
}

#[tokio::test]
async fn the_locks_of_one_pipeline_are_asked_for_side_by_side_in_the_order_given() {
    let proxy = Proxy::start(|_| {}).await;
    proxy.script.hold();
    let mut client = proxy.connect().await;
    let pipeline: Vec<String> = (0..64).map(|key| format!("RLOCK key{key} 30000\r\n")).collect();
    client.send(&pipeline.concat()).await;
    proxy.script.asked("acquire key63").await;
    let expected: Vec<String> = (0..64).map(|key| format!("acquire key{key}")).collect();
    assert_eq!(proxy.script.log(), expected);
    proxy.script.answer();
    let first = client.expect_grant().await;
    assert_eq!(proxy.script.records("key0"), [&first, &first, &first]);
    for _ in 1..64 {
        client.expect_grant().await;
    }
}

#[tokio::test]
async fn commands_on_one_key_take_effect_in_their_order_and_hold_no_other_key_up() {
    let proxy = Proxy::start(|_| {}).await;
    proxy.script.hold();
    let mut client = proxy.connect().await;
    client.send("RLOCK a 30000\r\nRUNLOCK a x\r\nREXTEND a x 30000\r\nRLOCK b 30000\r\n").await;
    proxy.script.asked("acquire b").await;
    assert_eq!(proxy.script.log(), ["acquire a", "acquire b"]);
    proxy.script.answer();
    client.expect_grant().await;
    client.expect(":0\r\n$-1\r\n").await;
    client.expect_grant().await;
    assert_eq!(proxy.script.log(), ["acquire a", "acquire b", "release a", "extend a"]);
}

#[tokio::test]
async fn a_lock_is_taken_extended_and_released() {
    let proxy = Proxy::start(|_| {}).await;
    let mut client = proxy.connect().await;
    client.send("RLOCK a 10000\r\n").await;
    let token = client.expect_grant().await;
    let token = std::str::from_utf8(&token).expect("hex digits");
    client.send(&format!("RLOCK a 10000\r\nREXTEND a {token} 60000\r\n")).await;
    client.expect("*-1\r\n:59").await;
    let mut rest = [0; 5];
    patiently(client.0.read_exact(&mut rest), "a validity").await.expect("a validity");
    client.send(&format!("RUNLOCK a {token}\r\nRUNLOCK a {token}\r\n")).await;
    client.expect(":1\r\n:0\r\n").await;
    assert!(proxy.service.latency.percentiles(proxy.service.clock.now()).p999 > 0);
}

#[tokio::test]
async fn requests_may_come_byte_by_byte() {
    let proxy = Proxy::start(|_| {}).await;
    let mut client = proxy.connect().await;
    for byte in b"*3\r\n$5\r\nRLOCK\r\n$1\r\na\r\n$5\r\n30000\r\n" {
        client.0.write_all(&[*byte]).await.expect("the connection lives");
        tokio::task::yield_now().await;
    }
    client.expect_grant().await;
}

#[tokio::test]
async fn a_client_that_half_closes_gets_all_its_answers_and_keeps_its_locks() {
    let proxy = Proxy::start(|_| {}).await;
    proxy.script.hold();
    let mut client = proxy.connect().await;
    client.send("RLOCK a 30000\r\nPING\r\n").await;
    client.half_close().await;
    proxy.script.asked("acquire a").await;
    proxy.notice().await;
    proxy.script.answer();
    let token = client.expect_grant().await;
    client.expect("+PONG\r\n").await;
    client.expect_end().await;
    drop(client);
    proxy.deserted().await;
    assert_eq!(proxy.script.records("a"), [&token, &token, &token]);
    assert_eq!(proxy.service.counters.rlock_abandoned.value(), 0);
}

#[tokio::test]
async fn the_lock_of_a_client_that_is_gone_is_withdrawn() {
    let proxy = Proxy::start(|_| {}).await;
    proxy.script.hold();
    let mut client = proxy.connect().await;
    client.send("RLOCK a 30000\r\n").await;
    proxy.script.asked("acquire a").await;
    drop(client);
    proxy.notice().await;
    proxy.script.answer();
    proxy.script.asked("withdraw a").await;
    proxy.deserted().await;
    assert!(proxy.script.records("a").is_empty());
    assert_eq!(proxy.service.counters.rlock_abandoned.value(), 1);
}

#[tokio::test]
async fn a_client_that_asks_and_leaves_at_once_gets_no_lock() {
    let proxy = Proxy::start(|_| {}).await;
    proxy.script.hold();
    let client = proxy.connect().await;
    // The request and the end of the stream lie there together before the proxy looks.
    client.0.try_write(b"RLOCK a 30000\r\nRUNLOCK b x\r\n").expect("room");
    drop(client);
    proxy.script.asked("release b").await;
    proxy.notice().await;
    proxy.script.answer();
    proxy.script.asked("withdraw a").await;
    proxy.deserted().await;
    assert!(proxy.script.records("a").is_empty());
}

#[tokio::test]
async fn a_reset_ends_what_waits_and_finishes_what_runs() {
    let proxy = Proxy::start(|_| {}).await;
    proxy.script.hold();
    let mut client = proxy.connect().await;
    client.send("RLOCK a 30000\r\nRLOCK a 30000\r\nRUNLOCK a x\r\n").await;
    proxy.script.asked("acquire a").await;
    client.reset();
    proxy.notice().await;
    proxy.script.answer();
    proxy.script.asked("release a").await;
    proxy.deserted().await;
    // The second RLOCK was never begun: nobody could have been told.
    assert_eq!(proxy.script.log(), ["acquire a", "withdraw a", "release a"]);
    assert!(proxy.script.records("a").is_empty());
    assert_eq!(proxy.service.counters.rlock_abandoned.value(), 1);
}

#[tokio::test]
async fn no_more_than_the_depth_is_in_flight() {
    let proxy = Proxy::start(|config| config.limits.pipeline_depth = 2).await;
    proxy.script.hold();
    let mut client = proxy.connect().await;
    client.send("RLOCK a 30000\r\nRLOCK b 30000\r\nRLOCK c 30000\r\nPING\r\n").await;
    proxy.script.asked("acquire b").await;
    proxy.notice().await;
    assert_eq!(proxy.script.log(), ["acquire a", "acquire b"]);
    proxy.script.answer();
    for _ in 0..3 {
        client.expect_grant().await;
    }
    client.expect("+PONG\r\n").await;
}

#[tokio::test]
async fn a_deep_pipeline_whose_replies_are_read_late_is_answered_whole() {
    let proxy = Proxy::start(|config| config.limits.buffer_bytes = 4_096).await;
    let client = proxy.connect().await;
    let (mut reading, mut writing) = client.0.into_split();
    // Far more than all buffers between the two hold: the proxy must stop reading until replies are read.
    let echo = format!("*2\r\n$4\r\nECHO\r\n$1000\r\n{}\r\n", "x".repeat(1_000));
    let pipeline = echo.repeat(20_000);
    let reply = echo.strip_prefix("*2\r\n$4\r\nECHO\r\n").expect("an echo");
    let writer = tokio::spawn(async move {
        let written = writing.write_all(pipeline.as_bytes()).await;
        (writing, written)
    });
    for _ in 0..20_000 {
        let mut read = vec![0; reply.len()];
        patiently(reading.read_exact(&mut read), "an echo").await.expect("an echo");
        assert_eq!(read, reply.as_bytes());
    }
    let (_writing, written) = writer.await.expect("no panic");
    written.expect("the connection lives");
    assert_eq!(proxy.service.counters.clients_closed_output_limit.value(), 0);
}

#[tokio::test]
async fn a_client_that_lets_its_replies_pile_up_is_closed() {
    let proxy = Proxy::start(|config| {
        config.limits.buffer_bytes = 4_096;
        config.limits.output_buffer_bytes = 4_096;
    })
    .await;
    let mut client = proxy.connect().await;
    // Several kilobytes each: one reply that the socket does not take is over the limit.
    let _ = client.0.write_all("COMMAND DOCS\r\n".repeat(4_000).as_bytes()).await;
    let counters = &proxy.service.counters;
    eventually("the client is closed", || counters.clients_closed_output_limit.value() == 1).await;
    proxy.deserted().await;
    let mut rest = Vec::new();
    let _ = patiently(client.0.read_to_end(&mut rest), "the end of the connection").await;
}

#[tokio::test]
async fn an_idle_client_is_closed_unless_a_lock_is_under_way() {
    let proxy = Proxy::start(|config| config.limits.idle_timeout = Some(Duration::from_secs(5))).await;
    proxy.script.hold();
    let mut idle = proxy.connect().await;
    let mut busy = proxy.connect().await;
    busy.send("RLOCK a 60000\r\n").await;
    proxy.script.asked("acquire a").await;
    tokio::time::pause();
    // A request in between sets the time anew.
    tokio::time::advance(Duration::from_secs(4)).await;
    idle.send("PING\r\n").await;
    idle.expect("+PONG\r\n").await;
    tokio::time::advance(Duration::from_secs(4)).await;
    idle.send("PING\r\n").await;
    idle.expect("+PONG\r\n").await;
    tokio::time::advance(Duration::from_secs(6)).await;
    idle.expect_end().await;
    proxy.script.answer();
    busy.expect_grant().await;
    tokio::time::advance(Duration::from_secs(6)).await;
    busy.expect_end().await;
}

#[tokio::test]
async fn a_lock_whose_reply_was_held_up_for_too_long_is_withdrawn() {
    let proxy = Proxy::start(|_| {}).await;
    proxy.script.hold_key("slow");
    let mut client = proxy.connect().await;
    client.send("RLOCK slow 60000\r\nRLOCK quick 1000\r\nREXTEND other x 1000\r\n").await;
    proxy.script.asked("extend other").await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    proxy.script.answer();
    client.expect_grant().await;
    let reasons = [0, 1, 2].map(|index| format!("primary-{index}:6379 answered too late")).join("; ");
    client.expect(&format!("-NOQUORUM 3 of 3 primaries answered, 2 needed: {reasons}\r\n$-1\r\n")).await;
    proxy.script.asked("withdraw quick").await;
    assert!(proxy.script.records("quick").is_empty());
    assert_eq!(proxy.service.counters.rlock_too_late.value(), 1);
}

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let proxy = Proxy::start(|config| config.limits.connections = 1).await;
    let mut first = proxy.connect().await;
    first.send("PING\r\n").await;
    first.expect("+PONG\r\n").await;
    let mut second = proxy.connect().await;
    // What it sent must not turn the farewell into a reset.
    second.send("PING\r\n").await;
    second.expect("-ERR max number of clients reached\r\n").await;
    second.expect_end().await;
    assert_eq!(proxy.service.counters.rejected_connections.value(), 1);
    first.half_close().await;
    first.expect_end().await;
    eventually("there is room again", || proxy.service.seats.available_permits() == 1).await;
    proxy.notice().await;
}

#[tokio::test]
async fn nothing_behind_quit_is_run() {
    let proxy = Proxy::start(|_| {}).await;
    let mut client = proxy.connect().await;
    client.send("RLOCK a 30000\r\nQUIT\r\nRLOCK b 30000\r\nPING\r\n").await;
    client.expect_grant().await;
    client.expect("+OK\r\n").await;
    client.expect_end().await;
    assert_eq!(proxy.script.log(), ["acquire a"]);
}

#[tokio::test]
async fn input_that_is_no_request_is_refused_behind_everything_owed() {
    let proxy = Proxy::start(|_| {}).await;
    proxy.script.hold();
    let mut client = proxy.connect().await;
    client.send("RLOCK a 30000\r\nPING\r\n*x\r\nPING\r\n").await;
    proxy.script.asked("acquire a").await;
    proxy.notice().await;
    proxy.script.answer();
    client.expect_grant().await;
    client.expect("+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n").await;
    client.expect_end().await;
    assert_eq!(proxy.service.counters.errors_protocol.value(), 1);
}

#[tokio::test]
async fn strangers_get_little_room() {
    let proxy = Proxy::start(|config| config.password = Some(Secret::new("secret".into()))).await;
    let mut stranger = proxy.connect().await;
    stranger.send("RLOCK a 30000\r\n*11\r\n").await;
    stranger.expect("-NOAUTH Authentication required.\r\n").await;
    stranger.expect("-ERR Protocol error: unauthenticated multibulk length\r\n").await;
    stranger.expect_end().await;

    let mut friend = proxy.connect().await;
    let large = "x".repeat(20_000);
    friend.send(&format!("AUTH secret\r\n*2\r\n$4\r\nECHO\r\n$20000\r\n{large}\r\nRESET\r\n*11\r\n")).await;
    friend.expect(&format!("+OK\r\n$20000\r\n{large}\r\n+RESET\r\n-ERR Protocol error: unauth")).await;
}

#[tokio::test]
async fn a_web_browser_is_hung_up_on() {
    let proxy = Proxy::start(|_| {}).await;
    let mut browser = proxy.connect().await;
    browser.send("POST / HTTP/1.1\r\nHost: proxy\r\n\r\nRLOCK a 30000\r\n").await;
    browser.expect_end().await;
    assert!(proxy.script.log().is_empty());
}

#[tokio::test]
async fn a_drain_answers_what_is_under_way_refuses_new_locks_and_closes_quiet_clients() {
    let mut proxy = Proxy::start(|config| config.shutdown_grace = Duration::from_secs(8)).await;
    proxy.script.hold_key("a");
    let mut idle = proxy.connect().await;
    let mut busy = proxy.connect().await;
    busy.send("RLOCK a 30000\r\n").await;
    proxy.script.asked("acquire a").await;
    proxy.service.drain.begin();
    idle.expect_end().await;

    busy.send("RLOCK b 30000\r\nRUNLOCK c x\r\nREXTEND c x 30000\r\n").await;
    proxy.script.asked("extend c").await;
    proxy.script.answer();
    busy.expect_grant().await;
    busy.expect("-ERR the proxy is shutting down\r\n:0\r\n$-1\r\n").await;
    busy.expect_end().await;
    drop((idle, busy));
    patiently(&mut proxy.door, "all sessions have ended").await.expect("no panic");
    assert!(!proxy.script.log().contains(&"acquire b".to_owned()));
}

#[tokio::test]
async fn one_client_that_floods_does_not_hold_up_the_others() {
    let proxy = Proxy::start(|_| {}).await;
    let flood = proxy.connect().await;
    let (mut reading, mut writing) = flood.0.into_split();
    let writer = tokio::spawn(async move { while writing.write_all(&b"PING\r\n".repeat(10_000)).await.is_ok() {} });
    let reader = tokio::spawn(async move {
        let mut sink = vec![0; 65_536];
        while reading.read(&mut sink).await.is_ok_and(|count| count > 0) {}
    });
    for _ in 0..10 {
        proxy.notice().await;
    }
    writer.abort();
    reader.abort();
}
