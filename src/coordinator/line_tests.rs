//! The lines against a model without any: a list of waiters, gone through from its front for every question.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const KEYS: &str = "abcd";
const LIMITS: LineLimits = LineLimits { waiters: 12, waiters_per_key: 8 };

fn resource(key: char) -> Resource {
    Resource::new(Bytes::from(key.to_string()), 10).expect("a short name")
}

fn resources(keys: &str) -> Resources {
    match keys.chars().collect::<Vec<_>>().as_slice() {
        [key] => Resources::One(resource(*key)),
        keys => Resources::Several(keys.iter().map(|key| resource(*key)).collect()),
    }
}

fn at(ms: u64) -> Moment {
    Moment::from_micros(ms * 1_000)
}

fn refused(tried_at: u64, free_at: Option<u64>) -> Last {
    Last { outcome: Outcome::Refused, tried_at: at(tried_at), free_at: free_at.map(at) }
}

fn no_quorum(tried_at: u64) -> Last {
    let reason = NoQuorum::new(0, 3, 2, &[]);
    Last { outcome: Outcome::NoQuorum(reason), tried_at: at(tried_at), free_at: None }
}

/// Lines of waiters that are told by their numbers.
type Numbered = Lines<u32>;

#[test]
fn whoever_comes_first_is_first_in_each_of_its_lines() {
    let mut lines = Numbered::new(LIMITS);
    let first = lines.join(resources("a"), 1).expect("room");
    let both = lines.join(resources("ab"), 2).expect("room");
    let last = lines.join(resources("b"), 3).expect("room");
    assert!(lines.is_first(first) && !lines.is_first(both));
    assert!(!lines.is_first(last), "it is in front of nobody, though the lock may be free");
    assert_eq!(lines.leave(first, None), [2]);
    assert!(lines.is_first(both) && !lines.is_first(last));
    assert_eq!(lines.leave(both, None), [3]);
    assert!(lines.is_first(last));
    assert!(lines.leave(last, None).is_empty());
    assert_eq!((lines.lines(), lines.waiters()), (0, 0));
}

#[test]
fn a_wake_that_nobody_can_use_yet_is_kept_for_who_comes_first_next() {
    let mut lines = Numbered::new(LIMITS);
    let first = lines.join(resources("a"), 1).expect("room");
    let next = lines.join(resources("a"), 2).expect("room");
    lines.begin(first);
    assert_eq!(lines.wake(&resource('a')), Some(1));
    lines.end(first, &refused(5, None));
    assert!(lines.prospect(first).woken, "the attempt may have come too early");
    lines.leave(first, None);
    assert!(lines.prospect(next).woken);
    lines.begin(next);
    assert!(!lines.prospect(next).woken);
}

#[test]
fn who_leaves_during_an_attempt_leaves_the_lock_to_be_tried_for() {
    let mut lines = Numbered::new(LIMITS);
    let first = lines.join(resources("a"), 1).expect("room");
    let next = lines.join(resources("a"), 2).expect("room");
    lines.begin(first);
    lines.end(first, &refused(5, Some(50)));
    lines.begin(first);
    lines.leave(first, None);
    let prospect = lines.prospect(next);
    assert!(prospect.woken);
    assert_eq!(prospect.last, Some(refused(5, Some(50))));
}

#[test]
fn who_wins_leaves_word_of_it() {
    let mut lines = Numbered::new(LIMITS);
    let first = lines.join(resources("ab"), 1).expect("room");
    let next = lines.join(resources("b"), 2).expect("room");
    assert_eq!(lines.view(&resource('b')), View::Awaited);
    lines.begin(first);
    lines.wake(&resource('b'));
    assert_eq!(lines.leave(first, Some(&refused(7, Some(90)))), [2]);
    assert_eq!(lines.prospect(next), Prospect { woken: false, last: Some(refused(7, Some(90))) });
    assert_eq!(lines.view(&resource('b')), View::Told(Outcome::Refused));
    assert_eq!(lines.view(&resource('a')), View::NoLine);
}

#[test]
fn who_asks_about_a_lock_whose_first_waits_for_another_is_refused() {
    let mut lines = Numbered::new(LIMITS);
    lines.join(resources("b"), 1).expect("room");
    lines.join(resources("ab"), 2).expect("room");
    assert_eq!(lines.view(&resource('a')), View::Told(Outcome::Refused));
    assert_eq!(lines.view(&resource('b')), View::Awaited);
}

