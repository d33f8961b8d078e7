//! Stream sockets, TCP or Unix, behind one type.
//!
//! The two differ in how they are opened and in nothing after that, so the session sees one [`Socket`] with tokio's
//! readiness interface: ask what is ready, try, and be told when the system is not. Every option that matters is set
//! here, none is inherited: no delay for small replies, keep-alive and the limit on unacknowledged data, by which a
//! peer that vanished without a word is found out.
//!
//! A Unix socket's file outlives a process that was killed. It is taken over when nobody answers behind it, and never
//! when somebody does; at the end it is removed if it is still ours.

use std::fmt;
use std::fs;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures_util::FutureExt;
use socket2::{Domain, Protocol, SockRef, TcpKeepalive, Type};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::{Address, Tcp};
use crate::limits::ACCEPT_BACKLOG;

/// A connected stream.
#[derive(Debug)]
pub enum Socket {
    /// Over IP.
    Tcp(TcpStream),
    /// Over a file's name.
    Unix(UnixStream),
}

/// Who is at the other end, as logs and CLIENT LIST name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// The peer's address and port.
    Tcp(SocketAddr),
    /// A Unix peer has no name: this is the file that it came through.
    Unix(PathBuf),
}

impl fmt::Display for Peer {
    /// `10.0.0.7:51234`, `[::1]:51234`, and, as Redis has it, `/run/proxy.sock:0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{}:0", path.display()),
        }
    }
}

/// The same call on whichever stream it is.
macro_rules! on_stream {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($stream) => $call,
            Socket::Unix($stream) => $call,
        }
    };
}

impl Socket {
    /// Waits until the socket is ready for any of `interest`, or has failed. One task waits at a time.
    ///
    /// A socket has a place for who reads and one for who writes, which costs less than to stand in tokio's line of those
    /// who wait for anything, as one has to for a failure alone.
    pub async fn ready(&self, interest: Interest) -> io::Result<()> {
        if interest.is_error() {
            return on_stream!(self, stream => stream.ready(interest).await.map(drop));
        }
        let poll = |context: &mut Context<'_>| {
            on_stream!(self, stream => {
                if interest.is_readable() && let ready @ Poll::Ready(_) = stream.poll_read_ready(context) {
                    return ready;
                }
                if interest.is_writable() { stream.poll_write_ready(context) } else { Poll::Pending }
            })
        };
        poll_fn(poll).await
    }

    /// Appends what has come to `buffer`, as far as it has room, and makes some where there is none; 0 at the stream's
    /// end.
    ///
    /// By way of tokio's polling read, which knows that a read that fills less than the room has emptied the socket: the
    /// next wait then needs no second system call to find that out.
    pub fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        let read = on_stream!(self, stream => stream.read_buf(buffer).now_or_never());
        read.unwrap_or_else(|| Err(ErrorKind::WouldBlock.into()))
    }

    /// Whether something may have come: what the system has said so far, without asking it.
    pub fn is_readable(&self) -> bool {
        on_stream!(self, stream => stream.try_io(Interest::READABLE, || Ok(())).is_ok())
    }

    /// Writes as much as the system takes.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        on_stream!(self, stream => stream.try_write(bytes))
    }

    /// Writes without asking the runtime first, which may not know yet that a fresh socket has room.
    pub fn write_first(&self, bytes: &[u8]) -> io::Result<usize> {
        on_stream!(self, stream => SockRef::from(stream).send(bytes))
    }

    /// Tells the peer that nothing more comes. What was written before still arrives.
    pub fn shutdown_write(&self) -> io::Result<()> {
        on_stream!(self, stream => SockRef::from(stream).shutdown(Shutdown::Write))
    }

    /// Ends the connection in both directions, at once: everybody who waits on it is told.
    pub fn shutdown(&self) -> io::Result<()> {
        on_stream!(self, stream => SockRef::from(stream).shutdown(Shutdown::Both))
    }

    /// The address that the client connected to, as CLIENT LIST names it.
    pub fn local_address(&self) -> io::Result<Peer> {
        match self {
            Self::Tcp(stream) => Ok(Peer::Tcp(stream.local_addr()?)),
            Self::Unix(stream) => {
                Ok(Peer::Unix(stream.local_addr()?.as_pathname().map(Path::to_owned).unwrap_or_default()))
            }
        }
    }

    /// What has gone wrong with the connection since the last call, for instance that the peer has reset it. A reading
    /// socket does not tell once its stream has ended.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        on_stream!(self, stream => stream.take_error())
    }

    /// Sends every write at once, and finds out about a peer that vanished. Unix sockets need neither.
    pub fn configure(&self, tcp: &Tcp) -> io::Result<()> {
        let Self::Tcp(stream) = self else { return Ok(()) };
        stream.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new()
            .with_time(tcp.keepalive_idle)
            .with_interval(tcp.keepalive_interval)
            .with_retries(tcp.keepalive_probes);
        let socket = SockRef::from(stream);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if tcp.user_timeout.is_some() {
            socket.set_tcp_user_timeout(tcp.user_timeout)?;
        }
        Ok(())
    }
}

/// Where connections come in.
#[derive(Debug)]
pub enum Listener {
    /// On an address and port.
    Tcp(TcpListener),
    /// On a file's name.
    Unix(UnixListener, SocketFile),
}

