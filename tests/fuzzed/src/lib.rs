//! What the fuzz targets run: one function each, that takes any bytes and panics where a promise is broken.
//!
//! They stand here and not in `fuzz/`, which is a workspace of its own, so that `make check` and `make test` run them as well:
//! over the committed corpus, over inputs near to it, and over some that are too large to be committed. A target adds no more
//! than the three lines that libFuzzer wants.
//!
//! None is content with "it did not panic":
//!
//! * [`request()`]: where requests end and what they say does not depend on how they were cut; limits hold, also for memory; the
//!   delimiter of relayed requests and the decoder of our own agree.
//! * [`reply()`]: the same for replies; their grammar, written down a second time, and `redis-protocol` agree where one ends.
//! * [`command()`]: what is parsed can be written and parsed again, names the keys that its table says, and refusals are one line.
//! * [`acquire()`], [`extend()`], [`release()`]: the tables of verdicts, counted a second time from who said what.
//! * [`fence()`]: a number is settled only where a quorum granted and accepted it, and drawn anew only as the rules say.
//!
//! The mode of a connection to the upstream is private to the session; its target is `session::mode::model` there.

mod acquire;
mod command;
mod extend;
mod fence;
mod grammar;
mod pieces;
mod release;
mod reply;
mod request;
mod script;

pub use acquire::acquire;
pub use command::command;
pub use extend::extend;
pub use fence::fence;
pub use release::release;
pub use reply::reply;
pub use request::request;

#[cfg(test)]
mod corpus_tests;
