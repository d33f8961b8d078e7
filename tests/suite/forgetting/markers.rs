//! What the markers say, and what is read from them.

use support::{Fleet, Kind, Proxy, Value, eventually, unique_key};

use super::{MARKER, Quarantine, markers, state};
use crate::common::{LONGEST_TTL, PROXY, granted, primary_field, reasons, start, voters};

#[tokio::test]
async fn a_marker_names_the_set_its_size_the_longest_ttl_and_the_process() {
    for &kind in Kind::all() {
        let fleet = Fleet::start(kind, 3).await;
        let options =
            Quarantine::Auto.options(fleet.addresses()).set("set_name", "pay.ments-1").set("max_ttl_ms", 30_000);
        let _proxy = start(options).await;
        for server in fleet.iter() {
            let marker = server.get(MARKER).await.expect("it is marked");
            let run = server.info("run_id").await.expect("INFO shows it");
            let words: Vec<&str> = marker.split(' ').collect();
            assert_eq!(words[..5], ["1", "pay.ments-1", "3", "30000", &run]);
            assert!(words[5].len() == 32 && words[6] == "sound", "{marker}");
        }
    }
}

#[tokio::test]
async fn markers_stand_behind_the_key_prefix_and_no_lock_may_have_their_name() {
    let fleet = Fleet::start(Kind::any(), 3).await;
    let proxy = start(Quarantine::Auto.options(fleet.addresses()).set("key_prefix", "app:")).await;
    assert_eq!(markers(&fleet).await, [None, None, None]);
    assert!(fleet[0].exists("app:redlock-proxy:marker").await);
    let refused = proxy.command(&["RLOCK", MARKER, LONGEST_TTL]).await;
    assert_eq!(refused, Value::error("ERR names beginning with 'redlock-proxy:' are reserved"));
    // Another prefix is another set of locks: its proxies have markers of their own.
    start(Quarantine::Auto.options(fleet.addresses())).await;
    assert_eq!(markers(&fleet).await.iter().flatten().count(), 3);
}

#[tokio::test]
async fn a_marker_that_cannot_be_written_is_told_once_and_tried_again_and_again() {
    let mut fleet = Fleet::start(Kind::any(), 3).await;
    let proxy = start(Quarantine::Auto.options(fleet.addresses()).set("max_ttl_ms", 1_000)).await;
    fleet[0].flushall().await;
    let set = async |replicas| fleet[0].command(&["CONFIG", "SET", "min-replicas-to-write", replicas]).await;
    assert_eq!(set("1").await, Value::ok());
    let told = async || proxy.log().matches("the marker cannot be written").count();
    eventually(async || told().await > 0, "it to be told").await;
    let tries = fleet[0].calls("eval").await;
    eventually(async || fleet[0].calls("eval").await >= tries + 2, "more to be tried").await;
    assert_eq!((told().await, proxy.log().matches("reason=NOREPLICAS").count()), (1, 1), "{}", proxy.log());
    let shown = format!("{:?}", proxy.command(&["RPRIMARIES"]).await);
    assert!(shown.contains("the marker cannot be written: NOREPLICAS"), "{shown}");
    assert_eq!(set("0").await, Value::ok());
    voters(&proxy, 3).await;
}

#[tokio::test]
async fn a_primary_of_another_set_does_not_vote_and_is_left_as_it_is() {
    for &kind in Kind::all() {
        let fleet = Fleet::start(kind, 3).await;
        let proxy = start(Quarantine::Auto.options(fleet.addresses())).await;
        let ours = fleet[0].get(MARKER).await.expect("it is marked");
        for (others, name) in [
            (ours.replace(" main ", " other "), "other/3"),
            (ours.replace(" main 3 ", " main 5 "), "main/5"),
            ("something else".to_owned(), "unknown"),
        ] {
            assert_eq!(fleet[0].command(&["SET", MARKER, &others]).await, Value::ok());
            eventually(async || state(&proxy, 0).await == "foreign", "it to be told from ours").await;
            assert_eq!(fleet[1].command(&["SET", MARKER, &others]).await, Value::ok());
            voters(&proxy, 1).await;
            let reply = proxy.command(&["RLOCK", &unique_key("job"), LONGEST_TTL]).await;
            let (_, why) = reasons(&reply);
            assert!(why.iter().any(|(_, reason)| *reason == format!("of another set: {name}")), "{why:?}");
            let told = format!("{:?}", proxy.command(&["RPRIMARIES"]).await);
            assert!(told.contains("foreign") && told.contains(&format!("of another set: {name}")), "{told}");
            assert_eq!(fleet[0].get(MARKER).await.as_deref(), Some(others.as_str()));
            for server in &fleet[..2] {
                assert_eq!(server.command(&["SET", MARKER, &ours]).await, Value::ok());
            }
            // The marker of the first is not that of the second, whose process it does not name.
            eventually(async || state(&proxy, 1).await == "quarantined", "it to be one of ours again").await;
            assert_eq!(fleet[1].command(&["SET", MARKER, &others]).await, Value::ok());
        }
    }
}

#[tokio::test]
async fn no_ttl_is_longer_than_every_marker_allows() {
    let fleet = Fleet::start(Kind::any(), 3).await;
    let short = start(Quarantine::Auto.options(fleet.addresses()).set("max_ttl_ms", 5_000)).await;
    let long = start(Quarantine::Auto.options(fleet.addresses()).set("max_ttl_ms", 90_000)).await;
    for (verb, arguments) in [("rlock", ["job", "5001"].as_slice()), ("rextend", &["job", "token", "5001"])] {
        let words: Vec<&str> = [verb].iter().chain(arguments).copied().collect();
        for proxy in [&short, &long] {
            let expected = format!("ERR invalid expire time in '{verb}' command: 4 to 5000 milliseconds");
            assert_eq!(proxy.command(&words).await, Value::error(expected));
        }
    }
    granted(&long.command(&["RLOCK", &unique_key("job"), "5000"]).await);
}

#[tokio::test]
async fn without_quarantine_there_are_no_markers() {
    for &kind in Kind::all() {
        let fleet = Fleet::start(kind, 3).await;
        let proxy = Proxy::start(PROXY, Quarantine::Off.options(fleet.addresses()).set("new_set", "wait")).await;
        voters(&proxy, 3).await;
        granted(&proxy.command(&["RLOCK", &unique_key("job"), LONGEST_TTL]).await);
        assert_eq!(markers(&fleet).await, [None, None, None]);
        assert_eq!(primary_field(&proxy, 0, "state").await, "up");
    }
}
