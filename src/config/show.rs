//! The effective configuration as YAML: what `check` prints.
//!
//! It can be loaded again, except that passwords are not in it.

use std::fmt::Write as _;

use super::address::{Address, Endpoint};
use super::error::Place;
use super::keys::Key;

/// A value as it is shown.
#[derive(Debug)]
pub(super) enum Shown {
    /// Behind the colon.
    Value(String),
    /// In lines of their own below the key.
    List(Vec<String>),
}

impl Shown {
    /// The lines of one server in a list. Its password is shown as the file that it came from, or as a mark.
    pub(super) fn endpoint(endpoint: &Endpoint, password_file: Option<&str>) -> Vec<String> {
        let address = match &endpoint.address {
            address @ Address::Tcp { .. } if endpoint.database != 0 => {
                quote(&format!("redis://{address}/{}", endpoint.database))
            }
            address => quote(&address.to_string()),
        };
        if endpoint.user.is_none() && endpoint.password.is_none() {
            return vec![format!("- {address}")];
        }
        let mut lines = vec![format!("- address: {address}")];
        if let Some(user) = &endpoint.user {
            lines.push(format!("  user: {}", quote(user)));
        }
        match password_file {
            Some(path) => lines.push(format!("  password_file: {}", quote(path))),
            None => lines.push(format!("  password: {}", quote("<redacted>"))),
        }
        lines
    }
}

/// Text as the configuration file has it: in double quotes, its dollars doubled.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '$' => quoted.push_str("$$"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Every key with its value, and where the value came from as a comment.
pub(super) fn document(keys: &[&Key], shown: &[(&'static Key, Shown, Place)]) -> String {
    let mut text = String::new();
    let mut open = "";
    for key in keys {
        let Some((_, shown, place)) = shown.iter().find(|(other, ..)| other.path == key.path) else { continue };
        let (section, name) = key.section_and_name();
        if section != open {
            let _ = writeln!(text, "{section}:");
            open = section;
        }
        let indent = if section.is_empty() { "" } else { "  " };
        match shown {
            Shown::Value(value) => {
                let _ = writeln!(text, "{indent}{name}: {value} # {place}");
            }
            Shown::List(lines) => {
                let _ = writeln!(text, "{indent}{name}: # {place}");
                for line in lines {
                    let _ = writeln!(text, "{indent}  {line}");
                }
            }
        }
    }
    text
}
