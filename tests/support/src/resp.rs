//! Replies as values, told apart to the byte.
//!
//! Client libraries fold what a proxy must not: RESP2's `$-1` and `*-1`, RESP3's `_`, a simple string and a bulk string. Here each
//! spelling is a variant of its own, and doubles and big numbers keep their text. The parser starts over with each attempt: it
//! is for tests, whose replies are small.

use std::fmt;

/// One reply.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// `+text`
    Simple(String),
    /// `-text`
    Error(String),
    /// `:n`
    Integer(i64),
    /// `$n`
    Bulk(Vec<u8>),
    /// `$-1`, RESP2's null for a value.
    NullBulk,
    /// `*-1`, RESP2's null for an array.
    NullArray,
    /// `_`, RESP3's null.
    Null,
    /// `*n`
    Array(Vec<Value>),
    /// `>n`
    Push(Vec<Value>),
    /// `~n`
    Set(Vec<Value>),
    /// `%n`, in the order sent.
    Map(Vec<(Value, Value)>),
    /// `|n`: attributes of the value that follows as the next one.
    Attribute(Vec<(Value, Value)>),
    /// `#t`, `#f`
    Boolean(bool),
    /// `,text`
    Double(String),
    /// `(text`
    BigNumber(String),
    /// `!n`
    BulkError(Vec<u8>),
    /// `=n`, with its three-letter format in front, as sent.
    Verbatim(Vec<u8>),
}

impl Value {
    /// `+OK`.
    pub fn ok() -> Self {
        Self::Simple("OK".into())
    }

    /// A bulk string.
    pub fn bulk(text: impl AsRef<[u8]>) -> Self {
        Self::Bulk(text.as_ref().to_vec())
    }

    /// A simple string.
    pub fn simple(text: impl Into<String>) -> Self {
        Self::Simple(text.into())
    }

    /// An error, without its dash.
    pub fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into())
    }

    /// A null of any spelling.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::NullBulk | Self::NullArray | Self::Null)
    }

    /// An error of either kind.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_) | Self::BulkError(_))
    }

    /// Whether it is an error whose text begins with `prefix`, such as `NOQUORUM`.
    pub fn is_error_with(&self, prefix: &str) -> bool {
        self.is_error() && self.bytes().starts_with(prefix.as_bytes())
    }

    /// The number of an integer reply; panics on another.
    #[track_caller]
    pub fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            other => panic!("not an integer: {other:?}"),
        }
    }

    /// The bytes of any string, error or number written as text; panics on another.
    #[track_caller]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Simple(text) | Self::Error(text) | Self::Double(text) | Self::BigNumber(text) => text.as_bytes(),
            Self::Bulk(bytes) | Self::BulkError(bytes) => bytes,
            Self::Verbatim(bytes) => bytes.get(4..).unwrap_or_default(),
            other => panic!("not a string: {other:?}"),
        }
    }

    /// The same as text; bytes that are no UTF-8 are replaced.
    #[track_caller]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// The elements of an array, set or push; panics on another.
    #[track_caller]
    pub fn items(&self) -> &[Value] {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => items,
            other => panic!("not an array: {other:?}"),
        }
    }

    /// The value of `field` in a map, or in a flat array of names and values as RESP2 writes one.
    pub fn field(&self, field: &str) -> Option<&Value> {
        let named = |name: &Value| matches!(name, Self::Bulk(_) | Self::Simple(_)) && name.bytes() == field.as_bytes();
        match self {
            Self::Map(pairs) => pairs.iter().find(|(name, _)| named(name)).map(|(_, value)| value),
            Self::Array(items) => items.chunks_exact(2).find(|pair| named(&pair[0])).map(|pair| &pair[1]),
            other => panic!("neither a map nor an array: {other:?}"),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) => write!(f, "+{}", text.escape_debug()),
            Self::Error(text) => write!(f, "-{}", text.escape_debug()),
            Self::Integer(number) => write!(f, ":{number}"),
            Self::Bulk(bytes) => write!(f, "$\"{}\"", bytes.escape_ascii()),
            Self::NullBulk => f.write_str("$-1"),
            Self::NullArray => f.write_str("*-1"),
            Self::Null => f.write_str("_"),
            Self::Array(items) => f.debug_list().entries(items).finish(),
            Self::Push(items) => f.write_str(">").and_then(|()| f.debug_list().entries(items).finish()),
            Self::Set(items) => f.debug_set().entries(items).finish(),
            Self::Map(pairs) => f.debug_map().entries(pairs.iter().map(|(name, value)| (name, value))).finish(),
            Self::Attribute(pairs) => f
                .write_str("|")
                .and_then(|()| f.debug_map().entries(pairs.iter().map(|(name, value)| (name, value))).finish()),
            Self::Boolean(truth) => write!(f, "#{truth}"),
            Self::Double(text) => write!(f, ",{text}"),
            Self::BigNumber(text) => write!(f, "({text}"),
            Self::BulkError(bytes) => write!(f, "!\"{}\"", bytes.escape_ascii()),
            Self::Verbatim(bytes) => write!(f, "=\"{}\"", bytes.escape_ascii()),
        }
    }
}

