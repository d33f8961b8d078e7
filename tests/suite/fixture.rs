//! What several modules need to begin with: a proxy, a client that speaks RESP3, a lock taken.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use support::{ByteClient, Fleet, Kind, Proxy, ProxyOptions, Relay, Value, shared};
use tokio::sync::OnceCell;

/// The program under test.
pub(crate) const PROXY: &str = env!("CARGO_BIN_EXE_redlock-proxy");

/// Starts the proxy.
pub(crate) async fn start(options: ProxyOptions) -> Proxy {
    Proxy::start(PROXY, options).await
}

/// A proxy that waits longer for its primaries than by default: on a busy machine they take their time, and most tests are not
/// about that.
pub(crate) fn unhurried<A: Into<String>>(primaries: impl IntoIterator<Item = A>) -> ProxyOptions {
    ProxyOptions::new(primaries).set("node_timeout_ms", 3000).set("silence_timeout_ms", 10_000)
}

/// Starts a proxy in front of these primaries and waits until a quorum may vote.
pub(crate) async fn ready_proxy<A: Into<String>>(primaries: impl IntoIterator<Item = A>) -> Proxy {
    start(unhurried(primaries).await_ready()).await
}

/// The proxy that all tests of this process share, in front of the shared servers of that kind and number: for tests that need
/// nothing but keys and connections of their own.
pub(crate) async fn shared_proxy(kind: Kind, count: usize) -> &'static Proxy {
    type Proxies = Mutex<HashMap<(Kind, usize), &'static OnceCell<Proxy>>>;
    static PROXIES: OnceLock<Proxies> = OnceLock::new();
    let proxy = {
        let mut proxies = PROXIES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        *proxies.entry((kind, count)).or_insert_with(|| Box::leak(Box::default()))
    };
    proxy.get_or_init(async || ready_proxy(shared(kind, count).await.addresses()).await).await
}

/// A connection that has said HELLO 3.
pub(crate) async fn resp3(proxy: &Proxy) -> ByteClient {
    let mut client = proxy.connect().await;
    let greeting = client.call(&["HELLO", "3"]).await;
    assert!(matches!(greeting, Value::Map(_)), "{greeting:?}");
    client
}

/// A lock as its holder knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) token: String,
    /// Milliseconds.
    pub(crate) validity: i64,
}

impl Lock {
    /// Reads a granted RLOCK; `None` for a refusal; panics on anything else.
    #[track_caller]
    pub(crate) fn of(reply: &Value) -> Option<Self> {
        match reply {
            Value::Array(parts) if parts.len() == 2 => {
                Some(Self { token: parts[0].text(), validity: parts[1].integer() })
            }
            null if null.is_null() => None,
            other => panic!("neither a lock nor a refusal: {other:?}"),
        }
    }

    /// The same; panics on a refusal too.
    #[track_caller]
    pub(crate) fn granted(reply: &Value) -> Self {
        Self::of(reply).expect("the lock is free")
    }
}

/// A relay in front of each server of a fleet, in its order.
pub(crate) fn relays(fleet: &Fleet) -> Vec<Relay> {
    fleet.addresses().into_iter().map(Relay::start).collect()
}

/// Where to reach the fleet through its relays.
pub(crate) fn addresses(relays: &[Relay]) -> Vec<String> {
    relays.iter().map(Relay::address).collect()
}

/// Numbers that look random and are the same in each run (`SplitMix64`).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        // Any bias is far below what a test could notice.
        usize::try_from(self.bits() % limit as u64).expect("below a usize")
    }

    /// A byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.bits().to_le_bytes()[0]
    }

    /// Waits up to so many milliseconds.
    pub(crate) async fn pause(&mut self, milliseconds: usize) {
        let pause = self.below(milliseconds * 1000 + 1) as u64;
        tokio::time::sleep(Duration::from_micros(pause)).await;
    }
}
