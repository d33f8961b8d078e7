//! Waiting for what must happen, and names that nobody else uses.
//!
//! A test that sleeps is either slow or wrong. So it waits for a condition, looks often, and gives up only when something hangs.

use std::fmt::Display;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long anything in this crate waits before it says that it hangs. Never a bound that a test asserts.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two looks at a condition: short against a round of the proxy, long against a busy loop on two cores.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `condition` is true, looking every few milliseconds; panics after [`PATIENCE`] with `what` was waited for.
///
/// The clock is the real one even where tokio's is paused, so that a hanging test ends there as well.
#[track_caller]
pub fn eventually<C>(condition: C, what: impl Display) -> impl Future<Output = ()>
where
    C: AsyncFnMut() -> bool,
{
    let caller = std::panic::Location::caller();
    wait_for(condition, move || format!("{what} (awaited at {caller})"))
}

async fn wait_for<C: AsyncFnMut() -> bool>(mut condition: C, what: impl FnOnce() -> String) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {}", what());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A key that no other test of this or another process uses: `prefix:<process>:<number>`.
pub fn unique_key(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}:{}:{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_is_looked_at_until_it_holds() {
        let mut looks = 0;
        eventually(
            async || {
                looks += 1;
                looks == 3
            },
            "the third look",
        )
        .await;
        assert_eq!(looks, 3);
    }

    #[test]
    fn unique_keys_differ_and_keep_their_prefix() {
        let (one, other) = (unique_key("job"), unique_key("job"));
        assert_ne!(one, other);
        assert!(one.starts_with("job:"));
    }
}
