//! The table of what is found, and the histories behind it.

use super::*;

#[path = "census_clock_tests.rs"]
mod clocks;

const RUN: &str = "a1";
const SECOND: u64 = 1_000_000;
/// The quarantine under these rules: 60 s, 1 % and 2 ms of drift, 50 ms of a round.
const QUARANTINE: Duration = Duration::from_millis(60_000 + 602 + 50);

fn rules(total: usize, at_once: bool) -> CensusRules {
    CensusRules {
        set: "main".into(),
        quorum: Quorum::majority(total).expect("1 to 9"),
        max_ttl: Ttl::from_millis(60_000).expect("in range"),
        drift: Drift::from_parts_per_million(10_000),
        node_timeout: Duration::from_millis(50),
        probe_interval: Duration::from_secs(1),
        silence_timeout: Duration::from_secs(1),
        at_once: at_once.then_some(Duration::from_secs(2)),
    }
}

/// Primaries with markers and clocks, and one proxy that looks at them.
struct World {
    census: Census,
    now: u64,
    markers: Vec<Option<Bytes>>,
    runs: Vec<String>,
    /// How far each clock is ahead, in microseconds.
    ahead: Vec<i64>,
    epochs: u128,
}

impl World {
    fn new(total: usize, at_once: bool) -> Self {
        Self {
            census: Census::new(rules(total, at_once)),
            now: SECOND,
            markers: vec![None; total],
            runs: (0..total).map(|index| format!("{RUN}{index}")).collect(),
            ahead: vec![0; total],
            epochs: 0,
        }
    }

    /// All connected, and sound.
    fn sound(total: usize) -> Self {
        let mut world = Self::new(total, true);
        (0..total).for_each(|index| drop(world.admit(index)));
        (0..total).for_each(|index| drop(world.batch(index)));
        (0..total).for_each(|index| assert_eq!(world.batch(index), Tail::Counts));
        world
    }

    fn at(&self) -> Moment {
        Moment::from_micros(self.now)
    }

    fn pass(&mut self, time: Duration) {
        self.now += u64::try_from(time.as_micros()).expect("short");
    }

    fn look(&mut self, index: usize) -> Look {
        let asked = self.at();
        self.now += 200;
        let micros = (1_700_000_000 * SECOND + self.now - 100).saturating_add_signed(self.ahead[index]);
        Look { marker: self.markers[index].clone(), clock: ClockReading { micros, asked, answered: self.at() } }
    }

    fn admit(&mut self, index: usize) -> Soundness {
        let look = self.look(index);
        self.census.admitted(node(index), &self.runs[index].clone(), &look)
    }

    /// A batch as a link writes it: with its errand, and its tail.
    fn batch(&mut self, index: usize) -> Tail {
        self.epochs += 1;
        if let Errand::Write { found, marker } = self.census.errand(node(index), self.at(), Epoch(self.epochs))
            && self.markers[index] == found
        {
            self.markers[index] = Some(marker);
        }
        let look = self.look(index);
        self.census.tail(node(index), &self.runs[index].clone(), &look)
    }

    /// Batches to all until the quarantine is over, by a second each.
    fn live(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(Duration::from_secs(1));
            (0..self.markers.len()).for_each(|index| drop(self.batch(index)));
        }
    }

    fn soundness(&self, index: usize) -> Soundness {
        self.census.soundness(node(index), self.at())
    }

    fn amnesia(&self, index: usize) -> Option<Amnesia> {
        match self.soundness(index) {
            Soundness::Quarantined(amnesia, _) => Some(amnesia),
            Soundness::Sound | Soundness::Foreign(_) => None,
        }
    }

    fn marker(&self, index: usize) -> Marker {
        Marker::parse(self.markers[index].as_ref().expect("it is marked")).expect("a marker")
    }

    fn restart(&mut self, index: usize, marker: Option<Bytes>) -> Soundness {
        self.census.lost(node(index));
        self.runs[index].push('x');
        self.markers[index] = marker;
        self.admit(index)
    }
}

fn node(index: usize) -> NodeId {
    NodeId::new(index).expect("below nine")
}

