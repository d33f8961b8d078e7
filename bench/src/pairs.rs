//! Clients that lock and release through the proxy, in turn.

use std::iter;

use crate::lines::{Ask, Lines};
use crate::load::{Progress, Work};
use crate::wire::{Grant, Reply, beginning, put_command};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// RLOCK
    Plain,
    /// RLOCK with FENCE
    Fence,
    /// RMLOCK of so many
    Several(usize),
}

/// The keys of a client, which nobody else wants.
pub fn keys(whose: &str, client: usize, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("{whose}:{client}:{number}").into_bytes()).collect()
}

/// The clients, spread over the lines in turn.
#[derive(Debug)]
pub struct Pairs {
    clients: Vec<Client>,
    verb: Verb,
    ttl_ms: i64,
    /// What a release must be answered.
    released: i64,
}

#[derive(Debug)]
struct Client {
    /// The whole command.
    lock: Vec<u8>,
    /// The command up to the token.
    release: Vec<u8>,
    /// The largest fencing token so far.
    fence: i64,
}

const LOCK: u32 = 0;
const RELEASE: u32 = 1;

impl Pairs {
    /// So many clients, each with keys of its own.
    pub fn new(clients: usize, verb: Verb, ttl_ms: u32) -> Self {
        let count = if let Verb::Several(count) = verb { count } else { 1 };
        let (numkeys, ttl) = (count.to_string(), ttl_ms.to_string());
        let client = |client| {
            let keys = keys("proxy", client, count);
            let keys = keys.iter().map(|key| &key[..]);
            let (lock, release): (Vec<&[u8]>, Vec<&[u8]>) = match verb {
                Verb::Plain | Verb::Fence => (vec![b"RLOCK"], vec![b"RUNLOCK"]),
                Verb::Several(_) => (vec![b"RMLOCK", numkeys.as_bytes()], vec![b"RMUNLOCK", numkeys.as_bytes()]),
            };
            let fence: Option<&[u8]> = (verb == Verb::Fence).then_some(b"FENCE");
            let lock: Vec<&[u8]> =
                lock.into_iter().chain(keys.clone()).chain(iter::once(ttl.as_bytes())).chain(fence).collect();
            let release: Vec<&[u8]> = release.into_iter().chain(keys).collect();
            let mut command = Vec::new();
            put_command(&mut command, &lock);
            Client { lock: command, release: beginning(release.len() + 1, &release), fence: 0 }
        };
        let released = i64::try_from(count).expect("a few keys");
        Self { clients: (0..clients).map(client).collect(), verb, ttl_ms: ttl_ms.into(), released }
    }

    /// Whether this is a lock: with time left, and with a larger fencing token than before if one was asked for.
    fn is_good(&mut self, client: usize, grant: &Grant<'_>) -> bool {
        let former = &mut self.clients[client].fence;
        let is_later = match (self.verb, grant.fence) {
            (Verb::Fence, Some(fence)) => fence > std::mem::replace(former, fence),
            (Verb::Fence, None) => false,
            (_, fence) => fence.is_none(),
        };
        is_later && grant.token.len() == 40 && (1..=self.ttl_ms).contains(&grant.validity_ms)
    }
}

impl Work for Pairs {
    fn clients(&self) -> usize {
        self.clients.len()
    }

    fn begin(&mut self, client: usize, lines: &mut Lines) {
        lines.send_written(client % lines.count(), Ask { client, step: LOCK }, &self.clients[client].lock);
    }

    fn answered(&mut self, ask: Ask, reply: Reply<'_>, lines: &mut Lines) -> Progress {
        let Ask { client, step } = ask;
        match (step, reply.grant()) {
            (LOCK, Some(grant)) if self.is_good(client, &grant) => {
                let ask = Ask { client, step: RELEASE };
                lines.send_begun(client % lines.count(), ask, &self.clients[client].release, grant.token);
                Progress::Pending
            }
            (RELEASE, None) if reply == Reply::Integer(self.released) => Progress::Done,
            (LOCK, _) => Progress::Failed(format!("a lock is answered {reply:?}")),
            _ => Progress::Failed(format!("a release is answered {reply:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).replace("\r\n", " ")
    }

    #[test]
    fn each_verb_is_written_as_the_proxy_reads_it() {
        let written = |verb| {
            let pairs = Pairs::new(2, verb, 30_000);
            (text(&pairs.clients[1].lock), text(&pairs.clients[1].release))
        };
        let plain = ("*3 $5 RLOCK $9 proxy:1:0 $5 30000 ".into(), "*3 $7 RUNLOCK $9 proxy:1:0 ".into());
        assert_eq!(written(Verb::Plain), plain);
        let fence = ("*4 $5 RLOCK $9 proxy:1:0 $5 30000 $5 FENCE ".into(), "*3 $7 RUNLOCK $9 proxy:1:0 ".into());
        assert_eq!(written(Verb::Fence), fence);
        let several = (
            "*5 $6 RMLOCK $1 2 $9 proxy:1:0 $9 proxy:1:1 $5 30000 ".into(),
            "*5 $8 RMUNLOCK $1 2 $9 proxy:1:0 $9 proxy:1:1 ".into(),
        );
        assert_eq!(written(Verb::Several(2)), several);
    }

    #[test]
    fn a_lock_without_time_or_with_an_old_fence_is_none() {
        let token = [b'a'; 40];
        let grant = |validity_ms, fence| Grant { token: &token, validity_ms, fence };
        let mut plain = Pairs::new(1, Verb::Plain, 30_000);
        assert!(plain.is_good(0, &grant(29_000, None)));
        for bad in [grant(0, None), grant(30_001, None), grant(1, Some(1)), Grant { token: b"a", ..grant(1, None) }] {
            assert!(!plain.is_good(0, &bad), "{bad:?}");
        }
        let mut fenced = Pairs::new(1, Verb::Fence, 30_000);
        let good: Vec<bool> =
            [Some(5), Some(6), Some(6), None].map(|fence| fenced.is_good(0, &grant(1, fence))).to_vec();
        assert_eq!(good, [true, true, false, false]);
    }
}
