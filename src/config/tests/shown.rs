//! What `check` prints.

use std::fmt::Write as _;

use super::*;

#[test]
fn what_check_prints_has_every_key_and_loads_again() {
    let given = nothing();
    let file = given.write("secret", "hidden\n");
    let text = format!(
        "listen: [127.0.0.1:7, 'unix:/run/a \"b\"']
key_prefix: \"a$$b\\\\\\\"\\t\\u0085ü\"
primaries:
  - a:1
  - {{address: redis://b:1/3, user: 'u$$', password_file: {file}}}
  - redis://c:1/4
quorum: 3
limits:
  idle_timeout_ms: 1000
"
    );
    let given = given.file(text).variable("REDLOCK_PROXY_LOG__LEVEL", "debug").flag("clock_drift_factor", "0.05");
    let first = given.config();
    let yaml = given.load().expect("valid").to_yaml();
    let again = nothing().file(&yaml);
    assert_eq!(format!("{:?}", again.config()), format!("{first:?}"));
    assert_eq!(again.config().primaries, first.primaries);
    let keys =
        |yaml: &str| yaml.lines().filter_map(|line| Some(line.split_once(" #")?.0.to_owned())).collect::<Vec<_>>();
    assert_eq!(keys(&again.load().expect("valid").to_yaml()), keys(&yaml));
    assert_eq!(keys(&yaml).len(), KEYS.len());
}

#[test]
fn check_tells_where_each_value_comes_from() {
    let given = three_primaries()
        .file("attempts: 4\nlimits:\n  key_bytes: 5\nauth: {password: hidden}\n")
        .variable("REDLOCK_PROXY_LOG__FORMAT", "json")
        .flag("max_ttl_ms", "5000");
    let mut expected = String::new();
    for key in KEYS {
        let (section, name) = key.section_and_name();
        if !section.is_empty() && !expected.contains(&format!("\n{section}:\n")) {
            let _ = writeln!(expected, "{section}:");
        }
        let line = match key.path {
            "listen" => "listen: # default\n  - \"127.0.0.1:6379\"".to_owned(),
            "primaries" => "primaries: # --primary\n  - \"a:1\"\n  - \"b:2\"\n  - \"c:3\"".to_owned(),
            "quorum" => "quorum: 2 # default".to_owned(),
            "attempts" => "attempts: 4 # redlock.yaml:1".to_owned(),
            "limits.key_bytes" => "  key_bytes: 5 # redlock.yaml:3".to_owned(),
            "auth.password" => "  password: \"<redacted>\" # redlock.yaml:4".to_owned(),
            "log.format" => "  format: json # REDLOCK_PROXY_LOG__FORMAT".to_owned(),
            "max_ttl_ms" => "max_ttl_ms: 5000 # --set max_ttl_ms".to_owned(),
            _ => {
                let indent = if section.is_empty() { "" } else { "  " };
                format!("{indent}{name}: {} # default", key.default().expect("it has one"))
            }
        };
        let _ = writeln!(expected, "{line}");
    }
    assert_eq!(given.yaml(), expected);
}

#[test]
fn a_password_is_shown_nowhere() {
    let file = "auth: {password: 'hidden-1'}
primaries:
  - redis://u:hidden-2@a:1
  - {address: 'b:1', password: hidden-3}
  - c:1
";
    let effective = nothing().file(file).load().expect("valid");
    let passwords = effective.config.primaries.iter().filter_map(|primary| primary.password.as_ref());
    assert_eq!(passwords.map(Secret::expose).collect::<Vec<_>>(), ["hidden-2", "hidden-3"]);
    let shown =
        format!("{}{:?}{}", effective.to_yaml(), effective.config, effective.config.password.clone().expect("set"));
    assert!(!shown.contains("hidden"), "{shown}");
    assert_eq!(effective.to_yaml().matches("password: \"<redacted>\"").count(), 3);
}
