//! Every bound of the proxy, in one place.
//!
//! Two kinds stand here: constants, which no configuration changes, and the defaults and ranges of the bounds that
//! configuration may change (`config/` reads them, and nothing repeats them). Bounds that depend on each other are
//! asserted at compile time at the end.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Bytes of randomness in a token; it is written as twice as many lower-case hex digits.
pub const TOKEN_RANDOM_BYTES: usize = 20;
/// Hex digits at the end of every token this proxy makes.
pub const TOKEN_HEX_DIGITS: usize = TOKEN_RANDOM_BYTES * 2;
/// Longest owner name, in bytes.
pub const OWNER_BYTES: usize = 200;
/// Longest token a client may hand in, in bytes: longer than any of ours, so that a library's tokens fit as well.
pub const TOKEN_BYTES: usize = 256;

/// Most locks that one RMLOCK, RMUNLOCK or RMEXTEND is about.
pub const KEYS_AT_ONCE: usize = 64;
/// The smallest ttl of a lock that is bound to its connection, in milliseconds: it must be renewed in time.
pub const SESSION_TTL_MS: u64 = 100;

/// A session's lock is renewed so many times in its ttl.
pub const RENEWAL_FRACTION: u32 = 3;
/// A renewal that did not settle is tried again after this fraction of the ttl at the longest.
pub const RENEWAL_RETRY_FRACTION: u32 = 24;
/// How many times that bound doubles: to the time between two renewals.
pub const RENEWAL_RETRY_DOUBLINGS: u8 = 3;
/// Renewals that are due within this time are sent together.
pub const RENEWAL_SLACK: Duration = Duration::from_millis(5);
/// Most renewals that are under way at a time: the clients' own commands must not wait behind all the locks of a proxy.
/// Each takes some kilobytes for as long, mostly in the queues of the links.
pub const RENEWALS_AT_ONCE: usize = 256;
/// How often a fencing number is drawn anew, each time a larger step ahead, before the attempt is given up.
pub const FENCE_STEPS: u32 = 6;

/// Most primaries in a set.
pub const PRIMARIES: usize = 9;
/// The part of the drift allowance that does not depend on the ttl, in milliseconds.
pub const DRIFT_MARGIN_MS: u64 = 2;
/// A primary is waited for at most this fraction of the ttl, whatever `node_timeout_ms` says.
pub const NODE_TIMEOUT_TTL_FRACTION: u64 = 10;

/// Longest header line (`*N`, `$N`) and longest inline command, in bytes.
pub const LINE_BYTES: usize = 64 * 1024;
/// Most elements of a request that the protocol itself allows (Redis 7.0 and later).
pub const PROTOCOL_ELEMENTS: i64 = 2_147_483_647;
/// Longest bulk string that the protocol itself allows, in bytes.
pub const PROTOCOL_BULK_BYTES: i64 = 512 * 1024 * 1024;
/// Room made for an announced bulk string before any of it has come, in bytes.
pub const READ_AHEAD_BYTES: usize = 16 * 1024;
/// Largest read buffer that a connection keeps after a request, in bytes.
pub const RETAINED_BUFFER_BYTES: usize = 128 * 1024;

/// Longest reason text of one primary in a NOQUORUM error, in bytes.
pub const REASON_BYTES: usize = 200;
/// Longest NOQUORUM error line, in bytes.
pub const NOQUORUM_LINE_BYTES: usize = 1024;
/// Longest value of a lock key that is read from a primary as a holder; a longer one cannot be a token and its holder is unknown.
pub const HOLDER_BYTES: usize = 4096;
/// Longest reply of a primary that is kept in memory (INFO is the largest); what is longer is skipped.
pub const PRIMARY_REPLY_BYTES: usize = 256 * 1024;

/// How many bytes one batch to a primary takes before it is written.
pub const BATCH_BYTES: usize = 256 * 1024;

/// How many withdrawals that are owed go to a primary at once.
pub const OWED_AT_ONCE: usize = 256;

/// How much of what a lost connection to a primary left behind is seen to before everybody else has a turn.
pub const LEFT_AT_ONCE: usize = 64;

/// First wait of a line's first before it tries again for a lock that is held, whatever it hears; doubled after each try,
/// jittered.
pub const LINE_RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between two tries of a line's first.
pub const LINE_RETRY_LONGEST: Duration = Duration::from_secs(1);
/// For how long it is remembered that another proxy waits for a lock: it says so again with each of its tries.
pub const OTHERS_REMEMBERED_FOR: Duration = Duration::from_secs(5);
/// How long a line that is woken again and again need not say again that it is there.
pub const LINE_ANNOUNCED_FOR: Duration = Duration::from_secs(1);
/// Locks of which it is remembered that another proxy waits for them.
pub const OTHERS_REMEMBERED: usize = 65_536;
/// How often a lock goes to waiters of ours in a row before a line of another proxy gets a chance at it.
pub const WINS_IN_A_ROW: u32 = 16;

