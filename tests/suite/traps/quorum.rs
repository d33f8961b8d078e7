//! How many primaries decide: a majority of those configured, not of those at hand, and never one alone.

use std::fs;
use std::process::{Command, Output};
use std::time::Instant;

use support::{Action, Direction, Fault, Fleet, Kind, Proxy, ProxyOptions, ScriptedNode, Value, unique_key};
use tempfile::TempDir;

use crate::common::{
    LONGEST_TTL, PROMPT, PROXY, Rig, SharedRig, every_primary_holds, every_rig, granted, no_primary_holds, occupy,
    patient, start, take, voters,
};

/// Trap 15: with an even number of primaries the votes split in halves, and nobody ever settled it.
#[tokio::test]
async fn an_even_number_of_primaries_refuses_a_split_vote_promptly() {
    for &kind in Kind::all() {
        for count in [2, 4] {
            let rig = Rig::shared(kind, count).await;
            let key = &unique_key("trap15");
            let (taken, free) = rig.fleet.split_at(count / 2);
            for server in taken {
                occupy(server, key, "rival").await;
            }
            let asked = Instant::now();
            assert_eq!(rig.proxy.command(&["RLOCK", key, LONGEST_TTL]).await, Value::NullArray);
            assert!(asked.elapsed() < PROMPT);
            rig.settled().await;
            for server in free {
                assert!(!server.exists(key).await);
            }
            for server in taken {
                assert_eq!(server.get(key).await.as_deref(), Some("rival"));
                server.del(key).await;
            }
            granted(&rig.proxy.command(&["RLOCK", key, LONGEST_TTL]).await);
        }
    }
}

/// Trap 15: two who ask at the same moment, again and again, and split the votes.
#[tokio::test]
async fn an_even_number_of_primaries_answers_both_of_two_contenders_and_grants_to_one_at_most() {
    for &kind in Kind::all() {
        for count in [2, 4] {
            let rig = Rig::shared(kind, count).await;
            let rival = start(patient(rig.fleet.addresses())).await;
            let (mut one, mut other) = (rig.proxy.connect().await, rival.connect().await);
            let mut won = 0;
            for _ in 0..25 {
                let key = &unique_key("trap15");
                let command = &["RLOCK", key, LONGEST_TTL];
                let replies = tokio::join!(one.call(command), other.call(command));
                let winners: Vec<_> = [replies.0, replies.1].into_iter().filter(|reply| !reply.is_null()).collect();
                assert!(winners.len() <= 1, "{winners:?}");
                for winner in winners {
                    assert_eq!(one.call(&["RUNLOCK", key, &granted(&winner).token]).await, Value::Integer(1));
                    won += 1;
                }
                no_primary_holds(rig.fleet, key).await;
            }
            assert!(won > 0, "random delays break the tie");
        }
    }
}

/// Trap 15: the half that is against decides, without waiting for the other half.
#[tokio::test]
async fn a_lock_is_lost_as_soon_as_those_that_lack_it_leave_no_quorum() {
    for &kind in Kind::all() {
        for count in [2, 4] {
            let rig = Rig::shared_relayed(kind, count, &[]).await;
            let key = &unique_key("trap15");
            let mut client = rig.proxy.connect().await;
            let lock = take(&mut client, rig.fleet, key, LONGEST_TTL).await;
            // Half of them (N - quorum + 1) lack it, and the other half says nothing.
            for server in &rig.fleet[..count / 2] {
                assert!(server.del(key).await);
            }
            for relay in &rig.relays[count / 2..] {
                relay.set(Direction::ToClient, Fault::Hold);
            }
            let asked = Instant::now();
            assert_eq!(client.call(&["REXTEND", key, &lock.token, LONGEST_TTL]).await, Value::NullBulk);
            assert_eq!(client.call(&["RUNLOCK", key, &lock.token]).await, Value::Integer(0));
            assert!(asked.elapsed() < PROMPT);
            for relay in &rig.relays {
                relay.heal();
            }
            no_primary_holds(rig.fleet, key).await;
        }
    }
}

