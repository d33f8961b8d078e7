//! A proxy in this process: real sockets in front, scripted primaries behind.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod settings;

use super::{Facts, Service, take_in};
use crate::clock::Clock;
use crate::config::{Address, Config};
use crate::coordinator::{
    Coordinator, LineLimits, LockNode, Operation, Rules, SessionRules, SystemEntropy, Ticket, Trouble, Vote, WallClock,
};
use crate::counters::Counters;
use crate::drain::Drain;
use crate::local::Snapshot;
use crate::lock::{
    AcquireVote, ExtendVote, Holder, InspectVote, Moment, RaiseVote, ReleaseVote, Resource, SignVote, Token,
};
use crate::net::Listener;
use crate::primary::Ceiling;

/// How long a test waits for what must come. Nothing waits for so long unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Three primaries that keep records in memory and answer at once, or when told.
pub(super) struct Script {
    state: Mutex<State>,
    submissions: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    records: [HashMap<Resource, Bytes>; 3],
    /// What the first primary was asked, in order: `rlock a`.
    log: Vec<String>,
    held_keys: HashSet<Bytes>,
    hold_all: bool,
    held: Vec<(usize, Operation)>,
}

impl Script {
    fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), submissions: watch::Sender::new(0) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics under this lock")
    }

    /// From now on nothing is answered, until [`answer`](Self::answer).
    pub(super) fn hold(&self) {
        self.state().hold_all = true;
    }

    /// From now on operations on this key are not answered, until [`answer`](Self::answer).
    pub(super) fn hold_key(&self, key: &'static str) {
        self.state().held_keys.insert(Bytes::from_static(key.as_bytes()));
    }

    /// Answers everything that was held back, and what comes from now on.
    pub(super) fn answer(&self) {
        let held = {
            let mut state = self.state();
            state.hold_all = false;
            state.held_keys.clear();
            std::mem::take(&mut state.held)
        };
        for (index, operation) in held {
            self.perform(index, operation);
        }
    }

    /// What the first primary was asked so far.
    pub(super) fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// Waits until the first primary has been asked this.
    pub(super) async fn asked(&self, what: &str) {
        let mut submissions = self.submissions.subscribe();
        let asked = submissions.wait_for(|_| self.log().iter().any(|line| line == what));
        patiently(asked, what).await.expect("the script lives");
    }

    /// The token of this key's record, on every primary that has one.
    pub(super) fn records(&self, key: &'static str) -> Vec<Bytes> {
        let key = resource(key);
        self.state().records.iter().filter_map(|records| records.get(&key).cloned()).collect()
    }

    fn submit(&self, index: usize, operation: Operation) {
        let held = {
            let mut state = self.state();
            if index == 0 {
                state.log.push(describe(&operation));
            }
            if state.hold_all || state.held_keys.contains(operation.resource().as_bytes()) {
                state.held.push((index, operation));
                None
            } else {
                Some(operation)
            }
        };
        if let Some(operation) = held {
            self.perform(index, operation);
        }
        self.submissions.send_modify(|count| *count += 1);
    }

    fn perform(&self, index: usize, operation: Operation) {
        match operation {
            Operation::Acquire { resource, token, raise, ticket, .. } => {
                if let Some(raise) = raise {
                    raise.ticket.answer(RaiseVote::Raised(None, true));
                }
                depart(ticket, || {
                    let records = &mut self.state().records[index];
                    if let Some(holder) = records.get(&resource) {
                        return AcquireVote::Held(Holder::Value(holder.clone()));
                    }
                    records.insert(resource, bytes(&token));
                    AcquireVote::Granted
                });
            }
            Operation::Sign { resource, found, token, ticket, .. } => {
                depart(ticket, || match self.state().records[index].get_mut(&resource) {
                    Some(value) if *value == found => {
                        *value = bytes(&token);
                        SignVote::Signed
                    }
                    _ => SignVote::Changed,
                });
            }
            Operation::Inspect { ticket, .. } => ticket.answer(InspectVote::Free),
            Operation::Announce { .. } => {}
            Operation::Raise { raise, .. } => depart(raise.ticket, || RaiseVote::Raised(None, true)),
            Operation::Extend { resource, token, ticket, .. } => {
                depart(ticket, || {
                    let holds = self.state().records[index].get(&resource) == Some(&bytes(&token));
                    if holds { ExtendVote::Extended } else { ExtendVote::Lacking }
                });
            }
            Operation::Release { resource, token, ticket, .. } => {
                let mut state = self.state();
                let holds = state.records[index].get(&resource) == Some(&bytes(&token));
                if holds {
                    state.records[index].remove(&resource);
                }
                drop(state);
                if let Some(ticket) = ticket {
                    ticket.answer(if holds { ReleaseVote::Deleted } else { ReleaseVote::Lacking });
                }
            }
        }
    }
}

/// Answers with what `vote` does, unless the round has no use for it any more.
fn depart<V: Vote>(ticket: Ticket<V>, vote: impl FnOnce() -> V) {
    if ticket.depart() {
        let vote = vote();
        ticket.answer(vote);
    } else {
        ticket.unsent(Trouble::NotConnected);
    }
}

fn describe(operation: &Operation) -> String {
    let verb = match operation {
        Operation::Acquire { .. } => "acquire",
        Operation::Announce { .. } => "announce",
        Operation::Sign { .. } => "sign",
        Operation::Raise { .. } => "raise",
        Operation::Inspect { .. } => "inspect",
        Operation::Extend { .. } => "extend",
        Operation::Release { ticket: Some(_), .. } => "release",
        Operation::Release { ticket: None, .. } => "withdraw",
    };
    format!("{verb} {}", operation.resource().as_bytes().escape_ascii())
}

