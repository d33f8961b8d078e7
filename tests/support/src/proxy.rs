//! The real `redlock-proxy` binary, as an operator runs it.
//!
//! Tests name the program (`env!("CARGO_BIN_EXE_redlock-proxy")`), since only the package that builds it knows where it is.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::ByteClient;
use crate::ports::free_port;
use crate::process::{self, Footprint, Process};
use crate::resp::{Value, encode_command};
use crate::waiting::{LOOK_EVERY, PATIENCE, eventually};

/// What the proxy exits with when it cannot bind (`EX_UNAVAILABLE`): somebody was faster with the port.
const CANNOT_BIND: i32 = 69;

/// Log lines kept; the oldest go first.
const LINES_KEPT: usize = 20_000;

/// How a proxy is started. Nothing is read from the environment of the test process.
#[derive(Debug, Clone, Default)]
pub struct ProxyOptions {
    primaries: Vec<String>,
    settings: Vec<(String, String)>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    password: Option<String>,
    await_ready: bool,
}

impl ProxyOptions {
    /// A proxy in front of these primaries, that is awaited until it answers PING. When no proxy has met them, it may use
    /// them at once.
    pub fn new<A: Into<String>>(primaries: impl IntoIterator<Item = A>) -> Self {
        let options = Self { primaries: primaries.into_iter().map(Into::into).collect(), ..Self::default() };
        options.set("new_set", "at_once")
    }

