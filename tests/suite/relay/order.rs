//! The order of effects: what stands before a lock command has happened when the lock changes hands, and what stands behind it has
//! not begun before the verdict.
//!
//! Two clients take turns under one lock, each at a proxy of its own: one has a slow way to the upstream or to the primaries, the other
//! has none to speak of, and would overtake if anything let it. Each pipelines `RLOCK job | GET data` and, granted, `SET data | RUNLOCK
//! job`. Who holds the lock must read what the last holder wrote.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use support::servers::shared;
use support::{
    ByteClient, Direction, Fault, Fleet, Kind, PATIENCE, Proxy, Relay, Server, ServerOptions, Value, eventually,
    unique_key,
};
use tokio::time::timeout;

use super::{Front, LONG, PROXY, SLOW, every_primary_holds, granted, options, pipeline, voting};
use crate::common::Random;

/// Turns in a test, and the keys over which they are spread.
const TURNS: u64 = 1000;
const KEYS: u64 = 4;

/// Two proxies in front of the same primaries and the same upstream.
struct Ways {
    slow: Proxy,
    fast: Proxy,
    _upstream: Server,
    _relays: Vec<Relay>,
}

impl Ways {
    /// The slow proxy's way to the upstream is slow, or else its way to the primaries.
    async fn start(kind: Kind, is_upstream_slow: bool) -> Self {
        let primaries = shared(kind, 3).await;
        let upstream = Server::start(kind, ServerOptions::default()).await;
        let targets = if is_upstream_slow { vec![upstream.address()] } else { primaries.addresses() };
        let relays: Vec<Relay> = targets.into_iter().map(Relay::start).collect();
        let addresses: Vec<String> = relays.iter().map(Relay::address).collect();
        let slow = if is_upstream_slow {
            options(primaries.addresses(), &addresses[0])
        } else {
            options(addresses, &upstream.address())
        };
        let slow = Proxy::start(PROXY, slow).await;
        let fast = Proxy::start(PROXY, options(primaries.addresses(), &upstream.address())).await;
        for proxy in [&slow, &fast] {
            voting(proxy, primaries).await;
        }
        for relay in &relays {
            relay.set_both(SLOW);
        }
        Self { slow, fast, _upstream: upstream, _relays: relays }
    }
}

/// What two clients contend for.
struct Contended {
    job: String,
    data: String,
    /// The last value that a holder has begun to write. It is written before the lock is released, so the next holder finds it.
    written: AtomicU64,
}

impl Contended {
    fn new() -> Self {
        Self { job: unique_key("job"), data: unique_key("data"), written: AtomicU64::new(0) }
    }
}

/// One of the two: it moves the value on when that is even, or when it is odd.
struct Player {
    client: ByteClient,
    /// Where SET goes; a careless player sends it on a connection of its own, and does not wait for its reply.
    aside: Option<ByteClient>,
    parity: u64,
    random: Random,
}

/// A holder read this instead of that.
#[derive(Debug)]
struct Stale {
    _found: u64,
    _written: u64,
}

impl Player {
    async fn play(&mut self, at: &Contended, until: u64) -> Result<(), Stale> {
        loop {
            self.client.send_raw(pipeline(&[&["RLOCK", &at.job, LONG], &["GET", &at.data]])).await;
            let (verdict, data) = (self.client.read_reply().await, self.client.read_reply().await);
            if verdict.is_null() {
                // Somewhere else each time, or the two would stay in step.
                tokio::time::sleep(Duration::from_millis(1 + self.random.below(4) as u64)).await;
                continue;
            }
            let token = granted(&verdict);
            let (found, written) = (number(&data), at.written.load(Ordering::SeqCst));
            if found != written {
                return Err(Stale { _found: found, _written: written });
            }
            let release: &[&str] = &["RUNLOCK", &at.job, &token];
            if found < until && found % 2 == self.parity {
                let next = (found + 1).to_string();
                let set: &[&str] = &["SET", &at.data, &next];
                at.written.store(found + 1, Ordering::SeqCst);
                if let Some(aside) = &mut self.aside {
                    aside.send(set).await;
                    assert_eq!(self.client.call(release).await, Value::Integer(1));
                    aside.expect_bytes("+OK\r\n").await;
                } else {
                    self.client.send_raw(pipeline(&[set, release])).await;
                    assert_eq!(self.client.read_replies(2).await, [Value::ok(), Value::Integer(1)]);
                }
            } else {
                assert_eq!(self.client.call(release).await, Value::Integer(1));
            }
            if found >= until {
                return Ok(());
            }
        }
    }
}

fn number(reply: &Value) -> u64 {
    if reply.is_null() { 0 } else { reply.text().parse().expect("only numbers are written") }
}

