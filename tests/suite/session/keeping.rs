//! Renewals: a lock lives as long as its connection, whatever a minority of the primaries does.

use support::{Kind, Relay, Value, eventually, unique_key};

use crate::common::{
    LONGEST_TTL, Rig, SESSION_TTL, bind, bound, counted, every_primary_holds, granted, no_primary_holds, outlive,
    voters,
};

#[tokio::test]
async fn a_lock_lives_beyond_its_ttl_until_it_is_released() {
    for &kind in Kind::all() {
        let rig = Rig::direct(kind, 3, &[]).await;
        let (bound, unbound) = (unique_key("bound"), unique_key("unbound"));
        let mut client = rig.proxy.connect().await;
        let lock = bind(&mut client, &rig.fleet, &bound, SESSION_TTL, &[]).await;
        granted(&client.call(&["RLOCK", &unbound, SESSION_TTL]).await);
        for _ in 0..2 {
            outlive(&rig.fleet[0], SESSION_TTL).await;
            every_primary_holds(&rig.fleet, &bound, &lock.token).await;
        }
        no_primary_holds(&rig.fleet, &unbound).await;
        assert!(rig.proxy.counter("session_renewals").await >= 4);
        assert!(rig.proxy.command(&["RLOCK", &bound, SESSION_TTL]).await.is_null());
        assert_eq!(client.call(&["RUNLOCK", &bound, &lock.token]).await, Value::Integer(1));
        assert_eq!(rig.proxy.counter("session_locks").await, 0);
        no_primary_holds(&rig.fleet, &bound).await;
        assert_eq!(client.call(&["RUNLOCK", &bound, &lock.token]).await, Value::Integer(0));
    }
}

/// What a renewal asks for is what the holder asked for last.
#[tokio::test]
async fn an_extension_changes_the_ttl_of_the_session() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let key = unique_key("ttl");
    let mut client = rig.proxy.connect().await;
    let lock = bind(&mut client, &rig.fleet, &key, LONGEST_TTL, &[]).await;
    // From another connection, and much shorter: renewed far more often from then on, and never shortened.
    let validity = rig.proxy.command(&["REXTEND", &key, &lock.token, "300"]).await.integer();
    assert!(validity < 300, "{validity}");
    counted(&rig.proxy, "session_renewals", 3).await;
    for server in rig.fleet.iter() {
        assert!(server.pttl(&key).await > 20_000);
    }
    assert!(client.call(&["REXTEND", &key, &lock.token, LONGEST_TTL]).await.integer() > 50_000);
    let renewals = rig.proxy.counter("session_renewals").await;
    outlive(&rig.fleet[0], "1000").await;
    assert!(rig.proxy.counter("session_renewals").await <= renewals + 1, "one may have been under way");
}

#[tokio::test]
async fn a_primary_that_is_down_costs_a_session_nothing() {
    for &kind in Kind::all() {
        let mut rig = Rig::direct(kind, 3, &[]).await;
        let key = unique_key("down");
        let mut client = rig.proxy.connect().await;
        let lock = bind(&mut client, &rig.fleet, &key, SESSION_TTL, &[]).await;
        rig.fleet[1].kill();
        for _ in 0..2 {
            outlive(&rig.fleet[0], SESSION_TTL).await;
        }
        for server in [&rig.fleet[0], &rig.fleet[2]] {
            assert_eq!(server.get(&key).await.as_ref(), Some(&lock.token));
        }
        assert_eq!(rig.proxy.counter("session_lost").await, 0);
        assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
    }
}

