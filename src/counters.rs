//! The proxy's own counters; `INFO redlock` reads them.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number that many tasks change and one command reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// One less, for a counter that tells a state; only what was added before may be taken away.
    pub fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// So many now, for a counter that tells a state.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// So many at least, for one that tells the most there were.
    pub fn raise(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    /// What it says.
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
    /// Connections taken from a listening socket.
    total_connections_received,
    /// Connections closed at once because there were too many.
    rejected_connections,
    /// Failures to take a connection from a listening socket.
    accept_errors,
    /// Locks won with validity left, take-overs included. Some of them are found too late, or abandoned, when their reply
    /// is to be written.
    rlock_granted,
    /// Locks granted to the owner that held them already.
    rlock_taken_over,
    /// Locks that somebody else held to the end.
    rlock_refused,
    /// Acquisitions that the answers did not settle.
    rlock_noquorum,
    /// Won, but too late to leave any validity when decided or when written.
    rlock_too_late,
    /// Attempts made again because the votes had split.
    rlock_split_retries,
    /// The client left before its attempt was decided or its reply could be written.
    rlock_abandoned,
    /// Releases of a lock that was held.
    runlock_released,
    /// Releases by a token that held no lock.
    runlock_not_held,
    /// Releases that the answers did not settle.
    runlock_noquorum,
    /// Locks extended.
    rextend_extended,
    /// Extensions by a token that held the lock no longer.
    rextend_lost,
    /// Extensions that the answers did not settle.
    rextend_noquorum,
    /// Records set anew by renewals where they were absent.
    rextend_records_restored,
    /// Locks that are bound to connections and held (a state).
    session_locks,
    /// Renewals of such locks that a quorum confirmed.
    session_renewals,
    /// Renewals that the answers did not settle.
    session_renewal_failures,
    /// Such locks that were lost.
    session_lost,
    /// Such locks that were released when their client closed its connection, or reset it.
    session_released_on_close,
    /// Several locks won together.
    rmlock_granted,
    /// Several locks of which somebody else held one to the end.
    rmlock_refused,
    /// Several locks of which the answers did not settle one, or settled it too late.
    rmlock_noquorum,
    /// Locks that went to somebody who asked for them with WAIT.
    wait_granted,
    /// Waiters whose time was over.
    wait_expired,
    /// Waiters whose clients left, or whose connections were to be closed.
    wait_abandoned,
    /// Locks that somebody waits for (a state).
    lines,
    /// Who stands in line, one for each command (a state). A client waits with one command at a time.
    waiters,
    /// The most there were.
    waiters_peak,
    /// Notices published for other proxies, on each primary.
    notices_sent,
    /// Notices of other proxies, from each primary.
    notices_received,
    /// Fencing tokens handed out with locks.
    fences_issued,
    /// Fencing numbers drawn anew, because a quorum had not accepted the one before.
    fences_second_round,
    /// Compare-and-deletes sent for what was not granted.
    withdrawals_sent,
    /// Withdrawals that some primary has not answered yet (a state).
    withdrawals_pending,
    /// A SET that landed after its attempt had been given up; its withdrawal follows on the same connection.
    late_grants_undone,
    /// A primary came back as another process than it was.
    quarantines,
    incarnation_changes,
    /// Connections to the upstream that were opened.
    relay_connections,
    /// Tries to open one that failed.
    relay_connect_failures,
    /// Commands of clients sent to the upstream.
    relay_commands,
    /// Fences sent to the upstream: ECHOs that tell whether everything before has been run, and whether one may ask.
    relay_fences,
    /// Bytes that came from the upstream.
    relay_bytes_in,
    /// Bytes that were sent to it.
    relay_bytes_out,
    /// Refused commands: unknown, or written wrongly.
    errors_syntax,
    /// Refused commands: a password that is missing or wrong.
    errors_auth,
    /// Refusals because of a configured bound.
    errors_limit,
    /// Connections closed because what came was no request.
    errors_protocol,
    /// Connections closed because their replies were not read.
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
