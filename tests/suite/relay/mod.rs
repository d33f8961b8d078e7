//! The transparent proxy, from outside: ordinary commands go to the upstream and its replies come back, and lock commands keep their
//! place among them.

use support::servers::shared;
use support::{Kind, Proxy, ProxyOptions};

mod differential;
mod random;

/// The program under test.
const PROXY: &str = env!("CARGO_BIN_EXE_redlock-proxy");

/// A proxy in front of the shared primaries of that kind that passes all else on to `upstream`.
async fn proxy_before(kind: Kind, upstream: &str) -> Proxy {
    let primaries = shared(kind, 3).await;
    Proxy::start(PROXY, ProxyOptions::new(primaries.addresses()).argument("--upstream").argument(upstream)).await
}
