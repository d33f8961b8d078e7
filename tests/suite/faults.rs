//! Primaries that fail while locks are held.
//!
//! Each way to fail is tried on both sides of the quorum. With a minority away nothing may be noticed but in INFO: every command
//! has its answer in about a round trip, which is shown by a time-out that is much longer than any of them takes. With a majority
//! away every command says so, names each primary's reason, and leaves nothing behind once the primaries are back.

use std::time::Duration;

use support::{Fault, Kind, Value, eventually, unique_key};

use crate::common::{LONGEST_TTL, Rig, every_primary_holds, granted, primary_field, reasons, take_at_last, timed};

/// How primaries fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// The process is gone: connections are reset, new ones refused, memory lost.
    Killed,
    /// SIGSTOP: the kernel takes connections and commands, nobody answers.
    Stopped,
    /// Whatever is sent, in either direction, is swallowed.
    BlackHoled,
    /// Connections are reset, new ones refused; the process and its memory are well.
    Refusing,
}

impl Failure {
    async fn rig(self, kind: Kind, count: usize, settings: &[(&str, u64)]) -> Rig {
        match self {
            Self::Killed => Rig::restarting(kind, count, settings).await,
            Self::Stopped => Rig::direct(kind, count, settings).await,
            Self::BlackHoled | Self::Refusing => Rig::relayed(kind, count, settings).await,
        }
    }

    fn strike(self, rig: &mut Rig, victims: usize) {
        for victim in 0..victims {
            match self {
                Self::Killed => rig.fleet[victim].kill(),
                Self::Stopped => rig.fleet[victim].pause(),
                Self::BlackHoled => rig.relays[victim].set_both(Fault::BlackHole),
                Self::Refusing => {
                    rig.relays[victim].refuse();
                    rig.relays[victim].reset();
                }
            }
        }
    }

    async fn heal(self, rig: &mut Rig, victims: usize) {
        for victim in 0..victims {
            match self {
                Self::Killed => rig.fleet[victim].restart().await,
                Self::Stopped => rig.fleet[victim].resume(),
                Self::BlackHoled => {
                    // A stream with a hole in it cannot go on.
                    rig.relays[victim].reset();
                    rig.relays[victim].heal();
                }
                Self::Refusing => rig.relays[victim].accept(),
            }
        }
    }

    /// Whether a primary that failed like this may be given this reason, whenever it is asked.
    fn explains(self, reason: &str) -> bool {
        let timed_out = reason.starts_with("timed out after ") && reason.ends_with(" ms");
        match self {
            Self::Killed | Self::Refusing => {
                ["connection refused", "connection lost", "not connected"].contains(&reason)
            }
            Self::Stopped | Self::BlackHoled => timed_out,
        }
    }

    /// Whether this is the reason once the proxy knows what is the matter.
    fn is_explained_by(self, reason: &str) -> bool {
        match self {
            Self::Killed | Self::Refusing => reason == "connection refused",
            Self::Stopped | Self::BlackHoled => self.explains(reason),
        }
    }
}

#[tokio::test]
async fn with_a_minority_killed_every_command_works_in_about_a_round_trip() {
    minority_away(Failure::Killed).await;
}

#[tokio::test]
async fn with_a_minority_stopped_every_command_works_in_about_a_round_trip() {
    minority_away(Failure::Stopped).await;
}

#[tokio::test]
async fn with_a_minority_in_a_black_hole_every_command_works_in_about_a_round_trip() {
    minority_away(Failure::BlackHoled).await;
}

#[tokio::test]
async fn with_a_minority_refusing_every_command_works_in_about_a_round_trip() {
    minority_away(Failure::Refusing).await;
}

#[tokio::test]
async fn with_a_majority_killed_every_command_names_the_reasons_and_leaves_nothing() {
    majority_away(Failure::Killed).await;
}

#[tokio::test]
async fn with_a_majority_stopped_every_command_names_the_reasons_and_leaves_nothing() {
    majority_away(Failure::Stopped).await;
}

#[tokio::test]
async fn with_a_majority_in_a_black_hole_every_command_names_the_reasons_and_leaves_nothing() {
    majority_away(Failure::BlackHoled).await;
}

#[tokio::test]
async fn with_a_majority_refusing_every_command_names_the_reasons_and_leaves_nothing() {
    majority_away(Failure::Refusing).await;
}

/// A call that waited for a primary would take so long; one that does not takes half of it at most.
const NODE_TIMEOUT: Duration = Duration::from_secs(5);

