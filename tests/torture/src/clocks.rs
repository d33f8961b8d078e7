//! The primaries' clocks, where they can be set, and what it takes to let them step.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use support::{PATIENCE, Proxy, Server, Value, WallClock};
use tokio::sync::MutexGuard;
use tokio::time::{sleep, timeout};

use crate::plan::{Kind, PRIMARIES, Strike};
use crate::record::Record;
use crate::rig::{MARKER, MARKING};

/// The pause between two looks.
const EVERY: Duration = Duration::from_millis(20);

/// A clock for each primary.
#[derive(Debug, Default)]
pub(crate) struct Clocks(Vec<Clock>);

#[derive(Debug, Default)]
struct Clock {
    shown: WallClock,
    /// By how many seconds it is ahead of the machine's.
    ahead: AtomicI64,
}

impl Clock {
    fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    fn set(&self, ahead: i64) {
        self.ahead.store(ahead, Ordering::Relaxed);
        self.shown.shift(&format!("{ahead:+}"));
    }
}

impl Clocks {
    pub(crate) fn new() -> Self {
        Self((0..PRIMARIES).map(|_| Clock::default()).collect())
    }

    /// What a primary is shown.
    pub(crate) fn shown(&self, primary: usize) -> &WallClock {
        &self.0[primary].shown
    }

    /// All are what the furthest ahead is.
    pub(crate) fn agree(&self) {
        let furthest = self.0.iter().map(Clock::ahead).max().unwrap_or_default();
        self.0.iter().filter(|clock| clock.ahead() < furthest).for_each(|clock| clock.set(furthest));
    }

