//! A lock that is lost is lost for good, withdrawn everywhere, and told in the log without its token.

use support::{Kind, Relay, Value, eventually, unique_key};

use crate::common::{LONGEST_TTL, Rig, SESSION_TTL, bind, counted, granted, no_primary_holds, occupy, outlive};

#[tokio::test]
async fn a_lock_whose_records_are_gone_is_lost_at_the_next_renewal_and_withdrawn_everywhere() {
    for &kind in Kind::all() {
        let rig = Rig::direct(kind, 3, &[]).await;
        let key = unique_key("gone");
        let mut client = rig.proxy.connect().await;
        let lock = bind(&mut client, &rig.fleet, &key, SESSION_TTL, &[]).await;
        assert!(rig.fleet[0].del(&key).await);
        occupy(&rig.fleet[1], &key, "somebody else").await;
        counted(&rig.proxy, "session_lost", 1).await;
        let lacking = async || rig.fleet[2].get(&key).await.is_none();
        eventually(lacking, "the last record to be withdrawn").await;
        assert_eq!(rig.fleet[1].get(&key).await.as_deref(), Some("somebody else"));
        assert_eq!(rig.proxy.counter("session_locks").await, 0);
        let line = rig.proxy.wait_for_log("the lock of a session is lost").await;
        assert!(line.contains(&key) && !rig.proxy.log().contains(&lock.token), "{line}");
    }
}

/// Behind a partition the records may outlive the validity: then there is nothing that could be told of them any more.
#[tokio::test]
async fn a_lock_that_could_not_be_renewed_in_time_is_never_held_again() {
    for &kind in Kind::all() {
        let rig = Rig::relayed(kind, 3, &[("connect_timeout_ms", 1_000)]).await;
        let key = unique_key("late");
        let mut client = rig.proxy.connect().await;
        let lock = bind(&mut client, &rig.fleet, &key, SESSION_TTL, &[]).await;
        // Somebody has let the records live much longer.
        for server in rig.fleet.iter() {
            assert_eq!(server.command(&["PEXPIRE", &key, LONGEST_TTL]).await, Value::Integer(1));
        }
        rig.relays[..2].iter().for_each(Relay::refuse);
        rig.relays[..2].iter().for_each(Relay::cut);
        counted(&rig.proxy, "session_lost", 1).await;
        assert!(client.call(&["REXTEND", &key, &lock.token, SESSION_TTL]).await.is_null());
        assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(0));
        for server in &rig.fleet[..2] {
            assert_eq!(server.get(&key).await.as_ref(), Some(&lock.token), "nobody reaches it");
        }
        rig.relays[..2].iter().for_each(Relay::heal);
        no_primary_holds(&rig.fleet, &key).await;
        assert!(client.call(&["REXTEND", &key, &lock.token, SESSION_TTL]).await.is_null());
        outlive(&rig.fleet[0], SESSION_TTL).await;
        assert_eq!(rig.proxy.counter("session_lost").await, 1);
        let other = granted(&client.call(&["RLOCK", &key, SESSION_TTL]).await);
        assert_eq!(client.call(&["RUNLOCK", &key, &other.token]).await, Value::Integer(1));
    }
}
