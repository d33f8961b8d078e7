//! COMMAND and its subcommands: clients route by them, redis-cli makes hints and help of them.
//!
//! A real Redis is the reference. It is asked the same questions, and of what it answers the *shape* is learnt: which types
//! stand where. The proxy's answers may have no shape that Redis' have not.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use support::{ByteClient, Kind, PATIENCE, Proxy, Value, redis_cli, shared};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::common::{Rig, resp3};

/// Debian's Redis, whatever the rest of the tests runs on: it is what redis-cli was made for.
async fn redis() -> ByteClient {
    shared(Kind::Redis, 3).await[0].connect().await
}

async fn proxy() -> &'static Proxy {
    &Rig::shared(Kind::any(), 3).await.proxy
}

/// What may stand in one place of a reply.
#[derive(Debug, Default)]
struct Shape {
    kinds: BTreeSet<char>,
    /// What may stand in each element of an array or a set that is a list.
    elements: Option<Box<Shape>>,
    /// What may stand in the fields of a map, and (numbered) in the places of an array that is a record.
    fields: BTreeMap<String, Shape>,
}

impl Shape {
    fn of(value: &Value) -> Self {
        let mut shape = Self::default();
        shape.learn(value);
        shape
    }

    fn learn(&mut self, value: &Value) {
        self.kinds.insert(kind(value));
        for (name, part) in parts(value) {
            match name {
                Some(name) => self.fields.entry(name).or_default().learn(part),
                None => self.elements.get_or_insert_default().learn(part),
            }
        }
    }

    /// Panics unless everything in `value` has a shape that was learnt.
    fn check(&self, value: &Value, place: &str) {
        assert!(self.kinds.contains(&kind(value)), "{place}: {value:?}, where Redis has {:?}", self.kinds);
        for (name, part) in parts(value) {
            let (known, name) = match name {
                Some(name) => (self.fields.get(&name), name),
                None => (self.elements.as_deref(), "…".to_owned()),
            };
            let place = format!("{place}/{name}");
            known.unwrap_or_else(|| panic!("{place}: Redis has nothing there")).check(part, &place);
        }
    }
}

fn kind(value: &Value) -> char {
    match value {
        Value::Simple(_) => '+',
        Value::Integer(_) => ':',
        Value::Bulk(_) => '$',
        Value::Null => '_',
        Value::Array(_) => '*',
        Value::Set(_) => '~',
        Value::Map(_) => '%',
        other => panic!("nothing that COMMAND answers: {other:?}"),
    }
}

/// The values in a value; with a name, where the place tells what stands there.
fn parts(value: &Value) -> Vec<(Option<String>, &Value)> {
    match value {
        // The ten parts of a command's details.
        Value::Array(items) if items.len() == 10 && matches!(items[..2], [Value::Bulk(_), Value::Integer(_)]) => {
            items.iter().enumerate().map(|(place, item)| (Some(place.to_string()), item)).collect()
        }
        Value::Array(items) | Value::Set(items) => items.iter().map(|item| (None, item)).collect(),
        Value::Map(pairs) => pairs.iter().map(|(name, value)| (field_name(name), value)).collect(),
        _ => Vec::new(),
    }
}

/// Names of commands are data, all others belong to the shape.
fn field_name(name: &Value) -> Option<String> {
    const FIELDS: [&str; 22] = [
        "summary",
        "since",
        "group",
        "complexity",
        "arguments",
        "subcommands",
        "name",
        "type",
        "token",
        "flags",
        "key_spec_index",
        "display_text",
        "module",
        "doc_flags",
        "deprecated_since",
        "replaced_by",
        "history",
        "begin_search",
        "find_keys",
        "spec",
        "RO",
        "notes",
    ];
    let name = name.text();
    // In a specification: `index`, `lastkey` and the like; they differ by its type.
    (FIELDS.contains(&name.as_str())
        || ["index", "keyword", "startfrom", "lastkey", "keystep", "limit"].contains(&name.as_str()))
    .then_some(name)
}

