//! Real primaries, and the real program in front of them.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use support::{Fleet, Kind, Proxy, Relay, eventually, shared};
use tokio::sync::OnceCell;

use super::{patient, settled, start, voters};

/// Primaries and a patient proxy, perhaps with a relay before each primary.
///
/// Settings are numbers of the proxy's configuration, for what a test is about.
pub(crate) struct Rig<F = Fleet> {
    pub(crate) fleet: F,
    /// One before each server, in their order; none where the proxy talks to them directly.
    pub(crate) relays: Vec<Relay>,
    pub(crate) proxy: Proxy,
}

/// A rig whose servers belong to every test: nobody may kill them, or look at other keys than their own.
pub(crate) type SharedRig = Rig<&'static Fleet>;

impl Rig {
    /// Servers of the test's own that the proxy talks to directly: for their death, as behind a relay a dead server still has
    /// an open port.
    pub(crate) async fn direct(kind: Kind, count: usize, settings: &[(&str, u64)]) -> Self {
        let fleet = Fleet::start(kind, count).await;
        let proxy = start(patient(fleet.addresses()).set_all(settings)).await;
        Self { fleet, relays: Vec::new(), proxy }
    }

    /// The same for servers that are to come back empty and vote at once: nobody holds a lock that they could have forgotten.
    pub(crate) async fn restarting(kind: Kind, count: usize, settings: &[(&str, u64)]) -> Self {
        let fleet = Fleet::start(kind, count).await;
        let proxy = start(patient(fleet.addresses()).set_all(settings).set("quarantine", "off")).await;
        Self { fleet, relays: Vec::new(), proxy }
    }

    /// Servers of the test's own behind relays.
    pub(crate) async fn relayed(kind: Kind, count: usize, settings: &[(&str, u64)]) -> Self {
        Self::behind_relays(Fleet::start(kind, count).await, settings).await
    }
}

impl SharedRig {
    /// The servers and the proxy that all tests of this process share, for each kind and number of primaries one.
    pub(crate) async fn shared(kind: Kind, count: usize) -> &'static Self {
        type Rigs = Mutex<HashMap<(Kind, usize), &'static OnceCell<SharedRig>>>;
        static RIGS: OnceLock<Rigs> = OnceLock::new();
        let rig = {
            let mut rigs = RIGS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
            *rigs.entry((kind, count)).or_insert_with(|| Box::leak(Box::default()))
        };
        let first = async || {
            let fleet = shared(kind, count).await;
            Self { fleet, relays: Vec::new(), proxy: start(patient(fleet.addresses())).await }
        };
        rig.get_or_init(first).await
    }

    /// The shared servers behind relays, with a proxy of the test's own that knows only the relays.
    pub(crate) async fn shared_relayed(kind: Kind, count: usize, settings: &[(&str, u64)]) -> Self {
        Self::behind_relays(shared(kind, count).await, settings).await
    }
}

impl<F: Borrow<Fleet>> Rig<F> {
    async fn behind_relays(fleet: F, settings: &[(&str, u64)]) -> Self {
        let relays = relays(fleet.borrow());
        let proxy = start(patient(relays.iter().map(Relay::address)).set_all(settings)).await;
        Self { fleet, relays, proxy }
    }

    /// The address under which the proxy knows a primary.
    pub(crate) fn address(&self, index: usize) -> String {
        self.relays.get(index).map_or_else(|| self.fleet.borrow()[index].address(), Relay::address)
    }

    /// Waits until every primary votes, over a connection that lives, and nothing is owed to any.
    pub(crate) async fn settled(&self) {
        for relay in &self.relays {
            // A link whose connection was ended is up until it has noticed.
            eventually(async || relay.open() > 0, "every primary to be connected").await;
        }
        voters(&self.proxy, self.fleet.borrow().len()).await;
        settled(&self.proxy).await;
    }
}

/// A relay in front of each server of a fleet, in its order.
pub(crate) fn relays(fleet: &Fleet) -> Vec<Relay> {
    fleet.iter().map(|server| Relay::start(server.address())).collect()
}

/// What is shared of every kind, with three and with five primaries.
pub(crate) async fn every_rig() -> Vec<&'static SharedRig> {
    let mut rigs = Vec::new();
    for &kind in Kind::all() {
        for count in [3, 5] {
            rigs.push(Rig::shared(kind, count).await);
        }
    }
    rigs
}

/// Each number of primaries once, on one kind of server or the other: for what takes its time.
pub(crate) fn three_and_five() -> impl Iterator<Item = (Kind, usize)> {
    Kind::all().iter().copied().cycle().zip([3, 5])
}
