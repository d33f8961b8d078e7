//! A client that sends exactly the bytes it is told.
//!
//! What a proxy promises, it promises in bytes: pipelines cut in the middle of an argument, a half-closed connection whose replies
//! still come, a reset, a reply that must *not* come yet. Libraries hide all of that. Every wait ends after [`PATIENCE`] with a
//! panic that tells what had been read, so that a test never hangs and never needs a time-out of its own.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::resp::{Value, encode_command, parse};
use crate::waiting::PATIENCE;

/// One connection.
pub struct ByteClient {
    stream: TcpStream,
    /// Read and not yet taken.
    buffer: Vec<u8>,
}

impl ByteClient {
    /// Connects to `host:port`; panics when nothing listens there.
    pub async fn connect(address: impl AsRef<str>) -> Self {
        let address = address.as_ref();
        Self::try_connect(address).await.unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    /// Connects to `host:port`.
    pub async fn try_connect(address: impl AsRef<str>) -> io::Result<Self> {
        let connecting = TcpStream::connect(address.as_ref());
        let stream = timeout(PATIENCE, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        Ok(Self::from(stream))
    }

    /// Sends these bytes as they are.
    pub async fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send_raw(bytes).await.expect("the peer takes what is sent");
    }

    /// Sends these bytes, or says why it could not: for a peer that may have closed.
    pub async fn try_send_raw(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let writing = self.stream.write_all(bytes.as_ref());
        timeout(PATIENCE, writing).await.unwrap_or_else(|_| panic!("the peer has not read for {PATIENCE:?}"))
    }

    /// Sends a command as an array of bulk strings and does not wait for its reply.
    pub async fn send<A: AsRef<[u8]>>(&mut self, arguments: &[A]) {
        self.send_raw(encode_command(arguments)).await;
    }

    /// Sends a command and reads its reply.
    pub async fn call<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Value {
        self.send(arguments).await;
        self.read_reply().await
    }

    /// The next reply; panics when the connection ends first.
    pub async fn read_reply(&mut self) -> Value {
        match self.try_read_reply().await {
            Ok(value) => value,
            Err(error) => panic!("no reply: {error}; read so far: \"{}\"", self.buffer.escape_ascii()),
        }
    }

    /// The next `count` replies.
    pub async fn read_replies(&mut self, count: usize) -> Vec<Value> {
        let mut replies = Vec::with_capacity(count);
        while replies.len() < count {
            replies.push(self.read_reply().await);
        }
        replies
    }

    /// The next reply, or how the connection ended: `UnexpectedEof` for an orderly end, `ConnectionReset` for a reset.
    pub async fn try_read_reply(&mut self) -> io::Result<Value> {
        loop {
            match parse(&self.buffer) {
                Ok(Some((value, length))) => {
                    self.buffer.drain(..length);
                    return Ok(value);
                }
                Ok(None) => self.fill("a reply").await?,
                Err(reason) => panic!("not RESP: {reason}; read so far: \"{}\"", self.buffer.escape_ascii()),
            }
        }
    }

    /// The next `count` bytes, whatever they are.
    pub async fn read_exact_bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            if let Err(error) = self.fill("bytes").await {
                panic!("not {count} bytes: {error}; read so far: \"{}\"", self.buffer.escape_ascii());
            }
        }
        self.buffer.drain(..count).collect()
    }

    /// Panics unless the next bytes are these.
    pub async fn expect_bytes(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let found = self.read_exact_bytes(expected.len()).await;
        assert!(found == expected, "expected \"{}\", found \"{}\"", expected.escape_ascii(), found.escape_ascii());
    }

    /// All bytes up to the orderly end of the stream; panics on a reset.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        loop {
            match self.fill("the end of the stream").await {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return std::mem::take(&mut self.buffer),
                Err(error) => panic!("not an orderly end: {error}; read so far: \"{}\"", self.buffer.escape_ascii()),
            }
        }
    }

    /// Panics unless the stream ends in order, with nothing before its end.
    pub async fn expect_eof(&mut self) {
        let rest = self.read_to_end().await;
        assert!(rest.is_empty(), "expected the end of the stream, found \"{}\"", rest.escape_ascii());
    }

    /// Panics unless the connection ends, by end or by reset, whatever comes before.
    pub async fn expect_closed(&mut self) {
        while self.fill("the end of the connection").await.is_ok() {}
    }

    /// Whether nothing has come for `duration`: for replies that must not come yet. A quiet time proves little, so follow it with
    /// what makes the reply come.
    pub async fn is_quiet_for(&mut self, duration: Duration) -> bool {
        self.buffer.is_empty() && timeout(duration, self.stream.peek(&mut [0])).await.is_err()
    }

    /// Ends our direction of the stream; replies are still read.
    pub async fn shutdown_write(&mut self) {
        self.stream.shutdown().await.expect("our direction is open");
    }

    /// Closes with a reset instead of an orderly end.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("an open socket takes the option");
    }

    /// Our own address, as the peer names it.
    pub fn local_address(&self) -> String {
        self.stream.local_addr().expect("a connected socket has an address").to_string()
    }

    async fn fill(&mut self, awaited: &str) -> io::Result<()> {
        self.buffer.reserve(64 * 1024);
        let reading = self.stream.read_buf(&mut self.buffer);
        let Ok(read) = timeout(PATIENCE, reading).await else {
            panic!("waited {PATIENCE:?} in vain for {awaited}; read so far: \"{}\"", self.buffer.escape_ascii());
        };
        match read? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed the connection")),
            _ => Ok(()),
        }
    }
}

/// Either end of a connection can be spoken byte by byte.
impl From<TcpStream> for ByteClient {
    fn from(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }
}

impl fmt::Debug for ByteClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ByteClient({:?}, \"{}\" unread)", self.stream.peer_addr(), self.buffer.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn pair() -> (ByteClient, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let client = ByteClient::connect(listener.local_addr().expect("bound").to_string()).await;
        (client, listener.accept().await.expect("connected").0)
    }

    #[tokio::test]
    async fn replies_are_read_whole_from_pieces_and_singly_from_bursts() {
        let (mut client, mut server) = pair().await;
        server.write_all(b"*2\r\n$3\r\na").await.expect("open");
        let (reply, ()) = tokio::join!(client.read_reply(), async {
            server.write_all(b"bc\r\n:1\r\n+next\r\n").await.expect("open");
        });
        assert_eq!(reply, Value::Array(vec![Value::bulk("abc"), Value::Integer(1)]));
        assert_eq!(client.read_reply().await, Value::simple("next"));
        assert!(client.is_quiet_for(Duration::from_millis(1)).await);
    }

    #[tokio::test]
    async fn a_half_closed_client_still_reads() {
        let (mut client, mut server) = pair().await;
        client.send(&["PING"]).await;
        client.shutdown_write().await;
        let mut sent = Vec::new();
        server.read_to_end(&mut sent).await.expect("an orderly end");
        assert_eq!(sent, b"*1\r\n$4\r\nPING\r\n");
        server.write_all(b"+PONG\r\n").await.expect("the other direction is open");
        drop(server);
        client.expect_bytes("+PONG\r\n").await;
        client.expect_eof().await;
    }

    #[tokio::test]
    async fn a_reset_is_no_orderly_end() {
        let (client, mut server) = pair().await;
        client.reset();
        let error = server.read_u8().await.expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

        let (mut client, server) = pair().await;
        server.set_zero_linger().expect("open");
        drop(server);
        let error = client.try_read_reply().await.expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        client.expect_closed().await;
    }
}
