//! Who gave which key: flags before environment before file before default.
//!
//! This step knows names, not meanings: it finds unknown keys, keys given twice and sections that are none, and keeps
//! for each key the strongest value with its origin. A list from a stronger source replaces the whole list.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Finding, Place, one_line};
use super::keys::{KEYS, Key, VARIABLE_PREFIX};
use super::nearest::{unknown_key, unknown_variable};
use super::raw::{self, Raw, Step};
use super::substitute::substitute;
use crate::limits::CONFIG_FILE_BYTES;

/// One value given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The flag as errors name it: `--primary`, `--set max_ttl_ms`.
    pub name: String,
    /// The key that it sets.
    pub key: String,
    /// Its value; as in the environment, a list's entries are separated by commas.
    pub value: String,
    /// Whether the value is one entry of a list, which repetitions make longer (`--listen`, `--primary`).
    pub entry: bool,
}

/// Everything a configuration is made of.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
    /// The environment: `REDLOCK_PROXY_…`, and what `${NAME}` in the file refers to.
    pub environment: Vec<(OsString, OsString)>,
    /// The flags, in their order.
    pub flags: Vec<Flag>,
}

/// Where a value came from, with what it takes to name the line of each of its parts.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    File { document: Arc<Document>, path: Vec<Step> },
    Variable(String),
    Flag(String),
}

/// A configuration file's name and text.
#[derive(Debug)]
pub(super) struct Document {
    name: Arc<str>,
    text: String,
}

impl Document {
    fn place(&self, path: &[Step]) -> Place {
        Place::File(self.name.clone(), raw::line(&self.text, path))
    }
}

impl Origin {
    /// The place of the value, or of one of its parts.
    pub(super) fn place(&self, part: &[Step]) -> Place {
        match self {
            Self::File { document, path } => document.place(&[path, part].concat()),
            Self::Variable(name) => Place::Variable(name.clone()),
            Self::Flag(name) => Place::Flag(name.clone()),
        }
    }

    /// Flags are stronger than variables, and those than the file.
    pub(super) fn strength(&self) -> u8 {
        match self {
            Self::File { .. } => 0,
            Self::Variable(_) => 1,
            Self::Flag(_) => 2,
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) value: Raw,
    pub(super) origin: Origin,
}

/// The strongest value of each key that anybody gave.
#[derive(Debug, Default)]
pub(super) struct Settings {
    given: HashMap<&'static str, Given>,
    /// The file's name, for what is wrong with the file as a whole.
    file: Option<Arc<str>>,
    /// Whether there is a file of which nothing could be read.
    unreadable: bool,
}

impl Settings {
    /// Reads all sources. What could not be read or understood is among the findings, and missing from the settings.
    pub(super) fn read(sources: &Sources) -> (Self, Vec<Finding>) {
        let mut reader = Reader { settings: Self::default(), findings: Vec::new(), environment: &sources.environment };
        if let Some(path) = &sources.file {
            reader.read_file(path);
        }
        reader.read_environment();
        reader.read_flags(&sources.flags);
        (reader.settings, reader.findings)
    }

    pub(super) fn given(&self, key: &Key) -> Option<&Given> {
        self.given.get(key.path)
    }

    /// Where the key's value came from.
    pub(super) fn place(&self, key: &Key) -> Place {
        self.given(key).map_or(Place::Default, |given| given.origin.place(&[]))
    }

    /// The place of a required key that nobody gave: the file, if there is one. `None` when nobody can tell whether
    /// it was given.
    pub(super) fn place_of_missing(&self) -> Option<Place> {
        let place = self.file.clone().map_or(Place::Default, |name| Place::File(name, None));
        if self.unreadable { None } else { Some(place) }
    }
}

struct Reader<'a> {
    settings: Settings,
    findings: Vec<Finding>,
    environment: &'a [(OsString, OsString)],
}

