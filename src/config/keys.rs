//! The table of keys: the one list that the file, the environment, the flags, `check` and the sample file follow.
//!
//! A key is a path, a kind with its default and range, a unit and one line of explanation. The numbers come from
//! `limits.rs`; the meaning of a value, and what must fit together, is the matter of `read.rs`.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use crate::limits;

/// What a key's value may be.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A whole number.
    Integer {
        /// The smallest and the largest value.
        range: RangeInclusive<u64>,
        /// What 0 says (`off`), where it is allowed besides the range.
        zero: Option<&'static str>,
        /// What holds when nobody gives a value.
        default: u64,
    },
    /// A share between 0 and 1 with at most six decimal places, kept in parts per million.
    Share {
        /// The smallest and the largest value, in parts per million.
        range: RangeInclusive<u32>,
        /// What holds when nobody gives a value, in parts per million.
        default: u32,
    },
    /// How many primaries must agree: a majority at least.
    Quorum,
    /// Text of at most so many bytes; empty when nobody gives a value.
    Text(usize),
    /// The name of a set of primaries, and its default.
    SetName(&'static str),
    /// One of a few words, the first of which is the default.
    Choice(&'static [&'static str]),
    /// A tracing filter and its default.
    Filter(&'static str),
    /// A secret, shown nowhere.
    Secret,
    /// The path of a file that holds a secret.
    SecretFile,
    /// Addresses to listen on: how many at most, and the default.
    Listen(usize, &'static str),
    /// The primaries: how many at most.
    Primaries(usize),
    /// The one server that ordinary commands go to, or none.
    Upstream,
}

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// Its name, with the section in front: `limits.connections`.
    pub path: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// What the value counts: `milliseconds`, `bytes`; empty where there is nothing to count.
    pub unit: &'static str,
    /// One sentence that says what it is for.
    pub doc: &'static str,
}

impl Key {
    /// The environment variable that sets this key.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.path.to_uppercase().replace('.', "__"))
    }

    /// The section (`limits`; empty for none) and the name within it.
    pub fn section_and_name(&self) -> (&'static str, &'static str) {
        self.path.split_once('.').unwrap_or(("", self.path))
    }

    /// The default as YAML has it; `None` where the value is required.
    pub fn default(&self) -> Option<String> {
        match &self.kind {
            Kind::Integer { default, .. } => Some(default.to_string()),
            Kind::Share { default, .. } => Some(share(*default)),
            Kind::Quorum | Kind::Secret | Kind::SecretFile | Kind::Upstream => Some("null".to_owned()),
            Kind::Text(_) => Some("\"\"".to_owned()),
            Kind::Choice(words) => words.first().map(ToString::to_string),
            Kind::SetName(default) | Kind::Filter(default) => Some(format!("\"{default}\"")),
            Kind::Listen(_, default) => Some(format!("[\"{default}\"]")),
            Kind::Primaries(_) => None,
        }
    }

    /// Unit and range in words: `milliseconds, 1 to 60000`, `text, at most 256 bytes`.
    pub fn range(&self) -> String {
        let mut words = String::new();
        if !self.unit.is_empty() {
            let _ = write!(words, "{}, ", self.unit);
        }
        let _ = match &self.kind {
            Kind::Integer { range, zero: Some(zero), .. } => {
                write!(words, "0 ({zero}) or {} to {}", range.start(), range.end())
            }
            Kind::Integer { range, zero: None, .. } => write!(words, "{} to {}", range.start(), range.end()),
            Kind::Share { range, .. } => write!(words, "{} to {}", share(*range.start()), share(*range.end())),
            Kind::Quorum => write!(words, "the majority to all"),
            Kind::Text(longest) => write!(words, "text, at most {longest} bytes"),
            Kind::SetName(_) => write!(words, "1 to {} letters, digits, `_`, `.` and `-`", limits::SET_NAME_BYTES),
            Kind::Choice(options) => write!(words, "{}", options.join(" or ")),
            Kind::Filter(_) => write!(words, "error, warn, info, debug, trace, off, or target=level, by comma"),
            Kind::Secret => write!(words, "text"),
            Kind::SecretFile => write!(words, "a path"),
            Kind::Upstream => write!(words, "an address or a mapping, as of a primary"),
            Kind::Listen(most, _) | Kind::Primaries(most) => write!(words, "1 to {most} of them"),
        };
        words
    }
}

