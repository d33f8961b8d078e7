//! A lock that two of three primaries hold, of which one forgets it.

use support::{Fault, Fleet, Kind, Proxy, Relay, Server, ServerOptions, Value, eventually, unique_key};

use super::{MARKER, Quarantine, markers, state};
use crate::common::{LONGEST_TTL, Lock, granted, primary_field, reasons, start};

/// How a primary comes to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forgetting {
    RestartEmpty,
    RestartFromSnapshot,
    Flush,
    /// A replica of it that is behind takes its place, and its address.
    Failover,
    /// It becomes a replica of one that is behind, and a primary again: still the same process.
    RoleAndBack,
}

impl Forgetting {
    const ALL: [Self; 5] =
        [Self::RestartEmpty, Self::RestartFromSnapshot, Self::Flush, Self::Failover, Self::RoleAndBack];

    fn reason(self) -> &'static str {
        match self {
            Self::RestartEmpty | Self::RestartFromSnapshot | Self::Failover => "restarted",
            Self::Flush => "flushed",
            Self::RoleAndBack => "role changed",
        }
    }
}

/// The holder's proxy does not reach the third primary while the lock is taken; the rival's does.
struct Stage {
    fleet: Fleet,
    /// What was replicated from the second primary before the lock was taken.
    behind: Server,
    rival: Proxy,
    key: String,
    lock: Lock,
    holder: Proxy,
}

impl Stage {
    async fn set(kind: Kind, quarantine: Quarantine) -> Self {
        let fleet = Fleet::start(kind, 3).await;
        let relay = Relay::start(fleet[2].address());
        let holder = start(quarantine.options([fleet[0].address(), fleet[1].address(), relay.address()])).await;
        let rival = start(quarantine.options(fleet.addresses())).await;
        let mut behind = Server::start(kind, ServerOptions::default()).await;
        behind.replicate(&fleet[1]).await;
        behind.promote().await;

        relay.set_both(Fault::BlackHole);
        let key = unique_key("trap39");
        let lock = granted(&holder.command(&["RLOCK", &key, LONGEST_TTL]).await);
        // What was swallowed does not arrive any more.
        relay.reset();
        relay.refuse();
        assert!(!fleet[2].exists(&key).await);
        Self { fleet, behind, rival, key, lock, holder }
    }

    async fn forget(&mut self, forgetting: Forgetting, quarantine: Quarantine) {
        let forgetful = &mut self.fleet[1];
        match forgetting {
            Forgetting::RestartEmpty => forgetful.restart().await,
            Forgetting::RestartFromSnapshot => {
                // As it was before the lock was taken: with its marker.
                forgetful.del(&self.key).await;
                // It may still be at what it wrote for its replica.
                let saved = async || forgetful.command(&["SAVE"]).await == Value::ok();
                eventually(saved, "a snapshot to be written").await;
                forgetful.restart().await;
                assert_eq!(forgetful.exists(MARKER).await, quarantine == Quarantine::Auto);
            }
            Forgetting::Flush => forgetful.flushall().await,
            Forgetting::Failover => {
                forgetful.kill();
                self.behind.move_to(forgetful.port()).await;
            }
            Forgetting::RoleAndBack => {
                forgetful.replicate(&self.behind).await;
                eventually(async || state(&self.rival, 1).await == "replica", "its role to be noticed").await;
                forgetful.promote().await;
            }
        }
        if forgetting != Forgetting::Flush {
            let reconnected = async || primary_field(&self.rival, 1, "reconnects").await != "0";
            eventually(reconnected, "it to be connected again").await;
        }
        let is_back = async || state(&self.rival, 1).await == quarantine.state();
        eventually(is_back, format_args!("it to answer after {forgetting:?}")).await;
    }
}

