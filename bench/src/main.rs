//! What locks and the relay cost through the proxy, next to the least they can cost and to what others make of it:
//! `cargo run --release -p bench -- --help`.
//!
//! A report in Markdown goes to stdout, what is being done to stderr, and both that report and the same numbers as JSON into
//! files.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use bench::cases::{
    Contestant, Plan, contended, counts, dead, distinct, fence, memory, open, peers, pipe, relay, session, settings,
    several,
};
use bench::connections::Connections;
use bench::front::Front;
use bench::machine::Machine;
use bench::programs::{output, release_build};
use bench::report::Report;
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
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64,256", value_parser = clap::value_parser!(u16).range(1..))]
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
    #[arg(long, default_value_t = 1.5, value_parser = seconds)]
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
    /// Where the files are written [default: bench/results]
    #[arg(long)]
    into: Option<PathBuf>,
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
    /// Redlock libraries, for distinct keys and for one
    Peers,
    /// Commands and system calls of a lock
    Counts,
    /// GET and SET through the proxy and through a raw copy
    Relay,
    /// redis-cli --pipe through the proxy
    Pipe,
    /// Bytes of idle and of waiting clients
    Memory,
    /// Quarantine on and off
    Vouching,
    /// One worker thread, and one for each core
    Threads,
}

impl Arguments {
    fn measures(&self, case: Case) -> bool {
        self.cases.is_empty() || self.cases.contains(&case)
    }

    /// Whether the profiler wants everybody to take part.
    fn compares(&self, case: Case) -> bool {
        self.measures(case) && self.only.is_none()
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
    let date = stand.wait(output("date", &["-u", "+%Y-%m-%d"], Stdio::null()));
    let machine = stand.wait(Machine::observed(&stand.fleet[0]));
    let command: Vec<String> = ["bench".into()].into_iter().chain(env::args().skip(1)).collect();
    let mut report = Report::new(machine, arguments.rounds, &command.join(" "));
    measure_locks(&arguments, &parts, stand, &mut report);
    measure_relay(&arguments, &parts, &mut report);
    report.end(arguments.cases.is_empty() && arguments.only.is_none());
    if !arguments.print_only {
        let results = || Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        report.write(&arguments.into.clone().unwrap_or_else(results), date.trim());
    }
    ExitCode::from(u8::from(report.has_failed()))
}

/// What is asked for of locks.
fn measure_locks(arguments: &Arguments, parts: &Parts, stand: Stand, report: &mut Report) {
    let plan = arguments.plan(&["64", "1x64"]);
    if arguments.measures(Case::Distinct) {
        let plan = arguments.plan(&["1", "16", "64", "1x64", "256", "1000"]);
        report.measure("Distinct keys", || vec![distinct::measure(&stand, &plan)]);
        for &primaries in &arguments.primaries[1..] {
            let parts = Parts { primaries: primaries.into(), ..parts.clone() };
            report.measure("Distinct keys", || vec![distinct::measure(&Stand::start(&parts), &plan)]);
        }
    }
    if arguments.measures(Case::Open) {
        let of_rate = |&rate: &u32| open::measure(&stand, &plan, rate);
        report.measure("Open loop", || arguments.rates.iter().map(of_rate).collect());
    }
    if arguments.measures(Case::Contended) {
        let waiters: Vec<usize> = arguments.waiters.iter().map(|&waiters| waiters.into()).collect();
        report.measure("Hand-overs", || vec![contended::measure(&stand, &plan, &waiters)]);
    }
    if arguments.measures(Case::Fence) {
        report.measure("FENCE", || vec![fence::measure(&stand, &plan)]);
    }
    if arguments.measures(Case::Several) {
        report.measure("RMLOCK", || vec![several::measure(&stand, &plan)]);
    }
    if arguments.compares(Case::Peers) {
        report.measure("Redlock libraries", || peers::measure(&stand, &plan));
    }
    drop(stand);
    if arguments.compares(Case::Counts) {
        report.measure("Counts", || vec![counts::measure(parts, &plan)]);
    }
    if arguments.measures(Case::Dead) {
        report.measure("One dead primary", || vec![dead::measure(parts, &plan)]);
    }
    let plan = arguments.plan(&["1", "64", "1x64"]);
    for (case, contrast) in [(Case::Vouching, settings::VOUCHING), (Case::Threads, settings::THREADS)] {
        if arguments.measures(case) {
            report.measure(contrast.title, || vec![settings::measure(parts, &plan, &contrast)]);
        }
    }
    if arguments.measures(Case::Session) {
        report.measure("SESSION locks", || vec![session::measure(parts, &plan)]);
    }
}

/// What is asked for of the relay, and of the proxy's memory.
fn measure_relay(arguments: &Arguments, parts: &Parts, report: &mut Report) {
    let plan = arguments.plan(&[]);
    let front = || Front::start(parts.kind, &parts.proxy);
    if arguments.measures(Case::Relay) {
        report.measure("The relay", || relay::measure(&front(), &plan));
    }
    if arguments.compares(Case::Pipe) {
        report.measure("redis-cli --pipe", || vec![pipe::measure(&front())]);
    }
    if arguments.compares(Case::Memory) {
        report.measure("Memory", || vec![memory::measure(parts)]);
    }
}

fn seconds(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|seconds| (0.05..=3600.0).contains(seconds)).ok_or("not between 0.05 and 3600")
}

fn setting(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("not like key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}
