//! The time of day steps: by hand, by a time server, after a suspended machine has woken. Locks must not notice.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::{Direction, Fault, Kind, Proxy, Relay, Value, WallClock, eventually, unique_key};

use crate::common::{
    LONGEST_TTL, Rig, drift, every_primary_holds, granted, no_primary_holds, outlive, patient, relays, settled, start,
};

/// The year in which a line of the log was written.
fn year_of(line: &str) -> i32 {
    line.get(..4).and_then(|year| year.parse().ok()).unwrap_or_else(|| panic!("no year in {line}"))
}

/// Sends a command whose answers are held back while the clock steps, and checks that its validity counts from when it was sent by a
/// clock that did not step. Gives the reply, and where in it the validity is.
async fn ask_while_it_steps(
    proxy: &Proxy,
    relays: &[Relay],
    command: &[&str],
    step: impl AsyncFnOnce(),
    validity_in: impl FnOnce(&Value) -> i64,
) -> Value {
    let ttl: i64 = LONGEST_TTL.parse().expect("a number");
    settled(proxy).await;
    let before: Vec<u64> = relays.iter().map(|relay| relay.bytes_read(Direction::ToServer)).collect();
    for relay in relays {
        relay.set(Direction::ToClient, Fault::Hold);
    }
    let mut client = proxy.connect().await;
    let asked = Instant::now();
    client.send(command).await;
    let sent =
        async || relays.iter().zip(&before).all(|(relay, before)| relay.bytes_read(Direction::ToServer) > *before);
    eventually(sent, "the requests to leave").await;
    let left = Instant::now();
    step().await;
    let held = left.elapsed();
    for relay in relays {
        relay.heal();
    }
    let reply = client.read_reply().await;
    let validity = validity_in(&reply);
    let counted = ttl - drift(ttl) - validity;
    let allowed = milliseconds(held)..=milliseconds(asked.elapsed()) + 1;
    assert!(allowed.contains(&counted), "{counted} ms were counted, not {allowed:?}: {command:?}");
    reply
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("less than an age")
}

/// Trap 12: a lock's life told by the time of day.
#[tokio::test]
async fn stepping_the_system_clock_changes_nothing() {
    let clock = WallClock::new();
    let fleet = Rig::shared(Kind::any(), 3).await.fleet;
    let relays = relays(fleet);
    // Without probes in between, what leaves is what was asked.
    let options = patient(relays.iter().map(Relay::address)).set("probe_interval_ms", 60_000);
    let proxy = start(options.shown(&clock)).await;
    let year = year_of(&proxy.wait_for_log("connected").await);

    for (offset, expected) in [("+10y", year + 10), ("-10y", year - 10)] {
        let step = async || {
            clock.shift("+0");
            outlive(&fleet[0], "300").await;
            clock.shift(offset);
            proxy.hang_up();
            // Its years have 365 days: near the turn of a year it is the next one.
            let stepped =
                async || proxy.log().lines().any(|line| (expected - 1..=expected + 1).contains(&year_of(line)));
            eventually(stepped, format_args!("the log to be written in {expected}")).await;
        };
        let key = &unique_key("trap12");
        let taking = ["RLOCK", key, LONGEST_TTL];
        let taken = ask_while_it_steps(&proxy, &relays, &taking, step, |reply| granted(reply).validity).await;
        let lock = granted(&taken);
        every_primary_holds(fleet, key, &lock.token).await;

        let extending = ["REXTEND", key, &lock.token, LONGEST_TTL];
        ask_while_it_steps(&proxy, &relays, &extending, step, Value::integer).await;
        assert_eq!(proxy.command(&["RLOCK", key, LONGEST_TTL]).await, Value::NullArray);
        assert_eq!(proxy.command(&["RUNLOCK", key, &lock.token]).await, Value::Integer(1));
        no_primary_holds(fleet, key).await;
    }
    // Nor did a link take the step for a silence.
    for place in 0..fleet.len() {
        let shown = proxy.info(&format!("primary{place}")).await.expect("a primary");
        assert!(shown.contains("state=up") && shown.contains("reconnects=0"), "{shown}");
    }
}

/// Trap 12: no source of the program names the clock that can step.
#[test]
fn only_the_monotonic_clock_is_read() {
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry of the folder").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.contains(&root.join("clock.rs")), "{found:?}");
    for path in found {
        let text = fs::read_to_string(&path).expect("text");
        // What tests forbid by name they have to name.
        let is_test = path.to_string_lossy().ends_with("_tests.rs");
        for word in ["SystemTime", "UNIX_EPOCH", "Realtime", "REALTIME", "gettimeofday"] {
            assert!(is_test || !text.contains(word), "{word} in {}", path.display());
        }
        let asks_the_system = text.contains("clock_gettime") || text.contains("ClockId");
        assert!(!asks_the_system || path == root.join("clock.rs"), "{} reads a clock by itself", path.display());
    }
}
