//! A model of the server at the other end of a connection, and of what may happen there: against it the mode of the
//! connection is tested, by the property tests beside this file and by the fuzz target `mode`.
//!
//! Whatever is sent, in whatever mode, with replies as late as they like, the two must agree about what is owed and what the
//! connection is.

use std::collections::VecDeque;

use super::*;
use crate::command::Class;

/// A server's connection, as Redis has it.
#[derive(Debug, Default)]
struct Server {
    resp3: bool,
    transaction: Option<Vec<Effect>>,
    channels: Vec<u64>,
    patterns: Vec<u64>,
    shards: Vec<u64>,
    replies: Replies,
}

impl Server {
    fn run(&mut self, effect: Effect, out: &mut VecDeque<Vec<u8>>) {
        let muted = match self.replies {
            Replies::On => false,
            Replies::Off => true,
            Replies::Skip => {
                self.replies = Replies::On;
                true
            }
        };
        let mut said = Vec::new();
        let forbidden = !self.resp3
            && self.total() > 0
            && !matches!(effect, Effect::Subscribe(..) | Effect::Unsubscribe(..) | Effect::Reset | Effect::None);
        match (effect, &mut self.transaction) {
            (Effect::Reset, _) => *self = Self::default(),
            _ if forbidden => {}
            (Effect::Multi, transaction @ None) => *transaction = Some(Vec::new()),
            (Effect::Exec | Effect::Discard, transaction @ Some(_)) => {
                let queued = transaction.take().unwrap_or_default();
                if effect == Effect::Exec {
                    for effect in queued {
                        self.hello(effect);
                    }
                }
            }
            (Effect::Multi | Effect::Discard | Effect::Exec, _) => {}
            (effect, Some(queued)) => {
                queued.push(effect);
                said.push(b"+QUEUED\r\n".to_vec());
            }
            (Effect::Hello(_), None) => self.hello(effect),
            (Effect::Subscribe(class, names), None) => self.subscribe(class, names, &mut said),
            (Effect::Unsubscribe(class, names), None) => self.unsubscribe(class, names, &mut said),
            (Effect::RepliesOff, None) => {
                self.replies = Replies::Off;
                return;
            }
            (Effect::SkipNext, None) => {
                if self.replies == Replies::On {
                    self.replies = Replies::Skip;
                }
                return;
            }
            (Effect::RepliesOn, None) => {
                self.replies = Replies::On;
                out.push_back(b"+OK\r\n".to_vec());
                return;
            }
            _ => {}
        }
        if said.is_empty() {
            said.push(if forbidden { b"-ERR Can't execute".to_vec() } else { b"+RESULT\r\n".to_vec() });
        }
        let pushed = matches!(effect, Effect::Subscribe(..) | Effect::Unsubscribe(..)) && self.resp3;
        if !muted || effect == Effect::Reset || (pushed && self.transaction.is_none()) {
            out.extend(said);
        }
    }

    fn hello(&mut self, effect: Effect) {
        if let Effect::Hello(Some(version)) = effect {
            self.resp3 = version == Version::Resp3;
        }
    }

    fn total(&self) -> usize {
        self.channels.len() + self.patterns.len() + self.shards.len()
    }

    fn of(&mut self, class: Class) -> &mut Vec<u64> {
        match class {
            Class::Channel => &mut self.channels,
            Class::Pattern => &mut self.patterns,
            Class::Shard => &mut self.shards,
        }
    }

    fn confirm(&self, class: Class, subscribe: bool) -> Vec<u8> {
        let name = match (class, subscribe) {
            (Class::Channel, true) => "subscribe",
            (Class::Channel, false) => "unsubscribe",
            (Class::Pattern, true) => "psubscribe",
            (Class::Pattern, false) => "punsubscribe",
            (Class::Shard, true) => "ssubscribe",
            (Class::Shard, false) => "sunsubscribe",
        };
        let count = match class {
            Class::Shard => self.shards.len(),
            _ => self.channels.len() + self.patterns.len(),
        };
        let kind = if self.resp3 { '>' } else { '*' };
        format!("{kind}3\r\n${}\r\n{name}\r\n$1\r\na\r\n:{count}\r\n", name.len()).into_bytes()
    }

    fn subscribe(&mut self, class: Class, names: u64, said: &mut Vec<Vec<u8>>) {
        for name in 0..names {
            if !self.of(class).contains(&name) {
                self.of(class).push(name);
            }
            said.push(self.confirm(class, true));
        }
    }

