//! How long a lock may be counted on: never longer than the primaries keep it, whatever was slow on the way.
//!
//! Two kinds of slowness. A slow *network* keeps the primaries' answers away for longer than the ttl ([`Fault`]). A slow *reply* was
//! decided in time and stands behind another one of the same connection that was not ([`Contested`]).

use std::time::{Duration, Instant};

use support::{Direction, Fault, Fleet, Kind, Proxy, ScriptedNode, Server, Value, eventually, unique_key};

use crate::common::{
    LONGEST_TTL, Rig, a_quorum_holds, drift, every_primary_holds, every_rig, granted, no_primary_holds, occupy,
    outlive, patient, reasons, settled, start, take, three_and_five,
};

/// A lock that nobody has, because every primary knows another holder. An RLOCK of it goes on trying for many seconds, or until the
/// test ends that; and so does everything whose reply stands behind it.
struct Contested {
    key: String,
    fleet: &'static Fleet,
}

impl Contested {
    /// The lock, and a proxy that tries often enough.
    async fn start(kind: Kind, count: usize) -> (Self, Proxy) {
        let fleet = Rig::shared(kind, count).await.fleet;
        let contested = Self { key: unique_key("contested"), fleet };
        for (number, server) in fleet.iter().enumerate() {
            occupy(server, &contested.key, &format!("rival {number}")).await;
        }
        let options = patient(fleet.addresses()).set("attempts", 100).set("retry_delay_ms", 10);
        (contested, start(options).await)
    }

    /// From here on it can be had.
    async fn give_up(&self) {
        for server in self.fleet.iter() {
            server.del(&self.key).await;
        }
    }
}

/// Trap 8: a lock handed out when it had expired, its reply stuck behind others.
#[tokio::test]
async fn a_grant_whose_reply_was_stuck_for_longer_than_the_ttl_is_withdrawn_and_not_handed_out() {
    for (kind, count) in three_and_five() {
        let (contested, proxy) = Contested::start(kind, count).await;
        let fleet = contested.fleet;
        let key = &unique_key("trap8");
        let mut client = proxy.connect().await;
        client.send(&["RLOCK", &contested.key, "30000"]).await;
        client.send(&["RLOCK", key, "3000"]).await;
        eventually(async || fleet.holding(key).await == count, "the lock to be won").await;
        for server in fleet.iter() {
            // Now only a withdrawal can end it.
            assert_eq!(server.command(&["PERSIST", key]).await, Value::Integer(1));
        }
        outlive(&fleet[0], "3000").await;
        contested.give_up().await;

        client.read_reply().await;
        let late = client.read_reply().await;
        assert!(late.is_error_with("NOQUORUM") && late.text().contains("answered too late"), "{late:?}");
        no_primary_holds(fleet, key).await;
        assert_eq!(proxy.counter("rlock_too_late").await, 1);
    }
}

/// Answers that came in time and are read too late. How long a quarantine must last depends on what a release may still count.
#[tokio::test]
async fn what_a_proxy_finds_waiting_when_it_wakes_has_come_too_late() {
    for (kind, count) in three_and_five() {
        let timeout = Duration::from_millis(1_500);
        let rig = Rig::shared_relayed(kind, count, &[("node_timeout_ms", 1_500)]).await;
        let key = &unique_key("slept");
        let lock = granted(&rig.proxy.command(&["RLOCK", key, LONGEST_TTL]).await);
        for relay in &rig.relays {
            relay.set(Direction::ToClient, Fault::latency(timeout / 2));
        }
        let mut client = rig.proxy.connect().await;
        client.send(&["RUNLOCK", key, &lock.token]).await;
        no_primary_holds(rig.fleet, key).await;
        rig.proxy.pause();
        tokio::time::sleep(timeout + timeout / 2).await;
        rig.proxy.resume();
        let (head, why) = reasons(&client.read_reply().await);
        assert!(head.starts_with("NOQUORUM 0 of "), "{head}");
        assert!(why.iter().all(|(_, reason)| reason == "timed out after 1500 ms"), "{why:?}");
    }
}

/// Trap 8: a lock handed out when it had expired, the primaries' replies being slow.
#[tokio::test]
async fn grants_that_arrive_after_the_ttl_are_no_lock() {
    for (kind, count) in three_and_five() {
        let rig = Rig::shared_relayed(kind, count, &[]).await;
        for relay in &rig.relays {
            relay.set(Direction::ToClient, Fault::latency(Duration::from_millis(700)));
        }
        let mut client = rig.proxy.connect().await;
        let key = &unique_key("trap8");
        let late = client.call(&["RLOCK", key, "500"]).await;
        assert!(late.is_error_with("NOQUORUM") && late.text().contains("timed out after 50 ms"), "{late:?}");

        // The grants come, and change nothing: the client is told nothing more, and can have the lock when it asks anew.
        rig.settled().await;
        assert_eq!(rig.fleet.holding(key).await, 0);
        assert_eq!(rig.proxy.counter("late_grants_undone").await, count as u64);
        for relay in &rig.relays {
            relay.heal();
        }
        take(&mut client, rig.fleet, key, "30000").await;
    }
}

