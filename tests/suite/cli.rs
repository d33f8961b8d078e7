//! The command line: exit codes, what goes to which stream, `ping`, and a proxy's life from start to signal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redlock-proxy"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = program(arguments).output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn help_and_version_are_asked_for_and_go_to_stdout() {
    let (code, stdout, stderr) = run(&["--version"]);
    assert_eq!(
        (code, stdout.as_str(), stderr.as_str()),
        (Some(0), concat!("redlock-proxy ", env!("CARGO_PKG_VERSION"), "\n"), "")
    );
    let (code, stdout, stderr) = run(&["--help"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for word in ["--config", "--listen", "--primary", "--log-level", "--log-format", "--set", "check", "ping", "dev"] {
        assert!(stdout.contains(word), "{word} in {stdout}");
    }
    assert!(!stdout.contains("exec-primary"), "{stdout}");
    for subcommand in ["check", "ping", "dev"] {
        assert_eq!(run(&[subcommand, "--help"]).0, Some(0), "{subcommand}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_64_and_says_so_on_stderr() {
    for wrong in [
        &["--no-such-flag"][..],
        &["no-such-command"],
        &["--set", "attempts"],
        &["--set", "=3"],
        &["--config"],
        &["--primary", "a:1", "check"],
        &["check", "--log-level", "info", "--log-level", "warn"],
        &["ping", "localhost"],
        &["ping", "redis://localhost/3"],
        &["dev", "--primaries", "10"],
    ] {
        let (code, stdout, stderr) = run(wrong);
        assert_eq!((code, stdout.as_str()), (Some(64), ""), "{wrong:?}");
        assert!(!stderr.is_empty(), "{wrong:?}");
    }
}

/// Answers one connection: what is expected, and what is said to it. The rest of what came is returned.
fn answer(mut stream: impl Read + Write, script: &[(&str, &str)]) -> String {
    for (request, reply) in script {
        let mut bytes = vec![0; request.len()];
        stream.read_exact(&mut bytes).expect("the whole request");
        assert_eq!(String::from_utf8_lossy(&bytes), *request);
        stream.write_all(reply.as_bytes()).expect("the reply");
    }
    let mut rest = String::new();
    // The other side may be gone already, which is as good as its end.
    let _ = stream.read_to_string(&mut rest);
    rest
}

/// A proxy of which only the answers exist, at the address that is returned.
fn scripted(script: &'static [(&str, &str)]) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    (address, thread::spawn(move || answer(listener.accept().expect("a connection").0, script)))
}

const PING: &str = "*1\r\n$4\r\nPING\r\n";
const INFO: &str = "*2\r\n$4\r\nINFO\r\n$7\r\nredlock\r\n";

#[test]
fn ping_prints_any_answer_and_ends_with_0() {
    for (script, expected) in [
        (&[(PING, "+PONG\r\n")], "PONG\n"),
        (&[(PING, "-NOAUTH Authentication required.\r\n")], "NOAUTH Authentication required.\n"),
        (&[(PING, "$5\r\nhello\r\n")], "hello\n"),
        (&[(PING, "+a\x1b[31mb\r\n")], "a[31mb\n"),
    ] {
        let (address, proxy) = scripted(script);
        assert_eq!(run(&["ping", &address]), (Some(0), expected.to_owned(), String::new()));
        assert_eq!(proxy.join().expect("the script fits"), "");
    }
}

#[test]
fn ping_says_auth_first_when_it_is_given_a_password() {
    const WRONG: &[(&str, &str)] = &[("*2\r\n$4\r\nAUTH\r\n$4\r\npass\r\n", "-WRONGPASS no\r\n")];
    const USER: &[(&str, &str)] = &[("*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$4\r\np@ss\r\n", "+OK\r\n"), (PING, "+PONG\r\n")];
    let (address, proxy) = scripted(USER);
    assert_eq!(run(&["ping", &format!("redis://me:p%40ss@{address}")]).1, "PONG\n");
    assert_eq!(proxy.join().expect("the script fits"), "");
    for (flags, expected) in [(&[][..], (Some(0), "WRONGPASS no\n")), (&["--ready"], (Some(69), ""))] {
        let (address, proxy) = scripted(WRONG);
        let (code, stdout, stderr) = run(&[&["ping", &format!("redis://:pass@{address}")], flags].concat());
        assert_eq!((code, stdout.as_str()), expected);
        assert!(!stderr.contains("pass@"), "{stderr}");
        assert_eq!(proxy.join().expect("the script fits"), "");
    }
}

#[test]
fn ping_reaches_a_unix_socket() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).expect("bound");
    let proxy = thread::spawn(move || answer(listener.accept().expect("a connection").0, &[(PING, "+PONG\r\n")]));
    assert_eq!(run(&["ping", &format!("unix:{}", path.display())]).1, "PONG\n");
    proxy.join().expect("the script fits");
}

#[test]
fn ping_without_an_answer_ends_with_69() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").to_string();
    let (code, stdout, stderr) = run(&["ping", &free]);
    assert_eq!((code, stdout.as_str()), (Some(69), ""));
    assert!(stderr.starts_with(&format!("no answer from {free}: ")), "{stderr}");

    // It connects, and then nobody says anything.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("bound").to_string();
    let (code, stdout, stderr) = run(&["ping", &address]);
    assert_eq!((code, stdout.as_str()), (Some(69), ""));
    assert_eq!(stderr, format!("no answer from {address} within 1000 ms\n"));

    for reply in [&[(PING, "HTTP/1.1 400 Bad Request\r\n")], &[(PING, "$99999999999\r\n")], &[(PING, "\r\n")]] {
        let (address, proxy) = scripted(reply);
        let (code, stdout, stderr) = run(&["ping", &address]);
        assert_eq!((code, stdout.as_str()), (Some(69), ""));
        assert!(stderr.contains("is no reply of the Redis protocol"), "{stderr}");
        proxy.join().expect("the script fits");
    }
}

