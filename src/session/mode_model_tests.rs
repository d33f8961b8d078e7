//! The mode of a connection, against a model of the server: whatever is sent, in whatever mode, with replies as late as
//! they like, the two agree about what is owed and what the connection is.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::tests::reply;
use super::*;
use crate::command::Class;

/// A server's connection, as Redis has it.
#[derive(Debug, Default)]
struct Server {
    /// It does not switch replies off, as Dragonfly does not, and says so, in a transaction too.
    is_talkative: bool,
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
        if self.is_talkative && is_switch(effect) {
            out.push_back(b"-ERR Unknown subcommand or wrong number of arguments for 'REPLY'\r\n".to_vec());
            return;
        }
        match (effect, &mut self.transaction) {
            (Effect::Reset, _) => *self = Self { is_talkative: self.is_talkative, ..Self::default() },
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

fn effects() -> impl Strategy<Value = Effect> {
    let class = prop_oneof![Just(Class::Channel), Just(Class::Pattern), Just(Class::Shard)];
    prop_oneof![
        6 => Just(Effect::None),
        2 => Just(Effect::Multi),
        2 => Just(Effect::Exec),
        1 => Just(Effect::Discard),
        1 => Just(Effect::Reset),
        1 => prop::option::of(prop_oneof![Just(Version::Resp2), Just(Version::Resp3)]).prop_map(Effect::Hello),
        2 => (class.clone(), 1_u64..4).prop_map(|(class, names)| Effect::Subscribe(class, names)),
        2 => (class, 0_u64..4).prop_map(|(class, names)| Effect::Unsubscribe(class, names)),
    ]
}

fn is_switch(effect: Effect) -> bool {
    matches!(effect, Effect::RepliesOff | Effect::SkipNext | Effect::RepliesOn)
}

fn switches() -> impl Strategy<Value = Effect> {
    prop_oneof![Just(Effect::RepliesOff), Just(Effect::SkipNext), Just(Effect::RepliesOn)]
}

/// Runs a script with replies delivered late, by these shares of what is outstanding, and a message now and then.
fn agree(
    mut server: Server,
    script: &[Effect],
    shares: &[prop::sample::Index],
    queues_subscriptions: bool,
) -> Result<(), TestCaseError> {
    let (mut mode, mut out) = (Mode::default(), VecDeque::<Vec<u8>>::new());
    for (place, effect) in script.iter().enumerate() {
        let is_subscription = matches!(effect, Effect::Subscribe(..) | Effect::Unsubscribe(..));
        if is_subscription && server.transaction.is_some() && !queues_subscriptions {
            continue;
        }
        if matches!(effect, Effect::RepliesOff | Effect::SkipNext) && mode.owes() {
            // The gate holds it back until all has been answered.
            for bytes in out.drain(..) {
                prop_assert_eq!(reply(&mut mode, &bytes), Fate::Deliver);
            }
        }
        mode.sent(*effect);
        server.run(*effect, &mut out);
        if server.resp3 && place % 3 == 0 {
            out.push_back(b">2\r\n$10\r\ninvalidate\r\n*0\r\n".to_vec());
        }
        if !server.resp3 && server.total() > 0 && place % 3 == 0 {
            out.push_back(b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n".to_vec());
        }
        let due = shares.get(place % shares.len()).map_or(0, |share| share.index(out.len() + 1));
        for bytes in out.drain(..due) {
            prop_assert_eq!(reply(&mut mode, &bytes), Fate::Deliver);
        }
    }
    for bytes in out.drain(..) {
        prop_assert_eq!(reply(&mut mode, &bytes), Fate::Deliver);
    }
    prop_assert!(!mode.owes(), "{:?}", mode);
    prop_assert_eq!(mode.standing(), server.standing());
    prop_assert_eq!(mode.version() == Version::Resp3, server.resp3);
    Ok(())
}

proptest! {
    #[test]
    fn the_mode_agrees_with_the_server_however_late_its_replies_are(
        script in prop::collection::vec(effects(), 0..40),
        shares in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
    ) {
        agree(Server::default(), &script, &shares, false)?;
    }

    #[test]
    fn so_it_does_where_the_server_refuses_to_be_silent(
        script in prop::collection::vec(prop_oneof![
            4 => Just(Effect::None),
            2 => Just(Effect::Multi),
            2 => Just(Effect::Exec),
            1 => Just(Effect::Discard),
            2 => switches(),
        ], 0..40),
        shares in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
    ) {
        agree(Server { is_talkative: true, ..Server::default() }, &script, &shares, false)?;
    }

    #[test]
    fn so_it_does_where_replies_are_switched_off_and_on(
        parts in prop::collection::vec((
            switches(),
            prop::collection::vec(Just(Effect::None), 0..4),
            any::<bool>(),
        ), 0..8),
        shares in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
    ) {
        let mut script = Vec::new();
        for (switch, plain, on) in parts {
            script.push(switch);
            script.extend(plain);
            if on {
                script.push(Effect::RepliesOn);
            }
        }
        agree(Server::default(), &script, &shares, false)?;
    }

    #[test]
    fn no_bytes_confuse_it_beyond_a_wrong_count(
        script in prop::collection::vec(prop_oneof![effects().prop_map(Some), Just(None)], 0..40),
        replies in prop::collection::vec(prop_oneof![
            Just(b"+OK\r\n".to_vec()), Just(b"-ERR x\r\n".to_vec()), Just(b"+QUEUED\r\n".to_vec()),
            Just(b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n".to_vec()),
            Just(b">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n".to_vec()),
            prop::collection::vec(any::<u8>(), 1..60),
        ], 0..40),
    ) {
        let mut mode = Mode::default();
        let mut replies = replies.into_iter();
        for step in script {
            match step {
                Some(effect) => mode.sent(effect),
                None => if let Some(bytes) = replies.next() { reply(&mut mode, &bytes); },
            }
        }
        mode.asked(true);
        mode.passed_fence();
        prop_assert!(!mode.owes() && !mode.is_in_doubt());
    }
}
