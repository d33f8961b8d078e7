//! The lock as clients know it: taken, refused, or not to be had and why.

use support::{ByteClient, Fleet, Proxy, Value, eventually};

use super::every_primary_holds;

/// The longest ttl that a proxy takes unless it is told otherwise. No test outlives it: what is gone before has been deleted.
pub(crate) const LONGEST_TTL: &str = "60000";

/// What RLOCK answers when it grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) token: String,
    /// Milliseconds.
    pub(crate) validity: i64,
}

impl Lock {
    /// Reads what RLOCK answers when a quorum has decided; `None` for a refusal; panics on anything else.
    #[track_caller]
    pub(crate) fn of(reply: &Value) -> Option<Self> {
        match reply {
            Value::Array(items) if items.len() == 2 => {
                Some(Self { token: items[0].text(), validity: items[1].integer() })
            }
            null if null.is_null() => None,
            other => panic!("neither a lock nor a refusal: {other:?}"),
        }
    }
}

/// The lock in a reply; panics on a refusal too.
#[track_caller]
pub(crate) fn granted(reply: &Value) -> Lock {
    Lock::of(reply).unwrap_or_else(|| panic!("refused: {reply:?}"))
}

/// The reasons in a NOQUORUM error, by address, behind the count of those that answered; panics on any other reply.
#[track_caller]
pub(crate) fn reasons(reply: &Value) -> (String, Vec<(String, String)>) {
    let line = match reply {
        Value::Error(line) if reply.is_error_with("NOQUORUM") => line,
        other => panic!("not NOQUORUM: {other:?}"),
    };
    let (head, list) = line.split_once(": ").unwrap_or_else(|| panic!("no reasons: {line}"));
    let split = |reason: &str| match reason.split_once(' ') {
        Some((address, words)) => (address.to_owned(), words.to_owned()),
        None => panic!("{reason} is no reason: {line}"),
    };
    (head.to_owned(), list.split("; ").map(split).collect())
}

/// What a lock costs of its ttl, at the default `clock_drift_factor`.
pub(crate) fn drift(ttl: i64) -> i64 {
    (ttl + 99) / 100 + 2
}

/// Takes a lock that must be free, and waits until every primary has its record.
pub(crate) async fn take(client: &mut ByteClient, fleet: &Fleet, key: &str, ttl: &str) -> Lock {
    let lock = granted(&client.call(&["RLOCK", key, ttl]).await);
    every_primary_holds(fleet, key, &lock.token).await;
    lock
}

/// Takes a lock to begin with, however often the machine is too busy for the short time-outs of this proxy.
pub(crate) async fn take_at_last(proxy: &Proxy, key: &str, ttl: &str) -> Lock {
    let mut lock = None;
    let taken = async || {
        let reply = proxy.command(&["RLOCK", key, ttl]).await;
        lock = (!reply.is_error()).then(|| granted(&reply));
        lock.is_some()
    };
    eventually(taken, format_args!("{key} to be taken")).await;
    lock.expect("it was waited for")
}
