//! Out and in again, without anyone doing anything.

use support::{Fleet, Kind, Proxy, Value, eventually, unique_key};

use super::{MARKER, Quarantine, state};
use crate::common::{LONGEST_TTL, PROXY, every_primary_holds, granted, outlive, reasons, settled, start, voters};

/// The shortest quarantine there is, so that it ends within a test.
const SHORT_TTL: &str = "1000";

#[tokio::test]
async fn a_quarantine_ends_when_every_forgotten_lock_has_expired_and_not_before() {
    for &kind in Kind::all() {
        let mut fleet = Fleet::start(kind, 3).await;
        let proxy = start(Quarantine::Auto.options(fleet.addresses()).set("max_ttl_ms", SHORT_TTL)).await;
        assert_eq!(proxy.counter("quarantines").await, 0, "a new set that may vote at once");
        fleet[0].flushall().await;
        // Begins to run out after the loss.
        outlive(&fleet[1], "1").await;
        let key = unique_key("witness");
        assert_eq!(fleet[1].command(&["SET", &key, "", "PX", SHORT_TTL]).await, Value::ok());
        voters(&proxy, 2).await;
        voters(&proxy, 3).await;
        assert!(!fleet[1].exists(&key).await, "{kind} votes before max_ttl_ms has passed");
        assert_eq!(proxy.counter("quarantines").await, 1);
        let marker = fleet[0].get(MARKER).await.expect("it is marked");
        assert!(marker.starts_with("1 main 3 1000 ") && marker.ends_with(" sound"), "{marker}");
        assert_eq!(fleet[0].pttl(MARKER).await, -1);
    }
}

#[tokio::test]
async fn everything_is_sent_to_a_quarantined_primary_and_its_answers_count_nothing() {
    for &kind in Kind::all() {
        let mut fleet = Fleet::start(kind, 3).await;
        let proxy = start(Quarantine::Auto.options(fleet.addresses())).await;
        fleet[0].flushall().await;
        voters(&proxy, 2).await;
        let key = unique_key("job");
        let lock = granted(&proxy.command(&["RLOCK", &key, LONGEST_TTL]).await);
        every_primary_holds(&fleet, &key, &lock.token).await;
        // Another one is down: the quarantined one makes no quorum.
        fleet[1].kill();
        eventually(async || state(&proxy, 1).await == "down", "it to be down").await;
        let (head, why) = reasons(&proxy.command(&["REXTEND", &key, &lock.token, LONGEST_TTL]).await);
        assert_eq!(head, "NOQUORUM 1 of 3 primaries answered, 2 needed");
        assert!(why[0].1.starts_with("quarantined for ") && why[0].1.ends_with(" ms: flushed"), "{why:?}");
        let (head, _) = reasons(&proxy.command(&["RLOCK", &unique_key("other"), LONGEST_TTL]).await);
        assert_eq!(head, "NOQUORUM 1 of 3 primaries answered, 2 needed");
        let (head, _) = reasons(&proxy.command(&["RUNLOCK", &key, &lock.token]).await);
        assert_eq!(head, "NOQUORUM 1 of 3 primaries answered, 2 needed");
        eventually(async || !fleet[0].exists(&key).await, "the record to be deleted there, too").await;
    }
}

/// The record of a session's lock is put back where it was forgotten.
#[tokio::test]
async fn a_session_fills_the_memory_of_a_quarantined_primary_again() {
    for &kind in Kind::all() {
        let mut fleet = Fleet::start(kind, 3).await;
        let proxy = start(Quarantine::Auto.options(fleet.addresses())).await;
        let key = unique_key("job");
        let mut client = proxy.connect().await;
        let lock = granted(&client.call(&["RLOCK", &key, "3000", "SESSION"]).await);
        eventually(async || fleet.holding(&key).await == 3, "its records").await;
        fleet[0].flushall().await;
        let is_back = async || fleet[0].get(&key).await.as_deref() == Some(lock.token.as_str());
        eventually(is_back, "the record to be put back").await;
        assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
        settled(&proxy).await;
        assert_eq!(fleet.holding(&key).await, 0);
    }
}

#[tokio::test]
async fn a_new_set_grants_its_first_lock_when_max_ttl_has_passed() {
    let fleet = Fleet::start(Kind::any(), 3).await;
    let options = Quarantine::Auto.options(fleet.addresses()).set("new_set", "wait").set("max_ttl_ms", 2_000);
    let proxy = Proxy::start(PROXY, options).await;
    let key = unique_key("job");
    let (head, why) = reasons(&proxy.command(&["RLOCK", &key, "2000"]).await);
    assert_eq!(head, "NOQUORUM 0 of 3 primaries answered, 2 needed");
    for (address, reason) in why {
        assert!(reason.starts_with("quarantined for ") && reason.ends_with(" ms: new set"), "{address} {reason}");
    }
    assert_eq!(proxy.info("ready").await.as_deref(), Some("0"));
    let witness = unique_key("witness");
    assert_eq!(fleet[0].command(&["SET", &witness, "", "PX", "1500"]).await, Value::ok());
    proxy.wait_ready().await;
    assert!(!fleet[0].exists(&witness).await);
    granted(&proxy.command(&["RLOCK", &key, "2000"]).await);
}

#[tokio::test]
async fn a_primary_that_is_down_at_the_first_start_keeps_the_others_waiting() {
    let mut fleet = Fleet::start(Kind::any(), 3).await;
    fleet[2].kill();
    let proxy = Proxy::start(PROXY, Quarantine::Auto.options(fleet.addresses()).set("max_ttl_ms", SHORT_TTL)).await;
    eventually(async || fleet[0].exists(MARKER).await && fleet[1].exists(MARKER).await, "two to be marked").await;
    voters(&proxy, 2).await;
    assert_eq!(proxy.counter("quarantines").await, 2);
    fleet[2].restart().await;
    voters(&proxy, 3).await;
    assert_eq!(proxy.counter("quarantines").await, 3);
}
