//! The steps of one number, and a little world of counters in which numbers must grow from grant to grant.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

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

/// What the first number that is drawn anew adds.
const STEP: u64 = 1_000;

#[test]
fn one_round_is_enough_where_a_quorum_granted_and_accepted() {
    let mut fence = of_three(100);
    fence.handle_first(node(0), None);
    fence.handle_first(node(2), Some(number(99)));
    assert_eq!(fence.poll(nodes(&[0, 2])), FenceStep::Settled(number(100)));
}

#[test]
fn an_acceptance_counts_only_where_the_lock_was_granted() {
    let mut fence = of_three(100);
    (0..3).for_each(|index| fence.handle_first(node(index), None));
    assert_eq!(fence.poll(nodes(&[0, 1])), FenceStep::Settled(number(100)));
    let mut fence = of_three(100);
    fence.handle_first(node(0), None);
    fence.handle_first(node(1), None);
    // Won on 0 and 2; of these 0 alone accepted.
    assert_eq!(fence.poll(nodes(&[0, 2])), FenceStep::Raise(number(100 + STEP), nodes(&[0, 2])));
}

#[test]
fn a_number_drawn_anew_exceeds_every_number_that_was_seen() {
    let mut fence = of_three(100);
    fence.handle_first(node(0), Some(number(5_000)));
    fence.handle_first(node(1), Some(number(100)));
    // A refusal shows a number, too.
    fence.handle_first(node(2), Some(number(9_000)));
    assert_eq!(fence.poll(nodes(&[0, 1])), FenceStep::Raise(number(9_000 + STEP), nodes(&[0, 1])));
    fence.handle_raise(node(0), number(9_000 + STEP), Some(number(5_000)), true);
    assert_eq!(fence.poll(nodes(&[0, 1])), FenceStep::Wait);
    fence.handle_raise(node(1), number(9_000 + STEP), None, true);
    assert_eq!(fence.poll(nodes(&[0, 1])), FenceStep::Settled(number(9_000 + STEP)));
}

#[test]
fn a_primary_counts_only_while_it_holds_the_record() {
    let mut fence = of_three(100);
    let FenceStep::Raise(drawn, asked) = fence.poll(nodes(&[0, 1])) else { panic!("nothing was accepted") };
    asked.iter().for_each(|node| fence.handle_raise(node, drawn, None, node.index() == 0));
    assert_eq!(fence.poll(asked), FenceStep::Failed);
}

#[test]
fn a_silent_primary_is_waited_for_and_does_not_make_numbers_grow() {
    let mut fence = of_three(100);
    let FenceStep::Raise(drawn, asked) = fence.poll(nodes(&[0, 1])) else { panic!("nothing was accepted") };
    fence.handle_raise(node(0), drawn, None, true);
    assert_eq!(fence.poll(asked), FenceStep::Wait);
    fence.handle_silence(node(1), drawn);
    assert_eq!(fence.poll(asked), FenceStep::Failed);
}

#[test]
fn numbers_are_drawn_anew_in_growing_steps_and_not_for_ever() {
    let mut fence = of_three(100);
    let mut steps = Vec::new();
    let mut last = 100;
    while let FenceStep::Raise(drawn, asked) = fence.poll(nodes(&[0, 1])) {
        steps.push(drawn.value() - last);
        last = drawn.value() + 7;
        asked.iter().for_each(|node| fence.handle_raise(node, drawn, Some(number(last)), true));
    }
    assert_eq!(steps, (0..=FENCE_STEPS).map(|step| STEP << step).collect::<Vec<_>>());
    assert_eq!(fence.poll(nodes(&[0, 1])), FenceStep::Failed);
}

#[test]
fn an_answer_to_a_former_number_changes_nothing() {
    let mut fence = of_three(100);
    let FenceStep::Raise(first, asked) = fence.poll(nodes(&[0, 1])) else { panic!("nothing was accepted") };
    asked.iter().for_each(|node| fence.handle_raise(node, first, Some(number(50_000)), true));
    let FenceStep::Raise(second, _) = fence.poll(asked) else { panic!("it was outrun") };
    asked.iter().for_each(|node| fence.handle_raise(node, first, None, true));
    asked.iter().for_each(|node| fence.handle_silence(node, first));
    assert_eq!(fence.poll(asked), FenceStep::Wait);
    asked.iter().for_each(|node| fence.handle_raise(node, second, None, true));
    assert_eq!(fence.poll(asked), FenceStep::Settled(second));
}

