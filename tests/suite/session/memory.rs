//! What a held lock takes of the proxy's memory, and that it gives it back.

use support::resp::encode_command;
use support::{ByteClient, Kind, Value, eventually};

use crate::common::{LONGEST_TTL, Rig, bound, granted};

const CLIENTS: usize = 20;
const LOCKS_EACH: usize = 2_000;
/// As many as a client has under way.
const PIPELINE: usize = 1_000;

/// The most that one may take, in bytes: the name, the token, the lease, its places in the registry and among the timers, and
/// what an allocator adds to each.
const MOST: usize = 512;

/// Takes locks by pipelines, for the session or not, and gives their tokens.
async fn take(client: &mut ByteClient, keys: &[String], options: &[&str]) -> Vec<String> {
    let mut tokens = Vec::new();
    for keys in keys.chunks(PIPELINE) {
        let commands = keys.iter().flat_map(|key| encode_command(&[&["RLOCK", key, LONGEST_TTL], options].concat()));
        client.send_raw(commands.collect::<Vec<u8>>()).await;
        tokens.extend(client.read_replies(keys.len()).await.iter().map(|reply| granted(reply).token));
    }
    tokens
}

#[tokio::test]
async fn a_held_lock_takes_at_most_half_a_kilobyte() {
    let rig = Rig::direct(Kind::any(), 3, &[("limits.session_locks_per_connection", LOCKS_EACH as u64)]).await;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let keys: Vec<String> = (0..LOCKS_EACH).map(|index| format!("memory:{number:04}:{index:08}")).collect();
        clients.push((rig.proxy.connect().await, keys));
    }
    // Everything but the leases has been there once.
    for (client, keys) in &mut clients {
        let tokens = take(client, keys, &[]).await;
        for (keys, tokens) in keys.chunks(PIPELINE).zip(tokens.chunks(PIPELINE)) {
            let commands = keys.iter().zip(tokens).flat_map(|(key, token)| encode_command(&["RUNLOCK", key, token]));
            client.send_raw(commands.collect::<Vec<u8>>()).await;
            let replies = client.read_replies(keys.len()).await;
            assert!(replies.iter().all(|reply| *reply == Value::Integer(1)));
        }
    }
    let before = rig.proxy.footprint().resident_bytes;
    for (client, keys) in &mut clients {
        take(client, keys, &["SESSION"]).await;
    }
    let locks = CLIENTS * LOCKS_EACH;
    bound(&rig.proxy, locks as u64).await;
    let after = rig.proxy.footprint().resident_bytes;
    let each = usize::try_from(after.saturating_sub(before)).expect("a process's size") / locks;
    println!("{each} bytes for each of {locks} locks");
    assert!(each <= MOST, "{each} bytes for each of {locks} locks");

    // They end with their connections.
    drop(clients);
    bound(&rig.proxy, 0).await;
    let released = async || rig.proxy.counter("session_released_on_close").await == locks as u64;
    eventually(released, "all of them to be released").await;
}
