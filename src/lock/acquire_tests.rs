//! Claims about one attempt: the histories that gave the rules, and the edges of the table.

use super::*;
use crate::lock::{Extend, ExtendVerdict, ExtendVote, Release, ReleaseVerdict, ReleaseVote};
use model::{Clock, node, poll, poll_after};
use table::{answer, attempt, attempt_at, told};

#[path = "acquire_model_tests.rs"]
mod model;
#[path = "acquire_table_tests.rs"]
mod table;
#[path = "acquire_walk_tests.rs"]
mod walk;

fn places(set: NodeSet) -> Vec<usize> {
    set.iter().map(NodeId::index).collect()
}

#[test]
fn even_split_of_four_is_split_with_the_fourth_vote() {
    // In whichever order they come: before the last one, one side may still have three.
    for votes in ["ggaa", "gaga", "gaag", "agga", "agag", "aagg"] {
        let acquire = attempt_at(3, 4, votes, "split");
        assert_eq!(places(acquire.withdraw_from()), [0, 1, 2, 3]);
    }
}

#[test]
fn two_grants_and_one_error_of_three_is_granted() {
    for votes in ["ggx", "gxg", "xgg"] {
        let (acquire, steps) = attempt(2, 3, votes);
        assert_eq!(steps.last(), Some(&AcquireStep::Done(AcquireVerdict::Granted)), "{votes}");
        assert!(!acquire.took_over());
    }
}

#[test]
fn unsent_counts_as_absent_only_for_an_acquire() {
    let acquire = attempt_at(2, 3, "ss.", "no-quorum");
    assert_eq!(places(acquire.withdraw_from()), [2], "what was never sent is not withdrawn");
    let acquire = attempt_at(2, 3, "xx.", "no-quorum");
    assert_eq!(places(acquire.withdraw_from()), [0, 1, 2], "what was not answered is");

    // Where a request to extend or release never left, the record may well be: no step towards lost or not held.
    let quorum = Quorum::new(2, 3).expect("a majority");
    let (mut extend, mut release) = (Extend::new(quorum), Release::new(quorum));
    extend.handle_vote(node(0), ExtendVote::Lacking);
    release.handle_vote(node(0), ReleaseVote::Lacking);
    for index in [1, 2] {
        extend.handle_vote(node(index), ExtendVote::Unknown);
        release.handle_vote(node(index), ReleaseVote::Unknown);
    }
    let now = Moment::from_micros(0);
    let ttl = Ttl::from_millis(1_000).expect("in range");
    let extended = extend.poll(now, now, ttl, Drift::from_parts_per_million(0));
    assert_eq!(extended, Some(ExtendVerdict::NoQuorum));
    assert_eq!(release.poll(), Some(ReleaseVerdict::NoQuorum));
}

#[test]
fn one_holder_on_a_quorum_is_held_before_the_rest_answers() {
    let acquire = attempt_at(3, 5, "aaa..", "held");
    assert_eq!(places(acquire.answered()), [0, 1, 2]);
    assert_eq!(places(acquire.withdraw_from()), [0, 1, 2, 3, 4], "the others may have been won");
}

/// The history: of three primaries one is down, and the lock is held by another on the two that are up. The first
/// refusal already makes the attempt hopeless. Ended there as a split, it was made again and again with a delay before
/// each, although the second refusal, on its way, shows that the lock is held and nothing is to be gained.
#[test]
fn a_lock_held_on_the_two_of_three_that_are_up_is_held_and_no_split() {
    for (one_refusal, both) in [("xa.", "xaa"), ("sa.", "saa"), ("ax.", "axa"), ("as.", "asa")] {
        attempt_at(2, 3, one_refusal, "wait");
        let acquire = attempt_at(2, 3, both, "held");
        assert_eq!(acquire.answered().len(), 2);
    }
}

