//! Requests per second, as redis-benchmark counts them, by three ways to one server.
//!
//! The ways take turns, so that whatever else the machine does meets all of them: one round is direct, splice, proxy, and
//! the splice and the proxy then go on in turn. The server is emptied before each. What a request costs of a processor's
//! time is told as well: that number stays what it is when others use the machine.

use std::path::Path;
use std::process::Stdio;

use bench::numbers::{grouped, median};
use bench::programs;
use support::Footprint;
use support::programs::Listening;

const TESTS: [&str; 5] = ["set", "get", "incr", "lpush", "mset"];
const DEPTHS: [u32; 2] = [1, 16];
const CLIENTS: &str = "50";

/// One test at one depth.
struct Row {
    test: &'static str,
    depth: u32,
    direct: f64,
    splice: Vec<Measured>,
    proxy: Vec<Measured>,
}

#[derive(Clone, Copy)]
struct Measured {
    requests_per_second: f64,
    /// What the program in between has used of the processors, for each request.
    microseconds: f64,
}

/// Measures and prints the table; `requests` without a pipeline, and five times as many with one.
pub(crate) async fn measure(binary: &Path, rounds: usize, requests: u32) {
    let (mut upstream, proxy) = super::front(binary).await;
    let program = programs::release_build("bench", "splice");
    let splice = Listening::start(&program, |port| vec![port.to_string(), upstream.address()]).await;
    let mut rows = Vec::new();
    for depth in DEPTHS {
        let requests = if depth == 1 { requests } else { requests * 5 };
        for test in TESTS {
            eprintln!("{test}, {depth} deep");
            upstream.flushall().await;
            let direct = requests_per_second(upstream.port(), test, depth, requests).await;
            let mut row = Row { test, depth, direct, splice: Vec::new(), proxy: Vec::new() };
            for _ in 0..rounds {
                upstream.flushall().await;
                let run = requests_per_second(splice.port(), test, depth, requests);
                row.splice.push(measured(run, requests, || splice.footprint()).await);
                upstream.flushall().await;
                let run = requests_per_second(proxy.port(), test, depth, requests);
                row.proxy.push(measured(run, requests, || proxy.footprint()).await);
            }
            rows.push(row);
        }
    }
    print(&rows, rounds);
}

async fn measured(run: impl Future<Output = f64>, requests: u32, footprint: impl Fn() -> Footprint) -> Measured {
    let before = footprint().processor;
    let requests_per_second = run.await;
    let used = footprint().processor.saturating_sub(before);
    Measured { requests_per_second, microseconds: used.as_secs_f64() * 1e6 / f64::from(requests) }
}

async fn requests_per_second(port: u16, test: &str, depth: u32, requests: u32) -> f64 {
    let [port, depth, requests] = [port.into(), depth, requests].map(|number| number.to_string());
    let arguments = ["-h", "127.0.0.1", "-p", &port, "-c", CLIENTS, "-P", &depth, "-n", &requests, "-t", test, "--csv"];
    let printed = programs::output("redis-benchmark", &arguments, Stdio::null()).await;
    // "test","rps",… and below it the numbers.
    let rate = printed.lines().last().and_then(|line| line.split(',').nth(1)?.trim_matches('"').parse().ok());
    rate.unwrap_or_else(|| panic!("redis-benchmark counts nothing: {printed}"))
}

fn print(rows: &[Row], rounds: usize) {
    println!("## Requests per second, {CLIENTS} clients, medians of {rounds} rounds (direct: once)\n");
    println!(
        "| command | deep | direct | splice | proxy | proxy/splice | lowest to highest | splice, µs | proxy, µs |"
    );
    println!("|---|---:|---:|---:|---:|---:|---|---:|---:|");
    for row in rows {
        let rate = |all: &[Measured]| median(all.iter().map(|one| one.requests_per_second));
        let time = |all: &[Measured]| median(all.iter().map(|one| one.microseconds));
        println!(
            "| {} | {} | {} | {} | {} | {:.2} | {:.2} to {:.2} | {:.2} | {:.2} |",
            row.test.to_uppercase(),
            row.depth,
            grouped(row.direct),
            grouped(rate(&row.splice)),
            grouped(rate(&row.proxy)),
            rate(&row.proxy) / rate(&row.splice),
            row.ratios().fold(f64::INFINITY, f64::min),
            row.ratios().fold(0.0, f64::max),
            time(&row.splice),
            time(&row.proxy),
        );
    }
    println!();
    for depth in DEPTHS {
        let ratios = rows.iter().filter(|row| row.depth == depth).flat_map(Row::ratios);
        println!("- {depth} deep, proxy/splice of all rounds of all commands, median: {:.3}", median(ratios));
    }
    println!();
}

impl Row {
    /// Proxy to splice, in each round.
    fn ratios(&self) -> impl Iterator<Item = f64> {
        let pairs = self.proxy.iter().zip(&self.splice);
        pairs.map(|(proxy, splice)| proxy.requests_per_second / splice.requests_per_second)
    }
}