/// First wait before a lost link is opened again; doubled after each failure, jittered.
pub const RECONNECT_FIRST: Duration = Duration::from_millis(50);
/// Longest wait between two tries to open a link.
pub const RECONNECT_LONGEST: Duration = Duration::from_secs(2);
/// How long a closing connection is still read from, so that the peer gets our last bytes rather than a reset.
pub const LINGERING_CLOSE: Duration = Duration::from_secs(1);
/// While the proxy drains, a client that says nothing is closed after this fraction of `shutdown_grace_ms`.
pub const DRAIN_QUIET_FRACTION: u32 = 4;
/// What of `shutdown_grace_ms` is kept, if that much is not more than the fraction above, for closing those who are still
/// there: one lingering close towards the client and one towards the upstream.
pub const DRAIN_CLOSING: Duration = LINGERING_CLOSE.saturating_mul(2);
/// While the upstream is away, how long it is left alone between two looks for it.
pub const UPSTREAM_LOOK: Duration = Duration::from_secs(1);
/// How long after a look at the upstream another is not worth it.
pub const UPSTREAM_REST: Duration = Duration::from_millis(500);
/// How long accepting rests after the system had no descriptor left.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Connections that the system keeps waiting for us to accept them.
pub const ACCEPT_BACKLOG: i32 = 1_024;
/// About how much of a client's replies is encoded for one write.
pub const OUTPUT_CHUNK_BYTES: usize = 64 * 1024;
/// Places in the line of replies that the upstream owes one client; then nothing further is sent to it. Replies of which
/// nothing need be known share one place.
pub const OWED_RUNS: usize = 65_536;
/// Longest answer of the upstream that the proxy adds its own part to (COMMAND DOCS is the largest), in bytes.
pub const MERGED_REPLY_BYTES: usize = 8 * 1024 * 1024;
/// Read buffers that a worker thread keeps for the next connection.
pub const SPARE_BUFFERS: usize = 8;
/// Requests of one client that are taken on before others get their turn.
pub const REQUESTS_PER_TURN: usize = 256;
/// Clients for which there was no room whose connections are closed with patience at a time; others are closed at once.
pub const TURNED_AWAY: usize = 32;
/// Descriptors for neither clients nor primaries: listeners, those turned away, standard streams, the runtime's own.
pub const RESERVED_DESCRIPTORS: u64 = 96;

/// How far a primary's clock may jump forward, beyond drift and the doubt of a round trip, before it counts as a step.
pub const CLOCK_STEP: Duration = Duration::from_millis(50);
/// How long after a primary was found without a marker it is looked at again: another proxy may be writing one.
pub const SECOND_LOOK: Duration = Duration::from_secs(1);
/// How long after a marker could not be written it is tried again.
pub const MARKING_REST: Duration = Duration::from_secs(1);

/// Longest `key_prefix`, in bytes.
pub const KEY_PREFIX_BYTES: usize = 256;
/// Longest `set_name`, in bytes.
pub const SET_NAME_BYTES: usize = 64;
/// `set_name` when nobody says otherwise.
pub const SET_NAME_DEFAULT: &str = "main";
/// Most addresses to listen on.
pub const LISTENERS: usize = 16;
/// Where the proxy listens when nobody says otherwise: this machine only, since there is no password either.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:6379";
/// What is logged when nobody says otherwise.
pub const LOG_LEVEL_DEFAULT: &str = "info";
/// Largest configuration or password file that is read, in bytes.
pub const CONFIG_FILE_BYTES: usize = 1024 * 1024;
/// Log lines that wait for a slow stderr, in bytes; what comes on top is dropped and counted.
pub const LOG_BUFFER_BYTES: usize = 1024 * 1024;
/// How long the end of the process waits for a slow stderr to take the last log lines.
pub const LOG_FLUSH: Duration = Duration::from_secs(1);
/// How long `redlock-proxy ping` waits for its answer.
pub const PING_TIMEOUT: Duration = Duration::from_secs(1);

// Ranges of what configuration may set; the defaults stand beside them. Milliseconds, bytes or counts, as the key says.

