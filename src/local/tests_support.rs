//! A connection to a proxy that exists only as values.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Answer, Connection, Environment, Snapshot, answer};
use crate::clients::Clients;
use crate::command::CommandLimits;
use crate::config::{Limits, Secret};
use crate::counters::Counters;
use crate::latency::Latency;
use crate::lock::{Drift, Moment, Quorum, Ttl};
use crate::primary::{PrimarySnapshot, PrimaryState};
use crate::protocol::{Reply, Request};
use crate::router::{Route, route};

pub(super) struct Fixture {
    pub(super) connection: Connection,
    pub(super) clients: Arc<Clients>,
    pub(super) counters: Counters,
    pub(super) latency: Latency,
    pub(super) limits: Limits,
    pub(super) now: Moment,
    password: Option<Secret>,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::build(None)
    }

    pub(super) fn with_password(password: &str) -> Self {
        Self::build(Some(Secret::new(password.to_owned())))
    }

    fn build(password: Option<Secret>) -> Self {
        let clients = Clients::new();
        let now = Moment::from_micros(0);
        let registration = clients.register("10.0.0.1:1".to_owned(), "127.0.0.1:6379".to_owned(), now);
        Self {
            connection: Connection::new(registration, password.is_some()),
            clients,
            counters: Counters::default(),
            latency: Latency::new(),
            limits: limits(),
            now,
            password,
        }
    }

    /// What a client reads that sends these words, split at spaces.
    pub(super) fn reply(&mut self, line: &str) -> Reply {
        self.answer(line).reply
    }

    /// The same, with whether the connection is closed then.
    pub(super) fn answer(&mut self, line: &str) -> Answer {
        let arguments = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        self.answer_words(arguments)
    }

    /// The same, for words that no line could hold.
    pub(super) fn answer_words(&mut self, arguments: Vec<Bytes>) -> Answer {
        let max_ttl = Ttl::from_millis(60_000).expect("in range");
        let limits =
            CommandLimits::new(4_096, max_ttl, Drift::from_parts_per_million(10_000), Duration::from_secs(3_600));
        match route(Request { arguments }, self.connection.mode(), self.connection.version(), &limits) {
            Route::Local(request) => {
                let environment = Environment {
                    now: self.now,
                    started: Moment::from_micros(0),
                    run_id: "0123456789abcdef",
                    process_id: 7,
                    tcp_port: 6379,
                    max_clients: 9_000,
                    descriptor_limit: 10_032,
                    limits: &self.limits,
                    password: self.password.as_ref(),
                    counters: &self.counters,
                    clients: &self.clients,
                    latency: &self.latency,
                    upstream: None,
                    primaries: &snapshot,
                };
                answer(&request, &mut self.connection, &environment)
            }
            Route::Refuse(refused) => {
                self.counters.count_error(refused.kind());
                Answer { reply: refused.into(), close: false }
            }
            Route::Close => Answer { reply: Reply::Null, close: true },
            Route::Lock(command) => panic!("{command:?} is not answered here"),
        }
    }
}

/// An error reply with this text.
pub(super) fn error(text: &str) -> Reply {
    Reply::Error(Cow::Owned(text.to_owned()))
}

fn snapshot() -> Snapshot {
    let primary = |address: &str, state, rtt_us, operations, reconnects| PrimarySnapshot {
        since: Moment::from_micros(0),
        server: Some("redis 7.0.15".to_owned()),
        clock_offset_ms: Some(0),
        quarantine: Duration::ZERO,
        last_error: None,
        address: address.to_owned(),
        state,
        round_trip: Duration::from_micros(rtt_us),
        operations,
        unknown: 0,
        unsent: 0,
        reconnects,
        queue: 0,
    };
    Snapshot {
        primaries: vec![
            primary("127.0.0.1:7001", PrimaryState::Up, 85, 12_345, 1),
            primary("[::1]:7002", PrimaryState::Duplicate, 0, 0, 0),
        ],
        voting: 1,
        quorum: Quorum::majority(2).expect("1 to 9"),
        ready: true,
    }
}

fn limits() -> Limits {
    Limits {
        connections: 10_000,
        request_bytes: 1_048_576,
        request_elements: 1_024,
        relayed_bulk_bytes: 536_870_912,
        key_bytes: 4_096,
        pipeline_depth: 1_024,
        buffer_bytes: 65_536,
        output_buffer_bytes: 8_388_608,
        idle_timeout: Some(Duration::from_secs(1)),
        unauthenticated_elements: 10,
        unauthenticated_bulk_bytes: 16_384,
        reply_nesting: 128,
        waiters: 100_000,
        waiters_per_key: 10_000,
        session_locks: 1_000_000,
        session_locks_per_connection: 1_024,
        operations_per_primary: 65_536,
    }
}
