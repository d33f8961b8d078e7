//! `make interop`: real clients, Redlock libraries and the examples, each in its own language, against the real proxy.
//!
//! README.md beside this crate lists what each must do. A *program* is a folder with an executable `run`; it is told by its
//! environment where the servers are, and passes by ending with 0. Two run at a time.
//!
//! Arguments are names (or parts of them): only the programs that match are run.

mod exclusion;
mod programs;
mod stage;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use programs::{Kind, Program};
use stage::Stage;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

const AT_ONCE: usize = 2;

/// Against hanging only; the first run of a program fetches and compiles what it needs.
const PATIENCE: Duration = Duration::from_secs(9 * 60);

#[tokio::main]
async fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let programs = programs::find(&root.canonicalize().expect("the repository is where it was built"), &wanted);
    if programs.is_empty() {
        eprintln!("no program is called {}", wanted.join(" or "));
        return ExitCode::from(64);
    }

    let stage = Arc::new(Stage::set().await);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    // So that what a failed program said stays in one piece.
    let printing = Arc::new(Mutex::new(()));
    let mut running = JoinSet::new();
    for program in programs {
        let (stage, places, printing) = (Arc::clone(&stage), Arc::clone(&places), Arc::clone(&printing));
        running.spawn(async move {
            let _place = places.acquire_owned().await.expect("the places are never closed");
            let began = Instant::now();
            let outcome = run(&program, &stage).await;
            let _printing = printing.lock().await;
            report(&program, began.elapsed(), &outcome);
            outcome.is_ok()
        });
    }

    let outcomes = running.join_all().await;
    let passed = outcomes.iter().filter(|passed| **passed).count();
    println!("{passed} passed, {} failed", outcomes.len() - passed);
    if passed == outcomes.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is wrong, and everything the program printed.
struct Failure {
    what: String,
    output: String,
}

async fn run(program: &Program, stage: &Stage) -> Result<String, Failure> {
    let own = stage.of_one_program(&program.name).await;
    match program.kind {
        Kind::Program => programs::run(program, &own.environment, PATIENCE).await,
        Kind::Library => exclusion::check(program, stage, &own.environment, PATIENCE).await,
    }
}

fn report(program: &Program, took: Duration, outcome: &Result<String, Failure>) {
    match outcome {
        Ok(last_line) => println!("{:<28} ok      {:>4} s  {last_line}", program.name, took.as_secs()),
        Err(failure) => {
            println!("{:<28} FAILED  {:>4} s  {}", program.name, took.as_secs(), failure.what);
            for line in failure.output.lines() {
                println!("    {line}");
            }
        }
    }
}
