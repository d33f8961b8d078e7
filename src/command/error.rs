//! Why a command is refused before anything is done, in the words that the client reads.
//!
//! Where Redis has words of its own for a mistake, they are these, to the byte: clients compare them.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;

use crate::counters::ErrorKind;
use crate::limits::{KEYS_AT_ONCE, OWNER_BYTES, TOKEN_BYTES};
use crate::lock::NameError;
use crate::protocol::Reply;

/// How much of what the client sent is shown in an error, in bytes: of the name, and of all arguments together.
const SHOWN_BYTES: usize = 128;

/// A refused command. The connection stays usable; no primary was asked. `Display` is the error line with its prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No command has this name; `arguments` holds what is shown of the arguments, each in quotes with a space behind.
    #[error("ERR unknown command '{name}', with args beginning with: {arguments}")]
    UnknownCommand {
        /// The name as it was sent, shortened.
        name: String,
        /// The arguments as far as they are shown.
        arguments: String,
    },
    /// The container has no such subcommand.
    #[error("ERR unknown subcommand '{name}'. Try {} HELP.", .container.to_uppercase())]
    UnknownSubcommand {
        /// The subcommand as it was sent, shortened.
        name: String,
        /// The container's name, in lower case.
        container: &'static str,
    },
    /// Too few or too many arguments for the command of this name.
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(&'static str),
    /// The connection has to authenticate first.
    #[error("NOAUTH Authentication required.")]
    NoAuthentication,
    /// An option that is unknown, repeated or lacks its value.
    #[error("ERR syntax error")]
    Syntax,
    /// Not an integer as Redis writes it, or beyond 64 bits.
    #[error("ERR value is not an integer or out of range")]
    Integer,
    /// A ttl that leaves no validity, or above the configured maximum. Milliseconds.
    #[error("ERR invalid expire time in '{command}' command: {smallest_ms} to {largest_ms} milliseconds")]
    TtlRange {
        /// The command's name, in lower case.
        command: &'static str,
        /// The smallest ttl that is allowed.
        smallest_ms: u64,
        /// The largest.
        largest_ms: u64,
    },
    /// An owner's name that is empty or too long.
    #[error("ERR invalid owner: 1 to {OWNER_BYTES} bytes")]
    Owner,
    /// A token that is empty or too long.
    #[error("ERR invalid token: 1 to {TOKEN_BYTES} bytes")]
    Token,
    /// The name of a lock that is longer than configuration allows, in bytes.
    #[error("ERR key is too long: at most {0} bytes")]
    KeyTooLong(usize),
    /// The name of a lock that begins like the proxy's own records.
    #[error("ERR names beginning with 'redlock-proxy:' are reserved")]
    KeyReserved,
    /// A number of keys that is none, or less than 1.
    #[error("ERR numkeys should be greater than 0")]
    NoKeys,
    /// More keys announced than there are arguments.
    #[error("ERR Number of keys can't be greater than number of args")]
    MoreKeysThanArguments,
    /// More locks than one command may take.
    #[error("ERR too many keys: at most {KEYS_AT_ONCE}")]
    TooManyKeys,
    /// One lock named twice in one command.
    #[error("ERR a key is named twice")]
    KeyTwice,
    /// A time to wait that is not an integer as Redis writes it.
    #[error("ERR timeout is not an integer or out of range")]
    Timeout,
    /// A time to wait below 0.
    #[error("ERR timeout is negative")]
    TimeoutNegative,
    /// A time to wait above the configured maximum.
    #[error("ERR timeout is out of range: at most {} milliseconds", .0.as_millis())]
    TimeoutRange(Duration),
    /// A push was asked for on a connection whose protocol has none.
    #[error("ERR NOTIFY needs RESP3: say HELLO 3 first")]
    NotifyWithoutPushes,
}

impl CommandError {
    /// The error for a request whose first word names no command.
    pub fn unknown_command(name: &[u8], arguments: &[Bytes]) -> Self {
        let mut shown = String::new();
        for argument in arguments {
            // Like Redis: the quotes and spaces of the arguments before count, those of the last one do not.
            let Some(room @ 1..) = SHOWN_BYTES.checked_sub(shown.len()) else { break };
            let _ = write!(shown, "'{}' ", printable(argument, room));
        }
        Self::UnknownCommand { name: printable(name, SHOWN_BYTES), arguments: shown }
    }

    /// The error for a container command with a second word that it does not know.
    pub fn unknown_subcommand(container: &'static str, name: &[u8]) -> Self {
        Self::UnknownSubcommand { name: printable(name, SHOWN_BYTES), container }
    }

    /// Which counter of refused commands this one belongs to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoAuthentication => ErrorKind::Authentication,
            Self::KeyTooLong(_) | Self::TooManyKeys => ErrorKind::Limit,
            _ => ErrorKind::Syntax,
        }
    }
}

impl From<NameError> for CommandError {
    fn from(error: NameError) -> Self {
        match error {
            NameError::ResourceTooLong(longest) => Self::KeyTooLong(longest),
            NameError::ResourceReserved => Self::KeyReserved,
            NameError::Owner => Self::Owner,
            NameError::Token => Self::Token,
        }
    }
}

