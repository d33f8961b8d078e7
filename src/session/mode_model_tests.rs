//! The mode of a connection, against a model of the server: scripts that proptest makes, and those of the fuzz target's corpus.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::model::{Both, follow, reply};
use super::*;
use crate::command::Class;

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

/// Runs a script with replies delivered late, by these shares of what is outstanding, and a message now and then.
fn agree(script: &[Effect], shares: &[prop::sample::Index]) {
    let mut both = Both::default();
    for (place, effect) in script.iter().enumerate() {
        both.send(*effect);
        if place % 3 == 0 {
            both.message();
        }
        let share = shares.get(place % shares.len());
        both.deliver(share.map_or(0, |share| share.index(both.under_way() + 1)));
    }
    both.finish();
}

proptest! {
    #[test]
    fn the_mode_agrees_with_the_server_however_late_its_replies_are(
        script in prop::collection::vec(effects(), 0..40),
        shares in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
    ) {
        agree(&script, &shares);
    }

    #[test]
    fn so_it_does_where_replies_are_switched_off_and_on(
        parts in prop::collection::vec((
            prop_oneof![Just(Effect::RepliesOff), Just(Effect::SkipNext), Just(Effect::RepliesOn)],
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
        agree(&script, &shares);
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

    #[test]
    fn any_script_of_the_fuzz_target_holds(script in "[*]?[nbamedrh23sptSPTfkoi?.!<0-9 ]{0,60}") {
        follow(script.as_bytes());
    }
}

#[test]
fn the_corpus_of_the_fuzz_target_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/mode");
    let files: Vec<_> = fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("readable").path()).collect();
    assert!(files.len() > 10, "{} has {} files", folder.display(), files.len());
    for file in files {
        follow(&fs::read(file).expect("readable"));
    }
}
