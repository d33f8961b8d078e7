//! Fencing: a number for each grant, larger than that of every earlier grant of the same key.
//!
//! On every primary a key has a counter, changed in one way only. *raise(F)* answers the counter as it was, and sets it
//! to F if it was absent or smaller. The primary has **accepted** F when the answer is "absent" or smaller than F.
//!
//! 1. Behind each request that can be a vote (the SET, a signing) goes raise(F), with F from the fence clock. The grant
//!    needs a quorum of primaries *each of which both granted the lock and accepted F*. Then F is the token. One round
//!    trip.
//! 2. If the lock is won and fewer accepted, a larger number is drawn, F' = max(clock, every number seen) + 2^k ms, and
//!    raise(F') goes to all that granted, also to those that do so meanwhile, with a look behind it whether the record
//!    still is this attempt's. A primary counts when it accepted F' and the record was there. Again with the next k, at
//!    most [`FENCE_STEPS`] times, but only after an answer has shown a number that F' does not exceed: a primary that is
//!    merely silent is waited for, and so are those that have not voted yet, as long as they could make up for it. Should
//!    a primary that was slow complete the quorum of F, that is as good.
//!
//! # Why the later of two grants has the larger number
//!
//! Let A be granted with number a, and later B with b. Quorums overlap, so some primary p is in both: it granted both
//! locks, and accepted both numbers. On p each acceptance falls into the time in which that grant's own record lived (see
//! below). Two records of one key never live on p at the same time (SET NX; a signing ends the former), so one acceptance
//! came first, and it was A's. From then on the counter on p is at least a, and p accepts nothing that is not larger:
//! b > a. No clock is part of this, as long as p keeps its counter.
//!
//! The raise comes after the record was set or signed, on the same connection; so what must be sure is that the record had
//! not ended by then. It can have ended in three ways. By its expiry: then nothing is left of the validity when the answer
//! comes, and there is no grant. By a release: nobody knows the token yet. By a signing, when the same owner asks through
//! another proxy at the same time: other connections' commands may run between the SET and the raise. So an attempt that
//! has an owner looks behind each raise whether the record still is its own, and where it is not, the acceptance counts for
//! nothing: it may have come after that of the grant that took the record over.
//!
//! Three simplifications that suggest themselves break it. If an acceptance by a primary that refused the lock counted,
//! p could accept b before or while A's record stands. If a majority *of those that granted* were enough, the two sets of
//! acceptances need not overlap: of five, A is granted by 1, 2, 3 and accepted by 1 and 2, B granted by 3, 4, 5. And
//! without the look, a grant that was taken over could end with the larger number of the two.

use super::tally::{NodeId, NodeSet, Quorum};
use crate::limits::{FENCE_STEPS, PRIMARIES};

/// A fencing token: looks like unix time in microseconds, and stays below 2^53, where every language still counts
/// exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FenceNumber(u64);

impl FenceNumber {
    /// The smallest there is.
    pub const SMALLEST: Self = Self(1);

    /// `None` for 0 and for what is not below 2^53.
    pub const fn new(number: u64) -> Option<Self> {
        if number == 0 || number >= 1 << 53 { None } else { Some(Self(number)) }
    }

    pub const fn value(self) -> u64 {
        self.0
    }

    const fn plus(self, micros: u64) -> Option<Self> {
        Self::new(self.0 + micros)
    }
}

/// A primary's answer to a raise: the counter as it was.
pub type CounterBefore = Option<FenceNumber>;

/// What one primary answered to a raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RaiseVote {
    /// The counter as it was, and whether the record bore the attempt's token behind the raise (as it is taken to where
    /// nobody had to look).
    Raised(CounterBefore, bool),
    /// It may have been raised.
    Silent,
    /// The request never left.
    Unsent,
}

/// What a grant still needs to have its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FenceStep {
    /// A quorum granted and accepted this number.
    Settled(FenceNumber),
    /// Raise this number where the lock was granted, and tell the answers with [`Fence::handle_raise`].
    Raise(FenceNumber, NodeSet),
    /// An answer is still to come.
    Wait,
    /// No number can be had: those that could accept one are silent, or others outran it again and again.
    Failed,
}

/// The number of one grant. Pure: votes and the clock go in, steps come out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fence {
    quorum: Quorum,
    /// For each primary, the number that was raised directly behind its latest request that can be a vote.
    raised: [FenceNumber; PRIMARIES],
    /// Where that number was accepted.
    accepted: NodeSet,
    /// The largest number that was seen, asked for, or read from the clock.
    largest: FenceNumber,
    second: Option<Second>,
}

