//! What a new connection must show before anything it answers counts.
//!
//! The questions go over the link itself, since another connection may reach another server: who is this connection
//! (CLIENT ID, for a later CLIENT KILL), what process is it connected to, is that a primary, and does the same process
//! answer under another primary's address already? What the server can do is `control`'s matter.

use redis::InfoDict;

use super::census::Soundness;
use super::control::Survey;
use super::dialect::Dialect;
use super::incarnation::Claim;
use super::pipeline::TailAnswers;
use super::settings::Settings;
use super::succession::Succession;
use super::trouble::{classify, own_words, unexpected};
use super::vouching;
use super::wire::Wire;
use crate::clock::Clock;
use crate::coordinator::Trouble;
use crate::protocol::{Answer, parse_integer};

/// How often one former connection is killed before the server's word is taken that it is gone.
const KILLS: usize = 1_000;

/// A connection that may carry votes.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) wire: Wire,
    /// The server's number for this connection.
    pub(super) client_id: i64,
    /// The process that the server is.
    pub(super) run: String,
    pub(super) dialect: Dialect,
    /// What the server's clock showed last, in microseconds of unix time.
    pub(super) time: u64,
    /// The server's name and version.
    pub(super) server: String,
    /// The policy by which it may drop live locks, where it may.
    pub(super) eviction: Option<String>,
    /// Whether it votes.
    pub(super) soundness: Soundness,
}

/// Opens a connection to the primary and asks it everything.
pub(super) async fn admit(settings: &Settings, clock: Clock, succession: &mut Succession) -> Result<Admitted, Trouble> {
    let (identified, survey) = tokio::join!(identify(settings), Survey::take(settings));
    // What the link says comes first: a replica refuses some of the survey's questions, too.
    let (mut wire, client_id, run) = identified?;
    let survey = survey?;
    if survey.run != run {
        // The server was replaced between the two connections.
        return Err(Trouble::ConnectionLost);
    }
    match settings.incarnations.claim(settings.node, &run) {
        Claim::Same => {}
        Claim::Changed => settings.counters.incarnation_changes.increment(),
        Claim::DuplicateOf(other) => return Err(Trouble::DuplicateOf(settings.addresses[other.index()].clone())),
    }
    if let Some(policy) = &survey.eviction {
        tracing::warn!(
            primary = %settings.endpoint.address,
            policy,
            "this primary may evict keys, and drops live locks when it does: set its policy to noeviction"
        );
    }
    end_former_connections(&mut wire, succession, &run).await?;
    let asked = clock.now();
    let time = wire.demand(&[b"TIME"]).await?;
    let soundness = match &settings.vouching {
        None => Soundness::Sound,
        Some(vouching) => {
            let marker = wire.ask(&[b"GET", vouching.key()]).await?;
            let look = vouching::look(&TailAnswers { clock: &time, asked, marker: &marker }, clock.now())?;
            vouching.admitted(settings.node, &run, &look)
        }
    };
    if let Soundness::Foreign(set) = soundness {
        settings.vouching.iter().for_each(|vouching| vouching.lost(settings.node));
        return Err(Trouble::OfAnotherSet(set));
    }
    let time = unix_micros(&time).ok_or_else(unexpected)?;
    Ok(Admitted {
        wire,
        client_id,
        run,
        dialect: survey.dialect,
        time,
        server: survey.server,
        eviction: survey.eviction,
        soundness,
    })
}

/// Connects, and asks who is at both ends of the connection: the wire, the server's number for it, the server's run.
async fn identify(settings: &Settings) -> Result<(Wire, i64, String), Trouble> {
    let mut wire = Wire::connect(&settings.endpoint.address, &settings.tcp, settings.reply_nesting).await?;
    greet(&mut wire, settings).await?;
    let Answer::Integer(client_id) = wire.demand(&[b"CLIENT", b"ID"]).await? else {
        return Err(Trouble::Other("CLIENT ID was not answered by a number".into()));
    };
    require_primary(&mut wire).await?;
    let run = run_of(&info(&mut wire).await?)?;
    Ok((wire, client_id, run))
}

