//! OWNER: a retry is safe, through whichever proxy, and nobody else's.

use std::time::Duration;

use support::scripted::Recorded;
use support::{
    Action, Direction, Fault, Fleet, Kind, Relay, ScriptedNode, Server, Value, eventually, shared, unique_key,
};

use crate::common::{Lock, Rig, SharedRig, granted, no_primary_holds, patient, relays, start};

/// The primaries that hold this token; a quorum, or it panics. A record of the owner's that is found when the quorum has been
/// signed already keeps its former token, until its ttl has run out.
async fn signed<'a>(fleet: &'a Fleet, key: &str, token: &str) -> Vec<&'a Server> {
    let mut signed = Vec::new();
    for server in fleet.iter() {
        if server.get(key).await.as_deref() == Some(token) {
            signed.push(server);
        }
    }
    assert!(signed.len() > fleet.len() / 2, "{} of {} primaries hold {token}", signed.len(), fleet.len());
    signed
}

/// A client asks through the one proxy, is granted, and loses its connection before it reads so. It asks again through the other
/// proxy while the clean-up of the first is still under way.
#[tokio::test]
async fn a_retry_through_the_other_proxy_succeeds_at_once_and_nobody_else_gets_in() {
    for &kind in Kind::all() {
        let fleet = shared(kind, 3).await;
        let (to_first, to_second) = (relays(fleet), relays(fleet));
        // The first proxy waits for answers that come late, and keeps its links for as long as they do.
        let first = start(patient(to_first.iter().map(Relay::address))).await;
        let second = start(patient(to_second.iter().map(Relay::address))).await;
        let key = unique_key("retry");

        // The SETs arrive and their answers do not.
        for relay in &to_first {
            relay.set(Direction::ToClient, Fault::Hold);
        }
        let mut client = first.connect().await;
        client.send(&["RLOCK", &key, "30000", "OWNER", "me"]).await;
        eventually(async || fleet.holding(&key).await == 3, "the first try to have signed").await;
        let former = fleet.get(&key).await.into_iter().flatten().next().expect("signed");
        client.reset();
        // From here on what the first proxy sends is delayed, its withdrawals most of all.
        for relay in &to_first {
            relay.set(Direction::ToServer, Fault::Hold);
            relay.set(Direction::ToClient, Fault::Forward);
        }
        eventually(async || first.counter("rlock_abandoned").await == 1, "the first try to be given up").await;

        let mut others = second.connect().await;
        assert_eq!(Lock::of(&others.call(&["RLOCK", &key, "30000", "OWNER", "other"]).await), None);
        let mut retry = second.connect().await;
        let lock = granted(&retry.call(&["RLOCK", &key, "30000", "OWNER", "me"]).await);
        assert_ne!(lock.token, former);
        assert_eq!(second.counter("rlock_taken_over").await, 1);
        assert_eq!(Lock::of(&others.call(&["RLOCK", &key, "30000", "OWNER", "other"]).await), None);

        // The withdrawals of the first try arrive, and find nothing of theirs.
        for relay in &to_first {
            relay.heal();
        }
        eventually(async || first.counter("withdrawals_pending").await == 0, "the clean-up to be done").await;
        signed(fleet, &key, &lock.token).await;
        assert_eq!(Lock::of(&others.call(&["RLOCK", &key, "30000"]).await), None);

        assert!(others.call(&["REXTEND", &key, &former, "30000"]).await.is_null());
        assert_eq!(others.call(&["RUNLOCK", &key, &former]).await, Value::Integer(0));
        assert!(retry.call(&["REXTEND", &key, &lock.token, "30000"]).await.integer() > 0);
        assert_eq!(retry.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
        no_primary_holds(fleet, &key).await;
    }
}

#[tokio::test]
async fn a_take_over_signs_anew_and_the_former_token_is_worth_nothing() {
    for &kind in Kind::all() {
        let SharedRig { fleet, proxy, .. } = Rig::shared(kind, 3).await;
        let key = unique_key("again");
        let mut client = proxy.connect().await;
        let first = granted(&client.call(&["RLOCK", &key, "30000", "OWNER", "me"]).await);
        let second = granted(&client.call(&["RLOCK", &key, "30000", "OWNER", "me"]).await);
        assert!(first.token.starts_with("me:") && second.token.starts_with("me:"));
        assert_ne!(first.token, second.token);
        assert!(second.validity > 29_000, "{second:?}");
        assert!(client.call(&["REXTEND", &key, &first.token, "30000"]).await.is_null());
        assert_eq!(client.call(&["RUNLOCK", &key, &first.token]).await, Value::Integer(0));
        signed(fleet, &key, &second.token).await;
        assert_eq!(client.call(&["RUNLOCK", &key, &second.token]).await, Value::Integer(1));
        granted(&client.call(&["RLOCK", &key, "30000", "OWNER", "other"]).await);
    }
}

#[tokio::test]
async fn a_take_over_keeps_the_longer_of_both_lives() {
    for &kind in Kind::all() {
        let SharedRig { fleet, proxy, .. } = Rig::shared(kind, 3).await;
        for (former, asked, left) in [("50000", "1000", 40_000..=50_000), ("2000", "50000", 40_000..=50_000)] {
            let key = unique_key("longer");
            let mut client = proxy.connect().await;
            client.call(&["RLOCK", &key, former, "OWNER", "me"]).await;
            let lock = granted(&client.call(&["RLOCK", &key, asked, "OWNER", "me"]).await);
            for server in signed(fleet, &key, &lock.token).await {
                let pttl = server.pttl(&key).await;
                assert!(left.contains(&pttl), "{former} taken over for {asked}: {pttl}");
            }
            // What is promised is what was asked for.
            let asked: i64 = asked.parse().expect("a number");
            assert!((1..=asked).contains(&lock.validity), "{lock:?}");
            assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
        }
    }
}

#[tokio::test]
async fn different_owners_and_no_owner_exclude_each_other() {
    let proxy = &Rig::shared(Kind::any(), 3).await.proxy;
    let holders: [&[&str]; 3] = [&["OWNER", "a"], &["OWNER", "b"], &[]];
    for holder in holders {
        let key = unique_key("others");
        let mut client = proxy.connect().await;
        let ask = |options: &[&str]| [&["RLOCK", key.as_str(), "30000"], options].concat().join("\u{1}");
        let words = |line: &str| line.split('\u{1}').map(str::to_owned).collect::<Vec<_>>();
        let lock = granted(&client.call(&words(&ask(holder))).await);
        // A lock without an owner is nobody's to take over.
        for other in holders.into_iter().filter(|&other| other != holder || holder.is_empty()) {
            assert_eq!(Lock::of(&client.call(&words(&ask(other))).await), None, "{holder:?} holds, {other:?} asks");
        }
        assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
    }
}

#[tokio::test]
async fn owners_whose_names_begin_like_each_other_are_different_ones() {
    let proxy = &Rig::shared(Kind::any(), 3).await.proxy;
    let hex = "0123456789abcdef0123456789abcdef01234567";
    let (with_colon, with_token) = (format!("a:{hex}"), format!("a:{hex}:"));
    let names = ["a", "a:", "aa", "A", "", " a", &with_colon, &with_token, "a\0"];
    for holder in names.into_iter().filter(|name| !name.is_empty()) {
        let key = unique_key("prefix");
        let mut client = proxy.connect().await;
        let lock = granted(&client.call(&["RLOCK", &key, "30000", "OWNER", holder]).await);
        for other in names.into_iter().filter(|&other| other != holder && !other.is_empty()) {
            let reply = client.call(&["RLOCK", &key, "30000", "OWNER", other]).await;
            assert_eq!(Lock::of(&reply), None, "{holder:?} holds, {other:?} asks");
        }
        let again = granted(&client.call(&["RLOCK", &key, "30000", "OWNER", holder]).await);
        assert_ne!(again.token, lock.token);
        assert_eq!(client.call(&["RUNLOCK", &key, &again.token]).await, Value::Integer(1));
    }
}

/// A record that looks like the owner's and was not made by this proxy: only the form counts, since another proxy may have.
#[tokio::test]
async fn only_a_record_of_the_owners_own_form_is_taken_over() {
    let SharedRig { fleet, proxy, .. } = Rig::shared(Kind::any(), 3).await;
    let hex = "0123456789abcdef0123456789abcdef01234567";
    for (value, own) in [
        (format!("me:{hex}"), true),
        (format!("me:{}", &hex[1..]), false),
        (format!("me:{hex}0"), false),
        (format!("me:{}", hex.to_uppercase()), false),
        (format!("me{hex}"), false),
        ("me:".to_owned(), false),
        (hex.to_owned(), false),
    ] {
        let key = unique_key("form");
        for server in fleet.iter() {
            server.command(&["SET", &key, &value, "PX", "30000"]).await;
        }
        let reply = proxy.command(&["RLOCK", &key, "30000", "OWNER", "me"]).await;
        assert_eq!(Lock::of(&reply).is_some(), own, "{value}");
        assert!(own || fleet.get(&key).await.iter().all(|found| found.as_ref() == Some(&value)), "{value}");
    }
}

/// The client's stream ends while the proxy learns that the record is the owner's own: signing it now would take the lock from
/// the owner's next grant, for a reply that nobody reads.
#[tokio::test]
async fn a_take_over_is_not_begun_for_a_client_whose_stream_has_ended() {
    let nodes = [ScriptedNode::start(), ScriptedNode::start(), ScriptedNode::start()];
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address))).await;
    let own = "me:0123456789abcdef0123456789abcdef01234567";
    for (key, leaves) in [("stays", false), ("leaves", true)] {
        for node in &nodes {
            node.put(key, own, Some(30_000));
            node.forget_commands();
            node.on("SET", Action::DelayReply(Duration::from_millis(400)));
        }
        let mut client = proxy.connect().await;
        client.send(&["RLOCK", key, "30000", "OWNER", "me"]).await;
        for node in &nodes {
            node.wait_for("SET", 1).await;
        }
        if leaves {
            client.shutdown_write().await;
        }
        // What it had sent is tried once and answered.
        let reply = client.read_reply().await;
        // EVALSHA digest 1 key found new ttl; a withdrawal has two words less.
        let is_signing = |command: &Recorded| command.argument(3) == key && command.arguments.len() == 7;
        let signings: usize =
            nodes.iter().map(|node| node.commands_named("EVALSHA").iter().filter(|c| is_signing(c)).count()).sum();
        if leaves {
            assert!(reply.is_error_with("NOQUORUM"), "{reply:?}");
            assert_eq!(signings, 0);
            client.expect_eof().await;
        } else {
            // Asked to sign, the nodes do not know how; that they were asked is what counts.
            assert!(signings > 0, "{reply:?}");
        }
        assert!(nodes.iter().all(|node| node.get(key).as_deref() == Some(own)));
    }
}
