//! From what was written to what it means, one key at a time.
//!
//! Every reader takes a key of the table, checks the value against the key's own range and notes how `check` shows it.
//! A value that is wrong becomes a finding and the default stands in for it, so that the rest is read as well; nobody
//! gets a configuration in which that happened. Lists of servers are read in `servers.rs`.

use std::cmp::Ordering;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::address::Secret;
use super::error::{Finding, Place};
use super::keys::{Key, Kind, share};
use super::raw::Raw;
use super::settings::{Settings, read_text};
use super::show::{Shown, quote};
use crate::limits::SET_NAME_BYTES;
use crate::telemetry;

/// The settings, while they are being read.
pub(super) struct Values {
    pub(super) settings: Settings,
    pub(super) problems: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
    /// What `check` prints, in the order of reading.
    pub(super) shown: Vec<(&'static Key, Shown, Place)>,
}

/// A key that is read by the wrong reader: the two stand side by side in `mod.rs`, and every test would end here.
pub(super) fn misread(key: &Key) -> ! {
    unreachable!("the key {} is of another kind", key.path)
}

impl Values {
    pub(super) fn new(settings: Settings, problems: Vec<Finding>) -> Self {
        Self { settings, problems, warnings: Vec::new(), shown: Vec::new() }
    }

    /// Tells that the key's value is wrong.
    pub(super) fn wrong(&mut self, key: &Key, text: impl Into<String>) {
        let place = self.settings.place(key);
        self.problems.push(Finding::new(place, key.path, text));
    }

    /// Tells something about the key's value that keeps nothing from starting.
    pub(super) fn warn(&mut self, key: &Key, text: impl Into<String>) {
        let place = self.settings.place(key);
        self.warnings.push(Finding::new(place, key.path, text));
    }

    /// Whether somebody gave the key.
    pub(super) fn is_given(&self, key: &Key) -> bool {
        self.settings.given(key).is_some()
    }

    /// A whole number, or the default.
    pub(super) fn integer(&mut self, key: &'static Key) -> u64 {
        let Kind::Integer { range, zero, default } = &key.kind else { misread(key) };
        let fits = |&number: &u64| range.contains(&number) || (zero.is_some() && number == 0);
        let value = self.value(key, |raw| {
            let number = integer(raw, &key.range())?;
            u64::try_from(number).ok().filter(fits).ok_or_else(|| out_of_range(number, key))
        });
        let value = value.unwrap_or(*default);
        self.show(key, value.to_string());
        value
    }

    /// A share in parts per million, or the default.
    pub(super) fn share(&mut self, key: &'static Key) -> u32 {
        let Kind::Share { range, default } = &key.kind else { misread(key) };
        let value = self.value(key, |raw| {
            // A float's shortest decimal form is what was written, as far as it fits six places.
            let number = match raw {
                Raw::Integer(number) => number.to_string(),
                Raw::Number(number) => number.to_string(),
                Raw::Loose { text, quotable } => match text.trim().parse::<f64>() {
                    Ok(number) => number.to_string(),
                    Err(_) => return Err(format!("`{quotable}` is not a number; right is: {}", key.range())),
                },
                other => return Err(wrong_kind(other, "a number", &key.range())),
            };
            let places = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            match parts_per_million(&number) {
                Some(parts) if range.contains(&parts) => Ok(parts),
                Some(_) | None if places <= 6 => Err(out_of_range(number, key)),
                Some(_) | None => Err(format!("{number} has more than six decimal places; write fewer")),
            }
        });
        let value = value.unwrap_or(*default);
        self.show(key, share(value));
        value
    }

    /// Text of a bounded length.
    pub(super) fn text(&mut self, key: &'static Key) -> String {
        let Kind::Text(longest) = &key.kind else { misread(key) };
        let value = self.value(key, |raw| {
            let text = text(raw)?;
            if text.len() > *longest {
                return Err(format!("is {} bytes long; right is: {}", text.len(), key.range()));
            }
            Ok(text.to_owned())
        });
        let value = value.unwrap_or_default();
        self.show(key, quote(&value));
        value
    }