/// The bytes of a command as clients send it: an array of bulk strings.
pub fn encode_command<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The first reply in `bytes` and its length; `None` while it is not whole.
///
/// An error names the bytes that no server should have sent.
pub fn parse(bytes: &[u8]) -> Result<Option<(Value, usize)>, String> {
    let mut cursor = Cursor { bytes, position: 0 };
    match cursor.value(0) {
        Ok(value) => Ok(Some((value, cursor.position))),
        Err(Stop::Incomplete) => Ok(None),
        Err(Stop::Invalid(reason)) => Err(reason),
    }
}

/// The arguments of a command, its name first.
pub type Arguments = Vec<Vec<u8>>;

/// The first command in `bytes`, an array of bulk strings, and its length; `None` while it is not whole.
pub fn parse_command(bytes: &[u8]) -> Result<Option<(Arguments, usize)>, String> {
    let Some((value, length)) = parse(bytes)? else { return Ok(None) };
    let Value::Array(items) = value else { return Err(format!("not a command: {value:?}")) };
    let arguments = items.into_iter().map(|item| match item {
        Value::Bulk(argument) => Ok(argument),
        other => Err(format!("not an argument: {other:?}")),
    });
    Ok(Some((arguments.collect::<Result<_, _>>()?, length)))
}

/// Deep enough for every reply a test makes on purpose, shallow enough for a test thread's stack.
const DEEPEST: usize = 512;

enum Stop {
    Incomplete,
    Invalid(String),
}

struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, Stop> {
        if depth > DEEPEST {
            return Err(Stop::Invalid(format!("a reply nested more than {DEEPEST} deep")));
        }
        let line = self.line()?;
        let Some((&kind, rest)) = line.split_first() else { return Err(Stop::Invalid("an empty line".into())) };
        let text = || String::from_utf8_lossy(rest).into_owned();
        Ok(match kind {
            b'+' => Value::Simple(text()),
            b'-' => Value::Error(text()),
            b':' => Value::Integer(number(rest)?),
            b',' => Value::Double(text()),
            b'(' => Value::BigNumber(text()),
            b'_' if rest.is_empty() => Value::Null,
            b'#' if rest == b"t" || rest == b"f" => Value::Boolean(rest == b"t"),
            b'$' if rest == b"-1" => Value::NullBulk,
            b'*' if rest == b"-1" => Value::NullArray,
            b'$' => Value::Bulk(self.body(rest)?),
            b'!' => Value::BulkError(self.body(rest)?),
            b'=' => Value::Verbatim(self.body(rest)?),
            b'*' => Value::Array(self.values(rest, depth)?),
            b'>' => Value::Push(self.values(rest, depth)?),
            b'~' => Value::Set(self.values(rest, depth)?),
            b'%' => Value::Map(self.pairs(rest, depth)?),
            b'|' => Value::Attribute(self.pairs(rest, depth)?),
            _ => return Err(Stop::Invalid(format!("no reply begins like this: \"{}\"", line.escape_ascii()))),
        })
    }

    /// Up to CRLF; a bare LF or CR inside is no line of RESP and is refused, since a lenient test client would hide it.
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.position..];
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else { return Err(Stop::Incomplete) };
        let line = &rest[..end];
        self.position += end + 1;
        match line.strip_suffix(b"\r") {
            Some(line) if !line.contains(&b'\r') => Ok(line),
            _ => Err(Stop::Invalid(format!("a line that does not end in CRLF: \"{}\"", line.escape_ascii()))),
        }
    }

    fn body(&mut self, length: &[u8]) -> Result<Vec<u8>, Stop> {
        let length = count(length)?;
        let rest = &self.bytes[self.position..];
        if rest.len() < length + 2 {
            return Err(Stop::Incomplete);
        }
        if &rest[length..length + 2] != b"\r\n" {
            return Err(Stop::Invalid(format!("no CRLF behind a string of {length} bytes")));
        }
        self.position += length + 2;
        Ok(rest[..length].to_vec())
    }

    fn values(&mut self, length: &[u8], depth: usize) -> Result<Vec<Value>, Stop> {
        (0..count(length)?).map(|_| self.value(depth + 1)).collect()
    }

    fn pairs(&mut self, length: &[u8], depth: usize) -> Result<Vec<(Value, Value)>, Stop> {
        (0..count(length)?).map(|_| Ok((self.value(depth + 1)?, self.value(depth + 1)?))).collect()
    }
}

