//! Counting: which primaries, how many are enough.

use std::fmt;

use crate::limits::PRIMARIES;

/// One primary's place in the configured list, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u8);

impl NodeId {
    /// The place `index` of a set; sets have at most nine.
    pub fn new(index: usize) -> Option<Self> {
        if index < PRIMARIES { u8::try_from(index).ok().map(Self) } else { None }
    }

    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of primaries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NodeSet(u16);

impl NodeSet {
    pub const EMPTY: Self = Self(0);

    pub fn insert(&mut self, node: NodeId) {
        self.0 |= 1 << node.0;
    }

    pub fn remove(&mut self, node: NodeId) {
        self.0 &= !(1 << node.0);
    }

    pub const fn contains(self, node: NodeId) -> bool {
        self.0 & (1 << node.0) != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Those of `self` that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of `self` that are in `other` too.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The set as a mask, the first primary its lowest bit.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The set of a mask.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        (0..16_u8).filter(move |&index| self.0 & (1 << index) != 0).map(NodeId)
    }
}

impl FromIterator<NodeId> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        let mut set = Self::EMPTY;
        nodes.into_iter().for_each(|node| set.insert(node));
        set
    }
}

impl fmt::Debug for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(NodeId::index)).finish()
    }
}

/// How many of how many: integers, of the *configured* primaries, never of those that happen to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quorum {
    needed: u8,
    total: u8,
}

impl Quorum {
    /// The majority of `total` primaries: N/2 + 1. `None` unless there are 1 to 9.
    pub fn majority(total: usize) -> Option<Self> {
        Self::new(total / 2 + 1, total)
    }

    /// `needed` of `total`; `None` unless that is at least a majority and possible.
    pub fn new(needed: usize, total: usize) -> Option<Self> {
        if total == 0 || total > PRIMARIES || needed < total / 2 + 1 || needed > total {
            return None;
        }
        Some(Self { needed: u8::try_from(needed).ok()?, total: u8::try_from(total).ok()? })
    }

    /// A quorum that may be no majority: unsound, and here only so that the simulation can show that it notices.
    #[doc(hidden)]
    pub const fn unsound(needed: u8, total: u8) -> Self {
        Self { needed, total }
    }

    pub const fn needed(self) -> usize {
        self.needed as usize
    }

    pub const fn total(self) -> usize {
        self.total as usize
    }

    /// The number of primaries against which nothing can be won any more: N - Q + 1.
    pub const fn blocking(self) -> usize {
        self.total() - self.needed() + 1
    }

    /// The primaries of the set, in the order of configuration.
    pub fn nodes(self) -> impl Iterator<Item = NodeId> {
        (0..self.total).map(NodeId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N, majority, the number of primaries that may be lost, the number that blocks. From Redlock's definition, by hand.
    const TABLE: &str = "
        1 1 0 1
        2 2 0 1
        3 2 1 2
        4 3 1 2
        5 3 2 3
        6 4 2 3
        7 4 3 4
        8 5 3 4
        9 5 4 5";

    #[test]
    fn the_majority_is_an_integer_for_every_size_of_set() {
        for line in TABLE.lines().skip(1) {
            let row: Vec<usize> = line.split_whitespace().map(|n| n.parse().expect("a number")).collect();
            let quorum = Quorum::majority(row[0]).expect("1 to 9");
            assert_eq!((quorum.needed(), quorum.total()), (row[1], row[0]));
            assert_eq!(row[0] - quorum.needed(), row[2], "spare primaries of {}", row[0]);
            assert_eq!(quorum.blocking(), row[3], "blocking number of {}", row[0]);
        }
    }

    #[test]
    fn less_than_a_majority_is_no_quorum() {
        for total in 1..=9 {
            for needed in 0..=10 {
                assert_eq!(
                    Quorum::new(needed, total).is_some(),
                    needed > total / 2 && needed <= total,
                    "{needed} of {total}"
                );
            }
        }
        assert!(Quorum::majority(0).is_none());
        assert!(Quorum::majority(10).is_none());
    }

    #[test]
    fn two_quorums_of_one_set_share_a_primary() {
        for total in 1..=9 {
            for needed in total / 2 + 1..=total {
                let quorum = Quorum::new(needed, total).expect("at least a majority");
                assert!(2 * quorum.needed() > quorum.total());
                assert_eq!(quorum.blocking() + quorum.needed(), quorum.total() + 1);
            }
        }
    }

    #[test]
    fn a_node_set_is_a_set() {
        let node = |index| NodeId::new(index).expect("below nine");
        let mut set: NodeSet = [node(0), node(8), node(3)].into_iter().collect();
        assert_eq!((set.len(), set.contains(node(8)), set.contains(node(1))), (3, true, false));
        set.remove(node(8));
        assert_eq!(format!("{set:?}"), "{0, 3}");
        let first = [node(0), node(1)].into_iter().collect();
        assert_eq!(set.without(first).iter().collect::<Vec<_>>(), [node(3)]);
        assert_eq!(format!("{:?} {:?}", set.union(first), set.intersection(first)), "{0, 1, 3} {0}");
        assert_eq!(NodeSet::from_bits(set.bits()), set);
        assert!(NodeSet::EMPTY.is_empty());
        assert_eq!(NodeId::new(9), None);
    }
}
