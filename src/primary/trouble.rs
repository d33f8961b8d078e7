//! Reading a server's error for what it is: the node's trouble, never a vote.
//!
//! Codes differ between servers and get lost in scripts: Dragonfly says `-ERR Out of memory`, and an error inside a
//! script may come as `-ERR Error running script …: -OOM …`. So the code is looked for at the beginning and, with its
//! dash, anywhere behind.

use std::sync::Arc;

use crate::coordinator::Trouble;
use crate::limits::REASON_BYTES;

/// Whether the error says that the key is of another type, from a command or from within a script.
pub(super) fn is_wrong_type(error: &[u8]) -> bool {
    has_code(error, b"WRONGTYPE")
}

/// Whether the error says that the server does not have the script.
pub(super) fn is_no_script(error: &[u8]) -> bool {
    error.starts_with(b"NOSCRIPT")
}

/// The reason that a NOQUORUM error gives for this answer of a server.
pub(super) fn classify(error: &[u8]) -> Trouble {
    let codes: [(&[u8], Trouble); 7] = [
        (b"OOM", Trouble::OutOfMemory),
        (b"READONLY", Trouble::ReadOnly),
        (b"LOADING", Trouble::Loading),
        (b"BUSY", Trouble::Busy),
        (b"NOAUTH", Trouble::AuthenticationFailed),
        (b"WRONGPASS", Trouble::AuthenticationFailed),
        (b"ERR AUTH", Trouble::AuthenticationFailed),
    ];
    if let Some((_, trouble)) = codes.into_iter().find(|(code, _)| has_code(error, code)) {
        return trouble;
    }
    if contains(error, b"Out of memory") {
        return Trouble::OutOfMemory;
    }
    if contains(error, b"max number of clients reached") {
        return Trouble::TooManyClients;
    }
    Trouble::Other(own_words(error))
}

/// The server's own words: one line of at most 200 bytes, control bytes replaced. Some errors quote the arguments of
/// the command, and a token is one of them: what is quoted is cut off.
pub(super) fn own_words(error: &[u8]) -> Arc<str> {
    let quoted = find(error, b", with args beginning with").unwrap_or(error.len());
    let mut words: String = String::from_utf8_lossy(&error[..quoted])
        .chars()
        .map(|c| if c.is_control() || c == char::REPLACEMENT_CHARACTER { '?' } else { c })
        .collect();
    let end = (0..=REASON_BYTES.min(words.len())).rev().find(|&end| words.is_char_boundary(end)).unwrap_or(0);
    words.truncate(end);
    words.into()
}

fn has_code(error: &[u8], code: &[u8]) -> bool {
    let ends_there = |at: usize| error.get(at + code.len()).is_none_or(|next| !next.is_ascii_alphanumeric());
    (error.starts_with(code) && ends_there(0))
        || find(error, &[b"-", code].concat()).is_some_and(|dash| ends_there(dash + 1))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    find(text, part).is_some()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_nodes_trouble_is_recognised_on_every_server_and_inside_scripts() {
        for (error, reason) in [
            ("OOM command not allowed when used memory > 'maxmemory'.", "out of memory"),
            ("ERR Out of memory", "out of memory"),
            ("OOM command not allowed when used memory > 'maxmemory'. script: 6a, on @user_script:1.", "out of memory"),
            ("ERR Error running script (call to 6a1b): @user_script:2: -OOM command not allowed", "out of memory"),
            ("READONLY You can't write against a read only replica.", "read-only"),
            ("ERR Error running script (call to 6a): @user_script:1: -READONLY You can't write", "read-only"),
            ("LOADING Redis is loading the dataset in memory", "loading"),
            ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", "busy"),
            ("ERR max number of clients reached", "too many clients"),
            ("NOAUTH Authentication required.", "authentication failed"),
            ("WRONGPASS invalid username-password pair or user is disabled.", "authentication failed"),
            ("MISCONF Redis is configured to save RDB snapshots", "MISCONF Redis is configured to save RDB snapshots"),
            ("BUSYKEY Target key name already exists.", "BUSYKEY Target key name already exists."),
        ] {
            assert_eq!(classify(error.as_bytes()).to_string(), reason, "{error}");
        }
    }

    #[test]
    fn another_type_is_recognised_inside_scripts_too() {
        assert!(is_wrong_type(b"WRONGTYPE Operation against a key holding the wrong kind of value"));
        assert!(is_wrong_type(
            b"ERR Error running script (call to 6a): @user_script:2: -WRONGTYPE Operation against a key"
        ));
        assert!(!is_wrong_type(b"ERR syntax error"));
    }

    #[test]
    fn the_servers_own_words_are_one_short_line_without_arguments() {
        assert_eq!(
            &*own_words(b"ERR unknown command 'DELEX', with args beginning with: 'job' 'IFEQ' 'secret'"),
            "ERR unknown command 'DELEX'"
        );
        assert_eq!(&*own_words(b"ERR a\r\nb\x1b[31m\xff"), "ERR a??b?[31m?");
        assert_eq!(own_words(&[b'x'; 500]).len(), 200);
        assert!(own_words("ERR \u{1F512}".repeat(60).as_bytes()).len() <= 200);
    }
}
