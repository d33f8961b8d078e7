//! When whoever is first in line may expect its locks to be free by themselves.

use std::sync::Arc;

use futures_util::future::join_all;

use super::round::AcquireRound;
use crate::lock::{Forecast, Moment};

/// What the last attempt has learnt, and goes on learning from answers that come late, and what those before it knew of
/// primaries that it did not hear of: a verdict does not wait for all of them.
#[derive(Default)]
pub(super) struct Outlook {
    /// One for each lock.
    locks: Vec<(Arc<AcquireRound>, Forecast)>,
}

impl Outlook {
    /// The next attempt, begun at `now`: one round for each lock. What was expected for later than that is still expected.
    pub(super) fn renew(self, rounds: impl Iterator<Item = Arc<AcquireRound>>, now: Moment) -> Self {
        let mut former = self.locks.into_iter().map(|(round, older)| round.forecast().or(&older).later_than(now));
        Self { locks: rounds.map(|round| (round, former.next().unwrap_or(Forecast::UNKNOWN))).collect() }
    }

    /// When the last of the locks is free.
    pub(super) fn free_at(&self) -> Option<Moment> {
        let free_at =
            |(round, former): &(Arc<AcquireRound>, Forecast)| round.forecast().or(former).quorum_at(round.quorum);
        let all: Option<Vec<Moment>> = self.locks.iter().map(free_at).collect();
        all?.into_iter().max()
    }

    /// Waits until every primary has answered the last attempt, or will not.
    pub(super) async fn heard_all(&self) {
        join_all(self.locks.iter().map(|(round, _)| round.complete())).await;
    }
}
