//! What a number costs: one more command in the same round trip, and a second round only when a counter is ahead.

use support::{ByteClient, Fleet, Kind, Server, Value, shared, unique_key};

use super::{Fenced, counter, hours_ahead, pass_through, release, second_rounds, set_counters, take};
use crate::common::{LONGEST_TTL, Rig, every_primary_holds, no_primary_holds, patient, settled, start};

/// Somebody who listens to everything that a server is asked.
struct Monitor(ByteClient);

impl Monitor {
    async fn each(fleet: &Fleet) -> Vec<Self> {
        let mut monitors = Vec::new();
        for server in fleet.iter() {
            let mut client = server.connect().await;
            assert_eq!(client.call(&["MONITOR"]).await, Value::ok());
            monitors.push(Self(client));
        }
        monitors
    }

    /// What clients asked for since the last look that names the key; what scripts did is no question.
    async fn asked(&mut self, server: &Server, key: &str) -> Vec<Vec<String>> {
        let end = unique_key("end");
        server.command(&["ECHO", &end]).await;
        let mut asked = Vec::new();
        loop {
            // 1763765000.123456 [0 127.0.0.1:50000] "SET" "job" …
            let line = self.0.read_reply().await.text();
            if line.contains(&end) {
                return asked;
            }
            if line.contains(key) && !line.contains(" lua] ") {
                asked.push(line.split('"').skip(1).step_by(2).map(str::to_owned).collect());
            }
        }
    }
}

/// The words of one command, as much of them as is known beforehand.
#[track_caller]
fn assert_is(command: &[String], words: &[&str]) {
    assert_eq!(command[0].to_uppercase(), words[0], "{command:?}");
    assert_eq!(&command[1..words.len()], &words[1..], "{command:?}");
}

/// A raise of this number, behind which the record is looked at or not.
#[track_caller]
fn assert_raises(command: &[String], key: &str, number: u64) {
    // EVALSHA digest 1 counter number retention
    let (digest, expected) = (command[1].clone(), counter(key));
    assert_is(command, &["EVALSHA", &digest, "1", &expected, &number.to_string(), "604800000"]);
}

#[tokio::test]
async fn a_grant_with_a_number_is_two_commands_in_one_round_trip() {
    for &kind in Kind::all() {
        // Nothing moves the fence clock while this goes on.
        let rig = Rig::direct(kind, 3, &[("probe_interval_ms", 60_000)]).await;
        let key = unique_key("one-round");
        pass_through(&rig.proxy, &key).await;
        settled(&rig.proxy).await;
        let mut monitors = Monitor::each(&rig.fleet).await;
        let mut client = rig.proxy.connect().await;
        let mut last = 0;
        for turn in 0..20 {
            let Fenced { lock, number } = take(&mut client, &key, &[]).await;
            assert!(number > last, "{number} after {last}");
            every_primary_holds(&rig.fleet, &key, &lock.token).await;
            settled(&rig.proxy).await;
            for (server, monitor) in rig.fleet.iter().zip(&mut monitors) {
                let asked = monitor.asked(server, &key).await;
                let what = format!("{kind}, turn {turn}: {asked:?}");
                // The test's own GET apart, which waits for the record.
                let asked: Vec<_> = asked.into_iter().filter(|words| words.len() > 2).collect();
                assert_eq!(asked.len(), 2, "{what}");
                assert_is(&asked[0], &["SET", &key, &lock.token, "NX", "PX", LONGEST_TTL]);
                assert_raises(&asked[1], &key, number);
            }
            release(&mut client, &key, &Fenced { lock, number }).await;
            no_primary_holds(&rig.fleet, &key).await;
            for (server, monitor) in rig.fleet.iter().zip(&mut monitors) {
                monitor.asked(server, &key).await;
            }
            last = number;
        }
        assert_eq!(second_rounds(&rig.proxy).await, 0, "{kind}");
        assert_eq!(rig.proxy.counter("fences_issued").await, 21, "{kind}");
    }
}

