//! After a storm everything heals. Then locks are granted again, what was owed is done, nothing is left, and nobody has grown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use support::Footprint;
use support::history::ghosts::Ghost;
use support::history::progress::{Progress, Stall};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::crowd::Crowd;
use crate::record::Record;
use crate::rig::{MARKING, QUARANTINE, Rig};

/// Behind a quarantine: how long connecting anew may take, and what a busy machine adds to it.
const RESUMES_WITHIN: Duration = Duration::from_secs(30);
/// No client needs as long for what it has begun, answers to it included.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// What looking takes.
const LOOKING: Duration = Duration::from_secs(3);
/// The pause between two looks.
const EVERY: Duration = Duration::from_millis(50);

/// By how much the memory of an idle proxy may grow from its first calm on: an allocator keeps some of what was freed.
const MEMORY_SLACK: u64 = 16 * 1024 * 1024;
/// How many descriptors more an idle proxy may have than the one that had the fewest: links that are being replaced.
const DESCRIPTOR_SLACK: usize = 6;

/// How fast the proxies were well again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// The first grant.
    pub(crate) granted: Duration,
    /// A grant through every proxy.
    pub(crate) through_all: Duration,
    /// All primaries vote for all proxies.
    pub(crate) all_vote: Duration,
}

/// Waits until all primaries vote for all proxies; whether they do.
pub(crate) async fn all_vote(rig: &Rig, record: &Record) -> Option<Duration> {
    let began = Instant::now();
    while !rig.all_vote().await {
        if began.elapsed() > QUARANTINE + RESUMES_WITHIN {
            record.accuse(format!("not every primary votes, {:?} after all was well", began.elapsed()));
            return None;
        }
        sleep(EVERY).await;
    }
    Some(began.elapsed())
}

/// Waits until everything goes on, which it must.
pub(crate) async fn recovered(rig: &Rig, record: &Record) -> Option<Recovery> {
    let healed = record.now();
    let all_vote = all_vote(rig, record).await?;
    loop {
        let last = record.round().last_granted;
        if last.iter().all(|last| *last > Some(healed)) {
            break;
        }
        if record.now() > healed + QUARANTINE + RESUMES_WITHIN {
            record.accuse(format!("all was well at {healed:?}; the last grants through each proxy: {last:?}"));
            return None;
        }
        sleep(EVERY).await;
    }
    let through_all = record.now().saturating_sub(healed);
    let round = record.round();
    let granted = round.attempts.iter().filter(|attempt| attempt.outcome == crate::score::Outcome::Granted);
    let first = granted.map(|attempt| attempt.at).filter(|at| *at > healed).min();
    Some(Recovery { granted: first.expect("there was one").saturating_sub(healed), through_all, all_vote })
}

/// Waits until each lock has been granted again, which it must be; how long that took.
pub(crate) async fn each_granted(record: &Record, keys: &[String], healed: Duration) -> Option<Duration> {
    loop {
        let progress = record.history().progress(keys, healed, QUARANTINE + RESUMES_WITHIN, record.now());
        match progress {
            Progress::Resumed(after) => return Some(after),
            Progress::Awaited => sleep(EVERY).await,
            Progress::Stalled(stalls) => {
                let stalls: Vec<String> = stalls.iter().map(Stall::to_string).collect();
                record.accuse(format!("all was well at {healed:?}, and yet:\n{}", stalls.join("\n")));
                return None;
            }
        }
    }
}

/// Sends the clients home; whoever stands in line has its answer within its time.
pub(crate) async fn disperse(record: &Record, crowd: &Arc<Crowd>, mut clients: JoinSet<()>) {
    crowd.end();
    let all = async {
        while let Some(ended) = clients.join_next().await {
            if let Err(failed) = ended {
                record.accuse(format!("a client failed: {failed}"));
            }
        }
    };
    if timeout(ENDS_WITHIN, all).await.is_err() {
        record.accuse(format!("{} clients still wait for answers after {ENDS_WITHIN:?}", clients.len()));
    }
}

/// Waits until every lock has ended and nothing is owed to anybody, which must be so when the longest of them have.
pub(crate) async fn settled(rig: &Rig, record: &Record) {
    let (gone, bound) = (record.now(), QUARANTINE + LOOKING);
    loop {
        let now = record.now();
        let (found, unfinished) = (rig.locks().await, rig.unfinished().await);
        if found.is_empty() && unfinished.is_empty() {
            return;
        }
        let mut remains = if now > gone + bound { unfinished } else { Vec::new() };
        remains.extend(record.history().ghosts(&found, gone, bound, now).iter().map(Ghost::to_string));
        if !remains.is_empty() {
            let remains = remains.join("\n");
            record.accuse(format!("the last client has gone at {gone:?}, and there is left:\n{remains}"));
            return;
        }
        sleep(2 * EVERY).await;
    }
}

/// All clocks show the same again, while nobody holds anything: a step of all of them is none that a proxy may mark.
pub(crate) async fn clocks_agree(rig: &Rig, record: &Record) {
    if let Some(clocks) = &rig.clocks {
        clocks.agree();
        sleep(MARKING).await;
        all_vote(rig, record).await;
    }
}

/// What proxies took when they were idle for the first time.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    first: BTreeMap<u32, Footprint>,
    least_descriptors: Option<usize>,
}

impl Growth {
    /// Compares what idle proxies, told apart by their process ids, take with what they took; what has grown, in words.
    pub(crate) fn look(&mut self, footprints: &[(u32, Footprint)]) -> Vec<String> {
        let least = footprints.iter().map(|(_, footprint)| footprint.descriptors).min();
        let least = *self.least_descriptors.get_or_insert(least.unwrap_or_default());
        let mut grown = Vec::new();
        for (id, footprint) in footprints {
            let first = self.first.entry(*id).or_insert(*footprint);
            if footprint.resident_bytes > first.resident_bytes + MEMORY_SLACK {
                let (from, to) = (first.resident_bytes, footprint.resident_bytes);
                grown.push(format!("process {id}, idle again, has grown from {from} to {to} bytes"));
            }
            if footprint.descriptors > least + DESCRIPTOR_SLACK {
                let count = footprint.descriptors;
                grown.push(format!("process {id}, idle again, has {count} descriptors where {least} were enough"));
            }
        }
        grown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footprint(resident_bytes: u64, descriptors: usize) -> Footprint {
        Footprint { resident_bytes, descriptors, processor: Duration::ZERO }
    }

    #[test]
    fn growth_is_told_of_a_process_against_its_own_first_calm() {
        let mut growth = Growth::default();
        assert_eq!(growth.look(&[(1, footprint(1000, 30)), (2, footprint(90_000_000, 31))]), Vec::<String>::new());
        assert_eq!(
            growth.look(&[(1, footprint(10_000_000, 31)), (3, footprint(90_000_000, 36))]),
            Vec::<String>::new()
        );
        let grown = growth.look(&[(1, footprint(17_000_000, 30)), (3, footprint(90_000_000, 37))]);
        assert_eq!(grown.len(), 2, "{grown:?}");
        assert!(grown[0].contains("process 1") && grown[0].contains("bytes"), "{grown:?}");
        assert!(grown[1].contains("process 3") && grown[1].contains("37 descriptors where 30"), "{grown:?}");
    }
}
