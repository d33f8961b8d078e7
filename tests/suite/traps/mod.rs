//! What other lock implementations got wrong, each as a claim that this one does not.
//!
//! Every trap here was seen in a released library or in its issue threads. The number in a test's comment is that of
//! the trap; a trap that has several sides has several tests.

mod cleanup;
mod dead_primaries;
mod ownership;
mod primaries;
mod quorum;
mod renewal;
mod validity;
mod waiting;
mod wall_clock;
