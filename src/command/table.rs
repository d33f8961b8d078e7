//! All commands that the proxy answers itself, as one table.
//!
//! Everything that depends on a command's name reads this table: the router (which command, how many arguments, is a
//! password due), the COMMAND family (what clients route by, what redis-cli hints and helps with) and the HELP
//! subcommands. So a command cannot be routed and unlisted, or listed and unanswered.
//!
//! Names, flags, categories and argument types are Redis' own words, in Redis' own case; what they mean stands in
//! <https://redis.io/docs/latest/commands/command/> and <https://redis.io/docs/latest/commands/command-docs/>. The
//! row of a lock command is in the file of that command.

use bytes::Bytes;

use super::{CommandError, local_entries, rextend, rinspect, rlock, rmextend, rmlock, rmunlock, rprimaries, runlock};

/// The commands, in the order in which they are looked for: lock commands first, they come most often.
pub static COMMANDS: &[&Entry] = &[
    &rlock::ENTRY,
    &runlock::ENTRY,
    &rextend::ENTRY,
    &rmlock::ENTRY,
    &rmunlock::ENTRY,
    &rmextend::ENTRY,
    &rinspect::ENTRY,
    &rprimaries::ENTRY,
    &local_entries::PING,
    &local_entries::ECHO,
    &local_entries::HELLO,
    &local_entries::AUTH,
    &local_entries::SELECT,
    &local_entries::CLIENT,
    &local_entries::COMMAND,
    &local_entries::CONFIG,
    &local_entries::INFO,
    &local_entries::RESET,
    &local_entries::QUIT,
];

/// One command or subcommand.
#[derive(Debug)]
pub struct Entry {
    /// In lower case; a subcommand's stands behind its container's and a bar: `client|setname`.
    pub name: &'static str,
    /// Who answers.
    pub action: Action,
    /// Words of a request, its name included: exactly so many, or, when negative, at least.
    pub arity: i32,
    /// How it behaves: `write`, `noscript`, `no_auth` …
    pub flags: &'static [&'static str],
    /// Where its keys are.
    pub keys: Keys,
    /// Access categories with their `@`.
    pub categories: &'static [&'static str],
    /// Hints for clients that spread commands over several servers.
    pub tips: &'static [&'static str],
    /// What it does, in one line.
    pub summary: &'static str,
    /// Since which version, of Redis or (lock commands) of the proxy.
    pub since: &'static str,
    /// Under what help lists it.
    pub group: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// The arguments behind its name.
    pub arguments: &'static [Argument],
    /// Its subcommands.
    pub subcommands: &'static [Entry],
}

/// Who answers a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The primaries.
    Lock(LockVerb),
    /// The proxy, from what it knows.
    Local(LocalCommand),
    /// Nobody: one of its subcommands has to be named, which its arity sees to.
    Subcommands,
}

/// The lock commands' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockVerb {
    /// `RLOCK`
    Rlock,
    /// `RUNLOCK`
    Runlock,
    /// `REXTEND`
    Rextend,
    /// `RMLOCK`
    Rmlock,
    /// `RMUNLOCK`
    Rmunlock,
    /// `RMEXTEND`
    Rmextend,
    /// `RINSPECT`
    Rinspect,
    /// `RPRIMARIES`
    Rprimaries,
}

/// The names of the commands that the proxy answers from what it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalCommand {
    /// `PING [message]`
    Ping,
    /// `ECHO message`
    Echo,
    /// `HELLO [protover [AUTH username password] [SETNAME clientname]]`
    Hello,
    /// `AUTH [username] password`
    Auth,
    /// `SELECT index`
    Select,
    /// `CLIENT GETNAME`
    ClientGetName,
    /// `CLIENT SETNAME connection-name`
    ClientSetName,
    /// `CLIENT SETINFO LIB-NAME libname | LIB-VER libver`
    ClientSetInfo,
    /// `CLIENT ID`
    ClientId,
    /// `CLIENT INFO`
    ClientInfo,
    /// `CLIENT LIST [TYPE type] [ID client-id …]`
    ClientList,
    /// `CLIENT NO-EVICT ON | OFF`
    ClientNoEvict,
    /// `CLIENT NO-TOUCH ON | OFF`
    ClientNoTouch,
    /// `CLIENT HELP`
    ClientHelp,
    /// `COMMAND`
    Command,
    /// `COMMAND COUNT`
    CommandCount,
    /// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`
    CommandList,
    /// `COMMAND INFO [command-name …]`
    CommandInfo,
    /// `COMMAND DOCS [command-name …]`
    CommandDocs,
    /// `COMMAND GETKEYS command [argument …]`
    CommandGetKeys,
    /// `COMMAND GETKEYSANDFLAGS command [argument …]`
    CommandGetKeysAndFlags,
    /// `COMMAND HELP`
    CommandHelp,
    /// `CONFIG GET parameter …`
    ConfigGet,
    /// `CONFIG HELP`
    ConfigHelp,
    /// `INFO [section …]`
    Info,
    /// `RESET`
    Reset,
    /// `QUIT`
    Quit,
}

