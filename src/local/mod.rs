//! What the proxy answers itself, from what it knows: greetings, its own state, the COMMAND family.
//!
//! These are the commands by which clients open and inspect a connection; a client library finds here what it says on
//! connecting to any Redis server. Each answer is a function of the arguments, the [`Connection`] and the
//! [`Environment`]: nothing here reads a clock, waits or sends. Errors are in Redis' words, and nothing changes unless
//! the whole command is in order.

mod auth;
mod client;
mod command;
mod config;
mod connection;
mod environment;
mod glob;
mod hello;
mod info;
mod merge;
mod primaries;
mod refusal;

pub use connection::Connection;
pub use environment::{Environment, Snapshot};
pub use merge::{Merge, Question};
pub use primaries::primaries;

use bytes::Bytes;

use crate::command::table::LocalCommand;
use crate::protocol::Reply;
use crate::router::LocalRequest;
use refusal::Refusal;

/// The version of Redis whose behaviour these answers follow; HELLO and INFO tell it.
const REDIS_VERSION: &str = "7.2.0";
/// The proxy's own version.
const PROXY_VERSION: &str = env!("CARGO_PKG_VERSION");

/// A reply, to be written in the protocol version that the connection has after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What is said.
    pub reply: Reply,
    /// Whether the connection is closed when it has been said.
    pub close: bool,
}

/// Answers a routed request, and counts the error where that is the answer.
pub fn answer(request: &LocalRequest, connection: &mut Connection, environment: &Environment<'_>) -> Answer {
    let reply = reply(request.command, &request.arguments, connection, environment).unwrap_or_else(|refusal| {
        environment.counters.count_error(refusal.kind);
        refusal.into()
    });
    Answer { reply, close: request.command == LocalCommand::Quit }
}

fn reply(
    command: LocalCommand,
    arguments: &[Bytes],
    connection: &mut Connection,
    environment: &Environment<'_>,
) -> Result<Reply, Refusal> {
    use LocalCommand as C;
    match command {
        C::Ping => connection::ping(arguments),
        C::Echo => connection::echo(arguments),
        C::Select => connection::select(arguments),
        C::Reset => Ok(connection.reset()),
        C::Quit => Ok(Reply::OK),
        C::Hello => hello::hello(arguments, connection, environment),
        C::Auth => auth::auth(arguments, connection, environment.password),
        C::ClientGetName => Ok(client::name(connection)),
        C::ClientSetName => client::set_name(arguments, connection),
        C::ClientSetInfo => client::set_info(arguments, connection),
        C::ClientId => Ok(client::id(connection)),
        C::ClientInfo => Ok(client::info(connection, environment.now)),
        C::ClientList => client::list(arguments, environment),
        C::ClientNoEvict | C::ClientNoTouch => client::switch(arguments),
        C::ClientHelp => Ok(command::help("client")),
        C::Command => Ok(command::all()),
        C::CommandCount => Ok(command::count()),
        C::CommandList => command::list(arguments),
        C::CommandInfo => Ok(command::info(arguments)),
        C::CommandDocs => Ok(command::docs(arguments)),
        C::CommandGetKeys => command::keys(arguments, false),
        C::CommandGetKeysAndFlags => command::keys(arguments, true),
        C::CommandHelp => Ok(command::help("command")),
        C::ConfigGet => Ok(config::get(arguments, environment)),
        C::ConfigHelp => Ok(command::help("config")),
        C::Info => Ok(info::info(arguments, environment)),
    }
}

/// A text of ours as a bulk string.
fn bulk(text: &'static str) -> Reply {
    Reply::Bulk(Bytes::from_static(text.as_bytes()))
}

#[cfg(test)]
#[path = "tests_support.rs"]
mod tests_support;

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
