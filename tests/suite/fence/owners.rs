//! OWNER and FENCE: a take-over is a later grant.

use support::{Kind, Value, shared, unique_key};

use super::{Fenced, counters, second_rounds, take};
use crate::common::{
    LONGEST_TTL, Lock, Rig, SharedRig, a_quorum_holds, every_primary_holds, occupy, patient, settled, start,
};

#[tokio::test]
async fn each_take_over_through_whichever_proxy_has_a_larger_number() {
    for (&kind, count) in Kind::all().iter().flat_map(|kind| [(kind, 3), (kind, 5)]) {
        let fleet = shared(kind, count).await;
        let proxies = [start(patient(fleet.addresses())).await, start(patient(fleet.addresses())).await];
        let mut clients = [proxies[0].connect().await, proxies[1].connect().await];
        let key = unique_key("take-over");
        let mut last = take(&mut clients[0], &key, &["OWNER", "me"]).await;
        for turn in 1..10 {
            let next = take(&mut clients[turn % 2], &key, &["OWNER", "me"]).await;
            assert!(next.number > last.number, "{kind} x {count}: {next:?} after {last:?}");
            assert_ne!(next.lock.token, last.lock.token);
            // A quorum keeps the number, wherever the former one was kept.
            let kept = counters(fleet, &key).await.into_iter().flatten().filter(|&kept| kept >= next.number).count();
            assert!(kept > count / 2, "{kind} x {count}: {kept} primaries keep {next:?}");
            last = next;
        }
        let taken_over = proxies[0].counter("rlock_taken_over").await + proxies[1].counter("rlock_taken_over").await;
        assert_eq!(taken_over, 9, "{kind} x {count}");
        assert_eq!(clients[0].call(&["RUNLOCK", &key, &last.lock.token]).await, Value::Integer(1));
        let next = take(&mut clients[1], &key, &["OWNER", "other"]).await;
        assert!(next.number > last.number, "{kind} x {count}: {next:?} after {last:?}");
    }
}

/// The number is the grant's, not the lock's: who takes over without FENCE has none, and who had none may have one.
#[tokio::test]
async fn a_take_over_has_a_number_if_it_asks_for_one() {
    for &kind in Kind::all() {
        let SharedRig { proxy, .. } = Rig::shared(kind, 3).await;
        let (mut client, key) = (proxy.connect().await, unique_key("asks"));
        let plain = ["RLOCK", &key, LONGEST_TTL, "OWNER", "me"];
        assert!(Lock::of(&client.call(&plain).await).is_some());
        let first = take(&mut client, &key, &["OWNER", "me"]).await;
        assert!(Lock::of(&client.call(&plain).await).is_some());
        let second = take(&mut client, &key, &["OWNER", "me"]).await;
        assert!(second.number > first.number, "{kind}: {second:?} after {first:?}");
    }
}

/// The owner's former grant is left on two of five, two are free, and somebody else has the fifth: the two that are set and the
/// two that are signed anew have no number in common, and only a second round gives one to a quorum.
#[tokio::test]
async fn a_partial_take_over_has_a_number_that_a_quorum_accepted() {
    for &kind in Kind::all() {
        let fleet = shared(kind, 5).await;
        let proxies = [start(patient(fleet.addresses())).await, start(patient(fleet.addresses())).await];
        let mut clients = [proxies[0].connect().await, proxies[1].connect().await];
        let key = unique_key("partial");
        let mut last = take(&mut clients[0], &key, &["OWNER", "me"]).await;
        for turn in 1..6 {
            // No SET of the last grant is still to arrive.
            settled(&proxies[0]).await;
            settled(&proxies[1]).await;
            let holders = a_quorum_holds(fleet, &key, &last.lock.token).await;
            let is_kept = |port| holders.iter().take(2).any(|holder| holder.port() == port);
            let mut others: Vec<_> = fleet.iter().filter(|server| !is_kept(server.port())).collect();
            occupy(others.pop().expect("three of five"), &key, "somebody else").await;
            for server in others {
                server.del(&key).await;
            }
            let proxy = turn % 2;
            let before = second_rounds(&proxies[proxy]).await;
            let next = take(&mut clients[proxy], &key, &["OWNER", "me"]).await;
            assert!(next.number > last.number, "{kind}: {next:?} after {last:?}");
            assert_eq!(second_rounds(&proxies[proxy]).await, before + 1, "{kind}: {next:?}");
            let kept = counters(fleet, &key).await.into_iter().flatten().filter(|&kept| kept >= next.number).count();
            assert!(kept >= 3, "{kind}: {kept} primaries keep {next:?}");
            a_quorum_holds(fleet, &key, &next.lock.token).await;
            last = next;
        }
    }
}

/// Whoever is refused has no number, and uses none up that the holder's next grant would have to pass by.
#[tokio::test]
async fn who_is_refused_takes_no_number_and_the_next_grant_is_larger_all_the_same() {
    for &kind in Kind::all() {
        let SharedRig { fleet, proxy, .. } = Rig::shared(kind, 3).await;
        let (mut holder, mut other) = (proxy.connect().await, proxy.connect().await);
        let key = unique_key("refused");
        let first = take(&mut holder, &key, &["OWNER", "me"]).await;
        every_primary_holds(fleet, &key, &first.lock.token).await;
        for options in [&["FENCE"][..], &["FENCE", "OWNER", "other"]] {
            let reply = other.call(&[&["RLOCK", &key, LONGEST_TTL], options].concat()).await;
            assert_eq!(Fenced::of(&reply), None, "{kind}");
        }
        let second = take(&mut holder, &key, &["OWNER", "me"]).await;
        assert!(second.number > first.number, "{kind}: {second:?} after {first:?}");
    }
}