#[test]
fn a_signing_gets_a_number_of_its_own() {
    let mut fence = of_three(100);
    // Every SET was refused by the owner's former record, and every raise behind it accepted.
    (0..3).for_each(|index| fence.handle_first(node(index), None));
    let signed = fence.for_signing(nodes(&[0, 1, 2]), number(90));
    assert_eq!(signed, number(101));
    (0..2).for_each(|index| fence.handle_first(node(index), Some(number(100))));
    assert_eq!(fence.poll(nodes(&[0, 1])), FenceStep::Settled(signed));
}

#[test]
fn a_take_over_in_part_needs_one_number_for_all() {
    let mut fence = of_three(100);
    (0..3).for_each(|index| fence.handle_first(node(index), None));
    // 0 set the record; 1 had the owner's former one, and is signed anew.
    fence.for_signing(nodes(&[1]), number(200));
    fence.handle_first(node(1), Some(number(100)));
    let FenceStep::Raise(drawn, asked) = fence.poll(nodes(&[0, 1])) else { panic!("they accepted two numbers") };
    assert_eq!(asked, nodes(&[0, 1]));
    assert!(drawn > number(200));
}

#[test]
fn no_number_reaches_two_to_the_fifty_third() {
    assert_eq!((FenceNumber::new(0), FenceNumber::new(1 << 53)), (None, None));
    let mut fence = of_three((1 << 53) - 1);
    assert_eq!(fence.poll(nodes(&[0, 1])), FenceStep::Failed);
}

/// Which rule the little world follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Ours,
    /// An acceptance counts wherever it was given.
    CountRefusers,
    /// A majority of those that granted is enough: of five, two of the three.
    MajorityOfGranters,
}

/// A request of an attempt on its way to a primary, or the answer on its way back.
#[derive(Debug, Clone, Copy)]
enum Message {
    First(FenceNumber),
    Raise(FenceNumber),
    Withdraw,
    Granted { granted: bool, before: CounterBefore },
    Raised { number: FenceNumber, before: CounterBefore, ours: bool },
}

#[derive(Debug)]
struct Attempt {
    fence: Fence,
    granted: NodeSet,
    refused: NodeSet,
    /// Ordered, as a link is: to each primary, and back.
    there: Vec<VecDeque<Message>>,
    back: Vec<VecDeque<Message>>,
    state: State,
}

impl Attempt {
    /// Whether anything of it is still to happen.
    fn is_stirring(&self) -> bool {
        self.state != State::Over || self.there.iter().chain(&self.back).any(|messages| !messages.is_empty())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    UnderWay,
    Holds,
    Over,
}

/// Primaries with one record and its counter, several attempts, messages that are late or lost.
struct World {
    rule: Rule,
    quorum: Quorum,
    /// How many acceptances a number needs.
    acceptances: Quorum,
    primaries: Vec<(Option<usize>, CounterBefore)>,
    attempts: Vec<Attempt>,
    granted: Vec<FenceNumber>,
}

impl World {
    fn begin(&mut self, clock: FenceNumber) {
        let total = self.quorum.total();
        self.attempts.push(Attempt {
            fence: Fence::new(self.acceptances, clock),
            granted: NodeSet::EMPTY,
            refused: NodeSet::EMPTY,
            there: vec![VecDeque::from([Message::First(clock)]); total],
            back: vec![VecDeque::new(); total],
            state: State::UnderWay,
        });
    }

    /// A message arrives at a primary, unless it is lost there.
    fn arrive(&mut self, attempt: usize, at: usize) {
        let Some(message) = self.attempts[attempt].there[at].pop_front() else { return };
        let (record, counter) = &mut self.primaries[at];
        let mut raise = |number: FenceNumber| {
            let before = *counter;
            *counter = Some(before.map_or(number, |before| before.max(number)));
            before
        };
        let answer = match message {
            Message::First(number) => {
                let granted = record.is_none();
                *record = record.or(Some(attempt));
                Message::Granted { granted, before: raise(number) }
            }
            Message::Raise(number) => {
                let before = raise(number);
                Message::Raised { number, before, ours: *record == Some(attempt) }
            }
            _ => {
                *record = record.filter(|holder| *holder != attempt);
                return;
            }
        };
        self.attempts[attempt].back[at].push_back(answer);
    }

