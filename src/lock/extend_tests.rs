//! The table of an extension: its boundaries as text, and every vote in every order against a second reading of it.

use std::time::Duration;

use proptest::prelude::*;

use super::super::walk_tests::{Walked, any_path, node, quorum, walk_every_order};
use super::*;

/// N, Q, the votes in the order in which they come, the verdict with the last of them; before it there is none.
///
/// e extended · l lacks it · f lacks it, quarantined · u unknown · . not answered yet
const TABLE: &str = "
    1 1 .         wait
    1 1 e         extended
    1 1 l         lost
    1 1 u         no-quorum

    2 2 e.        wait
    2 2 ee        extended
    2 2 l.        lost
    2 2 eu        no-quorum

    3 2 e..       wait
    3 2 uee       extended
    3 2 l..       wait
    3 2 ell       lost
    3 2 uul       no-quorum
    3 2 elu       no-quorum
    3 2 fl.       wait
    3 2 fle       no-quorum
    3 2 ffl       no-quorum
    3 2 fee       extended
    3 3 eel       lost

    4 3 eeu.      wait
    4 3 eeue      extended
    4 3 ll..      lost
    4 3 eeuu      no-quorum

    5 3 eeuue     extended
    5 3 llee.     wait
    5 3 lleel     lost
    5 3 lleeu     no-quorum

    6 4 eee...    wait
    6 4 eeee..    extended
    6 4 ll....    wait
    6 4 lll...    lost
    6 4 eeelle    extended
    6 4 eeellu    no-quorum

    7 4 eee....   wait
    7 4 eeee...   extended
    7 4 lll....   wait
    7 4 llll...   lost
    7 4 eeelllu   no-quorum
    7 6 eeeee..   wait
    7 6 eeeeee.   extended
    7 6 ll.....   lost
    7 6 eeeeelu   no-quorum

    8 5 eeee....  wait
    8 5 eeeee...  extended
    8 5 lll.....  wait
    8 5 llll....  lost
    8 5 eeeelllu  no-quorum

    9 5 eeee..... wait
    9 5 eeeee.... extended
    9 5 llll..... wait
    9 5 lllll.... lost
    9 5 uuuuuuuu. wait
    9 5 uuuuuuuuu no-quorum
    9 5 eeeellllu no-quorum
    9 9 l........ lost";

/// Asks `extend` so many milliseconds into a ttl of 30 s, 302 ms of which go to drift.
fn poll_after(extend: &mut Extend, elapsed_ms: u64) -> Option<ExtendVerdict> {
    let started = Moment::from_micros(5);
    let now = started.after(Duration::from_millis(elapsed_ms));
    let ttl = Ttl::from_millis(30_000).expect("in range");
    extend.poll(now, started, ttl, Drift::from_parts_per_million(10_000))
}

fn poll(extend: &mut Extend, is_fresh: bool) -> Option<ExtendVerdict> {
    poll_after(extend, if is_fresh { 0 } else { 30_000 })
}

/// The table, by counting, from what each primary was heard to say.
fn demanded(needed: usize, heard: &[Option<ExtendVote>], is_fresh: bool) -> Option<ExtendVerdict> {
    let count = |vote| heard.iter().filter(|heard| **heard == Some(vote)).count();
    if count(ExtendVote::Extended) >= needed && is_fresh {
        Some(ExtendVerdict::Extended)
    } else if count(ExtendVote::Lacking) > heard.len() - needed {
        Some(ExtendVerdict::Lost)
    } else if heard.iter().all(Option::is_some) {
        Some(ExtendVerdict::NoQuorum)
    } else {
        None
    }
}

/// One extension and the test's notes about it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Round {
    needed: usize,
    heard: Vec<Option<ExtendVote>>,
    verdict: Option<ExtendVerdict>,
    machine: Extend,
}

impl Walked for Round {
    type Vote = ExtendVote;
    type Verdict = ExtendVerdict;

    const VOTES: &'static [ExtendVote] =
        &[ExtendVote::Extended, ExtendVote::Lacking, ExtendVote::Forgot, ExtendVote::Unknown];

    fn new(needed: usize, total: usize) -> Self {
        Self { needed, heard: vec![None; total], verdict: None, machine: Extend::new(quorum(needed, total)) }
    }

