//! Every history of one lock of three primaries: a grant, two renewals, and a release through another proxy.
//!
//! One token, no time: whatever has left may be run at any later moment, or never; an answer may be lost; a request may
//! turn out never to have left. The promise: once the release has answered 1, no quorum has the record ever again. What
//! is not in the model is easier: an answer that comes late tells the proxy less, and what is not known is not put back.
//!
//! Breadth first, so that the history which breaks the promise is the shortest there is. Worlds that differ only in which
//! primary is which are one, so that from step to step of a history two primaries may have changed places.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

#[path = "lease_world_tests.rs"]
mod world;

use self::world::{Primary, Quarantine, Request, Step, World};

/// A hash that costs little where nothing is optimised; nobody chooses worlds so that they collide.
#[derive(Debug, Default)]
struct Cheap(u64);

impl Hasher for Cheap {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_isize(&mut self, discriminant: isize) {
        self.write_u64(discriminant.cast_unsigned() as u64);
    }

    fn write_u64(&mut self, word: u64) {
        // An odd constant whose bits are mixed.
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What counts as a primary that never ran the `SET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knowledge {
    /// The rule.
    Certain,
    /// A canary: one whose `SET` was silent, too.
    Silent,
    /// A canary: every one that lacks the record.
    Nothing,
}

/// What the search has seen: worlds, those in which the release had answered 1, those in which a record was put back.
#[derive(Debug, Default)]
struct Seen {
    worlds: usize,
    released: usize,
    put_back: usize,
}

/// Every world there is; or the shortest way to one that breaks the promise.
fn search(knowledge: Knowledge, losses: u8, quarantine: Quarantine) -> Result<Seen, Vec<Step>> {
    let first = World::new(losses, quarantine);
    let mut known = HashSet::<World, BuildHasherDefault<Cheap>>::from_iter([first.clone()]);
    // How each world came about: from which one, by what.
    let mut origins = vec![(0, Step::Granted)];
    let mut to_visit = VecDeque::from([(0, first)]);
    let mut seen = Seen::default();
    while let Some((place, world)) = to_visit.pop_front() {
        seen.worlds += 1;
        seen.released += usize::from(world.is_released());
        let puts_back =
            |primary: &Primary| primary.sent.iter().flatten().any(|(request, _)| *request == Request::PutBack);
        seen.put_back += usize::from(world.primaries.iter().any(puts_back));
        if world.is_held_after_release() {
            return Err(way(place, &origins));
        }
        for (step, next) in world.successors(knowledge) {
            let next = next.sorted();
            if known.insert(next.clone()) {
                origins.push((place, step));
                to_visit.push_back((origins.len() - 1, next));
            }
        }
    }
    Ok(seen)
}

fn way(mut place: usize, origins: &[(usize, Step)]) -> Vec<Step> {
    let mut steps = Vec::new();
    while place != 0 {
        steps.push(origins[place].1);
        place = origins[place].0;
    }
    steps.reverse();
    steps
}

/// The promise is kept while so many memories are lost.
#[track_caller]
fn is_kept_with(losses: u8) {
    let seen =
        search(Knowledge::Certain, losses, Quarantine::Whole).unwrap_or_else(|way| panic!("held again: {way:#?}"));
    println!("{seen:?}");
    assert!(seen.released > 5_000 && seen.put_back > 5_000, "too little was tried: {seen:?}");
}

#[test]
fn a_lock_whose_release_answered_one_is_never_held_again() {
    is_kept_with(0);
}

#[test]
fn putting_back_where_a_set_was_silent_holds_a_released_lock_again() {
    let way = search(Knowledge::Silent, 0, Quarantine::Whole).expect_err("this is the canary");
    println!("{} steps: {way:#?}", way.len());
    let is_silent = |step: &Step| match step {
        Step::Silent(_, request) | Step::Runs(_, request, _, false) => *request == Request::Set,
        _ => false,
    };
    assert!(way.iter().any(is_silent), "{way:#?}");
}

#[test]
fn putting_back_wherever_the_record_is_absent_holds_a_released_lock_again() {
    let way = search(Knowledge::Nothing, 0, Quarantine::Whole).expect_err("this is the canary");
    println!("{} steps: {way:#?}", way.len());
}

/// Where a memory was lost the record is put back, whoever had set it. A release that had counted on that primary before
/// is over, and what the lease counted from then has run out, when the primary votes again.
#[test]
fn nor_is_it_where_a_memory_was_lost_and_the_record_put_back_in_its_quarantine() {
    is_kept_with(1);
}

#[test]
fn a_quarantine_cut_short_lets_a_released_lock_be_held_again() {
    let way = search(Knowledge::Certain, 1, Quarantine::CutShort).expect_err("this is the canary");
    println!("{} steps: {way:#?}", way.len());
    assert!(way.iter().any(|step| matches!(step, Step::Returns(_))), "{way:#?}");
}
