//! Rules that are missing one part each: the search must find the history in which that breaks a promise.

use model::{Bounds, LARGER_NUMBERS, NOTHING_LEFT, ONE_HOLDER, RELEASED_FOR_GOOD, Rules, World, search};

/// Searches until a promise is broken, and shows how.
fn finds(broken: &str, rules: Rules, bounds: Bounds) {
    let searched = search(World { bounds, rules }, 1);
    println!("{rules:?} in {bounds:?}: {searched}");
    let promises: Vec<_> = searched.broken.iter().map(|(promise, _)| *promise).collect();
    assert_eq!(promises, [broken], "{rules:?} in {bounds:?}");
}

const TIME: Bounds = Bounds { time: true, ..Bounds::SMALLEST };

#[test]
fn without_quarantine_a_restart_lets_a_second_client_in() {
    finds(ONE_HOLDER, Rules::NoQuarantine, Bounds { losses: 1, ..TIME });
}

#[test]
fn a_quarantine_shorter_than_the_longest_lock_lets_a_second_client_in() {
    finds(ONE_HOLDER, Rules::ShortQuarantine, Bounds { losses: 1, ..TIME });
}

#[test]
fn two_of_four_are_no_quorum() {
    finds(ONE_HOLDER, Rules::HalfIsQuorum, Bounds { primaries: 4, ..Bounds::SMALLEST });
}

#[test]
fn validity_counted_from_the_answer_outlives_the_records() {
    finds(ONE_HOLDER, Rules::NoElapsed, TIME);
}

#[test]
fn validity_without_drift_outlives_the_records_of_a_fast_clock() {
    finds(ONE_HOLDER, Rules::NoDrift, TIME);
}

#[test]
fn an_extension_that_shortens_takes_the_lock_from_its_holder() {
    finds(ONE_HOLDER, Rules::ExtensionShortens, Bounds { extension: Some(1), ..TIME });
}

#[test]
fn an_extension_that_creates_brings_a_released_lock_back() {
    let bounds = Bounds { attempts: 1, releases: true, extension: Some(3), ..Bounds::SMALLEST };
    finds(RELEASED_FOR_GOOD, Rules::ExtensionCreates, bounds);
}

#[test]
fn a_majority_of_the_granters_is_not_enough_for_a_number() {
    let bounds = Bounds { primaries: 4, releases: true, clocks: Some([2, 1, 1]), lost_raises: 1, ..Bounds::SMALLEST };
    finds(LARGER_NUMBERS, Rules::MajorityOfGranters, bounds);
}

#[test]
fn what_may_be_there_is_left_behind_when_only_what_is_known_is_withdrawn() {
    finds(NOTHING_LEFT, Rules::SilentKept, Bounds::SMALLEST);
}

#[test]
fn a_take_over_that_is_withdrawn_takes_the_lock_from_its_owner() {
    finds(ONE_HOLDER, Rules::SignedWithdrawn, Bounds { attempts: 3, owner: true, ..Bounds::SMALLEST });
}

#[test]
fn a_set_that_its_withdrawal_overtakes_is_left_behind() {
    finds(NOTHING_LEFT, Rules::NoKill, Bounds::SMALLEST);
}
