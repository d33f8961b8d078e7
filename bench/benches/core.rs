//! The core paths one by one, on buffers in memory: no sockets, no tasks, no clock.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput};
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

fn pipeline(words: Words<'_>) -> BytesMut {
    let mut buffer = BytesMut::new();
    (0..PIPELINE).for_each(|_| encode_request(words, &mut buffer));
    buffer
}

/// How a connection with an upstream finds where requests end and whose they are: nothing is taken apart.
fn request_delimiter(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request delimiter");
    for (name, words) in [("GET", GET), ("SET of 100 bytes", SET), ("RLOCK", RLOCK)] {
        let buffer = pipeline(words);
        group.throughput(Throughput::Elements(PIPELINE as u64));
        group.bench_function(name, |bencher| {
            let mut delimiter = RequestDelimiter::new(usize::try_from(PROTOCOL_BULK_BYTES).expect("a size"));
            bencher.iter(|| {
                let mut rest = black_box(&buffer[..]);
                while !rest.is_empty() {
                    let Beginning::Request(head) = RequestDelimiter::beginning(rest, is_word_wanted) else {
                        panic!("a request begins here")
                    };
                    black_box(destination(&head, false));
                    let Advance::Ended(length) = delimiter.advance(rest) else { panic!("a whole request") };
                    rest = &rest[length..];
                }
            });
        });
    }
}

/// How a connection finds where the upstream's replies end.
fn reply_delimiter(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reply delimiter");
    let bulk = [b"$100\r\n".as_slice(), &[b'v'; 100], b"\r\n"].concat();
    let array = [b"*8\r\n".as_slice(), &b"$3\r\nabc\r\n".repeat(8)].concat();
    for (name, reply) in [("status", b"+OK\r\n".to_vec()), ("bulk of 100 bytes", bulk), ("array of 8", array)] {
        let buffer = reply.repeat(PIPELINE);
        group.throughput(Throughput::Elements(PIPELINE as u64));
        group.bench_function(name, |bencher| {
            let mut scanner = ReplyScanner::new(usize::try_from(REPLY_NESTING_DEFAULT).expect("a size"));
            bencher.iter(|| {
                let mut rest = black_box(&buffer[..]);
                while !rest.is_empty() {
                    let scan = scanner.scan(rest).expect("a reply");
                    assert!(scan.ended.is_some());
                    rest = &rest[scan.consumed..];
                }
            });
        });
    }
}

/// Who answers a request: by its first words, where there is an upstream; by all of it, where a lock command is parsed.
fn routing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("routing");
    for (name, words, is_lock) in [("destination of GET", GET, false), ("destination of RLOCK", RLOCK, true)] {
        let buffer = pipeline(words);
        let Beginning::Request(head) = RequestDelimiter::beginning(&buffer, is_word_wanted) else {
            panic!("a request begins here")
        };
        assert_eq!(destination(&head, false) == Destination::Own { lock: true }, is_lock);
        group.bench_function(name, |bencher| bencher.iter(|| destination(black_box(&head), false)));
    }
    let limits = CommandLimits::new(4_096, ttl(MAX_TTL_MS_DEFAULT), DRIFT, std::time::Duration::from_secs(1));
    let request = Request { arguments: RLOCK.iter().map(|word| Bytes::copy_from_slice(word)).collect() };
    let way = |request| route(request, SessionMode::Open, Version::Resp2, &limits);
    assert!(matches!(way(request.clone()), Route::Lock(LockCommand::Rlock(_))));
    group.bench_function("route of RLOCK", |bencher| {
        bencher.iter_batched(|| request.clone(), way, BatchSize::SmallInput);
    });
    let buffer = pipeline(RLOCK);
    group.throughput(Throughput::Elements(PIPELINE as u64));
    group.bench_function("RLOCK from bytes", |bencher| {
        let limits =
            RequestLimits { elements: 1_024, bulk_bytes: 1 << 20, request_bytes: 1 << 20, unauthenticated: false };
        let mut decoder = RequestDecoder::default();
        let decode = |mut buffer: BytesMut| {
            for _ in 0..PIPELINE {
                let request = decoder.decode(&mut buffer, &limits).expect("a request").expect("a whole one");
                black_box(way(request));
            }
            buffer
        };
        bencher.iter_batched(|| buffer.clone(), decode, BatchSize::SmallInput);
    });
}

/// From the first vote to the verdict.
fn tally(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tally");
    let other = AcquireVote::Held(Holder::Value(Bytes::from_static(&[b'a'; 40])));
    for total in [3, 5, 9] {
        let quorum = Quorum::majority(total).expect("a small set");
        let verdicts =
            [("granted", AcquireVote::Granted, AcquireVerdict::Granted), ("held", other.clone(), AcquireVerdict::Held)];
        for (name, vote, verdict) in verdicts {
            group.bench_function(format!("{name}, {total} primaries"), |bencher| {
                bencher.iter(|| assert_eq!(decide(black_box(quorum), &vote), verdict));
            });
        }
    }
}

// A function of its own in the program, so that callgrind tells of it.
#[inline(never)]
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

fn reply_encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reply encoding");
    let token = Token::sign(None, [7; 20]);
    let (now, ttl) = (Moment::from_micros(900), ttl(30_000));
    let validity = Validity::at(now, Moment::from_micros(0), ttl, DRIFT).expect("some is left");
    let replies = [("grant", Rlock::granted(&token, validity, None)), ("refusal", Rlock::refused())];
    for (name, reply) in replies {
        for version in [Version::Resp2, Version::Resp3] {
            group.bench_function(format!("{name}, {version:?}"), |bencher| {
                let mut out = BytesMut::with_capacity(256);
                bencher.iter(|| {
                    out.clear();
                    black_box(&reply).encode(version, &mut out);
                    black_box(out.len())
                });
            });
        }
    }
    group.bench_function("grant, made and encoded", |bencher| {
        let mut out = BytesMut::with_capacity(256);
        bencher.iter(|| {
            out.clear();
            Rlock::granted(black_box(&token), validity, None).encode(Version::Resp2, &mut out);
            black_box(out.len())
        });
    });
}

fn ttl(millis: u64) -> Ttl {
    Ttl::from_millis(millis).expect("in range")
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for benchmark in [request_delimiter, reply_delimiter, routing, tally, reply_encoding] {
        benchmark(&mut criterion);
    }
    criterion.final_summary();
}