async fn greet(wire: &mut Wire, settings: &Settings) -> Result<(), Trouble> {
    let endpoint = &settings.endpoint;
    if let Some(password) = &endpoint.password {
        let user = endpoint.user.as_deref().unwrap_or("default");
        let password = password.expose();
        // The one-argument form is understood by servers without ACLs too.
        let answer = if endpoint.user.is_some() {
            wire.ask(&[b"AUTH", user.as_bytes(), password.as_bytes()]).await?
        } else {
            wire.ask(&[b"AUTH", password.as_bytes()]).await?
        };
        if let Answer::Error(error) = answer {
            return Err(match classify(&error) {
                Trouble::Other(_) => Trouble::AuthenticationFailed,
                trouble => trouble,
            });
        }
    }
    if endpoint.database != 0 {
        wire.demand(&[b"SELECT", endpoint.database.to_string().as_bytes()]).await?;
    }
    // Only for who looks at CLIENT LIST there: a server that knows no names is none the worse. But a server that is full
    // says so in place of the first answer, and closes.
    match wire.ask(&[b"CLIENT", b"SETNAME", b"redlock-proxy"]).await? {
        Answer::Error(error) => match classify(&error) {
            Trouble::Other(_) => Ok(()),
            trouble => Err(trouble),
        },
        _ => Ok(()),
    }
}

async fn require_primary(wire: &mut Wire) -> Result<(), Trouble> {
    let answer = wire.demand(&[b"ROLE"]).await?;
    if is_primary(&answer) { Ok(()) } else { Err(Trouble::Replica) }
}

/// Whether an answer to ROLE says that the server is a primary (in the word that servers use).
pub(super) fn is_primary(role: &Answer) -> bool {
    match role {
        Answer::Array(fields) => matches!(fields.first(), Some(Answer::Bulk(role)) if role.as_ref() == b"master"),
        _ => false,
    }
}

/// The answer to TIME, in microseconds of unix time. Its parts are bulks, on Dragonfly integers.
pub(super) fn unix_micros(answer: &Answer) -> Option<u64> {
    let Answer::Array(parts) = answer else { return None };
    let [seconds, micros] = parts.as_slice() else { return None };
    let number = |part: &Answer| match part {
        Answer::Bulk(digits) => u64::try_from(parse_integer(digits)?).ok(),
        Answer::Integer(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    number(seconds)?.checked_mul(1_000_000)?.checked_add(number(micros)?)
}

async fn info(wire: &mut Wire) -> Result<InfoDict, Trouble> {
    match wire.demand(&[b"INFO"]).await? {
        Answer::Bulk(text) => Ok(InfoDict::new(&String::from_utf8_lossy(&text))),
        _ => Err(Trouble::Other("INFO was not answered by a text".into())),
    }
}

/// The name of the process: `run_id`, or where there is none (Dragonfly) the replication id, which a primary draws anew
/// at each start as well.
pub(super) fn run_of(info: &InfoDict) -> Result<String, Trouble> {
    info.get::<String>("run_id")
        .or_else(|| info.get::<String>("master_replid"))
        .filter(|run| !run.is_empty())
        .ok_or_else(|| Trouble::Other("INFO shows neither run_id nor master_replid".into()))
}

async fn end_former_connections(wire: &mut Wire, succession: &mut Succession, run: &str) -> Result<(), Trouble> {
    for _ in 0..KILLS {
        let Some(former) = succession.next_to_kill(run) else { return Ok(()) };
        let ended = match wire.ask(&[b"CLIENT", b"KILL", b"ID", former.to_string().as_bytes()]).await? {
            Answer::Integer(ended) => Some(ended),
            Answer::Error(error) => {
                let reason = own_words(&error);
                tracing::warn!(%reason, "CLIENT KILL was refused: what a lost link still had under way may run late");
                None
            }
            _ => None,
        };
        succession.killed(former, ended);
    }
    Err(Trouble::Other("a former connection cannot be ended by CLIENT KILL".into()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn time_is_read_in_bulks_and_in_integers_and_nothing_else_is_a_time() {
        let bulk = |digits: &'static str| Answer::Bulk(Bytes::from_static(digits.as_bytes()));
        let array = |parts: &[&Answer]| Answer::Array(parts.iter().map(|part| (*part).clone()).collect());
        let (seconds, micros) = (bulk("1763765000"), bulk("123456"));
        assert_eq!(unix_micros(&array(&[&seconds, &micros])), Some(1_763_765_000_123_456));
        let dragonfly = array(&[&Answer::Integer(1_763_765_000), &Answer::Integer(123_000)]);
        assert_eq!(unix_micros(&dragonfly), Some(1_763_765_000_123_000));
        for no_time in [
            array(&[]),
            array(&[&seconds]),
            array(&[&seconds, &micros, &micros]),
            array(&[&bulk("-1"), &micros]),
            array(&[&bulk("soon"), &micros]),
            array(&[&Answer::Null, &micros]),
            array(&[&bulk("9223372036854775807"), &micros]),
            Answer::Integer(1_763_765_000),
            Answer::Error(Bytes::from_static(b"ERR")),
        ] {
            assert_eq!(unix_micros(&no_time), None, "{no_time:?}");
        }
    }
}
