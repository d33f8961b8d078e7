//! `COMMAND …` where there is an upstream: its commands and the proxy's, in one answer.
//!
//! The upstream is asked first, and what it says is not decoded: its header is written anew, with a larger count, and
//! the proxy's entries follow. Only a question for commands of both, by name, needs the places of the upstream's entries.

use bytes::{Bytes, BytesMut};

use super::command;
use crate::command::CommandError;
use crate::command::table::{self, Action, Entry, LocalCommand};
use crate::protocol::{Reply, ReplyScanner, Version, encode_request, parse_integer};
use crate::router::LocalRequest;

/// Levels of aggregates in an entry about one command: far more than there are.
const ENTRY_NESTING: usize = 64;

/// What is done with a question about commands.
#[derive(Debug)]
pub enum Question {
    /// The proxy knows the answer.
    Known(Reply),
    /// The upstream is asked first.
    Ask(Merge),
}

/// A question for the upstream, and what to do with its answer.
#[derive(Debug)]
pub struct Merge {
    words: Vec<Bytes>,
    part: Part,
}

/// What the proxy adds.
#[derive(Debug)]
enum Part {
    /// Nothing.
    Nothing,
    /// To a number.
    Count,
    /// Elements, behind the upstream's; alone when the upstream does not know the question.
    Elements(Vec<Reply>),
    /// Pairs, behind the upstream's; alone when the upstream cannot answer, or is not there.
    Pairs(Vec<(Reply, Reply)>),
    /// Elements in the places where there is one; the upstream's fill the others.
    Places(Vec<Option<Reply>>),
}

/// The lock commands: all others are the upstream's.
fn own(name: &[u8]) -> Option<&'static Entry> {
    table::find_by_name(name).filter(|entry| matches!(entry.action, Action::Lock(_)))
}

fn all_own() -> impl Iterator<Item = &'static Entry> {
    table::all().filter(|entry| matches!(entry.action, Action::Lock(_)))
}

impl Question {
    /// The question that this request asks, if it is one of the COMMAND family.
    pub fn of(request: &LocalRequest) -> Result<Self, CommandError> {
        use LocalCommand as C;
        let names = &request.arguments;
        let ask = |subcommand: Option<&'static str>, names: &mut dyn Iterator<Item = &Bytes>, part| {
            let words =
                [Some("COMMAND"), subcommand].into_iter().flatten().map(|word| Bytes::from_static(word.as_bytes()));
            Self::Ask(Merge { words: words.chain(names.cloned()).collect(), part })
        };
        let details =
            |entries: &mut dyn Iterator<Item = &'static Entry>| Part::Elements(entries.map(command::details).collect());
        let documented =
            |entries: &mut dyn Iterator<Item = &'static Entry>| Part::Pairs(entries.map(command::documented).collect());
        Ok(match request.command {
            C::Command => ask(None, &mut [].iter(), details(&mut all_own())),
            C::CommandCount => ask(Some("COUNT"), &mut [].iter(), Part::Count),
            C::CommandList => {
                let Ok(Reply::Array(listed)) = command::list_of(names, all_own()) else {
                    // The upstream says what is wrong with it.
                    return Ok(ask(Some("LIST"), &mut names.iter(), Part::Nothing));
                };
                ask(Some("LIST"), &mut names.iter(), Part::Elements(listed))
            }
            C::CommandInfo if names.is_empty() => ask(Some("INFO"), &mut [].iter(), details(&mut all_own())),
            C::CommandInfo => {
                let places: Vec<_> = names.iter().map(|name| own(name).map(command::details)).collect();
                if places.iter().all(Option::is_some) {
                    return Ok(Self::Known(Reply::Array(places.into_iter().flatten().collect())));
                }
                let others: Vec<_> = names.iter().filter(|name| own(name).is_none()).collect();
                let part = if others.len() == names.len() { Part::Nothing } else { Part::Places(places) };
                ask(Some("INFO"), &mut others.into_iter(), part)
            }
            C::CommandDocs if names.is_empty() => ask(Some("DOCS"), &mut [].iter(), documented(&mut all_own())),
            C::CommandDocs => {
                let part = documented(&mut names.iter().filter_map(|name| own(name)));
                let others: Vec<_> = names.iter().filter(|name| own(name).is_none()).collect();
                match part {
                    Part::Pairs(pairs) if others.is_empty() => Self::Known(Reply::Map(pairs)),
                    part => ask(Some("DOCS"), &mut others.into_iter(), part),
                }
            }
            C::CommandGetKeys | C::CommandGetKeysAndFlags => {
                let with_flags = request.command == C::CommandGetKeysAndFlags;
                if names.first().is_some_and(|name| own(name).is_some()) {
                    let keys = command::keys(names, with_flags);
                    return Ok(Self::Known(keys.unwrap_or_else(Reply::from)));
                }
                let subcommand = if with_flags { "GETKEYSANDFLAGS" } else { "GETKEYS" };
                ask(Some(subcommand), &mut names.iter(), Part::Nothing)
            }
            _ => return Err(CommandError::Syntax),
        })
    }
}

