//! A Redlock library and the proxy on the same primaries exclude each other, and each releases only its own.

use std::time::{Duration, Instant};

use support::{Driver, Value};

use crate::Failure;
use crate::programs::Program;
use crate::stage::{Environment, Stage};

const TTL_MS: &str = "30000";

/// After so long the lock has expired, and what is not there will not come.
const HANGING: Duration = Duration::from_secs(30);

/// Every promise in turn; the library's name and version.
pub(crate) async fn check(
    program: &Program,
    stage: &Stage,
    environment: &Environment,
    patience: Duration,
) -> Result<String, Failure> {
    let errors = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let to_file = errors.as_file().try_clone().expect("a descriptor can be duplicated");
    let outcome = async {
        let mut driver = Driver::start(&program.run, environment, to_file.into(), patience).await?;
        let pair = Pair { stage, key: format!("{}:exclusion", program.name) };
        pair.library_holds(&mut driver).await.map_err(|what| format!("while the library holds: {what}"))?;
        pair.proxy_holds(&mut driver).await.map_err(|what| format!("while the proxy holds: {what}"))?;
        pair.lost_to_the_proxy(&mut driver)
            .await
            .map_err(|what| format!("when the library's lock was lost: {what}"))?;
        Ok(driver.title().to_owned())
    };
    let said = || std::fs::read_to_string(errors.path()).unwrap_or_default();
    outcome.await.map_err(|what: String| Failure { what, output: said() })
}

struct Pair<'a> {
    stage: &'a Stage,
    key: String,
}

impl Pair<'_> {
    /// The proxy neither gets, releases nor extends what the library holds; it gets it when that is released.
    async fn library_holds(&self, driver: &mut Driver) -> Result<(), String> {
        let held = driver.tell(&format!("acquire {} {TTL_MS}", self.key)).await?;
        expect(held.starts_with("held"), format!("acquire: {held}"))?;
        let before = self.records_everywhere().await?;

        let refused = self.proxy(&["RLOCK", &self.key, TTL_MS]).await;
        expect(refused == Value::NullArray, format!("RLOCK: {refused:?}"))?;
        let token = "0".repeat(40);
        let release = self.proxy(&["RUNLOCK", &self.key, &token]).await;
        expect(release == Value::Integer(0), format!("RUNLOCK of another token: {release:?}"))?;
        let extend = self.proxy(&["REXTEND", &self.key, &token, TTL_MS]).await;
        expect(extend == Value::NullBulk, format!("REXTEND of another token: {extend:?}"))?;
        expect(self.records().await == before, "its records have changed".into())?;

        let extended = driver.tell(&format!("extend {} {TTL_MS}", self.key)).await?;
        expect(matches!(extended.as_str(), "extended" | "unsupported"), format!("extend: {extended}"))?;
        let released = driver.tell(&format!("release {}", self.key)).await?;
        expect(released == "released", format!("release: {released}"))
    }

    /// The library neither gets nor releases what the proxy holds; it gets it when that is released.
    async fn proxy_holds(&self, driver: &mut Driver) -> Result<(), String> {
        let token = self.take().await?;
        let refused = driver.tell(&format!("acquire {} {TTL_MS}", self.key)).await?;
        expect(refused.starts_with("refused"), format!("acquire: {refused}"))?;
        let released = self.proxy(&["RUNLOCK", &self.key, &token]).await;
        expect(released == Value::Integer(1), format!("RUNLOCK: {released:?}"))?;
        let held = driver.tell(&format!("acquire {} {TTL_MS}", self.key)).await?;
        expect(held.starts_with("held"), format!("acquire after RUNLOCK: {held}"))
    }

    /// The library's lock is deleted under it and taken by the proxy: its release then touches nothing.
    async fn lost_to_the_proxy(&self, driver: &mut Driver) -> Result<(), String> {
        for primary in self.stage.primaries.iter() {
            primary.del(&self.key).await;
        }
        let token = self.take().await?;
        let answer = driver.tell(&format!("release {}", self.key)).await?;
        let released = self.proxy(&["RUNLOCK", &self.key, &token]).await;
        expect(released == Value::Integer(1), format!("its release ({answer}) took the proxy's lock: {released:?}"))
    }

    async fn take(&self) -> Result<String, String> {
        match self.proxy(&["RLOCK", &self.key, TTL_MS]).await {
            Value::Array(granted) if granted.len() == 2 => Ok(granted[0].text()),
            other => Err(format!("RLOCK of a free key: {other:?}")),
        }
    }

    async fn proxy(&self, arguments: &[&str]) -> Value {
        self.stage.proxy.command(arguments).await
    }

    /// The records, once they are on every primary: some libraries do not wait for more than a majority.
    async fn records_everywhere(&self) -> Result<Vec<Value>, String> {
        let began = Instant::now();
        loop {
            let records = self.records().await;
            if records.iter().all(|record| *record != Value::simple("none")) {
                return Ok(records);
            }
            expect(began.elapsed() < HANGING, format!("records: {records:?}"))?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What lies under the key on each primary: its type, and the value where that is a string.
    async fn records(&self) -> Vec<Value> {
        let mut records = Vec::new();
        for primary in self.stage.primaries.iter() {
            let kind = primary.command(&["TYPE", &self.key]).await;
            records.push(if kind == Value::simple("string") {
                primary.command(&["GET", &self.key]).await
            } else {
                kind
            });
        }
        records
    }
}

fn expect(holds: bool, otherwise: String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise) }
}
