//! A connection to the upstream, from its first packet to its first use.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::Demand;
use crate::command::printable;
use crate::config::{Address, Endpoint, Tcp};
use crate::limits::{READ_AHEAD_BYTES, REASON_BYTES};
use crate::net::Socket;
use crate::protocol::{ReplyScanner, Version, encode_request};

/// What a client has said already, while the upstream was away, and the upstream must be told before anything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The protocol that the client was promised.
    pub version: Version,
    /// The client's name; empty for none.
    pub name: Bytes,
    /// Whether it has to be found out if the connection is answered at all: it is opened for a lock command, which must
    /// not wait for a server that accepts connections and says nothing.
    pub probe: bool,
}

/// A connection to the upstream, ready for the client's first command.
#[derive(Debug)]
pub struct Opened {
    /// The connection.
    pub socket: Socket,
    /// Whether a probe was asked for and answered.
    pub admitted: bool,
}

/// Why there is no connection to the upstream. `Display` is an error line with its prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("UPSTREAMDOWN {address}: {reason}")]
pub struct OpenError {
    address: String,
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Reason {
    Refused,
    Silent(Duration),
    /// The server's or the system's own words.
    Other(String),
    /// The server is there, and says no to what it has to be told first.
    Rejected(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Silent(after) => write!(f, "timed out after {} ms", after.as_millis()),
            Self::Other(words) | Self::Rejected(words) => f.write_str(words),
        }
    }
}

impl OpenError {
    pub(super) fn silent(address: &Address, after: Duration) -> Self {
        Self { address: address.to_string(), reason: Reason::Silent(after) }
    }

    /// Whether trying takes long.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self.reason, Reason::Silent(_))
    }

    /// Whether the server is there and did not let this connection be what the client was promised.
    pub fn is_rejection(&self) -> bool {
        matches!(self.reason, Reason::Rejected(_))
    }

    fn system(address: &Address, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionRefused => Reason::Refused,
            _ => Reason::Other(own_words(error.to_string().as_bytes())),
        };
        Self { address: address.to_string(), reason }
    }
}

/// Connects and says what has to be said first.
pub(super) async fn dial(
    endpoint: &Endpoint,
    tcp: &Tcp,
    wishes: &Wishes,
    reply_nesting: usize,
) -> Result<Opened, OpenError> {
    let mut socket = connect(endpoint, tcp).await.map_err(|error| OpenError::system(&endpoint.address, &error))?;
    let mut script: Vec<Vec<Vec<u8>>> = credentials(endpoint).into_iter().collect();
    if wishes.version == Version::Resp3 {
        script.push(command(&[b"HELLO", b"3"]));
    }
    script.extend(database(endpoint));
    if !wishes.name.is_empty() {
        script.push(command(&[b"CLIENT", b"SETNAME", &wishes.name]));
    }
    let refused = say(&mut socket, &script, reply_nesting).await;
    if let Some(words) = refused.map_err(|error| OpenError::system(&endpoint.address, &error))? {
        return Err(OpenError { address: endpoint.address.to_string(), reason: Reason::Rejected(words) });
    }
    let admitted = wishes.probe && probe(&mut socket, endpoint, reply_nesting).await?.is_none();
    Ok(Opened { socket, admitted })
}

/// Connects for a moment, to learn whether the server answers, and whether without a password.
pub(super) async fn look(endpoint: &Endpoint, tcp: &Tcp, reply_nesting: usize) -> Result<Demand, OpenError> {
    let Opened { mut socket, .. } = dial(endpoint, tcp, &Wishes::default(), reply_nesting).await?;
    match probe(&mut socket, endpoint, reply_nesting).await? {
        None => Ok(Demand::Nothing),
        Some(words) if words.starts_with("NOAUTH") => Ok(Demand::Password),
        Some(words) => Err(OpenError { address: endpoint.address.to_string(), reason: Reason::Rejected(words) }),
    }
}

/// Asks for an answer; the error, if it is one.
async fn probe(socket: &mut Socket, endpoint: &Endpoint, reply_nesting: usize) -> Result<Option<String>, OpenError> {
    let answer = say(socket, &[command(&[b"ECHO", b"redlock-proxy"])], reply_nesting).await;
    answer.map_err(|error| OpenError::system(&endpoint.address, &error))
}

/// What a connection says of itself after its credentials were taken away.
pub(super) fn introduction(endpoint: &Endpoint) -> Vec<Vec<Vec<u8>>> {
    credentials(endpoint).into_iter().chain(database(endpoint)).collect()
}

/// The command by which a connection shows who it is, if it has to.
fn credentials(endpoint: &Endpoint) -> Option<Vec<Vec<u8>>> {
    let password = endpoint.password.as_ref()?.expose().as_bytes();
    Some(match &endpoint.user {
        Some(user) => command(&[b"AUTH", user.as_bytes(), password]),
        None => command(&[b"AUTH", password]),
    })
}

fn database(endpoint: &Endpoint) -> Option<Vec<Vec<u8>>> {
    (endpoint.database != 0).then(|| command(&[b"SELECT", endpoint.database.to_string().as_bytes()]))
}

fn command(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}

async fn connect(endpoint: &Endpoint, tcp: &Tcp) -> io::Result<Socket> {
    let socket = match &endpoint.address {
        Address::Tcp { host, port } => Socket::Tcp(TcpStream::connect((host.as_str(), *port)).await?),
        Address::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
    };
    socket.configure(tcp)?;
    Ok(socket)
}

/// Sends these commands at once and reads their replies; the text of the first that is an error.
async fn say(socket: &mut Socket, script: &[Vec<Vec<u8>>], reply_nesting: usize) -> io::Result<Option<String>> {
    if script.is_empty() {
        return Ok(None);
    }
    let (mut output, mut input) = (BytesMut::new(), BytesMut::with_capacity(READ_AHEAD_BYTES));
    for words in script {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        encode_request(&words, &mut output);
    }
    let (mut scanner, mut answers, mut seen) = (ReplyScanner::new(reply_nesting), 0, 0);
    while answers < script.len() {
        match socket.try_write(&output) {
            Ok(count) => output.advance(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let wanted = if output.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        socket.ready(wanted).await?;
        input.reserve(READ_AHEAD_BYTES);
        match socket.try_read(&mut input) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        while let Some(rest) = input.get(seen..).filter(|rest| !rest.is_empty()) {
            let scan = scanner.scan(rest).map_err(io::Error::other)?;
            seen += scan.consumed;
            let Some(kind) = scan.ended else { break };
            let reply = input.split_to(std::mem::take(&mut seen));
            if kind == b'-' {
                return Ok(Some(own_words(reply.get(1..).unwrap_or_default())));
            }
            answers += usize::from(kind != b'>');
        }
    }
    Ok(None)
}

/// A server's text for an error line: one short line.
fn own_words(text: &[u8]) -> String {
    printable(text, REASON_BYTES).trim().to_owned()
}
