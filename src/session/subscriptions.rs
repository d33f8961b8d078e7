//! What a connection is subscribed to, by the upstream's own count.

use super::glimpse::Confirmation;
use crate::command::Class;

/// How many there are of each class, as the confirmations tell.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    channels: u64,
    patterns: u64,
    shards: u64,
}

impl Subscriptions {
    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        self.channels > 0 || self.patterns > 0 || self.shards > 0
    }

    /// How many there are of this class.
    pub(super) fn of(&self, class: Class) -> u64 {
        match class {
            Class::Channel => self.channels,
            Class::Pattern => self.patterns,
            Class::Shard => self.shards,
        }
    }

    /// So many channels are subscribed to, of which no confirmation tells.
    pub(super) fn add_channels(&mut self, count: u64) {
        self.channels += count;
    }

    /// One was made or ended.
    pub(super) fn note(&mut self, Confirmation { class, total, .. }: Confirmation) {
        match class {
            Class::Channel => self.channels = total.saturating_sub(self.patterns),
            Class::Pattern => self.patterns = total.saturating_sub(self.channels),
            Class::Shard => self.shards = total,
        }
        if total == 0 && class != Class::Shard {
            (self.channels, self.patterns) = (0, 0);
        }
    }
}