/// Where a command's keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// It has none.
    None,
    /// The word behind its name, used as these flags of a key specification say.
    First(&'static [&'static str]),
    /// As many as the word behind its name says, behind that word, used as these flags say.
    Counted(&'static [&'static str]),
}

impl Keys {
    /// Places of the first and the last key in a request, and the step between two.
    pub fn positions(self) -> (i64, i64, i64) {
        match self {
            // Where they are counted, only a key specification can tell.
            Self::None | Self::Counted(_) => (0, 0, 0),
            Self::First(_) => (1, 1, 1),
        }
    }
}

/// One argument of a command, as documentation and hints show it.
#[derive(Debug)]
pub struct Argument {
    /// What it is called.
    pub name: &'static str,
    /// What it may be.
    pub kind: ArgumentKind,
    /// The word that stands in front of it, or is all of it.
    pub token: Option<&'static str>,
    /// `optional`, `multiple`
    pub flags: &'static [&'static str],
    /// The parts of a block, the choices of a oneof.
    pub arguments: &'static [Argument],
}

/// What an argument may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentKind {
    /// Any bytes.
    String,
    /// A signed 64-bit integer.
    Integer,
    /// The name of a key: the command's first key specification.
    Key,
    /// A glob-style pattern.
    Pattern,
    /// A word that stands for itself.
    PureToken,
    /// One of several.
    OneOf,
    /// Several that belong together.
    Block,
}

impl ArgumentKind {
    /// As COMMAND DOCS names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Key => "key",
            Self::Pattern => "pattern",
            Self::PureToken => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }
}

impl Argument {
    pub(super) const fn new(name: &'static str, kind: ArgumentKind) -> Self {
        Self { name, kind, token: None, flags: &[], arguments: &[] }
    }

    pub(super) const fn key(name: &'static str) -> Self {
        Self::new(name, ArgumentKind::Key)
    }

    pub(super) const fn pure_token(name: &'static str, token: &'static str) -> Self {
        Self::new(name, ArgumentKind::PureToken).token(token)
    }

    pub(super) const fn one_of(name: &'static str, choices: &'static [Argument]) -> Self {
        Self { arguments: choices, ..Self::new(name, ArgumentKind::OneOf) }
    }

    pub(super) const fn block(name: &'static str, parts: &'static [Argument]) -> Self {
        Self { arguments: parts, ..Self::new(name, ArgumentKind::Block) }
    }

    pub(super) const fn token(self, token: &'static str) -> Self {
        Self { token: Some(token), ..self }
    }

    pub(super) const fn optional(self) -> Self {
        Self { flags: &["optional"], ..self }
    }

    pub(super) const fn multiple(self) -> Self {
        Self { flags: &["multiple"], ..self }
    }

    pub(super) const fn optional_multiple(self) -> Self {
        Self { flags: &["optional", "multiple"], ..self }
    }
}

impl Entry {
    /// Whether a request of `words` words, the command's own included, fits.
    pub fn takes(&self, words: usize) -> bool {
        let named = usize::try_from(self.arity.unsigned_abs()).unwrap_or(usize::MAX);
        if self.arity < 0 { words >= named } else { words == named }
    }

    /// Whether it is answered before the connection has authenticated.
    pub fn needs_no_authentication(&self) -> bool {
        self.flags.contains(&"no_auth")
    }

    /// How many words its name has in a request.
    pub fn name_words(&self) -> usize {
        if self.name.contains('|') { 2 } else { 1 }
    }

    /// The last word of its name.
    pub fn last_word(&self) -> &'static str {
        self.name.rsplit('|').next().unwrap_or(self.name)
    }
}

/// The command that a request names; its first word, and for a container also the second, in any case.
pub fn find(words: &[Bytes]) -> Result<&'static Entry, CommandError> {
    let (name, arguments) = words.split_first().map_or((&[][..], words), |(name, rest)| (&name[..], rest));
    let Some(entry) = COMMANDS.iter().find(|entry| name.eq_ignore_ascii_case(entry.name.as_bytes())) else {
        return Err(CommandError::unknown_command(name, arguments));
    };
    match arguments.first() {
        Some(word) if !entry.subcommands.is_empty() => find_subcommand(entry, word),
        _ => Ok(entry),
    }
}

/// The command or subcommand of this name, as COMMAND INFO takes it: `ping`, `client|list`.
pub fn find_by_name(name: &[u8]) -> Option<&'static Entry> {
    all().find(|entry| name.eq_ignore_ascii_case(entry.name.as_bytes()))
}

/// Whether this is the name of a lock command, in lower case.
pub fn is_lock_command(name: &[u8]) -> bool {
    COMMANDS
        .iter()
        .take_while(|entry| matches!(entry.action, Action::Lock(_)))
        .any(|entry| name == entry.name.as_bytes())
}

/// Every command, each followed by its subcommands.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    COMMANDS.iter().flat_map(|&entry| std::iter::once(entry).chain(entry.subcommands))
}

fn find_subcommand(container: &'static Entry, word: &[u8]) -> Result<&'static Entry, CommandError> {
    container
        .subcommands
        .iter()
        .find(|entry| word.eq_ignore_ascii_case(entry.last_word().as_bytes()))
        .ok_or_else(|| CommandError::unknown_subcommand(container.name, word))
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
