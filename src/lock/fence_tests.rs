//! The steps of one number.

use super::*;

#[path = "fence_world_tests.rs"]
mod world;

fn number(value: u64) -> FenceNumber {
    FenceNumber::new(value).expect("in range")
}

fn node(index: usize) -> NodeId {
    NodeId::new(index).expect("a small set")
}

fn nodes(indices: &[usize]) -> NodeSet {
    indices.iter().map(|index| node(*index)).collect()
}

fn of_three(clock: u64) -> Fence {
    Fence::new(Quorum::majority(3).expect("a set"), number(clock))
}

/// Nobody's vote is outstanding.
const NONE: NodeSet = NodeSet::EMPTY;

/// What the first number that is drawn anew adds.
const STEP: u64 = 1_000;

#[test]
fn one_round_is_enough_where_a_quorum_granted_and_accepted() {
    let mut fence = of_three(100);
    fence.handle_first(node(0), None, true);
    fence.handle_first(node(2), Some(number(99)), true);
    assert_eq!(fence.poll(nodes(&[0, 2]), NONE), FenceStep::Settled(number(100)));
}

#[test]
fn an_acceptance_counts_only_where_the_lock_was_granted() {
    let mut fence = of_three(100);
    (0..3).for_each(|index| fence.handle_first(node(index), None, true));
    assert_eq!(fence.poll(nodes(&[0, 1]), NONE), FenceStep::Settled(number(100)));
    let mut fence = of_three(100);
    fence.handle_first(node(0), None, true);
    fence.handle_first(node(1), None, true);
    // Won on 0 and 2; of these 0 alone accepted.
    assert_eq!(fence.poll(nodes(&[0, 2]), NONE), FenceStep::Raise(number(100 + STEP), nodes(&[0, 2])));
}

#[test]
fn a_number_drawn_anew_exceeds_every_number_that_was_seen() {
    let mut fence = of_three(100);
    fence.handle_first(node(0), Some(number(5_000)), true);
    fence.handle_first(node(1), Some(number(100)), true);
    // A refusal shows a number, too.
    fence.handle_first(node(2), Some(number(9_000)), true);
    assert_eq!(fence.poll(nodes(&[0, 1]), NONE), FenceStep::Raise(number(9_000 + STEP), nodes(&[0, 1])));
    fence.handle_raise(node(0), number(9_000 + STEP), Some(number(5_000)), true);
    assert_eq!(fence.poll(nodes(&[0, 1]), NONE), FenceStep::Wait);
    fence.handle_raise(node(1), number(9_000 + STEP), None, true);
    assert_eq!(fence.poll(nodes(&[0, 1]), NONE), FenceStep::Settled(number(9_000 + STEP)));
}

#[test]
fn a_primary_counts_only_while_it_holds_the_record() {
    let mut fence = of_three(100);
    let FenceStep::Raise(drawn, asked) = fence.poll(nodes(&[0, 1]), NONE) else { panic!("nothing was accepted") };
    asked.iter().for_each(|node| fence.handle_raise(node, drawn, None, node.index() == 0));
    assert_eq!(fence.poll(asked, NONE), FenceStep::Failed);
}

#[test]
fn a_silent_primary_is_waited_for_and_does_not_make_numbers_grow() {
    let mut fence = of_three(100);
    let FenceStep::Raise(drawn, asked) = fence.poll(nodes(&[0, 1]), NONE) else { panic!("nothing was accepted") };
    fence.handle_raise(node(0), drawn, None, true);
    assert_eq!(fence.poll(asked, NONE), FenceStep::Wait);
    fence.handle_silence(node(1), drawn);
    assert_eq!(fence.poll(asked, NONE), FenceStep::Failed);
}