/// Trap 9: a validity measured from the first attempt of a command.
#[tokio::test]
async fn a_lock_won_on_a_late_retry_has_its_full_validity() {
    for (kind, count) in three_and_five() {
        let (contested, proxy) = Contested::start(kind, count).await;
        let mut client = proxy.connect().await;
        let sent = Instant::now();
        client.send(&["RLOCK", &contested.key, "30000"]).await;
        outlive(&contested.fleet[0], "1500").await;
        contested.give_up().await;

        let lock = granted(&client.read_reply().await);
        let waited = i64::try_from(sent.elapsed().as_millis()).expect("less than an age");
        let counted = 30_000 - drift(30_000) - lock.validity;
        assert!(
            waited > 1_500 && (0..waited / 2).contains(&counted),
            "{counted} ms of a command of {waited} ms were counted"
        );
        assert!(proxy.counter("rlock_split_retries").await > 0);
    }
}

/// Trap 10: an extension that was not looked at for what is left of it, its reply stuck behind others.
#[tokio::test]
async fn an_extension_whose_reply_was_stuck_for_longer_than_its_ttl_tells_no_validity() {
    for (kind, count) in three_and_five() {
        let (contested, proxy) = Contested::start(kind, count).await;
        let fleet = contested.fleet;
        let mut client = proxy.connect().await;
        let key = &unique_key("trap10");
        let lock = take(&mut client, fleet, key, LONGEST_TTL).await;
        client.send(&["RLOCK", &contested.key, "30000"]).await;
        client.send(&["REXTEND", key, &lock.token, "3000"]).await;
        eventually(async || proxy.counter("rextend_extended").await == 1, "the lock to be extended").await;
        outlive(&fleet[0], "3000").await;
        contested.give_up().await;

        client.read_reply().await;
        let late = client.read_reply().await;
        assert!(late.is_error_with("NOQUORUM") && late.text().contains("answered too late"), "{late:?}");
        // The validity told before stands.
        settled(&proxy).await;
        every_primary_holds(fleet, key, &lock.token).await;
        assert_eq!(client.call(&["RUNLOCK", key, &lock.token]).await, Value::Integer(1));
    }
}

/// Trap 10: an extension that was not looked at for what is left of it, the primaries' replies being slow.
#[tokio::test]
async fn an_extension_slower_than_its_ttl_tells_no_validity_and_harms_nothing() {
    for (kind, count) in three_and_five() {
        let rig = Rig::shared_relayed(kind, count, &[]).await;
        let mut client = rig.proxy.connect().await;
        let key = &unique_key("trap10");
        let lock = take(&mut client, rig.fleet, key, LONGEST_TTL).await;
        for relay in &rig.relays {
            relay.set(Direction::ToClient, Fault::latency(Duration::from_millis(700)));
        }
        let late = client.call(&["REXTEND", key, &lock.token, "500"]).await;
        assert!(late.is_error_with("NOQUORUM") && late.text().contains("timed out after 50 ms"), "{late:?}");
        rig.settled().await;
        for relay in &rig.relays {
            relay.heal();
        }
        every_primary_holds(rig.fleet, key, &lock.token).await;
        for server in rig.fleet.iter() {
            assert!(server.pttl(key).await > 500);
        }
        assert!(client.call(&["REXTEND", key, &lock.token, LONGEST_TTL]).await.integer() > 0);
    }
}

/// Trap 11: a tiny ttl, from which more was taken than it had.
#[tokio::test]
async fn a_ttl_that_leaves_nothing_after_drift_is_refused_and_nothing_is_sent() {
    let nodes = [ScriptedNode::start(), ScriptedNode::start(), ScriptedNode::start()];
    for (factor, smallest) in [("0.01", 4), ("0.5", 6)] {
        let proxy = start(patient(nodes.iter().map(ScriptedNode::address)).set("clock_drift_factor", factor)).await;
        let mut client = proxy.connect().await;
        let too_small = (0..smallest).map(|ttl: i64| ttl.to_string());
        for ttl in too_small.chain(["-1".into(), i64::MIN.to_string(), "60001".into(), i64::MAX.to_string()]) {
            for (verb, command) in [("rlock", &["RLOCK", "job"][..]), ("rextend", &["REXTEND", "job", "token"])] {
                let refused = client.call(&[command, &[&ttl]].concat()).await;
                let expected = format!("ERR invalid expire time in '{verb}' command: {smallest} to 60000 milliseconds");
                assert_eq!(refused, Value::error(expected), "{ttl}");
            }
        }
        settled(&proxy).await;
    }
    for node in &nodes {
        let commands = node.commands();
        let about_the_lock =
            commands.iter().filter(|command| command.arguments.iter().any(|argument| argument == b"job"));
        assert_eq!(about_the_lock.count(), 0, "{commands:?}");
    }
}