    /// The name of a set of primaries.
    pub(super) fn set_name(&mut self, key: &'static Key) -> String {
        let Kind::SetName(default) = &key.kind else { misread(key) };
        let value = self.value(key, |raw| {
            let name = text(raw)?;
            if is_set_name(name) { Ok(name.to_owned()) } else { Err(not_quite(raw, "is no such name", &key.range())) }
        });
        let value = value.unwrap_or_else(|| (*default).to_owned());
        self.show(key, quote(&value));
        value
    }

    /// Which of the key's words it is, from 0.
    pub(super) fn choice(&mut self, key: &'static Key) -> usize {
        let Kind::Choice(words) = &key.kind else { misread(key) };
        let value = self.value(key, |raw| {
            let word = text(raw)?;
            words.iter().position(|known| *known == word).ok_or_else(|| not_quite(raw, "is not known", &key.range()))
        });
        let value = value.unwrap_or(0);
        self.show(key, words.get(value).copied().unwrap_or_default());
        value
    }

    /// A tracing filter.
    pub(super) fn filter(&mut self, key: &'static Key) -> String {
        let Kind::Filter(default) = &key.kind else { misread(key) };
        let value = self.value(key, |raw| {
            let filter = text(raw)?.trim();
            telemetry::check_filter(filter)
                .map_err(|reason| not_quite(raw, "is not a filter", &format!("{} ({reason})", key.range())))?;
            Ok(filter.to_owned())
        });
        let value = value.unwrap_or_else(|| (*default).to_owned());
        self.show(key, quote(&value));
        value
    }

    /// How many primaries must agree, if that was said.
    pub(super) fn quorum(&mut self, key: &'static Key) -> Option<i128> {
        self.value(key, |raw| match raw {
            Raw::Nothing => Ok(None),
            raw => integer(raw, &key.range()).map(Some),
        })
        .flatten()
    }

    /// A password that stands in one key or in the file that another names; empty is none.
    pub(super) fn password(&mut self, key: &'static Key, file_key: &'static Key) -> Option<Secret> {
        let strength = |values: &Self, key| values.settings.given(key).map(|given| given.origin.strength());
        let (inline, file) = (strength(self, key), strength(self, file_key));
        let mut password = self.value(key, secret).flatten();
        let mut path = self.value(file_key, secret_path).flatten();
        match inline.cmp(&file) {
            // The stronger source has the last word, also when that is an empty password.
            Ordering::Greater => path = None,
            Ordering::Less if path.is_some() => password = None,
            Ordering::Equal if password.is_some() && path.is_some() => {
                self.wrong(file_key, format!("stands beside `{}`; keep one of the two", key.path));
                path = None;
            }
            Ordering::Less | Ordering::Equal => {}
        }
        self.show(key, password.as_ref().map_or("null".to_owned(), |_| quote("<redacted>")));
        self.show(file_key, path.as_deref().map_or("null".to_owned(), quote));
        let Some(path) = path else { return password };
        let place = self.settings.place(file_key);
        self.password_file(&path, &place, file_key.path)
    }

    /// The first line of a file that holds a password.
    pub(super) fn password_file(&mut self, path: &str, place: &Place, key: &str) -> Option<Secret> {
        let mut wrong = |text: String| self.problems.push(Finding::new(place.clone(), key, text));
        let text = match read_text(Path::new(path)) {
            Ok(text) => text,
            Err((_, reason)) => {
                wrong(format!("{} {reason}; it must be a readable file whose first line is the password", quote(path)));
                return None;
            }
        };
        let line = text.lines().next().unwrap_or_default();
        if line.is_empty() {
            wrong(format!("{}: its first line is empty; it must be the password", quote(path)));
            return None;
        }
        let others_may_read = Path::new(path).metadata().is_ok_and(|file| file.permissions().mode() & 0o004 != 0);
        if others_may_read {
            let text = format!("others may read {}; `chmod o-r` it", quote(path));
            self.warnings.push(Finding::new(place.clone(), key, text));
        }
        Some(Secret::new(line.to_owned()))
    }

