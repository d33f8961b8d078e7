//! How much the transparent relay costs: against its upstream, and against the least that a proxy can be.
//!
//! `cargo run --release -p bench --bin relay [throughput] [pipe] [idle] [--rounds N] [--quick]` prints a report in
//! Markdown; what it is doing meanwhile goes to stderr.

mod idle;
mod pipe;
mod throughput;

use std::path::{Path, PathBuf};

use bench::machine::{self, Machine};
use bench::programs;
use clap::{Parser, ValueEnum};
use support::{Kind, Proxy, ProxyOptions, Server, ServerOptions};

/// Measures the transparent relay.
#[derive(Parser)]
struct Arguments {
    /// What is measured; everything when nothing is named
    parts: Vec<Part>,
    /// How often the splice and the proxy take turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A tenth of the requests: to see whether it works
    #[arg(long)]
    quick: bool,
    /// The proxy's program [default: built for release from these sources]
    #[arg(long)]
    proxy: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Requests per second: direct, through the splice, through the proxy
    Throughput,
    /// redis-cli --pipe through the proxy
    Pipe,
    /// Memory of the proxy for clients that do nothing
    Idle,
}

#[tokio::main]
async fn main() {
    let Arguments { parts, rounds, quick, proxy } = Arguments::parse();
    let measured = |part| parts.is_empty() || parts.contains(&part);
    let binary = proxy.unwrap_or_else(|| programs::release_build("redlock-proxy", "redlock-proxy"));
    let upstream = Server::start(Kind::Redis, ServerOptions::default()).await;
    println!("# The relay\n\n{}", Machine::observed(&upstream).await);
    drop(upstream);
    if measured(Part::Throughput) {
        let requests = if quick { 10_000 } else { 100_000 };
        throughput::measure(&binary, rounds.max(1), requests).await;
    }
    if measured(Part::Pipe) {
        pipe::measure(&binary).await;
    }
    if measured(Part::Idle) {
        idle::measure(&binary).await;
    }
    println!("Load at the end: {}.", machine::load());
}

/// An upstream, and a proxy before it; the upstream is its only primary as well, since no lock is taken.
async fn front(binary: &Path) -> (Server, Proxy) {
    let max_clients = Some(10_000);
    let upstream = Server::start(Kind::Redis, ServerOptions { max_clients, ..ServerOptions::default() }).await;
    let options = ProxyOptions::new([upstream.address()]).argument("--upstream").argument(upstream.address());
    let proxy = Proxy::start(binary, options.await_ready()).await;
    (upstream, proxy)
}
