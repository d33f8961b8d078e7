//! Ending without leaving anybody in the dark.
//!
//! When the proxy is told to stop, it begins to drain: no new connections, no new locks, and everything under way is
//! brought to its end. [`Drain`] is the flag that every part looks at, or waits for. Who sets it, and how long the rest
//! may take, is `server`'s matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Whether the proxy is about to end. Clones tell of the same proxy.
#[derive(Debug, Clone)]
pub struct Drain {
    /// For those who look often: cheaper to read than the channel.
    begun: Arc<AtomicBool>,
    announcement: watch::Sender<()>,
}

impl Default for Drain {
    fn default() -> Self {
        Self { begun: Arc::default(), announcement: watch::Sender::new(()) }
    }
}

impl Drain {
    /// Begins it; everybody who waits is woken.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.announcement.send_replace(());
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Waits until it has begun. The future may be kept and polled again and again.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + use<> {
        let drain = self.clone();
        let mut announced = self.announcement.subscribe();
        async move {
            // Subscribed before the look: what begins in between is announced. The sender lives as long as `drain`.
            while !drain.has_begun() && announced.changed().await.is_ok() {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn those_who_wait_learn_of_it_whenever_they_came() {
        let drain = Drain::default();
        let early = drain.begun();
        let waiting = tokio::spawn(drain.begun());
        assert!(!drain.has_begun());
        assert!(drain.begun().now_or_never().is_none());
        drain.begin();
        assert!(drain.has_begun());
        early.await;
        waiting.await.expect("no panic");
        drain.begun().await;
    }
}
