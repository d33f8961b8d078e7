//! What is measured on: primaries and the proxy before them, as processes of their own.

use std::iter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::{Fleet, Footprint, Kind, Proxy, ProxyOptions};
use tokio::runtime::{Builder, Runtime};

use crate::connections::Connections;
use crate::floor::{Delete, Floor};
use crate::lines::Lines;
use crate::load::{Load, Measured, Work, run};
use crate::pairs::{Pairs, Verb, keys};
use crate::series::{Processor, Run};

/// How long locks are taken for: longer than any measurement's worst moment, so that none ends by itself.
pub const TTL_MS: u32 = 30_000;

/// Of what a stand is made.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The proxy's program.
    pub proxy: PathBuf,
    /// Settings of the proxy other than its defaults.
    pub settings: Vec<(String, String)>,
    /// The kind of the primaries.
    pub kind: Kind,
    /// How many there are.
    pub primaries: usize,
}

/// The primaries and the proxy, running.
pub struct Stand {
    /// The primaries.
    pub fleet: Fleet,
    /// The proxy.
    pub proxy: Proxy,
    delete: Delete,
    runtime: Runtime,
}

/// Processor time used so far.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    /// By the proxy, or whatever stands in its place.
    pub proxy: Duration,
    /// By all servers together.
    pub primaries: Duration,
}

impl Stand {
    /// Starts all of it, and waits until the proxy may grant locks.
    pub fn start(parts: &Parts) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be started");
        let (fleet, delete, proxy) = runtime.block_on(start(parts, &parts.proxy));
        eprintln!("the proxy is process {}", proxy.id());
        Self { fleet, proxy, delete, runtime }
    }

    /// Waits for what is asked of servers or proxy.
    pub fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    /// What has been used until now.
    pub fn used(&self) -> Used {
        let Footprint { processor: proxy, .. } = self.proxy.footprint();
        Used { proxy, primaries: self.fleet.iter().map(|server| server.footprint().processor).sum() }
    }

    /// The floor: clients that lock and release so many keys each, over so many connections to each primary.
    pub fn floor(&self, connections: Connections, keys_each: usize, load: &Load) -> Run {
        let keys = (0..connections.clients()).map(|client| keys("floor", client, keys_each));
        let mut floor = Floor::new(keys, TTL_MS.into(), self.delete.clone(), self.fleet.len());
        let mut lines = Lines::connect((0..connections.count).flat_map(|_| self.fleet.addresses()));
        let (measured, processor) = self.measure(&mut floor, &mut lines, load);
        Run::new(&measured, &measured.latencies, processor)
    }

    /// The same through the proxy.
    pub fn pairs(&self, connections: Connections, verb: Verb, load: &Load) -> Run {
        let mut pairs = Pairs::new(connections.clients(), verb, TTL_MS);
        let mut lines = self.lines(connections.count);
        let (measured, processor) = self.measure(&mut pairs, &mut lines, load);
        Run::new(&measured, &measured.latencies, processor)
    }

    /// So many connections to the proxy.
    pub fn lines(&self, count: usize) -> Lines {
        Lines::connect(iter::repeat_n(self.proxy.address(), count))
    }

    /// One run of a work, with what an operation has cost whom.
    pub fn measure(&self, work: &mut impl Work, lines: &mut Lines, load: &Load) -> (Measured, Processor) {
        measure(work, lines, load, || self.used())
    }
}

/// One run of a work, with what an operation has cost whom.
pub fn measure(work: &mut impl Work, lines: &mut Lines, load: &Load, used: impl Fn() -> Used) -> (Measured, Processor) {
    let before = used();
    let measured = run(work, lines, load);
    let after = used();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / measured.operations as f64;
    let processor = Processor {
        client_us: each(measured.processor),
        proxy_us: each(after.proxy.saturating_sub(before.proxy)),
        primaries_us: each(after.primaries.saturating_sub(before.primaries)),
    };
    (measured, processor)
}

async fn start(parts: &Parts, binary: &Path) -> (Fleet, Delete, Proxy) {
    let fleet = Fleet::start(parts.kind, parts.primaries).await;
    let delete = Delete::found_on(&fleet).await;
    let options = ProxyOptions::new(fleet.addresses());
    let options = parts.settings.iter().fold(options, |options, (key, value)| options.set(key, value));
    let proxy = Proxy::start(binary, options.await_ready()).await;
    (fleet, delete, proxy)
}
