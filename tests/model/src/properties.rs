//! What must always hold, and what must happen somewhere, or nothing was searched.

use redlock_proxy::lock::Quorum;
use stateright::Property;

use crate::Protocol;
use crate::state::{Attempt, Extension, Primary, Release, Slot, Stage, State};

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
/// A grant's number is drawn anew.
pub const SECOND_ROUND: &str = "a number is drawn anew";
/// A second attempt holds the lock, its number drawn anew or not, after another one did.
pub const PASSED_ON: &str = "a lock passes on";
/// A lock passes on, and a primary that had forgotten it is one of those that say so.
pub const PASSED_ON_BEHIND_A_LOSS: &str = "a lock passes on behind a loss of memory";
/// A withdrawal is behind a `SET` that has not been run.
pub const LATE_SET: &str = "a SET is late";

impl Protocol {
    pub(crate) fn promises(&self) -> Vec<Property<Self>> {
        let bounds = &self.world.bounds;
        let mut promises = vec![
            Property::<Self>::always(ONE_HOLDER, |model, state| model.holders(state).count() <= 1),
            Property::<Self>::always(LARGER_NUMBERS, |_, state| !state.broken.order),
            Property::<Self>::always(RELEASED_FOR_GOOD, |model, state| {
                !state.broken.release && (0..state.attempts.len()).all(|attempt| model.is_gone(state, attempt))
            }),
            Property::<Self>::always(NOTHING_LEFT, |model, state| {
                model.primaries(state).iter().all(|one| is_clean(one, state))
            }),
            Property::<Self>::sometimes(GRANTED, |model, state| model.holders(state).next().is_some()),
            Property::<Self>::sometimes(LATE_SET, |model, state| {
                model
                    .primaries(state)
                    .iter()
                    .any(|one| one.links.iter().any(|link| link.set == Slot::GivenUp && link.withdraw))
            }),
        ];
        if bounds.extension.is_some() {
            promises.push(Property::<Self>::sometimes(EXTENDED, |_, state| {
                state.attempts.iter().any(|attempt| attempt.extension == Extension::Confirmed)
            }));
        }
        if bounds.releases {
            promises.push(Property::<Self>::sometimes(RELEASED, |_, state| {
                state.attempts.iter().any(|attempt| attempt.release == Release::Released)
            }));
        }
        if bounds.clocks.is_some() {
            promises.push(Property::<Self>::sometimes(SECOND_ROUND, |_, state| {
                state.attempts.iter().any(|attempt| matches!(attempt.stage, Stage::Numbering(_)))
            }));
        }
        if bounds.attempts > 1 && (bounds.time || bounds.releases) {
            promises.push(Property::<Self>::sometimes(PASSED_ON, |model, state| {
                model.holder_after_another(state).is_some()
            }));
        }
        if bounds.losses > 0 && bounds.attempts > 1 {
            promises.push(Property::<Self>::sometimes(PASSED_ON_BEHIND_A_LOSS, |model, state| {
                model.holder_after_another(state).is_some_and(|holder| {
                    let forgot = |one: &&Primary| one.forgot && one.quarantine == 0 && one.bears(holder);
                    model.bearers(state, holder) == model.quorum().needed()
                        && model.primaries(state).iter().any(|one| forgot(&one))
                })
            }));
        }
        promises
    }

    fn quorum(&self) -> Quorum {
        self.world.quorum()
    }

    fn primaries<'a>(&self, state: &'a State) -> &'a [Primary] {
        &state.primaries[..self.world.bounds.primaries]
    }

    /// Those who are certain to hold the lock.
    fn holders(&self, state: &State) -> impl Iterator<Item = usize> {
        let is_certain = |attempt: &Attempt| attempt.certain > 0;
        (0..self.world.bounds.attempts).filter(move |attempt| is_certain(&state.attempts[*attempt]))
    }

    fn holder_after_another(&self, state: &State) -> Option<usize> {
        let another = |holder: &usize| {
            let mut others = (0..self.world.bounds.attempts).filter(|other| other != holder);
            others.any(|other| state.attempts[other].stage == Stage::Granted)
        };
        self.holders(state).find(another)
    }

    fn bearers(&self, state: &State, attempt: usize) -> usize {
        self.primaries(state).iter().filter(|one| one.bears(attempt)).count()
    }

    fn is_gone(&self, state: &State, attempt: usize) -> bool {
        state.attempts[attempt].release != Release::Released || self.bearers(state, attempt) < self.quorum().needed()
    }
}

fn is_clean(primary: &Primary, state: &State) -> bool {
    let Some(record) = primary.record else { return true };
    let holder = usize::from(record.attempt);
    let link = &primary.links[holder];
    state.attempts[holder].stage != Stage::Lost || link.withdraw || link.set.is_to_run()
}
