//! The boundaries of the verdict table, as text.

use std::collections::HashSet;

use super::model::{Answer, Clock, node, owner, poll};
use super::*;

/// N, Q, the votes in the order in which they come, what the last of them decides. Before it there is no decision.
///
/// g granted · o, p own (two values) · a, b held by one of two others · ? held, holder unknown · x silent · s unsent ·
/// . not answered yet. `sign:0,2` is the request to sign the records on primaries 0 and 2 anew.
const TABLE: &str = "
    1 1 .          wait
    1 1 g          granted
    1 1 a          held
    1 1 ?          split
    1 1 x          no-quorum
    1 1 s          no-quorum
    1 1 o          sign:0

    2 2 g.         wait
    2 2 gg         granted
    2 2 a.         wait
    2 2 aa         held
    2 2 ab         split
    2 2 ag         split
    2 2 ga         split
    2 2 a?         split
    2 2 ?.         split
    2 2 ax         no-quorum
    2 2 x.         no-quorum
    2 2 go         sign:1
    2 2 o.         wait
    2 2 op         sign:0,1
    2 2 ao         split

    3 2 g..        wait
    3 2 xgg        granted
    3 2 a..        wait
    3 2 aa.        held
    3 2 ab.        wait
    3 2 abb        held
    3 2 abg        split
    3 2 abx        split
    3 2 ??.        split
    3 2 a?.        wait
    3 2 a?a        held
    3 2 a??        split
    3 2 xs.        no-quorum
    3 2 xa.        wait
    3 2 xaa        held
    3 2 xab        split
    3 2 xag        split
    3 2 xax        no-quorum
    3 2 x?.        split
    3 2 sa.        wait
    3 2 saa        held
    3 2 sab        split
    3 2 sag        split
    3 2 go.        wait
    3 2 goa        sign:1
    3 2 gox        sign:1
    3 2 oo.        sign:0,1
    3 2 oa.        wait
    3 2 oax        split
    3 3 aa.        wait
    3 3 aaa        held
    3 3 aag        split
    3 3 ab.        split
    3 3 ag.        split

    4 3 ggg.       granted
    4 3 gga.       wait
    4 3 ggaa       split
    4 3 aa..       wait
    4 3 aaa.       held
    4 3 aag.       wait
    4 3 aagg       split
    4 3 aaga       held
    4 3 aab.       wait
    4 3 aabb       split
    4 3 aaba       held
    4 3 ab..       wait
    4 3 abg.       split
    4 3 abx.       split
    4 3 a?..       wait
    4 3 a??.       split
    4 3 ??..       split
    4 3 aax.       wait
    4 3 aaxa       held
    4 3 aaxg       split
    4 3 aaxx       no-quorum
    4 3 gx..       wait
    4 3 gxs.       no-quorum
    4 3 oo..       wait
    4 3 ooo.       sign:0,1,2
    4 3 oog.       sign:0,1
    4 3 ggo.       wait
    4 3 ggoa       sign:2
    4 3 aoa.       wait
    4 3 aoaa       held
    4 3 aoao       split

    5 3 aaa..      held
    5 3 aab..      wait
    5 3 aaba.      held
    5 3 aabb.      wait
    5 3 aabba      held
    5 3 aabbg      split
    5 3 aax..      wait
    5 3 aaxxa      held
    5 3 aaxxg      split
    5 3 aaxxx      no-quorum
    5 3 abx..      wait
    5 3 abxg.      split
    5 3 abxa.      wait
    5 3 abxaa      held
    5 3 abxab      split
    5 3 ???..      split
    5 3 a??..      wait
    5 3 a???.      split
    5 4 aa...      wait
    5 4 ab...      wait
    5 4 abg..      split
    5 4 aag..      wait
    5 4 aagg.      split
    5 4 aagaa      held
    5 5 gggg.      wait
    5 5 ggggg      granted
    5 5 gggga      split
    5 5 ggggx      no-quorum
    5 5 ggggo      sign:4
    5 5 aaaa.      wait
    5 5 aaaaa      held
    5 5 aaaag      split
    5 5 ab...      split

    6 4 ggg...     wait
    6 4 gggg..     granted
    6 4 aa....     wait
    6 4 aaa...     wait
    6 4 aaaa..     held
    6 4 aaabb.     wait
    6 4 aaabba     held
    6 4 aaabbb     split
    6 4 abb...     wait
    6 4 abbg..     wait
    6 4 abbgg.     split
    6 4 abbgbb     held
    6 4 ???...     split
    6 4 a??...     wait
    6 4 a???..     split
    6 4 gggaa.     wait
    6 4 gggaaa     split
    6 4 xx....     wait
    6 4 xxx...     no-quorum
    6 4 xsx...     no-quorum
    6 4 sss...     no-quorum
    6 4 xxa...     wait
    6 4 xxaaa.     wait
    6 4 xxaaaa     held
    6 4 xxaaax     no-quorum
    6 4 xxab..     split
    6 4 xxag..     split
    6 4 xx?...     split
    6 4 gxa...     wait
    6 4 gxab..     split
    6 4 gxax..     split
    6 4 gxaa..     wait
    6 4 gxaag.     split
    6 4 gxaaaa     held
    6 4 gxaaab     split
    6 4 ooo...     wait
    6 4 oooo..     sign:0,1,2,3
    6 4 ggoo..     wait
    6 4 ggopa.     sign:2,3
    6 4 gooo..     sign:1,2,3
    6 4 gggoa.     wait
    6 4 gggoaa     sign:3
    6 4 ooab..     wait
    6 4 ooabx.     split
    6 4 ooaax.     split
    6 4 ooaaa.     wait
    6 4 ooaaaa     held
    6 4 ooaaao     split

    7 4 ggg....    wait
    7 4 gggg...    granted
    7 4 aaa....    wait
    7 4 aaaa...    held
    7 4 aaab...    wait
    7 4 aabaa..    held
    7 4 aabbg..    wait
    7 4 aabbgg.    split
    7 4 aabbab.    wait
    7 4 aabbaba    held
    7 4 aabbabg    split
    7 4 ???....    wait
    7 4 ????...    split
    7 4 a???...    wait
    7 4 a????..    split
    7 4 aaa???.    wait
    7 4 aaa???a    held
    7 4 aaa????    split
    7 4 xxx....    wait
    7 4 xxxx...    no-quorum
    7 4 ssss...    no-quorum
    7 4 sxxs...    no-quorum
    7 4 xxxa...    wait
    7 4 xxxab..    split
    7 4 xxxag..    split
    7 4 xxxax..    no-quorum
    7 4 xxxaaa.    wait
    7 4 xxxaaaa    held
    7 4 xxx?...    split
    7 4 gggaaa.    wait
    7 4 gggaaag    granted
    7 4 gggaaaa    held
    7 4 gggaaax    split
    7 4 gggxxxa    split
    7 4 gggxxxx    no-quorum
    7 4 ooo....    wait
    7 4 opop...    sign:0,1,2,3
    7 4 gooo...    wait
    7 4 goooa..    sign:1,2,3
    7 4 gggoxa.    wait
    7 4 gggoxab    sign:3
    7 6 ggggg..    wait
    7 6 gggggg.    granted
    7 6 a......    wait
    7 6 aa.....    wait
    7 6 aaaaaa.    held
    7 6 aaag...    wait
    7 6 aaagg..    split
    7 6 ab.....    wait
    7 6 abb....    wait
    7 6 abg....    split
    7 6 ??.....    split
    7 6 xa.....    wait
    7 6 xaaaaaa    held
    7 6 xab....    split
    7 6 s......    wait
    7 6 xs.....    no-quorum
    7 6 gggggo.    wait
    7 6 gggggog    granted
    7 6 gggggoa    sign:5
    7 6 goooo..    wait
    7 6 gooooo.    sign:1,2,3,4,5

    8 5 gggg....   wait
    8 5 ggggg...   granted
    8 5 aaa.....   wait
    8 5 aaaa....   wait
    8 5 aaaaa...   held
    8 5 aaaabbb.   wait
    8 5 aaaabbba   held
    8 5 aaaabbbb   split
    8 5 aaabbb..   wait
    8 5 aaabbbg.   split
    8 5 aaaaggg.   wait
    8 5 aaaaggga   held
    8 5 aaaagggg   split
    8 5 ????....   split
    8 5 a???....   wait
    8 5 a????...   split
    8 5 xxx.....   wait
    8 5 xxxx....   no-quorum
    8 5 xsxs....   no-quorum
    8 5 xxxa....   wait
    8 5 xxxab...   split
    8 5 xxxaaaa.   wait
    8 5 xxxaaaaa   held
    8 5 xxxaaaab   split
    8 5 xxxaaaax   no-quorum
    8 5 ggggaaa.   wait
    8 5 ggggaaaa   split
    8 5 ggggxxxg   granted
    8 5 ggggxxxa   split
    8 5 ggggxxxx   no-quorum
    8 5 ggggxxxo   sign:7
    8 5 oooo....   wait
    8 5 ooooo...   sign:0,1,2,3,4
    8 5 aaaoooo.   wait
    8 5 aaaooooo   sign:3,4,5,6,7
    8 5 aaaoooog   sign:3,4,5,6

    9 5 gggg.....  wait
    9 5 ggggg....  granted
    9 5 aaaa.....  wait
    9 5 aaaaa....  held
    9 5 aaaab....  wait
    9 5 aaaabbbb.  wait
    9 5 aaaabbbba  held
    9 5 aaaabbbbg  split
    9 5 aaabbbg..  wait
    9 5 aaabbbgg.  split
    9 5 aaaax....  wait
    9 5 aaaaxxxx.  wait
    9 5 aaaaxxxxa  held
    9 5 aaaaxxxxg  split
    9 5 aaaaxxxxx  no-quorum
    9 5 ?????....  split
    9 5 a????....  wait
    9 5 a?????...  split
    9 5 xxxx.....  wait
    9 5 xxxxx....  no-quorum
    9 5 ssssx....  no-quorum
    9 5 xxxxa....  wait
    9 5 xxxxab...  split
    9 5 ggggaaaa.  wait
    9 5 ggggaaaaa  held
    9 5 ggggaaaab  split
    9 5 ggggxxxxg  granted
    9 5 ggggxsxsx  no-quorum
    9 5 oooog....  wait
    9 5 ooooga...  sign:0,1,2,3
    9 9 gggggggg.  wait
    9 9 ggggggggg  granted
    9 9 a........  wait
    9 9 aaaaaaaa.  wait
    9 9 aaaaaaaaa  held
    9 9 aaaaaaaab  split
    9 9 ab.......  split
    9 9 ag.......  split
    9 9 ?........  split
    9 9 s........  no-quorum
    9 9 oooooooo.  wait
    9 9 ooooooooo  sign:0,1,2,3,4,5,6,7,8";