/// What RESP2 makes of an answer in RESP3.
fn in_resp2(value: &Value) -> Value {
    let all = |items: &[Value]| items.iter().map(in_resp2).collect();
    match value {
        Value::Array(items) | Value::Set(items) => Value::Array(all(items)),
        Value::Map(pairs) => {
            Value::Array(pairs.iter().flat_map(|(name, value)| [in_resp2(name), in_resp2(value)]).collect())
        }
        other => other.clone(),
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[tokio::test]
async fn answers_have_the_shapes_of_a_real_server() {
    let (mut reference, mut client) = (redis().await, resp3(proxy().await).await);
    reference.call(&["HELLO", "3"]).await;
    let names = "ping echo hello auth select client command config info reset quit rlock runlock rextend";
    for question in ["COMMAND", "COMMAND INFO", "COMMAND DOCS", "COMMAND LIST", "COMMAND COUNT"] {
        let shape = Shape::of(&reference.call(&words(question)).await);
        shape.check(&client.call(&words(question)).await, question);
    }
    for question in ["COMMAND INFO", "COMMAND DOCS"] {
        let shape = Shape::of(&reference.call(&words(question)).await);
        let answer = client.call(&words(&format!("{question} {names}"))).await;
        shape.check(&answer, question);
        let count = match &answer {
            Value::Map(pairs) => pairs.len(),
            other => other.items().len(),
        };
        assert_eq!(count, 14);
    }
}

#[tokio::test]
async fn resp2_has_the_same_answers_without_sets_and_maps() {
    for mut client in [redis().await, proxy().await.connect().await] {
        let questions = [
            "COMMAND",
            "COMMAND DOCS",
            "COMMAND INFO ping hello client",
            "COMMAND INFO client|setname",
            "COMMAND DOCS client",
            "COMMAND LIST",
            "COMMAND COUNT",
            "COMMAND LIST FILTERBY PATTERN *l*",
        ];
        let mut answers = Vec::new();
        for question in questions {
            answers.push(client.call(&words(question)).await);
        }
        client.call(&["HELLO", "3"]).await;
        for (question, answer) in questions.into_iter().zip(answers) {
            assert_eq!(answer, in_resp2(&client.call(&words(question)).await), "{question}");
        }
    }
}

#[tokio::test]
async fn names_that_are_none_are_null_in_info_and_absent_in_docs() {
    for mut client in [redis().await, proxy().await.connect().await] {
        assert_eq!(client.call(&words("COMMAND INFO nope")).await, Value::Array(vec![Value::NullBulk]));
        assert_eq!(client.call(&words("COMMAND DOCS nope")).await, Value::Array(Vec::new()));
        client.call(&["HELLO", "3"]).await;
        assert_eq!(client.call(&words("COMMAND INFO nope")).await, Value::Array(vec![Value::Null]));
        assert_eq!(client.call(&words("COMMAND DOCS nope")).await, Value::Map(Vec::new()));
    }
}

#[tokio::test]
async fn commands_that_redis_has_too_have_its_arity_and_keys() {
    let (mut reference, mut client) = (redis().await, proxy().await.connect().await);
    for name in words("ping echo hello auth select client command config info reset quit client|setname client|id") {
        let [expected, found] = [&mut reference, &mut client];
        let expected = expected.call(&["COMMAND", "INFO", name]).await.items()[0].items().to_vec();
        let found = found.call(&["COMMAND", "INFO", name]).await.items()[0].items().to_vec();
        for part in [0, 1, 3, 4, 5] {
            assert_eq!(found[part], expected[part], "{name}, part {part}");
        }
    }
}

fn statuses(words: &str) -> Value {
    Value::Set(words.split(' ').map(Value::simple).collect())
}

#[tokio::test]
async fn the_lock_commands_are_listed_with_arity_flags_and_keys() {
    let mut client = resp3(proxy().await).await;
    for (name, arity, flags) in [
        ("rlock", -3, "write noscript no_multi blocking"),
        ("runlock", 3, "write noscript no_multi"),
        ("rextend", 4, "write noscript no_multi"),
    ] {
        let info = client.call(&["COMMAND", "INFO", &name.to_uppercase()]).await;
        let entry = info.items()[0].items();
        let [first, last, step] = [3, 4, 5].map(|part| entry[part].integer());
        assert_eq!((entry[0].text().as_str(), entry[1].integer()), (name, arity));
        assert_eq!(entry[2], statuses(flags));
        assert_eq!((first, last, step), (1, 1, 1));
        let specification = &entry[8].items()[0];
        let search = specification.field("begin_search").expect("where the key is");
        assert_eq!(search.field("type"), Some(&Value::bulk("index")));

        let docs = client.call(&["COMMAND", "DOCS", name]).await;
        let docs = docs.field(name).expect("documented");
        assert_eq!(docs.field("group"), Some(&Value::bulk("redlock")));
        let arguments = docs.field("arguments").expect("arguments").items();
        assert_eq!(arguments[0].field("type"), Some(&Value::bulk("key")));
        assert_eq!(arguments[0].field("key_spec_index"), Some(&Value::Integer(0)));
        if name == "rlock" {
            assert_eq!(arguments[2].field("token"), Some(&Value::bulk("OWNER")));
            assert_eq!(arguments[2].field("flags"), Some(&statuses("optional")));
        }
    }
}

#[tokio::test]
async fn count_and_list_agree_with_the_table() {
    let mut client = proxy().await.connect().await;
    let all = client.call(&["COMMAND"]).await;
    assert_eq!(client.call(&["COMMAND", "COUNT"]).await.integer(), i64::try_from(all.items().len()).expect("few"));
    let listed = client.call(&["COMMAND", "LIST"]).await;
    for entry in all.items() {
        assert!(listed.items().contains(&entry.items()[0]), "{entry:?}");
    }
    let locks = client.call(&words("COMMAND LIST FILTERBY PATTERN r*unlock")).await;
    assert_eq!(locks, Value::Array(vec![Value::bulk("runlock"), Value::bulk("rmunlock")]));
}

#[tokio::test]
async fn getkeys_names_the_key_and_errs_in_redis_words() {
    let (mut reference, mut client) = (redis().await, proxy().await.connect().await);
    for line in ["RLOCK k 1000", "rlock k 1000 OWNER me", "RUNLOCK k t", "REXTEND k t 1000"] {
        let question = [vec!["COMMAND", "GETKEYS"], words(line)].concat();
        assert_eq!(client.call(&question).await, Value::Array(vec![Value::bulk("k")]), "{line}");
    }
    for line in ["RMLOCK 2 k l 1000", "rmunlock 2 k l t", "RMEXTEND 2 k l t 1000"] {
        let question = [vec!["COMMAND", "GETKEYS"], words(line)].concat();
        assert_eq!(client.call(&question).await, Value::Array(vec![Value::bulk("k"), Value::bulk("l")]), "{line}");
    }
    // The same mistakes with a command of Redis' and with ours.
    for (theirs, ours) in [("ping x", "ping x"), ("nope a", "nope a"), ("set k", "rlock k"), ("pexpire k", "rextend k")]
    {
        let expected = reference.call(&[vec!["COMMAND", "GETKEYS"], words(theirs)].concat()).await;
        assert!(expected.is_error(), "{expected:?}");
        assert_eq!(client.call(&[vec!["COMMAND", "GETKEYS"], words(ours)].concat()).await, expected, "{ours}");
    }
    let flags = client.call(&words("COMMAND GETKEYSANDFLAGS RUNLOCK k t")).await;
    assert_eq!(flags.items()[0].items()[0], Value::bulk("k"));
}

#[tokio::test]
async fn redis_cli_helps_with_the_lock_commands() {
    let output = redis_cli(proxy().await.port(), &["help", "@redlock"]).await;
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in ["RLOCK", "RUNLOCK", "REXTEND"] {
        assert!(help.contains(&format!("{name}\u{1b}")), "{name} in {help}");
    }
    assert!(help.contains("key milliseconds [OWNER name]"), "{help}");
}

/// What is typed on a terminal is completed by a hint, which redis-cli makes of COMMAND DOCS.
#[tokio::test]
async fn redis_cli_hints_at_the_arguments_on_a_terminal() {
    // The width is set since a terminal without one is asked where its cursor is.
    let command = format!("stty cols 120; exec redis-cli -p {}", proxy().await.port());
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]).env("TERM", "xterm").kill_on_drop(true);
    let mut terminal = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("util-linux has script");
    let (mut keys, mut screen) = (terminal.stdin.take().expect("piped"), terminal.stdout.take().expect("piped"));
    let mut shown = Vec::new();
    // Typed when the prompt stands there: what came before would be discarded.
    for (awaited, typed) in [("> ", "RLOCK job "), ("milliseconds [OWNER name]", "\u{3}")] {
        while !String::from_utf8_lossy(&shown).contains(awaited) {
            let read = timeout(PATIENCE, screen.read_buf(&mut shown)).await;
            let read = read.unwrap_or_else(|_| panic!("no {awaited:?} in \"{}\"", shown.escape_ascii()));
            assert_ne!(read.expect("a pipe"), 0, "no {awaited:?} in \"{}\"", shown.escape_ascii());
        }
        keys.write_all(typed.as_bytes()).await.expect("it reads");
    }
    timeout(PATIENCE, terminal.wait()).await.expect("Control-C ends it").expect("it was started");
}
