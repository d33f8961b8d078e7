//! One server process of `dev`: started, waited for, and never left behind.
//!
//! It must not outlive the program that started it, not even when that program is killed outright. Linux can promise
//! this: a process may ask for a signal at its parent's death, and the request survives exec. So each server is started
//! through a hidden subcommand of this very binary, `exec-primary`, which asks and then becomes the server; that needs
//! no unsafe code between fork and exec. Other systems have no such request: there, servers end with `dev` in every
//! way but SIGKILL.
//!
//! The server gets a process group of its own. A Ctrl-C at the terminal thus reaches `dev` alone, which ends the proxy
//! first, while the primaries can still take the releases that are owed.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::program::Program;

/// The subcommand that [`exec_primary`] is.
const EXEC_SUBCOMMAND: &str = "exec-primary";

/// Tells `exec-primary` whose death it is to follow: the process id of `dev`. Not among the configuration's
/// `REDLOCK_PROXY_…` variables, and not passed on to the server.
const PARENT_VARIABLE: &str = "REDLOCK_DEV_PARENT";

/// How long a server may take until it answers; they take milliseconds.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two pings of a server that is starting: nothing tells when it is ready, so it is asked.
const START_POLL: Duration = Duration::from_millis(10);
/// How often another port is tried after somebody else took the one that had just been free.
const PORT_ATTEMPTS: usize = 10;
/// How much of a dead server's output an error shows: the end of it, where the reason stands.
const OUTPUT_SHOWN_BYTES: usize = 2000;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// A process, a file or a port could not be had.
    #[error("cannot {what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The server ended before it answered.
    #[error("{} ended before it answered on port {port} ({status}); it said:\n{output}", program.display())]
    Ended {
        /// The server's program.
        program: PathBuf,
        /// The port it was to listen on.
        port: u16,
        /// How it ended.
        status: ExitStatus,
        /// The end of its output.
        output: String,
    },
    /// The server runs but does not answer.
    #[error("{} did not answer on port {port} within {} s; it said:\n{output}", program.display(), START_TIMEOUT.as_secs())]
    Silent {
        /// The server's program.
        program: PathBuf,
        /// The port it was to listen on.
        port: u16,
        /// The end of its output.
        output: String,
    },
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub(super) struct LocalPrimary {
    pub(super) address: SocketAddr,
    process: Child,
}

impl LocalPrimary {
    /// Starts `program` on a free loopback port and waits until it answers; its output goes to `NAME.log`.
    ///
    /// Must be polled on a thread that lives as long as the program, which means the main one: what Linux calls the
    /// parent's death is the death of the *thread* that started the child.
    pub(super) async fn start(program: &Program, name: &str, folder: &Path) -> Result<Self, StartError> {
        let log = folder.join(format!("{name}.log"));
        let mut attempts_left = PORT_ATTEMPTS;
        loop {
            attempts_left -= 1;
            let port = free_port().map_err(|source| StartError::System { what: "find a free port", source })?;
            match Self::start_on(program, port, folder, &log).await {
                Err(StartError::Ended { output, .. }) if attempts_left > 0 && says_port_is_taken(&output) => {}
                started => return started,
            }
        }
    }

    async fn start_on(program: &Program, port: u16, folder: &Path, log: &Path) -> Result<Self, StartError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let process = spawn(program, port, folder, log)
            .map_err(|source| StartError::System { what: "start a server", source })?;
        let mut primary = Self { address, process };

        let path = || program.path.clone();
        tokio::select! {
            answered = tokio::time::timeout(START_TIMEOUT, until_it_answers(address)) => match answered {
                Ok(()) => {}
                Err(_) => return Err(StartError::Silent { program: path(), port, output: end_of(log) }),
            },
            status = primary.process.wait() => return Err(ended(path(), port, status, log)),
        }
        // The answer may have been another server's, which took the port first; then ours is dead or dying of it.
        match primary.process.try_wait() {
            Ok(None) => Ok(primary),
            Ok(Some(status)) => Err(ended(path(), port, Ok(status), log)),
            Err(source) => Err(StartError::System { what: "wait for a server", source }),
        }
    }

    /// Waits for the server's own end.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Ends the server, and returns when it is gone. At once by SIGKILL: it keeps nothing that would need saving, and a
    /// server that its user has stopped to see what happens would not hear anything gentler.
    pub(super) async fn kill(mut self) {
        // It fails only for a process that is gone already.
        let _ = self.process.kill().await;
    }
}

