//! `${NAME}` in the configuration file: a value from the environment, so that a secret need not stand in the file.

/// Replaces `${NAME}` and `${NAME:-default}` by what `lookup` gives, and `$$` by `$`.
///
/// `None` when there is no `$` in the text. As in a shell, the default also stands in for an empty variable.
///
/// # Errors
///
/// A sentence about the first thing that is wrong; it quotes names of variables, never their values.
pub(super) fn substitute(
    text: &str,
    lookup: impl Fn(&str) -> Result<Option<String>, String>,
) -> Result<Option<String>, String> {
    let Some((before, mut rest)) = text.split_once('$') else { return Ok(None) };
    let mut result = before.to_owned();
    loop {
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((inside, after)) = rest.strip_prefix('{').and_then(|after| after.split_once('}')) {
            result.push_str(&value(inside, &lookup)?);
            rest = after;
        } else {
            return Err(
                "a `$` that begins neither `${NAME}` nor `${NAME:-default}`; write `$$` for a dollar".to_owned()
            );
        }
        let Some((before, after)) = rest.split_once('$') else { break };
        result.push_str(before);
        rest = after;
    }
    result.push_str(rest);
    Ok(Some(result))
}

/// The value of what stands between the braces.
fn value(inside: &str, lookup: impl Fn(&str) -> Result<Option<String>, String>) -> Result<String, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let fits = |(index, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (index > 0 && c.is_ascii_digit());
    if name.is_empty() || !name.chars().enumerate().all(fits) {
        return Err(format!("`${{{inside}}}` names no variable; write `${{NAME}}` or `${{NAME:-default}}`"));
    }
    match (lookup(name)?, default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!("the variable {name} is not set; set it, or write `${{{name}:-default}}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_environment(text: &str) -> Result<Option<String>, String> {
        substitute(text, |name| match name {
            "SET" => Ok(Some("value".to_owned())),
            "EMPTY" => Ok(Some(String::new())),
            "TRICK" => Ok(Some("${SET}$$".to_owned())),
            "BINARY" => Err("not UTF-8".to_owned()),
            _ => Ok(None),
        })
    }

    #[test]
    fn a_variable_is_replaced_by_its_value_or_else_by_its_default() {
        for (text, expected) in [
            ("${SET}", "value"),
            ("a${SET}b${SET}c", "avaluebvaluec"),
            ("${SET:-other}", "value"),
            ("${UNSET:-other}", "other"),
            ("${UNSET:-}", ""),
            ("${EMPTY}", ""),
            ("${EMPTY:-other}", "other"),
            ("$$", "$"),
            ("$${SET}", "${SET}"),
            ("pa$$$$word", "pa$$word"),
            ("${UNSET:-a:-b}", "a:-b"),
            // What a variable holds is a value, not a template.
            ("${TRICK}", "${SET}$$"),
        ] {
            assert_eq!(with_environment(text), Ok(Some(expected.to_owned())), "{text}");
        }
        assert_eq!(with_environment("no dollar at all"), Ok(None));
    }

    #[test]
    fn what_cannot_be_replaced_is_refused_with_what_would_be_right() {
        for (text, expected) in [
            ("${UNSET}", "the variable UNSET is not set; set it, or write `${UNSET:-default}`"),
            ("$SET", "write `$$` for a dollar"),
            ("costs 5$", "write `$$` for a dollar"),
            ("${SET", "write `$$` for a dollar"),
            ("${}", "names no variable"),
            ("${1A}", "names no variable"),
            ("${A B}", "names no variable"),
            ("${:-x}", "names no variable"),
            ("${BINARY}", "not UTF-8"),
        ] {
            let error = with_environment(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
