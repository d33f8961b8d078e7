//! A model of the protocol.

mod action;
mod hearing;
mod properties;
mod rounds;
mod show;
mod state;
mod step;
mod world;

use std::fmt;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

pub use self::action::Action;
pub use self::properties::*;
pub use self::state::State;
pub use self::world::{ATTEMPTS, Bounds, PRIMARIES, Rules, TTL, World};

use self::hearing::Decided;

/// A world, and all that the core decides in it.
pub struct Protocol {
    world: World,
    decided: Decided,
}

impl Protocol {
    /// The protocol in this world.
    pub fn new(world: World) -> Self {
        Self { world, decided: Decided::default() }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let Bounds { losses, lost_raises, .. } = self.world.bounds;
        vec![State { losses, lost_raises, ..State::default() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        action::possible(&self.world, &self.decided, state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let next = step::next(&self.world, state, &action);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.promises()
    }
}

/// What a search came to.
#[derive(Debug)]
pub struct Searched {
    /// How many different states there are.
    pub states: usize,
    /// How many steps lead from one to another.
    pub steps: usize,
    /// The longest of the shortest histories.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// A history for each promise that is broken.
    pub broken: Vec<(&'static str, String)>,
    /// What should happen somewhere, and does not.
    pub missing: Vec<&'static str>,
}

impl fmt::Display for Searched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, steps, depth, took, .. } = self;
        write!(f, "{states} states, {steps} steps, {depth} deep, {:.1} s", took.as_secs_f64())?;
        for (promise, history) in &self.broken {
            write!(f, "\n\nbroken: {promise}\n{history}")?;
        }
        for happening in &self.missing {
            write!(f, "\n\nnever: {happening}")?;
        }
        Ok(())
    }
}

/// Searches a world, with so many threads: all of it, or up to the first broken promise.
pub fn search(world: World, threads: usize) -> Searched {
    let primaries = world.bounds.primaries;
    let began = Instant::now();
    let checker =
        Protocol::new(world).checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let (mut broken, mut missing) = (Vec::new(), Vec::new());
    for property in checker.model().properties() {
        match (property.expectation, checker.discovery(property.name)) {
            (Expectation::Sometimes, None) => missing.push(property.name),
            (Expectation::Always, Some(path)) => broken.push((property.name, show::history(path, primaries))),
            _ => {}
        }
    }
    Searched {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        took: began.elapsed(),
        broken,
        missing,
    }
}
