//! The order of replies: whoever makes them, they come in the order of the requests.
//!
//! Pipelines are drawn from a seed: ordinary commands, lock commands that are granted, refused, wrong, and changes of the protocol, cut
//! anywhere. Each reply can be told from its neighbours, and the ways to the upstream and to the primaries differ in speed all the time.

use std::collections::HashMap;

use futures_util::future::join_all;
use support::resp::encode_command;
use support::servers::shared;
use support::{ByteClient, Kind, Proxy, Relay, Server, ServerOptions, Value, unique_key};

use super::{LONG, PROXY, SLOW, options, voting};
use crate::common::Random;

/// Clients side by side, the pipelines of each, and the commands in each.
const CLIENTS: u64 = 6;
const PIPELINES: usize = 12;
const COMMANDS: usize = 25;

enum Expected {
    This(Value),
    Error(&'static str),
    /// A grant of the lock of this name.
    Grant(String),
    /// A validity.
    Validity,
    /// The map or the flat array of HELLO.
    Greeting,
}

/// One client, and what it must know to foretell replies.
struct Client {
    wire: ByteClient,
    random: Random,
    name: String,
    is_resp3: bool,
    numbers: i64,
    counter: i64,
    /// Locks that a pipeline before this one has taken, with their tokens.
    held: HashMap<String, String>,
    /// Locks that this pipeline takes.
    taken: Vec<String>,
}

impl Client {
    async fn start(proxy: &Proxy, seed: u64) -> Self {
        Self {
            wire: proxy.connect().await,
            random: Random::new(seed),
            name: unique_key("mix"),
            is_resp3: false,
            numbers: 0,
            counter: 0,
            held: HashMap::new(),
            taken: Vec::new(),
        }
    }

    async fn play(&mut self) {
        for _ in 0..PIPELINES {
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for _ in 0..COMMANDS {
                self.draw(&mut bytes, &mut expected);
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at((1 + self.random.below(200)).min(rest.len()));
                self.wire.send_raw(piece).await;
                rest = behind;
            }
            for (place, expected) in expected.into_iter().enumerate() {
                let reply = self.wire.read_reply().await;
                self.check(&reply, expected, place, &bytes);
            }
            self.taken.clear();
        }
    }

    fn check(&mut self, reply: &Value, expected: Expected, place: usize, bytes: &[u8]) {
        let is_right = match expected {
            Expected::This(value) => *reply == value,
            Expected::Error(prefix) => reply.is_error_with(prefix),
            Expected::Grant(key) => {
                let is_grant = matches!(reply, Value::Array(parts) if parts.len() == 2);
                self.held.insert(key, if is_grant { reply.items()[0].text() } else { String::new() });
                is_grant
            }
            Expected::Validity => matches!(reply, Value::Integer(validity) if *validity > 1000),
            Expected::Greeting => reply.field("server").is_some(),
        };
        assert!(is_right, "reply {place} is {reply:?} to the pipeline \"{}\"", bytes.escape_ascii());
    }

    /// Draws a command, or a few that belong together.
    fn draw(&mut self, bytes: &mut Vec<u8>, expected: &mut Vec<Expected>) {
        self.numbers += 1;
        let number = self.numbers.to_string();
        let key = format!("{}:{number}", self.name);
        let mut ask = |words: &[&str], reply: Expected| {
            bytes.extend(encode_command(words));
            expected.push(reply);
        };
        match self.random.below(20) {
            0..4 => ask(&["ECHO", &number], Expected::This(Value::bulk(&number))),
            4 => ask(&["PING", &number], Expected::This(Value::bulk(&number))),
            5 | 6 => {
                self.counter += 1;
                ask(&["INCR", &self.name], Expected::This(Value::Integer(self.counter)));
            }
            7 => ask(&["NONSENSE", &number], Expected::Error("ERR unknown command")),
            8 => {
                self.counter += 1;
                let result = Value::Array(vec![Value::Integer(self.counter), Value::bulk(&number)]);
                ask(&["MULTI"], Expected::This(Value::ok()));
                ask(&["INCR", &self.name], Expected::This(Value::simple("QUEUED")));
                ask(&["ECHO", &number], Expected::This(Value::simple("QUEUED")));
                ask(&["EXEC"], Expected::This(result));
            }
            9 => {
                self.is_resp3 = self.random.below(2) == 1;
                ask(&["HELLO", if self.is_resp3 { "3" } else { "2" }], Expected::Greeting);
            }
            10 => ask(&["GET", &key], Expected::This(if self.is_resp3 { Value::Null } else { Value::NullBulk })),
            11..14 => {
                ask(&["RLOCK", &key, LONG], Expected::Grant(key.clone()));
                self.taken.push(key);
            }
            14 => match self.taken.last() {
                Some(taken) => {
                    let null = if self.is_resp3 { Value::Null } else { Value::NullArray };
                    ask(&["RLOCK", taken, LONG], Expected::This(null));
                }
                None => ask(&["RLOCK"], Expected::Error("ERR wrong number of arguments for 'rlock' command")),
            },
            15 => ask(&["RUNLOCK", &key, &number], Expected::This(Value::Integer(0))),
            16 => {
                let null = if self.is_resp3 { Value::Null } else { Value::NullBulk };
                ask(&["REXTEND", &key, &number, LONG], Expected::This(null));
            }
            17 => ask(&["rlock", &key, "3"], Expected::Error("ERR invalid expire time in 'rlock' command")),
            _ => {
                let Some(lock) = self.held.keys().next().cloned() else { return };
                let token = self.held.remove(&lock).unwrap_or_default();
                ask(&["REXTEND", &lock, &token, LONG], Expected::Validity);
                ask(&["RUNLOCK", &lock, &token], Expected::This(Value::Integer(1)));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_come_in_the_order_of_the_requests_whoever_makes_them() {
    let tests = Kind::all().iter().map(|&kind| async move {
        let primaries = shared(kind, 3).await;
        let upstream = Server::start(kind, ServerOptions::default()).await;
        let relays: Vec<Relay> =
            primaries.addresses().into_iter().chain([upstream.address()]).map(Relay::start).collect();
        let (to_upstream, to_primaries) = relays.split_last().expect("four of them");
        let options = options(to_primaries.iter().map(Relay::address), &to_upstream.address());
        let proxy = Proxy::start(PROXY, options).await;
        voting(&proxy, primaries).await;
        for relay in &relays {
            relay.set_both(SLOW);
        }
        let proxy = &proxy;
        let clients = (0..CLIENTS).map(|seed| async move { Client::start(proxy, seed).await.play().await });
        join_all(clients).await;
    });
    join_all(tests).await;
}
