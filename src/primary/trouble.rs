//! Reading a server's error for what it is: the node's trouble, never a vote.
//!
//! Codes differ between servers and get lost in scripts: Dragonfly says `-ERR Out of memory`, and an error inside a
//! script may come as `-ERR Error running script …: -OOM …`. So the code is looked for at the beginning and, with its
//! dash, anywhere behind.

use std::sync::Arc;

use crate::coordinator::Trouble;
use crate::limits::{REASON_BYTES, TOKEN_HEX_DIGITS};

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

/// Hex digits in a row that are taken for a token, or for as much of one as a server quotes.
const TOKEN_LIKE_DIGITS: usize = TOKEN_HEX_DIGITS / 2;

/// The server's own words: one line of at most 200 bytes, control bytes replaced. Some errors quote the arguments of
/// the command, and a token is one of them: a list of arguments is cut off, and what looks like a token is replaced
/// wherever it stands, since each server quotes in its own way.
pub(super) fn own_words(error: &[u8]) -> Arc<str> {
    let quoted = find(error, b", with args beginning with").unwrap_or(error.len());
    let words: String = String::from_utf8_lossy(&error[..quoted])
        .chars()
        .map(|c| if c.is_control() || c == char::REPLACEMENT_CHARACTER { '?' } else { c })
        .collect();
    let mut words = without_tokens(&words);
    let end = (0..=REASON_BYTES.min(words.len())).rev().find(|&end| words.is_char_boundary(end)).unwrap_or(0);
    words.truncate(end);
    words.into()
}

fn without_tokens(words: &str) -> String {
    let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    let mut cleared = String::with_capacity(words.len());
    let mut rest = words;
    while let Some(start) = rest.find(is_digit) {
        let (before, digits_and_rest) = rest.split_at(start);
        let length = digits_and_rest.find(|c| !is_digit(c)).unwrap_or(digits_and_rest.len());
        let (digits, behind) = digits_and_rest.split_at(length);
        cleared.push_str(before);
        cleared.push_str(if length >= TOKEN_LIKE_DIGITS { "<redacted>" } else { digits });
        rest = behind;
    }
    cleared.push_str(rest);
    cleared
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

/// The answer is of a type that no server gives to what was asked.
pub(super) fn unexpected() -> Trouble {
    Trouble::Other("an answer of an unexpected type".into())
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

    #[test]
    fn what_looks_like_a_token_is_shown_nowhere() {
        let token = "0123456789abcdef0123456789abcdef01234567";
        for (error, words) in [
            (format!("ERR near '{token}'"), "ERR near '<redacted>'"),
            (format!("ERR near 'me:{token}"), "ERR near 'me:<redacted>"),
            (format!("ERR near {}...", &token[..20]), "ERR near <redacted>..."),
            (format!("{token} {token}"), "<redacted> <redacted>"),
            ("ERR 30000 of 2147483647 bytes, deadbeef".to_owned(), "ERR 30000 of 2147483647 bytes, deadbeef"),
        ] {
            assert_eq!(&*own_words(error.as_bytes()), words);
        }
        // Not cut in the middle, where what is left of it would be too short to be told.
        assert!(!own_words(format!("{}{token}", "x".repeat(190)).as_bytes()).contains(&token[..10]));
    }
}
