//! Where clients come in: one task for each listener.
//!
//! Sessions are tasks of the listener's task. One that panics ends alone; none is left behind when the listener's task
//! is dropped. Accepting never ends by an error: a system that has no descriptor left has some again when clients go.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};

use super::Service;
use super::closing::discard;
use crate::limits::{ACCEPT_BACKOFF, LINGERING_CLOSE, TURNED_AWAY};
use crate::net::{Listener, Socket};

/// How often a failure to accept is logged at most.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Takes clients in until the drain begins, then waits for them to leave. Ends them when it is dropped.
pub(crate) async fn take_in(service: Arc<Service>, listener: Listener) {
    let mut sessions = JoinSet::new();
    let mut turned_away = JoinSet::new();
    let mut failures = AcceptFailures::default();
    let mut drain_begun = std::pin::pin!(service.drain.begun());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut drain_begun => break,
            Some(ended) = sessions.join_next() => {
                report(ended);
                continue;
            }
            Some(_) = turned_away.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                service.counters.total_connections_received.increment();
                if let Ok(seat) = Arc::clone(&service.seats).try_acquire_owned() {
                    let service = Arc::clone(&service);
                    sessions.spawn(async move {
                        super::serve(service, socket, peer).await;
                        drop(seat);
                    });
                } else {
                    service.counters.rejected_connections.increment();
                    service.counters.errors_limit.increment();
                    tracing::debug!(%peer, "no room for another client");
                    // A fresh socket has room for it, or is gone.
                    let told = socket.write_first(b"-ERR max number of clients reached\r\n");
                    if told.is_ok() && turned_away.len() < TURNED_AWAY {
                        turned_away.spawn(see_off(socket));
                    }
                }
            }
            Err(error) => {
                service.counters.accept_errors.increment();
                if failures.note(&error) {
                    // A drain that begins meanwhile is noticed a moment later.
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }
    drop(listener);
    while let Some(ended) = sessions.join_next().await {
        report(ended);
    }
}

/// Closes the connection of a client that has been told that there is no room. It may have sent something already,
/// which has to be read, or the reset that follows would overtake what it was told.
async fn see_off(mut socket: Socket) {
    if socket.shutdown_write().is_ok() {
        // Whether it got the message or not, it is gone then.
        let _ = timeout(LINGERING_CLOSE, discard(&mut socket)).await;
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a session ended by a bug; its connection is closed, its locks are left to their ttl");
    }
}

/// What went wrong with accepting, told once in a while.
#[derive(Debug, Default)]
struct AcceptFailures {
    logged_at: Option<Instant>,
    unlogged: u64,
}

impl AcceptFailures {
    /// Notes a failure; returns whether accepting should rest, because the next try will fail the same way.
    fn note(&mut self, error: &io::Error) -> bool {
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
            // The client was gone before it was its turn.
            return false;
        }
        self.unlogged += 1;
        if self.logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            tracing::warn!(%error, failures = self.unlogged, "cannot take clients in");
            *self = Self { logged_at: Some(Instant::now()), unlogged: 0 };
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn accepting_rests_only_when_the_next_try_would_fail_too() {
        let mut failures = AcceptFailures::default();
        assert!(!failures.note(&io::ErrorKind::ConnectionAborted.into()));
        let none_left = io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
        assert!(failures.note(&none_left));
        // Told at once, then once a second with the number of those in between.
        assert_eq!(failures.unlogged, 0);
        assert!(failures.note(&none_left) && failures.note(&none_left));
        assert_eq!(failures.unlogged, 2);
        tokio::time::advance(LOG_INTERVAL).await;
        assert!(failures.note(&none_left));
        assert_eq!(failures.unlogged, 0);
    }
}
