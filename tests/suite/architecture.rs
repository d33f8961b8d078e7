//! What ARCHITECTURE.md says of the sources, read off the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Longer than this, a file holds more than one thing.
const LONGEST_FILE: usize = 400;

/// One source file; its path from the root of the project.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Its lines that are no comments, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The lines of code that are part of the program, not of its tests.
    fn program(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = if self.is_test() { 0 } else { self.tests_begin() };
        self.code().take_while(move |(number, _)| *number < tests)
    }

    /// A file of its own that only tests compile.
    fn is_test(&self) -> bool {
        !self.path.starts_with("src/")
            || self.path.ends_with("_tests.rs")
            || self.path.ends_with("/tests_support.rs")
            || self.path.contains("/tests/")
    }

    /// The line at which a file's own tests begin: they are what it ends with.
    fn tests_begin(&self) -> usize {
        let mut lines = self.text.lines().enumerate();
        let begin = lines.find(|(_, line)| *line == "#[cfg(test)]").map(|(index, _)| index + 1);
        begin.unwrap_or(usize::MAX)
    }

    /// The module of the crate that it belongs to: the first part of its path below `src/`.
    fn module(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src/")?;
        let module = below.split('/').next()?;
        Some(module.strip_suffix(".rs").unwrap_or(module))
    }
}

/// Every Rust source file below these folders.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| Path::new(ROOT).join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                // What programs of other workspaces build is not ours.
                if path.file_name().is_some_and(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                let path = path.strip_prefix(ROOT).expect("below the root").display().to_string();
                sources.push(Source { path, text });
            }
        }
    }
    assert!(sources.len() > 10, "these are not the sources");
    sources
}

/// The modules in the order in which ARCHITECTURE.md lists them.
fn order() -> Vec<String> {
    let text = fs::read_to_string(Path::new(ROOT).join("ARCHITECTURE.md")).expect("it exists");
    let (_, list) = text.split_once("names only modules before it in this list:").expect("the list is there");
    let (list, _) = list.split_once('.').expect("a sentence ends");
    let order: Vec<String> = list.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(order.len() > 10, "{order:?}");
    order
}

/// The modules that a line of code names by `crate::`.
fn named(line: &str) -> Vec<String> {
    let behind = line.split("crate::").skip(1);
    let names = behind.flat_map(|rest| match rest.strip_prefix('{') {
        Some(list) => list.split(',').map(str::trim).collect::<Vec<_>>(),
        None => vec![rest],
    });
    let word = |name: &str| name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    names.map(word).filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_list_of_modules_is_complete() {
    let listed: BTreeSet<String> = order().into_iter().collect();
    let modules = sources(&["src"]);
    let modules = modules.iter().filter_map(Source::module).filter(|module| !["lib", "main"].contains(module));
    // A sibling that holds a module's tests is no module.
    let modules = modules.filter(|module| !module.ends_with("_tests")).map(str::to_owned).collect();
    assert_eq!(listed, modules);
}

#[test]
fn a_module_names_only_modules_before_it() {
    let order = order();
    let place = |module: &str| order.iter().position(|listed| listed == module);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for source in sources(&["src"]) {
        let Some(own) = source.module().and_then(place) else { continue };
        for (number, line) in source.program() {
            for other in named(line) {
                seen += 1;
                match place(&other) {
                    Some(other) if other <= own => {}
                    _ => wrong.push(format!("{}:{number}: {other}", source.path)),
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} names were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn dependencies_are_named_only_in_their_places() {
    let places = [
        ("redis::", "src/primary/"),
        ("redis_protocol::", "src/protocol/"),
        ("serde_yaml::", "src/config/raw.rs"),
        ("tracing_subscriber::", "src/telemetry.rs"),
    ];
    for (name, place) in places {
        let mut found = 0;
        for source in sources(&["src"]) {
            for (number, line) in source.code() {
                let is_word =
                    |(at, _): (usize, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
                if line.match_indices(name).any(is_word) {
                    found += 1;
                    assert!(source.path.starts_with(place), "{}:{number} names {name}", source.path);
                }
            }
        }
        assert!(found > 0, "nobody names {name}");
    }
}

#[test]
fn nothing_unwraps_outside_of_tests() {
    for source in sources(&["src"]) {
        for (number, line) in source.program() {
            let is_call = [".unwrap()", "todo!(", "unimplemented!(", "dbg!("].iter().any(|call| line.contains(call));
            assert!(!is_call, "{}:{number}: {line}", source.path);
        }
    }
}

#[test]
fn no_test_is_ignored() {
    for source in sources(&["src", "tests", "bench", "fuzz"]) {
        for (number, line) in source.code() {
            assert!(!line.trim_start().starts_with("#[ignore"), "{}:{number}", source.path);
        }
    }
}

#[test]
fn files_are_short_enough_to_be_one_thing() {
    let long: Vec<String> = sources(&["src", "tests", "bench", "fuzz"])
        .into_iter()
        .map(|source| (source.text.lines().count(), source.path))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_file_begins_with_its_story() {
    for source in
        sources(&["src", "tests", "bench", "fuzz"]).into_iter().filter(|source| !source.path.ends_with("_tests.rs"))
    {
        assert!(source.text.starts_with("//! "), "{} does not say what it is for", source.path);
    }
}
