//! The multiplexed connection of async programs: one, shared by all tasks, whose requests go out as they come.

mod commands;
mod locks;

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult};

use crate::{Pass, granted, rlock, runlock};

use commands::{blocking, greeting, ordinary, subscriptions, transactions};
use locks::{locks, pipelines, tasks};

#[tokio::main]
pub async fn run(pass: Pass) -> RedisResult<()> {
    greeting(pass).await?;
    pass.ok(1, "greeting and password");
    let connection = &mut open(&pass.client("PROXY_PORT")).await?;
    ordinary(pass, connection).await?;
    pass.ok(2, "ordinary commands");
    locks(pass, connection).await?;
    pass.ok(3, "locks");
    tasks(pass, connection).await?;
    pass.ok(4, "many tasks");
    pipelines(pass, connection).await?;
    pass.ok(5, "pipelines");
    subscriptions(pass, connection).await?;
    pass.ok(6, "subscriptions");
    transactions(pass, connection).await?;
    pass.ok(7, "transactions");
    blocking(pass, connection).await?;
    pass.ok(8, "blocking commands");
    Ok(())
}

/// For hanging only: redis-rs' own half second would take a slow machine for a fault.
fn patient() -> AsyncConnectionConfig {
    let patience = Some(Duration::from_secs(60));
    AsyncConnectionConfig::new().set_connection_timeout(patience).set_response_timeout(patience)
}

async fn open(client: &Client) -> RedisResult<MultiplexedConnection> {
    client.get_multiplexed_async_connection_with_config(&patient()).await
}

async fn lock(connection: &mut MultiplexedConnection, key: &str) -> RedisResult<String> {
    rlock(key).query_async(connection).await.map(granted)
}

async fn release(connection: &mut MultiplexedConnection, key: &str, token: &str) -> RedisResult<()> {
    assert_eq!(runlock(key, token).query_async::<u8>(connection).await?, 1);
    Ok(())
}
