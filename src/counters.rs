//! The proxy's own counters; `INFO redlock` reads them.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number that many tasks change and one command reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn increment(&self) {
        self.add(1);
    }

    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Which counter an error reply belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A command that is unknown or written wrongly.
    Syntax,
    /// A password that is missing or wrong.
    Authentication,
    /// A configured bound.
    Limit,
    /// Bytes that are no request.
    Protocol,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Everything that is counted, since start unless a field says that it is a state.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
        }
    };
}

counters! {
    /// Clients connected now (a state).
    connected_clients,
    total_connections_received,
    rejected_connections,
    accept_errors,
    rlock_granted,
    rlock_taken_over,
    rlock_refused,
    rlock_noquorum,
    /// Won, but too late to leave any validity when decided or when written.
    rlock_too_late,
    rlock_split_retries,
    /// The client left before its attempt was decided or its reply could be written.
    rlock_abandoned,
    runlock_released,
    runlock_not_held,
    runlock_noquorum,
    rextend_extended,
    rextend_lost,
    rextend_noquorum,
    withdrawals_sent,
    /// Withdrawals that some primary has not answered yet (a state).
    withdrawals_pending,
    /// A SET that landed after its attempt had been given up; its withdrawal follows on the same connection.
    late_grants_undone,
    /// A primary came back as another process than it was.
    incarnation_changes,
    errors_syntax,
    errors_auth,
    errors_limit,
    errors_protocol,
    clients_closed_output_limit,
}

impl Counters {
    /// Counts one error reply.
    pub fn count_error(&self, kind: ErrorKind) {
        match kind {
            ErrorKind::Syntax => &self.errors_syntax,
            ErrorKind::Authentication => &self.errors_auth,
            ErrorKind::Limit => &self.errors_limit,
            ErrorKind::Protocol => &self.errors_protocol,
        }
        .increment();
    }
}
