//! What must always hold, and what must happen somewhere, or nothing was searched.

use std::sync::atomic::Ordering;

use stateright::Property;

use crate::Protocol;
use crate::state::{Attempt, Link, Primary, Slot, Stage, State};
use crate::world::{Bounds, LARGEST_CLOCK};

/// No two clients are certain to hold the lock.
pub const ONE_HOLDER: &str = "at most one certain holder";
/// A later grant has the larger number.
pub const LARGER_NUMBERS: &str = "a later grant has the larger number";
/// After a release that was answered with 1, no quorum has the record, and no extension is confirmed.
pub const RELEASED_FOR_GOOD: &str = "what RUNLOCK answered 1 for is held by nobody of that token";
/// A record of a lost attempt is there only as long as its withdrawal, or the `SET` before it, is under way.
pub const NOTHING_LEFT: &str = "what was lost is withdrawn wherever it may be";

/// Somebody holds the lock.
pub const GRANTED: &str = "a lock is granted";
/// An extension is confirmed.
pub const EXTENDED: &str = "an extension is confirmed";
/// A release is answered with 1.
pub const RELEASED: &str = "a release is answered with 1";
/// A lock is granted with a number of the second round.
pub const DRAWN_ANEW: &str = "a lock is granted with a number that was drawn anew";
/// An owner's second attempt takes over what the first one holds.
pub const TAKEN_OVER: &str = "an owner takes its lock over";
/// The same, and one of the primaries has lost its memory.
pub const TAKEN_OVER_BEHIND_A_LOSS: &str = "an owner takes its lock over behind a loss of memory";
/// An attempt holds the lock after another one did.
pub const PASSED_ON: &str = "a lock passes on";
/// A lock passes on, and a primary that had forgotten it is one of those that say so.
pub const PASSED_ON_BEHIND_A_LOSS: &str = "a lock passes on behind a loss of memory";
/// A withdrawal is behind a `SET` that has not been run.
pub const LATE_SET: &str = "a SET is late";

type Happens = fn(&Protocol, &State) -> bool;

impl Protocol {
    /// What must always hold.
    pub(crate) fn promises() -> [Property<Self>; 4] {
        [
            Property::always(ONE_HOLDER, |model: &Self, state| model.keeps(model.has_one_owner(state))),
            Property::always(LARGER_NUMBERS, |model: &Self, state: &State| model.keeps(!state.broken.order)),
            Property::always(RELEASED_FOR_GOOD, |model: &Self, state| model.keeps(model.is_released_for_good(state))),
            Property::always(NOTHING_LEFT, |model: &Self, state| model.keeps(model.leaves_nothing(state))),
        ]
    }

    /// What must happen somewhere in a world of these bounds.
    pub(crate) fn happenings(&self) -> Vec<Property<Self>> {
        let Bounds { attempts, time, releases, extension, owner, losses, clocks, .. } = self.world.bounds;
        let mut happenings: Vec<(&'static str, Happens)> = vec![
            (GRANTED, |model, state| model.holders(state).next().is_some()),
            (LATE_SET, |model, state| model.links(state).any(|link| link.set == Slot::GivenUp && link.withdraw)),
        ];
        if attempts > 1 && (time || releases) {
            happenings.push((PASSED_ON, |model, state| model.holder_after_another(state).is_some()));
        }
        if releases {
            happenings.push((RELEASED, |_, state| state.attempts.iter().any(Attempt::is_released)));
        }
        if extension.is_some() {
            happenings.push((EXTENDED, |_, state| state.attempts.iter().any(Attempt::is_extended)));
        }
        if clocks.is_some() {
            happenings.push((DRAWN_ANEW, |_, state| state.latest > Some(LARGEST_CLOCK)));
        }
        if owner {
            happenings.push((TAKEN_OVER, |model, state| model.has_taken_over(state)));
        }
        if owner && losses > 0 {
            happenings.push((TAKEN_OVER_BEHIND_A_LOSS, |model, state| {
                model.has_taken_over(state) && model.primaries(state).iter().any(|primary| primary.forgot)
            }));
        }
        if losses > 0 && attempts > 1 && time {
            happenings.push((PASSED_ON_BEHIND_A_LOSS, Self::has_passed_on_behind_a_loss));
        }
        happenings.into_iter().map(|(name, happens)| Property::sometimes(name, happens)).collect()
    }

    /// Notes a broken promise, the first one: breadth first, it has the shortest history. Later ones hide behind it.
    fn keeps(&self, promise: bool) -> bool {
        promise || self.is_broken.swap(true, Ordering::Relaxed)
    }

    fn has_one_owner(&self, state: &State) -> bool {
        let mut holders = self.holders(state);
        holders.next().is_none_or(|first| holders.all(|other| self.world.is_kin(first, other)))
    }

    fn is_released_for_good(&self, state: &State) -> bool {
        let mut attempts = state.attempts.iter().enumerate();
        let is_gone = |attempt| self.bearers(state, attempt) < self.world.quorum().needed();
        !state.broken.release && attempts.all(|(number, its)| !its.is_released() || is_gone(number))
    }

    /// But where a take-over signed: that is not withdrawn.
    fn leaves_nothing(&self, state: &State) -> bool {
        self.primaries(state).iter().all(|primary| {
            let Some(record) = primary.record else { return true };
            let holder = usize::from(record.attempt);
            let link = &primary.links[holder];
            let is_under_way = link.withdraw || link.set.is_to_run();
            state.attempts[holder].stage != Stage::Lost || is_under_way || link.found.is_some()
        })
    }

    fn has_taken_over(&self, state: &State) -> bool {
        self.holders(state).any(|holder| state.attempts[holder].stage == Stage::Granted { took_over: true })
    }

    /// Without the vote of a primary that had forgotten, and was in quarantine, there would be no quorum.
    fn has_passed_on_behind_a_loss(&self, state: &State) -> bool {
        self.holder_after_another(state).is_some_and(|holder| {
            let forgot = |primary: &Primary| primary.forgot && primary.quarantine == 0 && primary.bears(holder);
            let is_bare = self.bearers(state, holder) == self.world.quorum().needed();
            is_bare && self.primaries(state).iter().any(forgot)
        })
    }

    fn primaries<'a>(&self, state: &'a State) -> &'a [Primary] {
        &state.primaries[..self.world.bounds.primaries]
    }

    fn links<'a>(&self, state: &'a State) -> impl Iterator<Item = &'a Link> {
        self.primaries(state).iter().flat_map(|primary| &primary.links)
    }

    /// Those who are certain to hold the lock.
    fn holders(&self, state: &State) -> impl Iterator<Item = usize> {
        (0..self.world.bounds.attempts).filter(|attempt| state.attempts[*attempt].certain > 0)
    }

    fn holder_after_another(&self, state: &State) -> Option<usize> {
        let has_held = |attempt: &usize| state.attempts[*attempt].is_granted();
        let another =
            |holder: &usize| (0..self.world.bounds.attempts).any(|other| other != *holder && has_held(&other));
        self.holders(state).find(another)
    }

    fn bearers(&self, state: &State, attempt: usize) -> usize {
        self.primaries(state).iter().filter(|primary| primary.bears(attempt)).count()
    }
}
