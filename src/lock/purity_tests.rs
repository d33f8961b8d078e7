//! The promise of this module, read off its sources: no clock, no randomness, no I/O, no logging.

use std::fs;
use std::path::Path;

/// Names that no line of the core may bear, wherever they come from.
const BANNED: &[&str] = &[
    "Instant",
    "SystemTime",
    "tokio",
    "rand",
    "getrandom",
    "tracing",
    "net",
    "io",
    "fs",
    "env",
    "process",
    "thread",
    "print",
    "println",
    "eprint",
    "eprintln",
    "dbg",
];

/// The first offence of each line of `source`, up to its tests, which stand last.
fn offences(source: &str) -> Vec<String> {
    let (code, tests) = source.split_once("#[cfg(test)]").unwrap_or((source, "\nmod"));
    let unread = (!tests.starts_with("\nmod") && !tests.starts_with("\n#[path")).then(|| format!("unread: `{tests}`"));
    code.lines().filter_map(offence).chain(unread).collect()
}

fn offence(line: &str) -> Option<String> {
    let code = line.split("//").next()?;
    let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
    if let Some(banned) = words.find(|word| BANNED.contains(word)) {
        return Some(format!("`{banned}` in `{}`", line.trim()));
    }
    // What the core may not do, no module that it names may do for it.
    let named = code.split_once("crate::")?.1;
    (!named.starts_with("limits::")).then(|| format!("`crate::{named}`"))
}

#[test]
fn the_core_reads_no_clock_draws_no_randomness_does_no_io_and_logs_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lock");
    let mut read = Vec::new();
    for entry in fs::read_dir(folder).expect("the core's folder") {
        let path = entry.expect("an entry of the folder").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name.ends_with("_tests.rs") {
            continue;
        }
        assert!(
            path.extension().is_some_and(|extension| extension == "rs"),
            "{name}: this test reads files, not folders"
        );
        assert_eq!(offences(&fs::read_to_string(&path).expect("text")), Vec::<String>::new(), "{name}");
        read.push(name);
    }
    for name in ["acquire.rs", "extend.rs", "mod.rs", "name.rs", "release.rs", "tally.rs", "time.rs"] {
        assert!(read.iter().any(|read| read == name), "{name} was not read: {read:?}");
    }
}

#[test]
fn each_way_out_of_the_core_is_noticed() {
    for line in [
        "use std::time::Instant;",
        "    let now = std::time::Instant::now();",
        "use std::{fmt, io};",
        "use std::time::{Duration, SystemTime};",
        "use std::net::TcpStream;",
        "    getrandom::fill(&mut bytes)?;",
        "    let digit: u8 = rand::random();",
        "    tokio::spawn(async {});",
        "    tracing::debug!(?vote);",
        "    println!(\"{vote:?}\");",
        "use crate::counters::Counters;",
        "#[cfg(test)]\nuse std::time::Instant;",
    ] {
        assert_eq!(offences(line).len(), 1, "{line}");
    }
    for line in [
        "// No Instant here, no tokio either.",
        "use std::time::Duration;",
        "use crate::limits::PRIMARIES;",
        "    pub fn sign(random: [u8; 20]) -> Self {",
        "#[cfg(test)]\nmod tests {\n    use std::time::Instant;\n}",
    ] {
        assert_eq!(offences(line), Vec::<String>::new(), "{line}");
    }
}
