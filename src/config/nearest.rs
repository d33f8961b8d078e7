//! Names that nobody knows, and what was probably meant.

use super::keys::{KEYS, Key, VARIABLE_PREFIX};

/// What to say about a key that does not exist.
pub(super) fn unknown_key(name: &str) -> String {
    match nearest(name) {
        Some(key) => format!("is not a key; did you mean `{}`?", key.path),
        None => "is not a key; `redlock-proxy check --primary localhost:6379` shows all there are".to_owned(),
    }
}

/// What to say about a variable that begins like ours and is none.
pub(super) fn unknown_variable(name: &str) -> String {
    let rest = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name);
    // What Kubernetes puts into every container beside a service that is called redlock-proxy.
    let of_service_link = rest.starts_with("SERVICE_HOST")
        || rest.starts_with("SERVICE_PORT")
        || rest == "PORT"
        || rest.strip_prefix("PORT_").is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()));
    if of_service_link {
        return "is not a key's variable; if Kubernetes sets it for a service of this name, give the pod \
                `enableServiceLinks: false`"
            .to_owned();
    }
    match nearest(&rest.to_lowercase().replace("__", ".")) {
        Some(key) => format!("is not a key's variable; did you mean {}?", key.variable()),
        None => "is not a key's variable; `redlock-proxy check --primary localhost:6379` shows all keys there are"
            .to_owned(),
    }
}

/// The key whose path, or whose name within its section, is spelled most like `name`; `None` when none is near.
fn nearest(name: &str) -> Option<&'static Key> {
    let bare = name.rsplit('.').next().unwrap_or(name);
    let distance = |key: &Key| {
        let (_, own) = key.section_and_name();
        // A right name in the wrong section, or without its unit, is as near as one slip of the pen.
        let without_unit = own.strip_prefix(bare).is_some_and(|rest| matches!(rest, "_ms" | "_bytes"));
        let by_name = if without_unit { 1 } else { edits(bare, own) + usize::from(name != own) };
        edits(name, key.path).min(by_name)
    };
    let (distance, key) = KEYS.iter().map(|&key| (distance(key), key)).min_by_key(|(distance, _)| *distance)?;
    (distance <= name.chars().count() / 3).then_some(key)
}

/// How many characters must be put in, taken out or replaced to make one of the other (Levenshtein's distance).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, &b) in row.iter_mut().skip(1).zip(&to) {
            let replaced = diagonal + usize::from(a != b);
            diagonal = *cell;
            left = replaced.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_the_key_that_was_meant() {
        for (name, expected) in [
            ("primarys", "primaries"),
            ("max_ttl", "max_ttl_ms"),
            ("max-ttl-ms", "max_ttl_ms"),
            ("limits.conections", "limits.connections"),
            ("connections", "limits.connections"),
            ("password", "auth.password"),
            ("tcp.connections", "limits.connections"),
            ("loglevel", "log.level"),
        ] {
            assert_eq!(nearest(name).map(|key| key.path), Some(expected), "{name}");
        }
        for name in ["", "x", "something else altogether"] {
            assert_eq!(nearest(name).map(|key| key.path), None, "{name}");
        }
    }

    #[test]
    fn what_kubernetes_sets_is_told_from_a_slip() {
        for name in ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_REDIS", "PORT", "PORT_6379_TCP_ADDR"] {
            let text = unknown_variable(&format!("REDLOCK_PROXY_{name}"));
            assert!(text.contains("enableServiceLinks: false"), "{name}: {text}");
        }
        assert!(unknown_variable("REDLOCK_PROXY_LIMITS__CONECTIONS").contains("REDLOCK_PROXY_LIMITS__CONNECTIONS?"));
    }

    #[test]
    fn edits_are_counted() {
        for (from, to, expected) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(edits(from, to), expected, "{from} to {to}");
        }
    }
}
