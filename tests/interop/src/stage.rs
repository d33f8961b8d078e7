//! The servers and proxies that the programs use, and how they are told of them.

use std::path::PathBuf;

use support::relay::Relay;
use support::servers::{Fleet, Kind, Server, ServerOptions};
use support::{Proxy, ProxyOptions, Value};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Variables for one program.
pub(crate) type Environment = Vec<(String, String)>;

const PASSWORD: &str = "an upstream's password";

/// What all programs share.
pub(crate) struct Stage {
    pub(crate) primaries: Fleet,
    pub(crate) proxy: Proxy,
    guarded: Proxy,
    upstream: Server,
    _guarded_upstream: Server,
}

impl Stage {
    /// Three primaries; a proxy with an upstream, and one whose upstream demands a password.
    pub(crate) async fn set() -> Self {
        let kind = Kind::any();
        let primaries = Fleet::start(kind, 3).await;
        let upstream = Server::start(kind, ServerOptions::default()).await;
        let with_password = ServerOptions { password: Some(PASSWORD.into()), ..ServerOptions::default() };
        let guarded_upstream = Server::start(kind, with_password).await;
        let proxy = start_proxy(&primaries, &upstream.address()).await;
        let options = options(&primaries, &guarded_upstream.address()).upstream_password(PASSWORD);
        let guarded = Proxy::start(binary(), options).await;
        Self { primaries, proxy, guarded, upstream, _guarded_upstream: guarded_upstream }
    }

    /// What one program has for itself, and everything it must know.
    pub(crate) async fn of_one_program(&self, name: &str) -> OwnStage {
        let upstream = Relay::start(self.upstream.address());
        let proxy = start_proxy(&self.primaries, &upstream.address()).await;
        // Locks go on without an upstream only where it is known to demand no password: a lock command finds out.
        let known = proxy.command(&["RUNLOCK", &format!("{name}:nobody's"), "no token"]).await;
        assert!(known == Value::Integer(0), "RUNLOCK before the outage: {known:?}");
        upstream.refuse();
        upstream.cut();
        let switch = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let switch_port = switch.local_addr().expect("it is bound").port();
        let outage_port = proxy.port();
        let turning = tokio::spawn(turn(switch, upstream)).abort_handle();

        let ports: Vec<String> = self.primaries.iter().map(|primary| primary.port().to_string()).collect();
        let environment = [
            ("PROXY_PORT", self.proxy.port().to_string()),
            ("AUTH_PORT", self.guarded.port().to_string()),
            ("AUTH_PASSWORD", PASSWORD.to_owned()),
            ("OUTAGE_PORT", outage_port.to_string()),
            ("SWITCH_PORT", switch_port.to_string()),
            ("PRIMARY_PORTS", ports.join(" ")),
            ("UPSTREAM_PORT", self.upstream.port().to_string()),
            ("KEY_PREFIX", format!("{name}:")),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        OwnStage { environment, _outage_proxy: proxy, turning }
    }
}

/// What one program has for itself: a proxy whose upstream comes and goes.
pub(crate) struct OwnStage {
    pub(crate) environment: Environment,
    _outage_proxy: Proxy,
    turning: AbortHandle,
}

impl Drop for OwnStage {
    fn drop(&mut self) {
        self.turning.abort();
    }
}

/// The proxy's program: built into the folder in which this one is.
fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    let binary = own.with_file_name("redlock-proxy");
    assert!(binary.is_file(), "{} is not there: run `cargo build`, or `make interop`", binary.display());
    binary
}

fn options(primaries: &Fleet, upstream: &str) -> ProxyOptions {
    // A machine that is busy building clients is slow now and then, which is no news about the clients.
    let patient =
        ProxyOptions::new(primaries.addresses()).set("node_timeout_ms", 3_000).set("silence_timeout_ms", 10_000);
    patient.argument("--upstream").argument(upstream).await_ready()
}

async fn start_proxy(primaries: &Fleet, upstream: &str) -> Proxy {
    Proxy::start(binary(), options(primaries, upstream)).await
}

/// Does what is written to the port: `up` and `down`, each answered with `ok`.
async fn turn(switch: TcpListener, upstream: Relay) {
    while let Ok((mut stream, _)) = switch.accept().await {
        // A program that closes half-way has ended or failed, and says so itself.
        let _ = follow(&mut stream, &upstream).await;
    }
}

async fn follow(stream: &mut TcpStream, upstream: &Relay) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await? {
        match line.trim_end() {
            "up" => upstream.accept(),
            "down" => {
                upstream.refuse();
                upstream.cut();
            }
            other => {
                writer.write_all(format!("error: {other:?} is neither up nor down\n").as_bytes()).await?;
                continue;
            }
        }
        writer.write_all(b"ok\n").await?;
    }
    Ok(())
}
