//! What fred does through redlock-proxy: the list in ../../../README.md, with RESP2 and again with RESP3. One client is
//! one connection, which all tasks may share; a pool is several.

mod commands;
mod locks;

use fred::prelude::*;
use fred::types::{ClusterHash, CustomCommand, RespVersion};

const TTL: u64 = 30_000;

#[tokio::main]
async fn main() -> Result<(), Error> {
    for version in [RespVersion::RESP2, RespVersion::RESP3] {
        let pass = Pass { version };
        pass.greeting().await?;
        pass.ok(1, "greeting and password");
        let client = pass.connect("PROXY_PORT", None).await?;
        pass.ordinary(&client).await?;
        pass.ok(2, "ordinary commands");
        pass.locks(&client).await?;
        pass.ok(3, "locks");
        pass.pool(&client).await?;
        pass.ok(4, "pool");
        pass.pipelines(&client).await?;
        pass.ok(5, "pipelines");
        pass.subscriptions(&client).await?;
        pass.ok(6, "subscriptions");
        pass.transactions(&client).await?;
        pass.ok(7, "transactions");
        pass.blocking(&client).await?;
        pass.ok(8, "blocking commands");
        client.quit().await?;
    }
    Ok(())
}

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

async fn command<R: FromValue>(client: &impl ClientLike, words: &[&str]) -> Result<R, Error> {
    client.custom(CustomCommand::new(words[0], ClusterHash::FirstKey, false), words[1..].to_vec()).await
}

async fn try_lock(client: &impl ClientLike, key: &str) -> Result<Option<String>, Error> {
    let grant: Option<(String, u64)> = command(client, &["RLOCK", key, "30000"]).await?;
    Ok(grant.map(granted))
}

async fn lock(client: &impl ClientLike, key: &str) -> Result<String, Error> {
    Ok(try_lock(client, key).await?.expect("nobody else has it"))
}

/// Looks at RLOCK's reply and returns the token.
fn granted((token, validity): (String, u64)) -> String {
    assert!(token.len() == 40 && token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "token {token}");
    assert!(0 < validity && validity <= TTL, "validity {validity}");
    token
}

async fn release(client: &impl ClientLike, key: &str, token: &str) -> Result<(), Error> {
    assert_eq!(command::<u8>(client, &["RUNLOCK", key, token]).await?, 1);
    Ok(())
}

/// One pass through the list.
struct Pass {
    version: RespVersion,
}

impl Pass {
    fn ok(&self, point: u8, name: &str) {
        println!("ok {point} {:?} {name}", self.version);
    }

    fn key(&self, name: &str) -> String {
        format!("{}{:?}:{name}", setting("KEY_PREFIX"), self.version)
    }

    fn builder(&self, port: u16, password: Option<String>) -> Builder {
        let server = ServerConfig::new_centralized("127.0.0.1", port);
        let version = self.version.clone();
        Builder::from_config(Config { server, version, password, ..Config::default() })
    }

    async fn connect(&self, port: &str, password: Option<String>) -> Result<Client, Error> {
        let client = self.builder(setting(port).parse().expect("a port"), password).build()?;
        client.init().await?;
        Ok(client)
    }
}
