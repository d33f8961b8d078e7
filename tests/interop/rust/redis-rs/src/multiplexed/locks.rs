//! Locks over redis-rs' multiplexed connection: one, many tasks on one connection, a pipeline.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, RedisResult, Value};

use super::{lock, release};
use crate::{Pass, WRONG_TOKEN, assert_valid, granted, mistakes, records, rextend, rlock, runlock, said};

pub(super) async fn locks(pass: Pass, connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let key = pass.key("job");
    let token = lock(connection, &key).await?;
    assert!(records(&key, &token) >= 2);
    assert_eq!(rlock(&key).query_async::<Option<(String, u64)>>(connection).await?, None);
    assert_valid(rextend(&key, &token).query_async(connection).await?);
    assert_eq!(rextend(&key, WRONG_TOKEN).query_async::<Option<u64>>(connection).await?, None);
    assert_eq!(runlock(&key, WRONG_TOKEN).query_async::<u8>(connection).await?, 0);
    release(connection, &key, &token).await?;
    for (mistake, words) in mistakes(&key) {
        assert_eq!(said(mistake.query_async::<Value>(connection).await), words);
    }
    let token = lock(connection, &key).await?;
    release(connection, &key, &token).await
}

pub(super) async fn tasks(pass: Pass, connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..8 {
        let mut connection = connection.clone();
        workers.spawn(async move {
            let own = pass.key(&format!("own:{worker}"));
            let [shared, counter] = ["shared", "counter"].map(|name| pass.key(name));
            for _ in 0..50 {
                let token = lock(&mut connection, &own).await?;
                release(&mut connection, &own, &token).await?;
                let token = loop {
                    match rlock(&shared).query_async(&mut connection).await? {
                        Some(grant) => break granted(grant),
                        None => tokio::time::sleep(Duration::from_millis(1)).await,
                    }
                };
                let n: Option<u64> = connection.get(&counter).await?;
                let () = connection.set(&counter, n.unwrap_or(0) + 1).await?;
                release(&mut connection, &shared, &token).await?;
            }
            RedisResult::Ok(())
        });
    }
    workers.join_all().await.into_iter().collect::<RedisResult<()>>()?;
    assert_eq!(connection.get::<_, u64>(pass.key("counter")).await?, 8 * 50);
    Ok(())
}

pub(super) async fn pipelines(pass: Pass, connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let [step, first, second] = ["step", "pipelined:1", "pipelined:2"].map(|name| pass.key(name));
    let (one, three, two): ((String, u64), u64, (String, u64)) = redis::pipe()
        .set(&step, 3)
        .ignore()
        .add_command(rlock(&first))
        .get(&step)
        .add_command(rlock(&second))
        .query_async(connection)
        .await?;
    let (one, two) = (granted(one), granted(two));
    let replies: (u64, u64, u8, u8) = redis::pipe()
        .add_command(rextend(&first, &one))
        .incr(&step, 1)
        .add_command(runlock(&second, &two))
        .add_command(runlock(&first, &one))
        .query_async(connection)
        .await?;
    assert_valid(replies.0);
    assert_eq!((three, replies.1, replies.2, replies.3), (3, 4, 1, 1));
    Ok(())
}
