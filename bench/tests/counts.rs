//! What noise cannot touch: how often a lock allocates, and what one that is held keeps.
//!
//! The coordinator runs on one thread, its clock stands still, and its primaries answer at once and remember nothing: what
//! is counted is the proxy's own, without sockets and links. Counts are those of an unoptimized build, in which no
//! allocation has been optimized away; a change that needs more has to say so here.
//!
//! Where they are made: `DHAT=1 cargo test -p bench --test counts` writes `bench/dhat-heap.json`, which
//! <https://nnethercote.github.io/dh_view/dh_view.html> shows as a tree of places.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use redlock_proxy::clock::Clock;
use redlock_proxy::command::{CommandLimits, LockCommand};
use redlock_proxy::coordinator::{
    AcquireRequest, Acquired, Caller, Coordinator, Entropy, Grant, LineLimits, LockNode, Operation, Released, Rules,
    SessionRules, Tenant, Ticket, Vote, WallClock,
};
use redlock_proxy::counters::Counters;
use redlock_proxy::lock::{AcquireVote, Drift, ExtendVote, Moment, Quorum, ReleaseVote, Resource, Ttl};
use redlock_proxy::protocol::{RequestDecoder, RequestLimits, Version, encode_request};
use redlock_proxy::router::{Route, SessionMode, route};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const PRIMARIES: usize = 3;
const TTL: Duration = Duration::from_secs(30);
const LOCKS: u64 = 10_000;

/// A primary that grants and confirms everything.
#[derive(Debug)]
struct Agreeable;

impl LockNode for Agreeable {
    fn address(&self) -> &'static str {
        "primary:6379"
    }

    fn submit(&self, operation: Operation, _timeout: Duration) {
        match operation {
            Operation::Acquire { ticket, .. } => answer(ticket, AcquireVote::Granted),
            Operation::Extend { ticket, .. } => answer(ticket, ExtendVote::Extended),
            Operation::Release { ticket: Some(ticket), .. } => answer(ticket, ReleaseVote::Deleted),
            other => panic!("nothing here asks for {other:?}"),
        }
    }

    fn wall_clock(&self, now: Moment) -> Option<WallClock> {
        Some(WallClock { micros: now.as_micros(), votes: true })
    }
}

fn answer<V: Vote>(ticket: Ticket<V>, vote: V) {
    assert!(ticket.depart(), "nothing is given up here");
    ticket.answer(vote);
}

/// The same in each run.
#[derive(Debug)]
struct Unvaried;

impl Entropy for Unvaried {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

struct Stand {
    coordinator: Arc<Coordinator>,
    counters: Arc<Counters>,
    caller: Arc<Caller>,
}

impl Stand {
    fn new() -> Self {
        let rules = Rules {
            quorum: Quorum::majority(PRIMARIES).expect("a small set"),
            drift: Drift::from_parts_per_million(10_000),
            max_ttl: ttl(),
            attempts: 3,
            retry_delay: Duration::from_millis(25),
            node_timeout: Duration::from_millis(50),
            fence_retention: TTL,
            lines: LineLimits { waiters: 1, waiters_per_key: 1 },
            sender: 0,
            sessions: SessionRules {
                max_lifetime: None,
                client_silence: None,
                most: 1 << 20,
                most_of_connection: 1 << 20,
            },
        };
        let nodes = (0..PRIMARIES).map(|_| Arc::new(Agreeable) as Arc<dyn LockNode>).collect();
        let counters = Arc::new(Counters::default());
        let clock = Clock::runtime();
        let coordinator = Coordinator::new(nodes, rules, clock, Arc::new(Unvaried), Arc::clone(&counters));
        Self { coordinator, counters, caller: Arc::new(Caller::default()) }
    }

    async fn acquire(&self, resource: &Resource) -> Grant {
        let request =
            AcquireRequest { resource: resource.clone(), ttl: ttl(), owner: None, fence: false, wait: Duration::ZERO };
        match Arc::clone(&self.coordinator).acquire(request, Arc::clone(&self.caller)).await {
            Acquired::Granted(grant) => grant,
            other => panic!("an agreeable set answers {other:?}"),
        }
    }

    async fn pair(&self, resource: &Resource) {
        let grant = self.acquire(resource).await;
        let token = grant.token().clone();
        grant.hand_over();
        let released = Arc::clone(&self.coordinator).release(resource.clone(), token).await;
        assert!(matches!(released, Released::Released), "{released:?}");
    }
}

fn ttl() -> Ttl {
    Ttl::from_millis(TTL.as_millis().try_into().expect("a small number")).expect("in range")
}

fn resource(number: u64) -> Resource {
    Resource::new(Bytes::from(format!("count:{number:014}")), 4_096).expect("a valid name")
}

/// What was allocated since the start, and what is now.
#[derive(Debug, Clone, Copy)]
struct Heap {
    ever: u64,
    blocks: u64,
    bytes: u64,
}

impl Heap {
    fn now() -> Self {
        let stats = dhat::HeapStats::get();
        Self { ever: stats.total_blocks, blocks: stats.curr_blocks as u64, bytes: stats.curr_bytes as u64 }
    }

