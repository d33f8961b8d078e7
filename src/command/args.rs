//! A cursor over the arguments of one command, from left to right: the first mistake is the one that is told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{CommandError, CommandLimits};
use crate::limits::{KEYS_AT_ONCE, SESSION_TTL_MS};
use crate::lock::{Resource, Token, Ttl};

/// The arguments behind a command's name that have not been read yet.
#[derive(Debug)]
pub(super) struct Arguments<'a> {
    command: &'static str,
    rest: std::slice::Iter<'a, Bytes>,
}

impl<'a> Arguments<'a> {
    /// All arguments of the command `command`, which is named in errors.
    pub(super) fn new(command: &'static str, arguments: &'a [Bytes]) -> Self {
        Self { command, rest: arguments.iter() }
    }

    /// The next argument, which the command cannot do without. Arity is checked before commands are parsed, so that
    /// the error is for callers that did not.
    pub(super) fn required(&mut self) -> Result<&'a Bytes, CommandError> {
        self.rest.next().ok_or(CommandError::Arity(self.command))
    }

    /// The next option word, `None` behind the last argument.
    pub(super) fn option(&mut self) -> Option<&'a Bytes> {
        self.rest.next()
    }

    /// The value of an option: the word behind it, whatever it says.
    pub(super) fn value(&mut self) -> Result<&'a Bytes, CommandError> {
        self.rest.next().ok_or(CommandError::Syntax)
    }

    /// Whether the next argument is this word, in any case; if so, it has been read.
    pub(super) fn next_is(&mut self, word: &[u8]) -> bool {
        let is_next = self.rest.as_slice().first().is_some_and(|next| next.eq_ignore_ascii_case(word));
        if is_next {
            self.rest.next();
        }
        is_next
    }

    /// The next arguments as a number and so many names of locks, none of them twice.
    pub(super) fn resources(&mut self, limits: &CommandLimits) -> Result<Arc<[Resource]>, CommandError> {
        let count = integer(self.required()?).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        if count == 0 {
            return Err(CommandError::NoKeys);
        } else if count > self.rest.len() {
            return Err(CommandError::MoreKeysThanArguments);
        } else if count > KEYS_AT_ONCE {
            return Err(CommandError::TooManyKeys);
        }
        let mut resources = Vec::with_capacity(count);
        for _ in 0..count {
            let resource = self.resource(limits)?;
            if resources.contains(&resource) {
                return Err(CommandError::KeyTwice);
            }
            resources.push(resource);
        }
        Ok(resources.into())
    }

    /// The next argument as the name of a lock.
    pub(super) fn resource(&mut self, limits: &CommandLimits) -> Result<Resource, CommandError> {
        Ok(Resource::new(self.required()?.clone(), limits.key_bytes)?)
    }

    /// The next argument as a token.
    pub(super) fn token(&mut self) -> Result<Token, CommandError> {
        Ok(Token::new(self.required()?.clone())?)
    }

    /// The next argument as a ttl in milliseconds.
    pub(super) fn ttl(&mut self, limits: &CommandLimits) -> Result<Ttl, CommandError> {
        let millis = integer(self.required()?).ok_or(CommandError::Integer)?;
        u64::try_from(millis)
            .ok()
            .filter(|&millis| millis >= limits.smallest_ttl_ms)
            .and_then(Ttl::from_millis)
            .filter(|&ttl| ttl <= limits.max_ttl)
            .ok_or(CommandError::TtlRange {
                command: self.command,
                smallest_ms: limits.smallest_ttl_ms,
                largest_ms: limits.max_ttl.as_millis(),
            })
    }

    /// Checks that a lock of this ttl can be renewed in time.
    pub(super) fn check_session_ttl(&self, ttl: Ttl, limits: &CommandLimits) -> Result<(), CommandError> {
        let smallest_ms = SESSION_TTL_MS.max(limits.smallest_ttl_ms);
        if ttl.as_millis() >= smallest_ms {
            return Ok(());
        }
        let largest_ms = limits.max_ttl.as_millis();
        Err(CommandError::TtlRange { command: self.command, smallest_ms, largest_ms })
    }

    /// The value of WAIT.
    pub(super) fn wait(&mut self, limits: &CommandLimits) -> Result<Duration, CommandError> {
        let millis = integer(self.value()?).ok_or(CommandError::Timeout)?;
        let wait = u64::try_from(millis).map(Duration::from_millis).map_err(|_| CommandError::TimeoutNegative)?;
        if wait > limits.max_wait { Err(CommandError::TimeoutRange(limits.max_wait)) } else { Ok(wait) }
    }

    /// The end: what is left belongs to nobody.
    pub(super) fn finish(mut self) -> Result<(), CommandError> {
        if self.rest.next().is_none() { Ok(()) } else { Err(CommandError::Arity(self.command)) }
    }
}

/// An integer in the one form that Redis takes: decimal digits, a minus sign in front if need be; no plus sign, no
/// space, no leading zero, no negative zero. `None` for everything else, and for what 64 bits do not hold.
pub fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    // The standard parser takes more forms than these, but it reads these right, up to both ends of the range.
    if plain { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command::tests_support::{limits, words};

    #[test]
    fn integers_have_one_form() {
        for text in
            ["", "-", "+1", " 1", "1 ", "01", "-0", "-01", "00", "1.0", "1e3", "0x1", "9223372036854775808", "٣"]
        {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(integer(b"0"), Some(0));
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer(b"1\xff"), None);
    }

    #[test]
    fn a_ttl_has_two_ways_to_be_wrong() {
        let ttl = |word: &str| Arguments::new("rlock", &words(word)).ttl(&limits()).map(Ttl::as_millis);
        for word in ["", "x", "4.0", "04", "+4", "18446744073709551616"] {
            assert_eq!(ttl(word), Err(CommandError::Integer), "{word:?}");
        }
        let range = CommandError::TtlRange { command: "rlock", smallest_ms: 4, largest_ms: 60_000 };
        for word in ["-1", "0", "3", "60001", "86400001", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(ttl(word), Err(range.clone()), "{word}");
        }
        assert_eq!((ttl("4"), ttl("60000")), (Ok(4), Ok(60_000)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number: i64) {
            prop_assert_eq!(integer(number.to_string().as_bytes()), Some(number));
        }

        #[test]
        fn what_is_read_is_written_in_no_other_way(text in "[-+ 0-9]{0,21}") {
            if let Some(number) = integer(text.as_bytes()) {
                prop_assert_eq!(number.to_string(), text);
            }
        }
    }
}
