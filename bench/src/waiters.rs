//! Clients that all want one lock: each waits in line for it, releases it at once, and goes to the end of the line.
//!
//! Timed is the hand-over: from the release being sent to the next client's reading of its grant.

use std::time::Instant;

use hdrhistogram::Histogram;

use crate::lines::{Ask, Lines};
use crate::load::{Progress, Work, histogram};
use crate::wire::{Reply, beginning, put_command};

const LOCK: u32 = 0;
const RELEASE: u32 = 1;

/// The clients, a line for each.
#[derive(Debug)]
pub struct Waiters {
    lock: Vec<u8>,
    release: Vec<u8>,
    grants: Vec<u64>,
    released: Option<Instant>,
    hand_overs: Histogram<u64>,
}

impl Waiters {
    /// So many that want this key.
    pub fn new(clients: usize, key: &str, ttl_ms: u32) -> Self {
        let mut lock = Vec::new();
        // Longer than any of them waits.
        put_command(&mut lock, &[b"RLOCK", key.as_bytes(), ttl_ms.to_string().as_bytes(), b"WAIT", b"60000"]);
        let release = beginning(3, &[b"RUNLOCK", key.as_bytes()]);
        Self { lock, release, grants: vec![0; clients], released: None, hand_overs: histogram() }
    }

    /// How long each hand-over took, in nanoseconds.
    pub fn hand_overs(&self) -> &Histogram<u64> {
        &self.hand_overs
    }

    /// The grants of the client that had most, to those of the one that had least.
    pub fn unfairness(&self) -> f64 {
        let (most, least) = (self.grants.iter().max(), self.grants.iter().min());
        most.zip(least).map_or(1.0, |(&most, &least)| most as f64 / least as f64)
    }
}

impl Work for Waiters {
    fn clients(&self) -> usize {
        self.grants.len()
    }

    fn begin(&mut self, client: usize, lines: &mut Lines) {
        lines.send_written(client, Ask { client, step: LOCK }, &self.lock);
    }

    fn answered(&mut self, ask: Ask, reply: Reply<'_>, lines: &mut Lines) -> Progress {
        let Ask { client, step } = ask;
        match (step, reply.grant()) {
            (LOCK, Some(grant)) => {
                let now = Instant::now();
                if let Some(released) = self.released.replace(now) {
                    self.hand_overs.saturating_record(u64::try_from((now - released).as_nanos()).unwrap_or(u64::MAX));
                }
                self.grants[client] += 1;
                lines.send_begun(client, Ask { client, step: RELEASE }, &self.release, grant.token);
                Progress::Pending
            }
            (RELEASE, None) if reply == Reply::Integer(1) => Progress::Done,
            (LOCK, _) => Progress::Failed(format!("a waiting lock is answered {reply:?}")),
            _ => Progress::Failed(format!("a release is answered {reply:?}")),
        }
    }
}
