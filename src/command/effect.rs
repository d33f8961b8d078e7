//! What a command that goes to the upstream does to its connection, as far as the proxy has to know.
//!
//! Nearly all commands do nothing of the kind: one reply comes, and that is it. The others open transactions, bring
//! messages unasked, switch replies off or end the protocol; whoever counts replies must know them. They are told by
//! their first words, so that nothing of a request needs to be decoded.

use crate::protocol::{Head, Version};

/// See the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// One reply.
    None,
    /// One reply, which may take for ever.
    Blocks,
    /// `MULTI`
    Multi,
    /// `EXEC`
    Exec,
    /// `DISCARD`
    Discard,
    /// `RESET`
    Reset,
    /// `QUIT`
    Quit,
    /// `HELLO`, with the version that it asks for.
    Hello(Option<Version>),
    /// `AUTH`
    Authenticate,
    /// `SUBSCRIBE` and its kin: one confirmation for each of so many names.
    Subscribe(Class, u64),
    /// `UNSUBSCRIBE` and its kin; no name stands for all.
    Unsubscribe(Class, u64),
    /// `CLIENT REPLY ON`
    RepliesOn,
    /// `CLIENT REPLY OFF`
    RepliesOff,
    /// `CLIENT REPLY SKIP`
    SkipNext,
    /// `MONITOR`
    Monitor,
    /// `SYNC`, `PSYNC`: what follows is another protocol.
    Replicate,
}

/// What is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// `SUBSCRIBE`
    Channel,
    /// `PSUBSCRIBE`
    Pattern,
    /// `SSUBSCRIBE`
    Shard,
}

impl Effect {
    /// The effect of the request that begins so.
    pub fn of(head: &Head) -> Self {
        let names = head.words.saturating_sub(1);
        match head.word(0) {
            b"blpop" | b"brpop" | b"blmove" | b"brpoplpush" | b"bzpopmin" | b"bzpopmax" | b"blmpop" | b"bzmpop"
            | b"xread" | b"xreadgroup" | b"wait" | b"waitaof" => Self::Blocks,
            b"multi" => Self::Multi,
            b"exec" => Self::Exec,
            b"discard" => Self::Discard,
            b"reset" => Self::Reset,
            b"quit" => Self::Quit,
            b"hello" => Self::Hello(match head.word(1) {
                b"2" => Some(Version::Resp2),
                b"3" => Some(Version::Resp3),
                _ => None,
            }),
            b"auth" => Self::Authenticate,
            // Without a name it is an error, which is one reply.
            b"subscribe" => Self::Subscribe(Class::Channel, names),
            b"psubscribe" => Self::Subscribe(Class::Pattern, names),
            b"ssubscribe" => Self::Subscribe(Class::Shard, names),
            b"unsubscribe" => Self::Unsubscribe(Class::Channel, names),
            b"punsubscribe" => Self::Unsubscribe(Class::Pattern, names),
            b"sunsubscribe" => Self::Unsubscribe(Class::Shard, names),
            b"client" if head.word(1) == b"reply" && head.words == 3 => match head.word(2) {
                b"on" => Self::RepliesOn,
                b"off" => Self::RepliesOff,
                b"skip" => Self::SkipNext,
                _ => Self::None,
            },
            b"monitor" => Self::Monitor,
            b"sync" | b"psync" => Self::Replicate,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Beginning, RequestDelimiter};

    fn effect(line: &str) -> Effect {
        match RequestDelimiter::beginning(format!("{line}\r\n").as_bytes(), |_| true) {
            Beginning::Request(head) => Effect::of(&head),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn commands_that_change_their_connection_are_known_in_any_case() {
        for (line, expected) in [
            ("MULTI", Effect::Multi),
            ("Exec", Effect::Exec),
            ("HELLO", Effect::Hello(None)),
            ("HELLO 3 AUTH a b", Effect::Hello(Some(Version::Resp3))),
            ("HELLO 4", Effect::Hello(None)),
            ("subscribe a b c", Effect::Subscribe(Class::Channel, 3)),
            ("SUBSCRIBE", Effect::Subscribe(Class::Channel, 0)),
            ("PUNSUBSCRIBE", Effect::Unsubscribe(Class::Pattern, 0)),
            ("SUNSUBSCRIBE a", Effect::Unsubscribe(Class::Shard, 1)),
            ("client REPLY off", Effect::RepliesOff),
            ("CLIENT REPLY skip", Effect::SkipNext),
            ("CLIENT REPLY ON", Effect::RepliesOn),
            ("BLPOP a 0", Effect::Blocks),
            ("PSYNC ? -1", Effect::Replicate),
        ] {
            assert_eq!(effect(line), expected, "{line}");
        }
    }

    #[test]
    fn all_others_are_answered_by_one_reply() {
        for line in [
            "GET a",
            "SET a b",
            "CLIENT REPLY",
            "CLIENT REPLY OFF x",
            "CLIENT REPLY MAYBE",
            "CLIENT ID",
            "PING",
            "EVAL x 0",
            "MULTIPLY",
            "SUBSCRIBED a",
        ] {
            assert_eq!(effect(line), Effect::None, "{line}");
        }
    }
}
