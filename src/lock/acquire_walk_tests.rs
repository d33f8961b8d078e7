//! Every vote in every order: a walk over all states an attempt can be in, and random paths where there are too many.
//!
//! A path of votes matters only by the state it leads to, so the walk keeps a set of the states it has been in and
//! goes on from each once: every order is covered without running every order. State here means the machine
//! *and* the test's notes about it; a machine that remembered more than the notes, or less, would still be walked.

use std::collections::HashSet;

use proptest::prelude::*;

use super::model::{Answer, Clock, Event, Round, SIGN_VOTES, Seen};
use super::*;

/// What a walk tries from each state.
#[derive(Clone, Copy)]
struct Reach {
    answers: &'static [Answer],
    /// Of the primaries that have not answered, only the first answers next. An order of votes is then told by the
    /// votes, not by the numbers: the third primary's number is "who answered third". That still runs every
    /// sequence of votes, but each under one numbering, so it is sound only for a machine that treats all
    /// primaries alike; the walks without it show that.
    numbered_by_arrival: bool,
    /// Also votes of which several come between two looks at the machine, and clients that leave.
    batches_and_departures: bool,
}

/// What a walk met.
#[derive(Default)]
struct Met {
    states: usize,
    endings: usize,
    signings: usize,
    verdicts: HashSet<AcquireVerdict>,
}

fn walk(needed: usize, total: usize, reach: Reach) -> Met {
    let mut met = Met::default();
    let mut visited = HashSet::new();
    let mut to_visit = vec![Round::new(needed, total)];
    while let Some(round) = to_visit.pop() {
        let events = events(&round, reach);
        if events.iter().all(|event| *event == Event::Abandon) {
            met.endings += 1;
            // Nobody is left to answer: the look itself fails if it finds that something is still waited for. What was
            // not looked at before may ask for signings, whose answers the walk goes on with.
            for clock in Clock::BOTH {
                round.clone().poll(clock);
            }
        }
        for event in events {
            let mut unpolled = round.clone();
            unpolled.handle(event);
            let mut reached = Clock::BOTH
                .map(|clock| {
                    let mut next = unpolled.clone();
                    met.signings += usize::from(matches!(next.poll(clock), AcquireStep::Sign(_)));
                    next
                })
                .to_vec();
            if reach.batches_and_departures {
                reached.push(unpolled);
            }
            for next in reached {
                met.verdicts.extend(next.verdict);
                if visited.insert(next.clone()) {
                    next.check();
                    to_visit.push(next);
                }
            }
        }
    }
    met.states = visited.len();
    met
}

fn events(round: &Round, reach: Reach) -> Vec<Event> {
    let mut events = Vec::new();
    let mut is_first = true;
    for (index, seen) in round.seen.iter().enumerate() {
        match seen {
            Seen::Nothing if is_first => {
                is_first = !reach.numbered_by_arrival;
                events.extend(reach.answers.iter().map(|&answer| Event::Vote(index, answer)));
            }
            Seen::Asked => events.extend(SIGN_VOTES.map(|vote| Event::SignVote(index, vote))),
            Seen::Nothing | Seen::Answered(_) | Seen::Signing(_) => {}
        }
    }
    if reach.batches_and_departures {
        events.push(Event::Abandon);
    }
    events
}

/// The verdicts that a machine can give whose client stays, for any quorum of any set: one holder is waited for as
/// long as it may yet be seen on a quorum, so no size of set hides it behind a split.
const VERDICTS: [AcquireVerdict; 5] = [
    AcquireVerdict::Granted,
    AcquireVerdict::TooLate,
    AcquireVerdict::Held,
    AcquireVerdict::NoQuorum,
    AcquireVerdict::Split,
];