/// In an even set the refusal that makes an attempt hopeless comes one before a holder's quorum is complete.
#[test]
fn a_holder_of_half_of_an_even_set_is_waited_for_until_one_more_vote_tells() {
    for total in [2, 4, 6, 8] {
        let half = "a".repeat(total / 2);
        for (votes, step) in [("", "wait"), ("a", "held")] {
            let votes = format!("{half}{votes:.<width$}", width = total / 2);
            attempt_at(total / 2 + 1, total, &votes, step);
        }
        // The whole other half has to say no before the votes are split.
        for letter in ["b", "g", "?"] {
            let other_half = letter.repeat(total / 2);
            attempt_at(total / 2 + 1, total, &format!("{half}{other_half}"), "split");
        }
    }
}

#[test]
fn an_attempt_is_split_as_soon_as_no_holder_can_be_seen_on_a_quorum() {
    for (needed, total, wait, split) in [
        (2, 3, "ab.", "abg"),
        (2, 3, "xa.", "xab"),
        (3, 5, "abx..", "abxg."),
        (4, 6, "xxa...", "xxab.."),
        (4, 7, "aabbg..", "aabbgg."),
        (9, 9, "a........", "ag......."),
    ] {
        attempt_at(needed, total, wait, "wait");
        attempt_at(needed, total, split, "split");
    }
}

/// A primary that is waited for to tell a holder may be away itself; with too many away nothing is settled.
#[test]
fn a_holder_that_the_missing_votes_never_showed_is_no_quorum_where_too_many_are_away() {
    for (needed, total, votes) in [(2, 2, "ax"), (2, 3, "xax"), (3, 4, "aaxs"), (3, 5, "aaxxx")] {
        attempt_at(needed, total, votes, "no-quorum");
    }
}

#[test]
fn unknown_holders_never_add_up() {
    for (needed, total, votes) in
        [(2, 3, "??."), (2, 3, "x?."), (3, 5, "???.."), (3, 5, "a???."), (4, 7, "????..."), (5, 9, "?????....")]
    {
        attempt_at(needed, total, votes, "split");
    }
}

#[test]
fn an_owner_signs_only_when_the_own_records_are_needed() {
    attempt_at(3, 5, "goo..", "wait");
    let acquire = attempt_at(3, 5, "googg", "granted");
    assert!(!acquire.took_over(), "a free quorum was found: the old records are left to end with their ttl");
    let acquire = attempt_at(3, 5, "gooa.", "sign:1,2");
    assert!(acquire.took_over());
}

#[test]
fn each_record_is_signed_anew_with_the_value_found_there() {
    let (_, steps) = attempt(3, 5, "opo..");
    let Some(AcquireStep::Sign(asked)) = steps.last() else { panic!("{steps:?}") };
    let found = |letter| match answer(letter).vote() {
        AcquireVote::Held(Holder::Value(value)) => value,
        vote => panic!("{vote:?} shows no value"),
    };
    assert_eq!(*asked, [(node(0), found('o')), (node(1), found('p')), (node(2), found('o'))]);
}

#[test]
fn a_record_found_later_is_signed_in_a_second_round_and_the_first_ones_are_not_asked_again() {
    let mut acquire = attempt_at(2, 3, "oo.", "sign:0,1");
    acquire.handle_vote(node(2), answer('p').vote());
    assert_eq!(poll(&mut acquire, Clock::Fresh), AcquireStep::Wait, "two signings under way can still win");
    acquire.handle_sign_vote(node(0), SignVote::Changed);
    assert_eq!(poll(&mut acquire, Clock::Fresh), AcquireStep::Wait, "one signing and one own: not a quorum yet");
    acquire.handle_sign_vote(node(1), SignVote::Signed);
    assert_eq!(told(&poll(&mut acquire, Clock::Fresh)), "sign:2");
    acquire.handle_sign_vote(node(2), SignVote::Signed);
    assert_eq!(poll(&mut acquire, Clock::Fresh), AcquireStep::Done(AcquireVerdict::Granted));
}

