//! Whoever knows the token may extend and release, from another connection and through another proxy; and whoever has the owner's
//! name goes on where a proxy has died.

use support::{Kind, Proxy, Value, eventually, unique_key};

use crate::common::{
    LONGEST_TTL, Rig, SESSION_TTL, bind, bound, counted, every_primary_holds, granted, no_primary_holds, none_bound,
    outlive, patient, start,
};

#[tokio::test]
async fn another_connection_releases_a_sessions_lock() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let key = unique_key("other");
    let mut client = rig.proxy.connect().await;
    let lock = bind(&mut client, &rig.fleet, &key, SESSION_TTL, &[]).await;
    assert_eq!(rig.proxy.command(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
    no_primary_holds(&rig.fleet, &key).await;
    assert_eq!(rig.proxy.counter("session_locks").await, 0);
    let renewals = rig.proxy.counter("session_renewals").await;
    outlive(&rig.fleet[0], SESSION_TTL).await;
    assert_eq!(rig.proxy.counter("session_renewals").await, renewals);
    assert_eq!(rig.proxy.counter("session_lost").await, 0, "it was given back");
    assert!(client.call(&["REXTEND", &key, &lock.token, SESSION_TTL]).await.is_null());
}

#[tokio::test]
async fn a_release_through_another_proxy_is_found_out_and_never_undone() {
    for &kind in Kind::all() {
        let rig = Rig::direct(kind, 3, &[]).await;
        let other = start(patient(rig.fleet.addresses())).await;
        let key = unique_key("proxy");
        let mut client = rig.proxy.connect().await;
        let lock = bind(&mut client, &rig.fleet, &key, SESSION_TTL, &[]).await;
        assert!(other.command(&["REXTEND", &key, &lock.token, LONGEST_TTL]).await.integer() > 50_000);
        assert_eq!(other.command(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
        no_primary_holds(&rig.fleet, &key).await;
        counted(&rig.proxy, "session_lost", 1).await;
        assert_eq!(rig.proxy.counter("rextend_records_restored").await, 0);
        no_primary_holds(&rig.fleet, &key).await;
        assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(0));
        assert!(client.call(&["REXTEND", &key, &lock.token, SESSION_TTL]).await.is_null());
    }
}

async fn taken_over(former: &Proxy, proxy: &Proxy, rig: &Rig, key: &str) {
    let mut client = former.connect().await;
    let lock = bind(&mut client, &rig.fleet, key, LONGEST_TTL, &["OWNER", "me"]).await;
    former.kill();
    client.expect_closed().await;
    // Nobody else gets it, and its owner does at once: without a gap.
    assert!(proxy.command(&["RLOCK", key, LONGEST_TTL, "OWNER", "another"]).await.is_null());
    let mut client = proxy.connect().await;
    let newer = granted(&client.call(&["RLOCK", key, SESSION_TTL, "SESSION", "OWNER", "me"]).await);
    assert_ne!(newer.token, lock.token);
    assert!(client.call(&["REXTEND", key, &newer.token, SESSION_TTL]).await.integer() > 0);
    assert!(proxy.command(&["RLOCK", key, LONGEST_TTL]).await.is_null());
    assert_eq!(client.call(&["RUNLOCK", key, &newer.token]).await, Value::Integer(1));
}

#[tokio::test]
async fn a_client_goes_on_through_another_proxy_when_its_own_was_killed() {
    for &kind in Kind::all() {
        let rig = Rig::direct(kind, 3, &[]).await;
        let former = start(patient(rig.fleet.addresses())).await;
        taken_over(&former, &rig.proxy, &rig, &unique_key("killed")).await;
    }
}

/// The old connection may live on half-dead: what was bound to it is lost by the take-over, and frees nothing.
#[tokio::test]
async fn a_take_over_through_another_connection_leaves_the_former_session_with_nothing() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let key = unique_key("former");
    let mut former = rig.proxy.connect().await;
    let lock = bind(&mut former, &rig.fleet, &key, SESSION_TTL, &["OWNER", "me"]).await;
    let mut client = rig.proxy.connect().await;
    let newer = granted(&client.call(&["RLOCK", &key, SESSION_TTL, "SESSION", "OWNER", "me"]).await);
    counted(&rig.proxy, "session_lost", 1).await;
    assert!(former.call(&["REXTEND", &key, &lock.token, SESSION_TTL]).await.is_null());
    drop(former);
    outlive(&rig.fleet[0], SESSION_TTL).await;
    let quorum = async || {
        let values = rig.fleet.get(&key).await;
        values.iter().filter(|value| value.as_ref() == Some(&newer.token)).count() >= 2
    };
    eventually(quorum, "the newer lock to be kept").await;
    bound(&rig.proxy, 1).await;
    drop(client);
    none_bound(&rig.proxy).await;
}

#[tokio::test]
async fn a_lock_is_held_while_its_token_is_handed_to_another_process() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let key = unique_key("handed");
    let mut client = rig.proxy.connect().await;
    let lock = bind(&mut client, &rig.fleet, &key, LONGEST_TTL, &[]).await;
    let mut heir = rig.proxy.connect().await;
    assert!(heir.call(&["REXTEND", &key, &lock.token, LONGEST_TTL]).await.integer() > 50_000);
    // Without it the lock would be released with the connection.
    client.reset();
    none_bound(&rig.proxy).await;
    every_primary_holds(&rig.fleet, &key, &lock.token).await;
    assert_eq!(heir.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
}
