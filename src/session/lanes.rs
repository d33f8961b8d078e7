//! One lane per key: which lock command of a connection may start.
//!
//! The lock commands of a pipeline run side by side; only those on one key must take effect in the order given. A
//! command takes the lanes of all its keys in one moment, in the order of the requests. It starts when it is first in
//! each, and holds nothing else up. One that stands in line for a lock closes the road behind it: what comes after it,
//! on whatever key, waits until it has ended.
//!
//! Pure, and about one connection: between connections, the primaries decide.

use std::collections::{HashMap, VecDeque};

use crate::command::Resources;
use crate::lock::Resource;

/// The keys that are busy, and the commands that wait for them.
#[derive(Debug)]
pub(super) struct Lanes<C> {
    /// For each key that is taken, the commands that wait for it, by their numbers.
    busy: HashMap<Resource, VecDeque<u64>>,
    /// The commands that wait for keys, and for how many.
    waiting: HashMap<u64, (C, usize)>,
    /// The number of the next command that has to wait.
    next: u64,
    /// A command is under way, or waits for its keys, behind which the road is closed.
    closed: bool,
    /// What came since.
    held_up: VecDeque<(Resources, bool, C)>,
}

impl<C> Default for Lanes<C> {
    fn default() -> Self {
        Self { busy: HashMap::new(), waiting: HashMap::new(), next: 0, closed: false, held_up: VecDeque::new() }
    }
}

impl<C> Lanes<C> {
    /// A command on `resources` comes, which closes the road or not; it is returned when it may start.
    pub(super) fn enter(&mut self, resources: Resources, closes: bool, command: C) -> Option<C> {
        if self.closed {
            self.held_up.push_back((resources, closes, command));
            return None;
        }
        self.closed = closes;
        self.take_lanes(&resources, command)
    }

    /// The command on `resources` has ended; `start` gets each that may start now, in order.
    pub(super) fn leave(&mut self, resources: &Resources, closed: bool, mut start: impl FnMut(C)) {
        for resource in resources.iter() {
            let Some(waiting) = self.busy.get_mut(resource) else { continue };
            let Some(next) = waiting.pop_front() else {
                self.busy.remove(resource);
                continue;
            };
            if let Some((_, missing)) = self.waiting.get_mut(&next) {
                *missing -= 1;
                if *missing == 0
                    && let Some((command, _)) = self.waiting.remove(&next)
                {
                    start(command);
                }
            }
        }
        if closed {
            self.closed = false;
        }
        while !self.closed
            && let Some((resources, closes, command)) = self.held_up.pop_front()
        {
            self.closed = closes;
            if let Some(command) = self.take_lanes(&resources, command) {
                start(command);
            }
        }
    }

