//! When a lock that somebody else holds will be free.
//!
//! A refusal tells for how long the record in the way goes on living there. Each record ends by itself; the lock can be
//! had when they have ended on a quorum, whoever signed them. A forecast, not a promise: a holder may extend, release or
//! be withdrawn before, and a primary's clock may run a little faster or slower than ours.

use super::tally::{NodeId, Quorum};
use super::time::Moment;
use crate::limits::PRIMARIES;

/// What one attempt has learnt of the records that were in its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// When each primary will be free, as far as it has told.
    free_at: [Option<Moment>; PRIMARIES],
}

impl Forecast {
    /// Of nothing that has been told.
    pub const UNKNOWN: Self = Self { free_at: [None; PRIMARIES] };

    /// `node` is free from this moment on; `None`: it is not known, or never.
    pub fn note(&mut self, node: NodeId, free_at: Option<Moment>) {
        self.free_at[node.index()] = free_at;
    }

    /// With what `former` says of those that have told nothing since.
    #[must_use]
    pub fn or(mut self, former: &Self) -> Self {
        for (free_at, former) in self.free_at.iter_mut().zip(former.free_at) {
            *free_at = free_at.or(former);
        }
        self
    }

    /// What is to come after `now`.
    #[must_use]
    pub fn later_than(mut self, now: Moment) -> Self {
        for free_at in &mut self.free_at {
            *free_at = free_at.filter(|free_at| *free_at > now);
        }
        self
    }

    /// When a quorum will be free; `None` when too few have told of an end.
    pub fn quorum_at(&self, quorum: Quorum) -> Option<Moment> {
        let mut told = [Moment::from_micros(0); PRIMARIES];
        let mut count = 0;
        for moment in quorum.nodes().filter_map(|node| self.free_at[node.index()]) {
            told[count] = moment;
            count += 1;
        }
        let told = &mut told[..count];
        told.sort_unstable();
        told.get(quorum.needed() - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_told_before_counts_where_nothing_was_told_since_and_as_long_as_it_lies_ahead() {
        let quorum = Quorum::majority(3).expect("1 to 9");
        let at = Moment::from_micros;
        let told = |first: Option<u64>, second: Option<u64>, third: Option<u64>| {
            let mut forecast = Forecast::UNKNOWN;
            for (node, free_at) in quorum.nodes().zip([first, second, third]) {
                forecast.note(node, free_at.map(at));
            }
            forecast
        };
        let former = told(Some(10), Some(50), None);
        assert_eq!(told(Some(60), None, Some(70)).or(&former), told(Some(60), Some(50), Some(70)));
        assert_eq!(former.clone().later_than(at(10)), told(None, Some(50), None));
        assert_eq!(former.clone().later_than(at(9)), former);
    }

    proptest! {
        /// Counted out: at the moment that is foretold a quorum is free, and just before it is not.
        #[test]
        fn at_the_moment_foretold_a_quorum_is_free_and_never_before(
            told in prop::collection::vec(prop::option::of(1_u64..50), 1..=PRIMARIES),
            more in 0_usize..3,
        ) {
            let majority = told.len() / 2 + 1;
            let quorum = Quorum::new((majority + more).min(told.len()), told.len()).expect("a majority");
            let mut forecast = Forecast::UNKNOWN;
            for (node, micros) in quorum.nodes().zip(&told) {
                forecast.note(node, Some(Moment::from_micros(99)));
                forecast.note(node, micros.map(Moment::from_micros));
            }
            let free_at = |now: u64| told.iter().flatten().filter(|micros| **micros <= now).count();
            match forecast.quorum_at(quorum) {
                Some(at) => {
                    prop_assert!(free_at(at.as_micros()) >= quorum.needed());
                    prop_assert!(free_at(at.as_micros() - 1) < quorum.needed());
                }
                None => prop_assert!(free_at(u64::MAX) < quorum.needed()),
            }
        }
    }
}
