//! What proxies tell each other of the locks that their clients wait for, and what is remembered of it.
//!
//! All of it is convenience: a notice that is lost costs time, never a lock. A proxy with a line says so (*waiting*);
//! whoever releases a lock that another proxy has said so of adds a notice to the release (*released*). Proxies that
//! nobody waits behind pay nothing.
//!
//! Pure: the time is an argument.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::limits::{OTHERS_REMEMBERED, OTHERS_REMEMBERED_FOR, WINS_IN_A_ROW};
use crate::lock::{Moment, Resource};

/// The first word of every notice; whoever does not know it knows nothing of the rest.
const VERSION: &str = "1";
/// Hex digits of a sender.
const SENDER_DIGITS: usize = 16;

/// What a notice says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// Somebody waits for the lock at the sender.
    Waiting,
    /// A record of the lock was deleted just before, on the primary from which this comes.
    Released,
}

/// One message: `1 <kind> <sender> <key>`, one space between. The key is the last and may be any bytes. Never a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub kind: NoticeKind,
    /// A random number of the proxy that sent it, in 16 hex digits, so that a proxy knows its own notices from others'.
    pub sender: u64,
    pub resource: Resource,
}

impl Notice {
    pub fn encode(&self) -> Bytes {
        let kind = match self.kind {
            NoticeKind::Waiting => "waiting",
            NoticeKind::Released => "released",
        };
        let mut payload = BytesMut::new();
        // Writing to memory cannot fail.
        let _ = write!(payload, "{VERSION} {kind} {:0SENDER_DIGITS$x} ", self.sender);
        payload.extend_from_slice(self.resource.as_bytes());
        payload.freeze()
    }

    /// Reads a message; `None` for what this version does not know. A lock has a name of at most `longest` bytes.
    pub fn parse(payload: &[u8], longest: usize) -> Option<Self> {
        let mut words = payload.splitn(4, |byte| *byte == b' ');
        if words.next()? != VERSION.as_bytes() {
            return None;
        }
        let kind = match words.next()? {
            b"waiting" => NoticeKind::Waiting,
            b"released" => NoticeKind::Released,
            _ => return None,
        };
        let digits = std::str::from_utf8(words.next()?).ok()?;
        if digits.len() != SENDER_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let sender = u64::from_str_radix(digits, 16).ok()?;
        let resource = Resource::new(Bytes::copy_from_slice(words.next()?), longest).ok()?;
        Some(Self { kind, sender, resource })
    }
}

/// The locks that other proxies say they wait for.
#[derive(Debug)]
pub(super) struct Others {
    waiting: HashMap<Resource, Other>,
    next_sweep: Moment,
}

#[derive(Debug)]
struct Other {
    until: Moment,
    /// How often the lock went to a waiter of ours since we last heard that another had it.
    wins: u32,
}

impl Others {
    pub(super) fn new() -> Self {
        Self { waiting: HashMap::new(), next_sweep: Moment::from_micros(0) }
    }

    /// Another proxy says that it waits for the lock.
    pub(super) fn note(&mut self, resource: Resource, now: Moment) {
        self.sweep(now);
        let until = now.after(OTHERS_REMEMBERED_FOR);
        if let Some(other) = self.waiting.get_mut(&resource) {
            other.until = until;
        } else if self.waiting.len() < OTHERS_REMEMBERED {
            self.waiting.insert(resource, Other { until, wins: 0 });
        }
    }

    /// Whether another proxy has said so of late.
    pub(super) fn wait_for(&mut self, resource: &Resource, now: Moment) -> bool {
        self.sweep(now);
        self.waiting.get(resource).is_some_and(|other| other.until > now)
    }

    /// The lock went to a waiter of ours.
    pub(super) fn won(&mut self, resource: &Resource) {
        if let Some(other) = self.waiting.get_mut(resource) {
            other.wins += 1;
        }
    }

    /// The lock was in others' hands: they have had their turn.
    pub(super) fn had_their_turn(&mut self, resource: &Resource) {
        if let Some(other) = self.waiting.get_mut(resource) {
            other.wins = 0;
        }
    }

