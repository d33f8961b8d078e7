//! What the tests and the benchmarks of redlock-proxy stand on.
//!
//! Nothing in here knows the proxy's code: it speaks bytes and processes, so that a test proves what a client on the wire sees
//! and not what a function returned. In reading order:
//!
//! * [`servers`] starts real Redis, Valkey or Dragonfly servers on free ports, kills, restarts and stalls them.
//! * [`proxy`] runs the real `redlock-proxy` binary and keeps what it logged.
//! * [`client`] is a client that sends exactly the bytes it is told and tells replies apart to the byte ([`resp`]).
//! * [`relay`] stands between two of them and delays, swallows, cuts and resets.
//! * [`wall_clock`] shows a program another time of day.
//! * [`scripted`] is a server that answers what a test wants, and remembers what it was asked.
//! * [`history`] decides whether a history of grants ever had two holders at once, numbers that did not rise, records that
//!   outlived their locks, or locks that nobody could have.
//! * [`waiting`] waits for conditions, [`programs`] runs client programs such as redis-cli, [`driver`] those of Redlock
//!   libraries.
//!
//! **How it fails.** By panicking, with a message that says what was waited for: a harness whose errors must be handled by each
//! test is a second thing to test. The time-outs in here ([`PATIENCE`]) are against hanging only; no test may rest on their length.
//!
//! **What it leaves behind.** Nothing: every process it starts dies with the test process, however that ends (`process`).

pub mod waiting;
mod ports;
mod process;
mod background;
pub mod resp;
pub mod client;
pub mod servers;
pub mod proxy;
pub mod relay;
pub mod wall_clock;
pub mod scripted;
pub mod history;
pub mod programs;
pub mod driver;

pub use client::ByteClient;
pub use driver::Driver;
pub use history::History;
pub use ports::free_port;
pub use process::Footprint;
pub use programs::{redis_cli, run_program};
pub use proxy::{Proxy, ProxyOptions};
pub use relay::{Direction, Fault, Relay};
pub use resp::Value;
pub use scripted::{Action, ScriptedNode};
pub use servers::{Fleet, Kind, Server, ServerOptions, shared};
pub use waiting::{PATIENCE, eventually, unique_key};
pub use wall_clock::WallClock;
