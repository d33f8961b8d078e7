//! What the benchmarks have in common: the programs that are measured, and where they are measured.
//!
//! Everything that is measured is a process of its own, built as it is shipped. The runners start servers and proxies
//! through `support`, as the tests do, and leave nothing behind; a measurement that cannot be made panics.
//!
//! The load generator, in reading order: [`wire`] writes commands and looks at replies, [`lines`] are its connections,
//! [`load`] drives virtual clients over them, [`pairs`] and [`waiters`] are what those do through the proxy, [`floor`] what they do
//! without one, [`stand`] is what it all runs on, [`cases`] are what is measured, [`results`] what was found.

pub mod wire;
pub mod lines;
pub mod load;
pub mod connections;
pub mod pairs;
pub mod paths;
pub mod waiters;
pub mod floor;
pub mod relayed;
pub mod stand;
pub mod front;
pub mod instructions;
pub mod others;
pub mod peers;
pub mod trace;
pub mod cases;
pub mod series;
pub mod results;
pub mod reach;
pub mod plots;
pub mod report;
pub mod machine;
pub mod numbers;
pub mod programs;
pub mod panics;