/// Trap 39.
#[tokio::test]
async fn a_primary_that_has_forgotten_a_lock_gives_it_to_nobody_else() {
    for &kind in Kind::all() {
        for forgetting in Forgetting::ALL {
            for quarantine in Quarantine::BOTH {
                let mut stage = Stage::set(kind, quarantine).await;
                stage.forget(forgetting, quarantine).await;
                let second = Lock::of(&stage.rival.command(&["RLOCK", &stage.key, LONGEST_TTL]).await);
                let case = format!("{forgetting:?} on {kind}, {quarantine:?}");
                if quarantine == Quarantine::Off {
                    assert!(second.is_some(), "{case}: nobody else gets the lock, so this history shows nothing");
                    continue;
                }
                assert_eq!(second, None, "{case}: {:?} holds it", stage.lock);
                let inspected = stage.rival.command(&["RINSPECT", &stage.key]).await;
                assert!(format!("{inspected:?}").contains("quarantined"), "{inspected:?}");
                let told = stage.rival.command(&["RPRIMARIES"]).await;
                let expected = format!("quarantined: {}", forgetting.reason());
                assert!(format!("{told:?}").contains(&expected), "{case}: {told:?}");
                // Its holder can still give it back: what does not count is sent nevertheless.
                let answer = stage.holder.command(&["RUNLOCK", &stage.key, &stage.lock.token]).await;
                assert!(answer.is_error_with("NOQUORUM"), "{answer:?}");
            }
        }
    }
}

/// Trap 39: who only asks whether there is a marker does not see that it is another.
#[tokio::test]
async fn a_flush_between_two_batches_is_seen_though_another_proxy_has_marked_the_primary_again() {
    for &kind in Kind::all() {
        for quarantine in Quarantine::BOTH {
            let mut stage = Stage::set(kind, quarantine).await;
            let calm = start(quarantine.options(stage.fleet.addresses()).set("probe_interval_ms", 60_000)).await;
            stage.fleet[1].flushall().await;
            if quarantine == Quarantine::Auto {
                let marked = async || stage.fleet[1].exists(MARKER).await;
                eventually(marked, "the other proxy to mark it").await;
            }
            assert_eq!(state(&calm, 1).await, "up", "it has not looked since");
            let second = Lock::of(&calm.command(&["RLOCK", &stage.key, LONGEST_TTL]).await);
            assert_eq!(second.is_some(), quarantine == Quarantine::Off, "{kind}, {quarantine:?}");
            assert_eq!(state(&calm, 1).await, quarantine.state());
        }
    }
}

/// Trap 39.
#[tokio::test]
async fn a_whole_set_that_is_restarted_under_a_living_proxy_is_not_new() {
    for &kind in Kind::all() {
        for quarantine in Quarantine::BOTH {
            let mut fleet = Fleet::start(kind, 3).await;
            let proxy = start(quarantine.options(fleet.addresses())).await;
            let key = unique_key("trap39");
            granted(&proxy.command(&["RLOCK", &key, LONGEST_TTL]).await);
            for index in 0..3 {
                fleet[index].restart().await;
            }
            let again = async || {
                let mut back = 0;
                for index in 0..3 {
                    let reconnects = primary_field(&proxy, index, "reconnects").await;
                    back += usize::from(reconnects != "0" && state(&proxy, index).await == quarantine.state());
                }
                back == 3
            };
            eventually(again, "all to be connected again").await;
            let reply = proxy.command(&["RLOCK", &key, LONGEST_TTL]).await;
            if quarantine == Quarantine::Off {
                assert!(Lock::of(&reply).is_some(), "{reply:?}");
                continue;
            }
            let (_, reasons) = reasons(&reply);
            assert_eq!(reasons.len(), 3);
            for (address, reason) in reasons {
                assert!(
                    reason.starts_with("quarantined for ") && reason.ends_with(" ms: restarted"),
                    "{address} {reason}"
                );
            }
            let marked = async || {
                markers(&fleet).await.iter().flatten().filter(|marker| marker.ends_with("forgot")).count() == 3
            };
            eventually(marked, "all to be marked").await;
        }
    }
}