    /// Whether it is the others' turn, since the lock has gone to waiters of ours so many times in a row; asked once each.
    pub(super) fn are_due(&mut self, resource: &Resource, now: Moment) -> bool {
        let Some(other) = self.waiting.get_mut(resource) else { return false };
        let due = other.wins >= WINS_IN_A_ROW && other.until > now;
        if due {
            other.wins = 0;
        }
        due
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Forgets, now and then, what is too old.
    fn sweep(&mut self, now: Moment) {
        if now >= self.next_sweep {
            self.waiting.retain(|_, other| other.until > now);
            self.next_sweep = now.after(OTHERS_REMEMBERED_FOR / 2);
        }
    }
}

/// How long a line holds back when it is the others' turn: as long as some round trips, and the more the more luck.
pub(super) fn hold_back(round_trip: Duration, random: u64) -> Duration {
    let shortest = (round_trip * 4).clamp(Duration::from_millis(2), Duration::from_millis(50));
    let range_micros = u64::try_from(shortest.as_micros()).unwrap_or(u64::MAX);
    shortest + Duration::from_micros(random % range_micros)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resource(name: &[u8]) -> Resource {
        Resource::new(Bytes::copy_from_slice(name), 100).expect("a short name")
    }

    fn at(ms: u64) -> Moment {
        Moment::from_micros(ms * 1_000)
    }

    #[test]
    fn a_notice_is_four_words_of_which_the_last_is_the_key() {
        let notice = Notice { kind: NoticeKind::Released, sender: 0xab, resource: resource(b"a job\r\n") };
        assert_eq!(notice.encode(), &b"1 released 00000000000000ab a job\r\n"[..]);
        let waiting = Notice { kind: NoticeKind::Waiting, sender: u64::MAX, resource: resource(b"") };
        assert_eq!(waiting.encode(), &b"1 waiting ffffffffffffffff "[..]);
    }

    #[test]
    fn what_is_not_known_is_no_notice() {
        for payload in [
            &b""[..],
            b"1",
            b"1 released",
            b"1 released 00000000000000ab",
            b"2 released 00000000000000ab job",
            b"1 renamed 00000000000000ab job",
            b"1 released 0ab job",
            b"1 released +0000000000000ab job",
            b"1 released 00000000000000xb job",
            b"1 released 00000000000000ab redlock-proxy:marker",
        ] {
            assert_eq!(Notice::parse(payload, 100), None, "{}", payload.escape_ascii());
        }
        assert_eq!(Notice::parse(b"1 waiting 00000000000000ab four", 3), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_parsed_the_same(
            key in prop::collection::vec(any::<u8>(), 0..40),
            sender in any::<u64>(),
            waiting in any::<bool>(),
        ) {
            let kind = if waiting { NoticeKind::Waiting } else { NoticeKind::Released };
            let notice = Notice { kind, sender, resource: resource(&key) };
            prop_assert_eq!(Notice::parse(&notice.encode(), 100), Some(notice));
        }

        #[test]
        fn garbage_is_read_without_a_panic(payload in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Notice::parse(&payload, 100);
        }
    }

    #[test]
    fn who_waits_elsewhere_is_remembered_for_a_while() {
        let mut others = Others::new();
        let job = resource(b"job");
        others.note(job.clone(), at(0));
        assert!(others.wait_for(&job, at(4_900)) && !others.wait_for(&resource(b"other"), at(4_900)));
        others.note(job.clone(), at(4_900));
        assert!(others.wait_for(&job, at(9_000)));
        assert!(!others.wait_for(&job, at(9_900)));
        // Two sweeps later nothing is left of it, whatever is asked for.
        others.wait_for(&resource(b"other"), at(20_000));
        assert_eq!(others.len(), 0);
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let mut others = Others::new();
        for number in 0..OTHERS_REMEMBERED + 10 {
            others.note(resource(number.to_string().as_bytes()), at(0));
        }
        assert_eq!(others.len(), OTHERS_REMEMBERED);
        others.note(resource(b"0"), at(2_000));
        assert!(others.wait_for(&resource(b"0"), at(6_000)), "who is there already stays");
        others.note(resource(b"new"), at(6_000));
        assert!(others.wait_for(&resource(b"new"), at(6_000)), "there is room again");
    }

    #[test]
    fn after_so_many_wins_in_a_row_it_is_the_others_turn_once() {
        let mut others = Others::new();
        let job = resource(b"job");
        (0..2 * WINS_IN_A_ROW).for_each(|_| others.won(&job));
        assert!(!others.are_due(&job, at(0)), "nobody else waits");
        others.note(job.clone(), at(0));
        (1..WINS_IN_A_ROW).for_each(|_| others.won(&job));
        assert!(!others.are_due(&job, at(0)));
        others.won(&job);
        assert!(!others.are_due(&job, at(6_000)), "they have not said so for long");
        assert!(others.are_due(&job, at(0)) && !others.are_due(&job, at(0)));
        (0..WINS_IN_A_ROW).for_each(|_| others.won(&job));
        others.had_their_turn(&job);
        assert!(!others.are_due(&job, at(0)));
    }

    #[test]
    fn holding_back_takes_two_milliseconds_at_least_and_some_round_trips() {
        let micros = Duration::from_micros;
        assert_eq!(hold_back(micros(100), 0), Duration::from_millis(2));
        assert_eq!(hold_back(micros(100), 1_999), micros(3_999));
        assert_eq!(hold_back(Duration::from_millis(3), 0), Duration::from_millis(12));
        assert!(hold_back(Duration::from_secs(9), u64::MAX) < Duration::from_millis(100));
    }
}
