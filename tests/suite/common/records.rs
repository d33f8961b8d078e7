//! The lock as its primaries know it: records, looked at and made behind the proxy's back.

use support::{Fleet, Server, Value, eventually, unique_key};

/// Waits until every primary has `token` under `key`: a verdict does not wait for the last of them.
pub(crate) async fn every_primary_holds(fleet: &Fleet, key: &str, token: &str) {
    let holds = async || fleet.get(key).await.iter().all(|value| value.as_deref() == Some(token));
    eventually(holds, format_args!("every primary to hold {key} for {token}")).await;
}

/// Waits until a quorum of the primaries has `token` under `key`, and says which: a take-over that is decided asks no more of them.
pub(crate) async fn a_quorum_holds<'a>(fleet: &'a Fleet, key: &str, token: &str) -> Vec<&'a Server> {
    let mut holders = Vec::new();
    let decided = async || {
        let values = fleet.get(key).await;
        holders = fleet
            .iter()
            .zip(values)
            .filter(|(_, value)| value.as_deref() == Some(token))
            .map(|(server, _)| server)
            .collect();
        holders.len() > fleet.len() / 2
    };
    eventually(decided, format_args!("a quorum to hold {key} for {token}")).await;
    holders
}

/// Waits until no primary has anything under `key`.
pub(crate) async fn no_primary_holds(fleet: &Fleet, key: &str) {
    eventually(async || fleet.holding(key).await == 0, format_args!("no primary to hold {key}")).await;
}

/// Makes somebody who does not use this proxy the holder of `key` there, without an expiry.
pub(crate) async fn occupy(server: &Server, key: &str, holder: &str) {
    assert_eq!(server.command(&["SET", key, holder]).await, Value::ok());
}

/// Waits until a record that is set now with this ttl has expired: by the clock of those who keep the locks.
pub(crate) async fn outlive(server: &Server, ttl: &str) {
    let witness = unique_key("witness");
    assert_eq!(server.command(&["SET", &witness, "", "PX", ttl]).await, Value::ok());
    eventually(async || !server.exists(&witness).await, format_args!("{ttl} ms")).await;
}
