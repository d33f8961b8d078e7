//! Everything that can fail fails, from a seed, while 64 clients hold three proxies to their promises. `make torture` runs it.
//!
//! In reading order: [`plan`] deals the misfortunes and [`storm`] and [`mod@clocks`] let them come, to what [`rig`] has started. The clients of
//! [`crowd`] do with locks what is in [`lives`]; their [`clerk`] writes down what they are told over their [`mod@line`]s. [`calm`]
//! looks at what a storm has left; [`record`] holds what was seen, [`score`] counts it, and [`report`] tells it.
//!
//! It ends with 0 when nothing was seen that must not be, else with 1, and tells what, what was seen around it, and how to run it
//! again. Choices come from the seed; what comes of them depends on the machine as well.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};
use support::Kind;

mod calm;
mod clerk;
mod clocks;
mod crowd;
mod line;
mod lives;
mod plan;
mod record;
mod report;
mod rig;
mod run;
mod score;
mod storm;

use plan::Deal;
use report::{Report, Setting};
use run::Orders;

/// Tortures three proxies in front of five primaries.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long; storms come in pairs at least
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Repeats the choices of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// What the primaries are
    #[arg(long, value_enum, default_value_t = Primaries::Redis)]
    server: Primaries,
    /// The proxy; the one that was built with this program unless it is named
    #[arg(long)]
    proxy: Option<PathBuf>,
    /// Nothing but these misfortunes
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// A setting of the proxies; with quarantine=off, locks are held twice, and that must be found
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Primaries {
    Redis,
    Valkey,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Only {
    /// Steps of clocks; needs valkey
    Clock,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a setting is key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let (kind, name) = match arguments.server {
        Primaries::Redis => (Kind::Redis, "redis"),
        Primaries::Valkey => (Kind::Valkey, "valkey"),
    };
    let deal = match (kind.can_be_shown_a_clock(), arguments.only) {
        (true, None) => Deal::Alternately,
        (true, Some(Only::Clock)) => Deal::OnlyClocks,
        (false, None) => Deal::Clockless,
        (false, Some(Only::Clock)) => Arguments::command()
            .error(ErrorKind::ArgumentConflict, format!("a {kind} server cannot be shown another time of day"))
            .exit(),
    };
    let only = if deal == Deal::OnlyClocks { " ONLY=clock" } else { "" };
    let minutes = arguments.minutes;
    let proxy = arguments.proxy.unwrap_or_else(rig::built_proxy);
    let settings: Vec<String> = arguments.settings.iter().map(|(key, value)| format!(" SET={key}={value}")).collect();
    let repeat = format!("make torture MINUTES={minutes} SEED={seed} SERVER={name}{only}{}", settings.concat());
    println!("{repeat}");
    let setting = Setting {
        seed,
        minutes,
        commit: first_line("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]),
        machine: machine(),
        date: first_line("date", &["--utc", "+%Y-%m-%d %H:%M"]),
        repeat,
        ..Setting::default()
    };
    let mut report = Report { setting, ..Report::default() };

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    let orders = Orders { minutes, seed, kind, proxy, deal, settings: arguments.settings };
    runtime.expect("a runtime can be made").block_on(run::run(&orders, &mut report));

    let text = report.markdown();
    println!("\n{text}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let file = folder.join(format!("{}.md", report.setting.date.replace(' ', "-").replace(':', "")));
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, text));
    written.unwrap_or_else(|error| panic!("{} cannot be written: {error}", file.display()));
    println!("written to {}", file.display());
    if report.wrongs.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Cores, and what else they had to do when it began.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("{cores} cores, load {} when it began", load.split(' ').next().unwrap_or("?"))
}

/// The first line that a program prints.
fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("unknown").to_owned()
}
