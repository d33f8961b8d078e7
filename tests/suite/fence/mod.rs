//! FENCE: of two grants of one key the later carries the larger number, whichever proxies and primaries granted them.
//!
//! * `cost`: one round trip, and a second one when a counter is ahead.
//! * `owners`: a take-over is a later grant.
//! * `counters`: where the numbers are kept, for how long, and what becomes of one that is none.
//! * `forgetting`: servers that forget the script, and one that is started again.
//! * `order`: numbers rise over very many grants while everything that can fail fails; `weather` is what fails, and `work` what
//!   clients do meanwhile.

mod cost;
mod counters;
mod forgetting;
mod order;
mod owners;
mod weather;
mod work;

use std::time::{SystemTime, UNIX_EPOCH};

use support::{ByteClient, Fleet, Proxy, Value};

use crate::common::{LONGEST_TTL, Lock};

/// A grant with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fenced {
    lock: Lock,
    number: u64,
}

impl Fenced {
    /// Reads what RLOCK … FENCE answers when a quorum has decided; `None` for a refusal; panics on anything else.
    #[track_caller]
    fn of(reply: &Value) -> Option<Self> {
        match reply {
            Value::Array(items) if items.len() == 3 => {
                let lock = Lock { token: items[0].text(), validity: items[1].integer() };
                let number = u64::try_from(items[2].integer()).expect("no number is negative");
                assert!((1..1 << 53).contains(&number), "{number} is not exact in every language");
                Some(Self { lock, number })
            }
            null if null.is_null() => None,
            other => panic!("neither a lock with a number nor a refusal: {other:?}"),
        }
    }
}

/// Takes a lock that must be free, or the owner's, and its number; these options stand behind FENCE.
async fn take(client: &mut ByteClient, key: &str, options: &[&str]) -> Fenced {
    let reply = client.call(&[&["RLOCK", key, LONGEST_TTL, "FENCE"], options].concat()).await;
    Fenced::of(&reply).unwrap_or_else(|| panic!("{key} is refused"))
}

async fn release(client: &mut ByteClient, key: &str, fenced: &Fenced) {
    assert_eq!(client.call(&["RUNLOCK", key, &fenced.lock.token]).await, Value::Integer(1));
}

/// Takes the lock, and gives it back at once.
async fn pass_through(proxy: &Proxy, key: &str) -> u64 {
    let mut client = proxy.connect().await;
    let fenced = take(&mut client, key, &[]).await;
    release(&mut client, key, &fenced).await;
    fenced.number
}

/// Where a primary keeps the number of this key.
fn counter(key: &str) -> String {
    format!("redlock-proxy:fence:{key}")
}

/// Makes each primary's counter say so.
async fn set_counters(fleet: &Fleet, key: &str, value: &str) {
    for server in fleet.iter() {
        assert_eq!(server.command(&["SET", &counter(key), value]).await, Value::ok());
    }
}

/// What each primary's counter says; panics where it is no number.
async fn counters(fleet: &Fleet, key: &str) -> Vec<Option<u64>> {
    let values = fleet.get(counter(key)).await.into_iter();
    values.map(|value| value.map(|value| value.parse().expect("a number"))).collect()
}

/// Unix time in microseconds, so many hours from now: what a proxy whose clock is ahead would take for its number.
fn hours_ahead(hours: u64) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    u64::try_from(since.as_micros()).expect("it is earlier than 2255") + hours * 3_600_000_000
}

async fn second_rounds(proxy: &Proxy) -> u64 {
    proxy.counter("fences_second_round").await
}
