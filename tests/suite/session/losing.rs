//! A lock that is lost is withdrawn everywhere, and told in the log without its token. That it stays lost: trap 30.

use support::{Kind, eventually, unique_key};

use crate::common::{Rig, SESSION_TTL, bind, counted, occupy};

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