pub const MAX_TTL_MS: RangeInclusive<u64> = 1_000..=86_400_000;
pub const MAX_TTL_MS_DEFAULT: u64 = 60_000;
pub const MAX_WAIT_MS: RangeInclusive<u64> = 0..=86_400_000;
pub const MAX_WAIT_MS_DEFAULT: u64 = 3_600_000;
pub const ATTEMPTS: RangeInclusive<u64> = 1..=100;
pub const ATTEMPTS_DEFAULT: u64 = 3;
pub const RETRY_DELAY_MS: RangeInclusive<u64> = 1..=10_000;
pub const RETRY_DELAY_MS_DEFAULT: u64 = 25;
/// The range of `clock_drift_factor`, in parts per million of the ttl (0 to 0.5).
pub const CLOCK_DRIFT_PPM: RangeInclusive<u32> = 0..=500_000;
pub const CLOCK_DRIFT_PPM_DEFAULT: u32 = 10_000;
pub const NODE_TIMEOUT_MS: RangeInclusive<u64> = 1..=60_000;
pub const NODE_TIMEOUT_MS_DEFAULT: u64 = 50;
/// Also greater than `node_timeout_ms`.
pub const SILENCE_TIMEOUT_MS: RangeInclusive<u64> = 2..=600_000;
pub const SILENCE_TIMEOUT_MS_DEFAULT: u64 = 1_000;
pub const CONNECT_TIMEOUT_MS: RangeInclusive<u64> = 1..=60_000;
pub const CONNECT_TIMEOUT_MS_DEFAULT: u64 = 1_000;
pub const PROBE_INTERVAL_MS: RangeInclusive<u64> = 100..=60_000;
pub const PROBE_INTERVAL_MS_DEFAULT: u64 = 1_000;
pub const LINKS_PER_PRIMARY: RangeInclusive<u64> = 1..=16;
pub const LINKS_PER_PRIMARY_DEFAULT: u64 = 1;
pub const SHUTDOWN_GRACE_MS: RangeInclusive<u64> = 0..=600_000;
pub const SHUTDOWN_GRACE_MS_DEFAULT: u64 = 10_000;
pub const WORKER_THREADS: RangeInclusive<u64> = 0..=256;
pub const WORKER_THREADS_DEFAULT: u64 = 0;
pub const KEEPALIVE_IDLE_MS: RangeInclusive<u64> = 1_000..=86_400_000;
pub const KEEPALIVE_IDLE_MS_DEFAULT: u64 = 10_000;
pub const KEEPALIVE_INTERVAL_MS: RangeInclusive<u64> = 1_000..=86_400_000;
pub const KEEPALIVE_INTERVAL_MS_DEFAULT: u64 = 5_000;
pub const KEEPALIVE_PROBES: RangeInclusive<u64> = 1..=20;
pub const KEEPALIVE_PROBES_DEFAULT: u64 = 3;
/// 0 leaves the system's own; else at least a second.
pub const USER_TIMEOUT_MS: RangeInclusive<u64> = 1_000..=86_400_000;
pub const USER_TIMEOUT_MS_DEFAULT: u64 = 25_000;
pub const CONNECTIONS: RangeInclusive<u64> = 1..=1_000_000;
pub const CONNECTIONS_DEFAULT: u64 = 10_000;
pub const REQUEST_BYTES: RangeInclusive<u64> = 16_384..=536_870_912;
pub const REQUEST_BYTES_DEFAULT: u64 = 1_048_576;
pub const REQUEST_ELEMENTS: RangeInclusive<u64> = 16..=1_048_576;
pub const REQUEST_ELEMENTS_DEFAULT: u64 = 1_024;
pub const RELAYED_BULK_BYTES: RangeInclusive<u64> = 16_384..=536_870_912;
pub const RELAYED_BULK_BYTES_DEFAULT: u64 = 536_870_912;
pub const KEY_BYTES: RangeInclusive<u64> = 1..=65_536;
pub const KEY_BYTES_DEFAULT: u64 = 4_096;
pub const PIPELINE_DEPTH: RangeInclusive<u64> = 1..=65_536;
pub const PIPELINE_DEPTH_DEFAULT: u64 = 1_024;
pub const BUFFER_BYTES: RangeInclusive<u64> = 4_096..=16_777_216;
pub const BUFFER_BYTES_DEFAULT: u64 = 65_536;
/// Also at least `limits.buffer_bytes`.
pub const OUTPUT_BUFFER_BYTES: RangeInclusive<u64> = 4_096..=1_073_741_824;
pub const OUTPUT_BUFFER_BYTES_DEFAULT: u64 = 8_388_608;
/// 0 is off; else at least the smallest ttl of a session.
pub const SESSION_MAX_LIFETIME_MS: RangeInclusive<u64> = 100..=31_536_000_000;
pub const SESSION_MAX_LIFETIME_MS_DEFAULT: u64 = 0;
/// 0 is off; else at least a second.
pub const SESSION_CLIENT_SILENCE_MS: RangeInclusive<u64> = 1_000..=86_400_000;
pub const SESSION_CLIENT_SILENCE_MS_DEFAULT: u64 = 0;
/// Also at least `max_ttl_ms`.
pub const FENCE_RETENTION_MS: RangeInclusive<u64> = 1_000..=31_536_000_000;
pub const FENCE_RETENTION_MS_DEFAULT: u64 = 604_800_000;
pub const WAITERS: RangeInclusive<u64> = 1..=10_000_000;
pub const WAITERS_DEFAULT: u64 = 100_000;
pub const WAITERS_PER_KEY: RangeInclusive<u64> = 1..=10_000_000;
pub const WAITERS_PER_KEY_DEFAULT: u64 = 10_000;
pub const SESSION_LOCKS: RangeInclusive<u64> = 1..=10_000_000;
pub const SESSION_LOCKS_DEFAULT: u64 = 1_000_000;
pub const SESSION_LOCKS_PER_CONNECTION: RangeInclusive<u64> = 1..=1_000_000;
pub const SESSION_LOCKS_PER_CONNECTION_DEFAULT: u64 = 1_024;
/// 0 is off; else at least a second.
pub const IDLE_TIMEOUT_MS: RangeInclusive<u64> = 1_000..=604_800_000;
pub const IDLE_TIMEOUT_MS_DEFAULT: u64 = 0;
pub const UNAUTHENTICATED_ELEMENTS: RangeInclusive<u64> = 3..=1_024;
pub const UNAUTHENTICATED_ELEMENTS_DEFAULT: u64 = 10;
pub const UNAUTHENTICATED_BULK_BYTES: RangeInclusive<u64> = 512..=1_048_576;
pub const UNAUTHENTICATED_BULK_BYTES_DEFAULT: u64 = 16_384;
pub const REPLY_NESTING: RangeInclusive<u64> = 8..=1_024;
pub const REPLY_NESTING_DEFAULT: u64 = 128;
pub const OPERATIONS_PER_PRIMARY: RangeInclusive<u64> = 64..=16_777_216;
pub const OPERATIONS_PER_PRIMARY_DEFAULT: u64 = 65_536;

