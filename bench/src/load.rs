//! The load: virtual clients that do one thing again and again, and how long each took.
//!
//! **Closed** is the loop of clients that wait for an answer before they ask again: it tells what can be had at most,
//! and hides how long others would have waited meanwhile. **Open** is a rate of arrival that does not care how the system
//! fares: an operation's time counts from the moment it was due, whether or not a client was free to begin it then.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

use crate::lines::{Ask, Lines};
use crate::wire::Reply;

/// Against hanging only.
const LONGEST: Duration = Duration::from_secs(30);

/// What the virtual clients do.
pub trait Work {
    /// How many there are.
    fn clients(&self) -> usize;

    /// A client that does nothing begins its next operation.
    fn begin(&mut self, client: usize, lines: &mut Lines);

    /// One reply of those owed to a client.
    fn answered(&mut self, ask: Ask, reply: Reply<'_>, lines: &mut Lines) -> Progress;
}

/// How far a client's operation has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// More replies are awaited.
    Pending,
    /// It has ended as it should.
    Done,
    /// It has ended otherwise, with this reply: neither counted nor timed, or it would pass for a fast one.
    Failed(String),
}

/// When operations begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Each client's next when its last has ended.
    Closed,
    /// So many a second, at even distances, whoever is free.
    Open(f64),
}

/// How long, and at what pace.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// When operations begin.
    pub pace: Pace,
    /// What is not measured, before what is.
    pub warm_up: Duration,
    /// What is measured.
    pub span: Duration,
}

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// Operations that ended within the span, for each of its seconds.
    pub per_second: f64,
    /// Nanoseconds, of the operations that were due within the span.
    pub latencies: Histogram<u64>,
    /// All operations that ended well, those of the warm-up included.
    pub operations: u64,
    /// All operations that did not.
    pub failures: u64,
    /// What the first of them was answered.
    pub first_failure: Option<String>,
    /// Processor time of the generator for all of them.
    pub processor: Duration,
}

/// Drives the clients for the time of the load, and then until every reply has come.
pub fn run(work: &mut impl Work, lines: &mut Lines, load: &Load) -> Measured {
    let processor = processor_time();
    if let Pace::Open(per_second) = load.pace {
        lines.tick(interval(per_second));
    }
    let mut schedule = Schedule::new(load, Instant::now());
    let clients = work.clients();
    // In turns, so that arrivals meet all of them.
    let mut idle: VecDeque<usize> = (0..clients).collect();
    let mut due = vec![schedule.from; clients];
    let mut last_heard = Instant::now();
    let mut tally = Tally::default();
    loop {
        let now = Instant::now();
        while let Some(&client) = idle.front() {
            let Some(moment) = schedule.next(now) else { break };
            idle.pop_front();
            due[client] = moment;
            work.begin(client, lines);
        }
        if now >= schedule.to && idle.len() == clients && lines.owed() == 0 {
            break;
        }
        let heard = lines.turn(schedule.patience(now), |lines, ask, reply| {
            match work.answered(ask, reply, lines) {
                Progress::Pending => return,
                Progress::Done => tally.count(due[ask.client], Instant::now(), &schedule),
                Progress::Failed(reply) => tally.fail(reply),
            }
            idle.push_back(ask.client);
        });
        if heard || lines.owed() == 0 {
            last_heard = now;
        }
        assert!(now - last_heard < LONGEST, "no reply for {LONGEST:?}, and {} owed", lines.owed());
    }
    Measured {
        per_second: tally.within as f64 / load.span.as_secs_f64(),
        latencies: tally.latencies,
        operations: tally.operations,
        failures: tally.failures,
        first_failure: tally.first_failure,
        processor: processor_time().saturating_sub(processor),
    }
}

fn interval(per_second: f64) -> Duration {
    Duration::from_secs_f64(per_second.recip())
}

/// When operations are due.
#[derive(Debug)]
struct Schedule {
    /// The distance of arrivals; `None`: whenever a client is free.
    interval: Option<Duration>,
    /// The next arrival.
    next: Instant,
    /// The measured span.
    from: Instant,
    to: Instant,
}

impl Schedule {
    fn new(load: &Load, began: Instant) -> Self {
        let interval = match load.pace {
            Pace::Closed => None,
            Pace::Open(per_second) => Some(interval(per_second)),
        };
        let from = began + load.warm_up;
        Self { interval, next: began, from, to: from + load.span }
    }

    /// When the operation was due that begins now; `None` when none does.
    fn next(&mut self, now: Instant) -> Option<Instant> {
        let Some(interval) = self.interval else { return (now < self.to).then_some(now) };
        let due = self.next;
        if due > now || due >= self.to {
            return None;
        }
        self.next += interval;
        Some(due)
    }

    /// How long to wait for replies; arrivals are told by ticks.
    fn patience(&self, now: Instant) -> Duration {
        let rest = self.to.saturating_duration_since(now);
        if rest.is_zero() { Duration::from_millis(100) } else { rest }
    }
}

/// What has ended.
#[derive(Debug)]
struct Tally {
    latencies: Histogram<u64>,
    within: u64,
    operations: u64,
    failures: u64,
    first_failure: Option<String>,
}

impl Tally {
    fn count(&mut self, due: Instant, ended: Instant, schedule: &Schedule) {
        let span = schedule.from..schedule.to;
        self.operations += 1;
        self.within += u64::from(span.contains(&ended));
        if span.contains(&due) {
            let nanoseconds = u64::try_from((ended - due).as_nanos()).unwrap_or(u64::MAX);
            self.latencies.saturating_record(nanoseconds);
        }
    }

