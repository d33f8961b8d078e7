//! Plays a script and keeps every byte that comes back, connection by connection, and how each stream ended.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use support::{PATIENCE, Server, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::frames::Frames;
use super::script::{Script, Step};
use crate::common::Random;

/// How what is sent is cut into writes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cut {
    /// Each step in one piece.
    Whole,
    /// One byte at a time.
    Bytes,
    /// Pieces whose lengths are drawn from this seed.
    Random(u64),
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    InOrder,
    Reset,
}

/// All that one connection was told.
#[derive(PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) bytes: Vec<u8>,
    pub(super) end: End,
}

/// All that a script was told, by connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Transcript(pub(super) Vec<Heard>);

/// Plays `script` to `address`, behind which is `server`; a server that has not to be fresh is emptied before.
///
/// At the end every connection half-closes and is read to its end. It is an error when a reply or the end does not come at all.
pub(super) async fn play(script: &Script, address: &str, server: &Server, cut: Cut) -> Result<Transcript, String> {
    empty(server).await;
    let mut connections = Vec::new();
    for _ in 0..script.connections {
        connections.push(Connection::open(address).await);
    }
    for (number, step) in script.steps.iter().enumerate() {
        let place = || format!("step {} of \"{}\" to {address}, {cut:?}", number + 1, script.name);
        match step {
            Step::Send { connection, bytes, replies } => {
                connections[*connection].send(bytes, cut).await;
                connections[*connection].hear(*replies, place).await?;
            }
            Step::Hear { connection, replies } => connections[*connection].hear(*replies, place).await?,
            Step::Blocked(clients) => {
                let clients = clients.to_string();
                let blocked = async || server.info("blocked_clients").await.as_ref() == Some(&clients);
                eventually(blocked, format!("{clients} blocked clients: {}", place())).await;
            }
            Step::HalfClose(connection) => connections[*connection].half_close(),
            Step::Closed(connection) => connections[*connection].hear(usize::MAX, place).await?,
        }
    }
    let mut heard = Vec::new();
    for mut connection in connections {
        connection.half_close();
        connection.hear(usize::MAX, || format!("the end of \"{}\" to {address}, {cut:?}", script.name)).await?;
        heard.push(connection.close(script.is_masked).await);
    }
    Ok(Transcript(heard))
}

/// As if it had just been started, as far as a script can tell. What a server does not know it refuses, and has none of.
async fn empty(server: &Server) {
    let mut client = server.connect().await;
    for command in [&["FLUSHALL"][..], &["SCRIPT", "FLUSH"], &["FUNCTION", "FLUSH"], &["CONFIG", "RESETSTAT"]] {
        client.call(command).await;
    }
}

/// Where `other` departs from `reference`; `None` when it does not.
pub(super) fn difference(reference: &Transcript, other: &Transcript, compare_ends: bool) -> Option<String> {
    let pairs = reference.0.iter().zip(&other.0).enumerate();
    for (connection, (expected, found)) in pairs {
        let connection = char::from(b'A' + u8::try_from(connection).unwrap_or_default());
        if expected.bytes != found.bytes {
            let same = expected.bytes.iter().zip(&found.bytes).take_while(|(one, other)| one == other).count();
            let around = |bytes: &[u8]| {
                let piece = &bytes[same.saturating_sub(60)..bytes.len().min(same + 60)];
                format!("{} bytes, there \"{}\"", bytes.len(), piece.escape_ascii())
            };
            let (expected, found) = (around(&expected.bytes), around(&found.bytes));
            return Some(format!("{connection} differs at byte {same}:\n  expected {expected}\n  found    {found}"));
        }
        if compare_ends && expected.end != found.end {
            return Some(format!("{connection} ends {:?} where {:?} is right", found.end, expected.end));
        }
    }
    assert_eq!(reference.0.len(), other.0.len(), "transcripts of the same script");
    None
}

struct Connection {
    /// `None` once half-closed.
    sink: Option<OwnedWriteHalf>,
    progress: watch::Receiver<Progress>,
    heard: Arc<Mutex<Vec<u8>>>,
    listener: JoinHandle<End>,
    /// Replies that have been waited for.
    awaited: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    replies: usize,
    has_ended: bool,
}

impl Connection {
    async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("it accepts connections");
        // Without this the kernel would join the pieces again.
        stream.set_nodelay(true).expect("a socket takes the option");
        let (source, sink) = stream.into_split();
        let (tell, progress) = watch::channel(Progress::default());
        let heard = Arc::default();
        let listener = tokio::spawn(listen(source, Arc::clone(&heard), tell));
        Self { sink: Some(sink), progress, heard, listener, awaited: 0 }
    }

    async fn send(&mut self, bytes: &[u8], cut: Cut) {
        let Some(sink) = &mut self.sink else { panic!("a script sends nothing behind its half-close") };
        for piece in pieces(bytes, cut) {
            let writing = timeout(PATIENCE, sink.write_all(piece)).await;
            // A server that has closed takes no more. What it said is what counts.
            if writing.expect("what is sent is read").is_err() {
                return;
            }
            if !matches!(cut, Cut::Whole) {
                let_it_be_read();
            }
        }
    }

    /// Waits for so many further replies, or the end.
    async fn hear(&mut self, replies: usize, place: impl FnOnce() -> String) -> Result<(), String> {
        let wanted = self.awaited.saturating_add(replies);
        let come = self.progress.wait_for(|progress| progress.has_ended || progress.replies >= wanted);
        let is_late = timeout(PATIENCE, come).await.is_err();
        self.awaited = wanted;
        if !is_late {
            return Ok(());
        }
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = &heard[heard.len().saturating_sub(300)..];
        Err(format!("waited {PATIENCE:?} in vain at {}; last heard: \"{}\"", place(), tail.escape_ascii()))
    }

    /// Dropping a stream's writing half ends that direction.
    fn half_close(&mut self) {
        self.sink = None;
    }

    async fn close(self, is_masked: bool) -> Heard {
        let end = self.listener.await.expect("listening does not panic");
        let bytes = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        Heard { bytes: if is_masked { masked(&bytes) } else { bytes }, end }
    }
}

