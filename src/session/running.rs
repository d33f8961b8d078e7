//! The lock commands of one client that are under way.
//!
//! Those that do not wait run side by side, all of one kind and in memory that they share. One that waits is alone as a
//! rule, and may sleep for an hour: it has memory of its own, and no more than it needs.

use std::future::poll_fn;
use std::task::{Context, Poll};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::lock_reply::{Finished, Standing};

/// `F` is the run of a command that does not wait.
pub(super) struct Running<F> {
    quick: FuturesUnordered<F>,
    standing: Option<Standing>,
}

impl<F: Future<Output = Finished>> Running<F> {
    pub(super) fn new() -> Self {
        Self { quick: FuturesUnordered::new(), standing: None }
    }

    /// A command that does not wait. Those that were pushed are polled first in, first out.
    pub(super) fn push(&mut self, run: F) {
        self.quick.push(run);
    }

    /// A command that waits. No other begins before it has ended.
    pub(super) fn stand(&mut self, standing: Standing) {
        debug_assert!(self.standing.is_none(), "a wait closes the road behind it");
        self.standing = Some(standing);
    }

    /// A command that has ended by now.
    pub(super) fn ended(&mut self) -> Option<Finished> {
        self.next().now_or_never()
    }

    /// The next command that ends; for ever when there is none. Safe to cancel.
    pub(super) async fn next(&mut self) -> Finished {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Finished> {
        // Asking an empty one has a price, and most clients have no lock command under way.
        if !self.quick.is_empty()
            && let Poll::Ready(Some(finished)) = self.quick.poll_next_unpin(context)
        {
            return Poll::Ready(finished);
        }
        let Some(standing) = &mut self.standing else { return Poll::Pending };
        let ended = standing.as_mut().poll(context);
        if ended.is_ready() {
            self.standing = None;
        }
        ended
    }
}
