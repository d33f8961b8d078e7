//! SESSION with what else RLOCK and RMLOCK can do: waiting in line, several locks, being looked at.

use support::{Kind, Value, eventually, unique_key};

use crate::common::{
    LONGEST_TTL, Rig, SESSION_TTL, bind, bound, counted, every_primary_holds, granted, no_primary_holds, none_bound,
    outlive, resp3,
};

#[tokio::test]
async fn whoever_waits_gets_the_lock_when_its_holder_closes_and_keeps_it() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let key = unique_key("wait");
    let mut holder = rig.proxy.connect().await;
    bind(&mut holder, &rig.fleet, &key, LONGEST_TTL, &[]).await;
    let mut waiter = rig.proxy.connect().await;
    waiter.send(&["RLOCK", &key, SESSION_TTL, "SESSION", "WAIT", "60000"]).await;
    eventually(async || rig.proxy.counter("waiters").await == 1, "one to wait").await;
    drop(holder);
    let lock = granted(&waiter.read_reply().await);
    bound(&rig.proxy, 1).await;
    outlive(&rig.fleet[0], SESSION_TTL).await;
    every_primary_holds(&rig.fleet, &key, &lock.token).await;
    // Nor does a seat stay taken by who waited in vain.
    let mut other = rig.proxy.connect().await;
    assert!(other.call(&["RLOCK", &key, SESSION_TTL, "WAIT", "10", "SESSION"]).await.is_null());
    drop((waiter, other));
    none_bound(&rig.proxy).await;
}

#[tokio::test]
async fn several_locks_are_kept_together_and_lost_each_on_its_own() {
    for &kind in Kind::all() {
        let rig = Rig::direct(kind, 3, &[]).await;
        let keys = [unique_key("several"), unique_key("several"), unique_key("several")];
        let mut client = resp3(&rig.proxy).await;
        let command = [&["RMLOCK", "3"][..], &keys.each_ref().map(String::as_str), &[SESSION_TTL, "SESSION", "NOTIFY"]];
        let lock = granted(&client.call(&command.concat()).await);
        bound(&rig.proxy, 3).await;
        outlive(&rig.fleet[0], SESSION_TTL).await;
        for key in &keys {
            every_primary_holds(&rig.fleet, key, &lock.token).await;
        }
        for server in &rig.fleet[..2] {
            assert!(server.del(&keys[1]).await);
        }
        let push = client.read_reply().await;
        assert_eq!(push, Value::Push(vec![Value::bulk("rlock-lost"), Value::bulk(&keys[1]), Value::bulk(&lock.token)]));
        bound(&rig.proxy, 2).await;
        let extend = [&["RMEXTEND", "3"][..], &keys.each_ref().map(String::as_str), &[&lock.token, SESSION_TTL]];
        assert!(client.call(&extend.concat()).await.is_null(), "one of them is lost");
        let extend = ["RMEXTEND", "2", &keys[0], &keys[2], &lock.token, LONGEST_TTL];
        assert!(client.call(&extend).await.integer() > 50_000);
        let release = [&["RMUNLOCK", "3"][..], &keys.each_ref().map(String::as_str), &[&lock.token]];
        assert_eq!(client.call(&release.concat()).await, Value::Integer(2));
        for key in &keys {
            no_primary_holds(&rig.fleet, key).await;
        }
        assert_eq!(rig.proxy.counter("session_locks").await, 0);
        assert_eq!(rig.proxy.counter("session_lost").await, 1);
    }
}

#[tokio::test]
async fn several_locks_take_their_places_together_and_end_with_their_connection() {
    let rig = Rig::direct(Kind::any(), 3, &[("limits.session_locks_per_connection", 3)]).await;
    let keys: Vec<String> = (0..4).map(|_| unique_key("places")).collect();
    let mut client = rig.proxy.connect().await;
    let first = granted(&client.call(&["RMLOCK", "2", &keys[0], &keys[1], LONGEST_TTL, "SESSION"]).await);
    let full = client.call(&["RMLOCK", "2", &keys[2], &keys[3], LONGEST_TTL, "SESSION"]).await;
    assert_eq!(full, Value::error("ERR max number of session locks reached"));
    assert_eq!(rig.fleet.holding(&keys[2]).await, 0);
    assert_eq!(client.call(&["RUNLOCK", &keys[0], &first.token]).await, Value::Integer(1));
    granted(&client.call(&["RMLOCK", "2", &keys[2], &keys[3], LONGEST_TTL, "SESSION"]).await);
    bound(&rig.proxy, 3).await;
    drop(client);
    counted(&rig.proxy, "session_released_on_close", 3).await;
    for key in &keys {
        no_primary_holds(&rig.fleet, key).await;
    }
}

#[tokio::test]
async fn a_look_at_a_lock_tells_whose_session_holds_it() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let key = unique_key("looked at");
    let mut client = rig.proxy.connect().await;
    let lock = bind(&mut client, &rig.fleet, &key, LONGEST_TTL, &[]).await;
    let session = async || {
        let found = resp3(&rig.proxy).await.call(&["RINSPECT", &key]).await;
        found.field("session").cloned().expect("it is told")
    };
    assert_eq!(session().await, Value::bulk(client.local_address()));
    assert_eq!(client.call(&["CLIENT", "SETNAME", "worker"]).await, Value::ok());
    assert_eq!(session().await, Value::bulk(format!("{} worker", client.local_address())));
    assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
    granted(&client.call(&["RLOCK", &key, LONGEST_TTL]).await);
    assert!(session().await.is_null());
}