    /// Lets the clocks of these servers step. The proxies have seen them before, and are there until the servers are marked.
    pub(crate) async fn step(
        &self,
        record: &Record,
        strike: &Strike,
        servers: &[MutexGuard<'_, Server>],
        proxies: &[MutexGuard<'_, Proxy>],
        before: &[Offsets],
    ) {
        let move_all = |seconds: i64| {
            let struck = strike.primaries.iter().map(|primary| &self.0[*primary]);
            struck.for_each(|clock| clock.set(clock.ahead() + seconds));
        };
        let (struck, seconds) = (&strike.primaries, strike.seconds());
        if strike.kind == Kind::ClockBack {
            move_all(-seconds);
            sleep(strike.lasts).await;
            // Whoever does not see it stand back does not see it step forward.
            let seen = async {
                while !stand_back(before, &offsets_of_all(proxies).await, struck, seconds) {
                    sleep(EVERY).await;
                }
            };
            in_time(record, seen, format!("every proxy to see that clocks of {struck:?} stand back")).await;
        }
        let markers = markers_of(servers).await;
        move_all(seconds);
        if markers.iter().any(Option::is_none) {
            // Without a quarantine nobody marks anything.
            return sleep(MARKING).await;
        }
        let marked = async {
            while markers_of(servers).await.iter().zip(&markers).any(|(now, before)| now == before) {
                sleep(EVERY).await;
            }
        };
        in_time(record, marked, format!("{struck:?} to be marked, whose clocks have stepped")).await;
    }
}

/// Waits for what must come in the end.
async fn in_time<T>(record: &Record, looking: impl Future<Output = T>, what: String) -> Option<T> {
    let found = timeout(PATIENCE, looking).await.ok();
    if found.is_none() {
        record.accuse(format!("waited {PATIENCE:?} in vain for {what}"));
    }
    found
}

async fn markers_of(servers: &[MutexGuard<'_, Server>]) -> Vec<Option<String>> {
    let mut markers = Vec::new();
    for server in servers {
        markers.push(server.get(MARKER).await);
    }
    markers
}

/// By how many milliseconds one proxy takes each primary's clock to be ahead of the median, where the primary votes.
pub(crate) type Offsets = Vec<Option<i64>>;

/// What all proxies know of the clocks, when each of them has the votes of these primaries, and of one more.
pub(crate) async fn known_to_all(
    record: &Record,
    proxies: &[MutexGuard<'_, Proxy>],
    primaries: &[usize],
) -> Option<Vec<Offsets>> {
    let know = |offsets: &Offsets| {
        let known = (0..PRIMARIES).filter(|primary| offsets[*primary].is_some());
        let (of_these, others): (Vec<usize>, _) = known.partition(|primary| primaries.contains(primary));
        of_these.len() == primaries.len() && !others.is_empty()
    };
    let known = async {
        loop {
            let all = offsets_of_all(proxies).await;
            if all.iter().all(know) {
                return all;
            }
            sleep(EVERY).await;
        }
    };
    in_time(record, known, format!("{primaries:?} to vote for every proxy")).await
}

async fn offsets_of_all(proxies: &[MutexGuard<'_, Proxy>]) -> Vec<Offsets> {
    let mut all = Vec::new();
    for proxy in proxies {
        all.push(offsets(&proxy.command(&["RPRIMARIES"]).await));
    }
    all
}

fn offsets(told: &Value) -> Offsets {
    let offset = |primary: &Value| {
        let field = |name| primary.items().chunks(2).find(|field| field[0] == Value::bulk(name)).map(|field| &field[1]);
        match (field("state"), field("clock_offset_ms")) {
            (Some(state), Some(Value::Integer(offset))) if *state == Value::bulk("up") => Some(*offset),
            _ => None,
        }
    };
    told.items().iter().map(offset).collect()
}

/// Whether each proxy has seen these clocks step back by so much. The median may be another one by now: so a clock is looked at
/// beside one that stays.
fn stand_back(before: &[Offsets], now: &[Offsets], struck: &[usize], seconds: i64) -> bool {
    let most = -1_000 * seconds / 2;
    let has_seen = |before: &Offsets, now: &Offsets, primary: usize| {
        let ahead_of = |offsets: &Offsets, other: usize| Some(offsets[primary]? - offsets[other]?);
        let others = (0..PRIMARIES).filter(|other| !struck.contains(other));
        let mut moved = others.filter_map(|other| Some(ahead_of(now, other)? - ahead_of(before, other)?));
        moved.any(|moved| moved < most)
    };
    before.iter().zip(now).all(|(before, now)| struck.iter().all(|primary| has_seen(before, now, *primary)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_where_they_are_told() {
        let primary = |state: &str, offset: Value| {
            Value::Array(vec![Value::bulk("state"), Value::bulk(state), Value::bulk("clock_offset_ms"), offset])
        };
        let told = [("up", Value::Integer(-2_000)), ("up", Value::NullBulk), ("quarantined", Value::Integer(7))];
        let told = told.map(|(state, offset)| primary(state, offset)).to_vec();
        assert_eq!(offsets(&Value::Array(told)), [Some(-2_000), None, None]);
    }

    #[test]
    fn a_clock_stands_back_beside_one_that_does_not() {
        let before = vec![vec![Some(0), Some(0), Some(0), Some(7_000), None]];
        let seen = |now: [Option<i64>; PRIMARIES], struck: &[usize]| stand_back(&before, &[now.to_vec()], struck, 4);
        assert!(seen([Some(-4_000), Some(0), Some(0), Some(7_000), None], &[0]));
        assert!(!seen([Some(0), Some(0), Some(0), Some(7_000), None], &[0]));
        // Two of three are the median.
        assert!(seen([Some(0), Some(0), Some(4_000), None, None], &[0, 1]));
        assert!(!seen([Some(0), Some(0), None, None, None], &[0, 1]), "there is nothing to compare with");
        assert!(!seen([Some(-4_000), Some(0), Some(0), None, None], &[0, 1]), "only one of them");
    }

    #[test]
    fn every_proxy_has_to_see_it() {
        let before = vec![vec![Some(0); PRIMARIES]; 2];
        let back = vec![Some(-3_000), Some(0), Some(0), Some(0), Some(0)];
        assert!(stand_back(&before, &[back.clone(), back.clone()], &[0], 3));
        assert!(!stand_back(&before, &[back, vec![Some(0); PRIMARIES]], &[0], 3));
    }

    #[test]
    fn clocks_agree_on_the_one_that_is_furthest_ahead() {
        let clocks = Clocks::new();
        clocks.0[1].set(90);
        clocks.0[3].set(7);
        clocks.agree();
        assert!(clocks.0.iter().all(|clock| clock.ahead() == 90));
    }
}
