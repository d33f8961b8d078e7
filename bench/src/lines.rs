//! The generator's connections: many sockets, one thread, few system calls.
//!
//! What is sent while replies are looked at is written when all that had come have been: one write for each connection
//! and turn, however many commands. Each connection knows whom it owes replies, in the order of the commands.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::mem;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::wire::{Reply, put_bulk, put_command};

/// Connections that are looked at in one turn: with more, the first would wait long for what the last causes.
const AT_A_TIME: usize = 64;

/// How much is read of a connection at once.
const READ_BYTES: usize = 64 * 1024;

/// The number under which the clock is known to the kernel.
const TICK: u64 = u64::MAX;

/// Who has asked, and in which of its steps: a reply may come when the asker is further already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The number of the virtual client.
    pub client: usize,
    /// What its number says is the client's matter.
    pub step: u32,
}

/// Open connections, told apart by the order in which they were opened.
pub struct Lines {
    epoll: OwnedFd,
    clock: Option<OwnedFd>,
    all: Vec<Line>,
    /// Numbers of those on which something is to be written.
    unwritten: Vec<usize>,
    /// What is kept between turns to be used again.
    events: Vec<Event>,
    input: Vec<u8>,
}

struct Line {
    stream: TcpStream,
    /// The beginning of a reply.
    rest: Vec<u8>,
    output: Vec<u8>,
    /// The kernel has taken no more; it will tell when it does.
    is_blocked: bool,
    owed: VecDeque<Ask>,
}

impl Lines {
    /// Connects to each of the addresses.
    pub fn connect<A: AsRef<str> + Display>(addresses: impl IntoIterator<Item = A>) -> Self {
        let epoll = epoll::create(CreateFlags::CLOEXEC).expect("the system has epoll");
        let mut all = Vec::new();
        for address in addresses {
            let stream = TcpStream::connect(address.as_ref());
            let stream = stream.unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
            stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).expect("a new socket takes options");
            epoll::add(&epoll, &stream, EventData::new_u64(all.len() as u64), EventFlags::IN).expect("a new socket");
            let (rest, output, owed) = (Vec::new(), Vec::new(), VecDeque::new());
            all.push(Line { stream, rest, output, is_blocked: false, owed });
        }
        let (events, input) = (Vec::with_capacity(AT_A_TIME), Vec::with_capacity(2 * READ_BYTES));
        Self { epoll, clock: None, all, unwritten: Vec::new(), events, input }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// How many replies are still to come.
    pub fn owed(&self) -> usize {
        self.all.iter().map(|line| line.owed.len()).sum()
    }

    /// Sends a command in the next turn.
    pub fn send(&mut self, line: usize, ask: Ask, command: &[&[u8]]) {
        put_command(self.output(line, ask), command);
    }

    /// Sends a command whose first arguments are written already, and this one.
    pub fn send_begun(&mut self, line: usize, ask: Ask, begun: &[u8], last: &[u8]) {
        let output = self.output(line, ask);
        output.extend_from_slice(begun);
        put_bulk(output, last);
    }

    /// Sends a command that is written already.
    pub fn send_written(&mut self, line: usize, ask: Ask, command: &[u8]) {
        self.output(line, ask).extend_from_slice(command);
    }

    fn output(&mut self, line: usize, ask: Ask) -> &mut Vec<u8> {
        let Line { output, owed, is_blocked, .. } = &mut self.all[line];
        if output.is_empty() && !*is_blocked {
            self.unwritten.push(line);
        }
        owed.push_back(ask);
        output
    }

