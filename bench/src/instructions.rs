//! Instructions of a core path, counted by callgrind: the same on every run, whoever else uses the machine.

use std::path::Path;
use std::process::Command;

use crate::paths::CorePath;
use crate::programs::release_build;

/// What is done before and after the turns is the same in both runs, and drops out of their difference.
const TURNS: [u64; 2] = [100, 600];

/// For each path its title and the instructions for doing it once.
///
/// # Errors
/// Says why they cannot be counted.
pub fn count(paths: &[CorePath]) -> Result<Vec<(String, f64)>, String> {
    let program = release_build("bench", "path");
    let [few, many] = TURNS;
    let counted = paths.iter().map(|path| {
        let title = path.title();
        eprintln!("instructions: {title}");
        let more = run(&program, &title, many)?.saturating_sub(run(&program, &title, few)?);
        Ok((title, more as f64 / ((many - few) as f64 * path.times as f64)))
    });
    counted.collect()
}

fn run(program: &Path, title: &str, turns: u64) -> Result<u64, String> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    let output = command.args([title, &turns.to_string()]).output();
    let output = output.map_err(|error| format!("cannot run valgrind: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    let instructions = collected(&told).filter(|_| output.status.success());
    instructions.ok_or_else(|| format!("callgrind ({}) counts nothing: {}", output.status, told.trim_end()))
}

/// What callgrind tells at its end: `==123== Collected : 1234`.
fn collected(told: &str) -> Option<u64> {
    told.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callgrind_tells_is_read() {
        let told = "==9== Callgrind, a profiler\n==9== \n==9== Events    : Ir\n==9== Collected : 868077\n==9== \n";
        assert_eq!(collected(told), Some(868_077));
        assert_eq!(collected("valgrind: no such tool"), None);
    }
}
