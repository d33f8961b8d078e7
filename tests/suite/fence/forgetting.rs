//! Servers that forget the script, and one that is started again: nothing fails, and numbers go on rising.

use std::time::Duration;

use support::{Fleet, Kind, Proxy, ProxyOptions, Value, unique_key};

use super::weather::persistent;
use super::{pass_through, second_rounds, take};
use crate::common::{LONGEST_TTL, PROMPT, Rig, patient, settled, start, timed, voters};

async fn forget_scripts(fleet: &Fleet, count: usize) {
    for server in fleet.iter().take(count) {
        assert_eq!(server.command(&["SCRIPT", "FLUSH"]).await, Value::ok());
    }
}

#[tokio::test]
async fn a_server_that_has_forgotten_the_scripts_is_told_them_again_and_nobody_notices() {
    for &kind in Kind::all() {
        let rig = Rig::direct(kind, 3, &[("probe_interval_ms", 60_000)]).await;
        let (key, owned) = (unique_key("forgotten"), unique_key("forgotten-owned"));
        let mut client = rig.proxy.connect().await;
        let mut held = take(&mut client, &owned, &["OWNER", "me"]).await;
        let mut last = 0;
        for turn in 0..12 {
            // One, two and all three of them.
            let forgetful = turn % 3 + 1;
            settled(&rig.proxy).await;
            forget_scripts(&rig.fleet, forgetful).await;
            let before = second_rounds(&rig.proxy).await;
            let next = pass_through(&rig.proxy, &key).await;
            assert!(next > last, "{kind}, turn {turn}: {next} after {last}");
            // The raise behind the SET is not sent again, since the SET was run.
            let rounds = second_rounds(&rig.proxy).await - before;
            assert!(rounds <= 1 && (forgetful == 1 || rounds == 1), "{kind}, {forgetful} forgetful: {rounds}");
            last = next;

            settled(&rig.proxy).await;
            forget_scripts(&rig.fleet, forgetful).await;
            let next = take(&mut client, &owned, &["OWNER", "me"]).await;
            assert!(next.number > held.number, "{kind}, turn {turn}: {next:?} after {held:?}");
            held = next;
        }
    }
}

async fn passes_promptly(proxy: &Proxy, key: &str, last: &mut u64, what: &str) {
    for _ in 0..3 {
        let (next, took) = timed(pass_through(proxy, key)).await;
        assert!(next > *last, "{what}: {next} after {last}");
        assert!(took < PROMPT, "{what} took {took:?}");
        *last = next;
    }
}

/// Each primary in turn is killed and comes back with what it had; then two of three have been away, and numbers still rise.
#[tokio::test]
async fn primaries_that_are_killed_and_come_back_with_their_counters_are_not_noticed() {
    for &kind in Kind::all() {
        let mut fleet = Fleet::start_with(kind, 3, persistent()).await;
        let options = |fleet: &Fleet| -> ProxyOptions { patient(fleet.addresses()).set("quarantine", "off") };
        let proxies = [start(options(&fleet)).await, start(options(&fleet)).await];
        let key = unique_key("restarted");
        let mut last = 0;
        for victim in 0..3 {
            let what = |state: &str| format!("{kind}, primary {victim} {state}");
            for proxy in &proxies {
                passes_promptly(proxy, &key, &mut last, &what("well")).await;
            }
            fleet[victim].kill();
            for proxy in &proxies {
                voters(proxy, 2).await;
                passes_promptly(proxy, &key, &mut last, &what("away")).await;
            }
            fleet[victim].restart().await;
            assert!(fleet[victim].exists(super::counter(&key)).await, "{}", what("has kept its data"));
            for proxy in &proxies {
                voters(proxy, 3).await;
                passes_promptly(proxy, &key, &mut last, &what("back")).await;
            }
        }
    }
}

/// A proxy that is started later knows nothing of earlier numbers but what the primaries keep.
#[tokio::test]
async fn a_proxy_that_is_started_anew_goes_on_where_the_counters_are() {
    for &kind in Kind::all() {
        let fleet = support::shared(kind, 3).await;
        let (key, mut last) = (unique_key("anew"), 0);
        let ahead = super::hours_ahead(2);
        super::set_counters(fleet, &key, &ahead.to_string()).await;
        for _ in 0..3 {
            let proxy = start(patient(fleet.addresses())).await;
            let next = pass_through(&proxy, &key).await;
            assert!(next > ahead && next > last, "{kind}: {next} after {last} and {ahead}");
            last = next;
        }
    }
}

/// FENCE goes together with every other option, and in line as well: whoever waited has a larger number than whoever it waited for.
#[tokio::test]
async fn whoever_waits_and_whoever_holds_a_session_have_their_numbers_too() {
    for &kind in Kind::all() {
        let proxy = &Rig::shared(kind, 3).await.proxy;
        let key = unique_key("options");
        let mut holder = proxy.connect().await;
        let mut waiter = proxy.connect().await;
        let first = take(&mut holder, &key, &["SESSION"]).await;
        waiter.send(&["RLOCK", &key, LONGEST_TTL, "WAIT", "600000", "OWNER", "me", "FENCE", "SESSION"]).await;
        assert!(waiter.is_quiet_for(Duration::from_millis(50)).await);
        super::release(&mut holder, &key, &first).await;
        let second = super::Fenced::of(&waiter.read_reply().await).expect("its turn");
        assert!(second.number > first.number, "{kind}: {second:?} after {first:?}");
        super::release(&mut waiter, &key, &second).await;
    }
}
