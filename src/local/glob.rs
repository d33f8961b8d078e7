//! Redis' glob-style patterns: `*`, `?`, `[a-z]`, `[^a-z]`, and a backslash before what stands for itself.

/// Whether the pattern matches all of `text`, letters in any case.
///
/// Takes time in proportion to the product of both lengths at most: only the last star is ever tried again, which is
/// enough, since what a star further left could take, the last one can take as well.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // What stands behind the last star, and the text from where it is tried next.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            retry = Some((rest, text));
            pattern = rest;
            continue;
        }
        if pattern.is_empty() && text.is_empty() {
            return true;
        }
        if let [byte, rest @ ..] = text
            && let Some(behind) = step(pattern, *byte)
        {
            (pattern, text) = (behind, rest);
            continue;
        }
        let Some((behind_star, [_, rest @ ..])) = retry else { return false };
        retry = Some((behind_star, rest));
        (pattern, text) = (behind_star, rest);
    }
}

/// The pattern behind its first element, when there is one and it matches `byte`. It is no star.
fn step(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (matched, rest) = match pattern {
        [b'?', rest @ ..] => (true, rest),
        [b'[', rest @ ..] => class(rest, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (literal.eq_ignore_ascii_case(&byte), rest),
        [] => return None,
    };
    matched.then_some(rest)
}

/// Whether the class whose opening bracket stands before `class` has `byte`, and what is behind it. A class that is
/// not closed ends with the pattern.
fn class(class: &[u8], byte: u8) -> (bool, &[u8]) {
    let byte = byte.to_ascii_lowercase();
    let (negated, mut class) = match class {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        class = match class {
            [] => return (found != negated, class),
            [b']', rest @ ..] => return (found != negated, rest),
            [b'\\', literal, rest @ ..] => {
                found |= literal.to_ascii_lowercase() == byte;
                rest
            }
            [first, b'-', last, rest @ ..] => {
                let (first, last) = (first.to_ascii_lowercase(), last.to_ascii_lowercase());
                found |= (first.min(last)..=first.max(last)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                found |= literal.to_ascii_lowercase() == byte;
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        let yes = [
            ("*", ""),
            ("*", "abc"),
            ("", ""),
            ("a*c", "abbc"),
            ("a*c", "ac"),
            ("?b?", "abc"),
            ("[a-c]x", "bx"),
            ("[c-a]x", "bx"),
            ("[^a-c]x", "dx"),
            ("[abc", "b"),
            ("\\*", "*"),
            ("a\\", "a\\"),
            ("SAVE", "save"),
            ("[A-C]", "b"),
            ("*a*a*", "banana"),
            ("[\\]]", "]"),
            ("**", "x"),
            ("proto-*-len", "proto-max-bulk-len"),
            ("*ab", "aab"),
            ("*a*ab", "aaab"),
        ];
        for (pattern, text) in yes {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        let no = [
            ("", "a"),
            ("a", ""),
            ("?", ""),
            ("a*c", "abcd"),
            ("[^a-c]x", "bx"),
            ("\\*", "x"),
            ("[]", "a"),
            ("[a-c", ""),
            ("*b", "abc"),
            ("abc", "ab"),
        ];
        for (pattern, text) in no {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = "a*".repeat(5_000) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(10_000).as_bytes()));
    }

    proptest! {
        #[test]
        fn no_pattern_panics_and_every_star_may_be_empty(pattern in prop::collection::vec(prop::sample::select(b"ab*?[]^-\\".to_vec()), 0..12), text in "[ab]{0,6}") {
            let matched = matches(&pattern, text.as_bytes());
            let literal = pattern.iter().all(|byte| b"ab".contains(byte));
            prop_assert!(!literal || matched == (pattern == text.as_bytes()));
            let starred = [b"*", pattern.as_slice()].concat();
            prop_assert!(!matched || matches(&starred, text.as_bytes()));
        }

        #[test]
        fn stars_match_what_a_plain_search_finds(pattern in "[ab*]{0,8}", text in "[ab]{0,8}") {
            fn plain(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern, text) {
                    ([], text) => text.is_empty(),
                    ([b'*', rest @ ..], text) => (0..=text.len()).any(|taken| plain(rest, &text[taken..])),
                    ([first, rest @ ..], [byte, behind @ ..]) => first == byte && plain(rest, behind),
                    _ => false,
                }
            }
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), plain(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
