//! Where there is an upstream, a lock is released when what its client had sent has been run, and by nothing that may leave that open.

use std::time::Duration;

use support::{
    ByteClient, Direction, Fault, Fleet, Kind, Proxy, Relay, Server, ServerOptions, Value, eventually, shared,
    unique_key,
};

use crate::common::{
    LONGEST_TTL, SESSION_TTL, bind, every_primary_holds, no_primary_holds, none_bound, outlive, patient, start,
};

/// Shared primaries, an upstream of the test's own behind a relay, and the proxy before both.
struct Front {
    fleet: &'static Fleet,
    upstream: Server,
    relay: Relay,
    proxy: Proxy,
}

impl Front {
    async fn start(kind: Kind) -> Self {
        let fleet = shared(kind, 3).await;
        let upstream = Server::start(kind, ServerOptions::default()).await;
        let relay = Relay::start(upstream.address());
        let proxy = start(patient(fleet.addresses()).argument("--upstream").argument(relay.address())).await;
        Self { fleet, upstream, relay, proxy }
    }

    /// A client with a lock of its session and a connection to the upstream.
    async fn client(&self, key: &str, ttl: &str) -> ByteClient {
        let mut client = self.proxy.connect().await;
        assert_eq!(client.call(&["ECHO", "open"]).await, Value::bulk("open"));
        bind(&mut client, self.fleet, key, ttl, &[]).await;
        client
    }
}

/// What a client sends last, with the end of its stream; it may stay for the answers, or be gone when they come.
async fn send_and_end(mut client: ByteClient, commands: &[&[&str]], stays: bool) -> Option<ByteClient> {
    let bytes: Vec<u8> = commands.iter().flat_map(|command| support::resp::encode_command(command)).collect();
    client.send_raw(bytes).await;
    // Closed with answers unread it would be reset before its stream has ended.
    client.shutdown_write().await;
    stays.then_some(client)
}

#[tokio::test]
async fn nobody_locks_before_what_the_former_holder_had_sent_has_been_run() {
    for &kind in Kind::all() {
        let front = Front::start(kind).await;
        // The proxy's own answer meets a closed connection, which resets it while SET is still on its way.
        let pipelines: [&[&[&str]]; 3] = [
            &[&["SET", "data", "v"]],
            &[&["INFO", "redlock"], &["SET", "data", "v"]],
            &[&["CLIENT", "REPLY", "OFF"], &["SET", "data", "v"]],
        ];
        // It need not ask the upstream any more whether it may.
        let mut other = front.proxy.connect().await;
        assert!(!other.call(&["RLOCK", &unique_key("first"), LONGEST_TTL]).await.is_error());
        for (round, pipeline) in pipelines.into_iter().cycle().take(6).enumerate() {
            let key = unique_key("data");
            front.upstream.command(&["DEL", "data"]).await;
            let client = front.client(&key, LONGEST_TTL).await;
            front.relay.set(Direction::ToServer, Fault::latency(Duration::from_millis(50)));
            let _client = send_and_end(client, pipeline, round >= 3).await;
            let mut looks = 0;
            loop {
                let granted = other.call(&["RLOCK", &key, LONGEST_TTL]).await;
                if !granted.is_null() {
                    break;
                }
                looks += 1;
                assert!(looks < 100_000);
            }
            let data = front.upstream.get("data").await;
            assert_eq!(data.as_deref(), Some("v"), "{pipeline:?}, round {round}");
            front.relay.set(Direction::ToServer, Fault::Forward);
        }
    }
}

/// The lock is there as long as the upstream owes its answer.
#[tokio::test]
async fn a_lock_is_kept_while_the_upstream_has_not_answered() {
    let front = Front::start(Kind::any()).await;
    let key = unique_key("kept");
    let client = front.client(&key, SESSION_TTL).await;
    let token = front.fleet[0].get(&key).await.expect("it was set");
    front.relay.set(Direction::ToServer, Fault::Hold);
    drop(send_and_end(client, &[&["SET", "data", "v"]], false).await);
    outlive(&front.fleet[0], SESSION_TTL).await;
    every_primary_holds(front.fleet, &key, &token).await;
    assert_eq!(front.upstream.get("data").await, None);
    front.relay.set(Direction::ToServer, Fault::Forward);
    no_primary_holds(front.fleet, &key).await;
    assert_eq!(front.upstream.get("data").await.as_deref(), Some("v"));
    assert_eq!(front.proxy.counter("session_released_on_close").await, 1);
}

/// Nobody knows what became of the command that was under way.
#[tokio::test]
async fn an_upstream_that_is_lost_leaves_the_lock_to_its_ttl() {
    for closes in [false, true] {
        let front = Front::start(Kind::any()).await;
        let key = unique_key("lost");
        let client = front.client(&key, SESSION_TTL).await;
        let token = front.fleet[0].get(&key).await.expect("it was set");
        front.relay.set(Direction::ToServer, Fault::Hold);
        let mut client = if closes {
            drop(send_and_end(client, &[&["SET", "data", "v"]], false).await);
            None
        } else {
            let mut client = client;
            client.send(&["SET", "data", "v"]).await;
            Some(client)
        };
        eventually(async || front.relay.bytes_read(Direction::ToServer) > 0, "the command to leave").await;
        front.relay.refuse();
        front.relay.cut();
        if let Some(client) = &mut client {
            client.expect_closed().await;
        }
        none_bound(&front.proxy).await;
        every_primary_holds(front.fleet, &key, &token).await;
        outlive(&front.fleet[0], SESSION_TTL).await;
        no_primary_holds(front.fleet, &key).await;
        assert_eq!(front.proxy.counter("session_released_on_close").await, 0);
        assert_eq!(front.proxy.counter("session_lost").await, 0);
    }
}

#[tokio::test]
async fn reset_and_quit_release_through_an_upstream() {
    for &kind in Kind::all() {
        let front = Front::start(kind).await;
        let key = unique_key("reset");
        let mut client = front.client(&key, LONGEST_TTL).await;
        let pipeline = [["SET", "data", "1"].as_slice(), &["RESET"], &["ECHO", "on"]];
        client.send_raw(pipeline.map(support::resp::encode_command).concat()).await;
        assert_eq!(client.read_replies(3).await, [Value::ok(), Value::simple("RESET"), Value::bulk("on")]);
        no_primary_holds(front.fleet, &key).await;

        bind(&mut client, front.fleet, &key, LONGEST_TTL, &[]).await;
        assert_eq!(client.call(&["QUIT"]).await, Value::ok());
        client.expect_closed().await;
        no_primary_holds(front.fleet, &key).await;
        assert_eq!(front.proxy.counter("session_released_on_close").await, 2);
    }
}

#[tokio::test]
async fn a_client_that_never_used_the_upstream_releases_at_once_too() {
    let front = Front::start(Kind::any()).await;
    let key = unique_key("unused");
    let mut client = front.proxy.connect().await;
    bind(&mut client, front.fleet, &key, LONGEST_TTL, &[]).await;
    drop(client);
    no_primary_holds(front.fleet, &key).await;
    // And while the upstream is away.
    front.relay.refuse();
    front.relay.cut();
    let mut client = front.proxy.connect().await;
    bind(&mut client, front.fleet, &key, LONGEST_TTL, &[]).await;
    assert!(client.call(&["GET", "data"]).await.is_error_with("UPSTREAMDOWN"));
    drop(client);
    no_primary_holds(front.fleet, &key).await;
}