#[test]
fn a_new_set_votes_at_once_only_when_all_have_answered_and_that_is_configured() {
    let world = World::sound(3);
    assert_eq!(world.marker(0).state, MarkerState::Sound);
    assert_eq!(world.census.quarantines(), 0);
    // One has not answered.
    let mut world = World::new(3, true);
    assert!((0..2).all(|index| world.admit(index) != Soundness::Sound));
    assert!(world.census.may_found(node(0)));
    world.pass(Duration::from_millis(1_999));
    world.batch(0);
    assert_eq!(world.markers[0], None, "it may be about to");
    world.live(1);
    assert_eq!(world.marker(0).state, MarkerState::Forgot);
    assert_eq!(world.amnesia(0), Some(Amnesia::NewSet));
    // It is not configured.
    let mut world = World::new(3, false);
    (0..3).for_each(|index| drop(world.admit(index)));
    world.live(2);
    assert!((0..3).all(|index| world.marker(index).state == MarkerState::Forgot));
    world.live(58);
    assert!((0..3).all(|index| world.amnesia(index) == Some(Amnesia::NewSet)), "not before max_ttl has passed");
    world.live(3);
    assert!((0..3).all(|index| world.soundness(index) == Soundness::Sound));
}

#[test]
fn a_whole_set_that_lost_everything_under_a_living_proxy_is_not_new() {
    let mut world = World::sound(3);
    (0..3).for_each(|index| drop(world.restart(index, None)));
    world.live(2);
    for index in 0..3 {
        assert_eq!((world.marker(index).state, world.amnesia(index)), (MarkerState::Forgot, Some(Amnesia::Restarted)));
    }
}

#[test]
fn a_memory_that_is_flushed_does_not_vote_from_the_batch_that_shows_it_until_its_quarantine_is_over() {
    let mut world = World::sound(3);
    world.markers[0] = None;
    assert!(matches!(world.batch(0), Tail::Quarantined(Amnesia::Flushed, _)));
    world.live(2);
    let marker = world.marker(0);
    assert_eq!(marker.state, MarkerState::Forgot);
    let seen = world.at();
    while world.soundness(0) != Soundness::Sound {
        assert!(world.at().since(seen) < QUARANTINE + Duration::from_secs(2));
        world.live(1);
    }
    assert!(world.at().since(seen) + Duration::from_secs(1) >= QUARANTINE, "{:?}", world.at().since(seen));
    assert_eq!(world.marker(0), Marker { state: MarkerState::Sound, ..marker });
    assert_eq!((world.batch(0), world.census.quarantines()), (Tail::Counts, 1));
}

#[test]
fn another_proxy_that_marks_at_once_hides_no_loss() {
    let mut world = World::sound(3);
    // Flushed, and marked anew between two of our batches.
    let marker = Marker { epoch: Epoch(u128::MAX), state: MarkerState::Forgot, ..world.marker(0) };
    world.markers[0] = Some(marker.encode());
    assert!(matches!(world.batch(0), Tail::Quarantined(Amnesia::Flushed, _)));
    // Another proxy has known it for longer: its word is trusted, from the next batch on.
    world.markers[0] = Some(Marker { state: MarkerState::Sound, ..marker.clone() }.encode());
    assert_eq!(world.batch(0), Tail::Quarantined(Amnesia::Flushed, Duration::ZERO));
    assert_eq!(world.batch(0), Tail::Counts);
    // The same with a marker that says sound and is another: no batch that was sent before has seen this memory.
    world.markers[0] = Some(Marker { epoch: Epoch(7), state: MarkerState::Sound, ..marker }.encode());
    assert_ne!(world.batch(0), Tail::Counts);
}

#[test]
fn an_old_snapshot_shows_the_run_that_it_was_taken_of() {
    let mut world = World::sound(3);
    let snapshot = world.markers[0].clone();
    assert_eq!(world.restart(0, snapshot), Soundness::Quarantined(Amnesia::Restarted, QUARANTINE));
    let before = world.marker(0);
    world.batch(0);
    let after = world.marker(0);
    assert_eq!((after.state, &*after.run), (MarkerState::Forgot, world.runs[0].as_str()));
    assert_ne!(after.epoch, before.epoch);
}

#[test]
fn a_primary_of_another_set_or_size_is_left_alone() {
    for (text, name) in [
        ("1 other 3 60000 a10 0000000000000000000000000000002a sound", "other/3"),
        ("1 main 5 60000 a10 0000000000000000000000000000002a sound", "main/5"),
        ("no marker at all", "unknown"),
    ] {
        let mut world = World::sound(3);
        world.markers[0] = Some(text.into());
        assert_eq!(world.batch(0), Tail::Foreign(name.into()));
        world.census.lost(node(0));
        assert_eq!(world.admit(0), Soundness::Foreign(name.into()));
        world.live(100);
        assert_eq!(world.markers[0].as_deref(), Some(text.as_bytes()));
    }
}

