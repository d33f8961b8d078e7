//! Ordinary work with fred: values, pub/sub, transactions, blocking commands.

use std::collections::HashMap;
use std::time::Duration;

use fred::prelude::*;
use fred::types::RespVersion;

use crate::{Pass, command, lock, release, setting, try_lock};

impl Pass {
    pub(crate) async fn greeting(&self) -> Result<(), Error> {
        let refused = match self.connect("AUTH_PORT", None).await {
            Ok(stranger) => try_lock(&stranger, &self.key("job")).await.unwrap_err(),
            Err(refused) => refused,
        };
        assert!(refused.details().starts_with("NOAUTH "), "{refused}");
        let password = match (&self.version, setting("AUTH_PASSWORD")) {
            // With RESP3 fred says HELLO as an inline command and quotes nothing, so blanks and quotes are left to us.
            (RespVersion::RESP3, password) => format!("{password:?}"),
            (RespVersion::RESP2, password) => password,
        };
        let known = self.connect("AUTH_PORT", Some(password)).await?;
        let greeting: HashMap<String, Value> = command(&known, &["HELLO"]).await?;
        assert_eq!(greeting["proto"], Value::Integer(if self.version == RespVersion::RESP3 { 3 } else { 2 }));
        let token = lock(&known, &self.key("job")).await?;
        release(&known, &self.key("job"), &token).await?;
        known.quit().await
    }

    pub(crate) async fn ordinary(&self, client: &Client) -> Result<(), Error> {
        let [n, hash, list] = ["n", "hash", "list"].map(|name| self.key(name));
        let () = client.set(&n, 41, None, None, false).await?;
        assert_eq!(client.incr::<u64, _>(&n).await?, 42);
        assert_eq!(client.get::<u64, _>(&n).await?, 42);
        let fields = HashMap::from([("a", "1"), ("b", "2")].map(|(field, value)| (field.to_owned(), value.to_owned())));
        assert_eq!(client.hset::<u64, _, _>(&hash, fields.clone()).await?, 2);
        assert_eq!(client.hgetall::<HashMap<String, String>, _>(&hash).await?, fields);
        assert_eq!(client.rpush::<u64, _, _>(&list, vec!["a", "b", "c"]).await?, 3);
        assert_eq!(client.lrange::<Vec<String>, _>(&list, 0, -1).await?, ["a", "b", "c"]);
        for (name, value) in [("bytes", (0..=255).collect()), ("large", b"redlock ".repeat(1 << 17))] {
            let () = client.set(self.key(name), &value[..], None, None, false).await?;
            assert!(client.get::<Vec<u8>, _>(self.key(name)).await? == value, "{name}");
        }
        let error = client.incr::<u64, _>(&list).await.unwrap_err();
        assert_eq!(error.details(), "WRONGTYPE Operation against a key holding the wrong kind of value");
        Ok(())
    }

    pub(crate) async fn subscriptions(&self, client: &Client) -> Result<(), Error> {
        let [news, key] = &["news", "job"].map(|name| self.key(name));
        let subscriber = self.connect("PROXY_PORT", None).await?;
        let mut messages = subscriber.message_rx();
        subscriber.subscribe(news).await?;
        // With RESP3 on the very connection that the message comes to.
        let locker = if self.version == RespVersion::RESP3 { &subscriber } else { client };
        let token = lock(locker, key).await?;
        assert_eq!(client.publish::<u64, _, _>(news, "hello").await?, 1);
        let message = messages.recv().await.expect("the subscriber's connection");
        assert_eq!((&*message.channel, message.value), (news.as_str(), "hello".into()));
        release(locker, key, &token).await?;
        subscriber.quit().await
    }

    pub(crate) async fn transactions(&self, client: &Client) -> Result<(), Error> {
        let [watched, key] = &["watched", "job"].map(|name| self.key(name));
        let other = self.connect("PROXY_PORT", None).await?;
        for disturbed in [false, true] {
            client.watch(watched).await?;
            if disturbed {
                let () = other.set(watched, 10, None, None, false).await?;
            }
            let transaction = client.multi();
            let () = transaction.incr(watched).await?;
            let sums: Option<Vec<u64>> = transaction.exec(true).await?;
            assert_eq!(sums, if disturbed { None } else { Some(vec![1]) });
        }
        // Given up at the first refusal, by DISCARD, or carried on to EXEC.
        for (abort_on_error, words) in [
            (true, "ERR Command not allowed inside a transaction"),
            (false, "EXECABORT Transaction discarded because of previous errors."),
        ] {
            let transaction = client.multi();
            let () = transaction.incr(watched).await?;
            let () = command(&transaction, &["RLOCK", key, "30000"]).await?;
            let refused = transaction.exec::<Value>(abort_on_error).await.unwrap_err();
            assert_eq!(refused.details(), words);
        }
        assert_eq!(client.get::<u64, _>(watched).await?, 10, "nothing was run");
        let token = lock(client, key).await?;
        release(client, key, &token).await?;
        other.quit().await
    }

    pub(crate) async fn blocking(&self, client: &Client) -> Result<(), Error> {
        let queue = self.key("queue");
        let waiter = self.connect("PROXY_PORT", None).await?;
        let id: u64 = command(&waiter, &["CLIENT", "ID"]).await?;
        let pop = waiter.blpop::<(String, String), _>(&queue, 60.0);
        let push = async {
            while !command::<String>(client, &["CLIENT", "LIST", "ID", &id.to_string()]).await?.contains(" flags=b ") {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            client.rpush::<u64, _, _>(&queue, "work").await
        };
        assert_eq!(tokio::try_join!(pop, push)?, ((queue.clone(), "work".to_owned()), 1));
        waiter.quit().await
    }
}
