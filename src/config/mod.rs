//! What the program runs on: every value checked, every duration a `Duration`.
//!
//! Four steps, each in its file. `keys` is the table of all keys. `settings` collects what was given by flag,
//! environment and file (`raw` reads YAML), the stronger before the weaker. `read` and `servers` make a value of each. Here they are
//! put together, and what must fit together is checked. A `Config` that exists is valid, and nothing else in the
//! program asks where a value came from; `check` does, and gets it from [`Effective`].

mod address;
mod error;
mod keys;
mod nearest;
mod raw;
mod read;
mod servers;
mod settings;
mod show;
mod substitute;

use std::time::Duration;

use bytes::Bytes;

use crate::lock::{Drift, Quorum, Ttl};
pub use crate::telemetry::Format as LogFormat;
pub use address::{Address, AddressError, Endpoint, Secret};
pub use error::{Finding, Place, Problems, Warning};
pub use keys::{KEYS, Key, Kind, VARIABLE_PREFIX};
pub use read::is_set_name;
pub use settings::{Flag, Sources};

use read::Values;
use settings::Settings;
use show::Shown;

/// The effective configuration. The fields' keys, units and ranges are explained in [`KEYS`].
#[derive(Debug, Clone)]
pub struct Config {
    /// `listen`: at least one.
    pub listen: Vec<Address>,
    /// `primaries`: one to nine, no address twice.
    pub primaries: Vec<Endpoint>,
    /// `upstream`; `None`: the proxy serves locks only.
    pub upstream: Option<Endpoint>,
    /// `set_name`
    pub set_name: String,
    /// `quorum`: of as many as there are primaries.
    pub quorum: Quorum,
    /// `key_prefix`
    pub key_prefix: Bytes,
    /// `max_ttl_ms`
    pub max_ttl: Ttl,
    /// `max_wait_ms`
    pub max_wait: Duration,
    /// `attempts`: at least 1.
    pub attempts: u32,
    /// `retry_delay_ms`
    pub retry_delay: Duration,
    /// `clock_drift_factor`
    pub drift: Drift,
    /// `node_timeout_ms`
    pub node_timeout: Duration,
    /// `silence_timeout_ms`: more than the node timeout.
    pub silence_timeout: Duration,
    /// `connect_timeout_ms`
    pub connect_timeout: Duration,
    /// `probe_interval_ms`
    pub probe_interval: Duration,
    /// `links_per_primary`: at least 1.
    pub links_per_primary: usize,
    /// `fence_retention_ms`: at least `max_ttl_ms`.
    pub fence_retention: Duration,
    /// `quarantine`
    pub quarantine: Quarantine,
    /// `new_set`
    pub new_set: NewSet,
    /// `shutdown_grace_ms`
    pub shutdown_grace: Duration,
    /// `worker_threads`; 0: as many as there are cores.
    pub worker_threads: usize,
    /// `auth.password`, or what `auth.password_file` holds; never empty.
    pub password: Option<Secret>,
    /// `session.*`
    pub session: Session,
    /// `tcp.*`
    pub tcp: Tcp,
    /// `limits.*`
    pub limits: Limits,
    /// `log.*`
    pub log: Log,
}

/// `quarantine`: what becomes of a primary that may have forgotten locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quarantine {
    /// It does not vote until they have expired.
    Auto,
    /// None forgets any.
    Off,
}

/// `new_set`: what becomes of primaries that no proxy has ever marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewSet {
    /// They are taken for ones that have lost everything.
    Wait,
    /// They vote: no lock can be held.
    AtOnce,
}

/// `session.*`: how long locks that are bound to connections are renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// `session.max_lifetime_ms`; `None` is off.
    pub max_lifetime: Option<Duration>,
    /// `session.client_silence_ms`; `None` is off.
    pub client_silence: Option<Duration>,
}

