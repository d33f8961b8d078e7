//! One lane per key: which lock command of a connection may start.
//!
//! The lock commands of a pipeline run side by side; only those on one key must take effect in the order given. A
//! command whose key has none under way starts at once. One whose key is busy waits until the command before it has
//! ended, and holds nothing else up.
//!
//! Pure, and about one connection: between connections, the primaries decide.

use std::collections::HashMap;
use std::collections::VecDeque;

use crate::lock::Resource;

/// The keys that are busy, and the commands that wait for them.
#[derive(Debug)]
pub(super) struct Lanes<C> {
    busy: HashMap<Resource, VecDeque<C>>,
}

impl<C> Default for Lanes<C> {
    fn default() -> Self {
        Self { busy: HashMap::new() }
    }
}

impl<C> Lanes<C> {
    /// A command on `resource` comes; it is returned when it may start.
    pub(super) fn enter(&mut self, resource: &Resource, command: C) -> Option<C> {
        if let Some(waiting) = self.busy.get_mut(resource) {
            waiting.push_back(command);
            return None;
        }
        // An empty queue takes no memory of its own.
        self.busy.insert(resource.clone(), VecDeque::new());
        Some(command)
    }

    /// The command on `resource` that was under way has ended; returns the one that may start now.
    pub(super) fn leave(&mut self, resource: &Resource) -> Option<C> {
        let next = self.busy.get_mut(resource).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.busy.remove(resource);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn key(name: &'static str) -> Resource {
        Resource::new(Bytes::from_static(name.as_bytes()), 100).expect("a valid name")
    }

    #[test]
    fn commands_on_one_key_start_one_after_the_other() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.enter(&key("a"), 1), Some(1));
        assert_eq!(lanes.enter(&key("a"), 2), None);
        assert_eq!(lanes.enter(&key("a"), 3), None);
        assert_eq!(lanes.leave(&key("a")), Some(2));
        assert_eq!(lanes.enter(&key("a"), 4), None);
        assert_eq!(lanes.leave(&key("a")), Some(3));
        assert_eq!(lanes.leave(&key("a")), Some(4));
        assert_eq!(lanes.leave(&key("a")), None);
        assert_eq!(lanes.enter(&key("a"), 5), Some(5));
    }

    #[test]
    fn a_busy_key_holds_no_other_up_and_leaves_nothing_behind() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.enter(&key("a"), 1), Some(1));
        assert_eq!(lanes.enter(&key("a"), 2), None);
        assert_eq!(lanes.enter(&key("b"), 3), Some(3));
        assert_eq!(lanes.leave(&key("b")), None);
        assert_eq!(lanes.leave(&key("a")), Some(2));
        assert_eq!(lanes.leave(&key("a")), None);
        assert!(lanes.busy.is_empty());
    }
}
