//! The core: what a lock is and when it is held.
//!
//! Pure in the strict sense. Nothing here reads a clock, draws a random number, does I/O or logs; votes and the time
//! are arguments. That is what lets the tests run every vote in every order, and the simulation run the code that
//! production runs.

mod acquire;
mod extend;
mod fence;
mod forecast;
mod inspect;
mod lease;
mod name;
mod release;
mod tally;
mod time;

pub use acquire::{Acquire, AcquireStep, AcquireVerdict, AcquireVote, Holder, SignVote};
pub use extend::{Extend, ExtendVerdict, ExtendVote};
pub use fence::{CounterBefore, Fence, FenceNumber, FenceStep, RaiseVote};
pub use forecast::Forecast;
pub use inspect::{Inspect, InspectVote, Standing};
pub use lease::{Confirmed, Lease, LeaseRules, LeaseStep};
pub use name::{FENCE_PREFIX, NameError, Owner, Packed, RESERVED_PREFIX, Resource, Token};
pub use release::{Release, ReleaseVerdict, ReleaseVote};
pub use tally::{NodeId, NodeSet, Quorum};
pub use time::{Drift, Moment, Ttl, Validity};

#[cfg(test)]
mod purity_tests;
#[cfg(test)]
mod walk_tests;
