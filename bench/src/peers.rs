//! Redlock libraries, each driven by a program in its own language (bench/peers/README.md), on the primaries of a stand.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use support::Driver;
use tempfile::NamedTempFile;
use tokio::time::timeout;

use crate::programs::{self, TO_BEGIN};
use crate::series::{Processor, Run};
use crate::stand::Stand;

/// Longer than it was told to work, and against hanging only.
const TO_END: Duration = Duration::from_secs(60);

/// What each worker of a driver wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// A key of its own
    Distinct,
    /// The same
    Contended,
}

/// A library whose driver is ready.
pub struct Peer {
    /// The driver's folder, and the version of the library.
    pub name: String,
    driver: Driver,
    errors: NamedTempFile,
}

/// All drivers there are, in order of their names: those that are ready, and what is wrong with the others.
pub fn start(stand: &Stand) -> (Vec<Peer>, Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    programs::start_each(&folder, |name, run| Peer::start(stand, name, run))
}

impl Peer {
    fn start(stand: &Stand, name: &str, run: &Path) -> Result<Self, String> {
        let ports: Vec<String> = stand.fleet.iter().map(|server| server.port().to_string()).collect();
        let environment = [("PRIMARY_PORTS".to_owned(), ports.join(" "))];
        let errors = NamedTempFile::new().expect("a temporary file can be made");
        let to_file: File = errors.as_file().try_clone().expect("a descriptor can be duplicated");
        let driver = stand.wait(Driver::start(run, &environment, to_file.into(), TO_BEGIN));
        let driver = driver.map_err(|reason| explained(&reason, &errors))?;
        let version = driver.title().rsplit(' ').next().unwrap_or_default();
        Ok(Self { name: format!("{name} {version}"), driver, errors })
    }

    /// Lets so many of its workers lock and unlock for this long, after they have for that long unmeasured.
    ///
    /// # Errors
    /// Says why nothing was measured.
    pub fn drive(
        &mut self,
        stand: &Stand,
        keys: Keys,
        clients: usize,
        [warm_up, span]: [Duration; 2],
        name: &str,
    ) -> Result<Run, String> {
        let order = if keys == Keys::Distinct { "distinct" } else { "contended" };
        let order = |span: Duration| format!("drive {order} {clients} {} {name}", span.as_millis());
        let tell = |driver: &mut Driver, span| {
            let answer = stand.wait(async { timeout(span + TO_END, driver.tell(&order(span))).await });
            answer.unwrap_or_else(|_| Err(format!("has not answered {TO_END:?} after its time was up")))
        };
        // What is wrong with its answer will come again.
        tell(&mut self.driver, warm_up).map_err(|reason| explained(&reason, &self.errors))?;
        let used = |driver: &Driver| driver.footprint().map(|used| used.processor).unwrap_or_default();
        let before = (used(&self.driver), stand.used().primaries);
        let answer = tell(&mut self.driver, span).map_err(|reason| explained(&reason, &self.errors))?;
        let after = (used(&self.driver), stand.used().primaries);
        let spent = [after.0.saturating_sub(before.0), after.1.saturating_sub(before.1)];
        run(&answer, keys, spent).map_err(|reason| explained(&reason, &self.errors))
    }
}

/// With the last that was said to standard error.
fn explained(reason: &str, errors: &NamedTempFile) -> String {
    programs::explained(reason, errors, 1)
}

/// What a driver's answer tells; its processors' time and that of the primaries are known already. Of a lock that all want,
/// hand-overs are counted; distinct keys have as many pairs.
fn run(answer: &str, keys: Keys, [client, primaries]: [Duration; 2]) -> Result<Run, String> {
    let told: Value = serde_json::from_str(answer).map_err(|_| answer.to_owned())?;
    let number = |field: &str| told[field].as_f64().ok_or_else(|| format!("tells no {field}: {answer}"));
    let pairs = number("pairs")?;
    if pairs == 0.0 {
        return Err(format!("no lock in {} ms, {} errors", number("elapsed_us")? / 1000.0, number("errors")?));
    }
    let counted = if keys == Keys::Contended { number("hand_overs")? } else { pairs };
    let grants: Vec<u64> = told["clients"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let (most, least) = grants.iter().max().zip(grants.iter().min()).ok_or("tells of no clients")?;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / pairs;
    Ok(Run {
        per_second: counted * 1e6 / number("elapsed_us")?,
        p50_us: number("p50_us")?,
        p99_us: number("p99_us")?,
        p999_us: number("p999_us")?,
        max_us: None,
        failures: told["errors"].as_u64().unwrap_or_default(),
        first_failure: None,
        unfairness: Some(*most as f64 / *least as f64),
        processor: Processor { client_us: each(client), proxy_us: 0.0, primaries_us: each(primaries) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPENT: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(4)];

    #[test]
    fn what_a_driver_answers_is_read() {
        let answer = r#"{"pairs": 4, "elapsed_us": 2000000, "p50_us": 10, "p99_us": 20, "p999_us": 30, "errors": 1, "clients": [3, 1], "hand_overs": 2}"#;
        assert_eq!(run(answer, Keys::Contended, SPENT).map(|run| run.per_second.to_string()), Ok("1".into()));
        let run = run(answer, Keys::Distinct, SPENT).expect("it tells all");
        let figures = [run.per_second, run.p50_us, run.p99_us, run.p999_us];
        assert_eq!(figures.map(|figure| figure.to_string()), ["2", "10", "20", "30"]);
        assert_eq!((run.failures, run.unfairness), (1, Some(3.0)));
        assert_eq!([run.processor.client_us, run.processor.primaries_us].map(|us| us.to_string()), ["500", "1000"]);
    }

    #[test]
    fn an_answer_without_locks_is_a_failure_with_its_reason() {
        let reason = |answer| run(answer, Keys::Distinct, SPENT).expect_err("nothing was measured");
        assert_eq!(reason("error unknown command"), "error unknown command");
        assert_eq!(reason(r#"{"pairs": 0, "elapsed_us": 1500, "errors": 2}"#), "no lock in 1.5 ms, 2 errors");
        assert_eq!(reason(r#"{"pairs": 1}"#), "tells of no clients");
    }
}
