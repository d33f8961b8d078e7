//! What is looked at in a reply of the upstream, and only of those that may change what the connection is.

use crate::command::Class;
use crate::protocol::parse_integer;

/// A whole reply of the upstream, as far as it is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Glimpse<'a> {
    /// Its type byte, behind attributes.
    pub(super) kind: u8,
    /// All of it; nothing when it was too long to be kept.
    pub(super) bytes: &'a [u8],
}

impl Glimpse<'_> {
    pub(super) fn is_error(&self) -> bool {
        matches!(self.kind, b'-' | b'!')
    }

    pub(super) fn is_arity_error(&self) -> bool {
        // An EXEC that ends the transaction says so first, and why behind it.
        self.is_error() && contains(self.bytes, b"wrong number of arguments") && !self.bytes.starts_with(b"-EXECABORT")
    }

    /// Whether it says that replies cannot be switched off.
    pub(super) fn refuses_silence(&self) -> bool {
        let is_queued = self.bytes == b"+QUEUED\r\n";
        let refusals: [&[u8]; 5] = [b"CLIENT", b"client", b"REPLY", b"-NOAUTH", b"-NOPERM"];
        // Of another subcommand of CLIENT, that is not known: it says nothing of this one.
        let is_other = contains(self.bytes, b"nknown subcommand")
            && !["REPLY", "reply", "Reply"].iter().any(|name| contains(self.bytes, name.as_bytes()));
        is_queued || (self.is_error() && !is_other && refusals.iter().any(|words| contains(self.bytes, words)))
    }
}

fn contains(bytes: &[u8], words: &[u8]) -> bool {
    bytes.windows(words.len()).any(|window| window == words)
}

/// A message to who is subscribed, in RESP2.
pub(super) fn is_message(bytes: &[u8]) -> bool {
    let starts: [&[u8]; 3] = [b"*3\r\n$7\r\nmessage\r\n", b"*3\r\n$8\r\nsmessage\r\n", b"*4\r\n$8\r\npmessage\r\n"];
    starts.iter().any(|start| bytes.starts_with(start))
}

/// `*3` or `>3`: the command's name, what was subscribed to, how many subscriptions there are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Confirmation {
    pub(super) class: Class,
    pub(super) subscribe: bool,
    /// Of channels and patterns together, or of shards.
    pub(super) total: u64,
}

impl Confirmation {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"*3\r\n$").or_else(|| bytes.strip_prefix(b">3\r\n$"))?;
        let starts: [(&[u8], Class, bool); 6] = [
            (b"9\r\nsubscribe\r\n", Class::Channel, true),
            (b"11\r\nunsubscribe\r\n", Class::Channel, false),
            (b"10\r\npsubscribe\r\n", Class::Pattern, true),
            (b"12\r\npunsubscribe\r\n", Class::Pattern, false),
            (b"10\r\nssubscribe\r\n", Class::Shard, true),
            (b"12\r\nsunsubscribe\r\n", Class::Shard, false),
        ];
        let (_, class, subscribe) = starts.into_iter().find(|(start, ..)| rest.starts_with(start))?;
        let number = rest.strip_suffix(b"\r\n")?.rsplit(|byte| *byte == b':').next()?;
        Some(Self { class, subscribe, total: u64::try_from(parse_integer(number)?).ok()? })
    }
}
