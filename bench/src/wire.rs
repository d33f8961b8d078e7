//! As much of RESP2 as locks need: commands are written into a buffer, replies are looked at where they lie in another.
//!
//! Nothing is copied and nothing allocated: what the generator spends is taken from the cores of what it measures.

use std::fmt;

/// A reply, in the buffer into which it was read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `+OK`
    Status(&'a [u8]),
    /// `-ERR …`
    Error(&'a [u8]),
    /// `:1`
    Integer(i64),
    /// `$3 abc`
    Bulk(&'a [u8]),
    /// `$-1` or `*-1`
    Null,
    /// `*2 …`: the elements, one behind the other.
    Array(&'a [u8]),
}

/// What a lock is granted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant<'a> {
    /// What signs it.
    pub token: &'a [u8],
    /// What is left of its ttl.
    pub validity_ms: i64,
    /// The fencing token, if one was asked for.
    pub fence: Option<i64>,
}

/// What cannot be a reply, or none that a lock command has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl<'a> Reply<'a> {
    /// The first reply in `bytes` and how long it is; `None` while its end is missing.
    ///
    /// # Errors
    /// When `bytes` do not begin like a reply of RESP2.
    pub fn first_of(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\r').filter(|end| bytes.len() > end + 1) else {
            return Ok(None);
        };
        let (&kind, line) = bytes[..end].split_first().ok_or(Malformed)?;
        let rest = &bytes[end + 2..];
        let reply = match kind {
            b'+' => Self::Status(line),
            b'-' => Self::Error(line),
            b':' => Self::Integer(integer(line)?),
            b'$' | b'*' if line == b"-1" => Self::Null,
            b'$' => {
                let length = count(line)?;
                if rest.len() < length + 2 {
                    return Ok(None);
                }
                return Ok(Some((Self::Bulk(&rest[..length]), end + 2 + length + 2)));
            }
            b'*' => {
                let mut length = 0;
                for _ in 0..count(line)? {
                    let Some((_, element)) = Reply::first_of(&rest[length..])? else { return Ok(None) };
                    length += element;
                }
                return Ok(Some((Self::Array(&rest[..length]), end + 2 + length)));
            }
            _ => return Err(Malformed),
        };
        Ok(Some((reply, end + 2)))
    }

    /// What RLOCK and RMLOCK answer when they have got what they asked for.
    pub fn grant(self) -> Option<Grant<'a>> {
        let Self::Array(elements) = self else { return None };
        let (Self::Bulk(token), length) = Reply::first_of(elements).ok()?? else { return None };
        let elements = &elements[length..];
        let (Self::Integer(validity_ms), length) = Reply::first_of(elements).ok()?? else { return None };
        let fence = match Reply::first_of(&elements[length..]).ok()? {
            None => None,
            Some((Self::Integer(fence), _)) => Some(fence),
            Some(_) => return None,
        };
        Some(Grant { token, validity_ms, fence })
    }
}

impl fmt::Debug for Reply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(text) => write!(f, "+{}", text.escape_ascii()),
            Self::Error(text) => write!(f, "-{}", text.escape_ascii()),
            Self::Integer(number) => write!(f, ":{number}"),
            Self::Bulk(text) => write!(f, "\"{}\"", text.escape_ascii()),
            Self::Null => f.write_str("null"),
            Self::Array(elements) => write!(f, "[{}]", elements.escape_ascii()),
        }
    }
}

/// Appends a command to `out`.
pub fn put_command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    put_header(out, b'*', arguments.len());
    for argument in arguments {
        put_bulk(out, argument);
    }
}

/// The first of a command's arguments, of which there will be `count`.
pub fn beginning(count: usize, arguments: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    put_header(&mut out, b'*', count);
    for argument in arguments {
        put_bulk(&mut out, argument);
    }
    out
}

/// Appends an argument.
pub fn put_bulk(out: &mut Vec<u8>, argument: &[u8]) {
    put_header(out, b'$', argument.len());
    out.extend_from_slice(argument);
    out.extend_from_slice(b"\r\n");
}

