//! Searches, in one binary: of the protocol, which must find nothing, and of its canaries, which must find something.

mod canaries;
mod exhaustive;