/// Trap 15: an attempt that can neither win nor show one holder ends, though a primary is still silent.
#[tokio::test]
async fn votes_that_no_silent_primary_can_mend_are_not_waited_for() {
    for &kind in Kind::all() {
        for count in [4, 5] {
            let rig = Rig::shared_relayed(kind, count, &[]).await;
            let key = &unique_key("trap15");
            for (number, server) in rig.fleet[1..].iter().enumerate() {
                occupy(server, key, &format!("rival {number}")).await;
            }
            rig.relays[0].set(Direction::ToClient, Fault::Hold);
            let asked = Instant::now();
            assert_eq!(rig.proxy.command(&["RLOCK", key, LONGEST_TTL]).await, Value::NullArray);
            assert!(asked.elapsed() < PROMPT);
            rig.relays[0].heal();
            rig.settled().await;
            assert!(!rig.fleet[0].exists(key).await);
        }
    }
}

/// What RLOCK answers while another holds the key on so many primaries; whatever it was, nothing is left.
async fn rlock_against(proxy: &Proxy, fleet: &Fleet, taken: usize) -> Value {
    let key = &unique_key("trap16");
    for server in &fleet[..taken] {
        occupy(server, key, "rival").await;
    }
    let reply = proxy.command(&["RLOCK", key, LONGEST_TTL]).await;
    for server in &fleet[..taken] {
        assert_eq!(server.get(key).await.as_deref(), Some("rival"));
        server.del(key).await;
    }
    if !reply.is_null() {
        assert_eq!(proxy.command(&["RUNLOCK", key, &granted(&reply).token]).await, Value::Integer(1));
    }
    no_primary_holds(fleet, key).await;
    reply
}

/// Trap 16: a quorum computed in floating point (3 of 3, 4 of 5).
#[tokio::test]
async fn exactly_the_majority_is_needed_and_enough() {
    for rig in every_rig().await {
        let all = rig.fleet.len();
        let quorum = all / 2 + 1;
        for taken in 0..=all {
            let reply = rlock_against(&rig.proxy, rig.fleet, taken).await;
            assert_eq!(reply.is_null(), all - taken < quorum, "{taken} of {all} taken: {reply:?}");
        }
    }
}

/// Trap 16: a larger quorum that is configured is the one that counts.
#[tokio::test]
async fn exactly_the_configured_quorum_is_needed_and_enough() {
    for (&kind, (all, quorum)) in Kind::all().iter().cycle().zip([(3, 3), (5, 4), (5, 5), (4, 4)]) {
        let fleet = Rig::shared(kind, all).await.fleet;
        let proxy = start(patient(fleet.addresses()).set("quorum", quorum)).await;
        for taken in 0..=all {
            let reply = rlock_against(&proxy, fleet, taken).await;
            assert_eq!(reply.is_null(), all - taken < quorum, "{taken} of {all} taken, quorum {quorum}: {reply:?}");
        }
    }
}

/// Trap 16: the table.
#[tokio::test]
async fn the_quorum_of_one_to_nine_primaries_is_their_majority() {
    for (all, quorum) in (1..).zip([1, 2, 2, 3, 3, 4, 4, 5, 5]) {
        // Nobody listens there.
        let proxy = Proxy::start(PROXY, ProxyOptions::new((1..=all).map(|port| format!("127.0.0.1:{port}")))).await;
        assert_eq!((proxy.counter("primaries").await, proxy.counter("quorum").await), (all, quorum));
    }
}

/// Trap 17: the quorum of those that can be reached.
#[tokio::test]
async fn two_of_five_are_no_quorum_however_long_the_others_are_gone() {
    for &kind in Kind::all() {
        let rig = Rig::shared_relayed(kind, 5, &[]).await;
        let mut client = rig.proxy.connect().await;
        let held = &unique_key("trap17");
        let lock = take(&mut client, rig.fleet, held, LONGEST_TTL).await;
        for relay in &rig.relays[2..] {
            relay.refuse();
            relay.cut();
        }
        voters(&rig.proxy, 2).await;
        assert_eq!((rig.proxy.counter("quorum").await, rig.proxy.counter("ready").await), (3, 0));

        let key = &unique_key("trap17");
        for _ in 0..20 {
            for command in [
                &["RLOCK", key, LONGEST_TTL][..],
                &["REXTEND", held, &lock.token, LONGEST_TTL],
                &["RUNLOCK", key, &lock.token],
            ] {
                let reply = client.call(command).await;
                assert!(
                    reply.is_error_with("NOQUORUM 2 of 5 primaries answered, 3 needed: "),
                    "{command:?}: {reply:?}"
                );
                for relay in &rig.relays[2..] {
                    assert!(reply.text().contains(&relay.address()), "{reply:?}");
                }
            }
        }
        no_primary_holds(rig.fleet, key).await;

        for relay in &rig.relays {
            relay.heal();
        }
        voters(&rig.proxy, 5).await;
        take(&mut client, rig.fleet, key, LONGEST_TTL).await;
        assert_eq!(client.call(&["RUNLOCK", held, &lock.token]).await, Value::Integer(1));
    }
}