    /// The value as `read` understands it; `None` when nobody gave one, or it is wrong and was told of.
    fn value<T>(&mut self, key: &Key, read: impl FnOnce(&Raw) -> Result<T, String>) -> Option<T> {
        let read = match &self.settings.given(key)?.value {
            Raw::Refused => return None,
            raw => read(raw),
        };
        read.map_err(|text| self.wrong(key, text)).ok()
    }

    /// Notes how `check` shows the key's value.
    pub(super) fn show(&mut self, key: &'static Key, value: impl Into<String>) {
        let place = self.settings.place(key);
        self.shown.push((key, Shown::Value(value.into()), place));
    }

    /// Notes how `check` shows a list: its lines.
    pub(super) fn show_list(&mut self, key: &'static Key, lines: Vec<String>) {
        let place = self.settings.place(key);
        self.shown.push((key, Shown::List(lines), place));
    }
}

/// A value that is text but not the right one; quotes it as it was written.
fn not_quite(raw: &Raw, what: &str, right: &str) -> String {
    match raw {
        Raw::Text(text) | Raw::Loose { quotable: text, .. } => {
            format!("`{}` {what}; right is: {right}", text.escape_debug())
        }
        other => wrong_kind(other, "text", right),
    }
}

fn out_of_range(number: impl std::fmt::Display, key: &Key) -> String {
    format!("{number} is out of range; right is: {}", key.range())
}

fn wrong_kind(raw: &Raw, wanted: &str, range: &str) -> String {
    format!("is {}, not {wanted}; right is: {range}", raw.describe())
}

fn integer(raw: &Raw, range: &str) -> Result<i128, String> {
    match raw {
        Raw::Integer(number) => Ok(*number),
        Raw::Loose { text, .. } => text.trim().parse().map_err(|_| not_quite(raw, "is not an integer", range)),
        Raw::Text(_) => Err(format!("is text, not an integer; write digits without quotes; right is: {range}")),
        other => Err(wrong_kind(other, "an integer", range)),
    }
}

/// A password is never quoted, whatever is wrong with it.
pub(super) fn secret(raw: &Raw) -> Result<Option<Secret>, String> {
    match raw {
        Raw::Nothing => Ok(None),
        raw => text(raw).map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()).map(Secret::new)),
    }
}

/// A path; nothing is none.
fn secret_path(raw: &Raw) -> Result<Option<String>, String> {
    match raw {
        Raw::Nothing => Ok(None),
        raw => text(raw).map(|path| Some(path.to_owned())),
    }
}

/// Text, wherever it came from.
pub(super) fn text(raw: &Raw) -> Result<&str, String> {
    match raw {
        Raw::Text(text) | Raw::Loose { text, .. } => Ok(text),
        Raw::Nothing => Err("has no value; write text".to_owned()),
        Raw::Boolean(_) | Raw::Integer(_) | Raw::Number(_) => {
            Err(format!("is {}, not text; put it in quotes", raw.describe()))
        }
        other => Err(format!("is {}, not text", other.describe())),
    }
}

/// A decimal number between 0 and 4294 with at most six decimal places, in millionths.
fn parts_per_million(number: &str) -> Option<u32> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if decimals.len() > 6 || !whole.bytes().chain(decimals.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let millionths = if decimals.is_empty() { 0 } else { format!("{decimals:0<6}").parse().ok()? };
    whole.parse::<u32>().ok()?.checked_mul(1_000_000)?.checked_add(millionths)
}

/// Whether this may be the name of a set of primaries.
pub fn is_set_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=SET_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_allowed)
}