#[test]
fn who_was_a_replica_may_have_another_memory_under_its_own_marker() {
    let mut world = World::sound(3);
    world.census.is_replica(node(0));
    world.census.lost(node(0));
    assert_eq!(world.admit(0), Soundness::Quarantined(Amnesia::RoleChanged, QUARANTINE));
    world.batch(0);
    assert_eq!(world.marker(0).state, MarkerState::Forgot);
    assert_eq!(world.amnesia(0), Some(Amnesia::RoleChanged));
    world.live(63);
    assert_eq!(world.soundness(0), Soundness::Sound);
}

#[test]
fn a_quarantine_lasts_as_long_as_any_marker_says_and_no_ttl_is_longer_than_every_marker_allows() {
    let mut world = World::new(3, false);
    for (index, millis) in [30_000, 90_000, 60_000].into_iter().enumerate() {
        let max_ttl = Ttl::from_millis(millis).expect("in range");
        let (run, epoch) = (world.runs[index].as_str().into(), Epoch(index as u128));
        let marker = Marker { set: "main".into(), total: 3, max_ttl, run, epoch, state: MarkerState::Sound };
        world.markers[index] = Some(marker.encode());
        assert_eq!(world.admit(index), Soundness::Sound);
    }
    assert_eq!(world.census.ceiling().as_millis(), 30_000);
    world.restart(0, None);
    assert_eq!(world.census.ceiling().as_millis(), 60_000);
    world.live(3);
    assert_eq!(world.marker(0).max_ttl.as_millis(), 90_000);
    world.live(87);
    assert_ne!(world.soundness(0), Soundness::Sound);
    world.live(4);
    assert_eq!(world.soundness(0), Soundness::Sound);
}

#[test]
fn a_quarantine_does_not_end_before_as_many_others_were_read_as_a_quorum_needs() {
    let mut world = World::new(3, false);
    world.admit(0);
    world.live(100);
    assert_eq!(world.marker(0).state, MarkerState::Forgot, "another may say that locks live longer");
    world.admit(1);
    world.live(3);
    assert_eq!(world.soundness(0), Soundness::Sound);
}

#[test]
fn what_is_older_than_what_is_known_changes_nothing_and_counts_nothing() {
    let mut world = World::sound(3);
    // Two links: the answer to a batch on one is under way while the other sees the loss.
    let late = world.look(0);
    world.markers[0] = None;
    assert_ne!(world.batch(0), Tail::Counts);
    let late = Look { clock: ClockReading { answered: world.at(), ..late.clock }, ..late };
    assert_ne!(world.census.tail(node(0), &world.runs[0].clone(), &late), Tail::Counts);
    assert_eq!(world.amnesia(0), Some(Amnesia::Flushed));
    // And one that still talks to the process that had this address before.
    let former = world.runs[1].clone();
    world.restart(1, None);
    let look = world.look(1);
    assert_eq!(world.census.tail(node(1), &former, &look), Tail::Elsewhere);
}

#[test]
fn a_primary_that_was_about_to_be_founded_is_not_marked_as_sound_when_its_link_was_away() {
    let mut world = World::new(3, true);
    (0..3).for_each(|index| drop(world.admit(index)));
    // The link breaks before its marker is written. Another proxy marks it, grants, and it is flushed.
    world.census.lost(node(2));
    (0..2).for_each(|index| drop(world.batch(index)));
    world.pass(Duration::from_secs(100));
    world.admit(2);
    world.live(2);
    assert_eq!(world.marker(2).state, MarkerState::Forgot);
    // The same when the link lives and its errand is late.
    let mut world = World::new(3, true);
    (0..3).for_each(|index| drop(world.admit(index)));
    (0..2).for_each(|index| drop(world.batch(index)));
    world.pass(SECOND_LOOK);
    world.batch(2);
    assert_eq!(world.marker(2).state, MarkerState::Forgot);
}

#[test]
fn a_marker_that_was_written_before_a_change_of_roles_says_nothing_of_it() {
    let mut world = World::sound(3);
    world.census.lost(node(0));
    // Another proxy marks it; then it is a replica for a while, of one that has that marker too.
    let marker = Marker { epoch: Epoch(u128::MAX), ..world.marker(0) };
    world.markers[0] = Some(marker.encode());
    world.census.is_replica(node(0));
    assert_eq!(world.admit(0), Soundness::Quarantined(Amnesia::RoleChanged, QUARANTINE));
    world.batch(0);
    assert_eq!(world.marker(0).state, MarkerState::Forgot);
    assert_ne!(world.marker(0).epoch, marker.epoch);
}
