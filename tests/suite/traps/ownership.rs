//! Whose lock it is: what an owner may do to it, what nobody else may, and what a token is.

use std::collections::HashSet;
use std::time::Instant;

use support::{Action, Direction, Fault, ScriptedNode, Value, eventually, unique_key};

use crate::common::{
    LONGEST_TTL, PROMPT, Rig, a_quorum_holds, every_primary_holds, every_rig, granted, no_primary_holds, occupy,
    patient, settled, start, take, three_and_five,
};

/// Trap 1: a missing or a foreign record counted as extended.
#[tokio::test]
async fn extending_what_a_majority_lost_or_gave_to_another_answers_null_and_creates_nothing() {
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        let majority = rig.fleet.len() / 2 + 1;
        for rival in [None, Some("rival")] {
            let key = &unique_key("trap1");
            let lock = take(&mut client, rig.fleet, key, "30000").await;
            for server in &rig.fleet[..majority] {
                assert!(server.del(key).await);
                if let Some(rival) = rival {
                    occupy(server, key, rival).await;
                }
            }
            let reply = client.call(&["REXTEND", key, &lock.token, LONGEST_TTL]).await;
            assert_eq!(reply, Value::NullBulk, "{rival:?}");
            rig.settled().await;
            for server in &rig.fleet[..majority] {
                assert_eq!(server.get(key).await.as_deref(), rival);
                // No expiry was put on the rival's record either.
                assert_eq!(server.pttl(key).await, if rival.is_some() { -1 } else { -2 });
            }
        }
    }
}

/// Trap 2: an expired lock that came back to life by being extended.
#[tokio::test]
async fn extending_an_expired_lock_answers_null_and_leaves_no_key_anywhere() {
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        let key = &unique_key("trap2");
        let lock = granted(&client.call(&["RLOCK", key, "500"]).await);
        no_primary_holds(rig.fleet, key).await;
        assert_eq!(client.call(&["REXTEND", key, &lock.token, "30000"]).await, Value::NullBulk);
        rig.settled().await;
        assert_eq!(rig.fleet.holding(key).await, 0);

        // Expired on a majority only: lost as well, and nothing is put back there.
        let key = &unique_key("trap2");
        let lock = take(&mut client, rig.fleet, key, "30000").await;
        let majority = &rig.fleet[..=rig.fleet.len() / 2];
        for server in majority {
            assert_eq!(server.command(&["PEXPIRE", key, "1"]).await, Value::Integer(1));
            eventually(async || !server.exists(key).await, "a record to expire").await;
        }
        assert_eq!(client.call(&["REXTEND", key, &lock.token, "30000"]).await, Value::NullBulk);
        rig.settled().await;
        for server in majority {
            assert!(!server.exists(key).await);
        }
    }
}

/// Trap 3: keys of a failed try that stay, because the unlock did not know their value.
#[tokio::test]
async fn a_failed_rlock_leaves_no_key_of_its_own_on_any_primary() {
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        let majority = rig.fleet.len() / 2 + 1;
        let key = &unique_key("trap3");
        let (taken, free) = rig.fleet.split_at(majority);
        for server in taken {
            occupy(server, key, "rival").await;
        }
        for _ in 0..10 {
            assert_eq!(client.call(&["RLOCK", key, LONGEST_TTL]).await, Value::NullArray);
        }
        for server in free {
            eventually(async || !server.exists(key).await, "the withdrawal of a refused lock").await;
        }
        for server in taken {
            assert_eq!(server.get(key).await.as_deref(), Some("rival"));
        }
    }
}

/// Trap 3, the other way round: a token that does not hold the lock deletes nothing.
#[tokio::test]
async fn a_wrong_token_releases_nothing() {
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        let key = &unique_key("trap3");
        let lock = take(&mut client, rig.fleet, key, LONGEST_TTL).await;
        for wrong in ["rival", &lock.token[1..], &format!("{}0", lock.token), &lock.token.to_uppercase()] {
            assert_eq!(client.call(&["RUNLOCK", key, wrong]).await, Value::Integer(0), "{wrong}");
        }
        rig.settled().await;
        every_primary_holds(rig.fleet, key, &lock.token).await;
        assert_eq!(client.call(&["RUNLOCK", key, &lock.token]).await, Value::Integer(1));
        no_primary_holds(rig.fleet, key).await;
    }
}