/// Parts per million as a decimal fraction, without trailing zeros.
pub(super) fn share(parts_per_million: u32) -> String {
    let digits = format!("{}.{:06}", parts_per_million / 1_000_000, parts_per_million % 1_000_000);
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What the name of every environment variable of ours begins with.
pub const VARIABLE_PREFIX: &str = "REDLOCK_PROXY_";

/// A key whose value is a whole number within `range`.
const fn integer(range: RangeInclusive<u64>, default: u64) -> Kind {
    Kind::Integer { range, zero: None, default }
}

/// The same where 0 is allowed as well and says `zero`.
const fn integer_or_zero(zero: &'static str, range: RangeInclusive<u64>, default: u64) -> Kind {
    Kind::Integer { range, zero: Some(zero), default }
}

macro_rules! keys {
    ($($name:ident = $path:literal, $unit:literal, $kind:expr, $doc:literal;)*) => {
        $(pub(super) static $name: Key = Key { path: $path, kind: $kind, unit: $unit, doc: $doc };)*

        /// Every key there is, in the order in which `check` and the sample file show them.
        pub static KEYS: &[&Key] = &[$(&$name),*];
    };
}

keys! {
    LISTEN = "listen", "addresses", Kind::Listen(limits::LISTENERS, limits::LISTEN_DEFAULT),
        "Where clients connect: host:port, [ipv6]:port or unix:/path.";
    PRIMARIES = "primaries", "addresses", Kind::Primaries(limits::PRIMARIES),
        "The independent servers that vote: an odd number, the same list for every proxy.";
    UPSTREAM = "upstream", "", Kind::Upstream,
        "The server that answers every other command; null is none: locks only.";
    SET_NAME = "set_name", "", Kind::SetName(limits::SET_NAME_DEFAULT),
        "The name of this set of primaries, the same for every proxy; one that is marked with another does not vote.";
    QUORUM = "quorum", "primaries", Kind::Quorum,
        "How many primaries must agree; null is the majority.";
    KEY_PREFIX = "key_prefix", "", Kind::Text(limits::KEY_PREFIX_BYTES),
        "What every key on the primaries begins with; clients never see it.";
    MAX_TTL_MS = "max_ttl_ms", "milliseconds", integer(limits::MAX_TTL_MS, limits::MAX_TTL_MS_DEFAULT),
        "The longest ttl that a client may ask for, and for how long a primary that may have forgotten locks is kept out.";
    MAX_WAIT_MS = "max_wait_ms", "milliseconds", integer(limits::MAX_WAIT_MS, limits::MAX_WAIT_MS_DEFAULT),
        "The longest time that a client may stand in line for a lock.";
    ATTEMPTS = "attempts", "attempts", integer(limits::ATTEMPTS, limits::ATTEMPTS_DEFAULT),
        "How often a lock is tried whose votes were split.";
    RETRY_DELAY_MS = "retry_delay_ms", "milliseconds", integer(limits::RETRY_DELAY_MS, limits::RETRY_DELAY_MS_DEFAULT),
        "The longest random wait before the second attempt; it doubles with each further one.";
    CLOCK_DRIFT_FACTOR = "clock_drift_factor", "share of the ttl",
        Kind::Share { range: limits::CLOCK_DRIFT_PPM, default: limits::CLOCK_DRIFT_PPM_DEFAULT },
        "How far the clocks of primaries may drift during a ttl; 2 ms are added to it.";
    NODE_TIMEOUT_MS = "node_timeout_ms", "milliseconds", integer(limits::NODE_TIMEOUT_MS, limits::NODE_TIMEOUT_MS_DEFAULT),
        "How long an attempt waits for one primary, and never longer than a tenth of the ttl.";
    SILENCE_TIMEOUT_MS = "silence_timeout_ms", "milliseconds",
        integer(limits::SILENCE_TIMEOUT_MS, limits::SILENCE_TIMEOUT_MS_DEFAULT),
        "How long a primary may owe every answer before its link is replaced; more than node_timeout_ms.";
    CONNECT_TIMEOUT_MS = "connect_timeout_ms", "milliseconds",
        integer(limits::CONNECT_TIMEOUT_MS, limits::CONNECT_TIMEOUT_MS_DEFAULT),
        "How long opening a connection to a primary may take.";
    PROBE_INTERVAL_MS = "probe_interval_ms", "milliseconds",
        integer(limits::PROBE_INTERVAL_MS, limits::PROBE_INTERVAL_MS_DEFAULT),
        "How often a primary is looked at.";
    LINKS_PER_PRIMARY = "links_per_primary", "connections",
        integer(limits::LINKS_PER_PRIMARY, limits::LINKS_PER_PRIMARY_DEFAULT),
        "Connections to each primary; a lock's name decides which one is used.";
    FENCE_RETENTION_MS = "fence_retention_ms", "milliseconds",
        integer(limits::FENCE_RETENTION_MS, limits::FENCE_RETENTION_MS_DEFAULT),
        "How long the primaries keep the fencing counter of a key that is not used; at least max_ttl_ms.";
    QUARANTINE = "quarantine", "", Kind::Choice(&["auto", "off"]),
        "Whether primaries that may have forgotten locks are kept out; off only where every write is on disk before its answer.";
    NEW_SET = "new_set", "", Kind::Choice(&["wait", "at_once"]),
        "What primaries do that nobody ever marked: wait max_ttl_ms for locks they may have forgotten, or vote at once.";
    SHUTDOWN_GRACE_MS = "shutdown_grace_ms", "milliseconds",
        integer(limits::SHUTDOWN_GRACE_MS, limits::SHUTDOWN_GRACE_MS_DEFAULT),
        "How long a shutdown may take to answer what is under way.";
    WORKER_THREADS = "worker_threads", "threads", integer(limits::WORKER_THREADS, limits::WORKER_THREADS_DEFAULT),
        "Threads that serve clients; 0 is one per core.";
    AUTH_PASSWORD = "auth.password", "", Kind::Secret,
        "What clients must say with AUTH; null or empty is none. Not together with password_file.";
    AUTH_PASSWORD_FILE = "auth.password_file", "", Kind::SecretFile,
        "A file whose first line is the password.";
    SESSION_MAX_LIFETIME_MS = "session.max_lifetime_ms", "milliseconds",
        integer_or_zero("off", limits::SESSION_MAX_LIFETIME_MS, limits::SESSION_MAX_LIFETIME_MS_DEFAULT),
        "How long a lock that is bound to its connection is renewed at most.";
    SESSION_CLIENT_SILENCE_MS = "session.client_silence_ms", "milliseconds",
        integer_or_zero("off", limits::SESSION_CLIENT_SILENCE_MS, limits::SESSION_CLIENT_SILENCE_MS_DEFAULT),
        "No lock is renewed for a client from which nothing came for that long.";
    TCP_KEEPALIVE_IDLE_MS = "tcp.keepalive_idle_ms", "milliseconds",
        integer(limits::KEEPALIVE_IDLE_MS, limits::KEEPALIVE_IDLE_MS_DEFAULT),
        "Silence on a connection before the first keep-alive probe.";
    TCP_KEEPALIVE_INTERVAL_MS = "tcp.keepalive_interval_ms", "milliseconds",
        integer(limits::KEEPALIVE_INTERVAL_MS, limits::KEEPALIVE_INTERVAL_MS_DEFAULT),
        "Time between keep-alive probes.";
    TCP_KEEPALIVE_PROBES = "tcp.keepalive_probes", "probes",
        integer(limits::KEEPALIVE_PROBES, limits::KEEPALIVE_PROBES_DEFAULT),
        "Unanswered keep-alive probes before the peer counts as gone.";
    TCP_USER_TIMEOUT_MS = "tcp.user_timeout_ms", "milliseconds",
        integer_or_zero("the system's own", limits::USER_TIMEOUT_MS, limits::USER_TIMEOUT_MS_DEFAULT),
        "How long sent bytes may stay unacknowledged before the peer counts as gone.";
    LIMITS_CONNECTIONS = "limits.connections", "clients", integer(limits::CONNECTIONS, limits::CONNECTIONS_DEFAULT),
        "Clients at a time; lowered to what the system's limit on descriptors allows.";
    LIMITS_REQUEST_BYTES = "limits.request_bytes", "bytes",
        integer(limits::REQUEST_BYTES, limits::REQUEST_BYTES_DEFAULT),
        "The largest request that the proxy answers itself.";
    LIMITS_REQUEST_ELEMENTS = "limits.request_elements", "elements",
        integer(limits::REQUEST_ELEMENTS, limits::REQUEST_ELEMENTS_DEFAULT),
        "The most arguments of a request that the proxy answers itself, its command's name included.";
    LIMITS_RELAYED_BULK_BYTES = "limits.relayed_bulk_bytes", "bytes",
        integer(limits::RELAYED_BULK_BYTES, limits::RELAYED_BULK_BYTES_DEFAULT),
        "The longest argument that is passed on to the upstream.";
    LIMITS_KEY_BYTES = "limits.key_bytes", "bytes", integer(limits::KEY_BYTES, limits::KEY_BYTES_DEFAULT),
        "The longest name of a lock.";
    LIMITS_PIPELINE_DEPTH = "limits.pipeline_depth", "commands",
        integer(limits::PIPELINE_DEPTH, limits::PIPELINE_DEPTH_DEFAULT),
        "Lock commands of one client under way; at that many its socket is not read.";
    LIMITS_BUFFER_BYTES = "limits.buffer_bytes", "bytes", integer(limits::BUFFER_BYTES, limits::BUFFER_BYTES_DEFAULT),
        "Buffer per client and direction; when it is full the other side is not read.";
    LIMITS_OUTPUT_BUFFER_BYTES = "limits.output_buffer_bytes", "bytes",
        integer(limits::OUTPUT_BUFFER_BYTES, limits::OUTPUT_BUFFER_BYTES_DEFAULT),
        "Replies that a client leaves unread before it is closed; at least buffer_bytes.";
    LIMITS_IDLE_TIMEOUT_MS = "limits.idle_timeout_ms", "milliseconds",
        integer_or_zero("off", limits::IDLE_TIMEOUT_MS, limits::IDLE_TIMEOUT_MS_DEFAULT),
        "How long a client may send nothing before it is closed.";
    LIMITS_UNAUTHENTICATED_ELEMENTS = "limits.unauthenticated_elements", "elements",
        integer(limits::UNAUTHENTICATED_ELEMENTS, limits::UNAUTHENTICATED_ELEMENTS_DEFAULT),
        "The most arguments of a request before AUTH.";
    LIMITS_UNAUTHENTICATED_BULK_BYTES = "limits.unauthenticated_bulk_bytes", "bytes",
        integer(limits::UNAUTHENTICATED_BULK_BYTES, limits::UNAUTHENTICATED_BULK_BYTES_DEFAULT),
        "The longest argument before AUTH.";
    LIMITS_REPLY_NESTING = "limits.reply_nesting", "levels",
        integer(limits::REPLY_NESTING, limits::REPLY_NESTING_DEFAULT),
        "Levels of arrays within arrays in a reply of a primary or of the upstream.";
    LIMITS_WAITERS = "limits.waiters", "clients", integer(limits::WAITERS, limits::WAITERS_DEFAULT),
        "Clients that stand in line for a lock; what comes on top gets an error.";
    LIMITS_WAITERS_PER_KEY = "limits.waiters_per_key", "clients",
        integer(limits::WAITERS_PER_KEY, limits::WAITERS_PER_KEY_DEFAULT),
        "The same for one lock.";
    LIMITS_SESSION_LOCKS = "limits.session_locks", "locks",
        integer(limits::SESSION_LOCKS, limits::SESSION_LOCKS_DEFAULT),
        "Locks that are bound to connections; what comes on top gets an error.";
    LIMITS_SESSION_LOCKS_PER_CONNECTION = "limits.session_locks_per_connection", "locks",
        integer(limits::SESSION_LOCKS_PER_CONNECTION, limits::SESSION_LOCKS_PER_CONNECTION_DEFAULT),
        "The same for one connection.";
    LIMITS_OPERATIONS_PER_PRIMARY = "limits.operations_per_primary", "operations",
        integer(limits::OPERATIONS_PER_PRIMARY, limits::OPERATIONS_PER_PRIMARY_DEFAULT),
        "Operations queued for or unanswered by one primary; what comes on top fails at once.";
    LOG_LEVEL = "log.level", "", Kind::Filter(limits::LOG_LEVEL_DEFAULT),
        "What is logged to stderr, as a tracing filter.";
    LOG_FORMAT = "log.format", "", Kind::Choice(&["text", "json"]),
        "How a line of the log is written.";
}
