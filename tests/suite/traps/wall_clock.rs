//! The time of day steps: by hand, by a time server, after a suspended machine has woken. Locks must not notice.

use std::fs;
use std::path::{Path, PathBuf};

use support::{Kind, Value, eventually, unique_key};
use tempfile::TempDir;

use crate::common::{drift, granted, occupy, patient, shared_set, start, take};

/// Debian's libfaketime, which shows a program another time of day.
fn libfaketime() -> PathBuf {
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(Path::new);
    let architectures = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let mut candidates = folders.iter().map(PathBuf::from).chain(architectures.map(|entry| entry.path()));
    candidates
        .find_map(|folder| Some(folder.join("faketime/libfaketimeMT.so.1")).filter(|file| file.is_file()))
        .expect("libfaketime is installed: run `make setup`")
}

/// Trap 12: a lock's life told by the time of day.
///
/// libfaketime stands between the program and the C library, by which the standard library asks for the time of day; what asks the
/// kernel past it is the subject of the next test.
#[tokio::test]
async fn stepping_the_system_clock_changes_nothing() {
    let folder = TempDir::new().expect("a temporary folder");
    let clock = folder.path().join("clock");
    let step = |offset: &str| {
        // Replaced rather than rewritten: it is read at any moment.
        let new = folder.path().join("new");
        fs::write(&new, offset).and_then(|()| fs::rename(&new, &clock)).expect("the folder is ours");
    };
    let year_of = |log: &str| log[..4].parse::<i32>().expect("a line of the log begins with the year");

    step("+0");
    let kind = Kind::any();
    let fleet = shared_set(kind, 3).await.fleet;
    let options = patient(fleet.addresses())
        .set("attempts", 100)
        .set("retry_delay_ms", 10)
        .environment("LD_PRELOAD", libfaketime().display().to_string())
        .environment("FAKETIME_TIMESTAMP_FILE", clock.display().to_string())
        .environment("FAKETIME_NO_CACHE", "1")
        .environment("DONT_FAKE_MONOTONIC", "1");
    let proxy = start(options).await;
    let year = year_of(&proxy.wait_for_log("connected").await);

    for (offset, expected) in [("+10y", year + 10), ("-10y", year - 10)] {
        step("+0");
        let mut client = proxy.connect().await;
        let key = &unique_key("trap12");
        let lock = take(&mut client, fleet, key, "30000").await;
        // Another is under way while the clock steps.
        let waiting = &unique_key("trap12");
        occupy(&fleet[0], waiting, "rival").await;
        occupy(&fleet[1], waiting, "another").await;
        let retries = proxy.counter("rlock_split_retries").await;
        let mut second = proxy.connect().await;
        second.send(&["RLOCK", waiting, "30000"]).await;
        eventually(async || proxy.counter("rlock_split_retries").await > retries, "the first retry").await;

        step(offset);
        proxy.hang_up();
        // The years are of 365 days: near the turn of a year it is the one next to it.
        let stepped = async || {
            let log = proxy.log();
            log.lines().any(|line| (expected - 1..=expected + 1).contains(&year_of(line)))
        };
        eventually(stepped, format_args!("the log to be written in {expected}")).await;

        assert_eq!(client.call(&["RLOCK", key, "30000"]).await, Value::NullArray);
        let extended = client.call(&["REXTEND", key, &lock.token, "30000"]).await.integer();
        assert!((15_000..=30_000 - drift(30_000)).contains(&extended), "{extended}");
        assert_eq!(client.call(&["RUNLOCK", key, &lock.token]).await, Value::Integer(1));
        fleet[0].del(waiting).await;
        fleet[1].del(waiting).await;
        let late = granted(&second.read_reply().await);
        assert!((15_000..=30_000 - drift(30_000)).contains(&late.validity), "{late:?}");
        assert_eq!(client.call(&["RUNLOCK", waiting, &late.token]).await, Value::Integer(1));
    }
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
