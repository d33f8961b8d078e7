//! The floor: the least that a Redlock can cost on these primaries.
//!
//! A bare client in the generator's own process sends what the proxy would send for a lock and its release, and nothing
//! else: no marker, no look at a clock, nobody in between. The primaries are asked all at once. Virtual clients have
//! connections of their own to each primary, as the clients of a library have, or share one, so that what they send at a
//! time is one write. A lock is had, and released, as soon as a quorum says so; several locks as one when a quorum has
//! said so for the last of them, since each primary answers in order.

use std::ops::Range;

use support::{Fleet, Server, Value};

use crate::lines::{Ask, Lines};
use crate::load::{Progress, Work};
use crate::wire::Reply;

/// Compare and delete, as Redis' description of Redlock has it.
const SCRIPT: &str =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";

/// How these servers delete a record that bears a token: the cheapest way they know, as the proxy does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delete {
    /// `DELEX key IFEQ token`
    Delex,
    /// `DELIFEQ key token`
    Delifeq,
    /// `EVALSHA`, with the script's digest.
    Script(Vec<u8>),
}

impl Delete {
    /// What all servers of the fleet, which are of one kind, understand; scripts are loaded.
    pub async fn found_on(fleet: &Fleet) -> Self {
        let mut found = Vec::new();
        for server in fleet.iter() {
            found.push(Self::understood_by(server).await);
        }
        found.dedup();
        assert_eq!(found.len(), 1, "the servers are not alike");
        found.remove(0)
    }

    async fn understood_by(server: &Server) -> Self {
        if server.command(&["DELEX", "bench:none", "IFEQ", "0"]).await == Value::Integer(0) {
            Self::Delex
        } else if server.command(&["DELIFEQ", "bench:none", "0"]).await == Value::Integer(0) {
            Self::Delifeq
        } else {
            let digest = server.command(&["SCRIPT", "LOAD", SCRIPT]).await;
            assert!(!digest.is_error(), "{digest:?}");
            Self::Script(digest.text().into_bytes())
        }
    }
}

/// Virtual clients that lock and release a key of their own each, by themselves.
#[derive(Debug)]
pub struct Floor {
    delete: Delete,
    ttl_ms: Vec<u8>,
    clients: Vec<Client>,
    primaries: usize,
    /// How many tokens were signed: none is signed twice.
    signed: u64,
}

#[derive(Debug)]
struct Client {
    keys: Vec<Vec<u8>>,
    token: Vec<u8>,
    /// Even while it locks (or is about to), odd while it releases. Replies of a former phase come after its quorum.
    phase: u32,
    /// Primaries that have answered for the last key of this phase.
    votes: usize,
}

impl Client {
    /// What is asked for, of each of the keys.
    fn asks(&self, client: usize) -> impl Iterator<Item = (&[u8], Ask)> {
        let last = self.keys.len() - 1;
        let ask = move |place| Ask { client, step: self.phase << 1 | u32::from(place == last) };
        self.keys.iter().enumerate().map(move |(place, key)| (&key[..], ask(place)))
    }
}

impl Floor {
    /// A client for each of these sets of keys. Lines to so many primaries in turn are expected, for one client after the
    /// other; when there are fewer, clients share them.
    pub fn new(keys: impl IntoIterator<Item = Vec<Vec<u8>>>, ttl_ms: u64, delete: Delete, primaries: usize) -> Self {
        let client = |keys| Client { keys, token: Vec::new(), phase: 0, votes: 0 };
        let clients = keys.into_iter().map(client).collect();
        Self { delete, ttl_ms: ttl_ms.to_string().into_bytes(), clients, primaries, signed: 0 }
    }

    /// Those of a client, to one primary after the other.
    fn lines_of(&self, client: usize, lines: &Lines) -> Range<usize> {
        let connections = lines.count() / self.primaries;
        let first = client % connections * self.primaries;
        first..first + self.primaries
    }

