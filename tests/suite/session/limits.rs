//! How many locks may be bound, and for how long.

use support::resp::encode_command;
use support::{Kind, Value, eventually, unique_key};

use crate::common::{
    LONGEST_TTL, Rig, SESSION_TTL, bind, counted, granted, no_primary_holds, none_bound, outlive, resp3,
};

const FULL: &str = "ERR max number of session locks reached";

#[tokio::test]
async fn limits_session_locks_bounds_those_of_all_connections() {
    let rig = Rig::direct(Kind::any(), 3, &[("limits.session_locks", 3)]).await;
    let mut first = rig.proxy.connect().await;
    let mut second = rig.proxy.connect().await;
    let keys: Vec<String> = (0..5).map(|_| unique_key("bound")).collect();
    let lock = bind(&mut first, &rig.fleet, &keys[0], LONGEST_TTL, &[]).await;
    for key in &keys[1..3] {
        bind(&mut second, &rig.fleet, key, LONGEST_TTL, &[]).await;
    }
    let errors = rig.proxy.counter("errors_limit").await;
    for client in [&mut first, &mut second] {
        assert_eq!(client.call(&["RLOCK", &keys[3], LONGEST_TTL, "SESSION"]).await, Value::error(FULL));
    }
    assert_eq!(rig.proxy.counter("errors_limit").await, errors + 2);
    assert_eq!(rig.fleet.holding(&keys[3]).await, 0, "nobody was asked");
    granted(&first.call(&["RLOCK", &keys[4], LONGEST_TTL]).await);
    assert_eq!(first.call(&["RUNLOCK", &keys[0], &lock.token]).await, Value::Integer(1));
    bind(&mut first, &rig.fleet, &keys[3], LONGEST_TTL, &[]).await;
    // What is not granted takes no room.
    drop((first, second));
    none_bound(&rig.proxy).await;
    let mut third = rig.proxy.connect().await;
    for _ in 0..5 {
        assert!(third.call(&["RLOCK", &keys[4], LONGEST_TTL, "SESSION"]).await.is_null());
    }
    for key in &keys[..3] {
        no_primary_holds(&rig.fleet, key).await;
        bind(&mut third, &rig.fleet, key, LONGEST_TTL, &[]).await;
    }
}

#[tokio::test]
async fn limits_session_locks_per_connection_bounds_those_of_each() {
    let rig = Rig::direct(Kind::any(), 3, &[("limits.session_locks_per_connection", 2)]).await;
    for _ in 0..2 {
        let mut client = rig.proxy.connect().await;
        for _ in 0..2 {
            bind(&mut client, &rig.fleet, &unique_key("bound"), LONGEST_TTL, &[]).await;
        }
        assert_eq!(client.call(&["RLOCK", &unique_key("bound"), LONGEST_TTL, "SESSION"]).await, Value::error(FULL));
        // In one pipeline as well.
        assert_eq!(client.call(&["RESET"]).await, Value::simple("RESET"));
        let keys: Vec<String> = (0..4).map(|_| unique_key("bound")).collect();
        for key in &keys {
            client.send(&["RLOCK", key, LONGEST_TTL, "SESSION"]).await;
        }
        let replies = client.read_replies(4).await;
        assert_eq!(replies.iter().filter(|reply| **reply == Value::error(FULL)).count(), 2, "{replies:?}");
    }
}

#[tokio::test]
async fn a_release_makes_room_for_what_is_asked_for_behind_it_in_one_write() {
    let rig = Rig::direct(Kind::any(), 3, &[("limits.session_locks_per_connection", 1)]).await;
    let mut client = rig.proxy.connect().await;
    let mut key = unique_key("bound");
    let mut token = bind(&mut client, &rig.fleet, &key, LONGEST_TTL, &[]).await.token;
    for _ in 0..10 {
        let next = unique_key("bound");
        let release = encode_command(&["RUNLOCK", &key, &token]);
        let acquire = encode_command(&["RLOCK", &next, LONGEST_TTL, "SESSION"]);
        client.send_raw([release, acquire].concat()).await;
        assert_eq!(client.read_reply().await, Value::Integer(1));
        token = granted(&client.read_reply().await).token;
        key = next;
    }
}

/// `session.max_lifetime_ms`
#[tokio::test]
async fn a_lock_is_renewed_for_as_long_as_it_may_be() {
    let rig = Rig::direct(Kind::any(), 3, &[("session.max_lifetime_ms", 4_000)]).await;
    let key = unique_key("lifetime");
    let mut client = resp3(&rig.proxy).await;
    let lock = bind(&mut client, &rig.fleet, &key, SESSION_TTL, &["NOTIFY"]).await;
    outlive(&rig.fleet[0], SESSION_TTL).await;
    assert_eq!(rig.fleet.holding(&key).await, 3, "its time is not over");
    let push = client.read_reply().await;
    assert_eq!(push, Value::Push(vec![Value::bulk("rlock-lost"), Value::bulk(&key), Value::bulk(&lock.token)]));
    no_primary_holds(&rig.fleet, &key).await;
    assert_eq!(rig.proxy.counter("session_locks").await, 0);
    assert!(client.call(&["REXTEND", &key, &lock.token, SESSION_TTL]).await.is_null());
}

/// `session.client_silence_ms`
#[tokio::test]
async fn a_silent_clients_locks_are_renewed_no_more() {
    let rig = Rig::direct(Kind::any(), 3, &[("session.client_silence_ms", 1_500)]).await;
    let (silent_key, talkative_key) = (unique_key("silent"), unique_key("talkative"));
    let mut silent = rig.proxy.connect().await;
    let mut talkative = rig.proxy.connect().await;
    let lock = bind(&mut silent, &rig.fleet, &silent_key, SESSION_TTL, &[]).await;
    bind(&mut talkative, &rig.fleet, &talkative_key, SESSION_TTL, &[]).await;
    let lost = async || {
        assert_eq!(talkative.call(&["PING"]).await, Value::simple("PONG"));
        rig.proxy.counter("session_lost").await == 1
    };
    eventually(lost, "the silent client's lock to be lost").await;
    no_primary_holds(&rig.fleet, &silent_key).await;
    assert_eq!(rig.fleet.holding(&talkative_key).await, 3);
    assert_eq!(silent.call(&["RUNLOCK", &silent_key, &lock.token]).await, Value::Integer(0));
}

#[tokio::test]
async fn renewing_goes_on_when_the_client_speaks_again_while_validity_lasts() {
    let rig = Rig::direct(Kind::any(), 3, &[("session.client_silence_ms", 1_000)]).await;
    let key = unique_key("paused");
    let mut client = rig.proxy.connect().await;
    bind(&mut client, &rig.fleet, &key, "12000", &[]).await;
    // Past the first renewal's time, which is put off.
    outlive(&rig.fleet[0], "5000").await;
    assert_eq!(rig.proxy.counter("session_renewals").await, 0);
    assert_eq!(client.call(&["PING"]).await, Value::simple("PONG"));
    counted(&rig.proxy, "session_renewals", 1).await;
    assert_eq!(rig.proxy.counter("session_lost").await, 0);
    assert_eq!(rig.fleet.holding(&key).await, 3);
}
