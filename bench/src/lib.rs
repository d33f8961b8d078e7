//! What the benchmarks have in common: the programs that are measured, and where they are measured.
//!
//! Everything that is measured is a process of its own, built as it is shipped. The runners in `bin` start servers and
//! proxies through `support`, as the tests do, and leave nothing behind; a measurement that cannot be made panics.

pub mod machine;
pub mod numbers;
pub mod programs;