fn bytes(token: &Token) -> Bytes {
    Bytes::copy_from_slice(token.as_bytes())
}

pub(super) fn resource(name: &'static str) -> Resource {
    Resource::new(Bytes::from_static(name.as_bytes()), 100).expect("a valid name")
}

struct Node {
    index: usize,
    script: Arc<Script>,
}

impl LockNode for Node {
    fn address(&self) -> &'static str {
        ["primary-0:6379", "primary-1:6379", "primary-2:6379"][self.index]
    }

    fn submit(&self, operation: Operation, _timeout: Duration) {
        self.script.submit(self.index, operation);
    }

    fn wall_clock(&self, now: Moment) -> Option<WallClock> {
        Some(WallClock { micros: now.as_micros(), votes: true })
    }
}

/// A proxy with one TCP listener.
pub(super) struct Proxy {
    pub(super) service: Arc<Service>,
    pub(super) script: Arc<Script>,
    pub(super) address: Address,
    /// Ends when every session of a drained proxy has.
    pub(super) door: JoinHandle<()>,
    keeper: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.door.abort();
        self.keeper.abort();
    }
}

impl Proxy {
    pub(super) async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = settings::config();
        change(&mut config);
        let script = Script::new();
        let nodes = (0..3).map(|index| Arc::new(Node { index, script: Arc::clone(&script) }) as Arc<dyn LockNode>);
        let rules = Rules {
            quorum: config.quorum,
            drift: config.drift,
            max_ttl: config.max_ttl,
            attempts: config.attempts,
            retry_delay: config.retry_delay,
            node_timeout: config.node_timeout,
            sessions: SessionRules::new(config.session, &config.limits),
            fence_retention: config.fence_retention,
            lines: LineLimits { waiters: config.limits.waiters, waiters_per_key: config.limits.waiters_per_key },
            sender: 0,
        };
        let counters = Arc::new(Counters::default());
        let coordinator =
            Coordinator::new(nodes.collect(), rules, Clock::runtime(), Arc::new(SystemEntropy), Arc::clone(&counters));
        let keeper = tokio::spawn(Arc::clone(&coordinator).keep_leases());
        let facts = Facts {
            started: Moment::from_micros(0),
            run_id: "0".repeat(40),
            tcp_port: 0,
            max_clients: config.limits.connections,
            descriptor_limit: 1_024,
        };
        let quorum = config.quorum;
        let look = move || Snapshot { primaries: Vec::new(), voting: 3, quorum, ready: true };
        let service =
            Service::new(&config, coordinator, counters, Drain::default(), facts, Ceiling::new(config.max_ttl), look);
        let listener = Listener::bind(&config.listen[0]).await.expect("a free port");
        let address = listener.local_address().expect("a bound address");
        let door = tokio::spawn(take_in(Arc::clone(&service), listener));
        Self { service, script, address, door, keeper }
    }

    pub(super) async fn connect(&self) -> Client {
        let Address::Tcp { host, port } = &self.address else { panic!("a TCP listener") };
        Client(TcpStream::connect((host.as_str(), *port)).await.expect("the proxy listens"))
    }

    /// Returns when the proxy has noticed what happened to its connections before: another client has been served
    /// since, and the system reports events in their order.
    pub(super) async fn notice(&self) {
        for _ in 0..2 {
            let mut bystander = self.connect().await;
            bystander.send("PING\r\n").await;
            bystander.expect("+PONG\r\n").await;
        }
    }

    /// Waits until every client's session has ended.
    pub(super) async fn deserted(&self) {
        eventually("all sessions have ended", || self.service.clients.count() == 0).await;
    }
}

/// A client that speaks in bytes.
pub(super) struct Client(pub(super) TcpStream);

impl Client {
    pub(super) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("the connection lives");
    }

    /// Reads exactly this.
    pub(super) async fn expect(&mut self, text: &str) {
        let mut read = vec![0; text.len()];
        let result = patiently(self.0.read_exact(&mut read), text).await;
        assert_eq!(String::from_utf8_lossy(&read), text, "{result:?}");
    }

    /// Reads a granted lock; returns its token.
    pub(super) async fn expect_grant(&mut self) -> Bytes {
        self.expect("*2\r\n$40\r\n").await;
        let mut token = vec![0; 40];
        patiently(self.0.read_exact(&mut token), "a token").await.expect("a token");
        self.expect("\r\n:").await;
        let mut byte = 0;
        while byte != b'\n' {
            byte = patiently(self.0.read_u8(), "a validity").await.expect("a validity");
        }
        token.into()
    }

    /// Reads the end of the stream, and nothing in front of it.
    pub(super) async fn expect_end(&mut self) {
        let mut rest = Vec::new();
        let end = patiently(self.0.read_to_end(&mut rest), "the end of the stream").await;
        assert_eq!(String::from_utf8_lossy(&rest), "", "{end:?}");
        end.expect("a clean end");
    }

    /// Ends our half of the connection.
    pub(super) async fn half_close(&mut self) {
        self.0.shutdown().await.expect("the connection lives");
    }

    /// Ends the connection by a reset.
    pub(super) fn reset(self) {
        socket2::SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).expect("the connection lives");
    }
}

/// Waits until this holds, looking each time that other tasks have run.
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Fails a test that waits in vain. On a clock of its own: a paused one would run ahead of the sockets.
pub(super) async fn patiently<F: Future>(future: F, what: &str) -> F::Output {
    let (_alive, dead) = std::sync::mpsc::channel::<()>();
    let watchdog = tokio::task::spawn_blocking(move || dead.recv_timeout(PATIENCE));
    tokio::select! {
        biased;
        output = future => output,
        _ = watchdog => panic!("in vain: {what:?}"),
    }
}
