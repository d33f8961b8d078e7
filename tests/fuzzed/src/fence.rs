//! Fencing numbers: when one is settled, and when another is drawn, by QUORUM's rules and the notes of who answered what.
//!
//! Letters, each but the last with a primary: `g` it granted · `l` it refused, or is silent · `f`, `F` the counter that it showed behind its request, the record being
//! still ours or not · `s` its record is to be signed anew, with the clock there · `r`, `R` the counter that it showed for the number
//! that was drawn last, the record being ours or not · `o` one that it showed for a former number · `x` silence to the last · `.` a
//! look. `^` in front: all numbers are nearly used up. A counter is a digit: 4 is the largest number so far, less is smaller, more is
//! larger; without a digit there was none.

use redlock_proxy::limits::FENCE_STEPS;
use redlock_proxy::lock::{CounterBefore, Fence, FenceNumber, FenceStep, NodeId, NodeSet, Quorum};

use crate::script::Script;

const NOW: u64 = 1_800_000_000_000_000;
const NEARLY_ALL: u64 = (1 << 53) - 5_000;
/// What one digit of a counter is worth, in microseconds.
const DIGIT: u64 = 700;

/// Runs the numbering of a grant by the script; panics where a rule is broken.
pub fn fence(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(quorum) = script.quorum() else { return };
    let clock = if script.next_is(b'^') { NEARLY_ALL } else { NOW };
    let mut grant = Numbering::new(quorum, FenceNumber::new(clock).expect("in range"));
    while let Some(letter) = script.letter() {
        if letter == b'.' {
            grant.look();
            continue;
        }
        let Some(node) = script.node(quorum) else { continue };
        match letter {
            b'g' if !grant.lost.contains(node) => grant.granted.insert(node),
            b'l' if !grant.granted.contains(node) => grant.lost.insert(node),
            b's' => {
                let clock = grant.counter(&mut script).unwrap_or(FenceNumber::SMALLEST);
                grant.sign(node, clock);
            }
            b'f' | b'F' => {
                let before = grant.counter(&mut script);
                grant.hear_first(node, before, letter == b'f');
            }
            b'r' | b'R' | b'o' => {
                let before = grant.counter(&mut script);
                grant.hear_drawn(node, before, letter);
            }
            b'x' => grant.hear_silence(node),
            _ => {}
        }
    }
    grant.look();
}

/// A number that was drawn anew, and what is known of it.
#[derive(Debug)]
struct Drawn {
    number: FenceNumber,
    asked: NodeSet,
    heard: NodeSet,
    accepted: NodeSet,
    /// An answer showed a number that is not smaller.
    outrun: bool,
}

#[derive(Debug)]
struct Numbering {
    core: Fence,
    quorum: Quorum,
    granted: NodeSet,
    /// Heard of, and not granted.
    lost: NodeSet,
    /// For each primary, what was raised behind its latest request, and whether it was accepted there; `None`: no answer yet.
    first: Vec<(FenceNumber, Option<bool>)>,
    drawn: Vec<Drawn>,
    /// The largest number that was seen, asked for or drawn.
    largest: FenceNumber,
}

impl Numbering {
    fn new(quorum: Quorum, clock: FenceNumber) -> Self {
        let first = vec![(clock, None); quorum.total()];
        let core = Fence::new(quorum, clock);
        Self { core, quorum, granted: NodeSet::EMPTY, lost: NodeSet::EMPTY, first, drawn: Vec::new(), largest: clock }
    }

    fn counter(&self, script: &mut Script<'_>) -> CounterBefore {
        let digit = script.digit()? as u64;
        FenceNumber::new((self.largest.value() + digit * DIGIT).saturating_sub(4 * DIGIT))
    }

    fn see(&mut self, before: CounterBefore) {
        self.largest = self.largest.max(before.unwrap_or(FenceNumber::SMALLEST));
    }

    /// Where a primary has had its last word, nothing is signed anew.
    fn sign(&mut self, node: NodeId, clock: FenceNumber) {
        if self.granted.contains(node) || self.lost.contains(node) {
            return;
        }
        let number = self.core.for_signing([node].into_iter().collect(), clock);
        let is_last = FenceNumber::new(self.largest.value() + 1).is_none();
        assert!(number >= clock && (number > self.largest || is_last), "{number:?} for a signing: {self:?}");
        self.largest = number;
        self.first[node.index()] = (number, None);
    }

    /// Each request is answered once, and before its vote is told.
    fn hear_first(&mut self, node: NodeId, before: CounterBefore, ours: bool) {
        let (number, answer) = self.first[node.index()];
        if answer.is_some() || self.granted.contains(node) {
            return;
        }
        self.core.handle_first(node, before, ours);
        self.see(before);
        self.first[node.index()].1 = Some(ours && before.is_none_or(|before| before < number));
    }

