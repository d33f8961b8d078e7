//! The commands that the proxy answers: what they are called, how they are written, what they may say back.
//!
//! A lock command is parsed here once, into typed fields ([`Rlock`], [`Runlock`], [`Rextend`] …); whoever holds one of
//! these values holds a valid command. Replies are made by the same files, so that one file tells everything about one
//! command. [`table`] lists all commands, those of the proxy and those of Redis' own that it answers: routing, arity,
//! COMMAND and its documentation all read that one table.
//!
//! Pure: arguments in, values out. Nothing here knows a socket, a primary or the time.

mod args;
mod effect;
mod error;
mod local_entries;
mod options;
mod resources;
mod rextend;
mod rinspect;
mod rlock;
mod rmextend;
mod rmlock;
mod rmunlock;
mod rprimaries;
mod runlock;
pub mod table;

pub use args::integer;
pub use effect::{Class, Effect};
pub use error::CommandError;
pub(crate) use error::printable;
pub use options::{Binding, Options};
pub use resources::Resources;
pub use rextend::Rextend;
pub use rinspect::Rinspect;
pub use rlock::Rlock;
pub use rmextend::Rmextend;
pub use rmlock::Rmlock;
pub use rmunlock::Rmunlock;
pub use runlock::Runlock;

use std::time::Duration;

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
    /// Take several.
    Rmlock(Rmlock),
    /// Give several back.
    Rmunlock(Rmunlock),
    /// Keep several longer.
    Rmextend(Rmextend),
    /// Look at one.
    Rinspect(Rinspect),
    /// Look at the primaries.
    Rprimaries,
}

impl LockCommand {
    /// What the command is about; commands on one resource keep their order.
    pub fn resources(&self) -> Resources {
        match self {
            Self::Rlock(Rlock { resource, .. })
            | Self::Runlock(Runlock { resource, .. })
            | Self::Rextend(Rextend { resource, .. })
            | Self::Rinspect(Rinspect { resource }) => Resources::One(resource.clone()),
            Self::Rmlock(Rmlock { resources, .. })
            | Self::Rmunlock(Rmunlock { resources, .. })
            | Self::Rmextend(Rmextend { resources, .. }) => Resources::Several(resources.clone()),
            Self::Rprimaries => Resources::None,
        }
    }

    /// Its name, in lower case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rlock(_) => rlock::ENTRY.name,
            Self::Runlock(_) => runlock::ENTRY.name,
            Self::Rextend(_) => rextend::ENTRY.name,
            Self::Rmlock(_) => rmlock::ENTRY.name,
            Self::Rmunlock(_) => rmunlock::ENTRY.name,
            Self::Rmextend(_) => rmextend::ENTRY.name,
            Self::Rinspect(_) => rinspect::ENTRY.name,
            Self::Rprimaries => rprimaries::ENTRY.name,
        }
    }

    /// The options of a command that takes locks; `None` for every other.
    pub fn options(&self) -> Option<&Options> {
        match self {
            Self::Rlock(command) => Some(&command.options),
            Self::Rmlock(command) => Some(&command.options),
            _ => None,
        }
    }

    /// The same, for a command that may wait for long: in memory of its own, where it keeps no read buffer.
    #[must_use]
    pub fn detached(self) -> Self {
        match self {
            Self::Rlock(Rlock { resource, ttl, options }) => {
                Self::Rlock(Rlock { resource: resource.detached(), ttl, options: options.detached() })
            }
            Self::Rmlock(Rmlock { resources, ttl, options }) => {
                let resources = resources.iter().map(Resource::detached).collect();
                Self::Rmlock(Rmlock { resources, ttl, options: options.detached() })
            }
            other => other,
        }
    }

    /// Whether it may take a lock.
    pub fn takes(&self) -> bool {
        self.options().is_some()
    }

    /// Whether it may stand in line, with everything that its client sends after it.
    pub fn waits(&self) -> bool {
        self.options().is_some_and(Options::waits)
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
    /// The longest time that a client may stand in line.
    pub max_wait: Duration,
}

impl CommandLimits {
    /// The limits under this allowance for drifting clocks.
    pub fn new(key_bytes: usize, max_ttl: Ttl, drift: Drift, max_wait: Duration) -> Self {
        Self { key_bytes, max_ttl, smallest_ttl_ms: drift.smallest_ttl_ms(), max_wait }
    }
}

/// A validity as clients read it.
fn milliseconds(validity: Validity) -> Reply {
    // At most the largest ttl, a day.
    Reply::Integer(i64::try_from(validity.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests_support {
    use std::time::Duration;

    use bytes::Bytes;

    use super::CommandLimits;
    use crate::lock::{Drift, Ttl};

    /// The limits of a proxy with nothing but defaults.
    pub(super) fn limits() -> CommandLimits {
        let max_ttl = Ttl::from_millis(60_000).expect("in range");
        CommandLimits::new(4_096, max_ttl, Drift::from_parts_per_million(10_000), Duration::from_secs(3_600))
    }

    /// Words as a request carries them.
    pub(super) fn words(line: &str) -> Vec<Bytes> {
        line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
    }
}
