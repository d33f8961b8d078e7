//! `COMMAND …`: the table of commands in Redis' own shapes.
//!
//! Clients route by COMMAND INFO and COMMAND GETKEYS, redis-cli makes its hints and its help from COMMAND DOCS. Where
//! Redis has sets and maps in RESP3 these are sets and maps, to the level of a key specification; the empty list of
//! subcommands is a set and a filled one an array, as there.

use bytes::Bytes;

use super::{Refusal, bulk, glob};
use crate::command::table::{self, Argument, ArgumentKind, COMMANDS, Entry, Keys};
use crate::command::{CommandError, integer};
use crate::protocol::Reply;

/// `COMMAND`
pub(super) fn all() -> Reply {
    Reply::Array(COMMANDS.iter().map(|entry| details(entry)).collect())
}

/// `COMMAND COUNT`
pub(super) fn count() -> Reply {
    // A static table of a handful of rows.
    Reply::Integer(i64::try_from(COMMANDS.len()).unwrap_or(i64::MAX))
}

/// `COMMAND INFO [command-name …]`: null for each name that is none.
pub(super) fn info(names: &[Bytes]) -> Reply {
    if names.is_empty() {
        return all();
    }
    Reply::Array(names.iter().map(|name| table::find_by_name(name).map_or(Reply::Null, details)).collect())
}

/// `COMMAND DOCS [command-name …]`: names that are none are left out.
pub(super) fn docs(names: &[Bytes]) -> Reply {
    if names.is_empty() {
        Reply::Map(COMMANDS.iter().copied().map(documented).collect())
    } else {
        Reply::Map(names.iter().filter_map(|name| table::find_by_name(name)).map(documented).collect())
    }
}