/// Trap 11: a tiny ttl whose validity fell below zero and came out as a huge one.
#[tokio::test]
async fn no_tiny_ttl_ever_has_a_validity_beyond_itself() {
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        let held = &unique_key("trap11");
        let lock = take(&mut client, rig.fleet, held, LONGEST_TTL).await;
        for ttl in 4..40 {
            let most = ttl - drift(ttl);
            let (key, ttl) = (&unique_key("trap11"), &ttl.to_string());
            let taken = client.call(&["RLOCK", key, ttl]).await;
            assert!(
                taken.is_error_with("NOQUORUM") || (1..=most).contains(&granted(&taken).validity),
                "{ttl}: {taken:?}"
            );
            let extended = client.call(&["REXTEND", held, &lock.token, ttl]).await;
            assert!(
                extended.is_error_with("NOQUORUM") || (1..=most).contains(&extended.integer()),
                "{ttl}: {extended:?}"
            );
        }
    }
}

/// Panics unless each of them keeps the record for `ttl`, counted from some moment since `asked`.
async fn all_keep(servers: impl IntoIterator<Item = &Server>, key: &str, ttl: i64, asked: Instant) {
    for server in servers {
        let left = server.pttl(key).await;
        let elapsed = i64::try_from(asked.elapsed().as_millis()).expect("less than an age");
        // One millisecond for the server's rounding, one for ours.
        assert!((ttl - elapsed - 2..=ttl).contains(&left), "{left} ms left of {ttl} after {elapsed} ms");
    }
}

/// Trap 13: seconds and milliseconds mixed up.
#[tokio::test]
async fn every_primary_keeps_the_record_for_the_asked_ttl_after_each_verb_unless_it_was_longer() {
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        let key = &unique_key("trap13");
        let rlock = |ttl| ["RLOCK", key, ttl, "OWNER", "worker"];

        let asked = Instant::now();
        let lock = granted(&client.call(&rlock("20000")).await);
        every_primary_holds(rig.fleet, key, &lock.token).await;
        all_keep(rig.fleet.iter(), key, 20_000, asked).await;
        assert!((1..=20_000 - drift(20_000)).contains(&lock.validity), "{lock:?}");

        let mut extended_at = Instant::now();
        for (ttl, kept) in [("30000", 30_000), ("5000", 30_000)] {
            if kept.to_string() == ttl {
                extended_at = Instant::now();
            }
            let validity = client.call(&["REXTEND", key, &lock.token, ttl]).await.integer();
            let asked_for: i64 = ttl.parse().expect("a number");
            assert!((1..=asked_for - drift(asked_for)).contains(&validity), "{validity}");
            rig.settled().await;
            all_keep(rig.fleet.iter(), key, kept, extended_at).await;
        }

        // A take-over keeps the longer life too.
        let shorter = granted(&client.call(&rlock("5000")).await);
        all_keep(a_quorum_holds(rig.fleet, key, &shorter.token).await, key, 30_000, extended_at).await;
        assert!((1..=5_000 - drift(5_000)).contains(&shorter.validity), "{shorter:?}");
        let asked = Instant::now();
        let longer = granted(&client.call(&rlock("40000")).await);
        all_keep(a_quorum_holds(rig.fleet, key, &longer.token).await, key, 40_000, asked).await;

        assert_eq!(client.call(&["RUNLOCK", key, &longer.token]).await, Value::Integer(1));
    }
}

/// Trap 14: the way out for "took too long" left the lock behind.
#[tokio::test]
async fn a_lock_given_up_as_too_slow_is_withdrawn_long_before_it_expires() {
    for &kind in Kind::all() {
        for count in [3, 5] {
            let rig = Rig::shared_relayed(kind, count, &[("node_timeout_ms", 100)]).await;
            for relay in &rig.relays {
                relay.set(Direction::ToClient, Fault::Hold);
            }
            let key = &unique_key("trap14");
            let mut client = rig.proxy.connect().await;
            let late = client.call(&["RLOCK", key, LONGEST_TTL]).await;
            assert!(late.is_error_with("NOQUORUM") && late.text().contains("timed out after 100 ms"), "{late:?}");
            // It waits for no answer to be withdrawn.
            no_primary_holds(rig.fleet, key).await;
            for relay in &rig.relays {
                relay.heal();
            }
            rig.settled().await;
            assert_eq!(rig.proxy.counter("late_grants_undone").await, count as u64, "every primary had set it");
            assert_eq!(rig.fleet.holding(key).await, 0);
        }
    }
}
