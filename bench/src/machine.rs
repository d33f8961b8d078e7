//! Where and of what a measurement was made, without which its numbers say nothing.

use std::fs;
use std::process::Stdio;

use crate::programs::output;

/// The commit, the machine and the servers, as lines of Markdown.
pub async fn described() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, it)| it);
    let commit = output("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"], Stdio::null());
    let server = output("redis-server", &["--version"], Stdio::null()).await;
    format!(
        "- commit {}, built with `--release`\n- {cores} cores ({model}), load {} when it began\n- {}\n",
        commit.await.trim(),
        load(),
        server.split(" sha=").next().unwrap_or_default()
    )
}

/// The load average of the last minute: above 0 when it begins, others were at work.
pub fn load() -> String {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split(' ').next().unwrap_or("?").to_owned()
}
