//! Locks that are bound to their client's connection: renewed as long as it lives, released when the client ends it, left to
//! their ttl when it ends otherwise.

mod closing;
mod elsewhere;
mod keeping;
mod limits;
mod losing;
mod memory;
mod network;
mod telling;
mod together;
mod upstream;
