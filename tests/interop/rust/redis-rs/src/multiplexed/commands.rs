//! Ordinary work over redis-rs' multiplexed connection: values, pub/sub, transactions, blocking commands.

use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, ProtocolVersion, PushInfo, PushKind, RedisResult, Value};
use tokio::sync::broadcast;

use super::{lock, open, patient, release};
use crate::{IN_TRANSACTION, Pass, rlock, said, values};

pub(super) async fn greeting(pass: Pass) -> RedisResult<()> {
    let key = pass.key("job");
    // With RESP3 there is not even a connection: HELLO is refused.
    let refused = match open(&pass.client("AUTH_PORT")).await {
        Ok(mut stranger) => rlock(&key).query_async::<Value>(&mut stranger).await,
        Err(error) => Err(error),
    };
    assert!(said(refused).starts_with("NOAUTH "));
    let mut known = open(&pass.client_with_password("AUTH_PORT")).await?;
    let token = lock(&mut known, &key).await?;
    release(&mut known, &key, &token).await
}

pub(super) async fn ordinary(pass: Pass, connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let () = connection.set(pass.key("n"), 41).await?;
    assert_eq!(connection.incr::<_, _, i64>(pass.key("n"), 1).await?, 42);
    assert_eq!(connection.hset::<_, _, _, u64>(pass.key("hash"), "a", "1").await?, 1);
    assert_eq!(connection.hgetall::<_, Vec<(String, u64)>>(pass.key("hash")).await?, [("a".to_owned(), 1)]);
    assert_eq!(connection.rpush::<_, _, u64>(pass.key("list"), &["a", "b"]).await?, 2);
    assert_eq!(connection.lrange::<_, Vec<String>>(pass.key("list"), 0, -1).await?, ["a", "b"]);
    for (name, value) in values() {
        let () = connection.set(pass.key(name), &value).await?;
        assert!(connection.get::<_, Vec<u8>>(pass.key(name)).await? == value, "{name}");
    }
    let error = said(connection.incr::<_, _, i64>(pass.key("list"), 1).await);
    assert_eq!(error, "WRONGTYPE Operation against a key holding the wrong kind of value");
    Ok(())
}

pub(super) async fn subscriptions(pass: Pass, connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let [news, key] = ["news", "job"].map(|name| pass.key(name));
    let client = pass.client("PROXY_PORT");
    if pass.protocol == ProtocolVersion::RESP3 {
        let (sender, mut pushes) = broadcast::channel::<PushInfo>(16);
        let config = patient().set_push_sender(sender);
        let mut subscriber = client.get_multiplexed_async_connection_with_config(&config).await?;
        subscriber.subscribe(&news).await?;
        // Locked and released on the very connection that the message comes to.
        let token = lock(&mut subscriber, &key).await?;
        assert_eq!(connection.publish::<_, _, u64>(&news, "hello").await?, 1);
        release(&mut subscriber, &key, &token).await?;
        let message = loop {
            let push = pushes.recv().await.expect("the subscriber's connection");
            if push.kind == PushKind::Message {
                break push.data;
            }
        };
        assert_eq!(message, [news, "hello".into()].map(|s| Value::BulkString(s.into())));
        return Ok(());
    }
    let mut subscriber = client.get_async_pubsub().await?;
    subscriber.subscribe(&news).await?;
    let token = lock(connection, &key).await?;
    assert_eq!(connection.publish::<_, _, u64>(&news, "hello").await?, 1);
    let message = subscriber.on_message().next().await.expect("the subscriber's connection");
    assert_eq!(message.get_payload::<String>()?, "hello");
    release(connection, &key, &token).await
}

/// No WATCH: what all tasks share cannot watch for one of them.
pub(super) async fn transactions(pass: Pass, connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let [n, key] = ["counted", "job"].map(|name| pass.key(name));
    let sums: (u64, u64) = redis::pipe().atomic().incr(&n, 1).incr(&n, 1).query_async(connection).await?;
    assert_eq!(sums, (1, 2));
    let mut pipe = redis::pipe();
    let refused = pipe.atomic().incr(&n, 1).add_command(rlock(&key)).query_async::<Value>(connection).await;
    assert_eq!(refused.unwrap_err().to_string(), IN_TRANSACTION);
    assert_eq!(connection.get::<_, u64>(&n).await?, 2, "nothing was run");
    let token = lock(connection, &key).await?;
    release(connection, &key, &token).await
}

pub(super) async fn blocking(pass: Pass, connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let queue = pass.key("queue");
    let mut waiter = open(&pass.client("PROXY_PORT")).await?;
    let id: u64 = redis::cmd("CLIENT").arg("ID").query_async(&mut waiter).await?;
    let popped = tokio::spawn({
        let queue = queue.clone();
        async move { waiter.blpop::<_, (String, String)>(queue, 50.0).await }
    });
    let mut list = redis::cmd("CLIENT");
    list.arg("LIST").arg("ID").arg(id);
    while !list.query_async::<String>(connection).await?.contains(" flags=b ") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(connection.rpush::<_, _, u64>(&queue, "work").await?, 1);
    assert_eq!(popped.await.unwrap()?, (queue, "work".to_owned()));
    Ok(())
}