/// `tcp.*`: how a connection whose peer vanished is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// `tcp.keepalive_idle_ms`
    pub keepalive_idle: Duration,
    /// `tcp.keepalive_interval_ms`
    pub keepalive_interval: Duration,
    /// `tcp.keepalive_probes`
    pub keepalive_probes: u32,
    /// `tcp.user_timeout_ms`; `None` leaves the system's own.
    pub user_timeout: Option<Duration>,
}

/// `limits.*`; the fields are named as their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Clients at a time.
    pub connections: usize,
    /// Bytes of a request.
    pub request_bytes: usize,
    /// Arguments of a request, the command's name included.
    pub request_elements: usize,
    /// Bytes of one argument that goes to the upstream.
    pub relayed_bulk_bytes: usize,
    /// Bytes of a lock's name.
    pub key_bytes: usize,
    /// Lock commands of one client that are under way.
    pub pipeline_depth: usize,
    /// Bytes buffered per client and direction.
    pub buffer_bytes: usize,
    /// Bytes of replies that a client leaves unread; at least `buffer_bytes`.
    pub output_buffer_bytes: usize,
    /// `None` is off.
    pub idle_timeout: Option<Duration>,
    /// Arguments of a request before AUTH.
    pub unauthenticated_elements: usize,
    /// Bytes of one argument before AUTH.
    pub unauthenticated_bulk_bytes: usize,
    /// Levels of aggregates within a reply of a primary or of the upstream.
    pub reply_nesting: usize,
    /// Clients that stand in line.
    pub waiters: usize,
    /// The same for one lock.
    pub waiters_per_key: usize,
    /// Locks that are bound to connections.
    pub session_locks: usize,
    /// The same for one connection.
    pub session_locks_per_connection: usize,
    /// Operations queued for or unanswered by one primary.
    pub operations_per_primary: usize,
}

/// `log.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A tracing filter: `info`, `redlock_proxy=debug,warn`.
    pub level: String,
    /// How a line is written.
    pub format: LogFormat,
}

impl Config {
    /// The configuration that the sources add up to, and what should be told about it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, not only the first.
    pub fn load(sources: &Sources) -> Result<(Self, Vec<Warning>), Problems> {
        Effective::load(sources).map(|effective| (effective.config, effective.warnings))
    }
}

/// A configuration that still knows where each of its values came from.
#[derive(Debug)]
pub struct Effective {
    /// What the program runs on.
    pub config: Config,
    /// What should be told about it.
    pub warnings: Vec<Warning>,
    shown: Vec<(&'static Key, Shown, Place)>,
}

impl Effective {
    /// See [`Config::load`].
    pub fn load(sources: &Sources) -> Result<Self, Problems> {
        let (settings, findings) = Settings::read(sources);
        let mut values = Values::new(settings, findings);
        let config = config(&mut values);
        let Values { problems, warnings, shown, .. } = values;
        match (Problems::new(problems), config) {
            (None, Some(config)) => Ok(Self { config, warnings, shown }),
            (Some(problems), _) => Err(problems),
            (None, None) => unreachable!("a configuration fails only with a finding"),
        }
    }

