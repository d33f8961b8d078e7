//! `redlock-proxy dev`: one command, and `redis-cli RLOCK job 30000` works; one signal, and nothing of it is left.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::{PATIENCE, redis_cli};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

const PROXY: &str = env!("CARGO_BIN_EXE_redlock-proxy");

/// A running `dev`, and what it printed about itself.
struct Dev {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
    primaries: Vec<String>,
    folder: PathBuf,
    port: u16,
    printed: String,
    /// Where it makes its folder: a `dev` that is killed cannot remove that, so the test does.
    _temporary: TempDir,
}

impl Dev {
    /// Starts it on a port of the system's choice and reads what it prints, up to the line that says what to try.
    async fn start() -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        // By way of `exec-primary` it dies with this test, and its servers with it.
        let mut command = Command::new(PROXY);
        command.args(["exec-primary", PROXY, "dev", "--listen", "127.0.0.1:0"]);
        command.env("TMPDIR", temporary.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("the proxy's own binary runs");
        let log = BufReader::new(process.stderr.take().expect("stderr is piped")).lines();
        let mut output = BufReader::new(process.stdout.take().expect("stdout is piped")).lines();

        let (mut primaries, mut folder, mut port, mut printed) = (Vec::new(), None, None, String::new());
        while !printed.contains("try: ") {
            let line = timeout(PATIENCE, output.next_line()).await.expect("dev starts").expect("its output is text");
            let line = line.unwrap_or_else(|| panic!("dev ended after it had printed:\n{printed}"));
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["primary", _, address] => primaries.push(address.to_owned()),
                ["folder", path, ..] => folder = Some(PathBuf::from(path)),
                ["listening", address] => port = address.rsplit(':').next().and_then(|port| port.parse().ok()),
                _ => {}
            }
            printed += &line;
            printed.push('\n');
        }
        let folder = folder.unwrap_or_else(|| panic!("no folder in:\n{printed}"));
        let port = port.unwrap_or_else(|| panic!("no port in:\n{printed}"));
        Self { process, log, primaries, folder, port, printed, _temporary: temporary }
    }

    /// One connection to each primary, whose end tells that of the server.
    async fn connections(&self) -> Vec<TcpStream> {
        let mut connections = Vec::new();
        for address in &self.primaries {
            connections.push(TcpStream::connect(address).await.expect("every primary accepts"));
        }
        connections
    }

    async fn ends_by(&mut self, signal: Signal) -> ExitStatus {
        let id = self.process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)).expect("dev is running");
        kill_process(id, signal).expect("it can be signalled");
        timeout(PATIENCE, self.process.wait()).await.expect("dev ends").expect("it can be waited for")
    }
}

/// Waits until the server at the other end is gone: its sockets are closed then, by whatever it died of.
async fn gone(connections: Vec<TcpStream>) {
    for mut connection in connections {
        let end = timeout(PATIENCE, connection.read(&mut [0; 1])).await.expect("the server ends");
        assert!(matches!(&end, Ok(0)) || end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
}

async fn lines_of(dev: &Dev, arguments: &[&str]) -> Vec<String> {
    let output = redis_cli(dev.port, arguments).await;
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_command_that_dev_prints_takes_a_lock() {
    let dev = Dev::start().await;
    assert_eq!(dev.primaries.len(), 3, "{}", dev.printed);
    assert!(dev.printed.contains(&format!("try: redis-cli -p {} RLOCK job 30000", dev.port)), "{}", dev.printed);

    let granted = lines_of(&dev, &["RLOCK", "job", "30000"]).await;
    assert_eq!(lines_of(&dev, &["SET", "data", "1"]).await, ["OK"]);
    let [token, validity] = &granted[..] else { panic!("a token and a validity, not {granted:?}") };
    assert!(validity.parse::<u64>().is_ok_and(|validity| (1..=30_000).contains(&validity)), "{validity}");
    assert_eq!(lines_of(&dev, &["RUNLOCK", "job", token]).await, ["1"]);
}

#[tokio::test]
async fn no_server_outlives_a_dev_that_is_killed() {
    let mut dev = Dev::start().await;
    let connections = dev.connections().await;
    dev.ends_by(Signal::KILL).await;
    gone(connections).await;
}

#[tokio::test]
async fn a_signal_to_end_leaves_no_server_and_no_folder() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut dev = Dev::start().await;
        assert!(dev.folder.is_dir());
        let connections = dev.connections().await;
        assert!(dev.ends_by(signal).await.success(), "{signal:?}");
        gone(connections).await;
        assert!(!dev.folder.exists(), "{signal:?}");
    }
}

#[tokio::test]
async fn the_end_of_a_primary_is_reported_and_the_locks_go_on() {
    let mut dev = Dev::start().await;
    let (victim, port) = dev.primaries[1].rsplit_once(':').map(|(_, port)| (&dev.primaries[1], port)).expect("a port");
    redis_cli(port.parse().expect("a number"), &["SHUTDOWN", "NOSAVE"]).await;
    loop {
        let line = timeout(PATIENCE, dev.log.next_line()).await.expect("it is reported").expect("the log is text");
        let line = line.expect("dev goes on");
        if line.contains("primary 2 has ended") {
            assert!(line.contains(victim.as_str()), "{line}");
            break;
        }
    }
    assert_eq!(lines_of(&dev, &["RLOCK", "job", "30000"]).await.len(), 2);
}
