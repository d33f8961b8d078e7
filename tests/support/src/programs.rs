//! Programs: clients that are run to their end, such as redis-cli or a script, and others that listen until they are dropped.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Instant;

use tokio::process::Command;
use tokio::time::timeout;

use crate::ports::free_port;
use crate::process::{self, Footprint, Process, on_path};
use crate::waiting::{LOOK_EVERY, PATIENCE};

/// Runs `redis-cli` against a port of 127.0.0.1 with these arguments; panics when it hangs or is not installed.
pub async fn redis_cli(port: u16, arguments: &[&str]) -> Output {
    let port = port.to_string();
    let mut all = vec!["-h", "127.0.0.1", "-p", &port];
    all.extend_from_slice(arguments);
    run_program("redis-cli", &all, &[]).await
}

/// Runs a program from PATH (or, with a slash in its name, from there) to its end, without input, with these variables added to
/// its environment; panics when it hangs or is not installed.
pub async fn run_program<A: AsRef<OsStr>>(program: &str, arguments: &[A], environment: &[(&str, &str)]) -> Output {
    let path = if program.contains('/') { Some(Path::new(program).to_owned()) } else { on_path(program) };
    let path = path.unwrap_or_else(|| panic!("{program} is not on PATH: run `make setup`"));
    // Killed on drop rather than by its parent's death: it is forked by this very thread, which may be a passing one.
    let mut command = Command::new(path);
    command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await;
    output
        .unwrap_or_else(|_| panic!("{program} has not ended after {PATIENCE:?}"))
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}"))
}

/// A program that listens on a port of 127.0.0.1, until this is dropped. For servers and for the proxy there is more:
/// [`Server`](crate::Server), [`Proxy`](crate::Proxy).
#[derive(Debug)]
pub struct Listening {
    port: u16,
    process: Process,
}

impl Listening {
    /// Starts a program with the arguments by which it listens on this port, and waits until it does.
    pub async fn start(program: &Path, arguments: impl Fn(u16) -> Vec<String>) -> Self {
        let started = Self::try_start(program, arguments, Stdio::inherit()).await;
        started.unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// The same with a program whose failure is no failure of whoever asks; what it prints to its standard error goes to
    /// `errors`.
    ///
    /// # Errors
    /// Says that it does not listen.
    pub async fn try_start(
        program: &Path,
        arguments: impl Fn(u16) -> Vec<String>,
        errors: Stdio,
    ) -> Result<Self, String> {
        let port = free_port();
        let mut command = process::command(program);
        command.args(arguments(port)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let process = Process::spawn(format!("{} on port {port}", program.display()), command);
        let started = Instant::now();
        while !process.listens_on(port) {
            if process.exit_status().is_some() {
                return Err(format!("{} has ended before it listened", process.name()));
            }
            if started.elapsed() >= PATIENCE {
                return Err(format!("{} does not listen after {PATIENCE:?}", process.name()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(Self { port, process })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its resident memory, open descriptors and processor time.
    pub fn footprint(&self) -> Footprint {
        self.process.footprint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::{Kind, Server, ServerOptions};

    #[tokio::test]
    async fn redis_cli_speaks_to_the_port_it_is_given() {
        let server = Server::start(Kind::any(), ServerOptions::default()).await;
        let output = redis_cli(server.port(), &["SET", "k", "v"]).await;
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stdout), "OK\n");
        assert_eq!(server.get("k").await.as_deref(), Some("v"));
    }

    #[tokio::test]
    async fn programs_get_their_arguments_and_variables() {
        let output = run_program("sh", &["-c", "echo $WORD $0", "arg"], &[("WORD", "env")]).await;
        assert_eq!(String::from_utf8_lossy(&output.stdout), "env arg\n");
    }

    #[tokio::test]
    async fn a_program_listens_until_it_is_dropped() {
        let server = on_path("redis-server").expect("make setup");
        let arguments = |port: u16| ["--port", &port.to_string(), "--save", ""].map(str::to_owned).to_vec();
        let listening = Listening::start(&server, arguments).await;
        let port = listening.port();
        let output = redis_cli(port, &["PING"]).await;
        assert_eq!(String::from_utf8_lossy(&output.stdout), "PONG\n");
        drop(listening);
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    }

    #[tokio::test]
    async fn a_program_that_ends_instead_of_listening_is_told_of() {
        let shell = on_path("sh").expect("every system has one");
        let arguments = |port: u16| vec!["-c".to_owned(), format!("exit {}", port % 2)];
        let reason = Listening::try_start(&shell, arguments, Stdio::null()).await.expect_err("it does not listen");
        assert!(reason.ends_with("has ended before it listened"), "{reason}");
    }
}
