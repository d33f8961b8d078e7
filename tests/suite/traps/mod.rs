//! What other lock implementations got wrong: a module per subject, a test per mistake, numbered in its comment.

mod cleanup;
mod dead_primaries;
mod primaries;
mod renewal;
mod waiting;