    fn since(self, before: Self) -> Self {
        Self {
            ever: self.ever - before.ever,
            blocks: self.blocks.saturating_sub(before.blocks),
            bytes: self.bytes.saturating_sub(before.bytes),
        }
    }
}

#[track_caller]
fn at_most(what: &str, count: u64, most: u64) {
    println!("{what}: {count}, at most {most}");
    assert!(count <= most, "{what}: {count}, and not at most {most}");
}

/// One test: what others allocate meanwhile would be counted too. The harness has a thread of its own, which may add one or
/// two to thousands: so counts are whole ones of each.
#[tokio::test(start_paused = true)]
async fn locks_allocate_no_more_than_they_did() {
    let _profiler = if std::env::var_os("DHAT").is_some() {
        dhat::Profiler::new_heap()
    } else {
        dhat::Profiler::builder().testing().build()
    };
    reading_requests();
    lock_and_unlock().await;
    held_for_a_session().await;
}

fn reading_requests() {
    let limits = RequestLimits { elements: 1_024, bulk_bytes: 1 << 20, request_bytes: 1 << 20, unauthenticated: false };
    let commands = CommandLimits::new(4_096, ttl(), Drift::from_parts_per_million(10_000), TTL);
    let mut buffer = BytesMut::with_capacity(1 << 20);
    for _ in 0..LOCKS {
        encode_request(&[b"RLOCK", b"count:00000000000000", b"30000"], &mut buffer);
    }
    let mut decoder = RequestDecoder::default();
    let mut read = |buffer: &mut BytesMut| {
        let request = decoder.decode(buffer, &limits).expect("a request").expect("a whole one");
        let route = route(request, SessionMode::Open, Version::Resp2, &commands);
        assert!(matches!(route, Route::Lock(LockCommand::Rlock(_))));
    };
    read(&mut buffer);
    let before = Heap::now();
    for _ in 1..LOCKS {
        read(&mut buffer);
    }
    let counted = Heap::now().since(before);
    // Its words; their bytes stay where they were read.
    at_most("allocations per request read and routed", counted.ever / (LOCKS - 1), 1);
}

async fn lock_and_unlock() {
    let (stand, resource) = (Stand::new(), resource(0));
    stand.pair(&resource).await;
    let before = Heap::now();
    for _ in 0..LOCKS {
        stand.pair(&resource).await;
    }
    let counted = Heap::now().since(before);
    // Each round; the token, and what counts who shares it.
    at_most("allocations per lock and unlock", counted.ever / LOCKS, 4);
    at_most("blocks that released locks leave behind", counted.blocks, 0);
}

async fn held_for_a_session() {
    let stand = Stand::new();
    let tenant = Tenant::new(1, stand.coordinator.clock().now());
    let before = Heap::now();
    for number in 0..LOCKS {
        let seat = stand.coordinator.reserve(&tenant).expect("as many as may be");
        let mut grant = stand.acquire(&resource(number)).await;
        grant.bind(seat, false);
        grant.hand_over();
    }
    let held = Heap::now().since(before);
    assert_eq!(stand.counters.session_locks.value(), LOCKS);
    // The lock; its name and token. What is less than a block each are the nodes and tables in which it is found.
    at_most("blocks per held lock", held.blocks / LOCKS, 2);
    // Of which a few depend on how many shards the registry has, by the number of processors.
    at_most("bytes per held lock", held.bytes / LOCKS, 310);

    let keeper = tokio::spawn(Arc::clone(&stand.coordinator).keep_leases());
    renewed(&stand, LOCKS).await;
    let before = Heap::now();
    renewed(&stand, 2 * LOCKS).await;
    let counted = Heap::now().since(before);
    // The round, its task; what the three requests share: one copy of name and token, and what counts who shares it.
    // Besides, the queue of those that are ready, now and then.
    at_most("allocations per thousand renewals", counted.ever.div_ceil(LOCKS / 1_000), 6_200);
    at_most("blocks that a renewal leaves behind", counted.blocks, 0);
    keeper.abort();
}

/// Lets a third of the ttl pass, and waits until there have been so many renewals.
async fn renewed(stand: &Stand, renewals: u64) {
    tokio::time::advance(TTL / 3).await;
    while stand.counters.session_renewals.value() < renewals {
        tokio::task::yield_now().await;
    }
}
