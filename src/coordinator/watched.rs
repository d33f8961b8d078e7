//! A state that many tasks change and one waits on.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// A state that one task waits on and many change.
pub(super) struct Watched<S> {
    inner: Mutex<(S, Option<Waker>)>,
}

impl<S> Watched<S> {
    pub(super) fn new(state: S) -> Self {
        Self { inner: Mutex::new((state, None)) }
    }

    fn lock(&self) -> MutexGuard<'_, (S, Option<Waker>)> {
        // Nothing that runs under this lock panics; if it did, the state of a finished assignment is as good as any.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn with<R>(&self, change: impl FnOnce(&mut S) -> R) -> R {
        change(&mut self.lock().0)
    }

    /// Changes the state; wakes the waiting task when `change` says so.
    pub(super) fn change(&self, change: impl FnOnce(&mut S) -> bool) {
        let mut guard = self.lock();
        let waker = if change(&mut guard.0) { guard.1.take() } else { None };
        drop(guard);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) async fn wait<R>(&self, mut ready: impl FnMut(&mut S) -> Option<R>) -> R {
        poll_fn(|context| {
            let mut guard = self.lock();
            if let Some(result) = ready(&mut guard.0) {
                return Poll::Ready(result);
            }
            match &mut guard.1 {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await
    }
}
