//! What the user wrote, before anybody asks whether it makes sense: a small tree of values.
//!
//! The YAML parser is named here and nowhere else. It tells where a syntax error is, but not where a value came from
//! that parses and turns out to be wrong. Positions are therefore looked up when they are needed: the text is read
//! again by a visitor that raises an error on reaching the wanted path, and the parser says where that happened.
//! That is exact for block and flow style alike, and costs nothing while all is well.

use std::fmt;

use serde::de::{DeserializeSeed, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, de};
use serde_yaml::Deserializer;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// `null`, `~`, or nothing behind the colon.
    Nothing,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i128),
    /// Any other number.
    Number(f64),
    /// Text, quoted or not.
    Text(String),
    /// Text from a variable or a flag, which stands for whatever the key wants. `quotable` is how an error may quote
    /// it: what came out of a `${VAR}` may be a secret, and only the way it was written is shown.
    Loose { text: String, quotable: String },
    /// A list.
    List(Vec<Raw>),
    /// Keys and values in their order, the same key twice included.
    Map(Vec<(String, Raw)>),
    /// A value with a `!tag` of its own.
    Tagged,
    /// A value that has been found wrong and told of already.
    Refused,
}

impl Raw {
    /// Text from a variable or a flag.
    pub(super) fn loose(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::Loose { quotable: text.clone(), text }
    }

    /// What an error calls it: the kind, not the value.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Number(_) => "a fraction",
            Self::Text(_) | Self::Loose { .. } => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
            Self::Tagged => "a value with a tag",
            Self::Refused => "refused",
        }
    }
}

/// A step from the root of a document to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a mapping, to the n-th entry of that name (from 0: more than one is a mistake that has a place).
    Key(String, usize),
    /// Into a list, to the n-th entry (from 0).
    Item(usize),
}

/// Why a text is not a YAML document: the line, where the parser knows it, and the reason.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) line: Option<usize>,
    pub(super) reason: String,
}

/// Reads a YAML document.
pub(super) fn parse(text: &str) -> Result<Raw, SyntaxError> {
    Raw::deserialize(Deserializer::from_str(text)).map_err(|error| {
        let line = error.location().map(|location| location.line());
        let indent = |line: &str| line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
        let has_tab = line.and_then(|line| text.lines().nth(line.saturating_sub(1))).is_some_and(indent);
        let hint = if has_tab { "; indent with spaces, not with tabs" } else { "" };
        SyntaxError { line, reason: format!("{error}{hint}") }
    })
}

