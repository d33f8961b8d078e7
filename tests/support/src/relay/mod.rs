//! A relay that stands in a connection's way.
//!
//! Between the proxy and a primary (or a client and the proxy) it forwards bytes until it is told not to: then it swallows, holds,
//! delays, drips or cuts them, in one direction or both, on every connection at once and from one byte to the next. So a test can
//! lose exactly a reply and not its command, which no signal to a server can do.
//!
//! It works on bytes, not packets: what is swallowed has been acknowledged to the sender. A network that loses packets until the
//! kernel gives up is a different fault. And it knows no RESP, so that it can break a reply in its middle.
//!
//! It runs on a thread of its own (`background`), on the real clock. Its calls take effect before they return. What is
//! random is drawn from the seed, the connection's number and the direction, so that a run repeats as far as the timing of the
//! two ends does.

use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::background::Background;
use crate::ports::free_port;
use crate::waiting::PATIENCE;

mod links;
mod pump;
use links::{Link, Orders, Shared};
use pump::{End, Pump};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From whoever connected to the relay to the target: commands.
    ToServer,
    /// From the target to whoever connected: replies.
    ToClient,
}

impl Direction {
    /// Both of them.
    pub const BOTH: [Direction; 2] = [Direction::ToServer, Direction::ToClient];
}

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// They go through, and so does the end of the stream.
    #[default]
    Forward,
    /// They are read and lost, and so is what had been held or delayed. The end of the stream is swallowed too.
    BlackHole,
    /// They are read and kept; any other fault set later delivers them in one burst (except `BlackHole`, which loses them).
    Hold,
    /// They are not read: the sender feels back-pressure once the kernel's buffers are full.
    Stall,
    /// Each piece read is delivered so much later, plus a random part of `jitter`; order is kept.
    Delay {
        /// The least delay.
        latency: Duration,
        /// The most that is added to it.
        jitter: Duration,
    },
    /// They go through in pieces of `bytes`, with a pause in between.
    Drip {
        /// Bytes in a piece; at least 1.
        bytes: usize,
        /// The pause between two pieces.
        pause: Duration,
    },
    /// On each connection so many more bytes go through, then both of its sides are closed.
    Truncate {
        /// Bytes that still go through.
        after: u64,
    },
}

impl Fault {
    /// A delay without jitter.
    pub fn latency(latency: Duration) -> Self {
        Self::Delay { latency, jitter: Duration::ZERO }
    }
}

/// One connection through the relay, living or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Counted from 1 in the order in which they were accepted.
    pub id: u64,
    /// When it was accepted.
    pub opened: Instant,
    /// Whether it still lives.
    pub is_open: bool,
    /// Bytes delivered to the target.
    pub bytes_to_server: u64,
    /// Bytes delivered to whoever connected.
    pub bytes_to_client: u64,
}

/// A running relay; dropping it closes everything.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    shared: Arc<Shared>,
    listening: UnboundedSender<Listening>,
    _background: Background,
}

impl Relay {
    /// Starts a relay to `target` (`host:port`) on a free port.
    pub fn start(target: impl Into<String>) -> Self {
        Self::start_seeded(target, 0)
    }