async fn minority_away(failure: Failure) {
    let timeout = u64::try_from(NODE_TIMEOUT.as_millis()).expect("a few seconds");
    for (&kind, primaries) in Kind::all().iter().flat_map(|kind| [(kind, 3), (kind, 5)]) {
        let settings = [("node_timeout_ms", timeout), ("silence_timeout_ms", 2 * timeout)];
        let mut rig = failure.rig(kind, primaries, &settings).await;
        let mut client = rig.proxy.connect().await;
        let held = unique_key("held");
        let token = granted(&client.call(&["RLOCK", &held, LONGEST_TTL]).await).token;
        // A grant does not wait for the last primary, and this one is to be on all of them.
        every_primary_holds(&rig.fleet, &held, &token).await;

        failure.strike(&mut rig, primaries / 2);
        let case = format!("{failure:?}, {kind} x {primaries}");
        // The first commands find the fault out, the later ones know of it: neither waits.
        for turn in 0..3 {
            let mut call = async |arguments: &[&str]| {
                let (reply, took) = timed(client.call(arguments)).await;
                assert!(took < NODE_TIMEOUT / 2, "{case}, turn {turn}: {arguments:?} took {took:?}: {reply:?}");
                reply
            };
            assert!(call(&["RLOCK", &held, LONGEST_TTL]).await.is_null(), "{case}: the lock is held");
            assert!(call(&["REXTEND", &held, &token, LONGEST_TTL]).await.integer() > 50_000, "{case}");
            let free = unique_key("free");
            let other = granted(&call(&["RLOCK", &free, LONGEST_TTL]).await);
            assert!(other.validity > 50_000, "{case}: {other:?}");
            assert_eq!(call(&["RUNLOCK", &free, &other.token]).await, Value::Integer(1), "{case}");
            assert_eq!(call(&["RUNLOCK", &free, &other.token]).await, Value::Integer(0), "{case}");
        }
        let (reply, took) = timed(client.call(&["RUNLOCK", &held, &token])).await;
        assert_eq!(reply, Value::Integer(1), "{case}");
        assert!(took < NODE_TIMEOUT / 2, "{case}: RUNLOCK took {took:?}");
    }
}

async fn majority_away(failure: Failure) {
    for (&kind, primaries) in Kind::all().iter().flat_map(|kind| [(kind, 3), (kind, 5)]) {
        let settings = [("node_timeout_ms", 1_000), ("silence_timeout_ms", 1_500), ("connect_timeout_ms", 1_500)];
        let mut rig = failure.rig(kind, primaries, &settings).await;
        let (held, free) = (unique_key("held"), unique_key("free"));
        let token = take_at_last(&rig.proxy, &held, LONGEST_TTL).await.token;
        every_primary_holds(&rig.fleet, &held, &token).await;

        let victims = primaries / 2 + 1;
        failure.strike(&mut rig, victims);
        for turn in 0..2 {
            for command in [
                &["RLOCK", &free, LONGEST_TTL][..],
                &["RLOCK", &held, LONGEST_TTL],
                &["REXTEND", &held, &token, LONGEST_TTL],
                &["RUNLOCK", &held, &token],
            ] {
                let case = format!("{failure:?}, {kind} x {primaries}, turn {turn}, {command:?}");
                let (reply, took) = timed(rig.proxy.command(command)).await;
                assert!(took < Duration::from_secs(10), "{case} took {took:?}, against 1 s of patience");
                let (summary, reasons) = reasons(&reply);
                let (answered, needed) = (primaries - victims, primaries / 2 + 1);
                let expected = format!("NOQUORUM {answered} of {primaries} primaries answered, {needed} needed");
                assert_eq!(summary, expected, "{case}: {reply:?}");
                let named: Vec<_> = reasons.iter().map(|(address, _)| address.clone()).collect();
                assert_eq!(named, (0..victims).map(|victim| rig.address(victim)).collect::<Vec<_>>(), "{case}");
                for (_, reason) in &reasons {
                    assert!(failure.explains(reason), "{case}: {reason}");
                }
            }
            // The next turn finds the proxy knowing of the fault.
            for victim in 0..victims {
                let down = async || primary_field(&rig.proxy, victim, "state").await == "down";
                eventually(down, "the proxy to know of the fault").await;
            }
        }
        let known = async || {
            let (_, reasons) = reasons(&rig.proxy.command(&["RLOCK", &free, LONGEST_TTL]).await);
            reasons.iter().all(|(_, reason)| failure.is_explained_by(reason))
        };
        eventually(known, format_args!("the reasons of {failure:?}")).await;

        failure.heal(&mut rig, victims).await;
        rig.settled().await;
        assert_eq!(rig.fleet.holding(&free).await, 0, "{failure:?}: what was not granted is withdrawn");
        assert_eq!(rig.fleet.holding(&held).await, 0, "{failure:?}: what was released is gone");
        take_at_last(&rig.proxy, &free, LONGEST_TTL).await;
    }
}