    /// `--set key=value`, in the place of what was set for this key before.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Display) -> Self {
        self.settings.retain(|(former, _)| former != key);
        self.settings.push((key.into(), format!("{value}")));
        self
    }

    /// [`set`](Self::set) for each of these.
    #[must_use]
    pub fn set_all<V: Display>(self, settings: &[(&str, V)]) -> Self {
        settings.iter().fold(self, |options, (key, value)| options.set(key, value))
    }

    /// A further argument of the command line, such as `--config`.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// `--set auth.password=…`; the harness authenticates with it when it asks the proxy.
    #[must_use]
    pub fn password(self, password: &str) -> Self {
        self.known_password(password).set("auth.password", password)
    }

    /// What the harness authenticates with, when it asks a proxy that has its password from elsewhere.
    #[must_use]
    pub fn known_password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The password of its upstream, with which the harness authenticates when it asks the proxy.
    #[must_use]
    pub fn upstream_password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Wait not only until it answers, but until INFO redlock says `ready:1`.
    #[must_use]
    pub fn await_ready(mut self) -> Self {
        self.await_ready = true;
        self
    }

    fn command(&self, binary: &Path, port: u16) -> Command {
        let mut command = process::command(binary);
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        for primary in &self.primaries {
            command.args(["--primary", primary]);
        }
        for (key, value) in &self.settings {
            command.args(["--set", &format!("{key}={value}")]);
        }
        command.args(&self.arguments);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REDLOCK_PROXY_")) {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

/// One running proxy.
#[derive(Debug)]
pub struct Proxy {
    binary: PathBuf,
    options: ProxyOptions,
    port: u16,
    process: Process,
    log: Log,
}

impl Proxy {
    /// Starts the program on a free port and waits until it answers PING (see [`ProxyOptions::await_ready`]).
    pub async fn start(binary: impl AsRef<Path>, options: ProxyOptions) -> Self {
        for _ in 0..20 {
            let port = free_port();
            if let Some((process, log)) = launch(binary.as_ref(), port, &options).await {
                return Self { binary: binary.as_ref().to_owned(), options, port, process, log };
            }
        }
        panic!("20 ports in a row were taken before the proxy could bind them");
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// A new connection, authenticated if the proxy has a password.
    pub async fn connect(&self) -> ByteClient {
        connect(self.port, &self.options).await.unwrap_or_else(|error| panic!("cannot connect to the proxy: {error}"))
    }

    /// Asks the proxy on a connection of its own.
    pub async fn command<A: AsRef<[u8]>>(&self, arguments: &[A]) -> Value {
        self.connect().await.call(arguments).await
    }

    /// One field of `INFO redlock`.
    pub async fn info(&self, field: &str) -> Option<String> {
        info(&mut self.connect().await, field).await
    }

    /// A field of `INFO redlock` that must be there and be a number, such as a counter.
    pub async fn counter(&self, field: &str) -> u64 {
        let value = self.info(field).await;
        value
            .as_deref()
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("INFO redlock: {field} is {value:?}"))
    }

    /// Waits until `INFO redlock` says `ready:1`.
    pub async fn wait_ready(&self) {
        eventually(async || self.info("ready").await.as_deref() == Some("1"), "the proxy to be ready").await;
    }

    /// What it has logged (the last lines of it, when that is much).
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until a line of the log contains `text` and gives that line; lines that were there before count.
    pub async fn wait_for_log(&self, text: &str) -> String {
        let started = Instant::now();
        loop {
            if let Some(line) = self.log.find(text) {
                return line;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "waited {PATIENCE:?} in vain for the log to say {text:?}:\n{}",
                self.log()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// SIGTERM: it drains and ends.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// SIGINT, as Control-C sends it.
    pub fn interrupt(&self) {
        self.process.signal(Signal::INT);
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// SIGSTOP; returns when it has stopped.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Kills the proxy, if it runs, and starts it again on the same port with the same options. The log starts anew.
    pub async fn restart(&mut self) {
        self.process.kill();
        let launched = launch(&self.binary, self.port, &self.options).await;
        (self.process, self.log) =
            launched.unwrap_or_else(|| panic!("port {} is taken, the proxy cannot come back to it", self.port));
    }

    /// Waits until it has ended.
    pub async fn wait_exit(&self) -> ExitStatus {
        self.process.wait_exit().await
    }

    /// How it ended, if it has.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.process.exit_status()
    }

    /// Its resident memory, open descriptors and processor time.
    pub fn footprint(&self) -> Footprint {
        self.process.footprint()
    }
}

/// Starts the program and waits until it answers; `None` when another process has the port.
async fn launch(binary: &Path, port: u16, options: &ProxyOptions) -> Option<(Process, Log)> {
    let process = Process::spawn(format!("the proxy on port {port}"), options.command(binary, port));
    let errors = process.child().stderr.take().expect("its standard error is piped");
    let log = Log::follow(errors);
    let started = Instant::now();
    while !(process.listens_on(port) && answers(port, options).await) {
        if let Some(status) = process.exit_status() {
            log.wait_for_end();
            let text = log.text();
            let taken = status.code() == Some(CANNOT_BIND) && text.to_lowercase().contains("in use");
            assert!(taken, "the proxy ended ({status}) before it answered:\n{text}");
            return None;
        }
        let missing = if options.await_ready { "is not ready" } else { "has not answered" };
        assert!(started.elapsed() < PATIENCE, "the proxy {missing} after {PATIENCE:?}:\n{}", log.text());
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Some((process, log))
}

async fn answers(port: u16, options: &ProxyOptions) -> bool {
    let Ok(mut client) = connect(port, options).await else { return false };
    let ping = async {
        client.try_send_raw(encode_command(&["PING"])).await?;
        client.try_read_reply().await
    };
    match ping.await {
        // A password that the upstream asks for is not the harness' to give.
        Ok(reply) if reply == Value::simple("PONG") || reply.is_error_with("NOAUTH") => {}
        Ok(other) => panic!("the proxy answers PING with {other:?}"),
        Err(_) => return false,
    }
    !options.await_ready || info(&mut client, "ready").await.as_deref() == Some("1")
}

async fn connect(port: u16, options: &ProxyOptions) -> io::Result<ByteClient> {
    let mut client = ByteClient::try_connect(format!("127.0.0.1:{port}")).await?;
    if let Some(password) = &options.password {
        let reply = client.call(&["AUTH", password]).await;
        assert!(reply == Value::ok(), "the proxy does not take its password: {reply:?}");
    }
    Ok(client)
}

async fn info(client: &mut ByteClient, field: &str) -> Option<String> {
    let reply = client.call(&["INFO", "redlock"]).await;
    assert!(!reply.is_error(), "INFO redlock: {reply:?}");
    let text = reply.text();
    text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(|value| value.trim_end().to_owned())
}

/// The lines of a pipe, read by a thread of its own so that the writer never blocks.
#[derive(Debug, Clone)]
struct Log(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<String>,
    forgotten: u64,
    ended: bool,
}

impl Log {
    fn follow(pipe: impl io::Read + Send + 'static) -> Self {
        let log = Self(Arc::default());
        let writer = log.clone();
        let read_all = move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut line), Ok(length) if length > 0) {
                writer.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
            writer.lines(|lines| lines.ended = true);
        };
        thread::Builder::new().name("log".into()).spawn(read_all).expect("a thread can be started");
        log
    }

    fn push(&self, line: String) {
        self.lines(|lines| {
            if lines.kept.len() == LINES_KEPT {
                lines.kept.pop_front();
                lines.forgotten += 1;
            }
            lines.kept.push_back(line);
        });
    }

    fn find(&self, text: &str) -> Option<String> {
        self.lines(|lines| lines.kept.iter().find(|line| line.contains(text)).cloned())
    }

    fn text(&self) -> String {
        self.lines(|lines| {
            let mut text = String::new();
            if lines.forgotten > 0 {
                text = format!("({} earlier lines are not kept)\n", lines.forgotten);
            }
            for line in &lines.kept {
                text.push_str(line);
                text.push('\n');
            }
            text
        })
    }

    /// Waits for the last words of a process that has ended: its pipe may still hold them.
    fn wait_for_end(&self) {
        let started = Instant::now();
        while !self.lines(|lines| lines.ended) && started.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn lines<T>(&self, look: impl FnOnce(&mut Lines) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