impl Reader<'_> {
    fn wrong(&mut self, place: Place, key: impl Into<String>, text: impl Into<String>) {
        self.findings.push(Finding::new(place, key, text));
    }

    /// Nothing of the file is known: what is missing in it is not worth telling.
    fn unreadable(&mut self, place: Place, text: String) {
        self.settings.unreadable = true;
        self.wrong(place, "", text);
    }

    fn read_file(&mut self, path: &Path) {
        let name: Arc<str> = one_line(&path.to_string_lossy()).into();
        self.settings.file = Some(name.clone());
        let text = match read_text(path) {
            Ok(text) => text,
            Err((line, reason)) => return self.unreadable(Place::File(name, line), reason),
        };
        let root = match raw::parse(&text) {
            Ok(root) => root,
            Err(error) => {
                return self.unreadable(Place::File(name, error.line), format!("is not YAML: {}", error.reason));
            }
        };
        let document = Arc::new(Document { name: name.clone(), text });
        match root {
            Raw::Map(entries) => self.read_section("", &[], &document, entries),
            Raw::Nothing => {
                self.unreadable(Place::File(name, None), "is empty; name at least `primaries:`".to_owned());
            }
            other => {
                let text = format!("is {}; it must be `key: value` lines, as in `attempts: 3`", other.describe());
                self.unreadable(document.place(&[]), text);
            }
        }
    }

    /// Takes the entries of the whole document (`section` is empty) or of one section.
    fn read_section(&mut self, section: &str, parent: &[Step], document: &Arc<Document>, entries: Vec<(String, Raw)>) {
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (name, mut value) in entries {
            let occurrence = *seen.entry(name.clone()).and_modify(|n| *n += 1).or_insert(0);
            let full = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
            let mut path = parent.to_vec();
            path.push(Step::Key(name.clone(), occurrence));
            let origin = Origin::File { document: document.clone(), path: path.clone() };
            let key = KEYS.iter().find(|key| key.path == full && key.section_and_name().0 == section);
            let is_section =
                section.is_empty() && !name.is_empty() && KEYS.iter().any(|key| key.section_and_name().0 == name);
            if occurrence > 0 && (key.is_some() || is_section) {
                self.wrong(origin.place(&[]), full, "stands here a second time; keep one of the two");
            } else if let Some(key) = key {
                if !self.substitute(key.path, &origin, &mut Vec::new(), &mut value) {
                    value = Raw::Refused;
                }
                self.settings.given.insert(key.path, Given { value, origin });
            } else if is_section {
                match value {
                    Raw::Map(entries) => self.read_section(&name, &path, document, entries),
                    // A section of which every key is commented out.
                    Raw::Nothing => {}
                    other => {
                        let text =
                            format!("is {}; it is a section, its keys stand indented below it", other.describe());
                        self.wrong(origin.place(&[]), full, text);
                    }
                }
            } else {
                let nested = KEYS.iter().find(|key| section.is_empty() && key.path == name);
                let text = match nested.map(|key| key.section_and_name()) {
                    Some((section, name)) => format!("write `{section}:` and `{name}:` indented below it"),
                    None => unknown_key(&full),
                };
                self.wrong(origin.place(&[]), full, text);
            }
        }
    }

    /// Puts variables into every text of a value. False when that failed somewhere.
    fn substitute(&mut self, key: &str, origin: &Origin, part: &mut Vec<Step>, value: &mut Raw) -> bool {
        match value {
            Raw::Text(text) => match substitute(text, |name| self.variable(name)) {
                Ok(None) => true,
                Ok(Some(filled)) => {
                    *value = Raw::Loose { text: filled, quotable: std::mem::take(text) };
                    true
                }
                Err(reason) => {
                    self.wrong(origin.place(part), named(key, part), reason);
                    false
                }
            },
            Raw::List(entries) => {
                let mut all = true;
                for (index, entry) in entries.iter_mut().enumerate() {
                    part.push(Step::Item(index));
                    all &= self.substitute(key, origin, part, entry);
                    part.pop();
                }
                all
            }
            Raw::Map(entries) => {
                let mut all = true;
                for (name, entry) in entries {
                    part.push(Step::Key(name.clone(), 0));
                    all &= self.substitute(key, origin, part, entry);
                    part.pop();
                }
                all
            }
            _ => true,
        }
    }

    /// The variable that `${NAME}` refers to.
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        match self.environment.iter().find(|(variable, _)| variable == name) {
            Some((_, value)) => value
                .to_str()
                .map(|value| Some(value.to_owned()))
                .ok_or_else(|| format!("the variable {name} is not UTF-8")),
            None => Ok(None),
        }
    }

    fn read_environment(&mut self) {
        for (name, value) in self.environment {
            let name = name.to_string_lossy();
            if !name.starts_with(VARIABLE_PREFIX) {
                continue;
            }
            let place = Place::Variable(one_line(&name));
            let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
                let text = unknown_variable(&name);
                self.wrong(place, "", text);
                continue;
            };
            match value.to_str() {
                Some(text) => {
                    let origin = Origin::Variable(name.into_owned());
                    self.settings.given.insert(key.path, Given { value: Raw::loose(text), origin });
                }
                None => self.wrong(place, key.path, "is not UTF-8"),
            }
        }
    }

    fn read_flags(&mut self, flags: &[Flag]) {
        for flag in flags {
            let place = Place::Flag(flag.name.clone());
            let Some(key) = KEYS.iter().find(|key| key.path == flag.key) else {
                let text = unknown_key(&flag.key);
                self.wrong(place, flag.key.clone(), text);
                continue;
            };
            let value = Raw::loose(flag.value.clone());
            let value = if flag.entry { Raw::List(vec![value]) } else { value };
            match self.settings.given.get_mut(key.path) {
                Some(Given { value: Raw::List(entries), origin: Origin::Flag(name) })
                    if flag.entry && *name == flag.name =>
                {
                    entries.push(Raw::loose(flag.value.clone()));
                }
                Some(Given { origin: Origin::Flag(other), .. }) => {
                    let text = format!("is given a second time, by {other} before; keep one of the two");
                    self.wrong(place, key.path, text);
                }
                _ => {
                    let origin = Origin::Flag(flag.name.clone());
                    self.settings.given.insert(key.path, Given { value, origin });
                }
            }
        }
    }
}

/// A part of a key's value, as errors name it: `primaries[2].user`.
pub(super) fn named(key: &str, part: &[Step]) -> String {
    part.iter().fold(key.to_owned(), |path, step| match step {
        Step::Key(name, _) => format!("{path}.{name}"),
        Step::Item(index) => format!("{path}[{index}]"),
    })
}

/// Reads a small text file; else the line where it goes wrong, where there is one, and the reason.
pub(super) fn read_text(path: &Path) -> Result<String, (Option<usize>, String)> {
    let unreadable = |error| (None, format!("cannot be read: {error}"));
    let mut bytes = Vec::new();
    let most = u64::try_from(CONFIG_FILE_BYTES).unwrap_or(u64::MAX);
    File::open(path).map_err(unreadable)?.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > CONFIG_FILE_BYTES {
        return Err((None, format!("is larger than {CONFIG_FILE_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        (Some(before.filter(|&&byte| byte == b'\n').count() + 1), "is not UTF-8".to_owned())
    })
}
