//! What may happen next in a world.

use crate::hearing::{Decided, Decision};
use crate::state::{Extension, Release, Stage, State};
use crate::world::{Rules, World};

/// Something that happens. Primaries and attempts are named by their places.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// An attempt asks all primaries.
    Begin(usize),
    /// A primary runs a request of an attempt.
    Run(usize, usize, Request),
    /// An attempt hears of what was run, or waits no longer, and that decides.
    Hear(usize, Decision),
    /// A grant's extension is asked of all primaries.
    Extend(usize),
    /// A grant's release is asked of all primaries.
    Release(usize),
    /// A tick passes.
    Tick,
    /// A record ends whose ttl may be over.
    Expire(usize),
    /// A primary loses its memory.
    Forget(usize),
}

/// What an attempt asks of a primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Take the lock, and raise the counter where numbers are wanted.
    Set,
    /// Take the lock; the raise behind it fails.
    SetAlone,
    /// Sign the record that was found, if it still is there.
    Sign,
    /// Raise a number that was drawn anew.
    Raise,
    /// Delete what may have been set.
    Withdraw,
    /// Let the record live longer.
    Extend,
    /// Delete the record.
    Release,
}

/// Everything that may happen next.
pub(crate) fn possible(world: &World, decided: &Decided, state: &State, actions: &mut Vec<Action>) {
    let bounds = &world.bounds;
    if bounds.time {
        actions.push(Action::Tick);
    }
    for (place, primary) in state.primaries[..bounds.primaries].iter().enumerate() {
        if bounds.time && primary.record.is_some_and(|record| record.left == 0) {
            actions.push(Action::Expire(place));
        }
        if state.losses > 0 {
            actions.push(Action::Forget(place));
        }
        for attempt in 0..bounds.attempts {
            requests(world, state, place, attempt, |request| actions.push(Action::Run(place, attempt, request)));
        }
    }
    for attempt in 0..bounds.attempts {
        decided.each(world, state, attempt, |decision| actions.push(Action::Hear(attempt, decision.clone())));
        let its = &state.attempts[attempt];
        // Of attempts that are alike, the next to begin is the first that has not.
        let is_alike = |other: usize| {
            let clocks = bounds.clocks.is_none_or(|clocks| clocks[other] == clocks[attempt]);
            clocks && (world.is_kin(other, attempt) || !bounds.owner)
        };
        let is_next = attempt == 0 || state.attempts[attempt - 1].stage != Stage::Unbegun || !is_alike(attempt - 1);
        if its.stage == Stage::Unbegun && is_next {
            actions.push(Action::Begin(attempt));
        }
        if its.is_granted() && its.extension == Extension::Unused && bounds.extension.is_some() {
            actions.push(Action::Extend(attempt));
        }
        if its.is_granted() && its.release == Release::Unused && bounds.releases {
            actions.push(Action::Release(attempt));
        }
    }
}

/// The requests of an attempt that a primary may run next.
fn requests(world: &World, state: &State, place: usize, attempt: usize, mut push: impl FnMut(Request)) {
    let link = &state.primaries[place].links[attempt];
    if link.set.is_to_run() {
        push(Request::Set);
        if state.lost_raises > 0 {
            push(Request::SetAlone);
        }
    }
    if link.raise.is_to_run() {
        push(Request::Raise);
    }
    if link.sign.is_to_run() {
        push(Request::Sign);
    }
    if link.withdraw && (!link.set.is_to_run() && !link.sign.is_to_run() || world.rules == Rules::NoKill) {
        push(Request::Withdraw);
    }
    if link.extend.is_to_run() {
        push(Request::Extend);
    }
    if link.release.is_to_run() {
        push(Request::Release);
    }
}