/// Trap 4: an owner's own record taken for somebody else's.
#[tokio::test]
async fn an_owner_takes_its_own_lock_again_at_once_and_nobody_else_does() {
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        let key = &unique_key("trap4");
        let first = granted(&client.call(&["RLOCK", key, "30000", "OWNER", "worker:1"]).await);
        every_primary_holds(rig.fleet, key, &first.token).await;
        let again = granted(&client.call(&["RLOCK", key, "30000", "OWNER", "worker:1"]).await);
        a_quorum_holds(rig.fleet, key, &again.token).await;

        assert_ne!(first.token, again.token);
        assert_eq!(client.call(&["REXTEND", key, &first.token, "30000"]).await, Value::NullBulk);
        assert_eq!(client.call(&["RUNLOCK", key, &first.token]).await, Value::Integer(0));
        for other in [&["RLOCK", key, "30000", "OWNER", "worker"][..], &["RLOCK", key, "30000"]] {
            assert_eq!(client.call(other).await, Value::NullArray, "{other:?}");
        }
        assert_eq!(client.call(&["RUNLOCK", key, &again.token]).await, Value::Integer(1));
    }
}

/// Trap 4, through another proxy, while the withdrawal of the first attempt is still on its way.
#[tokio::test]
async fn a_retry_through_another_proxy_survives_the_late_withdrawal_of_the_first_attempt() {
    for (kind, count) in three_and_five() {
        let other = Rig::shared(kind, count).await;
        let rig = Rig::shared_relayed(kind, count, &[("node_timeout_ms", 2_000)]).await;
        let key = &unique_key("trap4");
        let retry = &["RLOCK", key, LONGEST_TTL, "OWNER", "worker"];

        // The primaries get the first attempt and their answers are lost on the way; then its withdrawal is held up.
        for relay in &rig.relays {
            relay.set(Direction::ToClient, Fault::Hold);
        }
        let mut client = rig.proxy.connect().await;
        client.send(retry).await;
        eventually(async || rig.fleet.holding(key).await == count, "the first attempt's records").await;
        for relay in &rig.relays {
            relay.set(Direction::ToServer, Fault::Hold);
        }
        let first = client.read_reply().await;
        assert!(first.is_error_with("NOQUORUM"), "{first:?}");
        assert_eq!(rig.proxy.counter("withdrawals_pending").await, count as u64);

        let asked = Instant::now();
        let lock = granted(&other.proxy.command(retry).await);
        assert!(asked.elapsed() < PROMPT);
        a_quorum_holds(other.fleet, key, &lock.token).await;

        for relay in &rig.relays {
            relay.heal();
        }
        rig.settled().await;
        a_quorum_holds(other.fleet, key, &lock.token).await;
        assert_eq!(other.proxy.command(&["RUNLOCK", key, &lock.token]).await, Value::Integer(1));
        no_primary_holds(other.fleet, key).await;
    }
}

/// Trap 5: one connection's second lock overwrote the token of its first.
#[tokio::test]
async fn two_locks_of_one_connection_are_both_releasable() {
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        let (one, other) = (&unique_key("trap5"), &unique_key("trap5"));
        client.send(&["RLOCK", one, "30000"]).await;
        client.send(&["RLOCK", other, "30000"]).await;
        let (first, second) = (granted(&client.read_reply().await), granted(&client.read_reply().await));

        assert_eq!(client.call(&["RUNLOCK", one, &second.token]).await, Value::Integer(0));
        assert_eq!(client.call(&["RUNLOCK", one, &first.token]).await, Value::Integer(1));
        assert_eq!(client.call(&["RUNLOCK", other, &second.token]).await, Value::Integer(1));
    }
}