#[test]
fn a_value_that_the_owner_did_not_sign_is_somebody_elses() {
    let quorum = Quorum::new(2, 3).expect("a majority");
    let other = Owner::new(Bytes::from_static(b"m")).expect("1 to 200 bytes");
    for who in [None, Some(other)] {
        let mut acquire = Acquire::new(quorum, who);
        acquire.handle_vote(node(0), answer('o').vote());
        acquire.handle_vote(node(1), answer('o').vote());
        assert_eq!(poll(&mut acquire, Clock::Fresh), AcquireStep::Done(AcquireVerdict::Held));
    }
}

/// A former or a newer grant of the same owner may rest on a record that a signing reached, whatever it answered.
#[test]
fn a_failed_take_over_withdraws_nothing_where_a_signing_went() {
    let mut acquire = attempt_at(3, 5, "ooo..", "sign:0,1,2");
    acquire.handle_vote(node(3), AcquireVote::Granted);
    acquire.handle_sign_vote(node(0), SignVote::Signed);
    acquire.handle_sign_vote(node(1), SignVote::Changed);
    acquire.handle_sign_vote(node(2), SignVote::Silent);
    acquire.handle_vote(node(4), AcquireVote::Silent);
    assert_eq!(poll(&mut acquire, Clock::Fresh), AcquireStep::Done(AcquireVerdict::Split));
    assert_eq!(places(acquire.withdraw_from()), [3, 4]);
}

#[test]
fn a_late_vote_moves_the_withdrawal_and_never_the_verdict() {
    let mut acquire = attempt_at(3, 5, "??x..", "split");
    assert_eq!(places(acquire.withdraw_from()), [0, 1, 2, 3, 4]);
    acquire.handle_vote(node(3), AcquireVote::Unsent);
    acquire.handle_vote(node(4), AcquireVote::Granted);
    assert_eq!(poll(&mut acquire, Clock::Fresh), AcquireStep::Done(AcquireVerdict::Split));
    assert_eq!(places(acquire.withdraw_from()), [0, 1, 2, 4]);
}

#[test]
fn nothing_is_signed_for_a_client_that_has_left() {
    let (mut acquire, _) = attempt(2, 3, "o..");
    acquire.abandon();
    acquire.handle_vote(node(1), answer('o').vote());
    assert_eq!(poll(&mut acquire, Clock::Fresh), AcquireStep::Done(AcquireVerdict::Abandoned));
    assert_eq!(places(acquire.withdraw_from()), [0, 1, 2]);

    let mut acquire = attempt_at(2, 3, "gg.", "granted");
    acquire.abandon();
    assert_eq!(poll(&mut acquire, Clock::Fresh), AcquireStep::Done(AcquireVerdict::Granted), "it was decided before");
}

#[test]
fn a_quorum_with_its_last_millisecond_is_granted_and_without_it_is_too_late() {
    // 30,000 ms less 302 ms of drift.
    for (elapsed_ms, verdict) in [(29_697, AcquireVerdict::Granted), (29_698, AcquireVerdict::TooLate)] {
        let (mut acquire, _) = attempt(2, 3, "g..");
        acquire.handle_vote(node(1), AcquireVote::Granted);
        assert_eq!(poll_after(&mut acquire, elapsed_ms), AcquireStep::Done(verdict), "after {elapsed_ms} ms");
        assert_eq!(poll(&mut acquire, Clock::Fresh), AcquireStep::Done(verdict), "no second look changes it");
    }
}

#[test]
fn a_primary_outside_of_the_set_has_no_vote() {
    let (mut acquire, _) = attempt(2, 3, "g..");
    acquire.handle_vote(node(3), AcquireVote::Granted);
    acquire.handle_vote(node(8), AcquireVote::Granted);
    assert_eq!(poll(&mut acquire, Clock::Fresh), AcquireStep::Wait);
    assert_eq!(places(acquire.withdraw_from()), [0, 1, 2]);
}
