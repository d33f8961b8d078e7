//! What is known of a primary, for INFO and for logs.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::coordinator::{Trouble, WallClock};
use crate::counters::Counter;
use crate::lock::Moment;

/// Whether a primary may vote, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrimaryState {
    /// It votes.
    Up,
    /// Its first connection is being opened.
    Connecting,
    /// There is no connection.
    Down,
    /// It answers, and says that it is a replica.
    Replica,
    /// It answers, and is the same server as another primary.
    Duplicate,
    /// It answers, and is marked as one of another set.
    Foreign,
    /// It may have forgotten locks that still live: everything is sent to it, and its answers do not count.
    Quarantined,
}

impl PrimaryState {
    /// Whether it answers, and as what it should be.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::Quarantined)
    }

    pub(super) const fn after(trouble: &Trouble) -> Self {
        match trouble {
            Trouble::Replica => Self::Replica,
            Trouble::DuplicateOf(_) => Self::Duplicate,
            Trouble::OfAnotherSet(_) => Self::Foreign,
            _ => Self::Down,
        }
    }
}

impl fmt::Display for PrimaryState {
    /// As INFO shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Connecting => "connecting",
            Self::Down => "down",
            Self::Replica => "replica",
            Self::Duplicate => "duplicate",
            Self::Foreign => "foreign",
            Self::Quarantined => "quarantined",
        })
    }
}

/// Round trips that are remembered; the median of them is shown.
const ROUND_TRIPS: usize = 15;

/// One link's state and counts, changed by its task and read by whoever asks.
#[derive(Debug)]
pub(super) struct Status {
    seen: Mutex<Seen>,
    pub(super) operations: Counter,
    /// Operations that left and got no usable answer in time.
    pub(super) unknown: Counter,
    /// Operations that never left.
    pub(super) unsent: Counter,
    /// Connections opened after the first.
    pub(super) reconnects: Counter,
}

#[derive(Debug)]
struct Seen {
    state: PrimaryState,
    /// Since when it is in this state.
    since: Moment,
    /// The server's name and version, as it said last.
    server: Option<String>,
    /// What was wrong with it last.
    last_error: Option<String>,
    round_trips: [Duration; ROUND_TRIPS],
    /// How many round trips were measured.
    measured: usize,
    /// The server's clock less the proxy's, in microseconds.
    clock_ahead: Option<i128>,
}

impl Status {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            seen: Mutex::new(Seen {
                state: PrimaryState::Connecting,
                since: now,
                server: None,
                last_error: None,
                round_trips: [Duration::ZERO; ROUND_TRIPS],
                measured: 0,
                clock_ahead: None,
            }),
            operations: Counter::default(),
            unknown: Counter::default(),
            unsent: Counter::default(),
            reconnects: Counter::default(),
        }
    }

    pub(super) fn state(&self) -> PrimaryState {
        self.with(|seen| seen.state)
    }

    /// Since when, too.
    pub(super) fn state_since(&self) -> (PrimaryState, Moment) {
        self.with(|seen| (seen.state, seen.since))
    }

    pub(super) fn set_state(&self, state: PrimaryState, now: Moment) {
        self.with(|seen| {
            if seen.state != state {
                (seen.state, seen.since) = (state, now);
            }
        });
    }

    pub(super) fn set_server(&self, server: String) {
        self.with(|seen| seen.server = Some(server));
    }

    pub(super) fn server(&self) -> Option<String> {
        self.with(|seen| seen.server.clone())
    }

    pub(super) fn set_error(&self, error: String) {
        self.with(|seen| seen.last_error = Some(error));
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.with(|seen| seen.last_error.clone())
    }

    pub(super) fn measure(&self, round_trip: Duration) {
        self.with(|seen| {
            seen.round_trips[seen.measured % ROUND_TRIPS] = round_trip;
            seen.measured += 1;
        });
    }

    /// The server said `micros` of unix time at some moment between these two.
    pub(super) fn read_clock(&self, micros: u64, asked: Moment, answered: Moment) {
        let middle = i128::midpoint(asked.as_micros().into(), answered.as_micros().into());
        self.with(|seen| seen.clock_ahead = Some(i128::from(micros) - middle));
    }

    /// What the server's clock shows at `now`, as far as it was ever seen.
    pub(super) fn wall_clock(&self, now: Moment) -> Option<WallClock> {
        let (ahead, votes) = self.with(|seen| (seen.clock_ahead, seen.state == PrimaryState::Up));
        let micros = u64::try_from(i128::from(now.as_micros()) + ahead?).ok()?;
        Some(WallClock { micros, votes })
    }

    /// The median of the latest round trips; zero before the first.
    pub(super) fn round_trip(&self) -> Duration {
        let (mut latest, measured) = self.with(|seen| (seen.round_trips, seen.measured.min(ROUND_TRIPS)));
        latest[..measured].sort_unstable();
        latest[measured / 2]
    }

    fn with<R>(&self, change: impl FnOnce(&mut Seen) -> R) -> R {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_is_the_median_of_the_latest() {
        let status = Status::new(Moment::from_micros(0));
        assert_eq!(status.round_trip(), Duration::ZERO);
        status.measure(Duration::from_micros(70));
        assert_eq!(status.round_trip(), Duration::from_micros(70));
        for micros in 1..=100 {
            status.measure(Duration::from_micros(micros));
        }
        assert_eq!(status.round_trip(), Duration::from_micros(93));
    }

    #[test]
    fn the_servers_clock_is_the_one_last_seen_carried_on() {
        let status = Status::new(Moment::from_micros(0));
        let at = Moment::from_micros;
        let shows = |micros| Some(WallClock { micros, votes: true });
        status.set_state(PrimaryState::Up, at(0));
        assert_eq!(status.wall_clock(at(5_000)), None, "it was not asked yet");
        // Asked at 1,000 and answered at 3,000: what it said was so at 2,000, give or take the half of that.
        status.read_clock(1_700_000_000_000_000, at(1_000), at(3_000));
        assert_eq!(status.wall_clock(at(2_000)), shows(1_700_000_000_000_000));
        assert_eq!(status.wall_clock(at(5_000)), shows(1_700_000_000_003_000));
        // A clock that shows less than the proxy has been running.
        status.read_clock(10, at(6_000), at(6_000));
        assert_eq!((status.wall_clock(at(6_005)), status.wall_clock(at(5_000))), (shows(15), None));
        status.set_state(PrimaryState::Down, at(7_000));
        assert_eq!(status.wall_clock(at(6_005)), Some(WallClock { micros: 15, votes: false }));
    }
}
