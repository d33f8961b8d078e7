//! What primaries do on their own: forget scripts, hold other types, become replicas, answer under two names, evict.

use support::{ByteClient, Fleet, Kind, Proxy, Relay, Server, ServerOptions, Value, eventually, shared, unique_key};

use crate::common::{
    LONGEST_TTL, PROXY, Rig, granted, no_primary_holds, patient, primary_field, reasons, start, voters,
};

/// Trap 40.
#[tokio::test]
async fn nothing_fails_when_scripts_are_forgotten_in_mid_run() {
    const ROUNDS: usize = 21;
    for &kind in Kind::all() {
        let rig = Rig::direct(kind, 3, &[]).await;
        let mut client = rig.proxy.connect().await;
        for round in 0..ROUNDS {
            for server in rig.fleet.iter() {
                assert_eq!(server.command(&["SCRIPT", "FLUSH"]).await, Value::ok());
            }
            // Side by side, so that what was forgotten is asked for several times in one batch.
            let keys: Vec<String> = (0..8).map(|_| unique_key("trap40")).collect();
            let take = async |client: &mut ByteClient| -> Vec<String> {
                for key in &keys {
                    client.send(&["RLOCK", key, LONGEST_TTL, "OWNER", "me"]).await;
                }
                client.read_replies(keys.len()).await.iter().map(|reply| granted(reply).token).collect()
            };
            let mut tokens = take(&mut client).await;
            // Extending, signing anew and releasing: each is the first to need its script in some round.
            if round % 3 == 0 {
                for (key, token) in keys.iter().zip(&tokens) {
                    client.send(&["REXTEND", key, token, LONGEST_TTL]).await;
                }
                assert!(client.read_replies(keys.len()).await.iter().all(|reply| reply.integer() > 50_000));
            }
            if round % 3 == 1 {
                tokens = take(&mut client).await;
            }
            for (key, token) in keys.iter().zip(&tokens) {
                client.send(&["RUNLOCK", key, token]).await;
            }
            assert_eq!(client.read_replies(keys.len()).await, vec![Value::Integer(1); keys.len()]);
        }
        for server in rig.fleet.iter() {
            let forgotten = server.info("errorstat_NOSCRIPT").await;
            assert!(forgotten.is_some(), "{kind} was asked for what it had forgotten, or this test shows nothing");
        }
    }
}