async fn listen(mut source: OwnedReadHalf, heard: Arc<Mutex<Vec<u8>>>, tell: watch::Sender<Progress>) -> End {
    let mut frames = Frames::default();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = source.read(&mut buffer).await;
        let end = match read {
            Ok(0) => End::InOrder,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => End::Reset,
            Err(error) => panic!("reading fails: {error}"),
            Ok(length) => {
                heard.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..length]);
                let replies = frames.push(&buffer[..length]);
                tell.send_modify(|progress| progress.replies = replies);
                continue;
            }
        };
        tell.send_modify(|progress| progress.has_ended = true);
        return end;
    }
}

/// Long enough for the other side to read a piece before the next one comes, most of the time; shorter than any timer of tokio's.
pub(super) fn let_it_be_read() {
    std::thread::sleep(Duration::from_micros(10));
}

fn pieces(bytes: &[u8], cut: Cut) -> Vec<&[u8]> {
    let mut random = Random::new(if let Cut::Random(seed) = cut { seed } else { 0 });
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let length = match cut {
            Cut::Whole => rest.len(),
            Cut::Bytes => 1,
            // Small against what is sent, so that there are many boundaries, and never so small that there are too many.
            Cut::Random(_) => 1 + random.below(16.max(bytes.len() / 50)),
        };
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// The stream with what cannot be the same twice made alike, and nothing else:
///
/// * the connection's id in the answer to HELLO: `id` and the number behind it;
/// * the time and the client's address at the beginning of MONITOR's lines: `+1700000000.123456 [0 127.0.0.1:50000]`;
/// * the line that shows the proxy's own look at its upstream: there the proxy is one more client, whom MONITOR shows as it should.
fn masked(bytes: &[u8]) -> Vec<u8> {
    const ID: &[u8] = b"$2\r\nid\r\n:";
    const LOOK: &[u8] = b" \"ECHO\" \"redlock-proxy\"\r\n";
    let mut masked = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix(ID) {
            masked.extend_from_slice(ID);
            masked.push(b'N');
            rest = &behind[behind.iter().take_while(|byte| byte.is_ascii_digit()).count()..];
        } else if let Some((database, behind)) = monitored(rest) {
            if let Some(behind) = behind.strip_prefix(LOOK) {
                rest = behind;
                continue;
            }
            masked.extend_from_slice(b"+TIME [");
            masked.extend_from_slice(database);
            masked.extend_from_slice(b" ADDRESS]");
            rest = behind;
        } else {
            masked.push(rest[0]);
            rest = &rest[1..];
        }
    }
    masked
}

/// The database in the head of a line of MONITOR, and what follows that head.
fn monitored(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let time = bytes.strip_prefix(b"+")?;
    let digits = time.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let head = time[digits..].strip_prefix(b" [").filter(|_| digits > 0)?;
    let (database, address) = head.split_at(head.iter().position(|&byte| byte == b' ')?);
    let end = address.iter().position(|&byte| byte == b']')?;
    Some((database, &address[end + 1..]))
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.bytes[..self.bytes.len().min(1000)];
        write!(f, "\"{}\" ({} bytes) {:?}", shown.escape_ascii(), self.bytes.len(), self.end)
    }
}

#[test]
fn only_ids_and_the_heads_of_monitored_lines_are_masked() {
    let look = b"+OK\r\n+1.5 [0 127.0.0.1:5] \"ECHO\" \"redlock-proxy\"\r\n+1.5 [0 ";
    assert_eq!(masked(look).escape_ascii().to_string(), b"+OK\r\n+1.5 [0 ".escape_ascii().to_string());
    let heard = b"$2\r\nid\r\n:123\r\n$2\r\nix\r\n:1\r\n+1700.25 [9 127.0.0.1:5]\r\n+17 [0\r\n+12.5\r\n";
    let expected = b"$2\r\nid\r\n:N\r\n$2\r\nix\r\n:1\r\n+TIME [9 ADDRESS]\r\n+17 [0\r\n+12.5\r\n";
    assert_eq!(masked(heard).escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn pieces_joined_are_what_was_cut() {
    let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
    for cut in [Cut::Whole, Cut::Bytes, Cut::Random(1), Cut::Random(2)] {
        assert_eq!(pieces(&bytes, cut).concat(), bytes, "{cut:?}");
    }
}
