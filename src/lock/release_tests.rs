//! The table of a release: its boundaries as text, and every vote in every order against a second reading of it.

use proptest::prelude::*;

use super::super::walk_tests::{Walked, any_path, node, quorum, walk_every_order};
use super::*;

/// N, Q, the votes in the order in which they come, the verdict with the last of them; before it there is none.
///
/// d deleted · l lacks it · u unknown · . not answered yet
const TABLE: &str = "
    1 1 .         wait
    1 1 d         released
    1 1 l         not-held
    1 1 u         no-quorum

    2 2 d.        wait
    2 2 dd        released
    2 2 l.        not-held
    2 2 dl        not-held
    2 2 du        no-quorum

    3 2 d..       wait
    3 2 udd       released
    3 2 l..       wait
    3 2 dll       not-held
    3 2 uul       no-quorum
    3 2 dlu       no-quorum
    3 3 ddl       not-held

    4 3 ddu.      wait
    4 3 ddud      released
    4 3 ll..      not-held
    4 3 ddll      not-held
    4 3 dduu      no-quorum

    5 3 dduud     released
    5 3 lldd.     wait
    5 3 llddl     not-held
    5 3 llddu     no-quorum

    6 4 ddd...    wait
    6 4 dddd..    released
    6 4 ll....    wait
    6 4 lll...    not-held
    6 4 dddlld    released
    6 4 dddllu    no-quorum

    7 4 ddd....   wait
    7 4 dddd...   released
    7 4 lll....   wait
    7 4 llll...   not-held
    7 4 dddlllu   no-quorum
    7 6 ddddd..   wait
    7 6 dddddd.   released
    7 6 ll.....   not-held
    7 6 dddddlu   no-quorum

    8 5 dddd....  wait
    8 5 ddddd...  released
    8 5 lll.....  wait
    8 5 llll....  not-held
    8 5 ddddlllu  no-quorum

    9 5 dddd..... wait
    9 5 ddddd.... released
    9 5 llll..... wait
    9 5 lllll.... not-held
    9 5 uuuuuuuu. wait
    9 5 uuuuuuuuu no-quorum
    9 5 ddddllllu no-quorum
    9 9 l........ not-held";

/// The table, by counting, from what each primary was heard to say.
fn demanded(needed: usize, heard: &[Option<ReleaseVote>]) -> Option<ReleaseVerdict> {
    let count = |vote| heard.iter().filter(|heard| **heard == Some(vote)).count();
    if count(ReleaseVote::Deleted) >= needed {
        Some(ReleaseVerdict::Released)
    } else if count(ReleaseVote::Lacking) > heard.len() - needed {
        Some(ReleaseVerdict::NotHeld)
    } else if heard.iter().all(Option::is_some) {
        Some(ReleaseVerdict::NoQuorum)
    } else {
        None
    }
}

/// One release and the test's notes about it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Round {
    needed: usize,
    heard: Vec<Option<ReleaseVote>>,
    verdict: Option<ReleaseVerdict>,
    machine: Release,
}

impl Walked for Round {
    type Vote = ReleaseVote;
    type Verdict = ReleaseVerdict;

    const VOTES: &'static [ReleaseVote] = &[ReleaseVote::Deleted, ReleaseVote::Lacking, ReleaseVote::Unknown];

    fn new(needed: usize, total: usize) -> Self {
        Self { needed, heard: vec![None; total], verdict: None, machine: Release::new(quorum(needed, total)) }
    }