impl From<CommandError> for Reply {
    fn from(error: CommandError) -> Self {
        Self::Error(Cow::Owned(error.to_string()))
    }
}

/// What an error line may show of a client's bytes: at most `room` bytes, up to the first NUL (Redis' strings end
/// there), control characters as spaces so that the line stays one, and a question mark for what is no UTF-8.
pub(crate) fn printable(bytes: &[u8], room: usize) -> String {
    let bytes = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    let mut text = String::new();
    for chunk in bytes.get(..room).unwrap_or(bytes).utf8_chunks() {
        text.extend(chunk.valid().chars().map(|c| if c.is_control() { ' ' } else { c }));
        if !chunk.invalid().is_empty() {
            text.push('?');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command::tests_support::words;

    fn unknown(line: &str) -> String {
        let words = words(line);
        CommandError::unknown_command(&words[0], &words[1..]).to_string()
    }

    #[test]
    fn an_unknown_command_is_refused_in_the_words_of_redis() {
        assert_eq!(unknown("FOO a b"), "ERR unknown command 'FOO', with args beginning with: 'a' 'b' ");
        assert_eq!(unknown("foo"), "ERR unknown command 'foo', with args beginning with: ");
    }

    #[test]
    fn what_an_error_shows_is_cut_where_redis_cuts_it() {
        // The bytes a Redis 7.0.15 server answered to the same requests.
        let (f, c) = ("f".repeat(200), "c".repeat(200));
        let shown = format!("ERR unknown command '{}', with args beginning with: ", "f".repeat(128));
        assert_eq!(unknown(&f), shown);
        let shown = format!("ERR unknown command 'foo', with args beginning with: 'a b' '{}' ", "c".repeat(122));
        assert_eq!(CommandError::unknown_command(b"foo", &["a\nb".into(), c.into(), "d".into()]).to_string(), shown);
        assert_eq!(
            CommandError::unknown_subcommand("client", b"a\r\nb").to_string(),
            "ERR unknown subcommand 'a  b'. Try CLIENT HELP."
        );
    }

    #[test]
    fn bytes_that_are_no_text_cannot_break_the_line() {
        assert_eq!(printable(b"a\xff\xfeb\x1b[31m", 128), "a??b [31m");
        assert_eq!(printable(b"a\0b", 128), "a");
        assert_eq!(printable("ä".as_bytes(), 1), "?");
    }

    #[test]
    fn every_other_text_is_the_promised_one() {
        let texts = [
            (CommandError::Arity("rlock"), "ERR wrong number of arguments for 'rlock' command"),
            (CommandError::Arity("client|setname"), "ERR wrong number of arguments for 'client|setname' command"),
            (CommandError::NoAuthentication, "NOAUTH Authentication required."),
            (CommandError::Syntax, "ERR syntax error"),
            (CommandError::Integer, "ERR value is not an integer or out of range"),
            (
                CommandError::TtlRange { command: "rlock", smallest_ms: 4, largest_ms: 60_000 },
                "ERR invalid expire time in 'rlock' command: 4 to 60000 milliseconds",
            ),
            (CommandError::Owner, "ERR invalid owner: 1 to 200 bytes"),
            (CommandError::Token, "ERR invalid token: 1 to 256 bytes"),
            (CommandError::KeyTooLong(4_096), "ERR key is too long: at most 4096 bytes"),
            (CommandError::KeyReserved, "ERR names beginning with 'redlock-proxy:' are reserved"),
            (CommandError::NoKeys, "ERR numkeys should be greater than 0"),
            (CommandError::MoreKeysThanArguments, "ERR Number of keys can't be greater than number of args"),
            (CommandError::TooManyKeys, "ERR too many keys: at most 64"),
            (CommandError::KeyTwice, "ERR a key is named twice"),
            (CommandError::Timeout, "ERR timeout is not an integer or out of range"),
            (CommandError::TimeoutNegative, "ERR timeout is negative"),
            (
                CommandError::TimeoutRange(Duration::from_secs(3_600)),
                "ERR timeout is out of range: at most 3600000 milliseconds",
            ),
            (CommandError::NotifyWithoutPushes, "ERR NOTIFY needs RESP3: say HELLO 3 first"),
            (CommandError::unknown_subcommand("client", b"NOPE"), "ERR unknown subcommand 'NOPE'. Try CLIENT HELP."),
        ];
        for (error, text) in texts {
            assert_eq!(Reply::from(error), Reply::Error(text.into()));
        }
    }

    proptest! {
        #[test]
        fn an_error_is_one_short_line_whatever_was_sent(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..9)) {
            let arguments: Vec<Bytes> = words[1..].iter().map(|word| Bytes::copy_from_slice(word)).collect();
            let line = CommandError::unknown_command(&words[0], &arguments).to_string();
            prop_assert!(!line.contains(char::is_control));
            // Name and arguments, each of 128 bytes, the frame around them, and the last argument's quotes.
            prop_assert!(line.len() <= 128 + 128 + 56 + 3, "{}", line.len());
        }
    }
}
