//! Every key in every source, and what the errors say. Files are real ones, in a folder of the test's own.

mod servers;
mod shown;
mod sources;
mod values;

use std::fs;

use tempfile::TempDir;

use super::*;

/// The sources of one test, and the folder that its file is in.
struct Given {
    folder: TempDir,
    sources: Sources,
}

/// Nothing but three primaries, by flag.
fn three_primaries() -> Given {
    ["a:1", "b:2", "c:3"].into_iter().fold(nothing(), |given, primary| given.entry("--primary", "primaries", primary))
}

fn nothing() -> Given {
    Given { folder: TempDir::new().expect("a folder"), sources: Sources::default() }
}

impl Given {
    fn file(mut self, text: impl AsRef<[u8]>) -> Self {
        let path = self.folder.path().join("redlock.yaml");
        fs::write(&path, text).expect("written");
        self.sources.file = Some(path);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        let name = format!("--set {key}");
        self.sources.flags.push(Flag { name, key: key.to_owned(), value: value.to_owned(), entry: false });
        self
    }

    fn entry(mut self, name: &str, key: &str, value: &str) -> Self {
        let flag = Flag { name: name.to_owned(), key: key.to_owned(), value: value.to_owned(), entry: true };
        self.sources.flags.push(flag);
        self
    }

    /// A key by one of the three sources; `value` is written as it is.
    fn key(self, source: Source, key: &Key, value: &str) -> Self {
        match source {
            Source::File => self.file(yaml(key.path, value)),
            Source::Variable => self.variable(&key.variable(), value),
            Source::Flag => self.flag(key.path, value),
        }
    }

    fn load(&self) -> Result<Effective, String> {
        Effective::load(&self.sources).map_err(|problems| self.without_folder(&problems.to_string()))
    }

    fn config(&self) -> Config {
        self.load().expect("a valid configuration").config
    }

    fn refusal(&self) -> String {
        self.load().map(|effective| effective.to_yaml()).expect_err("a wrong configuration")
    }

    fn warnings(&self) -> Vec<String> {
        let effective = self.load().expect("a valid configuration");
        effective.warnings.iter().map(|warning| self.without_folder(&warning.to_string())).collect()
    }

    fn yaml(&self) -> String {
        self.without_folder(&self.load().expect("a valid configuration").to_yaml())
    }

    fn without_folder(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }

    /// The path of a file beside the configuration file.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Source {
    File,
    Variable,
    Flag,
}

const SOURCES: [Source; 3] = [Source::File, Source::Variable, Source::Flag];

impl Source {
    /// What an error begins with when a key's value came from here.
    fn place(self, key: &Key) -> String {
        let line = if key.path.contains('.') { 2 } else { 1 };
        match self {
            Self::File => format!("redlock.yaml:{line}: {}: ", key.path),
            Self::Variable => format!("{}: {}: ", key.variable(), key.path),
            Self::Flag => format!("--set {}: {}: ", key.path, key.path),
        }
    }
}

fn yaml(path: &str, value: &str) -> String {
    match path.split_once('.') {
        Some((section, name)) => format!("{section}:\n  {name}: {value}\n"),
        None => format!("{path}: {value}\n"),
    }
}

/// Three primaries, and the neighbours that a key's whole range needs, at values that leave it free.
fn room_for(key: &Key) -> Given {
    let neighbour = match key.path {
        "node_timeout_ms" => Some(("silence_timeout_ms", "600000")),
        "silence_timeout_ms" => Some(("node_timeout_ms", "1")),
        "max_ttl_ms" => Some(("fence_retention_ms", "31536000000")),
        "fence_retention_ms" => Some(("max_ttl_ms", "1000")),
        "limits.buffer_bytes" => Some(("limits.output_buffer_bytes", "1073741824")),
        "limits.output_buffer_bytes" => Some(("limits.buffer_bytes", "4096")),
        _ => None,
    };
    neighbour.into_iter().fold(three_primaries(), |given, (key, value)| given.flag(key, value))
}
