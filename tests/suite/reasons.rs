//! The reasons that a NOQUORUM error gives: a closed list, whatever words a server has for them.

use std::time::Duration;

use support::{Action, Fault, Kind, Proxy, Relay, ScriptedNode, Server, ServerOptions, Value};
use support::{eventually, unique_key};

use crate::common::{LONGEST_TTL, PROXY, Rig, granted, on_acquire, patient, reasons, scripted, start, voters};

/// A server's words, and ours for them.
const WORDS: [(&str, &str); 13] = [
    ("OOM command not allowed when used memory > 'maxmemory'.", "out of memory"),
    ("ERR Out of memory", "out of memory"),
    ("ERR Error running script (call to f_6a): @user_script:2: -OOM command not allowed", "out of memory"),
    ("READONLY You can't write against a read only replica.", "read-only"),
    ("ERR Error running script (call to f_6a): @user_script:1: -READONLY You can't write", "read-only"),
    ("LOADING Redis is loading the dataset in memory", "loading"),
    ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", "busy"),
    ("ERR max number of clients reached", "too many clients"),
    ("NOAUTH Authentication required.", "authentication failed"),
    ("MISCONF Errors writing to the AOF file", "MISCONF Errors writing to the AOF file"),
    ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS Not enough good replicas to write."),
    ("ERR unknown command 'SET', with args beginning with: 'job' 'secret' ", "ERR unknown command 'SET'"),
    ("ERR a\u{1b}[31mb", "ERR a?[31mb"),
];

/// Three scripted primaries, whose every command of a lock gets this answer on two of them.
async fn two_say(words: &str) -> ([ScriptedNode; 3], Proxy) {
    let nodes: [ScriptedNode; 3] = std::array::from_fn(|_| scripted());
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address))).await;
    for node in &nodes[..2] {
        on_acquire(node, Action::error(words));
        node.on("EVALSHA", Action::error(words));
    }
    (nodes, proxy)
}

#[tokio::test]
async fn every_command_gives_a_servers_trouble_its_name() {
    for (words, reason) in WORDS {
        let (nodes, proxy) = two_say(words).await;
        let key = unique_key("reasons");
        for (command, commands) in [
            ("RLOCK", &[&key, LONGEST_TTL][..]),
            ("REXTEND", &[&key, "token", LONGEST_TTL]),
            ("RUNLOCK", &[&key, "token"]),
        ] {
            let reply = proxy.command(&[&[command], commands].concat()).await;
            let expected = format!(
                "NOQUORUM 1 of 3 primaries answered, 2 needed: {} {reason}; {} {reason}",
                nodes[0].address(),
                nodes[1].address()
            );
            assert_eq!(reply, Value::error(expected), "{command}: {words}");
        }
    }
}

#[tokio::test]
async fn a_release_that_a_server_refused_is_made_when_it_can() {
    let nodes: [ScriptedNode; 3] = std::array::from_fn(|_| scripted());
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address)).set("probe_interval_ms", 100)).await;
    let key = unique_key("reasons");
    let token = granted(&proxy.command(&["RLOCK", &key, LONGEST_TTL]).await).token;
    for node in &nodes {
        eventually(async || node.get(&key).is_some(), "the lock to be everywhere").await;
        for _ in 0..3 {
            node.once("EVALSHA", Action::error("BUSY Redis is busy running a script."));
        }
    }
    let (_, reasons) = reasons(&proxy.command(&["RUNLOCK", &key, &token]).await);
    assert!(reasons.iter().all(|(_, reason)| reason == "busy"), "{reasons:?}");
    for node in &nodes {
        eventually(async || node.get(&key).is_none(), "the lock to be released").await;
    }
}

#[tokio::test]
async fn a_long_story_is_cut() {
    let story = format!("ERR {}", "and so on ".repeat(60));
    let (_nodes, proxy) = two_say(&story).await;
    let reply = proxy.command(&["RLOCK", &unique_key("reasons"), LONGEST_TTL]).await;
    let (_, reasons) = reasons(&reply);
    assert!(reasons.iter().all(|(_, reason)| *reason == story[..200]), "{reasons:?}");

    let nodes: [ScriptedNode; 9] = std::array::from_fn(|_| scripted());
    let proxy = start(patient(nodes.iter().map(ScriptedNode::address))).await;
    for node in &nodes {
        on_acquire(node, Action::error(&story));
    }
    let reply = proxy.command(&["RLOCK", &unique_key("reasons"), LONGEST_TTL]).await;
    assert!(reply.is_error_with("NOQUORUM"), "{reply:?}");
    assert_eq!(reply.text().len(), 1024, "one line of at most 1,024 bytes");
}