    fn hear_drawn(&mut self, node: NodeId, before: CounterBefore, letter: u8) {
        let place = if letter == b'o' { self.drawn.len().checked_sub(2) } else { self.drawn.len().checked_sub(1) };
        let Some(place) = place.filter(|place| self.drawn[*place].asked.contains(node)) else { return };
        let (ours, number) = (letter != b'R', self.drawn[place].number);
        self.core.handle_raise(node, number, before, ours);
        self.see(before);
        let is_last = place + 1 == self.drawn.len();
        let drawn = &mut self.drawn[place];
        if is_last && !drawn.heard.contains(node) {
            drawn.heard.insert(node);
            let exceeds = before.is_none_or(|before| before < number);
            drawn.outrun |= !exceeds;
            if exceeds && ours {
                drawn.accepted.insert(node);
            }
        }
    }

    fn hear_silence(&mut self, node: NodeId) {
        let Some(drawn) = self.drawn.last_mut().filter(|drawn| drawn.asked.contains(node)) else { return };
        self.core.handle_silence(node, drawn.number);
        drawn.heard.insert(node);
    }

    /// Whether a quorum both granted and accepted this number.
    fn is_settled(&self, number: FenceNumber) -> bool {
        let first = self.granted.iter().filter(|node| self.first[node.index()] == (number, Some(true))).count();
        let drawn = self.drawn.last().filter(|drawn| drawn.number == number);
        let drawn = drawn.map_or(0, |drawn| drawn.accepted.intersection(self.granted).len());
        first.max(drawn) >= self.quorum.needed()
    }

    /// Those that have not voted yet.
    fn outstanding(&self) -> NodeSet {
        self.quorum.nodes().collect::<NodeSet>().without(self.granted).without(self.lost)
    }

    /// Whether the number that was drawn last may still be accepted by a quorum, if so many others come to it.
    fn may_be_settled(&self, drawn: &Drawn, others: usize) -> bool {
        drawn.accepted.len() + drawn.asked.without(drawn.heard).len() + others >= self.quorum.needed()
    }

    /// Whether another is drawn once this one cannot be accepted.
    fn is_next_due(&self, drawn: &Drawn) -> bool {
        drawn.outrun && self.drawn.len() <= FENCE_STEPS as usize
    }

    /// Nothing is asked about a number before the lock is won.
    fn look(&mut self) {
        if self.granted.len() < self.quorum.needed() {
            return;
        }
        let step = self.core.poll(self.granted, self.outstanding());
        let numbers = self.first.iter().map(|(number, _)| *number).chain(self.drawn.last().map(|drawn| drawn.number));
        let settled: Vec<FenceNumber> = numbers.filter(|number| self.is_settled(*number)).collect();
        if let FenceStep::Settled(number) = step {
            assert!(settled.contains(&number), "{number:?} is not settled: {self:?}");
            return;
        }
        assert!(settled.is_empty(), "{step:?}, and {settled:?} is settled: {self:?}");
        match step {
            FenceStep::Raise(number, nodes) => self.check_raise(number, nodes),
            FenceStep::Failed => {
                let is_used_up = FenceNumber::new(self.largest.value() + (1_000 << self.drawn.len())).is_none();
                let is_lost = match self.drawn.last() {
                    None => is_used_up,
                    Some(drawn) if self.is_next_due(drawn) => is_used_up && !self.may_be_settled(drawn, 0),
                    Some(drawn) => !self.may_be_settled(drawn, self.outstanding().len()),
                };
                assert!(is_lost, "it need not fail: {self:?}");
            }
            FenceStep::Wait => {
                let drawn = self.drawn.last().expect("a number is drawn before anybody is waited for");
                let others = if self.is_next_due(drawn) { 0 } else { self.outstanding().len() };
                assert!(self.may_be_settled(drawn, others), "nobody is left to wait for: {self:?}");
            }
            FenceStep::Settled(_) => {}
        }
    }

    fn check_raise(&mut self, number: FenceNumber, nodes: NodeSet) {
        assert!(
            !nodes.is_empty() && nodes.without(self.granted).is_empty(),
            "asked where nothing was granted: {self:?}"
        );
        if let Some(drawn) = self.drawn.last_mut().filter(|drawn| drawn.number == number) {
            // One that granted late is asked for the same number.
            assert!(drawn.asked.intersection(nodes).is_empty(), "asked twice: {self:?}");
            drawn.asked = drawn.asked.union(nodes);
            return;
        }
        let step = 1_000 << self.drawn.len();
        assert_eq!(number.value(), self.largest.value() + step, "of all numbers the largest, and a step: {self:?}");
        assert!(self.drawn.len() <= FENCE_STEPS as usize, "drawn too often: {self:?}");
        assert_eq!(nodes, self.granted, "{self:?}");
        if let Some(former) = self.drawn.last() {
            assert!(former.outrun, "drawn anew though nothing larger was seen: {self:?}");
            assert!(!self.may_be_settled(former, 0), "drawn anew too early: {self:?}");
        }
        self.largest = number;
        let (heard, accepted) = (NodeSet::EMPTY, NodeSet::EMPTY);
        self.drawn.push(Drawn { number, asked: nodes, heard, accepted, outrun: false });
    }
}
