//! Integers as Redis writes and reads them.
//!
//! Redis takes one spelling per number: no plus sign, no leading zero, no space, no `-0`. Rust's `parse` is more
//! generous, and a length which we read and the next hop refuses would let the two disagree about where a request
//! ends. Lengths, counts and the integers in arguments all go through here.

use bytes::{BufMut, BytesMut};

/// Digits of the longest 64-bit integer.
const LONGEST_DIGITS: usize = 19;
/// The same with its sign.
const LONGEST: usize = LONGEST_DIGITS + 1;
/// Digits of nearly every number in a header.
const SHORT_DIGITS: usize = 9;

/// The integer that `text` spells, or nothing when it is not the one spelling of a 64-bit integer.
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= LONGEST_DIGITS => {}
        _ => return None,
    }
    // Nineteen digits fit, whichever they are.
    let value = digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(value * 10 + digit)
    })?;
    if negative { 0_i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// What the header line at the front of `bytes` announces, and its length up to its `\r` and with it; nothing for a line that
/// is not there whole, or longer or otherwise written than those that go by in their thousands: it is read with more care.
pub(super) fn short_header(kind: u8, bytes: &[u8]) -> Option<(i64, usize)> {
    let digits = bytes.strip_prefix(&[kind])?;
    let mut number = 0;
    for (index, byte) in digits.iter().take(SHORT_DIGITS + 1).enumerate() {
        match byte {
            b'0'..=b'9' => number = number * 10 + i64::from(byte - b'0'),
            b'\r' if index > 0 && (index == 1 || digits.first() != Some(&b'0')) => return Some((number, index + 2)),
            _ => return None,
        }
    }
    None
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

        #[test]
        fn a_short_header_is_read_as_any_other(text in "[$*]?[-0-9]{0,12}[\r]?[\n0-9]{0,2}") {
            if let Some((number, taken)) = short_header(b'$', text.as_bytes()) {
                prop_assert_eq!(text.find('\r'), Some(taken - 1));
                prop_assert_eq!(parse_integer(&text.as_bytes()[1..taken - 1]), Some(number));
            }
        }

        #[test]
        fn numbers_of_up_to_nine_digits_make_short_headers(number in 0..1_000_000_000_i64, is_small: bool) {
            let number = if is_small { number % 100 } else { number };
            let header = format!("${number}\r");
            prop_assert_eq!(short_header(b'$', header.as_bytes()), Some((number, header.len())));
            prop_assert_eq!(short_header(b'*', header.as_bytes()), None);
            prop_assert_eq!(short_header(b'$', &header.as_bytes()[..header.len() - 1]), None);
        }
    }

    #[test]
    fn extremes_are_written_whole() {
        for value in [i64::MIN, i64::MIN + 1, -1, 0, 1, 9, 10, i64::MAX - 1, i64::MAX] {
            assert_eq!(written(value), value.to_string());
        }
    }
}
