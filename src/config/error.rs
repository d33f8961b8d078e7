//! What is wrong with a configuration, and where: a place, a key, a sentence.
//!
//! Whoever starts a proxy should be able to mend everything in one go, so problems are collected and told together,
//! one per line. A sentence says what was wrong and what would be right; it never quotes a value that may be a secret.

use std::fmt;
use std::sync::Arc;

/// Where a value came from, as errors, warnings and `check` name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A configuration file, and the line where that is known: `redlock.yaml:12`.
    File(Arc<str>, Option<usize>),
    /// An environment variable.
    Variable(String),
    /// A flag, with its dashes: `--primary`, `--set max_ttl_ms`.
    Flag(String),
    /// Nobody gave the value.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name, Some(line)) => write!(f, "{name}:{line}"),
            Self::File(name, None) => f.write_str(name),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One thing to say about one key, shown as `place: key: text`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where to look.
    pub place: Place,
    /// Which key, as a path (`limits.connections`, `primaries[2]`); empty when it is about the whole source.
    pub key: String,
    /// What is the matter, and what would be right.
    pub text: String,
}

/// A finding that does not keep the proxy from starting.
pub type Warning = Finding;

impl Finding {
    pub(super) fn new(place: Place, key: impl Into<String>, text: impl Into<String>) -> Self {
        Self { place, key: one_line(&key.into()), text: one_line(&text.into()) }
    }
}

/// Without control characters: one finding is one line, whatever somebody has named a key or a file.
pub(super) fn one_line(text: &str) -> String {
    text.replace(char::is_control, "?")
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place != Place::Default {
            write!(f, "{}: ", self.place)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// Everything that is wrong with a configuration: at least one finding; the file's first, from its top down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Finding>);

impl Problems {
    /// `None` when nothing was found.
    pub(super) fn new(mut findings: Vec<Finding>) -> Option<Self> {
        // Stable and by place only: what is wrong with one line stays in the order in which it was found.
        findings.sort_by(|a, b| a.place.cmp(&b.place));
        if findings.is_empty() { None } else { Some(Self(findings)) }
    }

    /// The findings, in the order in which they are shown.
    pub fn findings(&self) -> &[Finding] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