fn put_header(out: &mut Vec<u8>, kind: u8, mut number: usize) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        // A remainder of ten fits.
        digits[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.push(kind);
    out.extend_from_slice(&digits[start..]);
    out.extend_from_slice(b"\r\n");
}

fn integer(line: &[u8]) -> Result<i64, Malformed> {
    std::str::from_utf8(line).ok().and_then(|digits| digits.parse().ok()).ok_or(Malformed)
}

fn count(line: &[u8]) -> Result<usize, Malformed> {
    usize::try_from(integer(line)?).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: &[u8] = b"*2\r\n$3\r\nabc\r\n:29697\r\n";

    fn whole(bytes: &[u8]) -> Reply<'_> {
        let (reply, length) = Reply::first_of(bytes).expect("a reply").expect("a whole one");
        assert_eq!(length, bytes.len());
        reply
    }

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        let mut out = b"+".to_vec();
        put_command(&mut out, &[b"RLOCK", b"a lock of 13b", b""]);
        assert_eq!(out, b"+*3\r\n$5\r\nRLOCK\r\n$13\r\na lock of 13b\r\n$0\r\n\r\n");
    }

    #[test]
    fn a_command_may_be_written_in_pieces() {
        let mut whole = Vec::new();
        put_command(&mut whole, &[b"RUNLOCK", b"key", b"token"]);
        let mut pieces = beginning(3, &[b"RUNLOCK", b"key"]);
        put_bulk(&mut pieces, b"token");
        assert_eq!(pieces, whole);
    }

    #[test]
    fn replies_are_told_apart() {
        assert_eq!(whole(b"+OK\r\n"), Reply::Status(b"OK"));
        assert_eq!(whole(b"-NOQUORUM 1 of 3\r\n"), Reply::Error(b"NOQUORUM 1 of 3"));
        assert_eq!(whole(b":-12\r\n"), Reply::Integer(-12));
        assert_eq!(whole(b"$4\r\na\r\nb\r\n"), Reply::Bulk(b"a\r\nb"));
        assert_eq!(whole(b"$-1\r\n"), Reply::Null);
        assert_eq!(whole(b"*-1\r\n"), Reply::Null);
        assert_eq!(whole(b"*0\r\n"), Reply::Array(b""));
        for malformed in [&b"hello\r\n"[..], b"\r\n", b":x\r\n", b"$x\r\n", b"$-2\r\n", b"*-2\r\n", b"*1\r\nx\r\n"] {
            assert_eq!(Reply::first_of(malformed), Err(Malformed));
        }
    }

    #[test]
    fn a_reply_is_awaited_to_its_last_byte_and_not_beyond() {
        for replies in [GRANT, b"+OK\r\n", b"$2\r\nab\r\n", b"*-1\r\n", b":1\r\n"] {
            for length in 0..replies.len() {
                assert_eq!(Reply::first_of(&replies[..length]), Ok(None), "{length} bytes");
            }
            let followed = [replies, b":1"].concat();
            let (_, length) = Reply::first_of(&followed).expect("a reply").expect("a whole one");
            assert_eq!(length, replies.len());
        }
    }

    #[test]
    fn a_grant_is_a_token_and_a_validity_and_perhaps_a_fence() {
        assert_eq!(whole(GRANT).grant(), Some(Grant { token: b"abc", validity_ms: 29_697, fence: None }));
        let fenced = whole(b"*3\r\n$3\r\nabc\r\n:1\r\n:1790000000000000\r\n");
        assert_eq!(fenced.grant().and_then(|grant| grant.fence), Some(1_790_000_000_000_000));
        for other in
            [&b"*-1\r\n"[..], b"*0\r\n", b"*1\r\n$1\r\na\r\n", b"*2\r\n:1\r\n:1\r\n", b":1\r\n", b"-NOQUORUM\r\n"]
        {
            assert_eq!(whole(other).grant(), None);
        }
    }
}
