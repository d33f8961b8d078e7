//! Locks that are bound to their client's connection.

use support::{ByteClient, Fleet, Proxy, eventually};

use super::{Lock, every_primary_holds, granted};

/// Long against what a busy machine does in between, short enough to be waited for.
pub(crate) const SESSION_TTL: &str = "3000";

/// Takes a lock for the connection, with these options behind SESSION, and waits until every primary has its record.
pub(crate) async fn bind(client: &mut ByteClient, fleet: &Fleet, key: &str, ttl: &str, options: &[&str]) -> Lock {
    let lock = granted(&client.call(&[&["RLOCK", key, ttl, "SESSION"], options].concat()).await);
    every_primary_holds(fleet, key, &lock.token).await;
    lock
}

/// Waits until a counter of the proxy is at least so high.
pub(crate) async fn counted(proxy: &Proxy, counter: &str, least: u64) {
    eventually(async || proxy.counter(counter).await >= least, format_args!("{counter} to be {least}")).await;
}

/// Waits until so many locks are bound to connections: a client may have read its grant before that is counted.
pub(crate) async fn bound(proxy: &Proxy, count: u64) {
    eventually(async || proxy.counter("session_locks").await == count, format_args!("{count} bound locks")).await;
}

/// Waits until no lock is bound to any connection.
pub(crate) async fn none_bound(proxy: &Proxy) {
    bound(proxy, 0).await;
}