#[test]
fn of_several_locks_the_last_to_be_free_counts_and_the_first_that_was_tried() {
    let mut lines = Numbered::new(LIMITS);
    let one = lines.join(resources("a"), 1).expect("room");
    let other = lines.join(resources("b"), 2).expect("room");
    let both = lines.join(resources("ab"), 3).expect("room");
    lines.begin(one);
    lines.end(one, &refused(5, Some(50)));
    lines.leave(one, None);
    lines.begin(other);
    assert_eq!(lines.prospect(both).last, None, "nothing is known of one of them");
    lines.end(other, &refused(6, Some(40)));
    lines.leave(other, None);
    assert_eq!(lines.prospect(both).last, Some(refused(5, Some(50))));
}

#[test]
fn a_release_is_believed_when_enough_primaries_tell_of_it() {
    let node = |index| NodeId::new(index).expect("below nine");
    let mut lines = Numbered::new(LIMITS);
    let first = lines.join(resources("a"), 1).expect("room");
    assert_eq!(lines.hear(&resource('b'), node(0), 1), None);
    assert_eq!(lines.hear(&resource('a'), node(0), 2), None);
    assert_eq!(lines.hear(&resource('a'), node(0), 2), None, "the same one again");
    assert!(!lines.prospect(first).woken);
    assert_eq!(lines.hear(&resource('a'), node(2), 2), Some(1));
    assert!(lines.prospect(first).woken);
    assert_eq!(lines.hear(&resource('a'), node(1), 2), None, "the next one begins anew");
    lines.begin(first);
    assert_eq!(lines.hear(&resource('a'), node(0), 2), None, "so does an attempt");
}

#[test]
fn others_are_told_once_and_again_after_a_pause() {
    let second = Duration::from_secs(1);
    let mut lines = Numbered::new(LIMITS);
    let one = lines.join(resources("a"), 1).expect("room");
    let both = lines.join(resources("ab"), 2).expect("room");
    assert_eq!(lines.announce(one, at(10), second), [resource('a')]);
    assert_eq!(lines.announce(both, at(500), second), [resource('b')]);
    assert!(lines.announce(one, at(1_009), second).is_empty());
    assert_eq!(lines.announce(one, at(1_010), second), [resource('a')]);
    assert_eq!(lines.announce(both, at(1_011), Duration::ZERO), [resource('a'), resource('b')]);
}

#[derive(Debug, Clone)]
enum Step {
    Join(String),
    /// One of those who are there; in the middle of an attempt or not.
    Leave(Index),
    /// One of those who are first begins an attempt, or ends the one that it makes.
    Try(Index, bool),
    Win(Index),
    Wake(char),
    WakeAll,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || prop::sample::select(KEYS.chars().collect::<Vec<_>>());
    prop_oneof![
        4 => prop::sample::subsequence(KEYS.chars().collect::<Vec<_>>(), 1..=3)
            .prop_shuffle()
            .prop_map(|keys| Step::Join(keys.into_iter().collect())),
        2 => any::<Index>().prop_map(Step::Leave),
        4 => (any::<Index>(), any::<bool>()).prop_map(|(index, settled)| Step::Try(index, settled)),
        2 => any::<Index>().prop_map(Step::Win),
        1 => key().prop_map(Step::Wake),
        1 => Just(Step::WakeAll),
    ]
}

#[derive(Debug, Clone)]
struct Person {
    number: u32,
    id: WaiterId,
    keys: String,
    trying: bool,
}

#[derive(Debug, Default)]
struct Model {
    /// In the order of arrival.
    people: Vec<Person>,
    /// Of every key that somebody waits for: the last attempt, and whether it was woken since one began.
    known: BTreeMap<char, (Option<Last>, bool)>,
}

impl Model {
    fn waits(person: &Person, key: char) -> bool {
        person.keys.contains(key)
    }

    fn is_first(&self, place: usize) -> bool {
        self.people[..place]
            .iter()
            .all(|earlier| !earlier.keys.chars().any(|key| Self::waits(&self.people[place], key)))
    }

    fn first(&self) -> Vec<u32> {
        (0..self.people.len()).filter(|place| self.is_first(*place)).map(|place| self.people[place].number).collect()
    }

    fn remove(&mut self, place: usize) -> Person {
        let person = self.people.remove(place);
        self.known.retain(|key, _| self.people.iter().any(|person| Self::waits(person, *key)));
        person
    }
}