#[tokio::test]
async fn a_majority_that_is_back_within_the_validity_loses_nothing() {
    let settings = [("connect_timeout_ms", 1_000)];
    for &kind in Kind::all() {
        let rig = Rig::relayed(kind, 3, &settings).await;
        let key = unique_key("back");
        let mut client = rig.proxy.connect().await;
        let lock = bind(&mut client, &rig.fleet, &key, "12000", &[]).await;
        rig.relays[..2].iter().for_each(Relay::refuse);
        rig.relays[..2].iter().for_each(Relay::cut);
        counted(&rig.proxy, "session_renewal_failures", 2).await;
        rig.relays[..2].iter().for_each(Relay::heal);
        rig.settled().await;
        let renewals = rig.proxy.counter("session_renewals").await;
        counted(&rig.proxy, "session_renewals", renewals + 1).await;
        assert_eq!(rig.proxy.counter("session_lost").await, 0);
        every_primary_holds(&rig.fleet, &key, &lock.token).await;
        assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
    }
}

#[tokio::test]
async fn a_record_is_set_anew_on_a_primary_to_which_none_was_ever_sent() {
    for &kind in Kind::all() {
        let rig = Rig::relayed(kind, 3, &[("connect_timeout_ms", 1_000)]).await;
        let key = unique_key("anew");
        rig.relays[2].refuse();
        rig.relays[2].cut();
        voters(&rig.proxy, 2).await;
        let mut client = rig.proxy.connect().await;
        let lock = granted(&client.call(&["RLOCK", &key, SESSION_TTL, "SESSION"]).await);
        assert_eq!(rig.fleet.holding(&key).await, 2);
        rig.relays[2].heal();
        every_primary_holds(&rig.fleet, &key, &lock.token).await;
        assert!(rig.fleet[2].pttl(&key).await <= SESSION_TTL.parse().expect("a number"), "for what remains");
        // The record is seen before the answer that tells of it.
        eventually(async || rig.proxy.counter("rextend_records_restored").await == 1, "it to be counted").await;
        // From here on it is one of three: another may go.
        rig.relays[0].refuse();
        rig.relays[0].cut();
        outlive(&rig.fleet[1], SESSION_TTL).await;
        assert_eq!(rig.proxy.counter("session_lost").await, 0);
        assert_eq!(rig.fleet[2].get(&key).await.as_ref(), Some(&lock.token));
        rig.relays[0].heal();
        rig.settled().await;
        assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
        no_primary_holds(&rig.fleet, &key).await;
    }
}

/// It may have been deleted by a release.
#[tokio::test]
async fn a_record_is_not_set_anew_on_a_primary_that_had_it() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let key = unique_key("had");
    let mut client = rig.proxy.connect().await;
    let lock = bind(&mut client, &rig.fleet, &key, SESSION_TTL, &[]).await;
    assert!(rig.fleet[1].del(&key).await);
    outlive(&rig.fleet[0], SESSION_TTL).await;
    assert_eq!(rig.fleet.get(&key).await, [Some(lock.token.clone()), None, Some(lock.token)]);
    assert_eq!(rig.proxy.counter("rextend_records_restored").await, 0);
    assert_eq!(rig.proxy.counter("session_lost").await, 0);
}

/// Thousands are renewed in step with each other.
#[tokio::test]
async fn many_locks_of_many_clients_are_kept() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let mut clients = Vec::new();
    for number in 0..20 {
        let mut client = rig.proxy.connect().await;
        let keys: Vec<String> = (0..200).map(|index| format!("many:{number}:{index}")).collect();
        for key in &keys {
            client.send(&["RLOCK", key, "6000", "SESSION"]).await;
        }
        for reply in client.read_replies(keys.len()).await {
            granted(&reply);
        }
        clients.push((client, keys));
    }
    bound(&rig.proxy, 4_000).await;
    for _ in 0..2 {
        outlive(&rig.fleet[0], "6000").await;
    }
    assert_eq!(rig.proxy.counter("session_lost").await, 0);
    let keys: Vec<&str> = clients.iter().flat_map(|(_, keys)| keys).map(String::as_str).collect();
    for server in rig.fleet.iter() {
        let held = server.command(&[&["EXISTS"][..], &keys].concat()).await;
        assert_eq!(held, Value::Integer(4_000));
    }
    drop(clients);
    let gone = async || rig.proxy.counter("session_released_on_close").await == 4_000;
    eventually(gone, "all of them to be released").await;
}