/// A Unix socket's file; removed when dropped, unless another socket has taken its place since.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode));
        if ours {
            // Nothing depends on it: whoever listens here next takes a leftover file over.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// Listens on `address`; of a name's several addresses, on the first that can be bound.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp { host, port } => {
                let mut failure = io::Error::new(ErrorKind::NotFound, "the host name has no address");
                for address in tokio::net::lookup_host((host.as_str(), *port)).await? {
                    match bind_tcp(address) {
                        Ok(listener) => return Ok(Self::Tcp(listener)),
                        Err(error) => failure = error,
                    }
                }
                Err(failure)
            }
            Address::Unix(path) => bind_unix(path),
        }
    }

    /// The address that was bound: with the port that the system chose, when 0 was asked for.
    pub fn local_address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => {
                let address = listener.local_addr()?;
                Ok(Address::Tcp { host: address.ip().to_string(), port: address.port() })
            }
            Self::Unix(_, file) => Ok(Address::Unix(file.path.clone())),
        }
    }

    /// The next client. Safe to cancel.
    pub async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Socket::Tcp(stream), Peer::Tcp(address)))
            }
            Self::Unix(listener, file) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream), Peer::Unix(file.path.clone())))
            }
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restart need not wait for the last connections of the process before to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(ACCEPT_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn bind_unix(path: &Path) -> io::Result<Listener> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_deserted(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        other => other?,
    };
    let file = fs::metadata(path)?;
    let file = SocketFile { path: path.to_owned(), device: file.dev(), inode: file.ino() };
    Ok(Listener::Unix(listener, file))
}

/// Whether this is a socket behind which nobody listens.
fn is_deserted(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    // A Unix connect does not wait for the network: it is refused, or in the listener's queue, or the queue is full.
    is_socket
        && std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn anywhere() -> Address {
        Address::Tcp { host: "127.0.0.1".into(), port: 0 }
    }

    async fn connected(listener: &Listener) -> (Socket, TcpStream) {
        let Ok(Address::Tcp { host, port }) = listener.local_address() else { panic!("a TCP listener") };
        let (client, accepted) = tokio::join!(TcpStream::connect((host, port)), listener.accept());
        (accepted.expect("a client comes").0, client.expect("somebody listens"))
    }

    #[tokio::test]
    async fn a_vanished_peer_is_looked_for_as_configured() {
        let listener = Listener::bind(&anywhere()).await.expect("a free port");
        let (socket, _client) = connected(&listener).await;
        let tcp = Tcp {
            keepalive_idle: Duration::from_secs(11),
            keepalive_interval: Duration::from_secs(7),
            keepalive_probes: 5,
            user_timeout: Some(Duration::from_millis(1_500)),
        };
        socket.configure(&tcp).expect("options of a living socket");

        let Socket::Tcp(stream) = &socket else { panic!("a TCP socket") };
        let options = SockRef::from(stream);
        assert!(stream.nodelay().expect("an option"));
        assert!(options.keepalive().expect("an option"));
        assert_eq!(options.tcp_keepalive_time().expect("an option"), Duration::from_secs(11));
        assert_eq!(options.tcp_keepalive_interval().expect("an option"), Duration::from_secs(7));
        assert_eq!(options.tcp_keepalive_retries().expect("an option"), 5);
        assert_eq!(options.tcp_user_timeout().expect("an option"), Some(Duration::from_millis(1_500)));
    }

    #[tokio::test]
    async fn a_reset_behind_the_streams_end_shows_as_an_error() {
        let listener = Listener::bind(&anywhere()).await.expect("a free port");
        let (mut socket, client) = connected(&listener).await;
        drop(client);
        socket.ready(Interest::READABLE).await.expect("the stream's end");
        assert_eq!(socket.try_read(&mut BytesMut::new()).expect("the stream's end"), 0);
        assert!(socket.take_error().expect("a living socket").is_none());

        socket.try_write(b"to nobody").expect("the system does not know yet");
        let _ = socket.shutdown_write();
        socket.ready(Interest::ERROR).await.expect("an event");
        assert!(socket.take_error().expect("a living socket").is_some());
    }

    #[tokio::test]
    async fn a_leftover_socket_file_is_taken_over_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("proxy.sock");
        let address = Address::Unix(path.clone());
        // Closing a listening socket leaves its file, which is what a killed process does.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a fresh name"));

        let first = Listener::bind(&address).await.expect("nobody listens there");
        let refused = Listener::bind(&address).await.expect_err("somebody listens there");
        assert_eq!(refused.kind(), ErrorKind::AddrInUse);
        assert!(path.exists());
        drop(first);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_never_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notes.txt");
        fs::write(&path, "important").expect("a writable folder");
        assert!(Listener::bind(&Address::Unix(path.clone())).await.is_err());
        assert_eq!(fs::read(&path).expect("still there"), b"important");
    }

    #[tokio::test]
    async fn the_file_of_a_successor_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("proxy.sock");
        let first = Listener::bind(&Address::Unix(path.clone())).await.expect("a fresh name");
        fs::rename(&path, folder.path().join("moved.sock")).expect("a writable folder");
        let _second = Listener::bind(&Address::Unix(path.clone())).await.expect("a fresh name again");
        drop(first);
        assert!(path.exists());
    }
}
