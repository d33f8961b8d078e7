//! One run: storm after storm, each with its calm.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::Kind;
use tokio::time::{sleep, timeout};

use crate::calm::{self, Growth};
use crate::crowd::Crowd;
use crate::plan::{self, Deal, Terms, WITNESS};
use crate::record::Record;
use crate::report::{COUNTERS, Report};
use crate::rig::{MARKING, QUARANTINE, Rig};
use crate::storm;

/// Fewer show no growth from one calm to the next.
const STORMS_AT_LEAST: usize = 2;
/// The pause between two looks at the history.
const JUDGED_EVERY: Duration = Duration::from_secs(5);
/// How long all goes on when something was seen that must not be.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) minutes: u64,
    pub(crate) seed: u64,
    pub(crate) kind: Kind,
    pub(crate) proxy: PathBuf,
    /// What goes wrong.
    pub(crate) deal: Deal,
    /// Settings of the proxies, in the place of the usual ones.
    pub(crate) settings: Vec<(String, String)>,
}

impl Orders {
    /// How long a storm lasts, and how long clients go on behind it.
    fn lengths(&self) -> (Duration, Duration) {
        let (storm, calm) = if self.minutes <= 2 { (20, 5) } else { (45, 8) };
        (Duration::from_secs(storm), Duration::from_secs(calm))
    }
}

/// Runs until the time is up or something is seen that must not be; the report tells all of it but its setting.
pub(crate) async fn run(orders: &Orders, report: &mut Report) {
    let began = Instant::now();
    let record = Arc::new(Record::new());
    let rig = Arc::new(Rig::start(orders.kind, &orders.proxy, orders.seed, &orders.settings).await);
    report.setting.server = rig.server_version().await;
    let seen = async {
        record.wrong().await;
        // What follows tells more.
        sleep(AFTERWARDS).await;
        record.judge();
    };
    tokio::select! {
        biased;
        () = seen => {}
        () = storms(orders, began, &rig, &record, report) => {}
    }
    if !record.wrongs().is_empty() {
        keep_logs(&rig, orders.seed).await;
    }
    report.took = began.elapsed();
    report.counters = COUNTERS.map(|name| (name, rig.counter(name))).to_vec();
    report.wrongs = record.wrongs();
}

async fn storms(orders: &Orders, began: Instant, rig: &Arc<Rig>, record: &Arc<Record>, report: &mut Report) {
    let asked = Duration::from_secs(60 * orders.minutes);
    let (storm, _) = orders.lengths();
    let mut growth = Growth::default();
    // To proxies that have never met them, the primaries may have lost everything.
    calm::all_vote(rig, record).await;
    while report.storms < STORMS_AT_LEAST || began.elapsed() + storm < asked {
        one(orders, rig, record, report).await;
        let footprints = rig.footprints().await;
        for grown in growth.look(&footprints) {
            record.accuse(grown);
        }
        let witness = footprints[WITNESS].1;
        let idle = (witness.resident_bytes, witness.descriptors);
        report.idle = Some([report.idle.map_or(idle, |[first, _]| first), idle]);
        println!("  proxy {WITNESS}, idle: {} KiB, {} descriptors", idle.0 / 1024, idle.1);
        if !record.wrongs().is_empty() {
            return;
        }
        report.storms += 1;
    }
}

/// One storm and its calm.
async fn one(orders: &Orders, rig: &Arc<Rig>, record: &Arc<Record>, report: &mut Report) {
    let (length, calm) = orders.lengths();
    let number = report.storms as u64;
    let (crowd, clients) = Crowd::gather(record, &rig.addresses, (orders.seed, number));
    let began = record.now();
    let terms = Terms { length, quarantine: QUARANTINE, marking: MARKING };
    let strikes = plan::storm(orders.seed, number, orders.deal, &terms);
    let judging = async {
        loop {
            sleep(JUDGED_EVERY).await;
            record.judge();
        }
    };
    let storm = async {
        storm::rage(rig, record, strikes).await;
        let healed = record.now();
        let recovery = calm::recovered(rig, record).await;
        let well = record.now();
        sleep(calm).await;
        let each_granted = calm::each_granted(record, &crowd.keys, healed).await;
        report.each_granted = report.each_granted.max(each_granted.unwrap_or_default());
        (healed, recovery, (well, record.now()))
    };
    let (healed, recovery, calm) = tokio::select! {
        told = storm => told,
        () = judging => unreachable!("it goes on as long as it is let"),
    };
    calm::disperse(record, &crowd, clients).await;
    calm::settled(rig, record).await;
    if orders.deal.moves_clocks(number) {
        calm::clocks_agree(rig, record).await;
    }
    rig.look_for_panics(record).await;
    record.judge();

    let round = record.turn_over();
    let struck: Vec<_> = round.struck.iter().map(|struck| (struck.strike.kind, struck.from)).collect();
    report.costs.add(&round.attempts, calm, &struck);
    report.costs.add_storm(&round.attempts, began, calm.0);
    report.latest = report.latest.max(round.latest);
    if let Some(recovery) = recovery {
        report.recovered(recovery);
    }
    let mut granted = 0;
    for (mode, tally) in round.tallies {
        granted += tally.granted;
        report.tallies.entry(mode).or_default().add(tally);
    }
    let (misfortunes, well) = (struck.len(), calm.0.saturating_sub(healed).as_millis());
    println!("storm {number}: {misfortunes} misfortunes, {granted} grants, all well {well} ms after it");
}

/// Keeps what the proxies have logged, for whoever looks for the cause.
async fn keep_logs(rig: &Rig, seed: u64) {
    let folder = std::env::temp_dir().join(format!("torture-{seed}"));
    std::fs::create_dir_all(&folder).expect("a folder for the logs can be made");
    for (number, proxy) in rig.proxies.iter().enumerate() {
        // Whatever strikes it now may take its time.
        if let Ok(proxy) = timeout(Duration::from_secs(10), proxy.lock()).await {
            let file = folder.join(format!("proxy-{number}.log"));
            std::fs::write(&file, proxy.log()).expect("a log can be written");
        }
    }
    eprintln!("the proxies' logs are in {}", folder.display());
}
