//! The control plane of a primary, over the `redis` crate: what the server can do, and its scripts.
//!
//! A connection of its own, opened and closed with each admission of a link: nothing here is in the way of a lock, and
//! every timeout is set where the connection is made.

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, InfoDict, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, RedisResult, Value,
};

use super::admission::run_of;
use super::dialect::{AcquireForm, DeleteForm, Dialect, scripts};
use super::settings::Settings;
use super::trouble::{classify, own_words};
use crate::config::{Address, Endpoint};
use crate::coordinator::Trouble;

/// The name under which commands are tried out, behind the configured prefix. No lock may have it.
const TRIAL_KEY: &[u8] = b"redlock-proxy:trial";

/// What a server is and can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Survey {
    /// The process that answered.
    pub(super) run: String,
    pub(super) dialect: Dialect,
    /// Its name and version: `redis 7.0.15`.
    pub(super) server: String,
    /// The eviction policy, when keys may be evicted.
    pub(super) eviction: Option<String>,
}

impl Survey {
    /// Asks the server, and loads the scripts into it: one round trip, whatever it answers to each.
    pub(super) async fn take(settings: &Settings) -> Result<Self, Trouble> {
        let mut connection = connect(settings).await.map_err(|error| trouble(&error))?;
        let trial = [&settings.key_prefix[..], TRIAL_KEY].concat();
        let mut questions = redis::pipe();
        questions.cmd("INFO");
        // Which form of SET the server takes is told by its refusal of a ttl of 0, which comes after the options were
        // understood: nothing is written.
        questions.cmd("SET").arg(&trial).arg("0").arg("NX").arg("PX").arg(0).arg("GET");
        questions.cmd("DELEX").arg(&trial).arg("IFEQ").arg("0");
        questions.cmd("DELIFEQ").arg(&trial).arg("0");
        for script in scripts() {
            // A server that forgets or refuses it gets the source with the call.
            questions.cmd("SCRIPT").arg("LOAD").arg(script.source);
        }
        let answers: Vec<RedisResult<Value>> =
            questions.ignore_errors().query_async(&mut connection).await.map_err(|error| trouble(&error))?;
        let [info, set, delex, delifeq, ..] = answers.as_slice() else {
            return Err(Trouble::Other("fewer answers than questions".into()));
        };
        let info = info.as_ref().map_err(trouble).and_then(|info| {
            InfoDict::from_redis_value_ref(info)
                .map_err(|error| Trouble::Other(own_words(error.to_string().as_bytes())))
        })?;
        let delete = match (known(delex)?, known(delifeq)?) {
            (true, _) => DeleteForm::DelexIfeq,
            (false, true) => DeleteForm::Delifeq,
            (false, false) => DeleteForm::Script,
        };
        let dialect = Dialect { acquire: acquire_form(set)?, delete };
        Ok(Self { run: run_of(&info)?, dialect, server: server(&info), eviction: eviction(&info) })
    }
}

async fn connect(settings: &Settings) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(settings.connect_timeout))
        .set_response_timeout(Some(settings.connect_timeout));
    Client::open(connection_info(&settings.endpoint)?)?.get_multiplexed_async_connection_with_config(&config).await
}

pub(super) fn connection_info(endpoint: &Endpoint) -> Result<redis::ConnectionInfo, RedisError> {
    let address = match &endpoint.address {
        Address::Tcp { host, port } => ConnectionAddr::Tcp(host.clone(), *port),
        Address::Unix(path) => ConnectionAddr::Unix(path.clone()),
    };
    let mut identity = RedisConnectionInfo::default().set_db(i64::from(endpoint.database)).set_skip_set_lib_name();
    if let Some(user) = &endpoint.user {
        identity = identity.set_username(user);
    }
    if let Some(password) = &endpoint.password {
        identity = identity.set_password(password.expose());
    }
    Ok(address.into_connection_info()?.set_redis_settings(identity))
}

/// The form of SET that the server takes, by its answer to the trial. A server that is out of memory refuses before it
/// looks at the options. It still extends and releases, so it gets the form that every server takes.
fn acquire_form(answer: &RedisResult<Value>) -> Result<AcquireForm, Trouble> {
    match answer {
        Ok(_) => Ok(AcquireForm::SetNxThenGet),
        Err(error) if text(error).contains("expire") => Ok(AcquireForm::SetNxGet),
        Err(error) if text(error).contains("syntax") => Ok(AcquireForm::SetNxThenGet),
        Err(error) => match trouble(error) {
            Trouble::OutOfMemory => Ok(AcquireForm::SetNxThenGet),
            trouble => Err(trouble),
        },
    }
}

/// Whether the server took the command; trouble that has nothing to do with the command is not an answer to that.
fn known(answer: &RedisResult<Value>) -> Result<bool, Trouble> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) => match trouble(error) {
            Trouble::Other(_) => Ok(false),
            trouble => Err(trouble),
        },
    }
}

/// Name and version, as the server says: those that stand in for Redis tell a version of Redis beside their own.
fn server(info: &InfoDict) -> String {
    let said = |field: &str| info.get::<String>(field).filter(|value| !value.is_empty());
    let (name, version) = match (said("dragonfly_version"), said("valkey_version")) {
        (Some(version), _) => ("dragonfly", version.trim_start_matches("df-").to_owned()),
        (None, Some(version)) => ("valkey", version),
        (None, None) => ("redis", said("redis_version").unwrap_or_else(|| "?".to_owned())),
    };
    // It ends up in a reply: one short line.
    own_words(format!("{name} {version}").as_bytes()).to_string()
}

/// The policy by which the server may drop keys that have not expired; `None` when it may not.
fn eviction(info: &InfoDict) -> Option<String> {
    let limited = info.get::<u64>("maxmemory").is_some_and(|limit| limit > 0);
    let policy = info.get::<String>("maxmemory_policy").filter(|policy| policy != "noeviction");
    let cache = info.get::<String>("cache_mode").filter(|mode| mode == "cache");
    cache.or(policy).filter(|_| limited)
}

fn text(error: &RedisError) -> String {
    error.to_string().to_lowercase()
}

/// What the `redis` crate says is wrong, in the words of NOQUORUM errors.
pub(super) fn trouble(error: &RedisError) -> Trouble {
    if error.is_connection_refusal() {
        Trouble::ConnectionRefused
    } else if error.is_timeout() {
        Trouble::NotConnected
    } else if let (Some(code), detail) = (error.code(), error.detail().unwrap_or_default()) {
        classify(format!("{code} {detail}").as_bytes())
    } else if error.is_io_error() || error.is_connection_dropped() {
        Trouble::ConnectionLost
    } else {
        classify(error.to_string().as_bytes())
    }
}
