//! The transparent proxy, from outside: ordinary commands go to the upstream and its replies come back, and lock commands keep their
//! place among them.

use std::time::Duration;

use support::servers::shared;
use support::{Fleet, Kind, Proxy, ProxyOptions, Server, ServerOptions, Value};

use crate::common::{PROXY, every_primary_holds, voters};

mod commands;
mod differential;
mod draining;
mod memory;
mod modes;
mod order;
mod outage;
mod replies;
mod stuck;

/// The ttl of locks that must not expire while a test runs.
const LONG: &str = "60000";

/// A slow way, and never the same twice: long against what the proxy does meanwhile, short enough for a thousand rounds.
const SLOW: support::Fault =
    support::Fault::Delay { latency: Duration::from_millis(1), jitter: Duration::from_millis(3) };

/// A proxy that passes on to `upstream`, and is patient with slow primaries: a busy machine must not make one miss a time-out.
fn options<A: Into<String>>(primaries: impl IntoIterator<Item = A>, upstream: &str) -> ProxyOptions {
    let options = ProxyOptions::new(primaries).argument("--upstream").argument(upstream);
    options.set("node_timeout_ms", 6_000).set("silence_timeout_ms", 60_000)
}

/// A proxy in front of the shared primaries of that kind.
async fn proxy_before(kind: Kind, upstream: &str) -> Proxy {
    Proxy::start(PROXY, options(shared(kind, 3).await.addresses(), upstream)).await
}

/// Shared primaries, a server of the test's own, and a proxy in front of both.
struct Front {
    primaries: &'static Fleet,
    upstream: Server,
    proxy: Proxy,
}

impl Front {
    async fn start(kind: Kind) -> Self {
        let upstream = Server::start(kind, ServerOptions::default()).await;
        let proxy = proxy_before(kind, &upstream.address()).await;
        let primaries = shared(kind, 3).await;
        voting(&proxy, primaries).await;
        Self { primaries, upstream, proxy }
    }
}

/// Waits until every primary votes.
async fn voting(proxy: &Proxy, primaries: &Fleet) {
    voters(proxy, primaries.len()).await;
}

/// The token in a grant; panics on any other reply.
#[track_caller]
fn granted(reply: &Value) -> String {
    match reply {
        Value::Array(parts) if parts.len() == 2 => {
            parts[1].integer();
            parts[0].text()
        }
        other => panic!("not a grant: {other:?}"),
    }
}

/// The bytes of a pipeline.
fn pipeline(commands: &[&[&str]]) -> Vec<u8> {
    commands.iter().flat_map(|command| support::resp::encode_command(command)).collect()
}
