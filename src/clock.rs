//! Where `now` comes from.
//!
//! The one place that reads a clock for lock decisions. In production it is the system's clock that goes on while the
//! machine sleeps (`CLOCK_BOOTTIME` on Linux): a proxy that was suspended must know how much of a lock's life has passed.
//! In the simulation it is tokio's clock, which stands still until nothing else can happen.

use crate::lock::Moment;

/// A monotonic clock.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The operating system's.
    System,
    /// The runtime's, counted from this instant.
    Runtime(tokio::time::Instant),
}

impl Clock {
    /// The runtime's clock, starting now; tests pause and advance it.
    pub fn runtime() -> Self {
        Self::Runtime(tokio::time::Instant::now())
    }

    pub fn now(&self) -> Moment {
        match self {
            Self::System => system_now(),
            Self::Runtime(start) => Moment::from_micros(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)),
        }
    }
}

fn system_now() -> Moment {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

    let now = rustix::time::clock_gettime(CLOCK);
    // Both parts of a monotonic clock are non-negative.
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let micros = u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000;
    Moment::from_micros(seconds.saturating_mul(1_000_000).saturating_add(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_does_not_go_back() {
        let moments: Vec<Moment> = (0..1_000).map(|_| Clock::System.now()).collect();
        assert!(moments.is_sorted());
        assert!(moments[0] > Moment::from_micros(0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_runtime_clock_moves_only_with_the_runtime() {
        let clock = Clock::runtime();
        let start = clock.now();
        tokio::time::advance(std::time::Duration::from_millis(1_500)).await;
        assert_eq!(clock.now().since(start).as_micros(), 1_500_000);
    }
}
