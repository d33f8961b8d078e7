//! The blocking connection, one per thread.

mod commands;
mod locks;

use redis::{Connection, RedisResult};

use crate::{Pass, granted, rlock, runlock};

use commands::{blocking, greeting, ordinary, subscriptions, transactions};
use locks::{locks, pipelines, pool};

pub fn run(pass: Pass) -> RedisResult<()> {
    let mut connection = pass.client("PROXY_PORT").get_connection()?;
    for (point, (name, check)) in (1..).zip([
        ("greeting and password", greeting as fn(Pass, &mut Connection) -> RedisResult<()>),
        ("ordinary commands", ordinary),
        ("locks", locks),
        ("connections of many threads", pool),
        ("pipelines", pipelines),
        ("subscriptions", subscriptions),
        ("transactions", transactions),
        ("blocking commands", blocking),
    ]) {
        check(pass, &mut connection)?;
        pass.ok(point, name);
    }
    Ok(())
}

fn lock(connection: &mut Connection, key: &str) -> RedisResult<String> {
    rlock(key).query(connection).map(granted)
}

fn release(connection: &mut Connection, key: &str, token: &str) -> RedisResult<()> {
    assert_eq!(runlock(key, token).query::<u8>(connection)?, 1);
    Ok(())
}

fn id(connection: &mut Connection) -> RedisResult<u64> {
    redis::cmd("CLIENT").arg("ID").query(connection)
}
