//! Ordinary work over redis-rs' blocking connection: values, pub/sub, transactions, blocking commands.

use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use redis::{Commands, Connection, ProtocolVersion, PushKind, RedisResult, Value};

use super::{id, lock, release};
use crate::{IN_TRANSACTION, Pass, rlock, said, values};

pub(super) fn greeting(pass: Pass, _: &mut Connection) -> RedisResult<()> {
    let key = pass.key("job");
    // With RESP3 there is not even a connection: HELLO is refused.
    let stranger = pass.client("AUTH_PORT").get_connection();
    let refused = stranger.and_then(|mut connection| rlock(&key).query::<Value>(&mut connection));
    assert!(said(refused).starts_with("NOAUTH "));

    let mut known = pass.client_with_password("AUTH_PORT").get_connection()?;
    let greeting: HashMap<String, Value> = redis::cmd("HELLO").query(&mut known)?;
    assert_eq!(greeting["proto"], Value::Int(if pass.protocol == ProtocolVersion::RESP3 { 3 } else { 2 }));
    let token = lock(&mut known, &key)?;
    release(&mut known, &key, &token)
}

pub(super) fn ordinary(pass: Pass, connection: &mut Connection) -> RedisResult<()> {
    let [n, hash, list] = ["n", "hash", "list"].map(|name| pass.key(name));
    let () = connection.set(&n, 41)?;
    assert_eq!(connection.incr::<_, _, i64>(&n, 1)?, 42);
    assert_eq!(connection.get::<_, i64>(&n)?, 42);
    assert_eq!(connection.hset_multiple::<_, _, _, String>(&hash, &[("a", "1"), ("b", "2")])?, "OK");
    let fields = HashMap::from([("a", "1"), ("b", "2")].map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(connection.hgetall::<_, HashMap<String, String>>(&hash)?, fields);
    assert_eq!(connection.rpush::<_, _, u64>(&list, &["a", "b", "c"])?, 3);
    assert_eq!(connection.lrange::<_, Vec<String>>(&list, 0, -1)?, ["a", "b", "c"]);
    for (name, value) in values() {
        let () = connection.set(pass.key(name), &value)?;
        assert!(connection.get::<_, Vec<u8>>(pass.key(name))? == value, "{name}");
    }
    let error = said(connection.incr::<_, _, i64>(&list, 1));
    assert_eq!(error, "WRONGTYPE Operation against a key holding the wrong kind of value");
    Ok(())
}

pub(super) fn subscriptions(pass: Pass, connection: &mut Connection) -> RedisResult<()> {
    let [news, key] = ["news", "job"].map(|name| pass.key(name));
    let mut subscriber = pass.client("PROXY_PORT").get_connection()?;
    if pass.protocol == ProtocolVersion::RESP3 {
        let (sender, pushes) = mpsc::channel();
        subscriber.set_push_sender(sender);
        subscriber.subscribe_resp3(&news)?;
        // Locked and released on the very connection that the message comes to.
        let token = lock(&mut subscriber, &key)?;
        assert_eq!(connection.publish::<_, _, u64>(&news, "hello")?, 1);
        release(&mut subscriber, &key, &token)?;
        // The message stands before the upstream's answer to what is asked after it.
        let () = redis::cmd("PING").query(&mut subscriber)?;
        let message = pushes.try_iter().find(|push| push.kind == PushKind::Message);
        assert_eq!(
            message.map(|push| push.data),
            Some([news, "hello".into()].map(|s| Value::BulkString(s.into())).into())
        );
        return Ok(());
    }
    let mut subscriber = subscriber.as_pubsub();
    subscriber.subscribe(&news)?;
    let token = lock(connection, &key)?;
    assert_eq!(connection.publish::<_, _, u64>(&news, "hello")?, 1);
    assert_eq!(subscriber.get_message()?.get_payload::<String>()?, "hello");
    release(connection, &key, &token)
}

pub(super) fn transactions(pass: Pass, connection: &mut Connection) -> RedisResult<()> {
    let [watched, key] = ["watched", "job"].map(|name| pass.key(name));
    let mut other = pass.client("PROXY_PORT").get_connection()?;
    let () = other.set(&watched, 1)?;
    for disturbed in [false, true] {
        let mut attempts = 0;
        let (doubled,): (u64,) = redis::transaction(connection, &[&watched], |connection, pipe| {
            let n: u64 = connection.get(&watched)?;
            attempts += 1;
            if disturbed && attempts == 1 {
                let () = other.set(&watched, 10)?;
            }
            pipe.set(&watched, 2 * n).ignore().get(&watched).query(connection)
        })?;
        assert_eq!((attempts, doubled), if disturbed { (2, 20) } else { (1, 2) });
    }
    let id_before = id(connection)?;
    let mut pipe = redis::pipe();
    let refused = pipe.atomic().incr(&watched, 1).add_command(rlock(&key)).query::<Value>(connection).unwrap_err();
    assert_eq!(refused.to_string(), IN_TRANSACTION);
    assert_eq!(connection.get::<_, u64>(&watched)?, 20, "nothing was run");
    let token = lock(connection, &key)?;
    release(connection, &key, &token)?;
    assert_eq!(id(connection)?, id_before, "still the same connection");
    Ok(())
}

pub(super) fn blocking(pass: Pass, connection: &mut Connection) -> RedisResult<()> {
    let queue = pass.key("queue");
    let mut waiter = pass.client("PROXY_PORT").get_connection()?;
    let waiter_id = id(&mut waiter)?;
    let popped = thread::scope(|scope| -> RedisResult<_> {
        let popped = scope.spawn(|| waiter.blpop::<_, (String, String)>(&queue, 60.0));
        while !redis::cmd("CLIENT")
            .arg("LIST")
            .arg("ID")
            .arg(waiter_id)
            .query::<String>(connection)?
            .contains(" flags=b ")
        {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(connection.rpush::<_, _, u64>(&queue, "work")?, 1);
        popped.join().unwrap()
    })?;
    assert_eq!(popped, (queue, "work".to_owned()));
    Ok(())
}