    fn take_lanes(&mut self, resources: &Resources, command: C) -> Option<C> {
        let mut missing = 0;
        for resource in resources.iter() {
            if let Some(waiting) = self.busy.get_mut(resource) {
                waiting.push_back(self.next);
                missing += 1;
            } else {
                // An empty queue takes no memory of its own.
                self.busy.insert(resource.clone(), VecDeque::new());
            }
        }
        if missing == 0 {
            return Some(command);
        }
        self.waiting.insert(self.next, (command, missing));
        self.next += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn keys(names: &str) -> Resources {
        let key = |name: char| Resource::new(Bytes::from(name.to_string()), 100).expect("a valid name");
        match names.chars().collect::<Vec<_>>().as_slice() {
            [] => Resources::None,
            [name] => Resources::One(key(*name)),
            names => Resources::Several(names.iter().map(|name| key(*name)).collect()),
        }
    }

    /// Lanes, with what may start written down.
    #[derive(Default)]
    struct Road {
        lanes: Lanes<u32>,
        started: Vec<u32>,
    }

    impl Road {
        fn enter(&mut self, names: &str, command: u32) {
            self.started.extend(self.lanes.enter(keys(names), false, command));
        }

        fn enter_and_close(&mut self, names: &str, command: u32) {
            self.started.extend(self.lanes.enter(keys(names), true, command));
        }

        fn leave(&mut self, names: &str) {
            self.lanes.leave(&keys(names), false, |command| self.started.push(command));
        }

        fn leave_and_open(&mut self, names: &str) {
            self.lanes.leave(&keys(names), true, |command| self.started.push(command));
        }

        fn is_empty(&self) -> bool {
            self.lanes.busy.is_empty() && self.lanes.waiting.is_empty() && self.lanes.held_up.is_empty()
        }
    }

    #[test]
    fn commands_on_one_key_start_one_after_the_other() {
        let mut road = Road::default();
        (1..=3).for_each(|command| road.enter("a", command));
        assert_eq!(road.started, [1]);
        road.leave("a");
        road.enter("a", 4);
        assert_eq!(road.started, [1, 2]);
        (0..3).for_each(|_| road.leave("a"));
        assert_eq!(road.started, [1, 2, 3, 4]);
        assert!(road.is_empty());
    }

    #[test]
    fn a_busy_key_holds_no_other_up() {
        let mut road = Road::default();
        road.enter("a", 1);
        road.enter("a", 2);
        road.enter("b", 3);
        road.enter("", 4);
        assert_eq!(road.started, [1, 3, 4]);
    }

    #[test]
    fn a_command_on_several_keys_starts_when_it_is_first_on_each() {
        let mut road = Road::default();
        road.enter("a", 1);
        road.enter("b", 2);
        road.enter("abc", 3);
        road.enter("c", 4);
        road.enter("d", 5);
        assert_eq!(road.started, [1, 2, 5]);
        road.leave("b");
        assert_eq!(road.started, [1, 2, 5]);
        road.leave("a");
        assert_eq!(road.started, [1, 2, 5, 3]);
        road.leave("abc");
        assert_eq!(road.started, [1, 2, 5, 3, 4]);
        road.leave("c");
        road.leave("d");
        assert!(road.is_empty());
    }

    #[test]
    fn nothing_passes_one_that_stands_in_line() {
        let mut road = Road::default();
        road.enter("a", 1);
        road.enter_and_close("b", 2);
        road.enter("c", 3);
        road.enter_and_close("a", 4);
        road.enter("", 5);
        assert_eq!(road.started, [1, 2]);
        // Those before it go on.
        road.leave("a");
        assert_eq!(road.started, [1, 2]);
        road.leave_and_open("b");
        assert_eq!(road.started, [1, 2, 3, 4]);
        road.leave("c");
        road.leave_and_open("a");
        assert_eq!(road.started, [1, 2, 3, 4, 5]);
        road.leave("");
        assert!(road.is_empty());
    }

    #[test]
    fn one_that_has_to_wait_for_its_key_closes_the_road_all_the_same() {
        let mut road = Road::default();
        road.enter("a", 1);
        road.enter_and_close("a", 2);
        road.enter("b", 3);
        assert_eq!(road.started, [1]);
        road.leave("a");
        assert_eq!(road.started, [1, 2]);
        road.leave_and_open("a");
        assert_eq!(road.started, [1, 2, 3]);
    }

    proptest! {
        /// Whatever comes and whichever of those under way ends next: all start, each once, those on one key in order.
        #[test]
        fn everything_starts_once_and_in_order_on_each_key(
            commands in prop::collection::vec(("[a-e]{0,3}", prop::bool::weighted(0.2)), 1..30),
            choices in prop::collection::vec(any::<prop::sample::Index>(), 60),
        ) {
            let commands: Vec<(String, bool)> = commands.into_iter().map(|(names, closes)| {
                let names: std::collections::BTreeSet<char> = names.chars().collect();
                (names.into_iter().collect(), closes)
            }).collect();
            let mut road = Road::default();
            let mut under_way: Vec<usize> = Vec::new();
            let mut ended = 0;
            for choice in choices {
                let next = ended + under_way.len() + road.lanes.waiting.len() + road.lanes.held_up.len();
                let before = road.started.len();
                if next < commands.len() && (under_way.is_empty() || choice.index(2) == 0) {
                    let (names, closes) = &commands[next];
                    let command = u32::try_from(next).expect("small");
                    road.started.extend(road.lanes.enter(keys(names), *closes, command));
                } else if !under_way.is_empty() {
                    let (names, closes) = &commands[under_way.swap_remove(choice.index(under_way.len()))];
                    let started = &mut road.started;
                    road.lanes.leave(&keys(names), *closes, |command| started.push(command));
                    ended += 1;
                }
                under_way.extend(road.started[before..].iter().map(|command| *command as usize));
            }
            let mut sorted = road.started.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(sorted.len(), road.started.len());
            for key in 'a'..='e' {
                let on_key: Vec<u32> =
                    road.started.iter().copied().filter(|command| commands[*command as usize].0.contains(key)).collect();
                prop_assert!(on_key.is_sorted(), "{on_key:?}");
            }
            prop_assert!(!under_way.is_empty() || road.is_empty());
        }
    }
}
