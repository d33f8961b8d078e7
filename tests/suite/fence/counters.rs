//! Where the numbers are kept, for how long, and what becomes of a counter that somebody has spoilt.

use support::{Fleet, Kind, Proxy, Value, eventually, shared, unique_key};

use super::{Fenced, counter, counters, hours_ahead, pass_through, release, second_rounds, set_counters, take};
use crate::common::{
    LONGEST_TTL, Lock, Rig, SharedRig, every_primary_holds, no_primary_holds, outlive, patient, reasons, settled, start,
};

/// Every name on this server in which the key's occurs.
async fn names(fleet: &Fleet, index: usize, key: &str) -> Vec<String> {
    let reply = fleet[index].command(&["KEYS", &format!("*{key}*")]).await;
    let mut names: Vec<String> = reply.items().iter().map(Value::text).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_number_outlives_its_lock_and_is_kept_for_as_long_as_configured() {
    const RETENTION: i64 = 3_600_000;
    for &kind in Kind::all() {
        let fleet = shared(kind, 3).await;
        let proxy = start(patient(fleet.addresses()).set("fence_retention_ms", RETENTION)).await;
        let (mut client, key) = (proxy.connect().await, unique_key("kept"));
        let first = take(&mut client, &key, &[]).await;
        every_primary_holds(fleet, &key, &first.lock.token).await;
        settled(&proxy).await;
        release(&mut client, &key, &first).await;
        no_primary_holds(fleet, &key).await;
        assert_eq!(counters(fleet, &key).await, [Some(first.number); 3], "{kind}");
        for (index, server) in fleet.iter().enumerate() {
            assert_eq!(names(fleet, index, &key).await, [counter(&key)], "{kind}: nothing else is left");
            let left = server.pttl(counter(&key)).await;
            assert!((RETENTION / 2..=RETENTION).contains(&left), "{kind}: {left}");
            // As if most of the time had gone by.
            server.command(&["PEXPIRE", &counter(&key), "100000"]).await;
        }
        // Each grant begins the time anew.
        let second = take(&mut client, &key, &[]).await;
        settled(&proxy).await;
        assert_eq!(counters(fleet, &key).await, [Some(second.number); 3], "{kind}");
        for server in fleet.iter() {
            let left = server.pttl(counter(&key)).await;
            assert!((RETENTION / 2..=RETENTION).contains(&left), "{kind}: {left}");
        }
    }
}

#[tokio::test]
async fn numbers_go_on_rising_by_the_clock_when_a_counter_has_expired() {
    for &kind in Kind::all() {
        let fleet = shared(kind, 3).await;
        let proxy = start(patient(fleet.addresses()).set("max_ttl_ms", 1_000).set("fence_retention_ms", 1_000)).await;
        let (mut client, key) = (proxy.connect().await, unique_key("expired"));
        let mut last = 0;
        for _ in 0..2 {
            let mut number = 0;
            // However often the machine is too busy for the short time-out that such a ttl brings with it.
            let granted = async || {
                let reply = client.call(&["RLOCK", &key, "1000", "FENCE"]).await;
                number = if reply.is_error() { 0 } else { Fenced::of(&reply).map_or(0, |fenced| fenced.number) };
                number > 0
            };
            eventually(granted, "the lock to be had").await;
            assert!(number > last, "{kind}: {number} after {last}");
            last = number;
            settled(&proxy).await;
            outlive(&fleet[0], "1000").await;
            let gone = async || counters(fleet, &key).await == [None; 3];
            eventually(gone, "the counters to expire").await;
            no_primary_holds(fleet, &key).await;
        }
    }
}

/// Counters stand behind the configured prefix like everything else, and the key's name behind theirs without it.
#[tokio::test]
async fn counters_stand_behind_the_prefix_once() {
    for &kind in Kind::all() {
        let fleet = shared(kind, 3).await;
        let prefix = unique_key("app") + "/";
        let proxy = start(patient(fleet.addresses()).set("key_prefix", &prefix)).await;
        let (mut client, key) = (proxy.connect().await, unique_key("prefixed"));
        // Without the prefix it is another application's number.
        set_counters(fleet, &key, &hours_ahead(9).to_string()).await;
        let first = take(&mut client, &key, &[]).await;
        assert!(first.number < hours_ahead(1), "{kind}: {first:?}");
        settled(&proxy).await;
        let mut expected = [counter(&key), format!("{prefix}{key}"), format!("{prefix}{}", counter(&key))];
        expected.sort_unstable();
        for index in 0..3 {
            assert_eq!(names(fleet, index, &key).await, expected, "{kind}");
        }
        let taken_over = take(&mut client, &unique_key("other"), &["OWNER", "me"]).await;
        assert!(taken_over.number > first.number, "{kind}");
        release(&mut client, &key, &first).await;
        assert!(pass_through(&proxy, &key).await > first.number, "{kind}");
        // Nor is it anybody's lock.
        let reply = client.call(&["RLOCK", &counter(&key), LONGEST_TTL]).await;
        assert_eq!(reply, Value::error("ERR names beginning with 'redlock-proxy:' are reserved"), "{kind}");
    }
}

/// Asks for a lock whose number cannot be had: says so, hands out nothing and leaves nothing.
async fn refuses_to_number(proxy: &Proxy, fleet: &Fleet, key: &str, what: &str) -> Vec<(String, String)> {
    let reply = proxy.command(&["RLOCK", key, LONGEST_TTL, "FENCE"]).await;
    let (head, mut reasons) = reasons(&reply);
    assert_eq!(head, "NOQUORUM 3 of 3 primaries answered, 2 needed", "{what}: {reply:?}");
    let last = reasons.pop().expect("the reason");
    assert_eq!(last, ("the".to_owned(), "fencing number was not accepted by a quorum".to_owned()), "{what}: {reply:?}");
    no_primary_holds(fleet, key).await;
    reasons
}

/// 2^53: from here on not every language counts exactly.
const TOO_LARGE: u64 = 1 << 53;

#[tokio::test]
async fn a_counter_that_no_number_can_pass_is_an_error_and_never_a_wrong_number() {
    for &kind in Kind::all() {
        let SharedRig { fleet, proxy, .. } = Rig::shared(kind, 3).await;
        for spoilt in [
            // The largest there is: seen as a number, and none is larger.
            (TOO_LARGE - 1).to_string(),
            TOO_LARGE.to_string(),
            (TOO_LARGE + 1).to_string(),
            u64::MAX.to_string(),
            "99999999999999999999999".to_owned(),
            "1e300".to_owned(),
            "soon".to_owned(),
            String::new(),
        ] {
            let (key, what) = (unique_key("spoilt"), format!("{kind}: {spoilt:?}"));
            set_counters(fleet, &key, &spoilt).await;
            let reasons = refuses_to_number(proxy, fleet, &key, &what).await;
            let is_number = spoilt == (TOO_LARGE - 1).to_string();
            assert!(
                is_number || reasons.len() >= 2,
                "{what}: a quorum's counters are spoilt, and only {reasons:?} say so"
            );
            // Whoever spoilt it may want to see it.
            assert!(fleet.get(counter(&key)).await.iter().all(|value| value.as_ref() == Some(&spoilt)), "{what}");
            // The lock itself is well.
            let reply = proxy.command(&["RLOCK", &key, LONGEST_TTL]).await;
            assert!(Lock::of(&reply).is_some(), "{what}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn a_counter_of_another_type_is_an_error_and_never_a_wrong_number() {
    for &kind in Kind::all() {
        let SharedRig { fleet, proxy, .. } = Rig::shared(kind, 3).await;
        for make in [&["RPUSH"][..], &["SADD"], &["HSET", "field"]] {
            let (key, what) = (unique_key("another-type"), format!("{kind}: {make:?}"));
            for server in fleet.iter() {
                let reply = server.command(&[&[make[0], &counter(&key)], &make[1..], &["1"]].concat()).await;
                assert_eq!(reply.integer(), 1, "{what}");
            }
            let reasons = refuses_to_number(proxy, fleet, &key, &what).await;
            assert!(reasons.len() >= 2, "{what}: {reasons:?}");
            for (_, reason) in reasons {
                assert!(reason.contains("WRONGTYPE"), "{what}: {reason}");
            }
            let reply = proxy.command(&["RLOCK", &key, LONGEST_TTL]).await;
            assert!(Lock::of(&reply).is_some(), "{what}: {reply:?}");
        }
    }
}

/// What a minority's counters say does not matter, if they say nothing that must be passed.
#[tokio::test]
async fn a_minority_whose_counters_are_spoilt_is_done_without() {
    for &kind in Kind::all() {
        let fleet = shared(kind, 5).await;
        let proxy = start(patient(fleet.addresses())).await;
        let key = unique_key("minority");
        fleet[0].command(&["SET", &counter(&key), &u64::MAX.to_string()]).await;
        fleet[1].command(&["RPUSH", &counter(&key), "1"]).await;
        let mut last = 0;
        for turn in 0..10 {
            let next = pass_through(&proxy, &key).await;
            assert!(next > last, "{kind}, turn {turn}: {next} after {last}");
            last = next;
            settled(&proxy).await;
        }
    }
}

/// What is smaller than any number is passed, and put right by that.
#[tokio::test]
async fn a_counter_that_is_too_small_to_be_a_number_is_put_right() {
    for &kind in Kind::all() {
        let fleet = shared(kind, 3).await;
        let proxy = start(patient(fleet.addresses())).await;
        for spoilt in ["0", "-1", "-9223372036854775808", "1.5", " 7", "0x10"] {
            let key = unique_key("too-small");
            set_counters(fleet, &key, spoilt).await;
            let before = second_rounds(&proxy).await;
            let first = pass_through(&proxy, &key).await;
            assert_eq!(second_rounds(&proxy).await, before + 1, "{kind}: {spoilt:?}: what it was tells nothing");
            settled(&proxy).await;
            let kept = counters(fleet, &key).await.into_iter().filter(|&kept| kept >= Some(first)).count();
            assert!(kept >= 2, "{kind}: {spoilt:?}: {kept} primaries keep {first}");
            assert!(pass_through(&proxy, &key).await > first, "{kind}: {spoilt:?}");
        }
    }
}