    /// An answer comes back, or is lost, which is noticed.
    fn hear(&mut self, number: usize, at: usize, lost: bool) -> Result<(), String> {
        let rule = self.rule;
        let attempt = &mut self.attempts[number];
        let Some(answer) = attempt.back[at].pop_front() else { return Ok(()) };
        match answer {
            Message::Granted { granted, before } if !lost => {
                attempt.fence.handle_first(node(at), before);
                if granted {
                    attempt.granted.insert(node(at));
                } else {
                    attempt.refused.insert(node(at));
                }
            }
            Message::Granted { .. } => attempt.refused.insert(node(at)),
            Message::Raised { number, before, ours } if !lost => {
                attempt.fence.handle_raise(node(at), number, before, ours);
            }
            Message::Raised { number, .. } => attempt.fence.handle_silence(node(at), number),
            _ => {}
        }
        if attempt.state != State::UnderWay {
            return Ok(());
        }
        if attempt.refused.len() >= self.quorum.blocking() {
            self.give_up(number);
        } else if attempt.granted.len() >= self.quorum.needed() {
            let counting = match rule {
                Rule::CountRefusers => self.quorum.nodes().collect(),
                Rule::Ours | Rule::MajorityOfGranters => attempt.granted,
            };
            match attempt.fence.poll(counting) {
                FenceStep::Settled(fence) => {
                    if let Some(former) = self.granted.iter().find(|former| **former >= fence) {
                        return Err(format!("{fence:?} was granted after {former:?}"));
                    }
                    self.granted.push(fence);
                    attempt.state = State::Holds;
                }
                FenceStep::Raise(fence, asked) => {
                    asked.iter().for_each(|node| attempt.there[node.index()].push_back(Message::Raise(fence)));
                }
                FenceStep::Wait => {}
                FenceStep::Failed => self.give_up(number),
            }
        }
        Ok(())
    }

    fn give_up(&mut self, attempt: usize) {
        self.attempts[attempt].state = State::Over;
        self.attempts[attempt].there.iter_mut().for_each(|there| there.push_back(Message::Withdraw));
    }
}

/// Lets a world run through so many random events.
fn run(rule: Rule, total: usize, choices: &[u32]) -> Result<usize, String> {
    let quorum = Quorum::majority(total).expect("a set");
    let acceptances = match rule {
        Rule::MajorityOfGranters => Quorum::unsound(2, u8::try_from(total).expect("a small set")),
        Rule::Ours | Rule::CountRefusers => quorum,
    };
    let primaries = vec![(None, None); total];
    let mut world = World { rule, quorum, acceptances, primaries, attempts: Vec::new(), granted: Vec::new() };
    for choice in choices {
        let stirring: Vec<usize> =
            (0..world.attempts.len()).filter(|number| world.attempts[*number].is_stirring()).collect();
        if *choice % 16 == 0 && stirring.len() < 4 {
            world.begin(number_of(u64::from(choice >> 20)));
            continue;
        }
        let Some(number) = stirring.get((*choice as usize >> 8) % stirring.len().max(1)).copied() else { continue };
        let at = (*choice as usize >> 16) % total;
        match choice % 16 {
            1 if world.attempts[number].state == State::Holds => world.give_up(number),
            2..=8 => world.arrive(number, at),
            9..=15 => world.hear(number, at, choice % 97 == 0)?,
            _ => {}
        }
    }
    Ok(world.granted.len())
}

fn number_of(clock: u64) -> FenceNumber {
    number(1 + clock * 1_000)
}

proptest! {
    #[test]
    fn of_two_grants_the_later_has_the_larger_number(
        total in 1_usize..=5,
        choices in prop::collection::vec(any::<u32>(), 2_000),
    ) {
        run(Rule::Ours, total, &choices).map_err(TestCaseError::fail)?;
    }
}

/// Choices that repeat for each seed.
fn choices(seed: u64, count: usize) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u32
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
fn the_little_world_is_one_in_which_much_is_granted() {
    let granted: usize = (0..200).map(|seed| run(Rule::Ours, 5, &choices(seed, 2_000)).expect("in order")).sum();
    assert!(granted > 300, "only {granted} grants in 200 worlds");
}

#[test]
fn counting_those_that_refused_or_a_majority_of_the_granters_breaks_the_order() {
    for rule in [Rule::CountRefusers, Rule::MajorityOfGranters] {
        let broken = (0..5_000).find(|seed| run(rule, 5, &choices(*seed, 2_000)).is_err());
        assert!(broken.is_some(), "{rule:?} broke nothing");
        println!("{rule:?} breaks the order in world {broken:?}");
    }
}