/// Trap 17: the same for primaries that were never there.
#[tokio::test]
async fn two_of_five_are_no_quorum_when_the_others_never_came() {
    for &kind in Kind::all() {
        let fleet = Rig::shared(kind, 5).await.fleet;
        let nobody = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"].map(str::to_owned);
        let addresses = fleet.addresses().into_iter().take(2).chain(nobody);
        let proxy = Proxy::start(PROXY, patient(addresses)).await;
        voters(&proxy, 2).await;
        let key = &unique_key("trap17");
        let reply = proxy.command(&["RLOCK", key, LONGEST_TTL]).await;
        assert!(reply.is_error_with("NOQUORUM 2 of 5 primaries answered, 3 needed: "), "{reply:?}");
        no_primary_holds(fleet, key).await;
    }
}

/// Trap 18: a quorum below the majority, because somebody configured it.
#[test]
fn a_quorum_below_the_majority_or_above_all_is_refused_at_start() {
    for (all, quorum) in [(2, 1), (3, 0), (3, 1), (3, 4), (4, 2), (5, 2), (5, 6), (9, 4)] {
        let primaries: Vec<String> = (1..=all).map(|port| format!("127.0.0.1:{port}")).collect();
        let range = format!("the majority, {}, to {all}", all / 2 + 1);
        for output in [by_flag(&primaries, quorum), by_variable(&primaries, quorum), by_file(&primaries, quorum)] {
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{quorum} of {all}: {said}");
            assert!(said.contains("quorum") && said.contains(&range), "{said}");
        }
    }
}

/// Runs the program without any environment but the given; it must end by itself.
fn program(arguments: &[&str], variable: Option<(&str, &str)>) -> Output {
    let listen = ["--listen", "127.0.0.1:0"];
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "30", PROXY]).args(listen).args(arguments).env_clear().envs(variable);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.output().expect("`timeout` of coreutils runs")
}

fn by_flag(primaries: &[String], quorum: u64) -> Output {
    let quorum = format!("quorum={quorum}");
    let named = primaries.iter().flat_map(|primary| ["--primary", primary]);
    program(&named.chain(["--set", &quorum]).collect::<Vec<_>>(), None)
}

fn by_variable(primaries: &[String], quorum: u64) -> Output {
    let named: Vec<&str> = primaries.iter().flat_map(|primary| ["--primary", primary]).collect();
    program(&named, Some(("REDLOCK_PROXY_QUORUM", &quorum.to_string())))
}

fn by_file(primaries: &[String], quorum: u64) -> Output {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("redlock.yaml");
    fs::write(&file, format!("primaries: [\"{}\"]\nquorum: {quorum}\n", primaries.join("\", \""))).expect("written");
    program(&["--config", &file.display().to_string()], None)
}

/// Trap 19: a majority granted, one primary answered with an error, and the user got the error and the primaries the lock.
#[tokio::test]
async fn a_quorum_of_grants_is_a_lock_whatever_the_others_answer() {
    for &kind in Kind::all() {
        for count in [3, 5] {
            let fleet = Rig::shared(kind, count).await.fleet;
            let majority = &fleet[..=count / 2];
            let broken: Vec<ScriptedNode> = (majority.len()..count).map(|_| ScriptedNode::start()).collect();
            // In front: who asks one after the other meets the error first.
            let addresses =
                broken.iter().map(ScriptedNode::address).chain(fleet.addresses().into_iter().take(majority.len()));
            // Some of them have met another proxy, others none.
            let proxy = start(patient(addresses).set("quarantine", "off")).await;
            let mut client = proxy.connect().await;
            for error in [
                "ERR whatever",
                "OOM command not allowed when used memory > 'maxmemory'.",
                "READONLY You can't write against a read only replica.",
                "LOADING Redis is loading the dataset in memory",
                "MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist on disk.",
            ] {
                for node in &broken {
                    for command in ["SET", "EVALSHA", "EVAL"] {
                        node.on(command, Action::error(error));
                    }
                }
                let key = &unique_key("trap19");
                let lock = granted(&client.call(&["RLOCK", key, "30000"]).await);
                for server in majority {
                    assert_eq!(server.get(key).await.as_ref(), Some(&lock.token), "{error}");
                }
                assert_eq!(client.call(&["RLOCK", key, "30000"]).await, Value::NullArray, "{error}");
                assert!(client.call(&["REXTEND", key, &lock.token, "30000"]).await.integer() > 0, "{error}");
                assert_eq!(client.call(&["RUNLOCK", key, &lock.token]).await, Value::Integer(1), "{error}");
                no_primary_holds(fleet, key).await;
            }
            assert!(broken.iter().all(|node| !node.commands_named("SET").is_empty()));
        }
    }
}

