//! The COMMAND family, compared with the shapes that a Redis server gives for its own commands.

use super::*;
use crate::local::tests_support::{Fixture, error};

fn statuses(words: &[&'static str]) -> Reply {
    Reply::Set(words.iter().map(|&word| Reply::Status(word.into())).collect())
}

fn strings(words: &[&'static str]) -> Reply {
    Reply::Array(words.iter().map(|&word| bulk(word)).collect())
}

fn map<const N: usize>(fields: [(&'static str, Reply); N]) -> Reply {
    Reply::Map(fields.into_iter().map(|(name, value)| (bulk(name), value)).collect())
}

#[test]
fn command_info_has_the_shape_of_redis() {
    // Redis 7.0.15 says of `blpop` over RESP3: *10 $name :arity ~flags :1 :-2 :1 ~categories ~tips ~1 %3 … ~0
    let index = map([("type", bulk("index")), ("spec", map([("index", Reply::Integer(1))]))]);
    let range = map([
        ("type", bulk("range")),
        ("spec", map([("lastkey", Reply::Integer(0)), ("keystep", Reply::Integer(1)), ("limit", Reply::Integer(0))])),
    ]);
    let rlock = Reply::Array(vec![
        bulk("rlock"),
        Reply::Integer(-3),
        statuses(&["write", "noscript", "no_multi", "blocking"]),
        Reply::Integer(1),
        Reply::Integer(1),
        Reply::Integer(1),
        statuses(&["@write", "@slow", "@blocking"]),
        Reply::Set(Vec::new()),
        Reply::Set(vec![map([
            ("flags", statuses(&["RW", "access", "update"])),
            ("begin_search", index),
            ("find_keys", range),
        ])]),
        Reply::Set(Vec::new()),
    ]);
    assert_eq!(Fixture::new().reply("COMMAND INFO RLOCK nope"), Reply::Array(vec![rlock, Reply::Null]));
}

#[test]
fn command_info_agrees_with_redis_on_its_own_commands() {
    // As Redis 7.0.15 answers.
    let subcommand = Reply::Array(vec![
        bulk("config|get"),
        Reply::Integer(-3),
        statuses(&["admin", "noscript", "loading", "stale"]),
        Reply::Integer(0),
        Reply::Integer(0),
        Reply::Integer(0),
        statuses(&["@admin", "@slow", "@dangerous"]),
        Reply::Set(Vec::new()),
        Reply::Set(Vec::new()),
        Reply::Set(Vec::new()),
    ]);
    let mut fixture = Fixture::new();
    assert_eq!(fixture.reply("COMMAND INFO config|get"), Reply::Array(vec![subcommand.clone()]));
    let Reply::Array(entries) = fixture.reply("COMMAND INFO config") else { panic!("no array") };
    let [Reply::Array(parts)] = entries.as_slice() else { panic!("{entries:?}") };
    let Some(Reply::Array(subcommands)) = parts.last() else { panic!("{parts:?}") };
    assert_eq!(subcommands.first(), Some(&subcommand));
    let Reply::Array(entries) = fixture.reply("COMMAND INFO ping") else { panic!("no array") };
    let [Reply::Array(parts)] = entries.as_slice() else { panic!("{entries:?}") };
    let tips = ["request_policy:all_shards", "response_policy:all_succeeded"].map(bulk).to_vec();
    assert_eq!(parts.get(7), Some(&Reply::Set(tips)));
}

#[test]
fn command_alone_and_command_info_alone_tell_of_every_command_that_is_counted() {
    let mut fixture = Fixture::new();
    let Reply::Array(entries) = fixture.reply("COMMAND") else { panic!("no array") };
    assert_eq!(fixture.reply("COMMAND INFO"), Reply::Array(entries.clone()));
    assert_eq!(fixture.reply("COMMAND COUNT"), Reply::Integer(i64::try_from(entries.len()).expect("small")));
    let Reply::Map(documented) = fixture.reply("COMMAND DOCS") else { panic!("no map") };
    assert_eq!(documented.len(), entries.len());
}

#[test]
fn command_docs_give_redis_cli_its_hints() {
    let pure_token = |name, token| {
        map([
            ("name", bulk(name)),
            ("type", bulk("pure-token")),
            ("token", bulk(token)),
            ("flags", statuses(&["optional"])),
        ])
    };
    let arguments = Reply::Array(vec![
        map([("name", bulk("key")), ("type", bulk("key")), ("key_spec_index", Reply::Integer(0))]),
        map([("name", bulk("milliseconds")), ("type", bulk("integer"))]),
        map([
            ("name", bulk("name")),
            ("type", bulk("string")),
            ("token", bulk("OWNER")),
            ("flags", statuses(&["optional"])),
        ]),
        map([
            ("name", bulk("milliseconds")),
            ("type", bulk("integer")),
            ("token", bulk("WAIT")),
            ("flags", statuses(&["optional"])),
        ]),
        pure_token("fence", "FENCE"),
        map([
            ("name", bulk("session")),
            ("type", bulk("block")),
            ("flags", statuses(&["optional"])),
            (
                "arguments",
                Reply::Array(vec![
                    map([("name", bulk("bind")), ("type", bulk("pure-token")), ("token", bulk("SESSION"))]),
                    pure_token("notify", "NOTIFY"),
                ]),
            ),
        ]),
    ]);
    let rlock = map([
        ("summary", bulk("Takes a lock on a quorum of the primaries, for a time")),
        ("since", bulk("0.1.0")),
        ("group", bulk("redlock")),
        ("complexity", bulk("O(N) where N is the number of primaries, all of which are asked at once")),
        ("arguments", arguments),
    ]);
    assert_eq!(Fixture::new().reply("COMMAND DOCS nope rlock"), map([("rlock", rlock)]));
}

#[test]
fn docs_of_a_container_hold_those_of_its_subcommands() {
    let Reply::Map(documented) = Fixture::new().reply("COMMAND DOCS config") else { panic!("no map") };
    let [(_, Reply::Map(fields))] = documented.as_slice() else { panic!("{documented:?}") };
    let Some((name, Reply::Map(subcommands))) = fields.last() else { panic!("{fields:?}") };
    assert_eq!(*name, bulk("subcommands"));
    let names: Vec<&Reply> = subcommands.iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&bulk("config|get"), &bulk("config|help")]);
}

#[test]
fn command_list_filters() {
    let mut fixture = Fixture::new();
    let Reply::Array(names) = fixture.reply("COMMAND LIST") else { panic!("no array") };
    assert_eq!(names.len(), table::all().count());
    assert_eq!(fixture.reply("COMMAND LIST FILTERBY PATTERN R?lock"), strings(&["rmlock"]));
    assert_eq!(fixture.reply("command list filterby aclcat BLOCKING"), strings(&["rlock", "rmlock"]));
    for line in
        ["COMMAND LIST FILTERBY ACLCAT @write", "COMMAND LIST FILTERBY ACLCAT x", "COMMAND LIST FILTERBY MODULE x"]
    {
        assert_eq!(fixture.reply(line), strings(&[]), "{line}");
    }
    for line in
        ["COMMAND LIST x", "COMMAND LIST FILTERBY", "COMMAND LIST FILTERBY PATTERN", "COMMAND LIST FILTERBY x y"]
    {
        assert_eq!(fixture.reply(line), error("ERR syntax error"), "{line}");
    }
}

#[test]
fn keys_are_found_as_the_client_wrote_them() {
    let mut fixture = Fixture::new();
    for line in ["RLOCK job 1000 OWNER a", "runlock job t", "REXTEND job t nope"] {
        assert_eq!(fixture.reply(&format!("COMMAND GETKEYS {line}")), strings(&["job"]), "{line}");
    }
    assert_eq!(
        fixture.reply("COMMAND GETKEYSANDFLAGS RUNLOCK job t"),
        Reply::Array(vec![Reply::Array(vec![bulk("job"), statuses(&["RW", "access", "delete"])])])
    );
    for line in ["RMLOCK 2 a b 1000", "rmunlock 2 a b t", "RMEXTEND 2 a b t 1000"] {
        assert_eq!(fixture.reply(&format!("COMMAND GETKEYS {line}")), strings(&["a", "b"]), "{line}");
    }
    let mistakes = [
        ("rmlock 3 a 1000", "ERR Invalid number of arguments specified for command"),
        ("rmlock 0 a 1000", "ERR Invalid number of arguments specified for command"),
        ("rprimaries", "ERR The command has no key arguments"),
        ("nope x", "ERR Invalid command specified"),
        ("client nope", "ERR Invalid command specified"),
        ("ping", "ERR The command has no key arguments"),
        ("rlock job", "ERR Invalid number of arguments specified for command"),
        ("runlock", "ERR Invalid number of arguments specified for command"),
    ];
    for (line, text) in mistakes {
        assert_eq!(fixture.reply(&format!("COMMAND GETKEYS {line}")), error(text), "{line}");
    }
}

#[test]
fn help_tells_how_every_subcommand_is_written() {
    let mut fixture = Fixture::new();
    let lines = |reply: Reply| match reply {
        Reply::Array(lines) => lines
            .into_iter()
            .map(|line| match line {
                Reply::Status(line) => line.into_owned(),
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        lines(fixture.reply("CONFIG HELP")),
        [
            "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "GET <parameter> [<parameter> ...]",
            "    Answers the parameters that match, and their values.",
            "HELP",
            "    Lists the subcommands.",
        ]
    );
    let client = lines(fixture.reply("CLIENT HELP"));
    for line in [
        "SETINFO <LIB-NAME <libname> | LIB-VER <libver>>",
        "LIST [TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID <client-id> [<client-id> ...]]",
        "NO-EVICT <ON | OFF>",
    ] {
        assert!(client.iter().any(|told| told == line), "{line} in {client:#?}");
    }
    let command = lines(fixture.reply("COMMAND HELP"));
    assert!(command.iter().any(|line| line == "GETKEYS <command> [<arg> [<arg> ...]]"), "{command:#?}");
}
