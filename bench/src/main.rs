//! What a lock costs through the proxy, next to the least it can cost: `cargo run --release -p bench -- --help`.
//!
//! A report in Markdown goes to stdout, what is being done to stderr, and the same numbers as JSON into a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use bench::cases::{Connections, Contestant, Plan, Stand, distinct};
use bench::machine::{self, Machine};
use bench::programs::{output, release_build};
use bench::results::{Series, failures, json, table};
use clap::{Parser, ValueEnum};
use support::Kind;

/// Measures redlock-proxy.
#[derive(Parser)]
struct Arguments {
    /// What is measured; everything when nothing is named
    #[arg(long = "case", value_name = "CASE")]
    cases: Vec<Case>,
    /// Connections to the proxy; 1x64 is one with 64 requests under way
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,1x64,256,1000")]
    connections: Vec<Connections>,
    /// Only this one takes part: for profiling
    #[arg(long)]
    only: Option<Contestant>,
    /// How often the contestants take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How long each is measured in a round
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// How many primaries
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    primaries: u8,
    /// The proxy's program [default: built for release from these sources]
    #[arg(long)]
    proxy: Option<PathBuf>,
    /// A setting of the proxy, such as `links_per_primary=2`
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Print the report, write no file
    #[arg(long)]
    print_only: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Case {
    /// Lock and release, each client a key of its own
    Distinct,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be started");
    let binary = arguments.proxy.clone().unwrap_or_else(|| release_build("redlock-proxy", "redlock-proxy"));
    // The server that REDLOCK_TEST_SERVER names, or Redis.
    let kind = Kind::any();
    let starting = Stand::start(&binary, kind, usize::from(arguments.primaries), &arguments.settings);
    let stand = runtime.block_on(starting);
    let machine = runtime.block_on(Machine::observed(&stand.fleet[0]));
    eprintln!("the proxy is process {}", stand.proxy.id());
    println!("# Locks\n\n{machine}");

    let plan = Plan { rounds: arguments.rounds.into(), span: Duration::from_secs_f64(arguments.seconds) };
    let measured = |case| arguments.cases.is_empty() || arguments.cases.contains(&case);
    let mut all: Vec<Series> = Vec::new();
    if measured(Case::Distinct) {
        let series = distinct::measure(&stand, &plan, &arguments.connections, arguments.only);
        let Arguments { primaries, rounds, .. } = arguments;
        println!(
            "## Lock and release, distinct keys, {primaries} primaries; medians of {rounds} rounds\n\n{}",
            table(&series)
        );
        all.extend(series);
    }
    println!("Load at the end: {}.", machine::load());
    if !arguments.print_only {
        let date = runtime.block_on(output("date", &["-u", "+%Y-%m-%d"], Stdio::null()));
        write(date.trim(), &machine, &all);
    }
    let failures = failures(&all);
    if failures.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\n{failures}");
    ExitCode::FAILURE
}

/// Writes what was measured to `bench/results/<date>.json`.
fn write(date: &str, machine: &Machine, all: &[Series]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let file = folder.join(format!("{date}.json"));
    let document = serde_json::json!({"date": date, "machine": machine.json(), "series": json(all)});
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, format!("{document:#}\n")));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
    eprintln!("written to {}", file.display());
}

fn seconds(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|seconds| (0.05..=3600.0).contains(seconds)).ok_or("not between 0.05 and 3600")
}

fn setting(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("not like key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}