#[test]
fn each_verdict_comes_with_the_vote_that_makes_it_certain_and_not_before() {
    let mut rows = 0;
    let mut steps = HashSet::new();
    for row in TABLE.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let words: Vec<&str> = row.split_whitespace().collect();
        let [total, needed, votes, step] = words[..] else { panic!("N Q votes step: {row}") };
        attempt_at(needed.parse().expect("Q"), total.parse().expect("N"), votes, step);
        steps.insert(step.split(':').next());
        rows += 1;
    }
    assert_eq!((rows, steps.len()), (308, 6), "every row was read, and all kinds of steps occur");
}

pub(super) fn answer(letter: char) -> Answer {
    match letter {
        'g' => Answer::Granted,
        'o' => Answer::OwnX,
        'p' => Answer::OwnY,
        'a' => Answer::HeldX,
        'b' => Answer::HeldY,
        '?' => Answer::HeldUnknown,
        'x' => Answer::Silent,
        's' => Answer::Unsent,
        _ => panic!("{letter:?} is no vote"),
    }
}

pub(super) fn told(step: &AcquireStep) -> String {
    let AcquireStep::Done(verdict) = step else {
        return match step {
            AcquireStep::Sign(asked) => {
                let places: Vec<String> = asked.iter().map(|(node, _)| node.index().to_string()).collect();
                format!("sign:{}", places.join(","))
            }
            _ => "wait".to_owned(),
        };
    };
    let verdict = match verdict {
        AcquireVerdict::Granted => "granted",
        AcquireVerdict::TooLate => "too-late",
        AcquireVerdict::Held => "held",
        AcquireVerdict::NoQuorum => "no-quorum",
        AcquireVerdict::Split => "split",
        AcquireVerdict::Abandoned => "abandoned",
    };
    verdict.to_owned()
}

