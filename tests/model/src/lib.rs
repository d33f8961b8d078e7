//! A model of the protocol, of which every history is searched.
//!
//! One lock, up to four primaries, up to three attempts at it. What an attempt, an extension or a release decides is not
//! modelled: the model asks the state machines of the lock core (`redlock_proxy::lock`), with the votes in the order in
//! which they are heard. What is modelled is everything around them: primaries ([`State`]), and what may happen next
//! ([`Action`]).
//!
//! # What may happen
//!
//! - Any request is run at any time, or never, and its answer is heard at any time, or never. What was never sent may
//!   turn out to be so.
//! - Every attempt has a token, and links, of its own: it stands for a client, or for one more attempt of the same client
//!   through any proxy. On its link to a primary the `SET`, a signing and the withdrawal keep their order, whatever
//!   becomes of the connection: that is what CLIENT KILL is for. Later raises, extensions and releases may come in any
//!   order, and through another proxy.
//! - Time passes in ticks, and only as far as something remembers it: how long a record certainly lives, how long a holder
//!   is certain, how long a round has taken, how long a primary does not vote. All of these end, so that no history is too
//!   long. A lock lives for three ticks. Its record may end after two, by a primary's clock that is as fast as the drift
//!   allows, or at any time later.
//! - A primary loses its memory, that of its counters included. It may be a restart or a FLUSHALL: requests on their way
//!   may still be run, and what was answered before counts. From then on it is sent everything and votes for nothing until
//!   `max_ttl` and the drift have passed; the model counts from the loss itself, which no proxy can see sooner.
//! - A grant that wants a number has it by the protocol's first or second round. The raise behind a `SET` may fail.
//! - An owner's second attempt, through another proxy, signs the records of the first anew, and a client may have left
//!   when it is to be told of its grant.
//!
//! # What is left out
//!
//! The bytes, connections, markers and clocks by which a proxy finds out what the model knows (`primary`): that a link
//! must be succeeded, that a primary is another run, that half a batch was run. Lines and their notices, sessions and
//! putting back, locks of several keys, RINSPECT. A raise with a look for an owner, and numbers on primaries that forget their counters
//! (there the clocks must be right). The simulation (`tests/suite/simulation`) runs the coordinator itself against most of
//! it, and the real servers all of it, but neither runs every history.
//!
//! # How far it is searched
//!
//! Primaries are alike, and so are attempts: worlds that differ in nothing else are one. What decides nothing is no step
//! (see `hearing`).
//!
//! | `tests/search/exhaustive.rs` | thousands of states | of steps |
//! |---|---|---|
//! | `two_attempts_with_releases_and_expiry` | 122 | 922 |
//! | `two_attempts_at_a_lock_of_which_a_primary_loses_its_memory` | 305 | 2,400 |
//! | `two_attempts_and_their_extensions` | 768 | 5,649 |
//! | `two_attempts_and_extensions_by_less_than_what_is_left` | 804 | 5,908 |
//! | `an_extension_and_a_release_of_the_same_grant_and_a_loss` | 185 | 1,130 |
//! | `three_attempts_with_releases` | 394 | 3,068 |
//! | `an_owner_through_two_proxies_and_another_client` | 167 | 1,237 |
//! | `an_owner_through_two_proxies_and_expiry` | 411 | 2,451 |
//! | `an_owner_through_two_proxies_and_a_loss` | 22 | 106 |
//! | `two_attempts_at_four_primaries` | 100 | 1,000 |
//! | `numbers_of_three_primaries` | 138 | 637 |
//! | `numbers_of_four_primaries` | 539 | 3,091 |
//! | `numbers_and_expiry` | 198 | 1,168 |
//!
//! Together 4.2 million states and 29 million steps. With the canaries, which break one rule each and end with the shortest
//! history that breaks a promise, it takes 40 seconds of one core:
//!
//! ```text
//! cargo test -p model -- --nocapture
//! ```
//!
//! Further, by hand: 2.0 million states, 4.1 million, and one more canary, found after one or two.
//!
//! ```text
//! cargo run -p model -- --time --losses 2
//! cargo run -p model -- --time --losses 1 --owner
//! cargo run -p model -- --rules refusers-accept --attempts 3 --releases --clocks 2 1 1
//! ```

mod action;
mod hearing;
mod properties;
mod rounds;
mod show;
mod state;
mod step;
mod world;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

pub use self::action::Action;
pub use self::properties::*;
pub use self::state::State;
pub use self::world::{ATTEMPTS, Bounds, LARGEST_CLOCK, PRIMARIES, Rules, TTL, World};

use self::hearing::Decided;

/// A world, and all that the core decides in it.
pub struct Protocol {
    world: World,
    decided: Decided,
    /// A broken promise has been found.
    is_broken: AtomicBool,
}

impl Protocol {
    /// The protocol in this world.
    pub fn new(world: World) -> Self {
        let Bounds { primaries, attempts, owner, losses, clocks, .. } = world.bounds;
        assert!((1..=PRIMARIES).contains(&primaries), "1 to {PRIMARIES} primaries, not {primaries}");
        assert!((1..=ATTEMPTS).contains(&attempts), "1 to {ATTEMPTS} attempts, not {attempts}");
        assert!(!owner || clocks.is_none(), "a take-over has no number in this model");
        assert!(losses == 0 || clocks.is_none(), "numbers rest on counters that are not forgotten");
        assert!(clocks.iter().flatten().all(|clock| (1..=LARGEST_CLOCK).contains(clock)), "a clock out of range");
        Self { world, decided: Decided::default(), is_broken: AtomicBool::new(false) }
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
        Self::promises().into_iter().chain(self.happenings()).collect()
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
        // A search that was cut short may have seen less.
        for happening in self.missing.iter().filter(|_| self.broken.is_empty()) {
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