    fn fail(&mut self, reply: String) {
        self.failures += 1;
        self.first_failure.get_or_insert(reply);
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self { latencies: histogram(), within: 0, operations: 0, failures: 0, first_failure: None }
    }
}

/// For nanoseconds: from a tenth of a microsecond to a minute, to three digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(100, 60_000_000_000, 3).expect("the bounds are in order")
}

/// What this process has used of the processors.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("a process has not used less than nothing")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn load(pace: Pace) -> Load {
        Load { pace, warm_up: 10 * MILLISECOND, span: 40 * MILLISECOND }
    }

    #[test]
    fn arrivals_of_an_open_load_are_due_at_even_distances_however_late_they_begin() {
        let began = Instant::now();
        let mut schedule = Schedule::new(&load(Pace::Open(100.0)), began);
        assert_eq!(schedule.next(began), Some(began));
        assert_eq!(schedule.next(began + 9 * MILLISECOND), None);
        let late = began + 35 * MILLISECOND;
        for due in [10, 20, 30] {
            assert_eq!(schedule.next(late), Some(began + due * MILLISECOND));
        }
        assert_eq!(schedule.next(late), None);
        // None is due when the span has ended, but what was due before still begins.
        assert_eq!(schedule.next(began + 60 * MILLISECOND), Some(began + 40 * MILLISECOND));
        assert_eq!(schedule.next(began + 60 * MILLISECOND), None);
    }

    #[test]
    fn operations_of_a_closed_load_are_due_when_they_begin_until_the_span_ends() {
        let began = Instant::now();
        let mut schedule = Schedule::new(&load(Pace::Closed), began);
        let last = began + 49 * MILLISECOND;
        assert_eq!([schedule.next(began), schedule.next(last)], [Some(began), Some(last)]);
        assert_eq!(schedule.next(began + 50 * MILLISECOND), None);
    }

    #[test]
    fn what_is_due_in_the_span_is_timed_and_what_ends_in_it_is_counted() {
        let began = Instant::now();
        let schedule = Schedule::new(&load(Pace::Closed), began);
        let mut tally = Tally::default();
        for (due, ended) in [(0, 9), (9, 12), (12, 20), (49, 60)] {
            tally.count(began + due * MILLISECOND, began + ended * MILLISECOND, &schedule);
        }
        assert_eq!((tally.operations, tally.within), (4, 2));
        assert_eq!(tally.latencies.len(), 2);
        assert!(tally.latencies.equivalent(tally.latencies.max(), 11_000_000));
        assert!(tally.latencies.equivalent(tally.latencies.min(), 8_000_000));
    }

    /// One PING each time.
    struct Pings {
        clients: usize,
        under_way: usize,
        at_most: usize,
    }

    impl Work for Pings {
        fn clients(&self) -> usize {
            self.clients
        }

        fn begin(&mut self, client: usize, lines: &mut Lines) {
            self.under_way += 1;
            self.at_most = self.at_most.max(self.under_way);
            lines.send(client % lines.count(), Ask { client, step: 0 }, &[b"PING"]);
        }

        fn answered(&mut self, ask: Ask, reply: Reply<'_>, _: &mut Lines) -> Progress {
            assert_eq!(reply, Reply::Status(b"PONG"));
            self.under_way -= 1;
            if ask.client == 0 { Progress::Failed("for a test".into()) } else { Progress::Done }
        }
    }

    /// Answers PING, and nothing else.
    fn serve(mut client: TcpStream) {
        let mut command = [0; 14];
        while client.read_exact(&mut command).is_ok() {
            client.write_all(b"+PONG\r\n").expect("the client reads");
        }
    }

    fn with_servers(connections: usize, test: impl FnOnce(&mut Lines)) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("bound").to_string();
        let mut lines = Lines::connect(vec![address; connections]);
        let mut servers = Vec::new();
        for _ in 0..connections {
            let client = listener.accept().expect("connected").0;
            servers.push(std::thread::spawn(move || serve(client)));
        }
        test(&mut lines);
        assert_eq!(lines.owed(), 0);
        drop(lines);
        for server in servers {
            server.join().expect("it ends with its client");
        }
    }

    #[test]
    fn every_client_is_kept_busy_and_every_reply_is_awaited() {
        with_servers(2, |lines| {
            let mut pings = Pings { clients: 5, under_way: 0, at_most: 0 };
            let measured = run(&mut pings, lines, &load(Pace::Closed));
            assert_eq!((pings.under_way, pings.at_most), (0, 5));
            assert!(measured.operations >= 4 && measured.operations >= measured.latencies.len());
            // The first client's, each of them.
            assert!(measured.failures >= 1);
            assert_eq!(measured.first_failure.as_deref(), Some("for a test"));
        });
    }

    #[test]
    fn an_open_load_begins_what_was_due_and_nothing_else() {
        with_servers(1, |lines| {
            let mut pings = Pings { clients: 2, under_way: 0, at_most: 0 };
            let measured = run(&mut pings, lines, &load(Pace::Open(1000.0)));
            // 50 milliseconds, and whose turn it is does not matter to the rate.
            assert_eq!(measured.operations + measured.failures, 50);
            assert_eq!(measured.failures, 25);
        });
    }
}