/// Fails unless the walk was one: all verdicts that can be, and more endings than a machine stuck early would leave.
fn assert_walked(met: &Met, total: usize, reach: Reach) {
    let departures = reach.batches_and_departures.then_some(AcquireVerdict::Abandoned);
    assert_eq!(met.verdicts, VERDICTS.into_iter().chain(departures).collect());
    assert!(met.signings > 0);
    // Answers other than the owner's own are the end of a primary's part: each list of them ends in a state of its own.
    let last_words = reach.answers.iter().filter(|answer| !matches!(answer, Answer::OwnX | Answer::OwnY)).count();
    let least = (0..total).fold(1, |lists, _| lists * last_words);
    assert!(met.endings > least && met.states > met.endings, "{} states, {} endings", met.states, met.endings);
}

fn walk_in_order(needed: usize, total: usize, answers: &'static [Answer], numbered_by_arrival: bool) {
    let reach = Reach { answers, numbered_by_arrival, batches_and_departures: false };
    assert_walked(&walk(needed, total, reach), total, reach);
}

/// What the larger walks leave out: the second value of the same owner. It matters only to what is signed with what.
const WITHOUT_OWN_Y: &[Answer] =
    &[Answer::Granted, Answer::OwnX, Answer::HeldX, Answer::HeldY, Answer::HeldUnknown, Answer::Silent, Answer::Unsent];

#[test]
fn up_to_three_primaries_follow_the_table_in_every_order_and_batch_and_whenever_the_client_leaves() {
    let reach = Reach { answers: &Answer::ALL, numbered_by_arrival: false, batches_and_departures: true };
    for total in 1..=3 {
        for needed in total / 2 + 1..=total {
            assert_walked(&walk(needed, total, reach), total, reach);
        }
    }
}

#[test]
fn up_to_four_primaries_follow_the_table_in_every_order() {
    for total in 1..=4 {
        for needed in total / 2 + 1..=total {
            walk_in_order(needed, total, &Answer::ALL, false);
        }
    }
}

/// All orders, told by arrival (see [`Reach`]); the owner has signed one value only.
#[test]
fn a_majority_of_five_primaries_follows_the_table_in_every_order() {
    walk_in_order(3, 5, WITHOUT_OWN_Y, true);
}

/// As above; a quorum above the majority is blocked sooner than it is won.
#[test]
fn a_quorum_of_four_or_five_of_five_primaries_follows_the_table_in_every_order() {
    walk_in_order(4, 5, WITHOUT_OWN_Y, true);
    walk_in_order(5, 5, WITHOUT_OWN_Y, true);
}

/// Of each event: which of those that may come, and the clock when it is looked at, if it is.
type Picks = Vec<(prop::sample::Index, Option<Clock>)>;

/// A quorum and its set, the answers that occur, and the path.
fn any_path() -> impl Strategy<Value = (usize, usize, Vec<Answer>, Picks)> {
    let look = prop_oneof![4 => Just(Some(Clock::Fresh)), 1 => Just(Some(Clock::Spent)), 1 => Just(None)];
    // Few kinds of answers at a time, or nine primaries would hardly ever agree.
    let answers = prop::sample::subsequence(Answer::ALL.to_vec(), 1..=Answer::ALL.len());
    (1_usize..=9, answers, prop::collection::vec((any::<prop::sample::Index>(), look), 18))
        .prop_flat_map(|(total, answers, picks)| (total / 2 + 1..=total, Just(total), Just(answers), Just(picks)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_votes_of_up_to_nine_primaries_follow_the_table((needed, total, answers, picks) in any_path()) {
        let mut round = Round::new(needed, total);
        for (pick, look) in picks {
            // Nobody speaks more than twice, so the picks outlast the events.
            let mut possible = Vec::new();
            for (index, seen) in round.seen.iter().enumerate() {
                match seen {
                    Seen::Nothing => possible.extend(answers.iter().map(|&answer| Event::Vote(index, answer))),
                    Seen::Asked => possible.extend(SIGN_VOTES.map(|vote| Event::SignVote(index, vote))),
                    Seen::Answered(_) | Seen::Signing(_) => {}
                }
            }
            if possible.is_empty() {
                break;
            }
            round.handle(possible[pick.index(possible.len())]);
            if let Some(clock) = look {
                round.poll(clock);
            }
            round.check();
        }
    }
}