    fn unsubscribe(&mut self, class: Class, names: u64, said: &mut Vec<Vec<u8>>) {
        let names: Vec<u64> = if names == 0 { self.of(class).clone() } else { (0..names).collect() };
        for name in &names {
            self.of(class).retain(|other| other != name);
            said.push(self.confirm(class, false));
        }
        if names.is_empty() {
            said.push(self.confirm(class, false));
        }
    }

    fn standing(&self) -> Standing {
        match () {
            () if self.replies != Replies::On => Standing::Muted,
            () if self.transaction.is_some() => Standing::Transaction,
            () if !self.resp3 && self.total() > 0 => Standing::Subscribed,
            () => Standing::Normal,
        }
    }
}

/// What the upstream has said and nobody has read yet.
#[derive(Debug)]
enum Said {
    Reply(Vec<u8>),
    /// The answer to the proxy's own `ECHO`.
    Fence,
}

/// A connection, seen from both of its ends.
#[derive(Debug, Default)]
pub(super) struct Both {
    mode: Mode,
    server: Server,
    out: VecDeque<Said>,
}

impl Both {
    /// A command goes to the server, which runs it at once. What nobody could count is left out: subscriptions in a
    /// transaction, and anything but plain commands where replies are switched off.
    pub(super) fn send(&mut self, effect: Effect) {
        let is_subscription = matches!(effect, Effect::Subscribe(..) | Effect::Unsubscribe(..));
        let is_switch = matches!(effect, Effect::RepliesOn | Effect::RepliesOff | Effect::SkipNext);
        let is_countable = match (&self.server.transaction, self.server.replies) {
            (Some(_), _) => !is_subscription && !is_switch,
            (None, Replies::On) => !is_switch || self.server.total() == 0,
            (None, _) => is_switch || effect == Effect::None,
        };
        if is_countable {
            self.mode.sent(effect);
            let mut said = VecDeque::new();
            self.server.run(effect, &mut said);
            self.out.extend(said.into_iter().map(Said::Reply));
        }
    }