fn number<N: std::str::FromStr>(text: &[u8]) -> Result<N, Stop> {
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| Stop::Invalid(format!("not a number: \"{}\"", text.escape_ascii())))
}

fn count(text: &[u8]) -> Result<usize, Stop> {
    number(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Value {
        let (value, length) = parse(bytes).expect("valid").expect("whole");
        assert_eq!(length, bytes.len(), "of {}", bytes.escape_ascii());
        value
    }

    #[test]
    fn the_three_nulls_are_told_apart() {
        assert_eq!(whole(b"$-1\r\n"), Value::NullBulk);
        assert_eq!(whole(b"*-1\r\n"), Value::NullArray);
        assert_eq!(whole(b"_\r\n"), Value::Null);
        assert_eq!(whole(b"$0\r\n\r\n"), Value::bulk(""));
        assert_eq!(whole(b"*0\r\n"), Value::Array(Vec::new()));
    }

    #[test]
    fn every_kind_of_reply_is_read() {
        let map = whole(b"%2\r\n+a\r\n:1\r\n$1\r\nb\r\n#t\r\n");
        assert_eq!(map.field("a"), Some(&Value::Integer(1)));
        assert_eq!(map.field("b"), Some(&Value::Boolean(true)));
        assert_eq!(whole(b">2\r\n+x\r\n~1\r\n,1.50\r\n").items()[1], Value::Set(vec![Value::Double("1.50".into())]));
        assert_eq!(whole(b"=7\r\ntxt:abc\r\n").text(), "abc");
        assert!(whole(b"!5\r\nERR x\r\n").is_error_with("ERR"));
        assert_eq!(whole(b"(123\r\n"), Value::BigNumber("123".into()));
        assert_eq!(whole(b"|1\r\n+a\r\n:1\r\n"), Value::Attribute(vec![(Value::simple("a"), Value::Integer(1))]));
    }

    #[test]
    fn a_reply_is_incomplete_at_every_byte_but_its_last() {
        let reply = b"*3\r\n$3\r\na\r\n\r\n:-12\r\n*1\r\n-ERR no\r\n";
        for end in 0..reply.len() {
            assert_eq!(parse(&reply[..end]), Ok(None), "at {end}");
        }
        assert_eq!(whole(reply).items().len(), 3);
    }

    #[test]
    fn what_no_server_should_send_is_refused() {
        for bytes in [&b"+a\n"[..], b"+a\rb\r\n", b"?\r\n", b"\r\n", b":x\r\n", b"$-2\r\n", b"$1\r\nab\r\n", b"#x\r\n"]
        {
            assert!(parse(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
