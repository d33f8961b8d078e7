//! Locks over redis-rs' blocking connection: one, a pool of them, a pipeline.

use std::thread;
use std::time::Duration;

use redis::{Commands, Connection, RedisResult, Value};

use super::{id, lock, release};
use crate::{Pass, WRONG_TOKEN, assert_valid, granted, mistakes, records, rextend, rlock, runlock, said};

pub(super) fn locks(pass: Pass, connection: &mut Connection) -> RedisResult<()> {
    let key = pass.key("job");
    let (id_before, token) = (id(connection)?, lock(connection, &key)?);
    assert!(records(&key, &token) >= 2);
    assert_eq!(rlock(&key).query::<Option<(String, u64)>>(connection)?, None);
    assert_valid(rextend(&key, &token).query(connection)?);
    assert_eq!(rextend(&key, WRONG_TOKEN).query::<Option<u64>>(connection)?, None);
    assert_eq!(runlock(&key, WRONG_TOKEN).query::<u8>(connection)?, 0);
    release(connection, &key, &token)?;
    let token = lock(connection, &key)?;
    release(connection, &key, &token)?;
    for (mistake, words) in mistakes(&key) {
        assert_eq!(said(mistake.query::<Value>(connection)), words);
    }
    assert_eq!(id(connection)?, id_before, "still the same connection");
    Ok(())
}

pub(super) fn pool(pass: Pass, connection: &mut Connection) -> RedisResult<()> {
    let [shared, counter] = ["shared", "counter"].map(|name| pass.key(name));
    let work = |worker: usize| -> RedisResult<()> {
        let mut connection = pass.client("PROXY_PORT").get_connection()?;
        let own = pass.key(&format!("own:{worker}"));
        for _ in 0..50 {
            let token = lock(&mut connection, &own)?;
            release(&mut connection, &own, &token)?;
            let token = loop {
                match rlock(&shared).query(&mut connection)? {
                    Some(grant) => break granted(grant),
                    None => thread::sleep(Duration::from_millis(1)),
                }
            };
            let n: Option<u64> = connection.get(&counter)?;
            let () = connection.set(&counter, n.unwrap_or(0) + 1)?;
            release(&mut connection, &shared, &token)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..8).map(|worker| scope.spawn(move || work(worker))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap())
    })?;
    assert_eq!(connection.get::<_, u64>(&counter)?, 8 * 50);
    Ok(())
}

pub(super) fn pipelines(pass: Pass, connection: &mut Connection) -> RedisResult<()> {
    let (step, keys) = (pass.key("step"), [1, 2, 3, 4].map(|i| pass.key(&format!("pipelined:{i}"))));
    let mut pipe = redis::pipe();
    for (i, key) in keys.iter().enumerate() {
        pipe.set(&step, i).ignore().add_command(rlock(key)).get(&step);
    }
    let replies: Vec<Value> = pipe.query(connection)?;
    let mut pipe = redis::pipe();
    for (i, (key, pair)) in keys.iter().zip(replies.chunks(2)).enumerate() {
        let token = granted(redis::from_redis_value(pair[0].clone())?);
        assert_eq!(redis::from_redis_value::<usize>(pair[1].clone())?, i);
        pipe.add_command(rextend(key, &token)).incr(&step, 1).add_command(runlock(key, &token));
    }
    let replies: Vec<u64> = pipe.query(connection)?;
    for (n, reply) in (4..).zip(replies.chunks(3)) {
        assert_valid(reply[0]);
        assert_eq!(reply[1..], [n, 1]);
    }
    assert_eq!(replies.len(), 3 * keys.len());
    Ok(())
}