#[tokio::test]
async fn a_wrong_password_is_told_as_such() {
    for &kind in Kind::all() {
        let options = ServerOptions { password: Some("right".into()), ..ServerOptions::default() };
        let servers = [Server::start(kind, options.clone()).await, Server::start(kind, options).await];
        let wrong = format!("redis://:wrong@{}", servers[0].address());
        let none = servers[1].address();
        let nobody = scripted();
        let options = patient([wrong, none, nobody.address()]).set("quarantine", "off");
        let proxy = Proxy::start(PROXY, options).await;
        voters(&proxy, 1).await;
        let told = async || {
            let reply = proxy.command(&["RLOCK", &unique_key("reasons"), LONGEST_TTL]).await;
            let (_, reasons) = reasons(&reply);
            reasons.len() == 2 && reasons.iter().all(|(_, reason)| reason == "authentication failed")
        };
        eventually(told, "both to be told as refused").await;
        assert!(!proxy.log().contains("wrong@"), "no password is logged:\n{}", proxy.log());

        let right = servers.iter().map(|server| format!("redis://:right@{}", server.address()));
        start(patient(right.chain([nobody.address()]))).await;
    }
}

#[tokio::test]
async fn a_primary_that_does_not_answer_is_overloaded_when_its_queue_is_full() {
    const CAPACITY: u64 = 64;
    for &kind in Kind::all() {
        let settings = [
            ("limits.operations_per_primary", CAPACITY),
            ("node_timeout_ms", 1_000),
            ("silence_timeout_ms", 20_000),
            ("attempts", 1),
        ];
        let rig = Rig::relayed(kind, 3, &settings).await;
        rig.relays[..2].iter().for_each(|relay| relay.set_both(Fault::Stall));
        let mut client = rig.proxy.connect().await;
        let keys: Vec<String> = (0..CAPACITY + 36).map(|_| unique_key("reasons")).collect();
        for key in &keys {
            client.send(&["RLOCK", key, LONGEST_TTL]).await;
        }
        let replies = client.read_replies(keys.len()).await;
        let mut counts = [0, 0];
        for (address, reason) in replies.iter().flat_map(|reply| reasons(reply).1) {
            match reason.as_str() {
                "timed out after 1000 ms" => counts[0] += 1,
                // The third is asked for all of them at once as well, and may have no room either.
                "overloaded" if address == rig.address(2) => {}
                "overloaded" => counts[1] += 1,
                _ => panic!("{address} {reason}"),
            }
        }
        // A probe may have had a place as well; nothing else may.
        assert!(counts[0] <= 2 * CAPACITY && counts[0] >= 2 * (CAPACITY - 3), "{counts:?}");
        assert_eq!(counts[0] + counts[1], 2 * (CAPACITY + 36));
        rig.relays.iter().for_each(Relay::heal);
        rig.settled().await;
        for key in &keys {
            assert_eq!(rig.fleet.holding(key).await, 0, "nothing is left of what was not granted");
        }
        let token = granted(&client.call(&["RLOCK", &keys[0], LONGEST_TTL]).await).token;
        assert_eq!(client.call(&["RUNLOCK", &keys[0], &token]).await, Value::Integer(1));
    }
}

#[tokio::test]
async fn a_probe_that_is_refused_makes_no_replica_of_a_primary() {
    let nodes: [ScriptedNode; 3] = std::array::from_fn(|_| scripted());
    let options = patient(nodes.iter().map(ScriptedNode::address)).set("probe_interval_ms", 100);
    let proxy = start(options.set("quorum", 3)).await;
    nodes[0].on("ROLE", Action::error("BUSY Redis is busy running a script."));
    let expected = Value::error(format!("NOQUORUM 2 of 3 primaries answered, 3 needed: {} busy", nodes[0].address()));
    eventually(
        async || proxy.command(&["RLOCK", &unique_key("reasons"), LONGEST_TTL]).await == expected,
        "the probe to be refused",
    )
    .await;
    nodes[0].clear("ROLE");
    voters(&proxy, 3).await;
    assert!(!proxy.log().contains("a replica"), "{}", proxy.log());
}

#[tokio::test]
async fn garbage_from_a_primary_ends_its_link_and_nothing_else() {
    for garbage in ["hello\r\n", "$-7\r\n", ":1\r\n:1\r\n", "\0\0\0\0\r\n", "%1\r\n+a\r\n"] {
        let nodes: [ScriptedNode; 3] = std::array::from_fn(|_| scripted());
        let proxy = start(patient(nodes.iter().map(ScriptedNode::address)).set("node_timeout_ms", 500)).await;
        on_acquire(&nodes[0], Action::bytes(garbage));
        for _ in 0..5 {
            let key = unique_key("reasons");
            let token = granted(&proxy.command(&["RLOCK", &key, LONGEST_TTL]).await).token;
            let reply = proxy.command(&["RUNLOCK", &key, &token]).await;
            assert_eq!(reply, Value::Integer(1), "{garbage:?}");
        }
        nodes[0].clear("SET");
        let well = async || {
            let up = proxy.counter("primaries_up").await == 3;
            up && proxy.counter("withdrawals_pending").await == 0
        };
        eventually(well, format_args!("the primary to be back after {garbage:?}")).await;
        tokio::time::timeout(Duration::from_secs(10), proxy.wait_ready()).await.expect("it is ready");
    }
}