    /// The server says something unasked, if anybody has asked for that.
    pub(super) fn message(&mut self) {
        if self.server.resp3 {
            self.out.push_back(Said::Reply(b">2\r\n$10\r\ninvalidate\r\n*0\r\n".to_vec()));
        } else if self.server.total() > 0 {
            self.out.push_back(Said::Reply(b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n".to_vec()));
        }
    }

    /// The proxy asks whether all has been run, as it may do outside of transactions, where it will be answered.
    fn fence(&mut self) {
        if self.server.transaction.is_none() && self.server.replies == Replies::On {
            self.mode.asked(true);
            let is_refused = !self.server.resp3 && self.server.total() > 0;
            self.out.push_back(if is_refused { Said::Reply(b"-ERR Can't execute".to_vec()) } else { Said::Fence });
        }
    }

    /// How many replies are under way.
    pub(super) fn under_way(&self) -> usize {
        self.out.len()
    }

    /// So many replies arrive.
    pub(super) fn deliver(&mut self, count: usize) {
        for said in self.out.drain(..count) {
            match said {
                Said::Fence => {
                    self.mode.passed_fence();
                    assert!(!self.mode.has_lost_count(), "{:?}", self.mode);
                }
                Said::Reply(bytes) => {
                    let is_refused_fence =
                        bytes.starts_with(b"-ERR Can't") && self.mode.owed.front() == Some(Awaited::Fence);
                    let fate = if is_refused_fence { Fate::Answer } else { Fate::Deliver };
                    assert_eq!(reply(&mut self.mode, &bytes), fate, "{}", bytes.escape_ascii());
                }
            }
        }
        self.check();
    }

    /// Where nothing is under way, the two agree.
    fn check(&self) {
        if self.out.is_empty() {
            assert!(!self.mode.owes(), "{:?}", self.mode);
            assert_eq!(self.mode.standing(), self.server.standing(), "{:?}: {:?}", self.mode, self.server);
            assert_eq!(self.mode.version() == Version::Resp3, self.server.resp3, "{:?}", self.mode);
        }
    }

    /// The end: everything arrives.
    pub(super) fn finish(mut self) {
        self.deliver(self.out.len());
    }
}

/// A reply arrives, as it does in a session.
pub(super) fn reply(mode: &mut Mode, bytes: &[u8]) -> Fate {
    let kind = bytes.first().copied().unwrap_or_default();
    if kind != b'>' && mode.expects_anything() {
        mode.answered_plainly();
        return Fate::Deliver;
    }
    mode.answered(Glimpse { kind, bytes })
}

/// Runs a connection by a script of letters; panics where its two ends disagree.
///
/// `n` a command like any other, `b` one that blocks, `a` AUTH · `m`, `e`, `d`, `r` MULTI, EXEC, DISCARD, RESET · `h`, `2`, `3` HELLO,
/// without a version or with this · `s`, `p`, `t` and a digit: to subscribe to so many channels, patterns, shards; in capitals: to
/// unsubscribe · `f`, `k`, `o` CLIENT REPLY OFF, SKIP, ON · `i` a message · `?` a fence · `.` and `!`: a reply arrives, or all do.
///
/// A script that begins with `*` has a server that says what it likes: `<`, a digit, and twice as many bytes behind it arrive (a letter is a larger digit). Then the two
/// cannot agree, but nothing may panic, and a fence must end all doubt.
pub(in crate::session) fn follow(script: &[u8]) {
    if let Some(script) = script.strip_prefix(b"*") {
        return follow_a_liar(script);
    }
    let mut both = Both::default();
    let mut letters = script.iter().copied().peekable();
    while let Some(letter) = letters.next() {
        let names = u64::from(letters.peek().filter(|next| next.is_ascii_digit()).map_or(1, |digit| digit - b'0'));
        match letter {
            b'i' => both.message(),
            b'?' => both.fence(),
            b'.' => both.deliver(both.under_way().min(1)),
            b'!' => both.deliver(both.under_way()),
            letter => {
                if let Some(effect) = effect(letter, names) {
                    both.send(effect);
                }
            }
        }
    }
    both.finish();
}

fn follow_a_liar(script: &[u8]) {
    let (mut mode, mut is_fenced, mut rest) = (Mode::default(), false, script);
    while let Some((letter, behind)) = rest.split_first() {
        rest = behind;
        let names = u64::from(rest.first().filter(|next| next.is_ascii_digit()).map_or(1, |digit| digit - b'0'));
        match letter {
            b'<' => {
                let length = rest.first().map_or(0, |digit| 2 * usize::from(digit.saturating_sub(b'0')));
                let (bytes, behind) = rest.split_at(rest.len().min(1 + length));
                rest = behind;
                reply(&mut mode, bytes.get(1..).unwrap_or_default());
            }
            b'?' if !is_fenced => {
                mode.asked(true);
                is_fenced = true;
            }
            b'!' if is_fenced => {
                mode.passed_fence();
                assert!(!mode.has_lost_count());
                is_fenced = false;
            }
            b'Q' => mode.asked(false),
            b'u' => mode.retract(),
            b'w' => mode.swallow(),
            b'v' => mode.poison(),
            b'y' => mode.skipped(),
            b'z' => mode.discarded(),
            b'q' => mode.sent(Effect::Quit),
            b'M' => mode.sent(Effect::Monitor),
            b'Y' => mode.sent(Effect::Replicate),
            letter => {
                if let Some(effect) = effect(*letter, names) {
                    mode.sent(effect);
                }
            }
        }
    }
    // The last of the fences that may be in the line has everything in front of it.
    mode.asked(true);
    while mode.owes() {
        mode.passed_fence();
    }
    assert!(!mode.is_in_doubt(), "{mode:?}");
}

fn effect(letter: u8, names: u64) -> Option<Effect> {
    Some(match letter {
        b'n' => Effect::None,
        b'b' => Effect::Blocks,
        b'a' => Effect::Authenticate,
        b'm' => Effect::Multi,
        b'e' => Effect::Exec,
        b'd' => Effect::Discard,
        b'r' => Effect::Reset,
        b'h' => Effect::Hello(None),
        b'2' => Effect::Hello(Some(Version::Resp2)),
        b'3' => Effect::Hello(Some(Version::Resp3)),
        b's' => Effect::Subscribe(Class::Channel, names.max(1)),
        b'p' => Effect::Subscribe(Class::Pattern, names.max(1)),
        b't' => Effect::Subscribe(Class::Shard, names.max(1)),
        b'S' => Effect::Unsubscribe(Class::Channel, names),
        b'P' => Effect::Unsubscribe(Class::Pattern, names),
        b'T' => Effect::Unsubscribe(Class::Shard, names),
        b'f' => Effect::RepliesOff,
        b'k' => Effect::SkipNext,
        b'o' => Effect::RepliesOn,
        _ => return None,
    })
}
