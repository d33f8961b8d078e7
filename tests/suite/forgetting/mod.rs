//! Primaries that forget: they do not vote until every lock that they may have forgotten has expired (trap 39).
//!
//! Each history is played twice: as it is configured by default, and with `quarantine: off`, where a second holder shows that
//! the history is one in which a lock can be held twice.

mod clocks;
mod markers;
mod memories;
mod quarantine;

use support::{Fleet, Proxy, ProxyOptions};

use crate::common::{patient, primary_field};

/// Where the proxies keep what they know of a primary's memory.
const MARKER: &str = "redlock-proxy:marker";

/// Whether primaries that may have forgotten locks are kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quarantine {
    Auto,
    Off,
}

impl Quarantine {
    const BOTH: [Self; 2] = [Self::Auto, Self::Off];

    /// A proxy that looks often.
    fn options<A: Into<String>>(self, primaries: impl IntoIterator<Item = A>) -> ProxyOptions {
        let mode = if self == Self::Auto { "auto" } else { "off" };
        patient(primaries).set("quarantine", mode).set("probe_interval_ms", 100)
    }

    /// How a primary is shown that answers, and may have forgotten locks.
    fn state(self) -> &'static str {
        if self == Self::Auto { "quarantined" } else { "up" }
    }
}

/// What the proxy says of a primary.
async fn state(proxy: &Proxy, index: usize) -> String {
    primary_field(proxy, index, "state").await
}

/// The markers as they lie on the primaries.
async fn markers(fleet: &Fleet) -> Vec<Option<String>> {
    fleet.get(MARKER).await
}