    /// The same; jitter is drawn from `seed`.
    pub fn start_seeded(target: impl Into<String>, seed: u64) -> Self {
        let background = Background::start("relay");
        let shared = Arc::new(Shared::new(target.into(), seed));
        let (port, listener) = bind_free(&background);
        #[expect(clippy::disallowed_methods, reason = "a test asks a handful of times, and must not wait")]
        let (listening, wishes) = unbounded_channel();
        background.handle().spawn(run(Arc::clone(&shared), port, listener, wishes));
        Self { port, shared, listening, _background: background }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:port`: what to connect to instead of the target.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From the next byte on this happens in that direction, on every connection, present and future.
    pub fn set(&self, direction: Direction, fault: Fault) {
        self.shared.fault(direction).send_replace(fault);
    }

    /// The same in both directions.
    pub fn set_both(&self, fault: Fault) {
        for direction in Direction::BOTH {
            self.set(direction, fault);
        }
    }

    /// Forwards in both directions and accepts connections again. What was held is delivered; what was swallowed is lost.
    pub fn heal(&self) {
        self.set_both(Fault::Forward);
        self.accept();
    }

    /// Ends every connection in order (FIN), both sides; what was held is lost. New ones are accepted.
    pub fn cut(&self) {
        self.end_all(End::Close);
    }

    /// Resets every connection (RST), both sides; what was held is lost. New ones are accepted.
    pub fn reset(&self) {
        self.end_all(End::Reset);
    }

    /// Whatever is read on this connection from now on is lost, in both directions, and so is the end of its streams; the
    /// others go on.
    pub fn swallow(&self, id: u64) {
        let links = self.shared.links();
        let link = links.iter().find(|link| link.id == id);
        link.expect("a connection of this relay").swallowed.store(true, Ordering::Release);
    }

    /// Ends the streams of all present connections in one direction, as if their sender had; the other direction goes on.
    pub fn half_close(&self, direction: Direction) {
        // Under the lock: a connection is registered before this, and obeys, or after it.
        let _links = self.shared.links();
        self.shared.half_close(direction).send_modify(|count| *count += 1);
    }

    /// New connections are refused, as by a host on which nothing listens. Present ones go on.
    pub fn refuse(&self) {
        self.listen(false);
    }

    /// New connections are accepted again.
    pub fn accept(&self) {
        self.listen(true);
    }

    /// Every connection there has been, in order of acceptance.
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.links().iter().map(|link| link.describe()).collect()
    }

    /// How many connections there have been.
    pub fn accepted(&self) -> usize {
        self.shared.links().len()
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.connections().iter().filter(|connection| connection.is_open).count()
    }

    /// Bytes delivered in this direction, over all connections.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.shared.links().iter().map(|link| link.delivered(direction).load(Ordering::Relaxed)).sum()
    }

    /// Bytes read from the sender in this direction, whether or not they were delivered.
    pub fn bytes_read(&self, direction: Direction) -> u64 {
        self.shared.links().iter().map(|link| link.read(direction).load(Ordering::Relaxed)).sum()
    }

    fn end_all(&self, end: End) {
        let ending = self.shared.links().len();
        self.shared.ends.send_replace((ending as u64, end));
        self.shared.wait_until("its connections to end", |links| links[..ending].iter().all(|link| !link.is_open()));
    }

    fn listen(&self, wanted: bool) {
        let (done, answered) = mpsc::channel();
        self.listening.send(Listening { wanted, done }).expect("the relay runs as long as it is owned");
        answered.recv_timeout(PATIENCE).expect("the relay opens or closes its port");
    }
}

/// A wish about the listening port, and who wants to know that it is fulfilled.
#[derive(Debug)]
struct Listening {
    wanted: bool,
    done: mpsc::Sender<()>,
}

fn bind_free(background: &Background) -> (u16, TcpListener) {
    let _context = background.handle().enter();
    for _ in 0..20 {
        let port = free_port();
        if let Ok(listener) = bind(port) {
            return (port, listener);
        }
    }
    panic!("20 ports in a row were taken before the relay could bind them");
}

fn bind(port: u16) -> io::Result<TcpListener> {
    // The standard library sets SO_REUSEADDR: the port is bound again while its former connections linger.
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Accepts connections, opens and closes the port, until the runtime ends.
async fn run(shared: Arc<Shared>, port: u16, listener: TcpListener, mut wishes: UnboundedReceiver<Listening>) {
    let mut listener = Some(listener);
    loop {
        tokio::select! {
            biased;
            wish = wishes.recv() => {
                let Some(Listening { wanted, done }) = wish else { return };
                if !wanted {
                    listener = None;
                } else if listener.is_none() {
                    listener = Some(bind_again(port).await);
                }
                // Who asked may have given up.
                let _ = done.send(());
            }
            accepted = accept_on(listener.as_ref()) => {
                if let Ok((client, _)) = accepted {
                    let (link, orders) = shared.register();
                    tokio::spawn(carry(Arc::clone(&shared), link, client, orders));
                }
            }
        }
    }
}

async fn accept_on(listener: Option<&TcpListener>) -> io::Result<(TcpStream, std::net::SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn bind_again(port: u16) -> TcpListener {
    let started = Instant::now();
    loop {
        match bind(port) {
            Ok(listener) => return listener,
            Err(error) => assert!(started.elapsed() < PATIENCE, "the relay cannot have port {port} again: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One connection from its acceptance to its end.
async fn carry(shared: Arc<Shared>, link: Arc<Link>, mut client: TcpStream, orders: Orders) {
    // Awaited apart from any order to end: a connection that is given up half made would be closed in whatever way.
    let mut server = TcpStream::connect(&shared.target).await.ok();
    let end = match &mut server {
        Some(server) => through(&shared, &link, &mut client, server, orders).await,
        // A target that cannot be reached resets the connection: the relay has already accepted it.
        None => End::Reset,
    };
    for stream in [Some(client), server].into_iter().flatten() {
        // Both fail only on a socket that is closed already. Shut down first: closed with bytes unread, it would be reset.
        let _ = match end {
            End::Close => socket2::SockRef::from(&stream).shutdown(std::net::Shutdown::Write),
            End::Reset => stream.set_zero_linger(),
        };
    }
    link.open.store(false, Ordering::Release);
    let _links = shared.links();
    shared.ended.notify_all();
}

/// Forwards until both streams have ended, one of them breaks, or the connection is told to end.
async fn through(
    shared: &Shared,
    link: &Link,
    client: &mut TcpStream,
    server: &mut TcpStream,
    mut orders: Orders,
) -> End {
    for stream in [&*client, &*server] {
        // Fails only on a socket that is closed already; then the pumps find out.
        let _ = stream.set_nodelay(true);
    }
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let [to_server_half_closes, to_client_half_closes] = orders.half_closes;
    let to_server = Pump::new(shared, link, Direction::ToServer, to_server, to_server_half_closes);
    let to_client = Pump::new(shared, link, Direction::ToClient, to_client, to_client_half_closes);
    let told_to_end = async {
        let meant = orders.ends.wait_for(|(up_to, _)| *up_to >= link.id).await;
        meant.expect("the sender is in `shared`, which this task holds").1
    };
    tokio::select! {
        biased;
        end = told_to_end => end,
        // Without an error both streams have ended in order.
        ended = async { tokio::try_join!(to_server.run(from_client), to_client.run(from_server)) } => {
            ended.err().unwrap_or(End::Close)
        }
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