    /// Every key with its value and where that came from, as YAML that loads again; passwords are left out.
    pub fn to_yaml(&self) -> String {
        show::document(KEYS, &self.shown)
    }
}

/// Puts the values together. `None` only when something has been found wrong.
fn config(values: &mut Values) -> Option<Config> {
    let listen = values.listen(&keys::LISTEN);
    let before = values.problems.len();
    let primaries = values.primaries(&keys::PRIMARIES);
    // A quorum of primaries that are not all there cannot be judged.
    let total = if values.problems.len() == before { primaries.len() } else { 0 };
    let upstream = upstream(values, &primaries);
    let quorum = quorum(values, total);
    let password = values.password(&keys::AUTH_PASSWORD, &keys::AUTH_PASSWORD_FILE);
    if password.is_none() && listen.iter().any(|address| !address.is_local()) {
        values.warn(&keys::LISTEN, "other machines may connect, and there is no auth.password");
    }
    let config = Config {
        listen,
        primaries,
        upstream,
        quorum: quorum.or_else(|| Quorum::majority(1))?,
        set_name: values.set_name(&keys::SET_NAME),
        key_prefix: Bytes::from(values.text(&keys::KEY_PREFIX)),
        max_ttl: Ttl::from_millis(values.integer(&keys::MAX_TTL_MS))?,
        max_wait: duration(values, &keys::MAX_WAIT_MS),
        attempts: count(values, &keys::ATTEMPTS),
        retry_delay: duration(values, &keys::RETRY_DELAY_MS),
        drift: Drift::from_parts_per_million(values.share(&keys::CLOCK_DRIFT_FACTOR)),
        node_timeout: duration(values, &keys::NODE_TIMEOUT_MS),
        silence_timeout: duration(values, &keys::SILENCE_TIMEOUT_MS),
        connect_timeout: duration(values, &keys::CONNECT_TIMEOUT_MS),
        probe_interval: duration(values, &keys::PROBE_INTERVAL_MS),
        links_per_primary: size(values, &keys::LINKS_PER_PRIMARY),
        fence_retention: duration(values, &keys::FENCE_RETENTION_MS),
        quarantine: if values.choice(&keys::QUARANTINE) == 0 { Quarantine::Auto } else { Quarantine::Off },
        new_set: if values.choice(&keys::NEW_SET) == 0 { NewSet::Wait } else { NewSet::AtOnce },
        shutdown_grace: duration(values, &keys::SHUTDOWN_GRACE_MS),
        worker_threads: size(values, &keys::WORKER_THREADS),
        password,
        session: Session {
            max_lifetime: duration_or_none(values, &keys::SESSION_MAX_LIFETIME_MS),
            client_silence: duration_or_none(values, &keys::SESSION_CLIENT_SILENCE_MS),
        },
        tcp: Tcp {
            keepalive_idle: duration(values, &keys::TCP_KEEPALIVE_IDLE_MS),
            keepalive_interval: duration(values, &keys::TCP_KEEPALIVE_INTERVAL_MS),
            keepalive_probes: count(values, &keys::TCP_KEEPALIVE_PROBES),
            user_timeout: duration_or_none(values, &keys::TCP_USER_TIMEOUT_MS),
        },
        limits: limits(values),
        log: Log {
            level: values.filter(&keys::LOG_LEVEL),
            format: if values.choice(&keys::LOG_FORMAT) == 0 { LogFormat::Text } else { LogFormat::Json },
        },
    };
    check_pairs(values, &config);
    Some(config)
}

fn limits(values: &mut Values) -> Limits {
    Limits {
        connections: size(values, &keys::LIMITS_CONNECTIONS),
        request_bytes: size(values, &keys::LIMITS_REQUEST_BYTES),
        request_elements: size(values, &keys::LIMITS_REQUEST_ELEMENTS),
        relayed_bulk_bytes: size(values, &keys::LIMITS_RELAYED_BULK_BYTES),
        key_bytes: size(values, &keys::LIMITS_KEY_BYTES),
        pipeline_depth: size(values, &keys::LIMITS_PIPELINE_DEPTH),
        buffer_bytes: size(values, &keys::LIMITS_BUFFER_BYTES),
        output_buffer_bytes: size(values, &keys::LIMITS_OUTPUT_BUFFER_BYTES),
        idle_timeout: duration_or_none(values, &keys::LIMITS_IDLE_TIMEOUT_MS),
        unauthenticated_elements: size(values, &keys::LIMITS_UNAUTHENTICATED_ELEMENTS),
        unauthenticated_bulk_bytes: size(values, &keys::LIMITS_UNAUTHENTICATED_BULK_BYTES),
        reply_nesting: size(values, &keys::LIMITS_REPLY_NESTING),
        waiters: size(values, &keys::LIMITS_WAITERS),
        waiters_per_key: size(values, &keys::LIMITS_WAITERS_PER_KEY),
        session_locks: size(values, &keys::LIMITS_SESSION_LOCKS),
        session_locks_per_connection: size(values, &keys::LIMITS_SESSION_LOCKS_PER_CONNECTION),
        operations_per_primary: size(values, &keys::LIMITS_OPERATIONS_PER_PRIMARY),
    }
}

/// The upstream; told of when it is a primary as well, since its clients can then write and delete locks.
fn upstream(values: &mut Values, primaries: &[Endpoint]) -> Option<Endpoint> {
    let upstream = values.upstream(&keys::UPSTREAM)?;
    if primaries.iter().any(|primary| primary.address == upstream.address) {
        values.warn(&keys::UPSTREAM, "is one of the primaries: whoever writes there can overwrite and delete locks");
    }
    Some(upstream)
}

/// The quorum of `total` primaries; `None` where it is wrong and told of, or there are none.
fn quorum(values: &mut Values, total: usize) -> Option<Quorum> {
    let asked = values.quorum(&keys::QUORUM);
    let majority = Quorum::majority(total)?;
    let needed = asked.map_or(Ok(majority.needed()), usize::try_from);
    let Some(quorum) = needed.ok().and_then(|needed| Quorum::new(needed, total)) else {
        let asked = asked.unwrap_or_default();
        let right = format!("the majority, {}, to {total}", majority.needed());
        values.wrong(&keys::QUORUM, format!("{asked} of {total} primaries is no quorum; right is: {right}"));
        return None;
    };
    values.show(&keys::QUORUM, quorum.needed().to_string());
    if total == 1 {
        values
            .warn(&keys::PRIMARIES, "one primary is no redundancy: when it is down, no lock can be taken; name three");
    } else if total.is_multiple_of(2) {
        let (spare, fewer) = (total - majority.needed(), total - 1);
        let text = format!("{total} primaries can do without {spare}, and so can {fewer}; name an odd number");
        values.warn(&keys::PRIMARIES, text);
    }
    Some(quorum)
}

/// What must fit together.
fn check_pairs(values: &mut Values, config: &Config) {
    if config.silence_timeout <= config.node_timeout {
        wrong_pair(
            values,
            &keys::SILENCE_TIMEOUT_MS,
            "must be more than",
            &keys::NODE_TIMEOUT_MS,
            (config.silence_timeout.as_millis(), config.node_timeout.as_millis()),
        );
    }
    if config.fence_retention.as_millis() < u128::from(config.max_ttl.as_millis()) {
        wrong_pair(
            values,
            &keys::FENCE_RETENTION_MS,
            "must be at least",
            &keys::MAX_TTL_MS,
            (config.fence_retention.as_millis(), u128::from(config.max_ttl.as_millis())),
        );
    }
    if config.limits.output_buffer_bytes < config.limits.buffer_bytes {
        wrong_pair(
            values,
            &keys::LIMITS_OUTPUT_BUFFER_BYTES,
            "must be at least",
            &keys::LIMITS_BUFFER_BYTES,
            (config.limits.output_buffer_bytes, config.limits.buffer_bytes),
        );
    }
}

/// Tells at `larger`'s place, or, when that has its default, at `smaller`'s, that the two do not fit.
fn wrong_pair<N: std::fmt::Display>(
    values: &mut Values,
    larger: &Key,
    rule: &str,
    smaller: &Key,
    (large, small): (N, N),
) {
    let (larger_path, smaller_path) = (larger.path, smaller.path);
    if values.is_given(larger) {
        values.wrong(larger, format!("is {large}; it {rule} {smaller_path}, which is {small}"));
    } else {
        values.wrong(smaller, format!("is {small}; {larger_path}, which is {large}, {rule} it"));
    }
}

fn duration(values: &mut Values, key: &'static Key) -> Duration {
    Duration::from_millis(values.integer(key))
}

/// 0 is none.
fn duration_or_none(values: &mut Values, key: &'static Key) -> Option<Duration> {
    Some(duration(values, key)).filter(|duration| !duration.is_zero())
}

/// Every range ends far below what a `usize` holds on any machine with 32 bits or more.
fn size(values: &mut Values, key: &'static Key) -> usize {
    usize::try_from(values.integer(key)).unwrap_or(usize::MAX)
}

fn count(values: &mut Values, key: &'static Key) -> u32 {
    u32::try_from(values.integer(key)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