    fn release(&self, number: usize, lines: &mut Lines) {
        let client = &self.clients[number];
        let token = &client.token;
        for line in self.lines_of(number, lines) {
            for (key, ask) in client.asks(number) {
                match &self.delete {
                    Delete::Delex => lines.send(line, ask, &[b"DELEX", key, b"IFEQ", token]),
                    Delete::Delifeq => lines.send(line, ask, &[b"DELIFEQ", key, token]),
                    Delete::Script(digest) => lines.send(line, ask, &[b"EVALSHA", digest, b"1", key, token]),
                }
            }
        }
    }
}

impl Work for Floor {
    fn clients(&self) -> usize {
        self.clients.len()
    }

    fn begin(&mut self, number: usize, lines: &mut Lines) {
        self.signed += 1;
        // 40 hex digits, like the proxy's; unlike those they need not be unguessable.
        self.clients[number].token = format!("{:040x}", self.signed).into_bytes();
        let client = &self.clients[number];
        for line in self.lines_of(number, lines) {
            for (key, ask) in client.asks(number) {
                lines.send(line, ask, &[b"SET", key, &client.token, b"NX", b"PX", &self.ttl_ms]);
            }
        }
    }

    fn answered(&mut self, ask: Ask, reply: Reply<'_>, lines: &mut Lines) -> Progress {
        let (phase, is_last) = (ask.step >> 1, ask.step & 1 == 1);
        let locks = phase.is_multiple_of(2);
        // On one connection a client's release runs before its next lock, so that even late replies must be good. Whatever
        // else comes, nothing was measured: nobody is in this client's way.
        let expected = if locks { Reply::Status(b"OK") } else { Reply::Integer(1) };
        assert_eq!(reply, expected, "a primary answers the {} like this", if locks { "lock" } else { "release" });
        let client = &mut self.clients[ask.client];
        client.votes += usize::from(is_last && phase == client.phase);
        if client.votes <= self.primaries / 2 {
            return Progress::Pending;
        }
        client.votes = 0;
        client.phase += 1;
        if !locks {
            return Progress::Done;
        }
        self.release(ask.client, lines);
        Progress::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use support::Kind;

    use crate::load::{Load, Measured, Pace, run};

    const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

    async fn driven(fleet: &Fleet, connections: usize) -> Measured {
        let keys = KEYS.map(|client| ["1", "2"].map(|number| [client, number].concat().into_bytes()).to_vec());
        let mut floor = Floor::new(keys, 30_000, Delete::found_on(fleet).await, fleet.len());
        let mut lines = Lines::connect((0..connections).flat_map(|_| fleet.addresses()));
        let load = Load { pace: Pace::Closed, warm_up: Duration::ZERO, span: Duration::from_millis(50) };
        run(&mut floor, &mut lines, &load)
    }

    #[tokio::test]
    async fn a_lock_and_its_release_are_one_command_each_on_every_primary() {
        for connections in [1, 2, KEYS.len()] {
            let fleet = Fleet::start(Kind::any(), 3).await;
            let pairs = driven(&fleet, connections).await.operations;
            assert!(pairs >= KEYS.len() as u64);
            for server in fleet.iter() {
                // Of two keys.
                assert_eq!(server.calls("set").await, 2 * pairs);
                let mut deletes = 0;
                for command in ["evalsha", "delifeq", "delex"] {
                    deletes += server.calls(command).await;
                }
                // Those that asked whether the server has them.
                assert!((2 * pairs..=2 * pairs + 2).contains(&deletes), "{deletes} deletes for {pairs} pairs");
                assert_eq!(server.command(&["DBSIZE"]).await, Value::Integer(0));
            }
        }
    }

    #[tokio::test]
    #[should_panic(expected = "a primary answers the lock like this")]
    async fn a_lock_that_is_held_already_ends_the_measurement() {
        let fleet = Fleet::start(Kind::any(), 3).await;
        fleet[2].command(&["SET", "e1", "somebody else's"]).await;
        driven(&fleet, 1).await;
    }
}
