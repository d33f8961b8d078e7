//! A report in three parts, which only one of all its writers may be at: a lock as a guard, which is released when it
//! goes out of scope, however that comes.

use std::env::var;
use std::error::Error;
use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::{Client, Connection, RedisResult};

const TTL: Duration = Duration::from_secs(10);

/// A lock held through redlock-proxy.
struct Lock<'a> {
    connection: &'a mut Connection,
    key: &'a str,
    token: String,
    end: Instant,
}

impl<'a> Lock<'a> {
    /// Asks once; `None` when somebody else has it.
    fn take(connection: &'a mut Connection, key: &'a str) -> RedisResult<Option<Self>> {
        // The validity counts from before asking: nobody knows how long the answer travelled.
        let asked = Instant::now();
        let grant: Option<(String, u64)> = redis::cmd("RLOCK").arg(key).arg(TTL.as_millis()).query(connection)?;
        Ok(grant.map(|(token, validity)| Self { connection, key, token, end: asked + Duration::from_millis(validity) }))
    }

    /// Whether the lock is surely ours now; to be asked before each step that must not be done twice.
    fn is_held(&self) -> bool {
        Instant::now() < self.end
    }

    /// Asks for a full validity from now; false when the lock is lost. After an error the former validity stands.
    fn extend(&mut self) -> RedisResult<bool> {
        let asked = Instant::now();
        let mut extend = redis::cmd("REXTEND");
        extend.arg(self.key).arg(&self.token).arg(TTL.as_millis());
        let validity: Option<u64> = extend.query(self.connection)?;
        self.end = asked + validity.map_or(Duration::ZERO, Duration::from_millis);
        Ok(validity.is_some())
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        let release = redis::cmd("RUNLOCK").arg(self.key).arg(&self.token).query::<u8>(self.connection);
        if let Err(error) = release {
            eprintln!("{} ends with its ttl, as it could not be released: {error}", self.key);
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let port = var("PROXY_PORT").unwrap_or("6379".into());
    let client = Client::open(format!("redis://127.0.0.1:{port}"))?;
    let (mut first, mut second) = (client.get_connection()?, client.get_connection()?);
    let key = var("KEY_PREFIX").unwrap_or_default() + "report";

    let Some(mut lock) = Lock::take(&mut first, &key)? else {
        return Err("somebody else is at the report".into());
    };
    for part in 1..=3 {
        if !lock.is_held() || !lock.extend()? {
            return Err("the lock is lost, and another may be at the report".into());
        }
        println!("writing part {part} of 3");
        sleep(Duration::from_millis(100)); // the work
    }
    if Lock::take(&mut second, &key)?.is_some() {
        return Err("two are at the report at the same time".into());
    }
    println!("somebody else has to wait");

    drop(lock);
    if Lock::take(&mut second, &key)?.is_none() {
        return Err("the lock was not released".into());
    }
    println!("the report is written, and the lock is free");
    Ok(())
}