#[test]
fn ping_ready_asks_whether_a_quorum_can_vote() {
    const READY: &[(&str, &str)] =
        &[(PING, "+PONG\r\n"), (INFO, "$41\r\n# Redlock\r\nmode:lock_only\r\nready:1\r\nx:1\r\n\r\n")];
    let (address, _proxy) = scripted(READY);
    assert_eq!(run(&["ping", &address, "--ready"]), (Some(0), "PONG\n".to_owned(), String::new()));
    for (info, expected) in [
        ("$9\r\nready:0\r\n\r\n", "INFO redlock says ready:0"),
        ("$10\r\nready:10\r\n\r\n", "INFO redlock says ready:10"),
        ("$9\r\nalready:1\r\n", "is this a redlock-proxy?"),
        ("-ERR unknown command\r\n", "ERR unknown command"),
    ] {
        let script = Box::leak(Box::new([(PING, "+PONG\r\n"), (INFO, info)]));
        let (address, _proxy) = scripted(script);
        let (code, stdout, stderr) = run(&["ping", &address, "--ready"]);
        assert_eq!((code, stdout.as_str()), (Some(69), ""), "{info:?}");
        assert!(stderr.starts_with(&format!("{address} is not ready: ")) && stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn an_address_that_is_taken_ends_with_69() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let (code, stdout, stderr) = run(&["--primary", "127.0.0.1:1", "--listen", &address]);
    assert_eq!((code, stdout.as_str()), (Some(69), ""));
    assert!(stderr.contains(&address), "{stderr}");
}

/// A proxy that runs, ended with the test.
struct Running {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    _folder: TempDir,
}

impl Running {
    /// Waits for the line that names the address it listens on; the lines so far are returned.
    fn start(arguments: &[&str]) -> (Self, Vec<String>) {
        let folder = TempDir::new().expect("a folder");
        let socket = folder.path().join("socket").display().to_string();
        let address = format!("unix:{socket}");
        let mut command = program(arguments);
        command.args(["--primary", "127.0.0.1:1", "--listen", &address]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut lines: Vec<String> = Vec::new();
        while !lines.last().is_some_and(|line| line.contains(&socket)) {
            let mut line = String::new();
            assert_ne!(stderr.read_line(&mut line).expect("UTF-8"), 0, "it ended: {lines:?}");
            lines.push(line);
        }
        (Self { child, stderr, _folder: folder }, lines)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own child");
    }

    /// Waits for its end: exit code, stdout, and what else it logged.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stderr.read_to_string(&mut stderr).expect("UTF-8");
        self.child.stdout.take().expect("piped").read_to_string(&mut stdout).expect("UTF-8");
        (self.child.wait().expect("our own child").code(), stdout, stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn sigterm_and_sigint_end_the_proxy_with_0_and_its_last_log_line() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let (proxy, _) = Running::start(&[]);
        proxy.signal(signal);
        let (code, stdout, stderr) = proxy.end();
        assert_eq!((code, stdout.as_str()), (Some(0), ""));
        assert!(stderr.contains(name), "{stderr}");
        assert!(stderr.ends_with("shut down\n"), "{stderr}");
    }
}

#[test]
fn sighup_is_logged_and_ends_nothing() {
    let (mut proxy, _) = Running::start(&[]);
    proxy.signal(Signal::HUP);
    let mut line = String::new();
    while !line.contains("SIGHUP") {
        line.clear();
        assert_ne!(proxy.stderr.read_line(&mut line).expect("UTF-8"), 0, "it ended");
    }
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.end().0, Some(0));
}

#[test]
fn the_log_is_json_when_asked_for_and_tells_the_warnings() {
    let (proxy, lines) = Running::start(&["--log-format", "json"]);
    proxy.signal(Signal::TERM);
    let rest = proxy.end().2;
    assert!(lines.concat().contains("one primary is no redundancy"), "{lines:?}");
    for line in lines.iter().map(String::as_str).chain(rest.lines()) {
        let line = line.trim_end();
        assert!(line.starts_with("{\"timestamp\":\"") && line.ends_with('}'), "{line}");
    }
    // No colours in a pipe.
    let (proxy, lines) = Running::start(&["--set", "worker_threads=1"]);
    proxy.signal(Signal::TERM);
    assert!(!format!("{}{}", lines.concat(), proxy.end().2).contains('\x1b'));
}

#[test]
fn a_log_level_silences_what_is_below_it() {
    let (code, _, stderr) = {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("bound").to_string();
        run(&["--primary", "127.0.0.1:1", "--listen", &address, "--log-level", "error"])
    };
    assert_eq!(code, Some(69));
    assert!(stderr.contains("ERROR") && !stderr.contains("WARN"), "{stderr}");
}