    /// Tells a vote, perhaps a second one of this primary; a verdict is looked for only when `is_polled`.
    fn tell(&mut self, index: usize, vote: ReleaseVote, is_polled: bool) {
        self.heard[index].get_or_insert(vote);
        self.machine.handle_vote(node(index), vote);
        let told = (self.needed, &self.heard);
        let usable = |index: &usize| self.heard[*index].is_some_and(|vote| vote != ReleaseVote::Unknown);
        let answered: NodeSet = (0..self.heard.len()).filter(usable).map(node).collect();
        assert_eq!(self.machine.answered(), answered, "{told:?}");
        if is_polled {
            self.verdict = self.verdict.or(demanded(self.needed, &self.heard));
            assert_eq!(self.machine.poll(), self.verdict, "{told:?}");
            assert!(self.verdict.is_some() || self.heard.contains(&None), "all answered, nothing decided: {told:?}");
        }
    }

    fn verdict(&self) -> Option<ReleaseVerdict> {
        self.verdict
    }
}

#[test]
fn up_to_five_primaries_follow_the_table_in_every_order() {
    walk_every_order::<Round>();
}

proptest! {
    #[test]
    fn any_votes_of_up_to_nine_primaries_follow_the_table((needed, total, path) in any_path::<Round>()) {
        let mut round = Round::new(needed, total);
        for (index, vote, choice) in path {
            round.tell(index, vote, choice);
        }
    }
}

/// The release after `votes`, all but the last of which decided nothing.
fn release_at(needed: usize, total: usize, votes: &str, verdict: Option<ReleaseVerdict>) -> Release {
    let mut release = Release::new(quorum(needed, total));
    let mut verdicts = vec![release.poll()];
    for (index, letter) in votes.chars().enumerate().filter(|(_, letter)| *letter != '.') {
        let vote = match letter {
            'd' => ReleaseVote::Deleted,
            'l' => ReleaseVote::Lacking,
            'u' => ReleaseVote::Unknown,
            _ => panic!("{letter:?} is no vote"),
        };
        release.handle_vote(node(index), vote);
        verdicts.push(release.poll());
    }
    let (last, before) = verdicts.split_last().expect("at least the first look");
    assert!(before.iter().all(Option::is_none), "{votes}: decided before the last vote: {before:?}");
    assert_eq!(*last, verdict, "{needed} of {total}: {votes}");
    release
}

#[test]
fn each_verdict_comes_with_the_vote_that_makes_it_certain_and_not_before() {
    let mut rows = 0;
    for row in TABLE.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let words: Vec<&str> = row.split_whitespace().collect();
        let [total, needed, votes, verdict] = words[..] else { panic!("N Q votes verdict: {row}") };
        let verdict = match verdict {
            "wait" => None,
            "released" => Some(ReleaseVerdict::Released),
            "not-held" => Some(ReleaseVerdict::NotHeld),
            "no-quorum" => Some(ReleaseVerdict::NoQuorum),
            _ => panic!("{verdict} is no verdict"),
        };
        release_at(needed.parse().expect("Q"), total.parse().expect("N"), votes, verdict);
        rows += 1;
    }
    assert_eq!(rows, 53, "every row was read");
}

#[test]
fn release_with_unsent_is_not_told_as_not_held() {
    // A request that never left says nothing about the record, so it comes as unknown.
    for votes in ["luu", "ulu", "uuu"] {
        release_at(2, 3, votes, Some(ReleaseVerdict::NoQuorum));
    }
}

#[test]
fn a_late_answer_changes_no_release() {
    let mut release = release_at(2, 3, "ll.", Some(ReleaseVerdict::NotHeld));
    release.handle_vote(node(2), ReleaseVote::Deleted);
    release.handle_vote(node(0), ReleaseVote::Deleted);
    assert_eq!(release.poll(), Some(ReleaseVerdict::NotHeld));
    assert_eq!(release.answered().len(), 3);
}

#[test]
fn a_primary_outside_of_the_set_has_no_vote() {
    let mut release = release_at(2, 3, "d..", None);
    release.handle_vote(node(3), ReleaseVote::Deleted);
    release.handle_vote(node(8), ReleaseVote::Deleted);
    assert_eq!(release.poll(), None);
    assert_eq!(release.answered(), [node(0)].into_iter().collect());
}