/// An attempt of [`owner`] that `votes` have been told to, one by one; and its step after each of them.
pub(super) fn attempt(needed: usize, total: usize, votes: &str) -> (Acquire, Vec<AcquireStep>) {
    assert_eq!(votes.chars().count(), total, "a letter for each primary: {votes}");
    let quorum = Quorum::new(needed, total).expect("a majority");
    let mut acquire = Acquire::new(quorum, Some(owner()));
    let mut steps = vec![poll(&mut acquire, Clock::Fresh)];
    for (index, letter) in votes.chars().enumerate().filter(|(_, letter)| *letter != '.') {
        acquire.handle_vote(node(index), answer(letter).vote());
        steps.push(poll(&mut acquire, Clock::Fresh));
    }
    (acquire, steps)
}

/// The attempt after `votes`, the last of which brought it to `step`.
pub(super) fn attempt_at(needed: usize, total: usize, votes: &str, step: &str) -> Acquire {
    let (acquire, steps) = attempt(needed, total, votes);
    let (last, before) = steps.split_last().expect("at least the first look");
    assert!(before.iter().all(|step| *step == AcquireStep::Wait), "{votes}: decided before the last vote: {before:?}");
    assert_eq!(told(last), step, "{needed} of {total}: {votes}");
    acquire
}
