//! Releases: the table of verdicts of `lock::release`, counted once more from who said what.
//!
//! Letters, the first three with a primary: `d` deleted · `l` lacks it · `u` unknown · `.` a look.

use redlock_proxy::lock::{NodeSet, Release, ReleaseVerdict, ReleaseVote};

use crate::script::Script;

/// Runs a release by the script; panics where it does not follow the table.
pub fn release(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(quorum) = script.quorum() else { return };
    let mut core = Release::new(quorum);
    let mut said = vec![None; quorum.total()];
    let mut verdict = None;
    loop {
        let letter = script.letter();
        match letter {
            Some(letter @ (b'd' | b'l' | b'u')) => {
                let Some(node) = script.node(quorum) else { continue };
                let vote = match letter {
                    b'd' => ReleaseVote::Deleted,
                    b'l' => ReleaseVote::Lacking,
                    _ => ReleaseVote::Unknown,
                };
                core.handle_vote(node, vote);
                said[node.index()].get_or_insert(vote);
            }
            Some(b'.') | None => {
                verdict = verdict.or_else(|| expected(&said, quorum.needed()));
                assert_eq!(core.poll(), verdict, "{core:?}");
            }
            Some(_) => continue,
        }
        let is_answer = |vote: Option<ReleaseVote>| vote.is_some_and(|vote| vote != ReleaseVote::Unknown);
        let answered: NodeSet = quorum.nodes().filter(|node| is_answer(said[node.index()])).collect();
        assert_eq!(core.answered(), answered, "{core:?}");
        assert_eq!(core.is_complete(), said.iter().all(Option::is_some), "{core:?}");
        if letter.is_none() {
            assert!(verdict.is_some() || !core.is_complete(), "everybody has been heard of: {core:?}");
            return;
        }
    }
}

/// The table, line by line.
fn expected(said: &[Option<ReleaseVote>], needed: usize) -> Option<ReleaseVerdict> {
    let count = |vote| said.iter().filter(|said| **said == Some(vote)).count();
    if count(ReleaseVote::Deleted) >= needed {
        Some(ReleaseVerdict::Released)
    } else if count(ReleaseVote::Lacking) > said.len() - needed {
        Some(ReleaseVerdict::NotHeld)
    } else if said.iter().all(Option::is_some) {
        Some(ReleaseVerdict::NoQuorum)
    } else {
        None
    }
}
