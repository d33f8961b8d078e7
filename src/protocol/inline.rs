//! Inline commands: a line typed by hand into `nc`, split into arguments.
//!
//! The quoting is that of Redis (`sdssplitargs`): words apart by white space; `"…"` with `\n`, `\r`, `\t`, `\b`, `\a`,
//! `\xHH` and `\` before any other byte standing for that byte; `'…'` with `\'` only. A quote may open in the middle of
//! a word, but a closing quote ends the word and white space or the line's end must follow. A NUL byte, behind which
//! servers written in C find no line end, is a byte like any other here; for those the
//! [delimiter](super::RequestDelimiter) takes such a line for no request.

use bytes::Bytes;

use super::request::{ProtocolError, RequestLimits};

/// The arguments on `line`, which is without its line end; none when it is blank. Words without quotes are slices.
pub(super) fn split(line: &Bytes, limits: &RequestLimits) -> Result<Vec<Bytes>, ProtocolError> {
    let mut arguments = Vec::new();
    let mut argument_bytes = 0;
    let mut at = 0;
    loop {
        let rest = line.get(at..).unwrap_or_default();
        at += rest.iter().take_while(|byte| is_space(**byte)).count();
        if at >= line.len() {
            return Ok(arguments);
        }
        limits.check_elements(arguments.len() + 1)?;
        let (argument, end) = word(line, at)?;
        limits.check_bulk(argument.len(), argument_bytes)?;
        argument_bytes += argument.len();
        arguments.push(argument);
        at = end;
    }
}

/// The word that begins at `start`, and where it ends.
fn word(line: &Bytes, start: usize) -> Result<(Bytes, usize), ProtocolError> {
    let rest = line.get(start..).unwrap_or_default();
    let plain = rest.iter().take_while(|byte| !is_separator(**byte) && !matches!(byte, b'"' | b'\'')).count();
    let end = start + plain;
    if matches!(line.get(end), Some(b'"' | b'\'')) {
        quoted_word(line, start)
    } else {
        Ok((line.slice(start..end), end))
    }
}

/// A word that has quotes in it, unquoted into memory of its own.
fn quoted_word(line: &[u8], start: usize) -> Result<(Bytes, usize), ProtocolError> {
    let mut word = Vec::new();
    let mut quote = None;
    let mut at = start;
    loop {
        let rest = line.get(at..).unwrap_or_default();
        at += match (quote, rest) {
            // The line ends: inside of quotes that is an error.
            (None, []) => return Ok((word.into(), at)),
            (Some(_), []) => return Err(ProtocolError::UnbalancedQuotes),
            // Outside of quotes: white space ends the word, a quote opens.
            (None, [byte, ..]) if is_separator(*byte) => return Ok((word.into(), at)),
            (None, [byte @ (b'"' | b'\''), ..]) => {
                quote = Some(*byte);
                1
            }
            // The closing quote ends the word.
            (Some(open), [byte, after @ ..]) if *byte == open => {
                return if after.first().is_none_or(|next| is_space(*next)) {
                    Ok((word.into(), at + 1))
                } else {
                    Err(ProtocolError::UnbalancedQuotes)
                };
            }
            (Some(b'"'), [b'\\', b'x', high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex_digit(*high) << 4 | hex_digit(*low));
                4
            }
            (Some(b'"'), [b'\\', escaped, ..]) => {
                word.push(escape(*escaped));
                2
            }
            (Some(b'\''), [b'\\', b'\'', ..]) => {
                word.push(b'\'');
                2
            }
            (_, [byte, ..]) => {
                word.push(*byte);
                1
            }
        };
    }
}

/// What may stand between words, as C's `isspace` has it.
fn is_space(byte: u8) -> bool {
    is_separator(byte) || matches!(byte, 0x0b | 0x0c)
}

/// What ends a word: vertical tab and form feed do not.
fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn escape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// The value of an ASCII hex digit; of anything else, zero.
fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RequestLimits =
        RequestLimits { elements: 4, bulk_bytes: 8, request_bytes: 16, unauthenticated: false };

    fn words(line: &'static [u8]) -> Result<Vec<Bytes>, ProtocolError> {
        split(&Bytes::from_static(line), &LIMITS)
    }

    #[test]
    fn words_are_split_as_redis_splits_them() {
        let table: &[(&'static [u8], &[&[u8]])] = &[
            (b"", &[]),
            (b" \t\x0b\x0c\r ", &[]),
            (b"PING", &[b"PING"]),
            (b"  GET\t k  ", &[b"GET", b"k"]),
            (b"SET k \"\"", &[b"SET", b"k", b""]),
            (b"''", &[b""]),
            (b"\"a b\" 'c d'", &[b"a b", b"c d"]),
            (br#""\x00\xfF\n\r\t\b\a""#, &[b"\x00\xff\n\r\t\x08\x07"]),
            (br#""\"\\\q""#, &[b"\"\\q"]),
            (br#""\xg1""#, &[b"xg1"]),
            (br#""\x1""#, &[b"x1"]),
            (br"'\'\n\\ '", &[br"'\n\\ "]),
            (br"a\nb", &[br"a\nb"]),
            (b"foo\"bar\" x", &[b"foobar", b"x"]),
            (b"a'b c'", &[b"ab c"]),
            (b"a\"b\"\x0bc", &[b"ab", b"c"]),
            (b"a\x0bb", &[b"a\x0bb"]),
            (b"a\0b", &[b"a\0b"]),
            (b"\xff\xfe", &[b"\xff\xfe"]),
        ];
        for (line, expected) in table {
            assert_eq!(
                words(line).as_deref(),
                Ok(&*expected.iter().map(|word| Bytes::from_static(word)).collect::<Vec<_>>()),
                "{}",
                line.escape_ascii()
            );
        }
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in
            [&b"\""[..], b"'", b"\"a", b"'a\"", br#""a\""#, br#""\"#, b"\"a\"b", b"'a'b", b"\"a\"\"b\"", b"x 'y"]
        {
            assert_eq!(words(line), Err(ProtocolError::UnbalancedQuotes), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn limits_hold_for_words() {
        assert_eq!(words(b"a b c d").map(|words| words.len()), Ok(4));
        assert_eq!(words(b"a b c d e"), Err(ProtocolError::MultibulkLength));
        assert_eq!(words(b"12345678 1234567 1").map(|words| words.len()), Ok(3));
        assert_eq!(words(b"123456789"), Err(ProtocolError::BulkLength));
        assert_eq!(words(b"12345678 12345678 1"), Err(ProtocolError::BulkLength));
        let stranger = RequestLimits { unauthenticated: true, ..LIMITS };
        let split = |line| split(&Bytes::from_static(line), &stranger);
        assert_eq!(split(b"a b c d e"), Err(ProtocolError::UnauthenticatedMultibulkLength));
        assert_eq!(split(b"'123456789'"), Err(ProtocolError::UnauthenticatedBulkLength));
    }

    #[test]
    fn plain_words_share_the_line() {
        let line = Bytes::from(b"GET key".to_vec());
        let words = split(&line, &LIMITS).expect("two words");
        assert_eq!(words[1].as_ptr(), line[4..].as_ptr());
    }
}
