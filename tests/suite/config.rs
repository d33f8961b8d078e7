//! The configuration is one table: the sample file, `check`, the errors and the program agree.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use redlock_proxy::config::{Config, KEYS, Kind, Sources};
use tempfile::TempDir;

fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

/// Runs the program without any environment but the given.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redlock-proxy"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// A folder with one configuration file in it.
fn folder_with(yaml: &str) -> (TempDir, String) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("redlock.yaml");
    fs::write(&file, yaml).expect("written");
    (folder, file.display().to_string())
}

#[test]
fn the_sample_file_names_every_key_with_its_default_its_range_and_its_comment() {
    let sample = fs::read_to_string(repository("config/redlock-proxy.yaml")).expect("it is there");
    // The head of the file ends with its first empty line.
    let (_, keys) = sample.split_once("\n\n").expect("a head and keys");
    let mut rest = keys.lines().filter(|line| !line.is_empty());
    let mut open = "";
    for key in KEYS {
        let (section, name) = key.section_and_name();
        if section != open {
            assert_eq!(rest.next(), Some(format!("{section}:").as_str()));
            open = section;
        }
        let indent = if section.is_empty() { "" } else { "  " };
        assert_eq!(rest.next(), Some(format!("{indent}# {}", key.doc).as_str()), "the comment of {}", key.path);
        let value = key.default().map(|default| format!(" {default}")).unwrap_or_default();
        assert_eq!(rest.next(), Some(format!("{indent}{name}:{value} # {}", key.range()).as_str()));
        if matches!(key.kind, Kind::Primaries(_)) {
            for host in 1..=3 {
                assert_eq!(rest.next(), Some(format!("  - 10.0.0.{host}:6379").as_str()));
            }
        }
    }
    assert_eq!(rest.next(), None, "a line that belongs to no key");
}

#[test]
fn the_sample_file_changes_nothing_but_the_primaries() {
    let load = |sources: Sources| Config::load(&sources).expect("valid");
    let (sample, warnings) =
        load(Sources { file: Some(repository("config/redlock-proxy.yaml").into()), ..Sources::default() });
    assert_eq!(warnings, []);
    let primaries = ("REDLOCK_PROXY_PRIMARIES".into(), "10.0.0.1:6379,10.0.0.2:6379,10.0.0.3:6379".into());
    let (defaults, _) = load(Sources { environment: vec![primaries], ..Sources::default() });
    assert_eq!(format!("{sample:?}"), format!("{defaults:?}"));
}

#[test]
fn the_compose_file_takes_its_password_from_the_environment_or_has_none() {
    let file = repository("config/compose.yaml");
    let without = run(&["check", "--config", &file], &[]);
    assert_eq!(without.status.code(), Some(0));
    assert!(text(&without.stdout).contains("  password: null # "), "{}", text(&without.stdout));
    assert!(text(&without.stderr).starts_with("warning: "), "{}", text(&without.stderr));
    assert_eq!(text(&without.stderr).lines().count(), 1, "one warning, of the open door");
    let with = run(&["check", "--config", &file], &[("REDLOCK_PASSWORD", "hidden")]);
    assert_eq!((with.status.code(), text(&with.stderr)), (Some(0), ""));
    assert!(text(&with.stdout).contains("  password: \"<redacted>\" # "));
    for address in ["0.0.0.0:6379", "primary-1:6379", "primary-2:6379", "primary-3:6379"] {
        assert!(text(&with.stdout).contains(&format!("  - \"{address}\"\n")), "{address}");
    }
}

#[test]
fn check_shows_the_strongest_source_of_each_value() {
    let (_folder, file) = folder_with("attempts: 4\nretry_delay_ms: 30\nmax_ttl_ms: 5000\nprimaries: [a:1]\n");
    let environment = [("REDLOCK_PROXY_ATTEMPTS", "5"), ("REDLOCK_PROXY_RETRY_DELAY_MS", "31"), ("HOME", "/")];
    let flags =
        ["check", "--config", &file, "--set", "attempts=6", "--primary", "x:1", "--primary", "y:2", "--primary"];
    let output =
        run(&[flags.as_slice(), &["z:3", "--log-level", "debug", "--log-format", "json"]].concat(), &environment);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let shown = text(&output.stdout);
    for line in [
        "listen: # default".to_owned(),
        "primaries: # --primary\n  - \"x:1\"\n  - \"y:2\"\n  - \"z:3\"".to_owned(),
        "attempts: 6 # --set attempts".to_owned(),
        "retry_delay_ms: 31 # REDLOCK_PROXY_RETRY_DELAY_MS".to_owned(),
        format!("max_ttl_ms: 5000 # {file}:3"),
        "node_timeout_ms: 50 # default".to_owned(),
        "  level: \"debug\" # --log-level".to_owned(),
        "  format: json # --log-format".to_owned(),
    ] {
        assert!(shown.contains(&format!("{line}\n")), "{line}\n\n{shown}");
    }
    for key in KEYS {
        assert!(shown.contains(&format!("{}: ", key.section_and_name().1)), "{}", key.path);
    }
}

