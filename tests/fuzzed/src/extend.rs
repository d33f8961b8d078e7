//! Extensions: the table of verdicts of `lock::extend`, counted once more from who said what.
//!
//! Letters, the first three with a primary: `e` extended · `l` lacks it · `u` unknown · `+` and a digit: time goes by · `.` a look.

use redlock_proxy::lock::{Extend, ExtendVerdict, ExtendVote, NodeSet};

use crate::script::{Script, Time};

/// Runs an extension by the script; panics where it does not follow the table.
pub fn extend(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(quorum) = script.quorum() else { return };
    let (mut core, mut time) = (Extend::new(quorum), Time::begin());
    let mut said = vec![None; quorum.total()];
    let mut verdict = None;
    loop {
        let letter = script.letter();
        match letter {
            Some(b'+') => time.pass(script.digit().unwrap_or(0)),
            Some(letter @ (b'e' | b'l' | b'f' | b'u')) => {
                let Some(node) = script.node(quorum) else { continue };
                let vote = match letter {
                    b'e' => ExtendVote::Extended,
                    b'l' => ExtendVote::Lacking,
                    b'f' => ExtendVote::Forgot,
                    _ => ExtendVote::Unknown,
                };
                core.handle_vote(node, vote);
                said[node.index()].get_or_insert(vote);
            }
            Some(b'.') | None => {
                verdict = verdict.or_else(|| expected(&said, quorum.needed(), time.is_left()));
                assert_eq!(core.poll(time.now, time.started, time.ttl, time.drift), verdict, "{core:?}");
            }
            Some(_) => continue,
        }
        let those = |vote| quorum.nodes().filter(|node| said[node.index()] == Some(vote)).collect::<NodeSet>();
        let (extended, lacking) = (those(ExtendVote::Extended), those(ExtendVote::Lacking));
        assert_eq!((core.extended(), core.lacking()), (extended, lacking), "{core:?}");
        assert_eq!(core.answered(), extended.union(lacking), "{core:?}");
        assert_eq!(core.forgot(), those(ExtendVote::Forgot), "{core:?}");
        assert_eq!(core.is_complete(), said.iter().all(Option::is_some), "{core:?}");
        if letter.is_none() {
            assert!(verdict.is_some() || !core.is_complete(), "everybody has been heard of: {core:?}");
            return;
        }
    }
}

/// The table, line by line.
fn expected(said: &[Option<ExtendVote>], needed: usize, is_left: bool) -> Option<ExtendVerdict> {
    let count = |vote| said.iter().filter(|said| **said == Some(vote)).count();
    if count(ExtendVote::Extended) >= needed && is_left {
        Some(ExtendVerdict::Extended)
    } else if count(ExtendVote::Lacking) > said.len() - needed {
        Some(ExtendVerdict::Lost)
    } else if said.iter().all(Option::is_some) {
        Some(ExtendVerdict::NoQuorum)
    } else {
        None
    }
}
