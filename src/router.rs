//! Who answers a request. Pure: a request and what stands of its connection go in, a route comes out.
//!
//! The order of checks is Redis' own, so that a client meets the same error it would meet there: unknown command,
//! number of arguments, authentication, and only then the arguments themselves.

use bytes::Bytes;

use crate::command::table::{self, Action, LocalCommand, LockVerb};
use crate::command::{
    CommandError, CommandLimits, Effect, LockCommand, Options, Rextend, Rinspect, Rlock, Rmextend, Rmlock, Rmunlock,
    Runlock,
};
use crate::protocol::{Head, Request, Version};

/// What a connection is allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionMode {
    /// A password is set and has not been told: only what sets the connection up is answered.
    Unauthenticated,
    /// Every command is answered.
    Open,
}

/// Who answers a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// The primaries.
    Lock(LockCommand),
    /// The proxy, from what it knows.
    Local(LocalRequest),
    /// Nobody: the client made a mistake, and the connection stays usable.
    Refuse(CommandError),
    /// Nobody, and the connection is closed without a word: this is a web browser that was lured into speaking to us
    /// (cross-protocol scripting). Its request line or one of its header lines might else be run as a command.
    Close,
}

/// A command that the proxy answers from what it knows; its number of arguments is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalRequest {
    /// Which one.
    pub command: LocalCommand,
    /// What stands behind its name, and behind that of the subcommand where there is one.
    pub arguments: Vec<Bytes>,
}

/// Where a request goes when there is an upstream, as its first words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// It is the proxy's own: a lock command, or one that tells of the proxy and its commands.
    Own {
        /// Whether it is a lock command.
        lock: bool,
    },
    /// It tells the proxy's password.
    Door,
    /// Everything else.
    Upstream(Effect),
}

/// Whether another word is needed behind these to tell where a request goes.
pub fn is_word_wanted(head: &Head) -> bool {
    match head.word(0) {
        b"client" => head.word(1).is_empty() || head.word(1) == b"reply",
        b"hello" => true,
        b"info" | b"command" | b"select" => head.word(1).is_empty(),
        _ => false,
    }
}

/// Where the request that begins so goes; `proxied_password` when it is the proxy that asks for a password.
pub fn destination(head: &Head, proxied_password: bool) -> Destination {
    match head.word(0) {
        b"auth" if proxied_password => Destination::Door,
        b"hello" if proxied_password && head.words > 2 => Destination::Door,
        b"info" if head.words == 2 && head.word(1) == b"redlock" => Destination::Own { lock: false },
        b"command" if head.words == 1 => Destination::Own { lock: false },
        b"command" => match head.word(1) {
            b"count" | b"list" | b"info" | b"docs" | b"getkeys" | b"getkeysandflags" => {
                Destination::Own { lock: false }
            }
            _ => Destination::Upstream(Effect::None),
        },
        name if table::is_lock_command(name) => Destination::Own { lock: true },
        _ => Destination::Upstream(Effect::of(head)),
    }
}

/// Finds out who answers `request` on a connection in this mode that speaks this version of the protocol.
pub fn route(request: Request, mode: SessionMode, version: Version, limits: &CommandLimits) -> Route {
    if request.arguments.first().is_some_and(|word| is_http(word)) {
        return Route::Close;
    }
    checked(request, mode, version, limits).unwrap_or_else(Route::Refuse)
}

fn checked(
    request: Request,
    mode: SessionMode,
    version: Version,
    limits: &CommandLimits,
) -> Result<Route, CommandError> {
    let mut words = request.arguments;
    let entry = table::find(&words)?;
    if !entry.takes(words.len()) {
        return Err(CommandError::Arity(entry.name));
    }
    if mode == SessionMode::Unauthenticated && !entry.needs_no_authentication() {
        return Err(CommandError::NoAuthentication);
    }
    let name_words = entry.name_words().min(words.len());
    match entry.action {
        Action::Lock(verb) => {
            let command = lock_command(verb, words.get(name_words..).unwrap_or_default(), limits)?;
            if version == Version::Resp2 && command.options().is_some_and(Options::notifies) {
                return Err(CommandError::NotifyWithoutPushes);
            }
            Ok(Route::Lock(command))
        }
        Action::Local(command) => {
            words.drain(..name_words);
            Ok(Route::Local(LocalRequest { command, arguments: words }))
        }
        // Its arity asks for a second word, and a second word is a subcommand or unknown.
        Action::Subcommands => Err(CommandError::Arity(entry.name)),
    }
}

fn lock_command(verb: LockVerb, arguments: &[Bytes], limits: &CommandLimits) -> Result<LockCommand, CommandError> {
    match verb {
        LockVerb::Rlock => Rlock::parse(arguments, limits).map(LockCommand::Rlock),
        LockVerb::Runlock => Runlock::parse(arguments, limits).map(LockCommand::Runlock),
        LockVerb::Rextend => Rextend::parse(arguments, limits).map(LockCommand::Rextend),
        LockVerb::Rmlock => Rmlock::parse(arguments, limits).map(LockCommand::Rmlock),
        LockVerb::Rmunlock => Rmunlock::parse(arguments, limits).map(LockCommand::Rmunlock),
        LockVerb::Rmextend => Rmextend::parse(arguments, limits).map(LockCommand::Rmextend),
        LockVerb::Rinspect => Rinspect::parse(arguments, limits).map(LockCommand::Rinspect),
        LockVerb::Rprimaries => Ok(LockCommand::Rprimaries),
    }
}

/// The first words that Redis takes for HTTP's.
fn is_http(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:")
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
