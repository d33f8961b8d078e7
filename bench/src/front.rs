//! What the relay is measured on: a server, the proxy before it, and the least that a proxy can be.

use std::path::Path;
use std::time::Duration;

use support::programs::Listening;
use support::{Kind, Proxy, ProxyOptions, Server, ServerOptions};
use tokio::runtime::{Builder, Runtime};

use crate::others::Other;
use crate::programs::release_build;
use crate::stand::Used;

/// A way to the upstream.
#[derive(Clone, Copy)]
pub enum Way<'a> {
    /// Straight to it.
    Server,
    /// Through the proxy.
    Proxy,
    /// Through the raw copy of bytes.
    Splice,
    /// Through a proxy that others wrote.
    Other(&'a Other),
}

/// The upstream, which is the proxy's only primary as well, since no lock is taken; and two ways to it.
pub struct Front {
    /// The upstream.
    pub upstream: Server,
    /// The proxy.
    pub proxy: Proxy,
    /// A raw copy of bytes, both ways.
    pub splice: Listening,
    runtime: Runtime,
}

impl Front {
    /// Starts all of it.
    pub fn start(kind: Kind, binary: &Path) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be started");
        let program = release_build("bench", "splice");
        let (upstream, proxy, splice) = runtime.block_on(async {
            let max_clients = Some(10_000);
            let upstream = Server::start(kind, ServerOptions { max_clients, ..ServerOptions::default() }).await;
            let options = ProxyOptions::new([upstream.address()]).argument("--upstream").argument(upstream.address());
            let proxy = Proxy::start(binary, options.await_ready()).await;
            let splice = Listening::start(&program, |port| vec![port.to_string(), upstream.address()]).await;
            (upstream, proxy, splice)
        });
        Self { upstream, proxy, splice, runtime }
    }

    /// Waits for what is asked of the server or the proxy.
    pub fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    /// What has been used until now on one of the ways.
    pub fn used(&self, way: Way<'_>) -> Used {
        let between = match way {
            Way::Server => Duration::ZERO,
            Way::Proxy => self.proxy.footprint().processor,
            Way::Splice => self.splice.footprint().processor,
            Way::Other(other) => other.listening.footprint().processor,
        };
        Used { proxy: between, primaries: self.upstream.footprint().processor }
    }

    /// Where one of the ways begins.
    pub fn address(&self, way: Way<'_>) -> String {
        let port = match way {
            Way::Server => return self.upstream.address(),
            Way::Proxy => return self.proxy.address(),
            Way::Splice => self.splice.port(),
            Way::Other(other) => other.listening.port(),
        };
        format!("127.0.0.1:{port}")
    }
}
