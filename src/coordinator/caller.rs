//! The client on whose behalf operations run.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A client, as far as an operation cares: is it still there, and may it still be kept waiting?
#[derive(Debug, Default)]
pub struct Caller {
    left: AtomicBool,
    called_off: AtomicBool,
    bell: Notify,
}

impl Caller {
    /// The client's stream has ended: what is under way is finished, nothing further is begun for it, and it waits for
    /// nothing any more.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Release);
        self.call_off();
    }

    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// Its connection is about to be closed: it waits for nothing any more.
    pub fn call_off(&self) {
        self.called_off.store(true, Ordering::Release);
        self.bell.notify_waiters();
    }

    pub fn is_called_off(&self) -> bool {
        self.called_off.load(Ordering::Acquire)
    }

    /// Waits until the client waits for nothing any more.
    pub async fn called_off(&self) {
        let mut rung = pin!(self.bell.notified());
        // Listening before the look: what happens in between is heard.
        rung.as_mut().enable();
        if !self.is_called_off() {
            rung.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_hears_that_the_client_leaves_whenever_it_came() {
        let caller = Arc::new(Caller::default());
        let early = tokio::spawn({
            let caller = Arc::clone(&caller);
            async move { caller.called_off().await }
        });
        tokio::task::yield_now().await;
        assert!(!caller.has_left() && caller.called_off().now_or_never().is_none());
        caller.leave();
        early.await.expect("no panic");
        caller.called_off().await;
        assert!(caller.has_left() && caller.is_called_off());
    }

    #[tokio::test]
    async fn who_is_called_off_has_not_left() {
        let caller = Caller::default();
        caller.call_off();
        caller.called_off().await;
        assert!(!caller.has_left());
    }
}
