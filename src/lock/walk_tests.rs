//! What the tests of releases and extensions have in common: their kinds of votes, told in every order.
//!
//! A path of votes matters only by the state it leads to, so the walk keeps a set of the states it has been in and goes
//! on from each once. State means the machine *and* the test's notes about it.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

use proptest::prelude::*;

use super::{NodeId, Quorum};

/// A machine under test with the notes about it.
pub(super) trait Walked: Clone + Eq + Hash {
    type Vote: Copy + Debug + 'static;
    type Verdict: Copy + Eq + Hash + Debug;

    /// All that a primary can say.
    const VOTES: &'static [Self::Vote];

    fn new(needed: usize, total: usize) -> Self;

    /// Tells a vote, perhaps a second one of this primary, and checks what comes of it. What `choice` chooses between
    /// is the machine's matter: whether it is in time, or looked at.
    fn tell(&mut self, index: usize, vote: Self::Vote, choice: bool);

    fn verdict(&self) -> Option<Self::Verdict>;
}

pub(super) fn node(index: usize) -> NodeId {
    NodeId::new(index).expect("below nine")
}

pub(super) fn quorum(needed: usize, total: usize) -> Quorum {
    Quorum::new(needed, total).expect("a majority")
}

/// Every vote of up to five primaries in every order, with every choice.
pub(super) fn walk_every_order<R: Walked>() {
    for total in 1..=5 {
        for needed in total / 2 + 1..=total {
            walk(R::new(needed, total), total);
        }
    }
}

fn walk<R: Walked>(beginning: R, total: usize) {
    let mut visited = HashSet::new();
    let mut verdicts = HashSet::new();
    let mut to_visit = vec![beginning];
    while let Some(round) = to_visit.pop() {
        // Those that have answered are told again as well: the second vote must change nothing.
        for (index, vote) in (0..total).flat_map(|index| R::VOTES.iter().map(move |vote| (index, *vote))) {
            for choice in [true, false] {
                let mut next = round.clone();
                next.tell(index, vote, choice);
                verdicts.extend(next.verdict());
                if visited.insert(next.clone()) {
                    to_visit.push(next);
                }
            }
        }
    }
    // Each primary is unheard or has said one of some things; less the beginning, more by the choices.
    let heard_ways = (R::VOTES.len() + 1).pow(u32::try_from(total).expect("five at most"));
    assert!(visited.len() >= heard_ways - 1, "{} states", visited.len());
    assert_eq!(verdicts.len(), 3, "{verdicts:?}");
}

/// Who votes, what, and the choice.
type Path<V> = Vec<(usize, V, bool)>;

/// A quorum, its set of up to nine, and what happens.
pub(super) fn any_path<R: Walked>() -> impl Strategy<Value = (usize, usize, Path<R::Vote>)> {
    // Few kinds of votes at a time, or nine primaries would hardly ever agree.
    let kinds = prop::sample::subsequence((0..R::VOTES.len()).collect::<Vec<_>>(), 1..=3);
    let picks = prop::collection::vec((0_usize..9, any::<prop::sample::Index>(), any::<bool>()), 40);
    (1_usize..=9, kinds, picks).prop_flat_map(|(total, kinds, picks)| {
        let path = picks
            .into_iter()
            .map(|(place, kind, choice)| (place % total, R::VOTES[*kind.get(&kinds)], choice))
            .collect::<Vec<_>>();
        (total / 2 + 1..=total, Just(total), Just(path))
    })
}
