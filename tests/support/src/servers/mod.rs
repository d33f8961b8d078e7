//! Real servers on free loopback ports.
//!
//! Each has a folder of its own, keeps nothing on disk and dies with the test process. What concerns one server only takes
//! `&self`; what every other user of it would notice (kill, pause, flush, configuration) takes `&mut self`, so that the servers
//! which a whole test process shares ([`shared`]) cannot be harmed by one test.
//!
//! No connection is kept: each question opens one and closes it. A server outlives the runtimes of the tests that use it, a
//! connection would not; and so the harness is never among the clients a test counts for longer than a question.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io};

use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::client::ByteClient;
use crate::history::ghosts::Found;
use crate::ports::free_port;
use crate::process::{self, Process};
use crate::resp::Value;
use crate::waiting::{LOOK_EVERY, PATIENCE, eventually};

mod kind;
pub use kind::Kind;

/// How keys begin that are no locks: the proxy's marker, its fencing counters.
const OWN_KEYS: &str = "redlock-proxy:";

/// How a server differs from the ordinary one.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// `--maxclients`; the server's own default when `None`.
    pub max_clients: Option<u32>,
    /// `--requirepass`. The harness' own questions authenticate with it.
    pub password: Option<String>,
    /// Further arguments, behind all others.
    pub arguments: Vec<String>,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
}

/// One running (or killed, or paused) server.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    port: u16,
    options: ServerOptions,
    folder: TempDir,
    process: Process,
}

impl Server {
    /// Starts a server and waits until it answers.
    pub async fn start(kind: Kind, options: ServerOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        for _ in 0..20 {
            let port = free_port();
            if let Some(process) = launch(kind, port, folder.path(), &options).await {
                return Self { kind, port, options, folder, process };
            }
        }
        panic!("20 ports in a row were taken before {kind} could bind them");
    }

    /// What kind of server it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A connection that has authenticated, if the server wants that.
    pub async fn connect(&self) -> ByteClient {
        connect(self.port, &self.options).await.unwrap_or_else(|error| panic!("cannot connect to {self:?}: {error}"))
    }

    /// Asks the server on a connection of its own. Errors are values too.
    pub async fn command<A: AsRef<[u8]>>(&self, arguments: &[A]) -> Value {
        self.connect().await.call(arguments).await
    }

