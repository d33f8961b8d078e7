//! A search by hand, with other bounds than the tests have: `cargo run -p model -- --help`.

use clap::Parser;
use model::{Bounds, Rules, World, search};

/// Searches every history of a small world, and shows the shortest one that breaks a promise.
#[derive(Parser)]
struct Arguments {
    /// How many primaries there are: 1 to 4
    #[arg(long, default_value_t = 3)]
    primaries: usize,
    /// How many attempts are made: 1 to 3
    #[arg(long, default_value_t = 2)]
    attempts: usize,
    /// Time passes
    #[arg(long)]
    time: bool,
    /// Grants are released
    #[arg(long)]
    releases: bool,
    /// Each grant is extended once, by so many ticks
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    extension: Option<u8>,
    /// The first two attempts are of one owner
    #[arg(long)]
    owner: bool,
    /// How often some primary loses its memory
    #[arg(long, default_value_t = 0)]
    losses: u8,
    /// Grants want numbers; the attempts' clocks
    #[arg(long, num_args = 3)]
    clocks: Option<Vec<u16>>,
    /// How often a primary runs a SET, and not the raise behind it
    #[arg(long, default_value_t = 0)]
    lost_raises: u8,
    /// The protocol's rules, or all of them but one
    #[arg(long, value_enum, default_value = "protocol")]
    rules: Rules,
    /// How many threads search; with one the history is the shortest there is
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() {
    let Arguments {
        primaries,
        attempts,
        time,
        releases,
        extension,
        owner,
        losses,
        lost_raises,
        rules,
        threads,
        clocks,
    } = Arguments::parse();
    let clocks = clocks.map(|clocks| [clocks[0], clocks[1], clocks[2]]);
    let bounds = Bounds { primaries, attempts, time, releases, extension, owner, losses, clocks, lost_raises };
    println!("{}", search(World { bounds, rules }, threads));
}
