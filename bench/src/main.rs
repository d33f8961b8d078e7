//! What a lock costs through the proxy, next to the least it can cost: `cargo run --release -p bench -- --help`.
//!
//! A report in Markdown goes to stdout, what is being done to stderr, and the same numbers as JSON into a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use bench::cases::{Contestant, Plan, contended, dead, distinct, fence, open, session, several};
use bench::connections::Connections;
use bench::machine::{self, Machine};
use bench::programs::{output, release_build};
use bench::results::Section;
use bench::stand::{Parts, Stand};
use clap::{Parser, ValueEnum};
use support::Kind;

/// Measures redlock-proxy.
#[derive(Parser)]
struct Arguments {
    /// What is measured; everything when nothing is named
    #[arg(long = "case", value_name = "CASE")]
    cases: Vec<Case>,
    /// Connections to the proxy; 1x64 is one with 64 requests under way [default: 1,16,64,1x64,256,1000 for distinct keys,
    /// 64,1x64 elsewhere]
    #[arg(long, value_delimiter = ',')]
    connections: Vec<Connections>,
    /// Clients that want the contended lock
    #[arg(long, value_delimiter = ',', default_value = "2,16,64,256", value_parser = clap::value_parser!(u16).range(2..))]
    waiters: Vec<u16>,
    /// Pairs that are due a second, in the open loop
    #[arg(long, value_delimiter = ',', default_value = "1000,4000,8000", value_parser = clap::value_parser!(u32).range(1..))]
    rates: Vec<u32>,
    /// Only this one takes part: for profiling
    #[arg(long)]
    only: Option<Contestant>,
    /// How often the contestants take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How long each is measured in a round
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// How many primaries; distinct keys are measured with each of these numbers, the rest with the first
    #[arg(long, value_delimiter = ',', default_value = "3,5", value_parser = clap::value_parser!(u8).range(1..=9))]
    primaries: Vec<u8>,
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
    /// The same at fixed rates of arrival
    Open,
    /// One key that all clients wait for
    Contended,
    /// Locks with a fencing token
    Fence,
    /// RMLOCK of eight keys
    Several,
    /// One primary answers nothing
    Dead,
    /// Ten thousand SESSION locks
    Session,
}

impl Arguments {
    fn measures(&self, case: Case) -> bool {
        self.cases.is_empty() || self.cases.contains(&case)
    }

    fn plan(&self, connections: &[&str]) -> Plan {
        let known = |text: &&str| text.parse().expect("connections");
        let connections = match &self.connections[..] {
            [] => connections.iter().map(known).collect(),
            named => named.to_vec(),
        };
        let (rounds, span) = (self.rounds.into(), Duration::from_secs_f64(self.seconds));
        Plan { rounds, span, connections, only: self.only }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let parts = Parts {
        proxy: arguments.proxy.clone().unwrap_or_else(|| release_build("redlock-proxy", "redlock-proxy")),
        settings: arguments.settings.clone(),
        // The server that REDLOCK_TEST_SERVER names, or Redis.
        kind: Kind::any(),
        primaries: arguments.primaries[0].into(),
    };
    let stand = Stand::start(&parts);
    let machine = stand.wait(Machine::observed(&stand.fleet[0]));
    println!("# Locks, medians of {} rounds\n\n{machine}", arguments.rounds);
    let sections = measure(&arguments, &parts, &stand);
    println!("Load at the end: {}.", machine::load());
    if !arguments.print_only {
        let date = stand.wait(output("date", &["-u", "+%Y-%m-%d"], Stdio::null()));
        write(date.trim(), &machine, &sections);
    }
    let has_failed = sections.iter().any(|section| !section.failures.is_empty());
    ExitCode::from(u8::from(has_failed))
}

/// Measures what is asked for, and prints each section when it is done.
fn measure(arguments: &Arguments, parts: &Parts, stand: &Stand) -> Vec<Section> {
    let plan = arguments.plan(&["64", "1x64"]);
    let mut sections = Vec::new();
    let mut done = |section: Section| {
        println!("{section}");
        sections.push(section);
    };
    if arguments.measures(Case::Distinct) {
        let plan = arguments.plan(&["1", "16", "64", "1x64", "256", "1000"]);
        done(distinct::measure(stand, &plan));
        for &primaries in &arguments.primaries[1..] {
            let parts = Parts { primaries: primaries.into(), ..parts.clone() };
            done(distinct::measure(&Stand::start(&parts), &plan));
        }
    }
    if arguments.measures(Case::Open) {
        for &rate in &arguments.rates {
            done(open::measure(stand, &plan, rate));
        }
    }
    if arguments.measures(Case::Contended) {
        let waiters: Vec<usize> = arguments.waiters.iter().map(|&waiters| waiters.into()).collect();
        done(contended::measure(stand, &plan, &waiters));
    }
    if arguments.measures(Case::Fence) {
        done(fence::measure(stand, &plan));
    }
    if arguments.measures(Case::Several) {
        done(several::measure(stand, &plan));
    }
    if arguments.measures(Case::Dead) {
        done(dead::measure(parts, &plan));
    }
    if arguments.measures(Case::Session) {
        done(session::measure(parts, &plan));
    }
    sections
}

/// Writes what was measured to `bench/results/<date>.json`.
fn write(date: &str, machine: &Machine, sections: &[Section]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let file = folder.join(format!("{date}.json"));
    let sections: serde_json::Value = sections.iter().map(|section| section.json.clone()).collect();
    let document = serde_json::json!({"date": date, "machine": machine.json(), "sections": sections});
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
