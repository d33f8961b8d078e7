//! Ten thousand SESSION locks that are held: what it costs to renew them, and to know of them.
//!
//! Their ttl is short, so that there is something to measure: each is renewed every second.

use std::fmt::Write;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use serde_json::json;
use support::{ByteClient, Value};

use super::Plan;
use crate::numbers::{grouped, median};
use crate::results::Section;
use crate::stand::{Parts, Stand};

const CONNECTIONS: usize = 10;
/// The proxy's default limit for one connection is 1,024.
const LOCKS_EACH: usize = 1_000;
const LOCKS: usize = CONNECTIONS * LOCKS_EACH;
/// Held before the memory for more is looked at.
const FIRST_EACH: usize = 100;
/// Three times the distance of renewals.
const TTL_MS: &str = "3000";

/// Bytes for each held lock.
pub const LOCK_BYTES: &str = "bytes of a held SESSION lock";

/// What was counted in one round, for each renewal.
struct Round {
    renewals_per_second: f64,
    commands: f64,
    proxy_us: f64,
    primaries_us: f64,
}

/// On a stand of its own, whose memory nothing else has grown.
pub fn measure(parts: &Parts, plan: &Plan) -> Section {
    let stand = Stand::start(parts);
    eprintln!("session: {LOCKS} locks");
    let mut clients = stand.wait(connected(&stand));
    // Until renewals come as evenly as they will.
    let period = Duration::from_secs(1);
    let mut bytes_with = |locks: Range<usize>| {
        stand.wait(locked(&mut clients, locks));
        thread::sleep(2 * period);
        stand.proxy.footprint().resident_bytes
    };
    // What it takes to lock and to renew at all is not the locks'.
    let before = bytes_with(0..FIRST_EACH);
    let more = CONNECTIONS * (LOCKS_EACH - FIRST_EACH);
    let bytes = bytes_with(FIRST_EACH..LOCKS_EACH).saturating_sub(before) / more as u64;
    let mut rounds = Vec::new();
    for round in 0..plan.rounds {
        eprintln!("round {} of {}: session", round + 1, plan.rounds);
        rounds.push(renewed(&stand, plan.span.max(2 * period)));
    }
    let counter = |name| stand.wait(stand.proxy.counter(name));
    let mut failures = String::new();
    for name in ["session_lost", "session_renewal_failures"] {
        if counter(name) > 0 {
            // Writing to a string cannot fail.
            let _ = writeln!(failures, "- **{name}: {}**", counter(name));
        }
    }
    let held = counter("session_locks");
    if held != LOCKS as u64 {
        let _ = writeln!(failures, "- **{held} locks are held** at the end");
    }
    Section { failures, ..section(parts.primaries, &rounds, bytes) }
}

async fn connected(stand: &Stand) -> Vec<ByteClient> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(stand.proxy.connect().await);
    }
    clients
}

async fn locked(clients: &mut [ByteClient], locks: Range<usize>) {
    for (number, client) in clients.iter_mut().enumerate() {
        for lock in locks.clone() {
            client.send(&["RLOCK", &format!("bench:session:{number}:{lock}"), TTL_MS, "SESSION"]).await;
            // No more at a time than fit into the proxy's limits and a socket's buffers.
            if (lock + 1) % 100 == 0 {
                for reply in client.read_replies(100).await {
                    assert!(matches!(reply, Value::Array(_)), "a SESSION lock is answered {reply:?}");
                }
            }
        }
    }
}

fn renewed(stand: &Stand, span: Duration) -> Round {
    let counted = || {
        stand.wait(async {
            let mut commands = 0;
            for server in stand.fleet.iter() {
                commands += server.commands_processed().await;
            }
            (stand.proxy.counter("session_renewals").await, commands)
        })
    };
    let (used, (renewals, commands)) = (stand.used(), counted());
    thread::sleep(span);
    let (used_later, (renewals_later, commands_later)) = (stand.used(), counted());
    let renewals = (renewals_later - renewals) as f64;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / renewals;
    Round {
        renewals_per_second: renewals / span.as_secs_f64(),
        commands: (commands_later - commands) as f64 / renewals / stand.fleet.len() as f64,
        proxy_us: each(used_later.proxy.saturating_sub(used.proxy)),
        primaries_us: each(used_later.primaries.saturating_sub(used.primaries)),
    }
}

fn section(primaries: usize, rounds: &[Round], bytes: u64) -> Section {
    let middle = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure));
    let rate = middle(|round| round.renewals_per_second);
    let commands = middle(|round| round.commands);
    let (proxy_us, primaries_us) = (middle(|round| round.proxy_us), middle(|round| round.primaries_us));
    let text = format!(
        "| locks | renewals a second | commands on each primary | proxy, µs | primaries, µs | memory of the proxy, bytes |\n\
         |---:|---:|---:|---:|---:|---:|\n\
         | {} | {} | {commands:.2} | {proxy_us:.1} | {primaries_us:.1} | {bytes} |\n\n\
         Commands and µs are for one renewal (those that a script runs are counted too), bytes for one lock more.\n",
        grouped(LOCKS as f64),
        grouped(rate),
    );
    let json = json!({
        "case": "session",
        "primaries": primaries,
        "locks": LOCKS,
        "renewals_per_second": rate,
        "commands_on_each_primary": commands,
        "processor_us": {"proxy": proxy_us, "primaries": primaries_us},
        "bytes_each": bytes,
    });
    Section {
        title: format!("{} held SESSION locks, {primaries} primaries", grouped(LOCKS as f64)),
        text,
        json,
        figures: vec![(LOCK_BYTES, bytes as f64)],
        ..Section::default()
    }
}