/// A command's name and its documentation.
pub(super) fn documented(entry: &'static Entry) -> (Reply, Reply) {
    (bulk(entry.name), documentation(entry))
}

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`: names, those of subcommands too.
pub(super) fn list(arguments: &[Bytes]) -> Result<Reply, Refusal> {
    list_of(arguments, table::all())
}

/// The same, of these commands.
pub(super) fn list_of(arguments: &[Bytes], entries: impl Iterator<Item = &'static Entry>) -> Result<Reply, Refusal> {
    let names = |wanted: &dyn Fn(&Entry) -> bool| {
        Ok(Reply::Array(entries.filter(|entry| wanted(entry)).map(|entry| bulk(entry.name)).collect()))
    };
    match arguments {
        [] => names(&|_| true),
        [word, filter, value] if word.eq_ignore_ascii_case(b"FILTERBY") => {
            if filter.eq_ignore_ascii_case(b"MODULE") {
                names(&|_| false)
            } else if filter.eq_ignore_ascii_case(b"ACLCAT") {
                // Given without the @ that stands in front of it elsewhere.
                let is_wanted = |category: &str| {
                    category.strip_prefix('@').is_some_and(|name| value.eq_ignore_ascii_case(name.as_bytes()))
                };
                names(&|entry| entry.categories.iter().any(|category| is_wanted(category)))
            } else if filter.eq_ignore_ascii_case(b"PATTERN") {
                names(&|entry| glob::matches(value, entry.name.as_bytes()))
            } else {
                Err(CommandError::Syntax.into())
            }
        }
        _ => Err(CommandError::Syntax.into()),
    }
}

/// `COMMAND GETKEYS command [argument …]` and, with how the command uses each key, `COMMAND GETKEYSANDFLAGS`.
pub(super) fn keys(words: &[Bytes], with_flags: bool) -> Result<Reply, Refusal> {
    let entry = table::find(words).map_err(|_| Refusal::syntax("ERR Invalid command specified"))?;
    let (flags, first, count) = match entry.keys {
        Keys::None => return Err(Refusal::syntax("ERR The command has no key arguments")),
        Keys::First(flags) => (flags, 1_usize, Some(1)),
        Keys::Counted(flags) => (flags, 2, words.get(1).and_then(|word| integer(word))),
    };
    let count = count.and_then(|count| usize::try_from(count).ok()).filter(|&count| count > 0);
    let keys = count.and_then(|count| words.get(first..first.checked_add(count)?)).filter(|_| entry.takes(words.len()));
    let keys = keys.ok_or_else(|| Refusal::syntax("ERR Invalid number of arguments specified for command"))?;
    let shown = |key: &Bytes| {
        let key = Reply::Bulk(key.clone());
        if with_flags { Reply::Array(vec![key, words_of(flags)]) } else { key }
    };
    Ok(Reply::Array(keys.iter().map(shown).collect()))
}

/// `… HELP` of a container: how its subcommands are written and what they do.
pub(super) fn help(container: &'static str) -> Reply {
    let mut lines =
        vec![format!("{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", container.to_uppercase())];
    for entry in COMMANDS.iter().filter(|entry| entry.name == container).flat_map(|entry| entry.subcommands) {
        lines.push(format!("{}{}", entry.last_word().to_uppercase(), syntax_of(entry.arguments)));
        lines.push(format!("    {}.", entry.summary));
    }
    Reply::Array(lines.into_iter().map(|line| Reply::Status(line.into())).collect())
}

/// The ten parts by which COMMAND INFO tells of a command.
pub(super) fn details(entry: &Entry) -> Reply {
    let (first, last, step) = entry.keys.positions();
    let subcommands = if entry.subcommands.is_empty() {
        Reply::Set(Vec::new())
    } else {
        Reply::Array(entry.subcommands.iter().map(details).collect())
    };
    Reply::Array(vec![
        bulk(entry.name),
        Reply::Integer(i64::from(entry.arity)),
        words_of(entry.flags),
        Reply::Integer(first),
        Reply::Integer(last),
        Reply::Integer(step),
        words_of(entry.categories),
        Reply::Set(entry.tips.iter().map(|&tip| bulk(tip)).collect()),
        Reply::Set(key_specification(entry.keys).into_iter().collect()),
        subcommands,
    ])
}

/// Where the keys are, in the words of Redis 7: one key behind the command's name, or a number and so many keys.
fn key_specification(keys: Keys) -> Option<Reply> {
    let (flags, find, places) = match keys {
        Keys::None => return None,
        Keys::First(flags) => (flags, "range", [("lastkey", 0), ("keystep", 1), ("limit", 0)]),
        Keys::Counted(flags) => (flags, "keynum", [("keynumidx", 0), ("firstkey", 1), ("keystep", 1)]),
    };
    let typed =
        |kind, specification| Reply::Map(vec![(bulk("type"), bulk(kind)), (bulk("spec"), Reply::Map(specification))]);
    Some(Reply::Map(vec![
        (bulk("flags"), words_of(flags)),
        (bulk("begin_search"), typed("index", vec![(bulk("index"), Reply::Integer(1))])),
        (bulk("find_keys"), typed(find, places.map(|(name, place)| (bulk(name), Reply::Integer(place))).into())),
    ]))
}

fn documentation(entry: &Entry) -> Reply {
    let mut fields = vec![
        (bulk("summary"), bulk(entry.summary)),
        (bulk("since"), bulk(entry.since)),
        (bulk("group"), bulk(entry.group)),
        (bulk("complexity"), bulk(entry.complexity)),
    ];
    if !entry.arguments.is_empty() {
        fields.push((bulk("arguments"), arguments(entry.arguments)));
    }
    if !entry.subcommands.is_empty() {
        let subcommands = entry.subcommands.iter().map(|entry| (bulk(entry.name), documentation(entry)));
        fields.push((bulk("subcommands"), Reply::Map(subcommands.collect())));
    }
    Reply::Map(fields)
}

fn arguments(arguments: &[Argument]) -> Reply {
    Reply::Array(arguments.iter().map(argument).collect())
}

fn argument(argument: &Argument) -> Reply {
    let mut fields = vec![(bulk("name"), bulk(argument.name)), (bulk("type"), bulk(argument.kind.name()))];
    if argument.kind == ArgumentKind::Key {
        fields.push((bulk("key_spec_index"), Reply::Integer(0)));
    }
    if let Some(token) = argument.token {
        fields.push((bulk("token"), bulk(token)));
    }
    if !argument.flags.is_empty() {
        fields.push((bulk("flags"), words_of(argument.flags)));
    }
    if !argument.arguments.is_empty() {
        fields.push((bulk("arguments"), self::arguments(argument.arguments)));
    }
    Reply::Map(fields)
}

/// Flags and categories: a set of status words.
fn words_of(words: &[&'static str]) -> Reply {
    Reply::Set(words.iter().map(|&word| Reply::Status(word.into())).collect())
}

/// The arguments as one writes them, each with a space in front.
fn syntax_of(arguments: &[Argument]) -> String {
    arguments.iter().flat_map(|argument| [" ".to_owned(), syntax(argument)]).collect()
}

fn syntax(argument: &Argument) -> String {
    let value = match argument.kind {
        ArgumentKind::PureToken => String::new(),
        ArgumentKind::OneOf => {
            format!("<{}>", argument.arguments.iter().map(syntax).collect::<Vec<_>>().join(" | "))
        }
        ArgumentKind::Block => syntax_of(argument.arguments).trim_start().to_owned(),
        _ => format!("<{}>", argument.name),
    };
    let value = if argument.flags.contains(&"multiple") { format!("{value} [{value} ...]") } else { value };
    let written = match (argument.token, value.as_str()) {
        (Some(token), "") => token.to_owned(),
        (Some(token), value) => format!("{token} {value}"),
        (None, _) => value,
    };
    if argument.flags.contains(&"optional") { format!("[{written}]") } else { written }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