    /// The string under `key`; `None` when there is no key; panics when it is of another type.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Option<String> {
        match self.command(&[b"GET", key.as_ref()]).await {
            Value::NullBulk => None,
            value => Some(expect_no_error(value, "GET").text()),
        }
    }

    /// What PTTL says: milliseconds, -1 without expiry, -2 without key.
    pub async fn pttl(&self, key: impl AsRef<[u8]>) -> i64 {
        expect_no_error(self.command(&[b"PTTL", key.as_ref()]).await, "PTTL").integer()
    }

    /// Whether there is such a key.
    pub async fn exists(&self, key: impl AsRef<[u8]>) -> bool {
        expect_no_error(self.command(&[b"EXISTS", key.as_ref()]).await, "EXISTS").integer() == 1
    }

    /// Deletes `key`; whether it was there.
    pub async fn del(&self, key: impl AsRef<[u8]>) -> bool {
        expect_no_error(self.command(&[b"DEL", key.as_ref()]).await, "DEL").integer() == 1
    }

    /// The records of all locks, which are all keys but those that the proxy keeps for itself; `number` tells this primary
    /// from others.
    pub async fn locks(&self, number: usize) -> Vec<Found> {
        let keys = expect_no_error(self.command(&["KEYS", "*"]).await, "KEYS");
        let mut locks = Vec::new();
        for key in keys.items().iter().map(Value::text).filter(|key| !key.starts_with(OWN_KEYS)) {
            // It may end between two questions.
            let (Some(token), left) = (self.get(&key).await, self.pttl(&key).await) else { continue };
            if left != -2 {
                let expires_in = u64::try_from(left).ok().map(Duration::from_millis);
                locks.push(Found { primary: number, key, token, expires_in });
            }
        }
        locks
    }

    /// One field of INFO, of whatever section, such as `run_id` or `uptime_in_seconds`.
    pub async fn info(&self, field: &str) -> Option<String> {
        let info = expect_no_error(self.command(&["INFO", "all"]).await, "INFO").text();
        info_field(&info, field).map(str::to_owned)
    }

    /// How many times the server has run `command` (of INFO's command statistics; 0 when never).
    ///
    /// Better than a count of all commands, which the probes of a proxy and the questions of a test move too.
    pub async fn calls(&self, command: &str) -> u64 {
        let field = format!("cmdstat_{}", command.to_ascii_lowercase());
        let Some(statistics) = self.info(&field).await else { return 0 };
        let calls = statistics.split(',').find_map(|part| part.strip_prefix("calls=")?.parse().ok());
        calls.unwrap_or_else(|| panic!("no calls in {field}:{statistics}"))
    }

    /// All commands the server has run since its start, the harness' own included: each question is one, with a password two.
    pub async fn commands_processed(&self) -> u64 {
        let processed = self.info("total_commands_processed").await;
        processed.and_then(|count| count.parse().ok()).expect("INFO counts commands")
    }

    /// The resident memory, open descriptors and processor time of the process.
    pub fn footprint(&self) -> process::Footprint {
        self.process.footprint()
    }

    /// Deletes everything.
    pub async fn flushall(&mut self) {
        expect_no_error(self.command(&["FLUSHALL"]).await, "FLUSHALL");
    }

    /// The server holds back every command of every client for so many milliseconds; it still accepts connections.
    pub async fn client_pause(&mut self, milliseconds: u64) {
        expect_no_error(self.command(&["CLIENT", "PAUSE", &milliseconds.to_string()]).await, "CLIENT PAUSE");
    }

    /// Changes the configuration of the running server; a restart forgets it.
    pub async fn config_set(&mut self, name: &str, value: &str) {
        expect_no_error(self.command(&["CONFIG", "SET", name, value]).await, "CONFIG SET");
    }

    /// Makes this server a replica of `of` and waits until it is in step.
    pub async fn replicate(&mut self, of: &Server) {
        if let Some(password) = &of.options.password {
            expect_no_error(self.command(&["CONFIG", "SET", "masterauth", password]).await, "CONFIG SET masterauth");
        }
        expect_no_error(self.command(&["REPLICAOF", "127.0.0.1", &of.port.to_string()]).await, "REPLICAOF");
        let in_step = async || self.info("master_link_status").await.as_deref() == Some("up");
        eventually(in_step, format_args!("port {} to be a replica in step with port {}", self.port, of.port)).await;
    }

    /// Makes a replica a primary again, with what it has replicated.
    pub async fn promote(&mut self) {
        expect_no_error(self.command(&["REPLICAOF", "NO", "ONE"]).await, "REPLICAOF NO ONE");
    }

    /// From now on it is reached under another port, which must be free.
    pub async fn move_to(&mut self, port: u16) {
        self.config_set("port", &port.to_string()).await;
        self.port = port;
        eventually(async || answers(port, &self.options).await, format_args!("a server to answer on port {port}"))
            .await;
    }

    /// SIGKILL: connections are reset, memory is gone. Returns when the process is.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts again on the same port, empty, having killed the server if it ran.
    pub async fn restart(&mut self) {
        self.process.kill();
        let started = Instant::now();
        loop {
            if let Some(process) = launch(self.kind, self.port, self.folder.path(), &self.options).await {
                self.process = process;
                return;
            }
            assert!(started.elapsed() < PATIENCE, "port {} is taken, {} cannot come back to it", self.port, self.kind);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// SIGSTOP: nothing is answered any more, though the kernel still accepts connections and data. Returns when it has stopped.
    pub fn pause(&mut self) {
        self.process.pause();
    }

    /// SIGCONT: what has arrived meanwhile is done now.
    pub fn resume(&mut self) {
        self.process.resume();
    }
}

/// Several servers, each a primary of its own.
#[derive(Debug)]
pub struct Fleet(Vec<Server>);

impl Fleet {
    /// Starts `count` servers of one kind, side by side.
    pub async fn start(kind: Kind, count: usize) -> Self {
        Self::start_with(kind, count, ServerOptions::default()).await
    }

    /// The same with options.
    pub async fn start_with(kind: Kind, count: usize, options: ServerOptions) -> Self {
        let mut starting = JoinSet::new();
        for _ in 0..count {
            starting.spawn(Server::start(kind, options.clone()));
        }
        Self(starting.join_all().await)
    }

    /// The addresses, in order: what `--primary` takes.
    pub fn addresses(&self) -> Vec<String> {
        self.iter().map(Server::address).collect()
    }

    /// What each holds under `key`.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Vec<Option<String>> {
        let mut values = Vec::with_capacity(self.len());
        for server in self.iter() {
            values.push(server.get(key.as_ref()).await);
        }
        values
    }

    /// The records of all locks.
    pub async fn locks(&self) -> Vec<Found> {
        let mut locks = Vec::new();
        for (number, server) in self.iter().enumerate() {
            locks.extend(server.locks(number).await);
        }
        locks
    }

    /// How many hold `key` at all.
    pub async fn holding(&self, key: impl AsRef<[u8]>) -> usize {
        let mut holding = 0;
        for server in self.iter() {
            holding += usize::from(server.exists(key.as_ref()).await);
        }
        holding
    }
}