#[test]
fn what_check_prints_can_be_checked_again_with_the_same_result() {
    let sample = repository("config/redlock-proxy.yaml");
    let first = run(&["check", "--config", &sample, "--set", "key_prefix=locks: $x#", "--set", "quorum=3"], &[]);
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    let (_folder, file) = folder_with(text(&first.stdout));
    let second = run(&["check", "--config", &file], &[]);
    assert_eq!((second.status.code(), text(&second.stderr)), (Some(0), ""));
    let values = |output: &Output| {
        let values = text(&output.stdout).lines().map(|line| line.rsplit_once(" # ").map_or(line, |(value, _)| value));
        values.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(values(&second), values(&first));
}

#[test]
fn a_wrong_configuration_ends_check_and_the_proxy_with_78_and_every_place() {
    let (_folder, file) = folder_with("attempts: 0\nprimaries:\n  - a:1\n  - b\nlimits:\n  key_byte: 1\n");
    for subcommand in [&["check"][..], &[]] {
        let arguments = [subcommand, &["--config", &file, "--log-level", "inof", "--listen", "nowhere"]].concat();
        let output = run(&arguments, &[("REDLOCK_PROXY_QUORUM", "two"), ("REDLOCK_PROXY_NONE_SUCH", "1")]);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        assert_eq!(text(&output.stdout), "");
        let errors: Vec<&str> = text(&output.stderr).lines().collect();
        let expected = [
            format!("{file}:1: attempts: 0 is out of range; right is: attempts, 1 to 100"),
            format!("{file}:4: primaries[1]: `b` has no port; write `b:6379`"),
            format!("{file}:6: limits.key_byte: is not a key; did you mean `limits.key_bytes`?"),
            "REDLOCK_PROXY_NONE_SUCH: is not a key's variable; `redlock-proxy check --primary localhost:6379` shows all keys there are"
                .to_owned(),
            "REDLOCK_PROXY_QUORUM: quorum: `two` is not an integer; right is: primaries, the majority to all"
                .to_owned(),
            "--listen: listen[0]: `nowhere` has no port; write `nowhere:6379`".to_owned(),
        ];
        assert_eq!(errors[..6], expected);
        assert!(errors[6].starts_with("--log-level: log.level: `inof` is not a filter; right is: "), "{}", errors[6]);
        assert_eq!(errors.len(), 7);
    }
}

#[test]
fn no_primary_ends_with_78_and_names_two_ways_out() {
    for arguments in [&[][..], &["check"]] {
        let output = run(arguments, &[]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(78), ""));
        let expected = "primaries: none is named; name them with --primary, or try `redlock-proxy dev`\n";
        assert_eq!(text(&output.stderr), expected);
    }
}

#[test]
fn a_secret_is_printed_neither_when_all_is_well_nor_when_it_is_not() {
    let yaml = "\
auth: {password: '${SECRET}'}
primaries:
  - redis://user:hidden-2@a:1
  - address: b:1
    password: hidden-3
  - c:1
";
    let (_folder, file) = folder_with(yaml);
    let environment = [("SECRET", "hidden-1")];
    let right = run(&["check", "--config", &file], &environment);
    assert_eq!(right.status.code(), Some(0), "{}", text(&right.stderr));
    assert_eq!(text(&right.stdout).matches("<redacted>").count(), 3);
    for wrong in [
        &["--primary", "redis://u:hidden-4@a:x"][..],
        &["--primary", "u:hidden-4@a:1"],
        &["--primary", "redis://u:hidden-4"],
        &["--listen", "redis://u:hidden-4@a:1"],
        &["--set", "auth.pasword=hidden-4"],
        &["--set", "auth.password=hidden-4", "--set", "auth.password=hidden-5"],
        &["--set", "auth.password=hidden-4", "--set", "auth.password_file=/nowhere"],
        &["--set", "attempts=0"],
    ] {
        let output = run(&[&["check", "--config", &file], wrong].concat(), &environment);
        assert_eq!(output.status.code(), Some(78), "{wrong:?}");
        assert!(!text(&output.stderr).contains("hidden"), "{wrong:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "");
    }
    assert!(!text(&right.stdout).contains("hidden") && !text(&right.stderr).contains("hidden"));
}