/// A lock without FENCE raises nothing.
#[tokio::test]
async fn who_wants_no_number_pays_for_none() {
    for &kind in Kind::all() {
        let rig = Rig::direct(kind, 3, &[]).await;
        let key = unique_key("unfenced");
        let mut monitors = Monitor::each(&rig.fleet).await;
        let mut client = rig.proxy.connect().await;
        crate::common::take(&mut client, &rig.fleet, &key, LONGEST_TTL).await;
        for (server, monitor) in rig.fleet.iter().zip(&mut monitors) {
            let asked = monitor.asked(server, &key).await;
            let sets: Vec<_> = asked.into_iter().filter(|words| words.len() > 2).collect();
            assert_eq!(sets.len(), 1, "{kind}: {sets:?}");
            assert!(!server.exists(counter(&key)).await, "{kind}");
        }
        assert_eq!(rig.proxy.counter("fences_issued").await, 0);
    }
}

/// Another proxy, whose clock is ahead, has had a larger number: that is found out with the first round, and a second settles it.
#[tokio::test]
async fn a_counter_that_is_ahead_costs_a_second_round_and_is_passed() {
    for &kind in Kind::all() {
        let rig = Rig::direct(kind, 3, &[("probe_interval_ms", 60_000)]).await;
        let key = unique_key("ahead");
        pass_through(&rig.proxy, &key).await;
        settled(&rig.proxy).await;
        assert_eq!(second_rounds(&rig.proxy).await, 0);

        let ahead = hours_ahead(1);
        set_counters(&rig.fleet, &key, &ahead.to_string()).await;
        let mut monitors = Monitor::each(&rig.fleet).await;
        let mut client = rig.proxy.connect().await;
        let fenced = take(&mut client, &key, &[]).await;
        // A millisecond further than what was seen.
        assert_eq!(fenced.number, ahead + 1_000, "{kind}");
        assert_eq!(second_rounds(&rig.proxy).await, 1, "{kind}");
        every_primary_holds(&rig.fleet, &key, &fenced.lock.token).await;
        settled(&rig.proxy).await;
        let mut raised_anew = 0;
        for (server, monitor) in rig.fleet.iter().zip(&mut monitors) {
            let asked = monitor.asked(server, &key).await;
            let asked: Vec<_> =
                asked.into_iter().filter(|words| words.len() > 2 || words[0].to_uppercase() != "GET").collect();
            assert_is(&asked[0], &["SET", &key, &fenced.lock.token]);
            // The third, which was not asked in time, has no part in it.
            if let Some(anew) = asked.get(2) {
                assert_raises(anew, &key, fenced.number);
                raised_anew += 1;
            }
        }
        assert!(raised_anew >= 2, "{kind}: raised on {raised_anew}");
        release(&mut client, &key, &fenced).await;

        // It stays so for this key: the clock has not come as far. Other keys are none the wiser.
        let next = pass_through(&rig.proxy, &key).await;
        assert!(next > fenced.number, "{kind}: {next} after {}", fenced.number);
        assert_eq!(second_rounds(&rig.proxy).await, 2, "{kind}");
        assert!(pass_through(&rig.proxy, &unique_key("other")).await < hours_ahead(0));
        assert_eq!(second_rounds(&rig.proxy).await, 2, "{kind}");
    }
}

/// Numbers that differ from primary to primary, as a proxy leaves them that had no quorum: what is seen of them is passed.
#[tokio::test]
async fn counters_that_disagree_are_passed_as_far_as_a_quorum_needs() {
    for &kind in Kind::all() {
        let fleet = shared(kind, 5).await;
        let proxies = [start(patient(fleet.addresses())).await, start(patient(fleet.addresses())).await];
        let key = unique_key("disagree");
        let mut ahead: Vec<u64> = (1..=5).map(hours_ahead).collect();
        for (server, number) in fleet.iter().zip(&ahead) {
            assert_eq!(server.command(&["SET", &counter(&key), &number.to_string()]).await, Value::ok());
        }
        let first = pass_through(&proxies[0], &key).await;
        // A quorum accepted it: no more than two counters were larger.
        ahead.sort_unstable();
        assert!(first > ahead[2], "{kind}: {first} is not larger than three of {ahead:?}");
        let mut last = first;
        for turn in 1..6 {
            let next = pass_through(&proxies[turn % 2], &key).await;
            assert!(next > last, "{kind}: {next} after {last}");
            last = next;
        }
        assert_eq!(proxies[0].counter("fences_issued").await + proxies[1].counter("fences_issued").await, 6);
    }
}
