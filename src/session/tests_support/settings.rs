//! The configuration of the proxies that unit tests start: all defaults.

use std::time::Duration;

use bytes::Bytes;

use crate::config::{self, Address, Config, Limits, Log, LogFormat, NewSet, Quarantine, Tcp};
use crate::limits as defaults;
use crate::lock::{Drift, Quorum, Ttl};

pub(super) fn config() -> Config {
    Config {
        listen: vec![Address::Tcp { host: "127.0.0.1".into(), port: 0 }],
        primaries: Vec::new(),
        upstream: None,
        quorum: Quorum::majority(3).expect("a small set"),
        set_name: "main".to_owned(),
        quarantine: Quarantine::Off,
        new_set: NewSet::AtOnce,
        key_prefix: Bytes::new(),
        max_ttl: Ttl::from_millis(defaults::MAX_TTL_MS_DEFAULT).expect("in range"),
        max_wait: Duration::from_millis(defaults::MAX_WAIT_MS_DEFAULT),
        attempts: 3,
        retry_delay: Duration::from_millis(defaults::RETRY_DELAY_MS_DEFAULT),
        drift: Drift::from_parts_per_million(defaults::CLOCK_DRIFT_PPM_DEFAULT),
        node_timeout: Duration::from_millis(defaults::NODE_TIMEOUT_MS_DEFAULT),
        silence_timeout: Duration::from_millis(defaults::SILENCE_TIMEOUT_MS_DEFAULT),
        connect_timeout: Duration::from_millis(defaults::CONNECT_TIMEOUT_MS_DEFAULT),
        probe_interval: Duration::from_millis(defaults::PROBE_INTERVAL_MS_DEFAULT),
        links_per_primary: 1,
        fence_retention: Duration::from_millis(defaults::FENCE_RETENTION_MS_DEFAULT),
        shutdown_grace: Duration::from_millis(defaults::SHUTDOWN_GRACE_MS_DEFAULT),
        worker_threads: 0,
        password: None,
        session: config::Session { max_lifetime: None, client_silence: None },
        tcp: Tcp {
            keepalive_idle: Duration::from_millis(defaults::KEEPALIVE_IDLE_MS_DEFAULT),
            keepalive_interval: Duration::from_millis(defaults::KEEPALIVE_INTERVAL_MS_DEFAULT),
            keepalive_probes: 3,
            user_timeout: Some(Duration::from_millis(defaults::USER_TIMEOUT_MS_DEFAULT)),
        },
        limits: Limits {
            connections: 100,
            request_bytes: 1_048_576,
            request_elements: 1_024,
            relayed_bulk_bytes: 536_870_912,
            key_bytes: 4_096,
            pipeline_depth: 1_024,
            buffer_bytes: 65_536,
            output_buffer_bytes: 8_388_608,
            idle_timeout: None,
            unauthenticated_elements: 10,
            unauthenticated_bulk_bytes: 16_384,
            reply_nesting: 128,
            waiters: 100_000,
            waiters_per_key: 10_000,
            session_locks: 1_000_000,
            session_locks_per_connection: 1_024,
            operations_per_primary: 65_536,
        },
        log: Log { level: "info".into(), format: LogFormat::Text },
    }
}
