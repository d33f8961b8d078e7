use super::*;
use crate::waiting::unique_key;
use crate::wall_clock::{WallClock, left_by};

#[tokio::test]
async fn every_kind_starts_answers_and_forgets_over_a_restart() {
    for &kind in Kind::all() {
        let mut server = Server::start(kind, ServerOptions::default()).await;
        let port = server.port();
        assert_eq!(server.command(&["SET", "k", "v", "PX", "60000"]).await, Value::ok());
        assert_eq!(server.get("k").await.as_deref(), Some("v"));
        assert!((59_000..=60_000).contains(&server.pttl("k").await));
        let run = server.info("run_id").await.or(server.info("master_replid").await).expect("a server tells its run");

        server.kill();
        assert!(ByteClient::try_connect(server.address()).await.is_err());

        server.restart().await;
        assert_eq!(server.port(), port);
        assert_eq!(server.get("k").await, None);
        assert_eq!(server.pttl("k").await, -2);
        let new_run = server.info("run_id").await.or(server.info("master_replid").await);
        assert_ne!(new_run, Some(run));
    }
}

#[tokio::test]
async fn a_paused_server_takes_connections_and_answers_when_resumed() {
    let mut server = Server::start(Kind::any(), ServerOptions::default()).await;
    server.pause();
    let mut client = ByteClient::connect(server.address()).await;
    client.send(&["PING"]).await;
    assert!(client.is_quiet_for(Duration::from_millis(30)).await);
    server.resume();
    assert_eq!(client.read_reply().await, Value::simple("PONG"));
}

#[tokio::test]
async fn a_password_is_used_by_the_harness_and_demanded_of_others() {
    let options = ServerOptions { password: Some("a secret".into()), ..ServerOptions::default() };
    let server = Server::start(Kind::any(), options).await;
    assert!(!server.exists("k").await);
    let reply = ByteClient::connect(server.address()).await.call(&["GET", "k"]).await;
    assert!(reply.is_error_with("NOAUTH"), "{reply:?}");
}

#[tokio::test]
async fn a_replica_follows_and_can_be_promoted() {
    let mut fleet = Fleet::start(Kind::any(), 2).await;
    let (primary, replica) = fleet.split_at_mut(1);
    replica[0].replicate(&primary[0]).await;
    primary[0].command(&["SET", "k", "v"]).await;
    eventually(async || replica[0].get("k").await.is_some(), "the replica to follow").await;
    assert!(replica[0].command(&["SET", "k", "w"]).await.is_error_with("READONLY"));
    replica[0].promote().await;
    assert_eq!(replica[0].command(&["SET", "k", "w"]).await, Value::ok());
}

#[test]
fn shared_servers_are_the_same_in_every_runtime() {
    let ports = || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
        runtime.block_on(async {
            let fleet = shared(Kind::any(), 2).await;
            let key = unique_key("shared");
            fleet[0].command(&["SET", &key, "v"]).await;
            assert_eq!(fleet.get(&key).await, [Some("v".to_owned()), None]);
            assert_eq!(fleet.holding(&key).await, 1);
            fleet.addresses()
        })
    };
    assert_eq!(ports(), ports());
}

#[tokio::test]
async fn commands_are_counted_by_name() {
    let server = Server::start(Kind::any(), ServerOptions::default()).await;
    assert_eq!(server.calls("set").await, 0);
    let before = server.commands_processed().await;
    server.command(&["SET", "k", "v"]).await;
    server.command(&["SET", "k", "w"]).await;
    assert_eq!(server.calls("SET").await, 2);
    // Two SETs, the INFO of `calls` and the former INFO of this count itself.
    assert_eq!(server.commands_processed().await - before, 4);
}

#[tokio::test]
async fn a_server_that_is_dropped_is_gone() {
    let server = Server::start(Kind::any(), ServerOptions::default()).await;
    let (address, footprint) = (server.address(), server.footprint());
    assert!(footprint.resident_bytes > 0 && footprint.descriptors > 3);
    drop(server);
    assert!(ByteClient::try_connect(address).await.is_err());
}

#[tokio::test]
async fn a_server_is_shown_a_time_of_day_and_leaves_nothing_of_it() {
    let clock = WallClock::new();
    let mut server = Server::start(Kind::Valkey, ServerOptions::default().shown(&clock)).await;
    assert!(server.kind().can_be_shown_a_clock());
    assert_eq!(server.command(&["SET", "k", "v", "PX", "600000"]).await, Value::ok());
    let seconds =
        async || -> i64 { server.command(&["TIME"]).await.items()[0].text().parse().expect("a number of seconds") };
    let before = seconds().await;
    clock.shift("+3600");
    // It looks at the clock now and then, not for each command.
    eventually(async || seconds().await >= before + 3_600, "the clock to have stepped").await;
    assert!(seconds().await < before + 2 * 3_600);
    eventually(async || !server.exists("k").await, "the record to end").await;

    let kept = left_by(server.process.id());
    assert!(kept.iter().all(|file| file.exists()), "{kept:?}");
    server.kill();
    assert!(!kept.iter().any(|file| file.exists()), "{kept:?}");
}
