//! Integers as Redis writes and reads them.
//!
//! Redis takes one spelling per number: no plus sign, no leading zero, no space, no `-0`. Rust's `parse` is more
//! generous, and a length which we read and the next hop refuses would let the two disagree about where a request
//! ends. Lengths, counts and the integers in arguments all go through here.

use bytes::{BufMut, BytesMut};

/// Digits of the longest 64-bit integer, and its sign.
const LONGEST: usize = 20;

/// The integer that `text` spells, or nothing when it is not the one spelling of a 64-bit integer.
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if text.len() <= LONGEST => {}
        _ => return None,
    }
    // Counted downwards, because the negative side reaches one further.
    let value = digits.iter().try_fold(0_i64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_sub(digit)
    })?;
    if negative { Some(value) } else { value.checked_neg() }
}

/// Appends `value` in decimal.
pub(super) fn write_integer(value: i64, out: &mut BytesMut) {
    let mut text = [0_u8; LONGEST];
    let mut start = LONGEST;
    let mut rest = value.unsigned_abs();
    loop {
        start -= 1;
        // A remainder of ten fits a byte, and a 64-bit magnitude has at most nineteen digits.
        text[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.put_u8(b'-');
    }
    out.put_slice(&text[start..]);
}

/// Appends a line of one type byte and one integer: `:1`, `*2`, `$40`.
pub(super) fn write_line(kind: u8, value: i64, out: &mut BytesMut) {
    out.put_u8(kind);
    write_integer(value, out);
    out.put_slice(b"\r\n");
}

/// A length as the wire counts it. Memory ends long before `i64` does.
pub(super) fn wire_length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: i64) -> String {
        let mut out = BytesMut::new();
        write_integer(value, &mut out);
        String::from_utf8(out.to_vec()).expect("digits are ASCII")
    }

    #[test]
    fn one_spelling_per_number() {
        for (text, value) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("10", Some(10)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("92233720368547758070", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            ("00", None),
            ("-01", None),
            (" 1", None),
            ("1 ", None),
            ("1\r", None),
            ("1\0", None),
            ("--1", None),
            ("1x", None),
            ("0x1", None),
            ("1.0", None),
        ] {
            assert_eq!(parse_integer(text.as_bytes()), value, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value: i64) {
            prop_assert_eq!(written(value), value.to_string());
            prop_assert_eq!(parse_integer(written(value).as_bytes()), Some(value));
        }

        #[test]
        fn only_canonical_text_is_read(text in "[-+ 0-9]{0,22}") {
            let canonical = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
            prop_assert_eq!(parse_integer(text.as_bytes()), canonical);
        }
    }

    #[test]
    fn extremes_are_written_whole() {
        for value in [i64::MIN, i64::MIN + 1, -1, 0, 1, 9, 10, i64::MAX - 1, i64::MAX] {
            assert_eq!(written(value), value.to_string());
        }
    }
}
