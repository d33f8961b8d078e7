//! Several locks as one: RMLOCK, RMUNLOCK and RMEXTEND take, give back and keep all of them or none.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::{ByteClient, Fault, Kind, Value, eventually, unique_key};

use crate::common::{
    Random, Rig, every_primary_holds, every_rig, granted, no_primary_holds, occupy, patient, reasons, resp3, start,
};

/// So many keys that nobody else uses.
fn keys(count: usize) -> Vec<String> {
    (0..count).map(|_| unique_key("several")).collect()
}

/// `verb numkeys key … rest …`
async fn call(client: &mut ByteClient, verb: &str, keys: &[String], rest: &[&str]) -> Value {
    let count = keys.len().to_string();
    let mut words = vec![verb, &count];
    words.extend(keys.iter().map(String::as_str));
    words.extend(rest);
    client.call(&words).await
}

#[tokio::test]
async fn several_locks_are_taken_extended_and_released_with_one_token() {
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        let keys = keys(8);
        let lock = granted(&call(&mut client, "RMLOCK", &keys, &["30000"]).await);
        assert!((1..=30_000 - 302).contains(&lock.validity), "{lock:?}");
        for key in &keys {
            every_primary_holds(rig.fleet, key, &lock.token).await;
        }
        let extended = call(&mut client, "RMEXTEND", &keys, &[&lock.token, "50000"]).await.integer();
        assert!((30_001..=50_000 - 502).contains(&extended), "{extended}");
        // One of them is lost: RMEXTEND says so, RMUNLOCK counts what was left.
        assert_eq!(client.call(&["RUNLOCK", &keys[3], &lock.token]).await, Value::Integer(1));
        assert_eq!(call(&mut client, "RMEXTEND", &keys, &[&lock.token, "50000"]).await, Value::NullBulk);
        assert_eq!(call(&mut client, "RMUNLOCK", &keys, &[&lock.token]).await, Value::Integer(7));
        assert_eq!(call(&mut client, "RMUNLOCK", &keys, &[&lock.token]).await, Value::Integer(0));
        for key in &keys {
            no_primary_holds(rig.fleet, key).await;
        }
    }
}

#[tokio::test]
async fn nulls_and_errors_are_those_of_one_lock() {
    let rig = Rig::shared(Kind::any(), 3).await;
    let keys = keys(2);
    let mut holder = rig.proxy.connect().await;
    granted(&call(&mut holder, "RMLOCK", &keys, &["30000"]).await);
    let mut client = rig.proxy.connect().await;
    assert_eq!(call(&mut client, "RMLOCK", &keys, &["30000"]).await, Value::NullArray);
    let mut client = resp3(&rig.proxy).await;
    assert_eq!(call(&mut client, "RMLOCK", &keys, &["30000"]).await, Value::Null);
    for (words, text) in [
        (&["RMLOCK", "1", "a"][..], "ERR wrong number of arguments for 'rmlock' command"),
        (&["RMLOCK", "0", "a", "1000"], "ERR numkeys should be greater than 0"),
        (&["RMLOCK", "x", "a", "1000"], "ERR numkeys should be greater than 0"),
        (&["RMLOCK", "9", "a", "1000"], "ERR Number of keys can't be greater than number of args"),
        (&["RMLOCK", "2", "a", "a", "1000"], "ERR a key is named twice"),
        (&["RMLOCK", "2", "a", "b", "3"], "ERR invalid expire time in 'rmlock' command: 4 to 60000 milliseconds"),
        (&["RMLOCK", "1", "a", "1000", "FENCE"], "ERR syntax error"),
        (&["RMUNLOCK", "1", "a", "t", "more"], "ERR wrong number of arguments for 'rmunlock' command"),
        (&["RMEXTEND", "1", "a", "t", "x"], "ERR value is not an integer or out of range"),
    ] {
        assert_eq!(client.call(words).await, Value::Error(text.to_owned()), "{words:?}");
    }
    let many: Vec<String> = (0..65).map(|index| format!("k{index}")).collect();
    let refused = call(&mut client, "RMLOCK", &many, &["1000"]).await;
    assert_eq!(refused, Value::Error("ERR too many keys: at most 64".to_owned()));
}

/// Trap 29: a partly won multi-key lock keeps some keys.
#[tokio::test]
async fn trap_29_where_one_key_is_not_to_be_had_none_is_kept() {
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        let keys = keys(5);
        // On a quorum in the middle, and elsewhere on one primary alone.
        for server in rig.fleet.iter().take(rig.fleet.len() / 2 + 1) {
            occupy(server, &keys[2], "somebody").await;
        }
        assert_eq!(call(&mut client, "RMLOCK", &keys, &["30000"]).await, Value::NullArray);
        for (place, key) in keys.iter().enumerate().filter(|(place, _)| *place != 2) {
            no_primary_holds(rig.fleet, key).await;
            granted(&client.call(&["RLOCK", key, "30000", "OWNER", &place.to_string()]).await);
        }
        for server in rig.fleet.iter() {
            server.del(&keys[2]).await;
        }
    }
}

#[tokio::test]
async fn without_a_quorum_none_is_kept_and_the_reasons_are_told() {
    let rig = Rig::shared_relayed(Kind::any(), 3, &[("node_timeout_ms", 200)]).await;
    rig.settled().await;
    let mut client = rig.proxy.connect().await;
    let keys = keys(3);
    rig.relays[..2].iter().for_each(|relay| relay.set_both(Fault::BlackHole));
    let (head, list) = reasons(&call(&mut client, "RMLOCK", &keys, &["30000"]).await);
    assert_eq!(head, "NOQUORUM 1 of 3 primaries answered, 2 needed");
    assert_eq!(list.len(), 2, "{list:?}");
    assert!(call(&mut client, "RMUNLOCK", &keys, &["t"]).await.is_error_with("NOQUORUM"));
    assert!(call(&mut client, "RMEXTEND", &keys, &["t", "1000"]).await.is_error_with("NOQUORUM"));
    rig.relays.iter().for_each(support::Relay::heal);
    for key in &keys {
        no_primary_holds(rig.fleet, key).await;
    }
}