#[test]
fn a_primary_that_grants_late_is_asked_for_the_larger_number_too() {
    let mut fence = of_three(100);
    fence.handle_first(node(0), Some(number(200)), true);
    fence.handle_first(node(1), Some(number(200)), true);
    let FenceStep::Raise(drawn, asked) = fence.poll(nodes(&[0, 1]), NONE) else { panic!("nothing was accepted") };
    assert_eq!(asked, nodes(&[0, 1]));
    fence.handle_first(node(2), Some(number(200)), true);
    assert_eq!(fence.poll(nodes(&[0, 1, 2]), NONE), FenceStep::Raise(drawn, nodes(&[2])));
    assert_eq!(fence.poll(nodes(&[0, 1, 2]), NONE), FenceStep::Wait);
    // One of the first two is gone: the third makes up for it.
    fence.handle_silence(node(0), drawn);
    fence.handle_raise(node(1), drawn, Some(number(200)), true);
    assert_eq!(fence.poll(nodes(&[0, 1, 2]), NONE), FenceStep::Wait);
    fence.handle_raise(node(2), drawn, Some(number(200)), true);
    assert_eq!(fence.poll(nodes(&[0, 1, 2]), NONE), FenceStep::Settled(drawn));
}

#[test]
fn a_primary_that_was_slow_may_complete_the_quorum_of_the_first_number() {
    let mut fence = of_three(100);
    fence.handle_first(node(0), None, true);
    fence.handle_first(node(1), Some(number(200)), true);
    assert!(matches!(fence.poll(nodes(&[0, 1]), NONE), FenceStep::Raise(..)));
    fence.handle_first(node(2), None, true);
    assert_eq!(fence.poll(nodes(&[0, 1, 2]), NONE), FenceStep::Settled(number(100)));
}

/// One of the first to grant does not accept: its counter is spoilt, or it died. That is no reason to fail while others, which
/// have not voted yet, may make up for it.
#[test]
fn those_whose_votes_are_outstanding_are_waited_for_as_long_as_they_could_make_up_for_the_others() {
    let mut fence = of_three(100);
    fence.handle_first(node(0), None, true);
    let FenceStep::Raise(drawn, asked) = fence.poll(nodes(&[0, 1]), nodes(&[2])) else { panic!("one alone accepted") };
    fence.handle_silence(node(1), drawn);
    assert_eq!(fence.poll(asked, nodes(&[2])), FenceStep::Wait);
    fence.handle_raise(node(0), drawn, Some(number(100)), true);
    assert_eq!(fence.poll(asked, nodes(&[2])), FenceStep::Wait);
    let mut refused = fence.clone();
    assert_eq!(refused.poll(asked, NONE), FenceStep::Failed);
    assert_eq!(fence.poll(nodes(&[0, 1, 2]), NONE), FenceStep::Raise(drawn, nodes(&[2])));
    fence.handle_raise(node(2), drawn, None, true);
    assert_eq!(fence.poll(nodes(&[0, 1, 2]), NONE), FenceStep::Settled(drawn));
    // But nobody is waited for who cannot.
    let mut fence = of_three(100);
    let FenceStep::Raise(drawn, asked) = fence.poll(nodes(&[0, 1]), nodes(&[2])) else {
        panic!("nothing was accepted")
    };
    asked.iter().for_each(|node| fence.handle_silence(node, drawn));
    assert_eq!(fence.poll(asked, nodes(&[2])), FenceStep::Failed);
}

#[test]
fn an_acceptance_behind_a_record_that_was_taken_over_counts_for_nothing() {
    let mut fence = of_three(100);
    fence.handle_first(node(0), None, true);
    fence.handle_first(node(1), Some(number(50)), false);
    assert!(matches!(fence.poll(nodes(&[0, 1]), NONE), FenceStep::Raise(..)));
}

