//! System calls of a running process, counted by `strace`.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

/// Against hanging only.
const PATIENCE: Duration = Duration::from_secs(30);

/// A trace that is going on.
pub struct Trace {
    strace: Child,
    summary: NamedTempFile,
}

impl Trace {
    /// Of all threads of this process, from now on.
    ///
    /// # Errors
    /// Says why the process cannot be traced.
    pub fn of(process: u32) -> Result<Self, String> {
        let summary = NamedTempFile::new().expect("a temporary file can be made");
        let mut command = Command::new("strace");
        command.args(["-f", "-q", "-c", "-p", &process.to_string(), "-o"]).arg(summary.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let strace = command.spawn().map_err(|error| format!("cannot run strace: {error}"))?;
        let mut trace = Self { strace, summary };
        let began = Instant::now();
        while !is_traced(process) {
            let ended = trace.strace.try_wait().map_err(|error| error.to_string())?;
            if let Some(status) = ended {
                return Err(format!("strace may not look at it ({status})"));
            }
            if began.elapsed() > PATIENCE {
                return Err("strace does not begin".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(trace)
    }

    /// Ends it; how often each call was made.
    ///
    /// # Errors
    /// Says what strace has told instead.
    pub fn end(mut self) -> Result<BTreeMap<String, u64>, String> {
        kill_process(Pid::from_child(&self.strace), Signal::INT)
            .map_err(|error| format!("strace has ended: {error}"))?;
        self.strace.wait().map_err(|error| error.to_string())?;
        let summary = fs::read_to_string(self.summary.path()).map_err(|error| error.to_string())?;
        let calls = calls_of(&summary);
        if calls.is_empty() { Err(format!("strace counts nothing: {summary}")) } else { Ok(calls) }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // It has ended, or does now; a process that is traced no more goes on.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

/// Whether every thread is.
fn is_traced(process: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return false };
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() != "0"))
    })
}

/// The rows of a summary: share of time, seconds, microseconds a call, calls, perhaps errors, name.
fn calls_of(summary: &str) -> BTreeMap<String, u64> {
    let calls = summary.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let name = cells.last().filter(|name| **name != "total" && cells.len() >= 5)?;
        Some(((*name).to_owned(), cells[3].parse().ok()?))
    });
    calls.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read_with_errors_and_without() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           6       100        20 recvfrom
 40.00    0.000400           4       101           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           4       201        20 total
";
        let calls = calls_of(summary);
        assert_eq!(calls, [("recvfrom".to_owned(), 100), ("sendto".into(), 101)].into());
    }
}
