//! `CLIENT …`: what connections are called, and who else is there.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Connection, Environment, Refusal};
use crate::clients::Client;
use crate::command::{CommandError, integer, printable};
use crate::lock::Moment;
use crate::protocol::Reply;

/// How much of an unknown word is shown, in bytes.
const SHOWN_BYTES: usize = 128;

/// `CLIENT GETNAME`
pub(super) fn name(connection: &Connection) -> Reply {
    let name = connection.client().details().name;
    if name.is_empty() { Reply::Null } else { Reply::Bulk(name) }
}

/// `CLIENT SETNAME connection-name`; an empty name takes it away.
pub(super) fn set_name(arguments: &[Bytes], connection: &Connection) -> Result<Reply, Refusal> {
    let [name] = arguments else { return Err(CommandError::Arity("client|setname").into()) };
    check_name(name)?;
    connection.name(name);
    Ok(Reply::OK)
}

/// Whether a connection may be called so: it has to stay one word of a line.
pub(super) fn check_name(name: &[u8]) -> Result<(), Refusal> {
    if is_word(name) {
        Ok(())
    } else {
        Err(Refusal::syntax("ERR Client names cannot contain spaces, newlines or special characters."))
    }
}

/// `CLIENT SETINFO LIB-NAME libname | LIB-VER libver`
pub(super) fn set_info(arguments: &[Bytes], connection: &Connection) -> Result<Reply, Refusal> {
    let [attribute, value] = arguments else { return Err(CommandError::Arity("client|setinfo").into()) };
    let is_name = attribute.eq_ignore_ascii_case(b"LIB-NAME");
    if !is_name && !attribute.eq_ignore_ascii_case(b"LIB-VER") {
        let attribute = printable(attribute, SHOWN_BYTES);
        return Err(Refusal::syntax(format!("ERR Unrecognized option '{attribute}'")));
    }
    if !is_word(value) {
        let attribute = if is_name { "lib-name" } else { "lib-ver" };
        return Err(Refusal::syntax(format!("ERR {attribute} cannot contain spaces, newlines or special characters.")));
    }
    let value = Bytes::copy_from_slice(value);
    connection.client().update(|details| {
        *(if is_name { &mut details.library_name } else { &mut details.library_version }) = value;
    });
    Ok(Reply::OK)
}

/// `CLIENT ID`
pub(super) fn id(connection: &Connection) -> Reply {
    // Ids are counted up from 1, one for each connection.
    Reply::Integer(i64::try_from(connection.client().id()).unwrap_or(i64::MAX))
}

/// `CLIENT INFO`
pub(super) fn info(connection: &Connection, now: Moment) -> Reply {
    lines([connection.client()], now)
}

/// `CLIENT LIST [TYPE type | ID client-id …]`
pub(super) fn list(arguments: &[Bytes], environment: &Environment<'_>) -> Result<Reply, Refusal> {
    let clients = match arguments {
        [] => environment.clients.list(),
        [word, kind] if word.eq_ignore_ascii_case(b"TYPE") => {
            if is_type(kind, &["normal"]) {
                environment.clients.list()
            } else if is_type(kind, &["master", "slave", "replica", "pubsub"]) {
                Vec::new()
            } else {
                let kind = printable(kind, SHOWN_BYTES);
                return Err(Refusal::syntax(format!("ERR Unknown client type '{kind}'")));
            }
        }
        [word, ids @ ..] if word.eq_ignore_ascii_case(b"ID") && !ids.is_empty() => {
            let ids: Option<BTreeSet<i64>> = ids.iter().map(|id| integer(id)).collect();
            let ids = ids.ok_or_else(|| Refusal::syntax("ERR Invalid client ID"))?;
            ids.into_iter().filter_map(|id| environment.clients.find(u64::try_from(id).ok()?)).collect()
        }
        _ => return Err(CommandError::Syntax.into()),
    };
    Ok(lines(clients.iter().map(AsRef::as_ref), environment.now))
}

/// `CLIENT NO-EVICT ON | OFF`, `CLIENT NO-TOUCH ON | OFF`: nothing is evicted here, and no key has an age.
pub(super) fn switch(arguments: &[Bytes]) -> Result<Reply, Refusal> {
    match arguments {
        [word] if word.eq_ignore_ascii_case(b"ON") || word.eq_ignore_ascii_case(b"OFF") => Ok(Reply::OK),
        _ => Err(CommandError::Syntax.into()),
    }
}

