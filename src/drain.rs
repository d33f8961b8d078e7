//! Ending without leaving anybody in the dark.
//!
//! The first signal begins the drain: no new connections, no new locks, and everything under way is brought to its end.
//! A second one ends the process at once. [`Drain`] is the flag that every part looks at, or waits for; [`stop_requests`]
//! turns the system's signals into requests to stop, so that `server` and its tests need none.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

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

/// One message for each SIGTERM and SIGINT from now on: the first asks to stop, the second to stop at once. SIGHUP, which
/// a closing terminal sends, is logged and changes nothing.
pub fn stop_requests() -> io::Result<mpsc::Receiver<()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    // More than two requests say nothing that two do not.
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                Some(()) = terminate.recv() => "SIGTERM",
                Some(()) = interrupt.recv() => "SIGINT",
                Some(()) = hangup.recv() => {
                    tracing::info!("SIGHUP changes nothing: the configuration is read at start only");
                    continue;
                }
                else => break,
            };
            tracing::info!(signal = name, "asked to stop");
            let _ = sender.try_send(());
        }
    });
    Ok(receiver)
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
