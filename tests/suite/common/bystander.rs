//! Somebody who is served meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::{ByteClient, Proxy, Value, unique_key};
use tokio::task::JoinHandle;

use super::{LONGEST_TTL, granted};

/// A client that locks and unlocks until it is told to stop, and minds every answer.
pub(crate) struct Bystander {
    stop: Arc<AtomicBool>,
    rounds: JoinHandle<u32>,
}

impl Bystander {
    /// Begins. Where there is an upstream it may write and read as well.
    pub(crate) async fn beside(proxy: &Proxy, writes: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let rounds = tokio::spawn(go_round(proxy.connect().await, writes, Arc::clone(&stop)));
        Self { stop, rounds }
    }

    /// Ends; panics when it was not served.
    pub(crate) async fn was_served(self) {
        self.stop.store(true, Ordering::Relaxed);
        let rounds = self.rounds.await.expect("the bystander was served");
        assert!(rounds > 1, "{rounds} rounds");
    }
}

async fn go_round(mut client: ByteClient, writes: bool, stop: Arc<AtomicBool>) -> u32 {
    let key = unique_key("bystander");
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        if writes {
            let value = rounds.to_string();
            assert_eq!(client.call(&["SET", &key, &value]).await, Value::ok());
            assert_eq!(client.call(&["GET", &key]).await, Value::bulk(&value));
        }
        let lock = granted(&client.call(&["RLOCK", &key, LONGEST_TTL]).await);
        assert_eq!(client.call(&["RUNLOCK", &key, &lock.token]).await, Value::Integer(1));
        rounds += 1;
    }
    rounds
}