fn lines<'a>(clients: impl IntoIterator<Item = &'a Client>, now: Moment) -> Reply {
    let lines: String = clients.into_iter().map(|client| client.describe(now) + "\n").collect();
    Reply::Verbatim(lines.into())
}

fn is_type(word: &[u8], types: &[&str]) -> bool {
    types.iter().any(|kind| word.eq_ignore_ascii_case(kind.as_bytes()))
}

/// Printable ASCII without spaces.
fn is_word(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::bulk;
    use crate::local::tests_support::{Fixture, error};

    const NAME_ERROR: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

    fn ids(reply: &Reply) -> Vec<String> {
        let Reply::Verbatim(text) = reply else { panic!("{reply:?}") };
        let text = std::str::from_utf8(text).expect("text");
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn a_name_is_one_word_and_an_empty_one_takes_it_away() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.reply("CLIENT GETNAME"), Reply::Null);
        assert_eq!(fixture.reply("CLIENT SETNAME worker-7"), Reply::OK);
        for name in ["a\nb", "ä", "\x7f", "\t"] {
            assert_eq!(fixture.reply(&format!("CLIENT SETNAME {name}")), error(NAME_ERROR), "{name:?}");
        }
        assert_eq!(fixture.reply("CLIENT GETNAME"), bulk("worker-7"));
        assert_eq!(fixture.reply("CLIENT SETNAME "), Reply::OK);
        assert_eq!(fixture.reply("CLIENT GETNAME"), Reply::Null);
    }

    #[test]
    fn libraries_tell_their_name_and_version() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.reply("CLIENT SETINFO lib-name redis-py"), Reply::OK);
        assert_eq!(fixture.reply("CLIENT SETINFO LIB-VER 5.0.1"), Reply::OK);
        assert_eq!(
            fixture.reply("CLIENT SETINFO lib-ver 5\n0"),
            error("ERR lib-ver cannot contain spaces, newlines or special characters.")
        );
        assert_eq!(fixture.reply("CLIENT SETINFO color red"), error("ERR Unrecognized option 'color'"));
        let Reply::Verbatim(line) = fixture.reply("CLIENT INFO") else { panic!("no text") };
        assert!(line.ends_with(b" resp=2 lib-name=redis-py lib-ver=5.0.1\n"), "{line:?}");
    }

    #[test]
    fn the_list_is_filtered_by_type_or_id() {
        let mut fixture = Fixture::new();
        let other = fixture.clients.register("10.0.0.2:1".into(), "127.0.0.1:6379".into(), Moment::from_micros(0));
        assert_eq!(fixture.reply("CLIENT ID"), Reply::Integer(1));
        for line in ["CLIENT LIST", "CLIENT LIST TYPE normal", "CLIENT LIST ID 2 1 7 2"] {
            assert_eq!(ids(&fixture.reply(line)), ["id=1", "id=2"], "{line}");
        }
        assert_eq!(ids(&fixture.reply("CLIENT INFO")), ["id=1"]);
        for line in ["CLIENT LIST TYPE PUBSUB", "CLIENT LIST TYPE replica", "CLIENT LIST ID 0", "CLIENT LIST ID -1"] {
            assert!(ids(&fixture.reply(line)).is_empty(), "{line}");
        }
        drop(other);
        assert_eq!(ids(&fixture.reply("CLIENT LIST")), ["id=1"]);
        assert_eq!(fixture.reply("CLIENT LIST TYPE x"), error("ERR Unknown client type 'x'"));
        assert_eq!(fixture.reply("CLIENT LIST ID 1 x"), error("ERR Invalid client ID"));
        for line in ["CLIENT LIST ID", "CLIENT LIST TYPE", "CLIENT LIST x", "CLIENT LIST TYPE normal ID 1"] {
            assert_eq!(fixture.reply(line), error("ERR syntax error"), "{line}");
        }
    }

    #[test]
    fn switches_are_on_or_off() {
        let mut fixture = Fixture::new();
        for line in ["CLIENT NO-EVICT on", "CLIENT NO-TOUCH OFF"] {
            assert_eq!(fixture.reply(line), Reply::OK);
        }
        for line in ["CLIENT NO-EVICT yes", "CLIENT NO-TOUCH 1"] {
            assert_eq!(fixture.reply(line), error("ERR syntax error"));
        }
    }
}
