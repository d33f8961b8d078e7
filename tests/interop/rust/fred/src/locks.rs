//! Locks with fred: one, a pool of connections, a pipeline.

use std::time::Duration;

use fred::prelude::*;

use crate::{Pass, TTL, command, granted, lock, release, setting, try_lock};

const WRONG_TOKEN: &str = "0000000000000000000000000000000000000000";

impl Pass {
    pub(crate) async fn locks(&self, client: &Client) -> Result<(), Error> {
        let key = &self.key("job");
        let token = &lock(client, key).await?;
        let mut records = 0;
        for port in setting("PRIMARY_PORTS").split_whitespace() {
            let primary = self.builder(port.parse().expect("a port"), None).build()?;
            primary.init().await?;
            records += usize::from(primary.get::<Option<String>, _>(key).await?.as_ref() == Some(token));
            primary.quit().await?;
        }
        assert!(records >= 2, "a majority has the record: {records}");
        assert_eq!(try_lock(client, key).await?, None);
        let validity: u64 = command(client, &["REXTEND", key, token, "30000"]).await?;
        assert!(0 < validity && validity <= TTL, "validity {validity}");
        assert_eq!(command::<Option<u64>>(client, &["REXTEND", key, WRONG_TOKEN, "30000"]).await?, None);
        assert_eq!(command::<u8>(client, &["RUNLOCK", key, WRONG_TOKEN]).await?, 0);
        release(client, key, token).await?;

        let id: u64 = command(client, &["CLIENT", "ID"]).await?;
        for (mistake, words) in [
            (&["RLOCK", key][..], "ERR wrong number of arguments for 'rlock' command"),
            (&["RLOCK", key, "soon"], "ERR value is not an integer or out of range"),
            (&["RLOCK", key, "1000", "NOPE"], "ERR syntax error"),
        ] {
            assert_eq!(command::<Value>(client, mistake).await.unwrap_err().details(), words);
        }
        assert_eq!(command::<u64>(client, &["CLIENT", "ID"]).await?, id, "still the same connection");
        let token = lock(client, key).await?;
        release(client, key, &token).await
    }

    pub(crate) async fn pool(&self, client: &Client) -> Result<(), Error> {
        let pool = self.builder(setting("PROXY_PORT").parse().expect("a port"), None).build_pool(8)?;
        pool.init().await?;
        let [shared, counter] = ["shared", "counter"].map(|name| self.key(name));
        let work = async |worker: usize| -> Result<(), Error> {
            let own = self.key(&format!("own:{worker}"));
            for _ in 0..50 {
                let token = lock(pool.next(), &own).await?;
                release(pool.next(), &own, &token).await?;
                let token = loop {
                    match try_lock(pool.next(), &shared).await? {
                        Some(token) => break token,
                        None => tokio::time::sleep(Duration::from_millis(1)).await,
                    }
                };
                let n: Option<u64> = pool.get(&counter).await?;
                let () = pool.set(&counter, n.unwrap_or(0) + 1, None, None, false).await?;
                release(pool.next(), &shared, &token).await?;
            }
            Ok(())
        };
        futures_util::future::try_join_all((0..8).map(work)).await?;
        assert_eq!(client.get::<u64, _>(&counter).await?, 8 * 50);
        pool.quit().await
    }

    pub(crate) async fn pipelines(&self, client: &Client) -> Result<(), Error> {
        let [step, first, second] = &["step", "pipelined:1", "pipelined:2"].map(|name| self.key(name));
        let pipeline = client.pipeline();
        let () = pipeline.set(step, 3, None, None, false).await?;
        let () = command(&pipeline, &["RLOCK", first, "30000"]).await?;
        let () = pipeline.get(step).await?;
        let () = command(&pipeline, &["RLOCK", second, "30000"]).await?;
        let (_, one, three, two): (Value, (String, u64), u64, (String, u64)) = pipeline.all().await?;
        let (one, two) = (granted(one), granted(two));

        let pipeline = client.pipeline();
        let () = command(&pipeline, &["REXTEND", first, &one, "30000"]).await?;
        let () = pipeline.incr(step).await?;
        let () = command(&pipeline, &["RUNLOCK", second, &two]).await?;
        let () = command(&pipeline, &["RUNLOCK", first, &one]).await?;
        let (validity, four, released_two, released_one): (u64, u64, u8, u8) = pipeline.all().await?;
        assert!(0 < validity && validity <= TTL, "validity {validity}");
        assert_eq!((three, four, released_two, released_one), (3, 4, 1, 1));
        Ok(())
    }
}