/// Plays all turns; the first stale reading ends it.
async fn take_turns(ways: &Ways, turns: u64, is_careless: bool) -> Result<(), Stale> {
    let games = (0..KEYS).map(|key| async move {
        let at = Contended::new();
        let player = async |proxy: &Proxy, parity| {
            let aside = if is_careless { Some(proxy.connect().await) } else { None };
            let client = if is_careless { ways.fast.connect().await } else { proxy.connect().await };
            Player { client, aside, parity, random: Random::new(key * 2 + parity) }
        };
        let (mut slow, mut fast) = (player(&ways.slow, 0).await, player(&ways.fast, 1).await);
        tokio::try_join!(slow.play(&at, turns / KEYS), fast.play(&at, turns / KEYS)).map(|_| ())
    });
    // A lock that is never free again would be waited for without an end.
    let ended = timeout(2 * PATIENCE, join_all(games)).await;
    ended.expect("every turn comes").into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_upstream_has_written_before_the_lock_is_free() {
    let ways = Ways::start(Kind::all()[0], true).await;
    take_turns(&ways, TURNS, false).await.expect("every holder reads what was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_slow_primaries_nothing_is_read_before_the_verdict() {
    let ways = Ways::start(Kind::all()[Kind::all().len() - 1], false).await;
    take_turns(&ways, TURNS, false).await.expect("every holder reads what was written");
}

/// The canary: were effects out of order, the turns would show it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_wait_for_its_write_is_found_out() {
    let ways = Ways::start(Kind::any(), true).await;
    take_turns(&ways, TURNS, true).await.expect_err("a write that is overtaken by its release");
}

/// A proxy of its own, each primary and the upstream behind a relay.
struct Held {
    primaries: &'static Fleet,
    upstream: Server,
    to_primaries: Vec<Relay>,
    to_upstream: Relay,
    proxy: Proxy,
}

impl Held {
    async fn start(kind: Kind) -> Self {
        let primaries = shared(kind, 3).await;
        let upstream = Server::start(kind, ServerOptions::default()).await;
        let to_primaries: Vec<Relay> = primaries.addresses().into_iter().map(Relay::start).collect();
        let to_upstream = Relay::start(upstream.address());
        let options = options(to_primaries.iter().map(Relay::address), &to_upstream.address());
        let proxy = Proxy::start(PROXY, options).await;
        voting(&proxy, primaries).await;
        Self { primaries, upstream, to_primaries, to_upstream, proxy }
    }
}

#[tokio::test]
async fn nothing_behind_a_lock_command_is_forwarded_before_the_verdict() {
    for &kind in Kind::all() {
        let held = Held::start(kind).await;
        let mut client = held.proxy.connect().await;
        let [job, data] = ["job", "data"].map(unique_key);
        // The upstream has been asked what it demands, so that nothing else goes there.
        assert_eq!(client.call(&["RUNLOCK", &job, "nobody"]).await, Value::Integer(0));
        assert_eq!(client.call(&["SET", &data, "old"]).await, Value::ok());
        let forwarded = held.to_upstream.bytes_read(Direction::ToServer);

        held.to_primaries.iter().for_each(|relay| relay.set(Direction::ToClient, Fault::Hold));
        client.send_raw(pipeline(&[&["RLOCK", &job, LONG], &["SET", &data, "new"]])).await;
        // The whole pipeline came in one piece: when the primaries have the lock, the proxy has the SET.
        let asked = async || held.primaries.holding(&job).await == held.primaries.len();
        eventually(asked, "every primary to be asked for the lock").await;
        assert_eq!(held.upstream.get(&data).await.as_deref(), Some("old"), "{kind}");
        assert_eq!(held.to_upstream.bytes_read(Direction::ToServer), forwarded, "{kind}");

        held.to_primaries.iter().for_each(|relay| relay.set(Direction::ToClient, Fault::Forward));
        granted(&client.read_reply().await);
        assert_eq!(client.read_reply().await, Value::ok());
        assert_eq!(held.upstream.get(&data).await.as_deref(), Some("new"));
    }
}

#[tokio::test]
async fn a_lock_command_does_not_begin_before_what_stands_before_it_is_answered() {
    for &kind in Kind::all() {
        let held = Held::start(kind).await;
        let mut client = held.proxy.connect().await;
        let [job, data] = ["job", "data"].map(unique_key);
        let token = granted(&client.call(&["RLOCK", &job, LONG]).await);
        every_primary_holds(held.primaries, &job, &token).await;

        held.to_upstream.set(Direction::ToClient, Fault::Hold);
        client.send_raw(pipeline(&[&["SET", &data, "v"], &["RUNLOCK", &job, &token]])).await;
        let written = async || held.upstream.exists(&data).await;
        eventually(written, "the upstream to have written").await;
        // Its reply is on the way: until it has come the lock is held.
        assert!(client.is_quiet_for(Duration::from_millis(100)).await);
        eventually(async || held.primaries.holding(&job).await == 3, "every primary to hold it still").await;

        held.to_upstream.heal();
        assert_eq!(client.read_replies(2).await, [Value::ok(), Value::Integer(1)]);
    }
}

#[tokio::test]
async fn a_lock_command_behind_a_blocking_one_waits_for_it() {
    for &kind in Kind::all() {
        let front = Front::start(kind).await;
        let [job, queue] = ["job", "queue"].map(unique_key);
        let mut client = front.proxy.connect().await;
        client.send_raw(pipeline(&[&["BLPOP", &queue, "0"], &["RLOCK", &job, LONG]])).await;
        let blocked = async || front.upstream.info("blocked_clients").await.as_deref() == Some("1");
        eventually(blocked, "the client to be blocked").await;
        assert!(client.is_quiet_for(Duration::from_millis(50)).await);
        assert_eq!(front.primaries.holding(&job).await, 0, "{kind}");
        front.upstream.command(&["RPUSH", &queue, "v"]).await;
        assert_eq!(client.read_reply().await, Value::Array(vec![Value::bulk(&queue), Value::bulk("v")]));
        granted(&client.read_reply().await);
    }
}

#[tokio::test]
async fn what_was_sent_before_the_stream_ended_is_done_and_answered() {
    for &kind in Kind::all() {
        let held = Held::start(kind).await;
        let relays = held.to_primaries.iter().chain([&held.to_upstream]);
        relays.for_each(|relay| relay.set_both(SLOW));
        let [job, data] = ["job", "data"].map(unique_key);
        let mut client = held.proxy.connect().await;
        let token = granted(&client.call(&["RLOCK", &job, LONG]).await);
        let commands: [&[&str]; 4] =
            [&["SET", &data, "v"], &["RUNLOCK", &job, &token], &["INCR", &data], &["RLOCK", &job, LONG]];
        client.send_raw(pipeline(&commands)).await;
        client.shutdown_write().await;
        assert_eq!(client.read_replies(2).await, [Value::ok(), Value::Integer(1)]);
        assert!(client.read_reply().await.is_error_with("ERR value is not an integer"));
        granted(&client.read_reply().await);
        client.expect_eof().await;
        assert_eq!(held.upstream.get(&data).await.as_deref(), Some("v"), "{kind}");
    }
}

#[tokio::test]
async fn ordinary_commands_run_whatever_the_lock_command_before_them_was_answered() {
    for &kind in Kind::all() {
        let front = Front::start(kind).await;
        let mut client = front.proxy.connect().await;
        let [job, data] = ["job", "data"].map(unique_key);
        granted(&front.proxy.command(&["RLOCK", &job, LONG]).await);
        client
            .send_raw(pipeline(&[&["RLOCK", &job, LONG], &["INCR", &data], &["RLOCK", &job, "x"], &["INCR", &data]]))
            .await;
        let replies = client.read_replies(4).await;
        let refusal = Value::error("ERR value is not an integer or out of range");
        assert_eq!(replies, [Value::NullArray, Value::Integer(1), refusal, Value::Integer(2)]);
    }
}

#[tokio::test]
async fn an_upstream_that_dies_with_a_write_unanswered_leaves_the_lock_held() {
    type Death = fn(&Relay);
    let deaths: [Death; 2] = [Relay::cut, Relay::reset];
    for &kind in Kind::all() {
        let held = Held::start(kind).await;
        for (death, loses_reply_only) in deaths.into_iter().flat_map(|death| [(death, true), (death, false)]) {
            let mut client = held.proxy.connect().await;
            let [job, data] = ["job", "data"].map(unique_key);
            let token = granted(&client.call(&["RLOCK", &job, LONG]).await);
            every_primary_holds(held.primaries, &job, &token).await;
            let released = held.proxy.counter("runlock_released").await;

            let lost = if loses_reply_only { Direction::ToClient } else { Direction::ToServer };
            held.to_upstream.set(lost, Fault::BlackHole);
            let before = held.to_upstream.bytes_read(lost);
            client.send_raw(pipeline(&[&["SET", &data, "v"], &["RUNLOCK", &job, &token], &["SET", &data, "w"]])).await;
            let is_lost = async || held.to_upstream.bytes_read(lost) > before;
            eventually(is_lost, "the write, or its reply, to be lost").await;
            death(&held.to_upstream);

            assert_eq!(client.try_read_reply().await.map_err(|_| ()), Err(()), "nothing can be answered");
            held.to_upstream.heal();
            let written = if loses_reply_only { Some("v") } else { None };
            assert_eq!(held.upstream.get(&data).await.as_deref(), written, "what stood behind has not run");
            every_primary_holds(held.primaries, &job, &token).await;
            assert_eq!(held.proxy.counter("runlock_released").await, released);
            // Held, and whoever has the token may release it.
            assert_eq!(held.proxy.command(&["RUNLOCK", &job, &token]).await, Value::Integer(1));
        }
    }
}