impl Merge {
    /// The question as the upstream is asked it.
    pub fn encode(&self, out: &mut BytesMut) {
        let words: Vec<&[u8]> = self.words.iter().map(AsRef::as_ref).collect();
        encode_request(&words, out);
    }

    /// What there is to say without the upstream, when that is better than nothing.
    pub fn alone(self) -> Option<Reply> {
        match self.part {
            Part::Pairs(pairs) => Some(Reply::Map(pairs)),
            _ => None,
        }
    }

    /// The upstream's answer with the proxy's part; the answer as it is where they do not fit together.
    pub fn merge(self, answer: &[u8], version: Version) -> BytesMut {
        let is_at_a_loss = answer.first() == Some(&b'-')
            && ![&b"-NOAUTH"[..], b"-NOPERM"].iter().any(|prefix| answer.starts_with(prefix));
        let merged = match self.part {
            // Dragonfly knows few of these questions, and redis-cli asks what it is to hint at.
            Part::Pairs(pairs) if is_at_a_loss => Some(encoded(&Reply::Map(pairs), version)),
            Part::Elements(elements) if is_at_a_loss && !elements.is_empty() => {
                Some(encoded(&Reply::Array(elements), version))
            }
            part => merged(part, answer, version),
        };
        merged.unwrap_or_else(|| BytesMut::from(answer))
    }
}

fn encoded(reply: &Reply, version: Version) -> BytesMut {
    let mut out = BytesMut::new();
    reply.encode(version, &mut out);
    out
}

fn merged(part: Part, answer: &[u8], version: Version) -> Option<BytesMut> {
    let end = answer.windows(2).position(|pair| pair == b"\r\n")?;
    let (header, body) = (answer.get(..end)?, answer.get(end + 2..)?);
    let (kind, digits) = header.split_first()?;
    let count = parse_integer(digits)?;
    let mut out = BytesMut::with_capacity(answer.len() + 4_096);
    let line = |count: i64| format!("{}{count}\r\n", char::from(*kind));
    match (part, kind) {
        (Part::Count, b':') => {
            out.extend_from_slice(line(count.checked_add(i64::try_from(all_own().count()).ok()?)?).as_bytes());
        }
        (Part::Elements(elements), b'*' | b'~') => {
            out.extend_from_slice(line(count.checked_add(i64::try_from(elements.len()).ok()?)?).as_bytes());
            out.extend_from_slice(body);
            for element in elements {
                element.encode(version, &mut out);
            }
        }
        (Part::Pairs(pairs), b'*' | b'%') => {
            let each = if *kind == b'%' { 1 } else { 2 };
            out.extend_from_slice(line(count.checked_add(i64::try_from(pairs.len()).ok()? * each)?).as_bytes());
            out.extend_from_slice(body);
            for (name, value) in pairs {
                name.encode(version, &mut out);
                value.encode(version, &mut out);
            }
        }
        (Part::Places(places), b'*') => {
            out.extend_from_slice(line(i64::try_from(places.len()).ok()?).as_bytes());
            let mut rest = body;
            for place in places {
                if let Some(reply) = place {
                    reply.encode(version, &mut out);
                    continue;
                }
                let scan = ReplyScanner::new(ENTRY_NESTING).scan(rest).ok()?;
                scan.ended?;
                let (element, behind) = rest.split_at_checked(scan.consumed)?;
                out.extend_from_slice(element);
                rest = behind;
            }
        }
        _ => return None,
    }
    Some(out)
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
