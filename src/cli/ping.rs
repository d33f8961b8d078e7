//! `redlock-proxy ping`: is there a proxy, and can it grant a lock? Made for health checks.
//!
//! Any answer is a sign of life, an error as well: a proxy that wants a password is up. `--ready` asks further.

use std::fmt::{self, Write as _};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::str::FromStr as _;
use std::sync::mpsc;
use std::thread;

use super::args::PingArgs;
use super::{Exit, print};
use crate::config::{Address, Endpoint};
use crate::limits::{LINE_BYTES, PING_TIMEOUT, PRIMARY_REPLY_BYTES};

/// Prints the answer to PING.
pub(super) fn run(args: &PingArgs) -> Exit {
    let proxy = match Endpoint::from_str(&args.address) {
        Ok(endpoint) if endpoint.database == 0 => endpoint,
        Ok(_) => {
            eprintln!("ping takes no database; write the address without its path");
            return Exit::Usage;
        }
        Err(error) => {
            eprintln!("{error}");
            return Exit::Usage;
        }
    };
    let address = proxy.address.clone();
    // On a thread of its own, because a name's resolution knows no time limit. The process does not wait for it.
    let (sender, receiver) = mpsc::channel();
    let ready = args.ready;
    thread::spawn(move || sender.send(ask(&proxy, ready)));
    match receiver.recv_timeout(PING_TIMEOUT) {
        Ok(Ok(Answer::Alive(text))) => {
            print(&format!("{text}\n"));
            Exit::Done
        }
        Ok(Ok(Answer::NotReady(reason))) => {
            eprintln!("{address} is not ready: {reason}");
            Exit::Unavailable
        }
        Ok(Err(error)) => {
            eprintln!("no answer from {address}: {error}");
            Exit::Unavailable
        }
        Err(_) => {
            eprintln!("no answer from {address} within {} ms", PING_TIMEOUT.as_millis());
            Exit::Unavailable
        }
    }
}

/// What the proxy said.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// To PING.
    Alive(String),
    /// It is there, but a lock cannot be had.
    NotReady(String),
}

fn ask(proxy: &Endpoint, ready: bool) -> io::Result<Answer> {
    match &proxy.address {
        Address::Tcp { host, port } => {
            converse(BufReader::new(TcpStream::connect((host.as_str(), *port))?), proxy, ready)
        }
        Address::Unix(path) => converse(BufReader::new(UnixStream::connect(path)?), proxy, ready),
    }
}

/// AUTH where there is a password, PING, and INFO where it is asked whether the proxy is ready.
fn converse<S: Read + Write>(mut proxy: BufReader<S>, endpoint: &Endpoint, ready: bool) -> io::Result<Answer> {
    if let Some(password) = &endpoint.password {
        let user = endpoint.user.as_deref();
        let words: Vec<&str> = ["AUTH"].into_iter().chain(user).chain([password.expose()]).collect();
        let said = command(&mut proxy, &words)?;
        if said.is_error && ready {
            return Ok(Answer::NotReady(said.to_string()));
        } else if said.is_error {
            return Ok(Answer::Alive(said.to_string()));
        }
    }
    let said = command(&mut proxy, &["PING"])?;
    if !ready {
        return Ok(Answer::Alive(said.to_string()));
    }
    let info = command(&mut proxy, &["INFO", "redlock"])?;
    if info.is_error {
        return Ok(Answer::NotReady(info.to_string()));
    }
    match info.text.lines().map(str::trim_end).find(|line| line.starts_with("ready:")) {
        Some("ready:1") => Ok(Answer::Alive(said.to_string())),
        Some(line) => Ok(Answer::NotReady(format!("INFO redlock says {line}"))),
        None => Ok(Answer::NotReady("INFO redlock does not say; is this a redlock-proxy?".to_owned())),
    }
}

/// One reply of those that can come here: a simple string, an error, or a bulk string.
#[derive(Debug)]
struct Said {
    text: String,
    is_error: bool,
}

impl fmt::Display for Said {
    /// Without what could play tricks on a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.chars().filter(|c| !c.is_control()).try_for_each(|c| f.write_char(c))
    }
}

fn command<S: Read + Write>(proxy: &mut BufReader<S>, words: &[&str]) -> io::Result<Said> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        let _ = write!(request, "${}\r\n{word}\r\n", word.len());
    }
    proxy.get_mut().write_all(request.as_bytes())?;

    let line = read_line(proxy)?;
    let Some((kind, rest)) = line.split_at_checked(1) else { return Err(not_redis()) };
    match kind {
        "+" => Ok(Said { text: rest.to_owned(), is_error: false }),
        "-" => Ok(Said { text: rest.to_owned(), is_error: true }),
        "$" => {
            let length = rest.parse().ok().filter(|&length| length <= PRIMARY_REPLY_BYTES).ok_or_else(not_redis)?;
            let mut bytes = vec![0; length + 2];
            proxy.read_exact(&mut bytes)?;
            bytes.truncate(length);
            Ok(Said { text: String::from_utf8_lossy(&bytes).into_owned(), is_error: false })
        }
        _ => Err(not_redis()),
    }
}

/// A line without its end; an error when it is too long, or has none.
fn read_line(proxy: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    proxy.take(u64::try_from(LINE_BYTES).unwrap_or(u64::MAX)).read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
        None if line.is_empty() => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")),
        None => Err(not_redis()),
    }
}

fn not_redis() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what came is no reply of the Redis protocol")
}