    /// From now on a turn ends at least so often: the kernel's own time-outs are counted in milliseconds.
    pub fn tick(&mut self, interval: Duration) {
        let clock = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).expect("the system has timers");
        let interval = Timespec::try_from(interval).expect("a short time");
        let timer = Itimerspec { it_interval: interval, it_value: interval };
        timerfd_settime(&clock, TimerfdTimerFlags::empty(), &timer).expect("a new timer");
        epoll::add(&self.epoll, &clock, EventData::new_u64(TICK), EventFlags::IN).expect("a new timer");
        self.clock = Some(clock);
    }

    /// Writes what is to be sent, waits until something comes, at most for `patience`, and hands over each reply that
    /// has come. False when nothing has.
    pub fn turn(&mut self, patience: Duration, mut take: impl FnMut(&mut Self, Ask, Reply<'_>)) -> bool {
        let mut unwritten = mem::take(&mut self.unwritten);
        for line in unwritten.drain(..) {
            self.write(line);
        }
        self.unwritten = unwritten;
        let patience = Timespec::try_from(patience).expect("a short time");
        let mut events = mem::take(&mut self.events);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("cannot wait for replies: {error}"),
        }
        let mut has_come = false;
        for event in events.drain(..) {
            if event.data.u64() == TICK {
                self.hear_tick();
                continue;
            }
            has_come = true;
            let line = usize::try_from(event.data.u64()).expect("a number of a connection");
            let flags = event.flags;
            if flags.contains(EventFlags::OUT) {
                self.write(line);
            }
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                self.read(line, &mut take);
            }
        }
        self.events = events;
        has_come
    }

    /// The kernel's clock goes on when its ticks have been read.
    fn hear_tick(&self) {
        if let Some(clock) = &self.clock {
            rustix::io::read(clock, &mut [0; 8]).expect("it has ticked");
        }
    }

    fn write(&mut self, number: usize) {
        let line = &mut self.all[number];
        let mut written = 0;
        let mut is_blocked = false;
        while written < line.output.len() && !is_blocked {
            match (&line.stream).write(&line.output[written..]) {
                Ok(length) => written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => is_blocked = true,
                Err(error) => panic!("connection {number} takes no more commands: {error}"),
            }
        }
        line.output.drain(..written);
        if is_blocked != line.is_blocked {
            line.is_blocked = is_blocked;
            let events = if is_blocked { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            let data = EventData::new_u64(number as u64);
            epoll::modify(&self.epoll, &line.stream, data, events).expect("it has been added");
        }
    }

    fn read(&mut self, number: usize, take: &mut impl FnMut(&mut Self, Ask, Reply<'_>)) {
        let mut input = mem::take(&mut self.input);
        let line = &mut self.all[number];
        input.append(&mut line.rest);
        input.reserve(READ_BYTES);
        match rustix::io::read(&line.stream, spare_capacity(&mut input)) {
            Ok(0) => panic!("connection {number} was closed with {} replies owed", line.owed.len()),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => panic!("connection {number} is lost with {} replies owed: {error}", line.owed.len()),
        }
        let mut taken = 0;
        loop {
            let next = Reply::first_of(&input[taken..]);
            let next = next.unwrap_or_else(|_| panic!("no reply: \"{}\"", input[taken..].escape_ascii()));
            let Some((reply, length)) = next else { break };
            taken += length;
            let ask = self.all[number].owed.pop_front();
            take(self, ask.unwrap_or_else(|| panic!("nobody has asked for {reply:?}")), reply);
        }
        self.all[number].rest.extend_from_slice(&input[taken..]);
        input.clear();
        self.input = input;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(30);
    const ASK: Ask = Ask { client: 7, step: 3 };

    fn pair() -> (Lines, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let lines = Lines::connect([listener.local_addr().expect("bound").to_string()]);
        (lines, listener.accept().expect("connected").0)
    }

    #[test]
    fn replies_go_to_who_has_asked_in_order_whatever_pieces_they_come_in() {
        let (mut lines, mut server) = pair();
        for step in 0..3 {
            lines.send(0, Ask { client: 7, step }, &[b"PING"]);
        }
        assert_eq!(lines.owed(), 3);
        let mut taken = Vec::new();
        for piece in [&b"+PO"[..], b"NG\r\n$2\r\na", b"b\r\n:12\r\n"] {
            server.write_all(piece).expect("open");
            assert!(lines.turn(LONG, |_, ask, reply| taken.push((ask.step, format!("{reply:?}")))));
        }
        assert_eq!(taken, [(0, "+PONG".into()), (1, "\"ab\"".into()), (2, ":12".into())]);
        assert_eq!(lines.owed(), 0);
        let mut sent = [0; 3 * 14];
        server.read_exact(&mut sent).expect("the commands");
        assert_eq!(sent[..], b"*1\r\n$4\r\nPING\r\n".repeat(3));
    }

    #[test]
    fn what_the_kernel_does_not_take_at_once_is_written_later() {
        let (mut lines, mut server) = pair();
        let long = vec![b'x'; 1_000_000];
        for _ in 0..20 {
            lines.send(0, ASK, &[&long]);
        }
        assert!(!lines.turn(Duration::ZERO, |_, _, reply| panic!("{reply:?}")));
        assert!(lines.all[0].is_blocked);
        let reader = std::thread::spawn(move || {
            let mut command = Vec::new();
            put_command(&mut command, &[&vec![b'x'; 1_000_000]]);
            let mut sent = vec![0; 20 * command.len()];
            server.read_exact(&mut sent).expect("the commands");
            server.write_all(&b"+OK\r\n".repeat(20)).expect("open");
            (sent == command.repeat(20), server)
        });
        let mut replies = 0;
        while replies < 20 {
            assert!(lines.turn(LONG, |_, ask, _| replies += usize::from(ask == ASK)));
        }
        assert!(reader.join().expect("it has read").0);
        assert!(!lines.all[0].is_blocked && lines.all[0].output.is_empty());
    }

    #[test]
    fn a_tick_ends_a_turn_and_is_no_reply() {
        let (mut lines, _server) = pair();
        lines.tick(Duration::from_micros(100));
        for _ in 0..3 {
            let began = Instant::now();
            assert!(!lines.turn(LONG, |_, _, reply| panic!("{reply:?}")));
            assert!(began.elapsed() < LONG);
        }
    }

    #[test]
    #[should_panic(expected = "with 1 replies owed")]
    fn a_connection_that_ends_is_not_taken_for_silence() {
        let (mut lines, server) = pair();
        lines.send(0, ASK, &[b"PING"]);
        drop(server);
        for _ in 0..2 {
            lines.turn(LONG, |_, _, reply| panic!("{reply:?}"));
        }
    }

    #[test]
    #[should_panic(expected = "nobody has asked for +OK")]
    fn a_reply_that_nobody_asked_for_ends_the_measurement() {
        let (mut lines, mut server) = pair();
        server.write_all(b"+OK\r\n").expect("open");
        lines.turn(LONG, |_, _, _| {});
    }
}
