//! Clocks that step: one alone, all together, before a proxy comes back.

use super::*;

#[test]
fn a_clock_that_steps_alone_is_a_loss_once_all_others_have_been_looked_at() {
    let mut world = World::sound(3);
    world.ahead[0] = 3_600_000_000;
    assert_eq!(world.batch(0), Tail::Quarantined(Amnesia::ClockStepped, QUARANTINE));
    let before = world.marker(0);
    world.batch(0);
    assert_eq!(world.marker(0), before, "it may be a clock that all share");
    world.batch(1);
    world.census.lost(node(0));
    // The step is remembered over a reconnect, and so is the base line.
    assert_eq!(world.admit(0), Soundness::Quarantined(Amnesia::ClockStepped, QUARANTINE));
    world.batch(2);
    world.batch(0);
    assert_eq!(world.marker(0).state, MarkerState::Forgot);
    assert_ne!(world.marker(0).epoch, before.epoch);
    world.live(62);
    assert_eq!(world.soundness(0), Soundness::Sound);
}

#[test]
fn a_step_is_judged_in_time_when_another_primary_is_silent() {
    let mut world = World::sound(3);
    world.ahead[0] = 3_600_000_000;
    world.batch(0);
    world.pass(Duration::from_millis(1_900));
    world.batch(0);
    assert_eq!(world.marker(0).state, MarkerState::Sound);
    world.pass(Duration::from_millis(200));
    world.batch(0);
    assert_eq!(world.marker(0).state, MarkerState::Forgot);
}

#[test]
fn a_step_of_too_many_clocks_is_the_proxys_own_matter() {
    let mut world = World::sound(3);
    world.ahead = vec![3_600_000_000; 3];
    let before: Vec<Marker> = (0..3).map(|index| world.marker(index)).collect();
    (0..3).for_each(|index| assert_ne!(world.batch(index), Tail::Counts));
    world.live(60);
    for (index, before) in before.iter().enumerate() {
        assert_eq!(
            (&world.marker(index), world.amnesia(index)),
            (before, Some(Amnesia::ClockStepped)),
            "nothing is written"
        );
    }
    world.live(2);
    assert!((0..3).all(|index| world.batch(index) == Tail::Counts));
}

#[test]
fn a_step_backward_is_none_and_one_in_quarantine_begins_it_anew() {
    let mut world = World::sound(3);
    world.ahead[0] = -3_600_000_000;
    assert_eq!(world.batch(0), Tail::Counts);
    world.markers[1] = None;
    world.live(30);
    let epoch = world.marker(1).epoch;
    world.ahead[1] = 1_000_000;
    world.live(3);
    assert_ne!(world.marker(1).epoch, epoch);
    world.live(40);
    assert_eq!(world.amnesia(1), Some(Amnesia::ClockStepped));
}

#[test]
fn a_step_that_is_seen_together_with_a_new_marker_is_no_older_than_that() {
    let mut world = World::sound(3);
    world.census.lost(node(0));
    // Flushed, marked and sound again, by another proxy; then its clock jumps, which that one does not see.
    let marker = Marker { epoch: Epoch(u128::MAX), ..world.marker(0) };
    world.markers[0] = Some(marker.encode());
    world.pass(Duration::from_secs(100));
    world.ahead[0] = 3_600_000_000;
    assert_eq!(world.admit(0), Soundness::Quarantined(Amnesia::ClockStepped, QUARANTINE));
    (1..3).for_each(|index| drop(world.batch(index)));
    world.batch(0);
    assert_eq!(world.marker(0).state, MarkerState::Forgot);
}

#[test]
fn a_proxy_that_slept_and_comes_back_to_one_primary_first_marks_none() {
    let mut world = World::sound(3);
    let before: Vec<Marker> = (0..3).map(|index| world.marker(index)).collect();
    (0..3).for_each(|index| world.census.lost(node(index)));
    world.ahead = vec![3_600_000_000; 3];
    for index in 0..3 {
        assert_ne!(world.admit(index), Soundness::Sound);
        world.pass(Duration::from_millis(500));
    }
    world.live(10);
    for (index, before) in before.iter().enumerate() {
        assert_eq!((&world.marker(index), world.amnesia(index)), (before, Some(Amnesia::ClockStepped)));
    }
}
