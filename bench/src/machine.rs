//! Where and of what a measurement was made, without which its numbers say nothing.

use std::fmt;
use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};
use support::Server;

use crate::programs::output;

/// The commit, the machine and the server.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    commit: String,
    cores: usize,
    processor: String,
    kernel: String,
    server: String,
    /// When it began: above 0, others were at work.
    load: String,
}

impl Machine {
    /// Looks at this machine, and at one of the servers that are measured on.
    pub async fn observed(server: &Server) -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1));
        let folder = env!("CARGO_MANIFEST_DIR");
        let commit = output("git", &["-C", folder, "describe", "--always", "--dirty"], Stdio::null()).await;
        Self {
            commit: commit.trim().to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: model.unwrap_or("?").to_owned(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            server: version(server).await,
            load: load(),
        }
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let Self { commit, cores, processor, kernel, server, load } = self;
        json!({
            "commit": commit,
            "cores": cores,
            "processor": processor,
            "kernel": kernel,
            "server": server,
            "load": load,
        })
    }
}

/// Lines of Markdown.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { commit, cores, processor, kernel, server, load } = self;
        writeln!(f, "- commit {commit}, built with `--release`")?;
        writeln!(f, "- {cores} cores ({processor}), Linux {kernel}, load {load} when it began")?;
        writeln!(f, "- {server}")
    }
}

/// The server's kind and version, as it says itself: those that stand in for Redis tell a version of Redis as well.
async fn version(server: &Server) -> String {
    for field in ["dragonfly_version", "valkey_version"] {
        if let Some(version) = server.info(field).await.filter(|version| !version.is_empty()) {
            return format!("{} {}", server.kind(), version.trim_start_matches("df-"));
        }
    }
    format!("{} {}", server.kind(), server.info("redis_version").await.unwrap_or_default())
}

/// The load average of the last minute.
pub fn load() -> String {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split(' ').next().unwrap_or("?").to_owned()
}