#[test]
fn numbers_are_drawn_anew_in_growing_steps_and_not_for_ever() {
    let mut fence = of_three(100);
    let mut steps = Vec::new();
    let mut last = 100;
    while let FenceStep::Raise(drawn, asked) = fence.poll(nodes(&[0, 1]), NONE) {
        steps.push(drawn.value() - last);
        last = drawn.value() + 7;
        asked.iter().for_each(|node| fence.handle_raise(node, drawn, Some(number(last)), true));
    }
    assert_eq!(steps, (0..=FENCE_STEPS).map(|step| STEP << step).collect::<Vec<_>>());
    assert_eq!(fence.poll(nodes(&[0, 1]), NONE), FenceStep::Failed);
}

/// The rule that a number is drawn anew only after an answer has shown a larger one, and what it is there for.
#[test]
fn doubling_at_every_repetition_behind_a_silent_primary_would_use_up_all_numbers_in_seconds() {
    const NOW: u64 = 1_800_000_000_000_000;
    const REPEATED_EVERY_MS: u64 = 50;
    let draw = |last: u64, step: u64| last + (STEP << step);
    let mut last = NOW;
    let repetitions = (0..64).find(|step| {
        last = draw(last, *step);
        FenceNumber::new(last).is_none()
    });
    assert!(repetitions.is_some_and(|count| count * REPEATED_EVERY_MS < 3_000));

    let mut fence = of_three(NOW);
    let FenceStep::Raise(drawn, asked) = fence.poll(nodes(&[0, 1]), NONE) else { panic!("nothing was accepted") };
    for _ in 0..100 {
        asked.iter().for_each(|node| fence.handle_silence(node, drawn));
        assert_eq!(fence.poll(asked, NONE), FenceStep::Failed);
    }
    assert_eq!(fence.largest, number(NOW + STEP));
}

#[test]
fn an_answer_to_a_former_number_changes_nothing() {
    let mut fence = of_three(100);
    let FenceStep::Raise(first, asked) = fence.poll(nodes(&[0, 1]), NONE) else { panic!("nothing was accepted") };
    asked.iter().for_each(|node| fence.handle_raise(node, first, Some(number(50_000)), true));
    let FenceStep::Raise(second, _) = fence.poll(asked, NONE) else { panic!("it was outrun") };
    asked.iter().for_each(|node| fence.handle_raise(node, first, None, true));
    asked.iter().for_each(|node| fence.handle_silence(node, first));
    assert_eq!(fence.poll(asked, NONE), FenceStep::Wait);
    asked.iter().for_each(|node| fence.handle_raise(node, second, None, true));
    assert_eq!(fence.poll(asked, NONE), FenceStep::Settled(second));
}

#[test]
fn a_signing_gets_a_number_of_its_own() {
    let mut fence = of_three(100);
    // Every SET was refused by the owner's former record, and every raise behind it accepted.
    (0..3).for_each(|index| fence.handle_first(node(index), None, true));
    let signed = fence.for_signing(nodes(&[0, 1, 2]), number(90));
    assert_eq!(signed, number(101));
    (0..2).for_each(|index| fence.handle_first(node(index), Some(number(100)), true));
    assert_eq!(fence.poll(nodes(&[0, 1]), NONE), FenceStep::Settled(signed));
}

#[test]
fn a_take_over_in_part_needs_one_number_for_all() {
    let mut fence = of_three(100);
    (0..3).for_each(|index| fence.handle_first(node(index), None, true));
    // 0 set the record; 1 had the owner's former one, and is signed anew.
    fence.for_signing(nodes(&[1]), number(200));
    fence.handle_first(node(1), Some(number(100)), true);
    let FenceStep::Raise(drawn, asked) = fence.poll(nodes(&[0, 1]), NONE) else { panic!("they accepted two numbers") };
    assert_eq!(asked, nodes(&[0, 1]));
    assert!(drawn > number(200));
}

#[test]
fn no_number_reaches_two_to_the_fifty_third() {
    assert_eq!((FenceNumber::new(0), FenceNumber::new(1 << 53)), (None, None));
    let mut fence = of_three((1 << 53) - 1);
    assert_eq!(fence.poll(nodes(&[0, 1]), NONE), FenceStep::Failed);
}
