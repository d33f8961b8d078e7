//! The core paths one by one, on buffers in memory: no sockets, no tasks, no clock.

use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use redlock_proxy::command::{CommandLimits, LockCommand, Rlock};
use redlock_proxy::limits::{MAX_TTL_MS_DEFAULT, PROTOCOL_BULK_BYTES, REPLY_NESTING_DEFAULT};
use redlock_proxy::lock::{
    Acquire, AcquireStep, AcquireVerdict, AcquireVote, Drift, Holder, Moment, Quorum, Token, Ttl, Validity,
};
use redlock_proxy::protocol::{
    Advance, Beginning, ReplyScanner, Request, RequestDecoder, RequestDelimiter, RequestLimits, Version, encode_request,
};
use redlock_proxy::router::{Destination, Route, SessionMode, destination, is_word_wanted, route};

/// Requests or replies in one buffer.
const PIPELINE: usize = 16;
const DRIFT: Drift = Drift::from_parts_per_million(10_000);

type Words<'a> = &'a [&'a [u8]];

const RLOCK: Words<'_> = &[b"RLOCK", b"orders:4711", b"30000"];
const GET: Words<'_> = &[b"GET", b"orders:4711"];
const SET: Words<'_> = &[b"SET", b"orders:4711", &[b'v'; 100]];

/// Something that is done for a request, a reply or a lock, to be timed or counted.
pub struct CorePath {
    /// What several have in common
    pub group: &'static str,
    /// What it is in its group
    pub name: String,
    /// How often it is done in a turn
    pub times: usize,
    /// Does it
    pub turn: Box<dyn FnMut()>,
}

impl CorePath {
    fn new(group: &'static str, name: impl Into<String>, times: usize, turn: impl FnMut() + 'static) -> Self {
        Self { group, name: name.into(), times, turn: Box::new(turn) }
    }

    /// Its group and name.
    pub fn title(&self) -> String {
        format!("{}: {}", self.group, self.name)
    }
}

/// All of them.
pub fn all() -> Vec<CorePath> {
    [request_delimiter(), reply_delimiter(), routing(), tally(), reply_encoding()].into_iter().flatten().collect()
}

fn pipeline(words: Words<'_>) -> BytesMut {
    let mut buffer = BytesMut::new();
    (0..PIPELINE).for_each(|_| encode_request(words, &mut buffer));
    buffer
}

/// How a connection with an upstream finds where requests end and whose they are: nothing is taken apart.
fn request_delimiter() -> Vec<CorePath> {
    let path = |(name, words)| {
        let buffer = pipeline(words);
        let mut delimiter = RequestDelimiter::new(usize::try_from(PROTOCOL_BULK_BYTES).expect("a size"));
        CorePath::new("request delimiter", name, PIPELINE, move || {
            let mut rest = black_box(&buffer[..]);
            while !rest.is_empty() {
                let Beginning::Request(head) = RequestDelimiter::beginning(rest, is_word_wanted) else {
                    panic!("a request begins here")
                };
                black_box(destination(&head, false));
                let Advance::Ended(length) = delimiter.advance(rest) else { panic!("a whole request") };
                rest = &rest[length..];
            }
        })
    };
    [("GET", GET), ("SET of 100 bytes", SET), ("RLOCK", RLOCK)].map(path).into()
}

/// How a connection finds where the upstream's replies end.
fn reply_delimiter() -> Vec<CorePath> {
    let bulk = [b"$100\r\n".as_slice(), &[b'v'; 100], b"\r\n"].concat();
    let array = [b"*8\r\n".as_slice(), &b"$3\r\nabc\r\n".repeat(8)].concat();
    let path = |(name, reply): (&str, Vec<u8>)| {
        let buffer = reply.repeat(PIPELINE);
        let mut scanner = ReplyScanner::new(usize::try_from(REPLY_NESTING_DEFAULT).expect("a size"));
        CorePath::new("reply delimiter", name, PIPELINE, move || {
            let mut rest = black_box(&buffer[..]);
            while !rest.is_empty() {
                let scan = scanner.scan(rest).expect("a reply");
                assert!(scan.ended.is_some());
                rest = &rest[scan.consumed..];
            }
        })
    };
    [("status", b"+OK\r\n".to_vec()), ("bulk of 100 bytes", bulk), ("array of 8", array)].map(path).into()
}

/// Who answers a request: by its first words, where there is an upstream; by all of it, where a lock command is parsed.
fn routing() -> Vec<CorePath> {
    let by_head = |(name, words, is_lock)| {
        let buffer = pipeline(words).freeze();
        let whose = |buffer: &[u8]| {
            let Beginning::Request(head) = RequestDelimiter::beginning(buffer, is_word_wanted) else {
                panic!("a request begins here")
            };
            destination(&head, false)
        };
        assert_eq!(whose(&buffer) == Destination::Own { lock: true }, is_lock);
        CorePath::new("routing", name, 1, move || {
            black_box(whose(black_box(&buffer)));
        })
    };
    let limits = || CommandLimits::new(4_096, ttl(MAX_TTL_MS_DEFAULT), DRIFT, Duration::from_secs(1));
    let way = |request, limits: &CommandLimits| route(request, SessionMode::Open, Version::Resp2, limits);
    let request = Request { arguments: RLOCK.iter().map(|word| Bytes::copy_from_slice(word)).collect() };
    assert!(matches!(way(request.clone(), &limits()), Route::Lock(LockCommand::Rlock(_))));
    let of_request = limits();
    let routed = CorePath::new("routing", "RLOCK, with a copy of it", 1, move || {
        black_box(way(request.clone(), &of_request));
    });
    let (buffer, of_bytes) = (pipeline(RLOCK), limits());
    let sizes = RequestLimits { elements: 1_024, bulk_bytes: 1 << 20, request_bytes: 1 << 20, unauthenticated: false };
    let mut decoder = RequestDecoder::default();
    let from_bytes = CorePath::new("routing", "RLOCK from bytes, with a copy of them", PIPELINE, move || {
        let mut buffer = buffer.clone();
        for _ in 0..PIPELINE {
            let request = decoder.decode(&mut buffer, &sizes).expect("a request").expect("a whole one");
            black_box(way(request, &of_bytes));
        }
    });
    let heads = [("GET by its head", GET, false), ("RLOCK by its head", RLOCK, true)].map(by_head);
    heads.into_iter().chain([routed, from_bytes]).collect()
}

/// From the first vote to the verdict.
fn tally() -> Vec<CorePath> {
    let mut paths = Vec::new();
    for total in [3, 5, 9] {
        let quorum = Quorum::majority(total).expect("a small set");
        let other = AcquireVote::Held(Holder::Value(Bytes::from_static(&[b'a'; 40])));
        let verdicts =
            [("granted", AcquireVote::Granted, AcquireVerdict::Granted), ("held", other, AcquireVerdict::Held)];
        paths.extend(verdicts.map(|(name, vote, verdict)| {
            CorePath::new("tally", format!("{name}, {total} primaries"), 1, move || {
                assert_eq!(decide(black_box(quorum), &vote), verdict);
            })
        }));
    }
    paths
}

fn decide(quorum: Quorum, vote: &AcquireVote) -> AcquireVerdict {
    let (mut acquire, started) = (Acquire::new(quorum, None), Moment::from_micros(0));
    for node in quorum.nodes() {
        acquire.handle_vote(node, vote.clone());
        if let AcquireStep::Done(verdict) = acquire.poll(Moment::from_micros(900), started, ttl(30_000), DRIFT) {
            return verdict;
        }
    }
    panic!("all have voted")
}

fn reply_encoding() -> Vec<CorePath> {
    let token = Token::sign(None, [7; 20]);
    let (now, ttl) = (Moment::from_micros(900), ttl(30_000));
    let validity = Validity::at(now, Moment::from_micros(0), ttl, DRIFT).expect("some is left");
    let mut paths = Vec::new();
    for version in [Version::Resp2, Version::Resp3] {
        let token = token.clone();
        let mut out = BytesMut::with_capacity(256);
        paths.push(CorePath::new("reply encoding", format!("grant, {version:?}"), 1, move || {
            out.clear();
            Rlock::granted(black_box(&token), validity, None).encode(version, &mut out);
            black_box(out.len());
        }));
        let mut out = BytesMut::with_capacity(256);
        paths.push(CorePath::new("reply encoding", format!("refusal, {version:?}"), 1, move || {
            out.clear();
            black_box(Rlock::refused()).encode(version, &mut out);
            black_box(out.len());
        }));
    }
    paths
}

fn ttl(millis: u64) -> Ttl {
    Ttl::from_millis(millis).expect("in range")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_can_be_walked_again_and_again_and_has_a_title_of_its_own() {
        let mut titles = Vec::new();
        for mut path in all() {
            (0..3).for_each(|_| (path.turn)());
            titles.push(path.title());
        }
        let count = titles.len();
        titles.sort();
        titles.dedup();
        assert_eq!(titles.len(), count);
    }
}