    /// Tells a vote, perhaps a second one of this primary, and checks what comes of it.
    fn tell(&mut self, index: usize, vote: ExtendVote, is_fresh: bool) {
        self.heard[index].get_or_insert(vote);
        self.machine.handle_vote(node(index), vote);
        self.verdict = self.verdict.or(demanded(self.needed, &self.heard, is_fresh));
        let told = (self.needed, &self.heard, is_fresh);
        assert_eq!(poll(&mut self.machine, is_fresh), self.verdict, "{told:?}");
        let those = |counts: fn(ExtendVote) -> bool| -> NodeSet {
            (0..self.heard.len()).filter(|&index| self.heard[index].is_some_and(counts)).map(node).collect()
        };
        assert_eq!(self.machine.extended(), those(|vote| vote == ExtendVote::Extended), "{told:?}");
        assert_eq!(self.machine.lacking(), those(|vote| vote == ExtendVote::Lacking), "{told:?}");
        assert_eq!(self.machine.forgot(), those(|vote| vote == ExtendVote::Forgot), "{told:?}");
        let answered = those(|vote| matches!(vote, ExtendVote::Extended | ExtendVote::Lacking));
        assert_eq!(self.machine.answered(), answered, "{told:?}");
        assert!(self.verdict.is_some() || self.heard.contains(&None), "all answered, nothing decided: {told:?}");
    }

    fn verdict(&self) -> Option<ExtendVerdict> {
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

/// The extension after `votes`, all but the last of which decided nothing.
fn extension_at(needed: usize, total: usize, votes: &str, verdict: Option<ExtendVerdict>) -> Extend {
    let mut extend = Extend::new(quorum(needed, total));
    let mut verdicts = vec![poll(&mut extend, true)];
    for (index, letter) in votes.chars().enumerate().filter(|(_, letter)| *letter != '.') {
        let vote = match letter {
            'e' => ExtendVote::Extended,
            'l' => ExtendVote::Lacking,
            'f' => ExtendVote::Forgot,
            'u' => ExtendVote::Unknown,
            _ => panic!("{letter:?} is no vote"),
        };
        extend.handle_vote(node(index), vote);
        verdicts.push(poll(&mut extend, true));
    }
    let (last, before) = verdicts.split_last().expect("at least the first look");
    assert!(before.iter().all(Option::is_none), "{votes}: decided before the last vote: {before:?}");
    assert_eq!(*last, verdict, "{needed} of {total}: {votes}");
    extend
}

#[test]
fn each_verdict_comes_with_the_vote_that_makes_it_certain_and_not_before() {
    let mut rows = 0;
    for row in TABLE.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let words: Vec<&str> = row.split_whitespace().collect();
        let [total, needed, votes, verdict] = words[..] else { panic!("N Q votes verdict: {row}") };
        let verdict = match verdict {
            "wait" => None,
            "extended" => Some(ExtendVerdict::Extended),
            "lost" => Some(ExtendVerdict::Lost),
            "no-quorum" => Some(ExtendVerdict::NoQuorum),
            _ => panic!("{verdict} is no verdict"),
        };
        extension_at(needed.parse().expect("Q"), total.parse().expect("N"), votes, verdict);
        rows += 1;
    }
    assert_eq!(rows, 55, "every row was read");
}

#[test]
fn extend_with_unsent_is_not_lost() {
    // A request that never left says nothing about the record, so it comes as unknown.
    for votes in ["luu", "ulu", "uuu"] {
        extension_at(2, 3, votes, Some(ExtendVerdict::NoQuorum));
    }
}

#[test]
fn a_quorum_that_extended_too_late_is_no_quorum_once_all_have_answered() {
    let mut extend = Extend::new(quorum(2, 3));
    extend.handle_vote(node(0), ExtendVote::Extended);
    extend.handle_vote(node(1), ExtendVote::Extended);
    assert_eq!(poll(&mut extend, false), None, "the third may still say that it lacks the record");
    extend.handle_vote(node(2), ExtendVote::Unknown);
    assert_eq!(poll(&mut extend, false), Some(ExtendVerdict::NoQuorum));
    assert_eq!(poll(&mut extend, true), Some(ExtendVerdict::NoQuorum), "no second look changes it");
}

#[test]
fn an_extension_needs_its_last_millisecond() {
    // 30,000 ms less 302 ms of drift.
    for (elapsed_ms, verdict) in [(29_697, ExtendVerdict::Extended), (29_698, ExtendVerdict::NoQuorum)] {
        let mut extend = Extend::new(quorum(1, 1));
        extend.handle_vote(node(0), ExtendVote::Extended);
        assert_eq!(poll_after(&mut extend, elapsed_ms), Some(verdict), "after {elapsed_ms} ms");
    }
}

#[test]
fn a_primary_outside_of_the_set_has_no_vote() {
    let mut extend = extension_at(2, 3, "e..", None);
    extend.handle_vote(node(3), ExtendVote::Extended);
    extend.handle_vote(node(8), ExtendVote::Extended);
    assert_eq!(poll(&mut extend, true), None);
    assert_eq!(extend.extended(), [node(0)].into_iter().collect());
}