/// Does to one primary, or to all but one, what the proxies do not know of.
async fn disturb(rig: &SharedRig, key: &str, places: impl Iterator<Item = usize>, rival: Option<&str>) {
    for place in places {
        assert!(rig.fleet[place].del(key).await);
        if let Some(rival) = rival {
            occupy(&rig.fleet[place], key, rival).await;
        }
    }
}

/// Trap 20: the state asked of one primary only, which knew it no longer.
#[tokio::test]
async fn a_lock_stays_held_whichever_primary_denies_it() {
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        for odd in 0..rig.fleet.len() {
            for rival in [None, Some("rival")] {
                let key = &unique_key("trap20");
                let lock = take(&mut client, rig.fleet, key, LONGEST_TTL).await;
                disturb(rig, key, [odd].into_iter(), rival).await;

                assert_eq!(client.call(&["RLOCK", key, LONGEST_TTL]).await, Value::NullArray, "{odd} {rival:?}");
                let extended = client.call(&["REXTEND", key, &lock.token, LONGEST_TTL]).await;
                assert!(extended.integer() > 0, "{odd} {rival:?}");
                assert_eq!(client.call(&["RUNLOCK", key, &lock.token]).await, Value::Integer(1), "{odd} {rival:?}");
                rig.settled().await;
                for (place, value) in rig.fleet.get(key).await.iter().enumerate() {
                    assert_eq!(value.as_deref(), if place == odd { rival } else { None });
                }
            }
        }
    }
}

/// Trap 20: the state asked of one primary only, the only one that still knew it.
#[tokio::test]
async fn a_lock_is_free_whichever_primary_still_shows_it() {
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        for odd in 0..rig.fleet.len() {
            let key = &unique_key("trap20");
            let lock = take(&mut client, rig.fleet, key, LONGEST_TTL).await;
            disturb(rig, key, (0..rig.fleet.len()).filter(|place| *place != odd), None).await;

            assert_eq!(client.call(&["REXTEND", key, &lock.token, LONGEST_TTL]).await, Value::NullBulk, "{odd}");
            let next = granted(&client.call(&["RLOCK", key, LONGEST_TTL]).await);
            assert_eq!(client.call(&["RUNLOCK", key, &lock.token]).await, Value::Integer(0), "{odd}");
            assert!(client.call(&["REXTEND", key, &next.token, LONGEST_TTL]).await.integer() > 0, "{odd}");
            assert_eq!(client.call(&["RUNLOCK", key, &next.token]).await, Value::Integer(1), "{odd}");
            no_primary_holds(rig.fleet, key).await;
        }
    }
}

/// Trap 20: primaries whose records end some milliseconds apart still agree on who holds the lock.
#[tokio::test]
async fn primaries_whose_records_end_milliseconds_apart_agree() {
    for rig in every_rig().await {
        let mut client = rig.proxy.connect().await;
        let key = &unique_key("trap20");
        let lock = take(&mut client, rig.fleet, key, "30000").await;
        for (server, left) in rig.fleet.iter().zip(30_000..) {
            assert_eq!(server.command(&["PEXPIRE", key, &left.to_string()]).await, Value::Integer(1));
        }
        assert_eq!(client.call(&["RLOCK", key, "30000"]).await, Value::NullArray);
        assert!(client.call(&["REXTEND", key, &lock.token, "20000"]).await.integer() > 0);
        rig.settled().await;
        every_primary_holds(rig.fleet, key, &lock.token).await;
        assert_eq!(client.call(&["RUNLOCK", key, &lock.token]).await, Value::Integer(1));
        no_primary_holds(rig.fleet, key).await;
    }
}
