//! RINSPECT and RPRIMARIES: who holds a lock, and how the primaries are, without a token anywhere.

use support::{Fault, Kind, Value, eventually, unique_key};

use crate::common::{Rig, every_rig, granted, occupy, resp3, take};

fn names(map: &Value) -> Vec<String> {
    map.items().iter().step_by(2).map(Value::text).collect()
}

fn field(map: &Value, name: &str) -> Value {
    map.field(name).unwrap_or_else(|| panic!("no {name} in {map:?}")).clone()
}

#[tokio::test]
async fn a_lock_is_shown_with_its_owner_and_its_end_and_without_its_token() {
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        let key = unique_key("inspect");
        let free = client.call(&["RINSPECT", &key]).await;
        assert_eq!(names(&free), ["state", "ttl", "owner", "holder", "session", "waiters", "primaries"]);
        assert_eq!(field(&free, "state").text(), "free");
        for name in ["ttl", "owner", "holder", "session"] {
            assert_eq!(field(&free, name), Value::NullBulk, "{name}");
        }

        let lock = granted(&client.call(&["RLOCK", &key, "30000", "OWNER", "worker:7"]).await);
        let every = async || rig.fleet.holding(&key).await == rig.fleet.len();
        eventually(every, "every primary to hold it").await;
        let held = client.call(&["RINSPECT", &key]).await;
        assert_eq!(field(&held, "state").text(), "held");
        assert_eq!(field(&held, "owner").text(), "worker:7");
        assert!((1..=30_000).contains(&field(&held, "ttl").integer()), "{held:?}");
        let holder = field(&held, "holder").text();
        assert!(holder.len() == 12 && holder.bytes().all(|byte| byte.is_ascii_hexdigit()), "{holder}");
        assert!(!format!("{held:?}").contains(&lock.token[lock.token.len() - 40..]), "{held:?}");
        assert!(!lock.token.contains(&holder), "a part of the token is no digest of it");
        let primaries = field(&held, "primaries");
        assert_eq!(primaries.items().len(), rig.fleet.len());
        for (primary, server) in primaries.items().iter().zip(rig.fleet.iter()) {
            assert_eq!(names(primary), ["address", "state", "ttl"]);
            assert_eq!(field(primary, "address").text(), server.address());
            assert_eq!(field(primary, "state").text(), "held");
            assert!((1..=30_000).contains(&field(primary, "ttl").integer()));
        }
        assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
    }
}

#[tokio::test]
async fn in_resp3_they_are_maps() {
    let rig = Rig::shared(Kind::any(), 3).await;
    let mut client = resp3(&rig.proxy).await;
    client.send(&["RINSPECT", &unique_key("inspect")]).await;
    client.expect_bytes("%7\r\n$5\r\nstate\r\n$4\r\nfree\r\n$3\r\nttl\r\n_\r\n").await;
    let mut client = resp3(&rig.proxy).await;
    client.send(&["RPRIMARIES"]).await;
    client.expect_bytes("*3\r\n%8\r\n$7\r\naddress\r\n").await;
}

#[tokio::test]
async fn what_no_majority_shows_is_contested_and_what_no_quorum_answers_unknown() {
    let rig = Rig::shared_relayed(Kind::any(), 3, &[("node_timeout_ms", 300)]).await;
    rig.settled().await;
    let mut client = rig.proxy.connect().await;
    let key = unique_key("inspect");
    occupy(&rig.fleet[0], &key, "one").await;
    let seen = client.call(&["RINSPECT", &key]).await;
    assert_eq!(field(&seen, "state").text(), "contested");
    assert!(field(&seen, "holder").is_null());
    // Another type, held for ever.
    assert_eq!(rig.fleet[1].command(&["SADD", &key, "member"]).await, Value::Integer(1));
    assert_eq!(rig.fleet[2].command(&["SADD", &key, "member"]).await, Value::Integer(1));
    assert_eq!(field(&client.call(&["RINSPECT", &key]).await, "state").text(), "contested");

    rig.relays[..2].iter().for_each(|relay| relay.set_both(Fault::BlackHole));
    let seen = client.call(&["RINSPECT", &key]).await;
    assert_eq!(field(&seen, "state").text(), "unknown");
    let states: Vec<String> =
        field(&seen, "primaries").items().iter().map(|primary| field(primary, "state").text()).collect();
    assert_eq!(states, ["unknown", "unknown", "held"]);
    for server in rig.fleet.iter() {
        server.del(&key).await;
    }
}

#[tokio::test]
async fn it_changes_nothing() {
    let rig = Rig::shared(Kind::any(), 3).await;
    let mut client = rig.proxy.connect().await;
    let key = unique_key("inspect");
    let lock = take(&mut client, rig.fleet, &key, "30000").await;
    let mut other = rig.proxy.connect().await;
    for _ in 0..3 {
        other.call(&["RINSPECT", &key]).await;
    }
    assert!(!client.call(&["REXTEND", &key, &lock.token, "30000"]).await.is_null());
    assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
}

#[tokio::test]
async fn primaries_are_shown_with_what_they_are_and_what_was_wrong() {
    let mut rig = Rig::direct(Kind::any(), 3, &[]).await;
    rig.proxy.wait_ready().await;
    let mut client = rig.proxy.connect().await;
    let shown = client.call(&["RPRIMARIES"]).await;
    assert_eq!(shown.items().len(), 3);
    for (primary, server) in shown.items().iter().zip(rig.fleet.iter()) {
        let promised =
            ["address", "state", "since_ms", "server", "rtt_us", "clock_offset_ms", "quarantine_ms", "last_error"];
        assert_eq!(names(primary), promised);
        assert_eq!(field(primary, "address").text(), server.address());
        assert_eq!(field(primary, "state").text(), "up");
        let version = server.info("valkey_version").await.map(|version| format!("valkey {version}"));
        let version = match version {
            Some(version) => version,
            None => format!("redis {}", server.info("redis_version").await.expect("a version")),
        };
        if server.info("dragonfly_version").await.is_none() {
            assert_eq!(field(primary, "server").text(), version);
        }
        // One machine, one clock.
        assert!(field(primary, "clock_offset_ms").integer().abs() < 1_000, "{primary:?}");
        assert!(field(primary, "last_error").is_null(), "{primary:?}");
    }
    rig.fleet[1].kill();
    let mut state = String::new();
    let is_down = async || {
        state = field(&client.call(&["RPRIMARIES"]).await.items()[1], "state").text();
        state == "down"
    };
    eventually(is_down, "the second to be down").await;
    let down = client.call(&["RPRIMARIES"]).await.items()[1].clone();
    assert!(!field(&down, "last_error").is_null(), "{down:?}");
}

#[tokio::test]
async fn a_primary_that_may_evict_keys_says_so() {
    let mut rig = Rig::direct(Kind::any(), 3, &[]).await;
    for (name, value) in [("maxmemory", "100mb"), ("maxmemory-policy", "allkeys-lru")] {
        rig.fleet[0].config_set(name, value).await;
    }
    rig.proxy.restart().await;
    rig.proxy.wait_ready().await;
    let shown = rig.proxy.command(&["RPRIMARIES"]).await;
    let told = field(&shown.items()[0], "last_error");
    assert!(told.text().contains("evict") && told.text().contains("allkeys-lru"), "{told:?}");
    assert_eq!(field(&shown.items()[0], "state").text(), "up");
}