/// Trap 40.
#[tokio::test]
async fn nothing_fails_when_one_primary_restarts_without_its_scripts() {
    for &kind in Kind::all() {
        let mut rig = Rig::restarting(kind, 3, &[]).await;
        let mut client = rig.proxy.connect().await;
        for restarting in 0..3 {
            let key = unique_key("trap40");
            let token = granted(&client.call(&["RLOCK", &key, LONGEST_TTL]).await).token;
            rig.fleet[restarting].restart().await;
            assert!(client.call(&["REXTEND", &key, &token, LONGEST_TTL]).await.integer() > 50_000);
            assert_eq!(client.call(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
            rig.settled().await;
            // Now the restarted one is needed.
            let other = (restarting + 1) % 3;
            rig.fleet[other].kill();
            let token = granted(&client.call(&["RLOCK", &key, LONGEST_TTL]).await).token;
            assert!(client.call(&["REXTEND", &key, &token, LONGEST_TTL]).await.integer() > 50_000);
            assert_eq!(client.call(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
            rig.fleet[other].restart().await;
            rig.settled().await;
        }
    }
}

/// Trap 41.
#[tokio::test]
async fn a_key_of_another_type_is_refused_like_a_held_lock_and_never_touched() {
    for &kind in Kind::all() {
        let servers = shared(kind, 3).await;
        let proxy = start(patient(servers.addresses())).await;
        let key = unique_key("trap41");
        for server in servers.iter() {
            server.command(&["RPUSH", &key, "an", "element"]).await;
        }
        assert!(proxy.command(&["RLOCK", &key, LONGEST_TTL]).await.is_null());
        assert!(proxy.command(&["RLOCK", &key, LONGEST_TTL, "OWNER", "me"]).await.is_null());
        assert!(proxy.command(&["REXTEND", &key, "token", LONGEST_TTL]).await.is_null());
        assert_eq!(proxy.command(&["RUNLOCK", &key, "token"]).await, Value::Integer(0));
        // On a minority it is outvoted, and still not touched.
        servers[0].del(&key).await;
        servers[1].del(&key).await;
        let token = granted(&proxy.command(&["RLOCK", &key, LONGEST_TTL]).await).token;
        assert!(proxy.command(&["REXTEND", &key, &token, LONGEST_TTL]).await.integer() > 50_000);
        assert_eq!(proxy.command(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
        assert_eq!(servers[2].command(&["LLEN", &key]).await, Value::Integer(2));
        assert_eq!(servers.holding(&key).await, 1);
    }
}

/// Trap 42.
#[tokio::test]
async fn a_primary_that_becomes_a_replica_does_not_vote_until_it_is_one_again() {
    for &kind in Kind::all() {
        let mut rig = Rig::restarting(kind, 3, &[("probe_interval_ms", 100)]).await;
        let key = unique_key("trap42");
        for replica in 0..2 {
            let (victims, source) = rig.fleet.split_at_mut(2);
            victims[replica].replicate(&source[0]).await;
            let told = async || primary_field(&rig.proxy, replica, "state").await == "replica";
            eventually(told, "the proxy to see the replica").await;
            if replica == 0 {
                let token = granted(&rig.proxy.command(&["RLOCK", &key, LONGEST_TTL]).await).token;
                assert_eq!(rig.proxy.command(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
            }
        }
        // One server has the votes of none but itself, however many copies there are.
        for command in
            [&["RLOCK", &key, LONGEST_TTL][..], &["REXTEND", &key, "token", LONGEST_TTL], &["RUNLOCK", &key, "token"]]
        {
            let (head, reasons) = reasons(&rig.proxy.command(command).await);
            assert_eq!(head, "NOQUORUM 1 of 3 primaries answered, 2 needed", "{command:?}");
            assert_eq!(reasons, [0, 1].map(|index| (rig.address(index), "a replica".to_owned())), "{command:?}");
        }
        eventually(async || !rig.fleet[2].exists(&key).await, "nothing to be left").await;
        assert_eq!(rig.proxy.info("ready").await.as_deref(), Some("0"));

        rig.fleet[0].promote().await;
        rig.proxy.wait_ready().await;
        let token = granted(&rig.proxy.command(&["RLOCK", &key, LONGEST_TTL]).await).token;
        rig.fleet[1].promote().await;
        rig.settled().await;
        assert_eq!(rig.proxy.command(&["RUNLOCK", &key, &token]).await, Value::Integer(1));
    }
}

/// Trap 42.
#[tokio::test]
async fn a_primary_that_is_a_replica_from_the_start_does_not_vote() {
    for &kind in Kind::all() {
        let mut servers = Fleet::start(kind, 3).await;
        let (replica, source) = servers.split_at_mut(1);
        replica[0].replicate(&source[0]).await;
        let proxy = Proxy::start(
            PROXY,
            patient(servers.addresses()).set("quorum", 3).set("probe_interval_ms", 100).set("quarantine", "off"),
        )
        .await;
        voters(&proxy, 2).await;
        let expected =
            Value::error(format!("NOQUORUM 2 of 3 primaries answered, 3 needed: {} a replica", servers[0].address()));
        eventually(
            async || proxy.command(&["RLOCK", &unique_key("trap42"), LONGEST_TTL]).await == expected,
            "the proxy to have seen all three",
        )
        .await;
    }
}

/// Trap 43.
#[tokio::test]
async fn a_server_under_two_addresses_votes_once_and_the_other_says_why() {
    for &kind in Kind::all() {
        let servers = shared(kind, 3).await;
        let relays = [&servers[0], &servers[0], &servers[1]].map(|server| Relay::start(server.address()));
        let proxy = Proxy::start(PROXY, patient(relays.iter().map(Relay::address)).set("probe_interval_ms", 100)).await;
        voters(&proxy, 2).await;
        let state = async |index: usize| primary_field(&proxy, index, "state").await;
        let seen = async || state(0).await == "duplicate" || state(1).await == "duplicate";
        eventually(seen, "the proxy to find the duplicate").await;
        let duplicate = usize::from(state(0).await != "duplicate");
        let first = 1 - duplicate;
        assert_eq!((state(first).await.as_str(), state(2).await.as_str()), ("up", "up"));
        let key = unique_key("trap43");
        let token = granted(&proxy.command(&["RLOCK", &key, LONGEST_TTL]).await).token;
        assert_eq!(proxy.command(&["RUNLOCK", &key, &token]).await, Value::Integer(1));

        // Without the third server one is left, and it is no majority of three.
        relays[2].refuse();
        relays[2].reset();
        eventually(async || state(2).await == "down", "the third to be away").await;
        let (head, reasons) = reasons(&proxy.command(&["RLOCK", &key, LONGEST_TTL]).await);
        assert_eq!(head, "NOQUORUM 1 of 3 primaries answered, 2 needed");
        let expected = (relays[duplicate].address(), format!("duplicate of {}", relays[first].address()));
        assert_eq!(reasons[0], expected, "{reasons:?}");
        no_primary_holds(servers, &key).await;
    }
}

/// Trap 44.
#[tokio::test]
async fn a_primary_that_may_evict_keys_is_warned_of_and_votes() {
    for &kind in Kind::all() {
        let evicting = |limit: &str, policy: &str| ServerOptions {
            arguments: ["--maxmemory", limit, "--maxmemory-policy", policy].map(str::to_owned).to_vec(),
            ..ServerOptions::default()
        };
        let servers = [
            Server::start(kind, evicting("100mb", "allkeys-lru")).await,
            Server::start(kind, evicting("100mb", "noeviction")).await,
            Server::start(kind, evicting("0", "allkeys-lru")).await,
        ];
        let proxy = start(patient(servers.iter().map(Server::address)).set("quorum", 3)).await;
        let warning = proxy.wait_for_log("may evict keys").await;
        assert!(warning.contains("WARN") && warning.contains("allkeys-lru"), "{warning}");
        assert!(warning.contains(&servers[0].address()), "{warning}");
        assert_eq!(proxy.log().matches("may evict keys").count(), 1, "the others evict nothing:\n{}", proxy.log());
        granted(&proxy.command(&["RLOCK", &unique_key("trap44"), LONGEST_TTL]).await);
    }
}
