//! A search by hand, with larger bounds than the tests have.

use clap::Parser;
use model::{Bounds, Rules, World, search};

/// Searches the protocol exhaustively.
#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value_t = 3)]
    primaries: usize,
    #[arg(long, default_value_t = 2)]
    attempts: usize,
    #[arg(long)]
    time: bool,
    #[arg(long)]
    releases: bool,
    #[arg(long)]
    extension: Option<u8>,
    #[arg(long, default_value_t = 0)]
    losses: u8,
    #[arg(long)]
    numbers: bool,
    #[arg(long, default_value_t = 0)]
    lost_raises: u8,
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() {
    let Arguments { primaries, attempts, time, releases, extension, losses, numbers, lost_raises, threads } =
        Arguments::parse();
    let clocks = numbers.then_some([1, 2, 3]);
    let bounds = Bounds { primaries, attempts, time, releases, extension, losses, clocks, lost_raises };
    println!("{}", search(World { bounds, rules: Rules::Protocol }, threads));
}