/// Trap 6: weak or reused tokens.
#[tokio::test]
async fn every_grant_has_a_token_of_its_own_of_160_random_bits() {
    const GRANTS: usize = 200;
    let mut seen = HashSet::new();
    let (mut ever_one, mut ever_zero) = ([0_u8; 20], [0_u8; 20]);
    // Of several proxies: what was drawn from a seed that they share would repeat.
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        let keys: Vec<String> = (0..GRANTS).map(|_| unique_key("trap6")).collect();
        for (number, key) in keys.iter().enumerate() {
            let owner: &[&str] = if number % 2 == 0 { &[] } else { &["OWNER", "a:b"] };
            client.send(&[&["RLOCK", key, "30000"], owner].concat()).await;
        }
        for (number, key) in keys.iter().enumerate() {
            let token = granted(&client.read_reply().await).token;
            let digits =
                if number % 2 == 0 { token.as_str() } else { token.strip_prefix("a:b:").expect("the owner's name") };
            let bytes = from_hex(digits).unwrap_or_else(|| panic!("not 40 lower-case hex digits: {token}"));
            for (place, byte) in bytes.into_iter().enumerate() {
                ever_one[place] |= byte;
                ever_zero[place] |= !byte;
            }
            assert!(seen.insert(digits.to_owned()), "{token} was granted twice");
            client.send(&["RUNLOCK", key, &token]).await;
        }
        client.read_replies(GRANTS).await;
    }
    // Of 400 tokens and more, a random bit is the same in all with a probability of 2^-399.
    assert_eq!((ever_one, ever_zero), ([0xff; 20], [0xff; 20]), "a bit never changes");
}

fn from_hex(digits: &str) -> Option<[u8; 20]> {
    let well_formed = digits.len() == 40 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; 20];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    well_formed.then_some(bytes)
}

/// Trap 6: a token that the next attempt of the same command used again.
#[tokio::test]
async fn every_attempt_of_one_command_has_a_new_token() {
    let nodes = [ScriptedNode::start(), ScriptedNode::start(), ScriptedNode::start()];
    for (number, node) in nodes.iter().enumerate() {
        // Nobody holds a majority, so it is tried again.
        node.put("job", format!("rival {number}"), None);
        node.on("EVALSHA", Action::CompareAndDelete);
    }
    let options = patient(nodes.iter().map(ScriptedNode::address)).set("attempts", 5).set("retry_delay_ms", 1);
    let proxy = start(options).await;
    assert_eq!(proxy.command(&["RLOCK", "job", "30000"]).await, Value::NullArray);
    settled(&proxy).await;
    for node in &nodes {
        let sets = node.commands_named("SET").into_iter().filter(|set| set.argument(1) == "job");
        let tokens: Vec<String> = sets.map(|set| set.argument(2)).collect();
        assert_eq!(tokens.len(), 5, "{tokens:?}");
        assert_eq!(tokens.iter().collect::<HashSet<_>>().len(), 5, "{tokens:?}");
    }
}

/// Trap 7: one fixed key under which every name was locked.
#[tokio::test]
async fn two_names_never_conflict() {
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        let base = unique_key("trap7");
        let names: Vec<Vec<u8>> = ["", "a", "A", " ", "a ", ":", "\0", "\r\n", "{a}", "{b}", "*", "ä"]
            .map(|end| [base.as_bytes(), end.as_bytes()].concat())
            .into_iter()
            .chain([[base.as_bytes(), b"\xff\xfe"].concat()])
            .collect();
        let mut locks = Vec::new();
        for name in &names {
            locks.push(granted(&client.call(&[b"RLOCK", &name[..], b"30000"]).await));
        }
        rig.settled().await;
        for (name, lock) in names.iter().zip(&locks) {
            let shown = name.escape_ascii();
            assert!(rig.fleet.get(name).await.iter().all(|value| value.as_ref() == Some(&lock.token)), "{shown}");
            assert_eq!(client.call(&[b"RLOCK", &name[..], b"30000"]).await, Value::NullArray, "{shown}");
        }
        for (name, lock) in names.iter().zip(&locks) {
            let released = client.call(&[b"RUNLOCK", &name[..], lock.token.as_bytes()]).await;
            assert_eq!(released, Value::Integer(1), "{}", name.escape_ascii());
        }
    }
}
