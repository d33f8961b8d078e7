//! What redis-rs does through redlock-proxy: the list in ../../../README.md, by its blocking connection and by its
//! multiplexed one, with RESP2 and again with RESP3.

mod blocking;
mod multiplexed;

use redis::{Client, Cmd, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisResult};

pub const TTL: u64 = 30_000;
pub const WRONG_TOKEN: &str = "0000000000000000000000000000000000000000";
/// EXECABORT, and which command made it so.
pub const IN_TRANSACTION: &str =
    "Transaction aborted: [(Index 1, error: ResponseError: Command not allowed inside a transaction)]";

fn main() -> RedisResult<()> {
    for protocol in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
        blocking::run(Pass { protocol, connection: "sync" })?;
        multiplexed::run(Pass { protocol, connection: "async" })?;
    }
    Ok(())
}

/// One pass through the list.
#[derive(Clone, Copy)]
pub struct Pass {
    protocol: ProtocolVersion,
    connection: &'static str,
}

impl Pass {
    pub fn client(self, port: &str) -> Client {
        self.open(port, RedisConnectionInfo::default())
    }

    pub fn client_with_password(self, port: &str) -> Client {
        self.open(port, RedisConnectionInfo::default().set_password(setting("AUTH_PASSWORD")))
    }

    fn open(self, port: &str, settings: RedisConnectionInfo) -> Client {
        let address: ConnectionInfo = format!("redis://127.0.0.1:{}", setting(port)).into_connection_info().unwrap();
        Client::open(address.set_redis_settings(settings.set_protocol(self.protocol))).unwrap()
    }

    pub fn key(self, name: &str) -> String {
        format!("{}{:?}:{}:{name}", setting("KEY_PREFIX"), self.protocol, self.connection)
    }

    pub fn ok(self, point: u8, name: &str) {
        println!("ok {point} {:?} {} {name}", self.protocol, self.connection);
    }
}

pub fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

pub fn rlock(key: &str) -> Cmd {
    redis::cmd("RLOCK").arg(key).arg(TTL).take()
}

pub fn rextend(key: &str, token: &str) -> Cmd {
    redis::cmd("REXTEND").arg(key).arg(token).arg(TTL).take()
}

pub fn runlock(key: &str, token: &str) -> Cmd {
    redis::cmd("RUNLOCK").arg(key).arg(token).take()
}

/// Looks at RLOCK's reply and returns the token.
pub fn granted((token, validity): (String, u64)) -> String {
    assert!(token.len() == 40 && token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "token {token}");
    assert_valid(validity);
    token
}

pub fn assert_valid(validity: u64) {
    assert!(0 < validity && validity <= TTL, "validity {validity}");
}

/// How many primaries have the record, asked directly.
pub fn records(key: &str, token: &str) -> usize {
    let has_it = |port: &&str| {
        let mut primary = Client::open(format!("redis://127.0.0.1:{port}")).unwrap().get_connection().unwrap();
        redis::cmd("GET").arg(key).query::<Option<String>>(&mut primary).unwrap().as_deref() == Some(token)
    };
    setting("PRIMARY_PORTS").split_whitespace().filter(has_it).count()
}

/// What the server said, as redis-rs takes it apart: the code, and the words behind it.
pub fn said<T: std::fmt::Debug>(refused: RedisResult<T>) -> String {
    let error = refused.unwrap_err();
    format!("{} {}", error.code().unwrap_or("no code"), error.detail().unwrap_or("no detail"))
}

/// Requests of a lock command that are refused, with the server's words.
pub fn mistakes(key: &str) -> [(Cmd, &'static str); 3] {
    let rlock = |rest: &[&str]| redis::cmd("RLOCK").arg(key).arg(rest).take();
    [
        (rlock(&[]), "ERR wrong number of arguments for 'rlock' command"),
        (rlock(&["soon"]), "ERR value is not an integer or out of range"),
        (rlock(&["1000", "NOPE"]), "ERR syntax error"),
    ]
}

/// Every byte there is, and a megabyte of text.
pub fn values() -> [(&'static str, Vec<u8>); 2] {
    [("bytes", (0..=255).collect()), ("large", b"redlock ".repeat(1 << 17))]
}