/// A number that was drawn anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Second {
    number: FenceNumber,
    /// How many were drawn before it.
    step: u32,
    asked: NodeSet,
    heard: NodeSet,
    /// Those that accepted it while they held the record.
    counted: NodeSet,
    /// An answer showed a number that this one does not exceed.
    outrun: bool,
}

impl Fence {
    /// The number of an attempt that is about to ask all primaries; `clock` is what the first requests carry.
    pub fn new(quorum: Quorum, clock: FenceNumber) -> Self {
        Self { quorum, raised: [clock; PRIMARIES], accepted: NodeSet::EMPTY, largest: clock, second: None }
    }

    /// The number to be raised behind the signing of records on these primaries. A new one: what was raised behind the
    /// SET that found them was accepted, if at all, while the former grant's record stood, and counts for nothing.
    pub fn for_signing(&mut self, nodes: NodeSet, clock: FenceNumber) -> FenceNumber {
        let number = self.largest.plus(1).unwrap_or(self.largest).max(clock);
        self.largest = number;
        for node in nodes.iter() {
            self.raised[node.index()] = number;
            self.accepted.remove(node);
        }
        number
    }

    /// A primary answered the raise directly behind its latest request that can be a vote; `ours`: the record cannot have
    /// been ended between the two. Whether that request was granted is told to [`poll`](Self::poll); where it was not, the
    /// answer counts for nothing but shows a number.
    pub fn handle_first(&mut self, node: NodeId, before: CounterBefore, ours: bool) {
        self.see(before);
        if ours && before.is_none_or(|before| before < self.raised[node.index()]) {
            self.accepted.insert(node);
        }
    }

    /// A primary answered the raise of a number that was drawn anew; `ours`: the record still was this attempt's.
    pub fn handle_raise(&mut self, node: NodeId, number: FenceNumber, before: CounterBefore, ours: bool) {
        self.see(before);
        let Some(second) = self.second.as_mut().filter(|second| second.number == number) else { return };
        if !second.asked.contains(node) || second.heard.contains(node) {
            return;
        }
        second.heard.insert(node);
        if before.is_some_and(|before| before >= number) {
            second.outrun = true;
        } else if ours {
            second.counted.insert(node);
        }
    }

    /// A primary gave no usable answer to the raise of a number that was drawn anew.
    pub fn handle_silence(&mut self, node: NodeId, number: FenceNumber) {
        if let Some(second) = self.second.as_mut().filter(|second| second.number == number) {
            second.heard.insert(node);
        }
    }

    /// What is to be done for a lock that these primaries have granted, a quorum at least, while the votes of others are
    /// outstanding. To be asked again with each vote that comes.
    pub fn poll(&mut self, granted: NodeSet, outstanding: NodeSet) -> FenceStep {
        if let Some(number) = self.accepted_by_quorum(granted) {
            return FenceStep::Settled(number);
        }
        let needed = self.quorum.needed();
        let Some(second) = &mut self.second else { return self.draw(0, granted) };
        let late = granted.without(second.asked);
        let pending = second.asked.without(second.heard).len();
        if second.counted.len() >= needed {
            FenceStep::Settled(second.number)
        } else if !late.is_empty() {
            second.asked = granted;
            FenceStep::Raise(second.number, late)
        } else if second.counted.len() + pending >= needed {
            FenceStep::Wait
        } else if second.outrun && second.step < FENCE_STEPS {
            let next = second.step + 1;
            self.draw(next, granted)
        } else if second.counted.len() + pending + outstanding.len() >= needed {
            FenceStep::Wait
        } else {
            FenceStep::Failed
        }
    }

    fn draw(&mut self, step: u32, granted: NodeSet) -> FenceStep {
        let Some(number) = self.largest.plus(1_000 << step) else { return FenceStep::Failed };
        self.largest = number;
        self.second = Some(Second {
            number,
            step,
            asked: granted,
            heard: NodeSet::EMPTY,
            counted: NodeSet::EMPTY,
            outrun: false,
        });
        FenceStep::Raise(number, granted)
    }

    /// The number, if there is one, that a quorum accepted directly behind its grant.
    fn accepted_by_quorum(&self, granted: NodeSet) -> Option<FenceNumber> {
        let counted = || granted.iter().filter(|node| self.accepted.contains(*node));
        let numbers = || counted().map(|node| self.raised[node.index()]);
        numbers().find(|number| numbers().filter(|other| other == number).count() >= self.quorum.needed())
    }

    fn see(&mut self, before: CounterBefore) {
        self.largest = self.largest.max(before.unwrap_or(self.largest));
    }
}

#[cfg(test)]
#[path = "fence_tests.rs"]
mod tests;