/// What `exec-primary` does: asks to be killed when the parent dies, then becomes `program`. Returns only when it
/// cannot, with the reason.
pub(super) fn exec_primary(program: &Path, arguments: Vec<OsString>) -> io::Error {
    if let Err(error) = die_with_parent() {
        return error;
    }
    std::process::Command::new(program).args(arguments).env_remove(PARENT_VARIABLE).exec()
}

#[cfg(target_os = "linux")]
fn die_with_parent() -> io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};

    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A parent that died before that line sends nothing any more, and somebody else has adopted this process.
    let wanted = std::env::var(PARENT_VARIABLE).ok();
    let actual = getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if wanted.is_some() && wanted != actual {
        return Err(io::Error::other("the program that asked for this server has ended"));
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent() -> io::Result<()> {
    Ok(())
}

fn spawn(program: &Program, port: u16, folder: &Path, log: &Path) -> io::Result<Child> {
    let output = File::create(log)?;
    Command::new(std::env::current_exe()?)
        .arg(EXEC_SUBCOMMAND)
        .arg(&program.path)
        .args(program.arguments(port, folder))
        .env(PARENT_VARIABLE, std::process::id().to_string())
        .stdin(Stdio::null())
        .stderr(output.try_clone()?)
        .stdout(output)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// A port that was free a moment ago; whether it still is, the server will say.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

async fn until_it_answers(address: SocketAddr) {
    while !answers_ping(address).await.unwrap_or(false) {
        tokio::time::sleep(START_POLL).await;
    }
}

async fn answers_ping(address: SocketAddr) -> io::Result<bool> {
    const PONG: &[u8] = b"+PONG\r\n";
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(b"PING\r\n").await?;
    let mut answer = [0; PONG.len()];
    connection.read_exact(&mut answer).await?;
    Ok(answer == PONG)
}

fn ended(program: PathBuf, port: u16, status: io::Result<ExitStatus>, log: &Path) -> StartError {
    match status {
        Ok(status) => StartError::Ended { program, port, status, output: end_of(log) },
        Err(source) => StartError::System { what: "wait for a server", source },
    }
}

/// Redis and Valkey: `bind: Address already in use`; Dragonfly: the system's text for it, too.
fn says_port_is_taken(output: &str) -> bool {
    output.to_lowercase().contains("address already in use")
}

fn end_of(log: &Path) -> String {
    let output = std::fs::read(log).unwrap_or_default();
    let shown = output.split_at(output.len().saturating_sub(OUTPUT_SHOWN_BYTES)).1;
    String::from_utf8_lossy(shown).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_told_from_other_failures() {
        assert!(says_port_is_taken(
            "# Warning: Could not create server TCP listening socket 127.0.0.1:7001: bind: Address already in use\n\
             # Failed listening on port 7001 (tcp), aborting."
        ));
        assert!(!says_port_is_taken("# Fatal error, can't open config file '/etc/x.conf'"));
    }

    #[test]
    fn only_the_end_of_a_long_output_is_shown() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("primary-1.log");
        std::fs::write(&log, format!("{}the reason\n", "noise\n".repeat(10_000))).expect("a file in it");
        let shown = end_of(&log);
        assert!(shown.ends_with("noise\nthe reason") && shown.len() <= OUTPUT_SHOWN_BYTES, "{shown}");
        assert_eq!(end_of(&folder.path().join("missing.log")), "");
    }

    #[test]
    fn a_program_that_cannot_be_run_is_an_error_not_an_exit() {
        let error = exec_primary(Path::new("/nowhere/redis-server"), Vec::new());
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn only_a_pong_counts_as_an_answer() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let server = async {
            for answer in ["-LOADING Redis is loading the dataset in memory\r\n", "+PONG\r\n"] {
                let (mut connection, _) = listener.accept().await.expect("a connection");
                let mut request = [0; 6];
                connection.read_exact(&mut request).await.expect("a request");
                assert_eq!(&request, b"PING\r\n");
                connection.write_all(answer.as_bytes()).await.expect("an answer");
            }
        };
        let ((), ()) = tokio::join!(server, until_it_answers(address));
    }
}