/// The line, from 1, on which the value at `path` stands, or its nearest parent that exists.
pub(super) fn line(text: &str, path: &[Step]) -> Option<usize> {
    match (Locate { path }).deserialize(Deserializer::from_str(text)) {
        Ok(never) => match never {},
        Err(found) => found.location().map(|location| location.line()),
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Integer(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        // Far above every range; that it is too large is all that matters.
        Ok(Raw::Integer(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(KeySeed { stop_at: None })? {
            entries.push((key, map.next_value()?));
        }
        Ok(Raw::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Raw, A::Error> {
        let (_, value) = tagged.variant::<IgnoredAny>()?;
        value.newtype_variant::<IgnoredAny>()?;
        Ok(Raw::Tagged)
    }
}

/// There is no value of this type: looking up a position always ends in the error that carries it.
enum Never {}

/// What is raised where the path ends. Nobody sees it.
fn here<E: Error>() -> E {
    E::custom("here")
}

#[derive(Clone, Copy)]
struct Locate<'a> {
    path: &'a [Step],
}

impl<'de> DeserializeSeed<'de> for Locate<'_> {
    type Value = Never;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Never, D::Error> {
        deserializer.deserialize_any(self)
    }
}

// Whatever is not visited here is an error of the wrong type, and its position the one that is looked for.
impl<'de> Visitor<'de> for Locate<'_> {
    type Value = Never;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a position")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Never, A::Error> {
        if let Some((Step::Item(index), rest)) = self.path.split_first() {
            for _ in 0..*index {
                sequence.next_element::<IgnoredAny>()?;
            }
            if let Some(never) = sequence.next_element_seed(Locate { path: rest })? {
                return Ok(never);
            }
        }
        Err(here())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Never, A::Error> {
        let Some((Step::Key(name, occurrence), rest)) = self.path.split_first() else { return Err(here()) };
        let mut earlier = 0;
        let wanted = |earlier| (earlier == *occurrence).then_some(name.as_str());
        // The key itself is the place when the path ends here: its value may begin on a later line.
        while let Some(key) = map.next_key_seed(KeySeed { stop_at: wanted(earlier).filter(|_| rest.is_empty()) })? {
            if key != *name {
                map.next_value::<IgnoredAny>()?;
            } else if earlier == *occurrence {
                return map.next_value_seed(Locate { path: rest });
            } else {
                earlier += 1;
                map.next_value::<IgnoredAny>()?;
            }
        }
        Err(here())
    }
}

/// Reads a mapping's key as it is written, and raises the error when it is the one to stop at.
struct KeySeed<'a> {
    stop_at: Option<&'a str>,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = String;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        if self.stop_at == Some(key) { Err(here()) } else { Ok(key.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Step::Item;
    use super::*;

    #[expect(non_snake_case, reason = "reads as the variant that it makes")]
    fn Key(name: &str, occurrence: usize) -> Step {
        Step::Key(name.to_owned(), occurrence)
    }

    const TEXT: &str = "\
# a comment
listen:
  - a
  - b

limits: { connections: 1,
  key_bytes: 2 }
primaries:
  - address: x
    user: y
  -
    address: z
limits:
  connections: 3
1: one
";

    #[test]
    fn a_document_is_read_as_it_is_written() {
        let list = |items: &[&str]| Raw::List(items.iter().map(|&item| Raw::Text(item.to_owned())).collect());
        let map = |entries: Vec<(&str, Raw)>| Raw::Map(entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect());
        assert_eq!(
            parse("a: [x, '1']\nb:\n  c: ~\nb: 1.5"),
            Ok(map(vec![("a", list(&["x", "1"])), ("b", map(vec![("c", Raw::Nothing)])), ("b", Raw::Number(1.5)),]))
        );
        assert_eq!(
            parse("a: -7\nb: 340282366920938463463374607431768211455\nc: true\nd: !x 1"),
            Ok(map(vec![
                ("a", Raw::Integer(-7)),
                ("b", Raw::Integer(i128::MAX)),
                ("c", Raw::Boolean(true)),
                ("d", Raw::Tagged),
            ]))
        );
        assert_eq!(parse(""), Ok(Raw::Nothing));
        assert_eq!(parse("# nothing but this\n"), Ok(Raw::Nothing));
    }

    #[test]
    fn every_value_has_its_line_in_block_and_in_flow_style() {
        for (path, expected) in [
            (vec![Key("listen", 0)], 2),
            (vec![Key("listen", 0), Item(0)], 3),
            (vec![Key("listen", 0), Item(1)], 4),
            (vec![Key("limits", 0)], 6),
            (vec![Key("limits", 0), Key("connections", 0)], 6),
            (vec![Key("limits", 0), Key("key_bytes", 0)], 7),
            (vec![Key("primaries", 0), Item(0)], 9),
            (vec![Key("primaries", 0), Item(0), Key("user", 0)], 10),
            (vec![Key("primaries", 0), Item(1), Key("address", 0)], 12),
            (vec![Key("limits", 1)], 13),
            (vec![Key("limits", 1), Key("connections", 0)], 14),
            (vec![Key("1", 0)], 15),
        ] {
            assert_eq!(line(TEXT, &path), Some(expected), "{path:?}");
        }
    }

    #[test]
    fn what_is_not_there_has_the_line_of_its_parent() {
        assert_eq!(line(TEXT, &[Key("listen", 0), Item(7)]), Some(3));
        assert_eq!(line(TEXT, &[Key("limits", 1), Key("none", 0)]), Some(14));
    }

    #[test]
    fn what_is_not_yaml_is_refused_with_its_line() {
        for (text, expected_line, expected_reason) in [
            ("a: 1\n\tb: 2\n", Some(2), "tabs"),
            ("a: [1\nb: 2\n", Some(2), "did not find expected"),
            ("a: 1\n---\nb: 2\n", None, "more than one document"),
            ("a: *nobody\n", Some(1), "unknown anchor"),
            ("? [a]\n: b\n", Some(1), "expected a key"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.line, expected_line, "{text:?}: {}", error.reason);
            assert!(error.reason.contains(expected_reason), "{text:?}: {}", error.reason);
        }
        // Nested far too deep, and aliases that multiply: refused, not run out of stack or memory.
        assert!(parse(&"[".repeat(10_000)).is_err());
        let bomb: String = (0..20).fold("a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned(), |text, n| {
            text + &format!("a{}: &a{} [{}]\n", n + 1, n + 1, format!("*a{n}, ").repeat(8))
        });
        assert!(parse(&bomb).is_err());
    }
}