proptest! {
    #[test]
    fn lines_do_what_a_list_of_waiters_would(steps in prop::collection::vec(step(), 0..80)) {
        let mut lines = Numbered::new(LIMITS);
        let mut model = Model::default();
        for (now, step) in (1_u64..).zip(steps) {
            let before = model.first();
            match step {
                Step::Join(keys) => {
                    let number = u32::try_from(now).expect("few");
                    let is_full = |key: char| model.people.iter().filter(|one| Model::waits(one, key)).count() >= 8;
                    let has_room = model.people.len() < 12 && !keys.chars().any(is_full);
                    let joined = lines.join(resources(&keys), number);
                    prop_assert_eq!(joined.is_ok(), has_room);
                    if let Ok(id) = joined {
                        keys.chars().for_each(|key| { model.known.entry(key).or_default(); });
                        model.people.push(Person { number, id, keys, trying: false });
                    }
                }
                Step::Leave(index) if !model.people.is_empty() => {
                    let person = model.remove(index.index(model.people.len()));
                    for key in person.keys.chars().filter(|_| person.trying) {
                        model.known.entry(key).and_modify(|known| known.1 = true);
                    }
                    let called = lines.leave(person.id, None);
                    let newly: Vec<u32> = model.first().into_iter().filter(|number| !before.contains(number)).collect();
                    prop_assert_eq!(sorted(called), newly);
                }
                Step::Try(index, settled) if !before.is_empty() => {
                    let number = before[index.index(before.len())];
                    let person = model.people.iter_mut().find(|person| person.number == number).expect("it is there");
                    let (id, keys) = (person.id, person.keys.clone());
                    person.trying = !person.trying;
                    let last = if settled { refused(now, Some(now + 50)) } else { no_quorum(now) };
                    if person.trying {
                        lines.begin(id);
                    } else {
                        lines.end(id, &last);
                    }
                    let trying = person.trying;
                    for key in keys.chars() {
                        let known = model.known.get_mut(&key).expect("somebody waits for it");
                        if trying { known.1 = false } else { known.0 = Some(last.clone()) }
                    }
                }
                Step::Win(index) if model.people.iter().any(|person| person.trying) => {
                    let trying: Vec<usize> =
                        (0..model.people.len()).filter(|place| model.people[*place].trying).collect();
                    let person = model.remove(trying[index.index(trying.len())]);
                    for key in person.keys.chars() {
                        model.known.entry(key).and_modify(|known| *known = (Some(refused(now, None)), false));
                    }
                    let called = lines.leave(person.id, Some(&refused(now, None)));
                    let newly: Vec<u32> = model.first().into_iter().filter(|number| !before.contains(number)).collect();
                    prop_assert_eq!(sorted(called), newly);
                }
                Step::Wake(key) => {
                    if let Some(known) = model.known.get_mut(&key) {
                        known.1 = true;
                    }
                    let first = model.people.iter().find(|person| Model::waits(person, key));
                    let expected = first.map(|person| person.number).filter(|number| before.contains(number));
                    prop_assert_eq!(lines.wake(&resource(key)), expected);
                }
                Step::WakeAll => {
                    model.known.values_mut().for_each(|known| known.1 = true);
                    prop_assert_eq!(lines.wake_all(), before);
                }
                _ => {}
            }
            agree(&lines, &model)?;
        }
    }
}

fn agree(lines: &Numbered, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(lines.waiters(), model.people.len());
    prop_assert_eq!(lines.lines(), model.known.len());
    prop_assert!(lines.everybody().copied().eq(model.people.iter().map(|person| person.number)));
    for (place, person) in model.people.iter().enumerate() {
        prop_assert_eq!(lines.is_first(person.id), model.is_first(place));
        let known: Vec<_> = person.keys.chars().map(|key| &model.known[&key]).collect();
        let prospect = lines.prospect(person.id);
        prop_assert_eq!(prospect.woken, known.iter().any(|(_, woken)| *woken));
        prop_assert_eq!(prospect.last.is_some(), known.iter().all(|(last, _)| last.is_some()));
        let earliest = known.iter().filter_map(|(last, _)| last.as_ref()).map(|last| last.tried_at).min();
        if let Some(last) = prospect.last {
            prop_assert_eq!(Some(last.tried_at), earliest);
        }
    }
    for key in KEYS.chars() {
        let count = model.people.iter().filter(|person| Model::waits(person, key)).count();
        prop_assert_eq!(lines.waiters_for(&resource(key)), count);
        let first = model.people.iter().position(|person| Model::waits(person, key));
        let expected = match (first, model.known.get(&key)) {
            (Some(_), Some((Some(last), _))) => View::Told(last.outcome.clone()),
            (Some(first), _) if model.is_first(first) => View::Awaited,
            (Some(_), _) => View::Told(Outcome::Refused),
            (None, _) => View::NoLine,
        };
        prop_assert_eq!(lines.view(&resource(key)), expected);
    }
    Ok(())
}

fn sorted(mut numbers: Vec<u32>) -> Vec<u32> {
    numbers.sort_unstable();
    numbers
}