#[tokio::test]
async fn an_owner_takes_its_own_locks_over_or_gives_nothing_up() {
    let rig = Rig::shared(Kind::any(), 3).await;
    let mut client = rig.proxy.connect().await;
    let keys = keys(3);
    let first = granted(&call(&mut client, "RMLOCK", &keys, &["30000", "OWNER", "me"]).await);
    let second = granted(&call(&mut client, "RMLOCK", &keys, &["30000", "OWNER", "me"]).await);
    assert_ne!(first.token, second.token);
    assert_eq!(call(&mut client, "RMUNLOCK", &keys, &[&first.token]).await, Value::Integer(0));

    // A further key is somebody else's: nothing is signed anew, and what was held stays held.
    let further = unique_key("several");
    granted(&client.call(&["RLOCK", &further, "30000"]).await);
    let wanted = [&keys[..], std::slice::from_ref(&further)].concat();
    assert_eq!(call(&mut client, "RMLOCK", &wanted, &["30000", "OWNER", "me"]).await, Value::NullArray);
    assert_eq!(call(&mut client, "RMUNLOCK", &keys, &[&second.token]).await, Value::Integer(3));
}

#[tokio::test]
async fn several_locks_cost_one_round_trip() {
    let rig = Rig::relayed(Kind::any(), 3, &[]).await;
    rig.settled().await;
    let mut client = rig.proxy.connect().await;
    let keys = keys(64);
    let before: Vec<u64> = counts(&rig, "set").await;
    let lock = granted(&call(&mut client, "RMLOCK", &keys, &["30000"]).await);
    for key in &keys {
        every_primary_holds(&rig.fleet, key, &lock.token).await;
    }
    let after = counts(&rig, "set").await;
    assert!(before.iter().zip(&after).all(|(before, after)| after - before == 64), "{before:?} {after:?}");
    assert_eq!(call(&mut client, "RMUNLOCK", &keys, &[&lock.token]).await, Value::Integer(64));
}

async fn counts(rig: &Rig, command: &str) -> Vec<u64> {
    let mut counts = Vec::new();
    for server in rig.fleet.iter() {
        counts.push(server.calls(command).await);
    }
    counts
}

/// Sixteen clients, each of which takes random sets of eight keys, through two proxies. While one holds a set, nobody else
/// holds any key of it; nobody waits for ever; nothing is left.
async fn overlapping_sets(options: &[&'static str]) {
    const CLIENTS: usize = 16;
    const ROUNDS: usize = 12;
    let rig = Rig::shared(Kind::any(), 3).await;
    let other = start(patient(rig.fleet.addresses())).await;
    let pool = keys(8);
    let held: Arc<Mutex<HashSet<String>>> = Arc::default();
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let proxy = if number % 2 == 0 { &rig.proxy } else { &other };
        let (pool, held, mut client) = (pool.clone(), Arc::clone(&held), proxy.connect().await);
        let asked: Vec<&str> = [&["30000"], options].concat();
        clients.spawn(async move {
            let mut random = Random::new(number as u64 + 1);
            let mut rounds = 0;
            while rounds < ROUNDS {
                let wanted: Vec<String> = pool.iter().filter(|_| random.below(2) == 0).cloned().collect();
                if wanted.is_empty() {
                    continue;
                }
                let reply = call(&mut client, "RMLOCK", &wanted, &asked).await;
                if reply.is_null() {
                    assert!(asked.len() == 1, "in vain, though nobody keeps a lock for long");
                    tokio::time::sleep(Duration::from_millis(1 + random.bits() % 8)).await;
                    continue;
                }
                let lock = granted(&reply);
                let take = |key: &String| held.lock().expect("no client panics here").insert(key.clone());
                assert!(wanted.iter().all(take), "somebody else holds a key of {wanted:?}");
                tokio::time::sleep(Duration::from_millis(random.bits() % 3)).await;
                held.lock().expect("no client panics here").retain(|key| !wanted.contains(key));
                let released = call(&mut client, "RMUNLOCK", &wanted, &[&lock.token]).await;
                // A part that was lost on the way would be missing here.
                assert_eq!(released, Value::Integer(i64::try_from(wanted.len()).expect("eight at most")));
                rounds += 1;
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("no client fails");
    }
    for key in &pool {
        no_primary_holds(rig.fleet, key).await;
    }
}

#[tokio::test]
async fn takers_of_overlapping_sets_never_hold_a_part() {
    overlapping_sets(&[]).await;
}

#[tokio::test]
async fn those_who_wait_for_overlapping_sets_never_block_each_other() {
    overlapping_sets(&["WAIT", "600000"]).await;
}

#[tokio::test]
async fn they_are_counted() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let mut client = rig.proxy.connect().await;
    let keys = keys(2);
    let lock = granted(&call(&mut client, "RMLOCK", &keys, &["30000"]).await);
    call(&mut client, "RMLOCK", &keys, &["30000"]).await;
    call(&mut client, "RMUNLOCK", &keys, &[&lock.token]).await;
    for (field, count) in [("rmlock_granted", 1), ("rmlock_refused", 1), ("rmlock_noquorum", 0)] {
        eventually(async || rig.proxy.counter(field).await == count, format_args!("{field} to be {count}")).await;
    }
}
