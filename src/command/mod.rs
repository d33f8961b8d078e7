//! The commands that the proxy answers: what they are called, how they are written, what they may say back.
//!
//! A lock command is parsed here once, into typed fields ([`Rlock`], [`Runlock`], [`Rextend`]); whoever holds one of
//! these values holds a valid command. Replies are made by the same files, so that one file tells everything about one
//! command. [`table`] lists all commands, those of the proxy and those of Redis' own that it answers: routing, arity,
//! COMMAND and its documentation all read that one table.
//!
//! Pure: arguments in, values out. Nothing here knows a socket, a primary or the time.

mod args;
mod effect;
mod error;
mod local_entries;
mod rextend;
mod rlock;
mod runlock;
pub mod table;

pub use args::integer;
pub use effect::{Class, Effect};
pub use error::CommandError;
pub(crate) use error::printable;
pub use rextend::Rextend;
pub use rlock::Rlock;
pub use runlock::Runlock;

use crate::lock::{Drift, Resource, Ttl, Validity};
use crate::protocol::Reply;

/// A lock command, valid in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockCommand {
    /// Take a lock.
    Rlock(Rlock),
    /// Give it back.
    Runlock(Runlock),
    /// Keep it longer.
    Rextend(Rextend),
}

impl LockCommand {
    /// What the command is about; commands on one resource keep their order.
    pub fn resource(&self) -> &Resource {
        match self {
            Self::Rlock(command) => &command.resource,
            Self::Runlock(command) => &command.resource,
            Self::Rextend(command) => &command.resource,
        }
    }
}

/// What configuration says about the arguments of lock commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandLimits {
    /// Longest name of a lock, in bytes.
    pub key_bytes: usize,
    /// The largest ttl.
    pub max_ttl: Ttl,
    /// The smallest ttl that leaves any validity after drift, in milliseconds.
    pub smallest_ttl_ms: u64,
}

impl CommandLimits {
    /// The limits under this allowance for drifting clocks.
    pub fn new(key_bytes: usize, max_ttl: Ttl, drift: Drift) -> Self {
        Self { key_bytes, max_ttl, smallest_ttl_ms: drift.smallest_ttl_ms() }
    }
}

/// A validity as clients read it.
fn milliseconds(validity: Validity) -> Reply {
    // At most the largest ttl, a day.
    Reply::Integer(i64::try_from(validity.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests_support {
    use bytes::Bytes;

    use super::CommandLimits;
    use crate::lock::{Drift, Ttl};

    /// The limits of a proxy with nothing but defaults.
    pub(super) fn limits() -> CommandLimits {
        let max_ttl = Ttl::from_millis(60_000).expect("in range");
        CommandLimits::new(4_096, max_ttl, Drift::from_parts_per_million(10_000))
    }

    /// Words as a request carries them.
    pub(super) fn words(line: &str) -> Vec<Bytes> {
        line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
    }
}
