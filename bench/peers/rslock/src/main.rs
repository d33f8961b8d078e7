//! rslock on the primaries themselves, driven line by line from standard input: whether it and the proxy exclude each
//! other, and how fast it is. One lock manager, which all tasks share, as rslock's own examples show.

mod drive;

use std::collections::HashMap;
use std::time::Duration;

use rslock::{Lock, LockManager};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

/// What the lock file says, so that nobody has to say it again.
const LOCKED: &str = include_str!("../../../../tests/interop/rust/Cargo.lock");

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let ports = std::env::var("PRIMARY_PORTS").expect("PRIMARY_PORTS is set");
    let addresses = ports.split_whitespace().map(|port| format!("redis://127.0.0.1:{port}")).collect();
    let mut driver = Driver { manager: LockManager::new::<String>(addresses), held: HashMap::new() };
    println!("ready rslock {}", version());
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = driver.answer(&line.split_whitespace().collect::<Vec<_>>()).await;
        println!("{}", answer.as_deref().unwrap_or("error unknown command"));
    }
    Ok(())
}

fn version() -> &'static str {
    let (_, rest) = LOCKED.split_once("name = \"rslock\"\nversion = \"").expect("rslock is in the lock file");
    rest.split('"').next().expect("split gives one at least")
}

struct Driver {
    manager: LockManager,
    held: HashMap<String, Lock>,
}

impl Driver {
    async fn answer(&mut self, words: &[&str]) -> Option<String> {
        let milliseconds = |word: &str| word.parse().ok().filter(|&n| n > 0).map(Duration::from_millis);
        Some(match *words {
            ["acquire", key, ttl] => self.acquire(key, milliseconds(ttl)?).await,
            ["extend", key, ttl] => self.extend(key, milliseconds(ttl)?).await,
            ["release", key] => self.release(key).await,
            ["drive", how @ ("distinct" | "contended"), clients, span, name] => {
                let (clients, span) = (clients.parse().ok()?, milliseconds(span)?);
                drive::drive(&self.manager, how == "distinct", clients, span, name).await
            }
            _ => return None,
        })
    }

    async fn acquire(&mut self, key: &str, ttl: Duration) -> String {
        let mut once = self.manager.clone();
        once.set_retry(1, Duration::from_millis(200));
        match once.lock(key.as_bytes(), ttl).await {
            Ok(lock) => {
                let value: String = lock.val.iter().map(|byte| format!("{byte:02x}")).collect();
                self.held.insert(key.to_owned(), lock);
                format!("held {value}")
            }
            Err(error) => format!("refused {error}"),
        }
    }

    async fn extend(&mut self, key: &str, ttl: Duration) -> String {
        let Some(lock) = self.held.get(key) else { return "failed not taken here".to_owned() };
        match self.manager.extend(lock, ttl).await {
            Ok(_) => "extended".to_owned(),
            Err(error) => format!("failed {error}"),
        }
    }

    /// rslock does not tell whether the lock was held.
    async fn release(&mut self, key: &str) -> String {
        let Some(lock) = self.held.remove(key) else { return "failed not taken here".to_owned() };
        lock.release().await;
        "released".to_owned()
    }
}