impl Deref for Fleet {
    type Target = [Server];

    fn deref(&self) -> &[Server] {
        &self.0
    }
}

impl DerefMut for Fleet {
    fn deref_mut(&mut self) -> &mut [Server] {
        &mut self.0
    }
}

/// The servers that all tests of this process share: one set for each kind and number, started by whoever asks first.
///
/// For tests that need only keys of their own. Sets of different numbers have no server in common, since a primary belongs to one
/// set of primaries only.
pub async fn shared(kind: Kind, count: usize) -> &'static Fleet {
    type Sets = Mutex<HashMap<(Kind, usize), &'static OnceCell<Fleet>>>;
    static SETS: OnceLock<Sets> = OnceLock::new();
    let set = {
        let mut sets = SETS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        *sets.entry((kind, count)).or_insert_with(|| Box::leak(Box::default()))
    };
    set.get_or_init(|| Fleet::start(kind, count)).await
}

/// Starts the program and waits until it answers; `None` when another process has the port.
async fn launch(kind: Kind, port: u16, folder: &Path, options: &ServerOptions) -> Option<Process> {
    let log_file = folder.join("log");
    let log = fs::File::create(&log_file).expect("a file can be made in a new folder");
    let mut command = process::command(&kind.binary());
    command.args(kind.arguments(port, folder, options)).current_dir(folder).stdin(Stdio::null());
    command.envs(options.environment.iter().cloned());
    command.stdout(log.try_clone().expect("a descriptor can be duplicated")).stderr(log);
    let process = Process::spawn(format!("{kind} on port {port}"), command);

    let started = Instant::now();
    loop {
        if process.listens_on(port) && answers(port, options).await {
            return Some(process);
        }
        let log = || fs::read_to_string(&log_file).unwrap_or_default();
        if let Some(status) = process.exit_status() {
            let log = log();
            assert!(log.contains("ddress already in use"), "{} ended ({status}): {log}", process.name());
            return None;
        }
        assert!(started.elapsed() < PATIENCE, "{} has not answered for {PATIENCE:?}: {}", process.name(), log());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn answers(port: u16, options: &ServerOptions) -> bool {
    let Ok(mut client) = connect(port, options).await else { return false };
    let sent = client.try_send_raw(b"PING\r\n").await;
    sent.is_ok() && matches!(client.try_read_reply().await, Ok(reply) if reply == Value::simple("PONG"))
}

async fn connect(port: u16, options: &ServerOptions) -> io::Result<ByteClient> {
    let mut client = ByteClient::try_connect(format!("127.0.0.1:{port}")).await?;
    if let Some(password) = &options.password {
        let reply = client.call(&["AUTH", password]).await;
        assert!(reply == Value::ok(), "port {port} does not take its password: {reply:?}");
    }
    Ok(client)
}

/// Names are compared without regard to case: servers differ in how they write those of commands.
fn info_field<'a>(info: &'a str, field: &str) -> Option<&'a str> {
    let mut fields = info.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(name, _)| name.eq_ignore_ascii_case(field)).map(|(_, value)| value.trim_end())
}

#[track_caller]
fn expect_no_error(reply: Value, command: &str) -> Value {
    assert!(!reply.is_error(), "{command}: {reply:?}");
    reply
}

#[cfg(test)]
#[path = "servers_tests.rs"]
mod tests;
