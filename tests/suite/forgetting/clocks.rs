//! Clocks that step: a record whose primary's clock jumps forward ends before its time.
//!
//! On Valkey under libfaketime, under which Redis hangs.

use support::{Fault, Fleet, Kind, Relay, Server, ServerOptions, WallClock, eventually, unique_key};

use super::{MARKER, Quarantine, state};
use crate::common::{LONGEST_TTL, Lock, granted, start, voters};

/// A server that is shown this time of day.
async fn shown(clock: &WallClock) -> Server {
    Server::start(Kind::Valkey, ServerOptions::default().shown(clock)).await
}

#[tokio::test]
async fn a_lock_that_ended_early_on_one_primary_is_given_to_nobody_else() {
    for quarantine in Quarantine::BOTH {
        let clock = WallClock::new();
        let (stepping, others) = (shown(&clock).await, Fleet::start(Kind::Valkey, 2).await);
        let relay = Relay::start(others[1].address());
        let holder = start(quarantine.options([stepping.address(), others[0].address(), relay.address()])).await;
        let rival = start(quarantine.options([stepping.address(), others[0].address(), others[1].address()])).await;
        relay.set_both(Fault::BlackHole);
        let key = unique_key("clock");
        granted(&holder.command(&["RLOCK", &key, LONGEST_TTL]).await);
        relay.reset();
        relay.refuse();
        clock.shift("+1h");
        eventually(async || !stepping.exists(&key).await, "the record to end").await;
        // In the very batch that would show the key free.
        let second = Lock::of(&rival.command(&["RLOCK", &key, LONGEST_TTL]).await);
        assert_eq!(second.is_some(), quarantine == Quarantine::Off, "{quarantine:?}");
        if quarantine == Quarantine::Auto {
            let told =
                async || format!("{:?}", rival.command(&["RPRIMARIES"]).await).contains("quarantined: clock stepped");
            eventually(told, "it to be told").await;
            let marked = async || stepping.get(MARKER).await.is_some_and(|marker| marker.ends_with(" forgot"));
            eventually(marked, "it to be marked").await;
            assert_eq!((state(&rival, 0).await.as_str(), state(&rival, 1).await.as_str()), ("quarantined", "up"));
        }
    }
}

#[tokio::test]
async fn a_clock_that_all_primaries_share_is_no_reason_to_mark_them_and_none_to_count_them() {
    let clock = WallClock::new();
    let servers = [shown(&clock).await, shown(&clock).await, shown(&clock).await];
    let addresses = || servers.iter().map(Server::address);
    let proxy = start(Quarantine::Auto.options(addresses()).set("max_ttl_ms", 1_000)).await;
    let marker = servers[0].get(MARKER).await;
    clock.shift("+1h");
    voters(&proxy, 0).await;
    assert_eq!(servers[0].get(MARKER).await, marker);
    // Another one, that has seen no step, counts them.
    let fresh = start(Quarantine::Auto.options(addresses()).set("max_ttl_ms", 1_000)).await;
    granted(&fresh.command(&["RLOCK", &unique_key("clock"), "1000"]).await);
    voters(&proxy, 3).await;
    assert_eq!(servers[0].get(MARKER).await, marker);
    // Backward harms nobody.
    clock.shift("-1h");
    granted(&proxy.command(&["RLOCK", &unique_key("clock"), "1000"]).await);
}
