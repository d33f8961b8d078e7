//! One direction of one connection: what is read is queued with the moment at which it is due, and written when it is.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Direction, Fault, Link, Shared};

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// In order, with FIN.
    Close,
    /// With RST.
    Reset,
}

/// Held bytes beyond this are left in the kernel's buffers.
const QUEUED_MOST: usize = 64 * 1024 * 1024;

enum Piece {
    Bytes(Vec<u8>),
    /// The sender's stream has ended.
    End,
    /// The sender has reset the connection.
    Reset,
}

/// One direction of one connection.
pub(super) struct Pump<'a> {
    link: &'a Link,
    direction: Direction,
    sink: WriteHalf<'a>,
    faults: watch::Receiver<Fault>,
    half_closes: watch::Receiver<u64>,
    fault: Fault,
    queue: VecDeque<(Instant, Piece)>,
    queued: usize,
    /// Whether the sender's stream has ended, or is said to have.
    ended: bool,
    /// What a `Truncate` still lets through.
    remaining: u64,
    /// The pause of a `Drip` lasts until then.
    not_before: Instant,
    random: StdRng,
}

impl<'a> Pump<'a> {
    pub(super) fn new(
        shared: &Shared,
        link: &'a Link,
        direction: Direction,
        sink: WriteHalf<'a>,
        half_closes: watch::Receiver<u64>,
    ) -> Self {
        let stream = link.id * 2 + direction as u64;
        let mut pump = Self {
            link,
            direction,
            sink,
            faults: shared.fault(direction).subscribe(),
            half_closes,
            fault: Fault::Forward,
            queue: VecDeque::new(),
            queued: 0,
            ended: false,
            remaining: 0,
            not_before: Instant::now(),
            // An odd constant spreads neighbouring numbers over the seeds.
            random: StdRng::seed_from_u64(shared.seed ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        };
        pump.look_at_fault();
        pump
    }

    /// Forwards as the fault says, until the stream has ended and that has been passed on; an error ends the connection.
    pub(super) async fn run(mut self, mut source: ReadHalf<'_>) -> Result<(), End> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if self.is_truncated() {
                return Err(End::Close);
            }
            let due = self.due();
            let reads = self.reads();
            tokio::select! {
                biased;
                Ok(()) = self.faults.changed() => self.look_at_fault(),
                Ok(()) = self.half_closes.changed() => self.half_close(),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if self.deliver().await? {
                        return Ok(());
                    }
                }
                read = source.read(&mut buffer), if reads => {
                    let piece = match read {
                        Ok(0) => Piece::End,
                        Ok(length) => Piece::Bytes(buffer[..length].to_vec()),
                        Err(_) => Piece::Reset,
                    };
                    // A fault set while the bytes were on their way here counts for them.
                    self.look_at_fault();
                    self.arrive(piece);
                }
            }
        }
    }

    fn look_at_fault(&mut self) {
        let fault = *self.faults.borrow_and_update();
        if fault == self.fault {
            return;
        }
        self.fault = fault;
        match fault {
            Fault::BlackHole => self.queue.clear(),
            Fault::Truncate { after } => self.remaining = after,
            _ => {}
        }
        if self.queue.is_empty() {
            self.queued = 0;
        }
    }

    fn reads(&self) -> bool {
        !self.ended && self.fault != Fault::Stall && self.queued < QUEUED_MOST
    }

    fn is_truncated(&self) -> bool {
        matches!(self.fault, Fault::Truncate { .. }) && self.remaining == 0
    }

    fn half_close(&mut self) {
        if !self.ended {
            self.ended = true;
            self.enqueue(Piece::End);
        }
    }

    /// Something came from the sender.
    fn arrive(&mut self, piece: Piece) {
        if let Piece::Bytes(bytes) = &piece {
            self.link.read(self.direction).fetch_add(bytes.len() as u64, Ordering::Relaxed);
        } else {
            self.ended = true;
        }
        if self.fault != Fault::BlackHole && !self.link.swallowed.load(Ordering::Acquire) {
            self.enqueue(piece);
        }
    }

    fn enqueue(&mut self, piece: Piece) {
        let mut due = Instant::now();
        if let Fault::Delay { latency, jitter } = self.fault {
            due += latency + self.random_part(jitter);
        }
        // Nothing overtakes what came before it.
        if let Some(&(last, _)) = self.queue.back() {
            due = due.max(last);
        }
        if let Piece::Bytes(bytes) = &piece {
            self.queued += bytes.len();
        }
        self.queue.push_back((due, piece));
    }

    fn random_part(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.random.random_range(0..=most))
    }

    /// When something is to be written next; `None` while nothing may be.
    fn due(&self) -> Option<Instant> {
        let (due, _) = self.queue.front()?;
        match self.fault {
            Fault::Hold | Fault::BlackHole => None,
            Fault::Drip { .. } => Some((*due).max(self.not_before)),
            _ => Some(*due),
        }
    }

    /// Writes what is due; true when that was the end of the stream.
    async fn deliver(&mut self) -> Result<bool, End> {
        let bytes = self.take_due();
        if bytes.is_empty() {
            return match self.queue.pop_front() {
                Some((_, Piece::Reset)) => Err(End::Reset),
                _ => self.sink.shutdown().await.map(|()| true).map_err(|_| End::Reset),
            };
        }
        self.queued -= bytes.len();
        // Counted first: who has the bytes already must find them counted.
        self.link.delivered(self.direction).fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.sink.write_all(&bytes).await.map(|()| false).map_err(|_| End::Reset)
    }

    /// The bytes that may be written now, taken off the queue; none when its first piece is an end.
    fn take_due(&mut self) -> Vec<u8> {
        let now = Instant::now();
        let most = match self.fault {
            Fault::Drip { bytes, pause } => {
                self.not_before = now + pause;
                bytes.max(1)
            }
            Fault::Truncate { .. } => usize::try_from(self.remaining).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        let mut taken = Vec::new();
        while taken.len() < most {
            match self.queue.front_mut() {
                Some((due, Piece::Bytes(bytes))) if *due <= now => {
                    if bytes.len() > most - taken.len() {
                        taken.extend(bytes.drain(..most - taken.len()));
                    } else {
                        taken.append(bytes);
                        self.queue.pop_front();
                    }
                }
                _ => break,
            }
        }
        if matches!(self.fault, Fault::Truncate { .. }) {
            self.remaining -= taken.len() as u64;
        }
        taken
    }
}
