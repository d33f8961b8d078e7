//! What may be heard of a round under way, and what that decides.
//!
//! An answer that decides nothing changes nothing that others could see. So the moment in which it is heard is no step
//! of the model: a step is everything that is heard up to a decision, in whatever order. The core is polled behind each
//! vote, as the coordinator does it, and the vote that decides is the last. That loses no history: whether votes decide
//! nothing depends on the time only where a quorum has answered too late, and those may all have been heard just now.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use redlock_proxy::lock::{Extend, NodeId, Release};

use crate::rounds::{Acquiring, Verdict};
use crate::state::{self, Extension, Link, Stage, State};
use crate::world::{PRIMARIES, World};

/// What has been heard of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing yet.
    Nothing,
    /// It was waited for long enough; or its answer does not count.
    Silence,
    /// It has never left.
    Unsent,
    /// Set, raised, extended, deleted.
    Yes,
    /// There was no record of this attempt.
    No,
    /// The record of that attempt was there.
    Held(u8),
}

/// What has been heard of each primary.
pub(crate) type AllHeard = [Heard; PRIMARIES];

/// What was heard, and what it decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub(crate) heard: AllHeard,
    pub(crate) verdict: Verdict,
}

/// One of the core's state machines.
pub(crate) trait Round: Clone {
    /// What may be heard next of a primary, at most two things.
    fn choices(&self, link: &Link) -> Vec<Heard>;
    fn tell(&mut self, world: &World, node: NodeId, link: &Link, heard: Heard);
    fn decide(&mut self, world: &World, elapsed: u8, heard: &[Heard]) -> Option<Verdict>;
    /// The verdict if the client has left, where that makes another one.
    fn when_left(&self, _world: &World, _verdict: &Verdict) -> Option<Verdict> {
        None
    }
}

/// What the core has decided. The same rounds are under way in many states.
#[derive(Default)]
pub(crate) struct Decided(RwLock<HashMap<Question, Arc<[Decision]>>>);

/// All that a round's decisions depend on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    kind: Kind,
    elapsed: u8,
    links: [Link; PRIMARIES],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Asking(usize),
    Further(Arc<Acquiring>),
    Extending,
    Releasing,
}

impl Decided {
    /// The decisions that all rounds of an attempt may come to next.
    pub(crate) fn each(&self, world: &World, state: &State, attempt: usize, mut push: impl FnMut(&Decision)) {
        let its = &state.attempts[attempt];
        let mut ask = |kind, elapsed| self.ask(world, state, attempt, kind, elapsed).iter().for_each(&mut push);
        match &its.stage {
            Stage::Asking => ask(Kind::Asking(attempt), its.elapsed),
            Stage::Further(cores) => ask(Kind::Further(Arc::clone(cores)), its.elapsed),
            _ => {}
        }
        if let Extension::UnderWay { elapsed, .. } = its.extension {
            ask(Kind::Extending, elapsed);
        }
        if its.release == state::Release::UnderWay {
            ask(Kind::Releasing, 0);
        }
    }

    fn ask(&self, world: &World, state: &State, attempt: usize, kind: Kind, elapsed: u8) -> Arc<[Decision]> {
        let links = state.primaries.each_ref().map(|primary| {
            let Link { set, found, sign, number, raise, extend, release, .. } = primary.links[attempt];
            match kind {
                Kind::Asking(_) | Kind::Further(_) => Link { set, found, sign, number, raise, ..Link::default() },
                Kind::Extending => Link { extend, ..Link::default() },
                Kind::Releasing => Link { release, ..Link::default() },
            }
        });
        let question = Question { kind, elapsed, links };
        if let Some(known) = self.0.read().expect("no panic").get(&question) {
            return Arc::clone(known);
        }
        let decisions: Arc<[Decision]> = match &question.kind {
            Kind::Asking(attempt) => decisions(world, &question, &Acquiring::new(world, *attempt)),
            Kind::Further(cores) => decisions(world, &question, cores.as_ref()),
            Kind::Extending => decisions(world, &question, &Extend::new(world.quorum())),
            Kind::Releasing => decisions(world, &question, &Release::new(world.quorum())),
        };
        self.0.write().expect("no panic").insert(question, Arc::clone(&decisions));
        decisions
    }
}

fn decisions<R: Round>(world: &World, question: &Question, round: &R) -> Arc<[Decision]> {
    let mut search = Search { world, question, seen: Vec::new(), found: Vec::new() };
    search.hear(round, [Heard::Nothing; PRIMARIES]);
    search.found.into()
}

struct Search<'a> {
    world: &'a World,
    question: &'a Question,
    /// The order in which it was heard makes no difference as long as nothing is decided.
    seen: Vec<AllHeard>,
    /// The different decisions, each with an example of what was heard.
    found: Vec<Decision>,
}

impl Search<'_> {
    fn hear<R: Round>(&mut self, round: &R, heard: AllHeard) {
        for (node, link) in world_nodes(self.world).zip(&self.question.links) {
            if heard[node.index()] != Heard::Nothing {
                continue;
            }
            for choice in round.choices(link) {
                let mut heard = heard;
                heard[node.index()] = choice;
                if self.seen.contains(&heard) {
                    continue;
                }
                self.seen.push(heard);
                let mut round = round.clone();
                round.tell(self.world, node, link, choice);
                match round.decide(self.world, self.question.elapsed, &heard) {
                    None => self.hear(&round, heard),
                    Some(verdict) => {
                        self.find(round.when_left(self.world, &verdict), heard);
                        self.find(Some(verdict), heard);
                    }
                }
            }
        }
    }

    fn find(&mut self, verdict: Option<Verdict>, heard: AllHeard) {
        let new = verdict.filter(|verdict| self.found.iter().all(|known| known.verdict != *verdict));
        self.found.extend(new.map(|verdict| Decision { heard, verdict }));
    }
}

fn world_nodes(world: &World) -> impl Iterator<Item = NodeId> {
    (0..world.bounds.primaries).filter_map(NodeId::new)
}
