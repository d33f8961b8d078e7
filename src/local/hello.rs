//! `HELLO [protover [AUTH username password] [SETNAME clientname]]`: the greeting of newer clients.

use bytes::Bytes;

use super::{Connection, Environment, PROXY_VERSION, REDIS_VERSION, Refusal, auth, bulk, client};
use crate::clients::protocol_number;
use crate::command::{integer, printable};
use crate::protocol::{Reply, Version};
use crate::router::SessionMode;

/// How much of an unknown option is shown, in bytes.
const SHOWN_BYTES: usize = 128;

/// `HELLO [protover [AUTH username password] [SETNAME clientname]]`
///
/// Everything is checked before anything changes. The reply is in the protocol that was asked for.
pub(super) fn hello(
    arguments: &[Bytes],
    connection: &mut Connection,
    environment: &Environment<'_>,
) -> Result<Reply, Refusal> {
    let wishes = Wishes::parse(arguments)?;
    if let Some((user, password)) = wishes.credentials {
        auth::check(user, password, environment.password)?;
        connection.authenticate();
    } else if connection.mode() == SessionMode::Unauthenticated {
        return Err(Refusal::authentication(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the \
             same time",
        ));
    }
    if let Some(name) = wishes.name {
        connection.name(name);
    }
    if let Some(version) = wishes.version {
        connection.speak(version);
    }
    Ok(greeting(connection))
}

/// What a client asks for; every part of it possible.
#[derive(Debug, Default)]
struct Wishes<'a> {
    version: Option<Version>,
    credentials: Option<(&'a Bytes, &'a Bytes)>,
    name: Option<&'a Bytes>,
}

impl<'a> Wishes<'a> {
    fn parse(arguments: &'a [Bytes]) -> Result<Self, Refusal> {
        let mut wishes = Self::default();
        let Some((version, mut options)) = arguments.split_first() else { return Ok(wishes) };
        wishes.version = Some(parse_version(version)?);
        while let [word, rest @ ..] = options {
            options = match rest {
                [user, password, rest @ ..] if word.eq_ignore_ascii_case(b"AUTH") => {
                    wishes.credentials = Some((user, password));
                    rest
                }
                [name, rest @ ..] if word.eq_ignore_ascii_case(b"SETNAME") => {
                    client::check_name(name)?;
                    wishes.name = Some(name);
                    rest
                }
                _ => {
                    let word = printable(word, SHOWN_BYTES);
                    return Err(Refusal::syntax(format!("ERR Syntax error in HELLO option '{word}'")));
                }
            };
        }
        Ok(wishes)
    }
}

fn parse_version(text: &[u8]) -> Result<Version, Refusal> {
    match integer(text) {
        Some(2) => Ok(Version::Resp2),
        Some(3) => Ok(Version::Resp3),
        Some(_) => Err(Refusal::syntax("NOPROTO unsupported protocol version")),
        None => Err(Refusal::syntax("ERR Protocol version is not an integer or out of range")),
    }
}

/// Redis' greeting, and who answers in its place.
fn greeting(connection: &Connection) -> Reply {
    Reply::Map(vec![
        (bulk("server"), bulk("redis")),
        (bulk("version"), bulk(REDIS_VERSION)),
        (bulk("proto"), Reply::Integer(protocol_number(connection.version()))),
        (bulk("id"), client::id(connection)),
        (bulk("mode"), bulk("standalone")),
        (bulk("role"), bulk("master")),
        (bulk("modules"), Reply::Array(Vec::new())),
        (bulk("redlock_proxy"), bulk(PROXY_VERSION)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::tests_support::{Fixture, error};

    fn greeting_in(version: i64) -> Reply {
        Reply::Map(vec![
            (bulk("server"), bulk("redis")),
            (bulk("version"), bulk("7.2.0")),
            (bulk("proto"), Reply::Integer(version)),
            (bulk("id"), Reply::Integer(1)),
            (bulk("mode"), bulk("standalone")),
            (bulk("role"), bulk("master")),
            (bulk("modules"), Reply::Array(Vec::new())),
            (bulk("redlock_proxy"), bulk(PROXY_VERSION)),
        ])
    }

    #[test]
    fn hello_agrees_on_the_protocol_and_alone_tells_the_one_spoken() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.reply("HELLO"), greeting_in(2));
        assert_eq!(fixture.reply("hello 3"), greeting_in(3));
        assert_eq!(fixture.connection.version(), Version::Resp3);
        assert_eq!(fixture.reply("HELLO"), greeting_in(3));
        assert_eq!(fixture.reply("HELLO 2"), greeting_in(2));
        assert_eq!(fixture.connection.version(), Version::Resp2);
    }

    #[test]
    fn a_hello_with_a_mistake_changes_nothing() {
        let mistakes = [
            ("HELLO 4", "NOPROTO unsupported protocol version"),
            ("HELLO 1", "NOPROTO unsupported protocol version"),
            ("HELLO -1 nope", "NOPROTO unsupported protocol version"),
            ("HELLO x", "ERR Protocol version is not an integer or out of range"),
            ("HELLO 03", "ERR Protocol version is not an integer or out of range"),
            ("HELLO AUTH default secret", "ERR Protocol version is not an integer or out of range"),
            ("HELLO 3 SETNAME me AUTH default", "ERR Syntax error in HELLO option 'AUTH'"),
            ("HELLO 3 AUTH default secret SETNAME", "ERR Syntax error in HELLO option 'SETNAME'"),
            ("HELLO 3 AUTH default secret Nope\r\n", "ERR Syntax error in HELLO option 'Nope  '"),
            (
                "HELLO 3 AUTH default secret SETNAME m\ne",
                "ERR Client names cannot contain spaces, newlines or special characters.",
            ),
            ("HELLO 3 SETNAME me AUTH default nope", "WRONGPASS invalid username-password pair or user is disabled."),
            (
                "HELLO 3 SETNAME me",
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
                 <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
                 the same time",
            ),
        ];
        for (line, text) in mistakes {
            let mut fixture = Fixture::with_password("secret");
            assert_eq!(fixture.reply(line), error(text), "{line}");
            assert_eq!(fixture.connection.version(), Version::Resp2, "{line}");
            assert_eq!(fixture.connection.mode(), SessionMode::Unauthenticated, "{line}");
            assert_eq!(fixture.connection.client().details(), crate::clients::ClientDetails::default(), "{line}");
        }
    }

    #[test]
    fn hello_authenticates_and_names_at_once() {
        let mut fixture = Fixture::with_password("secret");
        assert_eq!(fixture.reply("HELLO 3 setname me auth default secret"), greeting_in(3));
        assert_eq!(fixture.reply("CLIENT GETNAME"), bulk("me"));
    }
}