const _: () = {
    // A token with the longest owner name in front (and its colon) is still one a client may hand back, and one that
    // is read as a holder.
    assert!(OWNER_BYTES + 1 + TOKEN_HEX_DIGITS <= TOKEN_BYTES);
    assert!(TOKEN_BYTES <= HOLDER_BYTES);
    assert!(HOLDER_BYTES <= PRIMARY_REPLY_BYTES);
    // The last of the doubled bounds is the time between two renewals.
    assert!(RENEWAL_RETRY_FRACTION == RENEWAL_FRACTION << RENEWAL_RETRY_DOUBLINGS);
    // The shortest of sessions has several tries within its validity.
    assert!(SESSION_TTL_MS / RENEWAL_RETRY_FRACTION as u64 > 1);
    // A node set is a 16-bit mask.
    assert!(PRIMARIES <= 16);
    // Whoever waits elsewhere is not forgotten between two of its announcements.
    assert!(LINE_RETRY_LONGEST.as_millis() * 3 < OTHERS_REMEMBERED_FOR.as_millis());
    assert!(LINE_ANNOUNCED_FOR.as_millis() * 3 < OTHERS_REMEMBERED_FOR.as_millis());
    // The longest waits of configuration, added up, stay far from the end of a 64-bit count of microseconds.
    assert!(*MAX_TTL_MS.end() < u64::MAX / 1_000_000);
    assert!(RESERVED_DESCRIPTORS >= (LISTENERS + TURNED_AWAY + 32) as u64);
    // By default the upstream decides how long a relayed argument may be: what the protocol allows passes.
    assert!(RELAYED_BULK_BYTES_DEFAULT == PROTOCOL_BULK_BYTES.unsigned_abs());
    assert!(SILENCE_TIMEOUT_MS_DEFAULT > NODE_TIMEOUT_MS_DEFAULT);
    assert!(OUTPUT_BUFFER_BYTES_DEFAULT >= BUFFER_BYTES_DEFAULT);
};
