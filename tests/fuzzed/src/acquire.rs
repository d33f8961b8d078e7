//! Attempts: the table of verdicts of `lock::acquire`, counted once more from who said what.
//!
//! Letters, each but the last four with a primary: `g` granted · `o`, `p` found a record of the own owner, one value or the other ·
//! `a`, `b` found one of somebody else, one or the other · `?` found a holder that is not shown · `x` silent · `s` unsent · `S`, `C`,
//! `X`, `U`: what was to be signed anew was signed, had changed, was silent, was not sent · `w` (in front) there is an owner · `+`
//! and a digit: time goes by · `.` a look · `q` the client leaves.

use bytes::Bytes;
use redlock_proxy::lock::{
    Acquire, AcquireStep, AcquireVerdict, AcquireVote, Holder, NodeId, NodeSet, Owner, Quorum, SignVote,
};

use crate::script::{Script, Time};

const OWN: [&[u8]; 2] =
    [b"me:00000000000000000000000000000000000000aa", b"me:00000000000000000000000000000000000000bb"];
/// The second looks nearly as if the owner had signed it.
const FOREIGN: [&[u8]; 2] = [b"somebody else", b"me:00000000000000000000000000000000000000BB"];

/// Runs an attempt by the script; panics where it does not follow the table.
pub fn acquire(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(quorum) = script.quorum() else { return };
    let has_owner = script.next_is(b'w');
    let mut attempt = Attempt::new(quorum, has_owner);
    while let Some(letter) = script.letter() {
        match letter {
            b'.' => attempt.look(),
            b'+' => attempt.time.pass(script.digit().unwrap_or(0)),
            b'q' => attempt.leave(),
            letter => {
                let Some(node) = script.node(quorum) else { continue };
                attempt.hear(node, letter);
            }
        }
        attempt.check();
    }
    attempt.look();
    attempt.check();
}

/// What a primary has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Granted,
    Own(&'static [u8]),
    Held(Option<&'static [u8]>),
    Silent,
    Unsent,
    /// It was asked to sign, and answered that, or nothing yet.
    Signing(Option<SignVote>),
}

#[derive(Debug)]
struct Attempt {
    core: Acquire,
    quorum: Quorum,
    has_owner: bool,
    said: Vec<Said>,
    verdict: Option<AcquireVerdict>,
    time: Time,
}

impl Attempt {
    fn new(quorum: Quorum, has_owner: bool) -> Self {
        let owner = has_owner.then(|| Owner::new(Bytes::from_static(b"me")).expect("a name"));
        let said = vec![Said::Nothing; quorum.total()];
        Self { core: Acquire::new(quorum, owner), quorum, has_owner, said, verdict: None, time: Time::begin() }
    }

    fn hear(&mut self, node: NodeId, letter: u8) {
        let found = |value: &'static [u8]| AcquireVote::Held(Holder::Value(Bytes::from_static(value)));
        let own = |value| if self.has_owner { Said::Own(value) } else { Said::Held(Some(value)) };
        let (vote, said) = match letter {
            b'g' => (AcquireVote::Granted, Said::Granted),
            b'o' => (found(OWN[0]), own(OWN[0])),
            b'p' => (found(OWN[1]), own(OWN[1])),
            b'a' => (found(FOREIGN[0]), Said::Held(Some(FOREIGN[0]))),
            b'b' => (found(FOREIGN[1]), Said::Held(Some(FOREIGN[1]))),
            b'?' => (AcquireVote::Held(Holder::Unknown), Said::Held(None)),
            b'x' => (AcquireVote::Silent, Said::Silent),
            b's' => (AcquireVote::Unsent, Said::Unsent),
            b'S' => return self.hear_of_signing(node, SignVote::Signed),
            b'C' => return self.hear_of_signing(node, SignVote::Changed),
            b'X' => return self.hear_of_signing(node, SignVote::Silent),
            b'U' => return self.hear_of_signing(node, SignVote::Unsent),
            _ => return,
        };
        self.core.handle_vote(node, vote);
        let noted = &mut self.said[node.index()];
        if *noted == Said::Nothing {
            *noted = said;
        }
    }

    fn hear_of_signing(&mut self, node: NodeId, vote: SignVote) {
        self.core.handle_sign_vote(node, vote);
        let noted = &mut self.said[node.index()];
        if *noted == Said::Signing(None) {
            *noted = Said::Signing(Some(vote));
        }
    }

    fn leave(&mut self) {
        self.core.abandon();
        self.verdict.get_or_insert(AcquireVerdict::Abandoned);
    }

    fn count(&self, is_in: impl Fn(Said) -> bool) -> usize {
        self.said.iter().filter(|said| is_in(**said)).count()
    }

    /// The table, line by line.
    fn expected(&self) -> AcquireStep {
        let (total, needed) = (self.quorum.total(), self.quorum.needed());
        let granted = self.count(|said| matches!(said, Said::Granted | Said::Signing(Some(SignVote::Signed))));
        let own = self.count(|said| matches!(said, Said::Own(_)));
        let silent = self.count(|said| matches!(said, Said::Silent | Said::Signing(Some(SignVote::Silent))));
        let unsent = self.count(|said| matches!(said, Said::Unsent | Said::Signing(Some(SignVote::Unsent))));
        let pending = self.count(|said| matches!(said, Said::Nothing | Said::Signing(None)));
        let values = OWN.iter().chain(&FOREIGN);
        let held = values.map(|value| self.count(|said| said == Said::Held(Some(value)))).max().unwrap_or(0);

        if granted >= needed && self.time.is_left() {
            AcquireStep::Done(AcquireVerdict::Granted)
        } else if granted >= needed {
            AcquireStep::Done(AcquireVerdict::TooLate)
        } else if held >= needed {
            AcquireStep::Done(AcquireVerdict::Held)
        } else if silent + unsent > total - needed {
            AcquireStep::Done(AcquireVerdict::NoQuorum)
        } else if granted + own + pending < needed && held + pending < needed {
            AcquireStep::Done(AcquireVerdict::Split)
        } else if granted + own >= needed && own > 0 && (granted + pending < needed || pending == 0) {
            let own = self.quorum.nodes().filter_map(|node| match self.said[node.index()] {
                Said::Own(value) => Some((node, Bytes::from_static(value))),
                _ => None,
            });
            AcquireStep::Sign(own.collect())
        } else {
            assert!(pending > 0, "nothing is decided, and nobody is left to answer: {self:?}");
            AcquireStep::Wait
        }
    }

    fn look(&mut self) {
        let expected = match self.verdict {
            Some(verdict) => AcquireStep::Done(verdict),
            None => self.expected(),
        };
        let step = self.core.poll(self.time.now, self.time.started, self.time.ttl, self.time.drift);
        assert_eq!(step, expected, "{self:?}");
        match step {
            AcquireStep::Wait => {}
            AcquireStep::Sign(nodes) => {
                for (node, _) in nodes {
                    self.said[node.index()] = Said::Signing(None);
                }
            }
            AcquireStep::Done(verdict) => self.verdict = Some(verdict),
        }
    }

    fn set(&self, is_in: impl Fn(Said) -> bool) -> NodeSet {
        self.quorum.nodes().filter(|node| is_in(self.said[node.index()])).collect()
    }

    /// What must be true at every moment.
    fn check(&self) {
        let unsent = self.set(|said| matches!(said, Said::Unsent | Said::Signing(Some(SignVote::Unsent))));
        let signed = self.set(|said| matches!(said, Said::Signing(vote) if vote != Some(SignVote::Unsent)));
        let everywhere: NodeSet = self.quorum.nodes().collect();
        let withdrawn = self.core.withdraw_from();
        assert_eq!(withdrawn, everywhere.without(unsent).without(signed), "withdrawals: {self:?}");
        assert_eq!((self.core.signed(), self.core.took_over()), (signed, !signed.is_empty()), "{self:?}");

        let granted = self.set(|said| matches!(said, Said::Granted | Said::Signing(Some(SignVote::Signed))));
        assert_eq!(self.core.granted(), granted, "{self:?}");
        let found = self.set(|said| matches!(said, Said::Own(_) | Said::Held(_)));
        let changed = self.set(|said| said == Said::Signing(Some(SignVote::Changed)));
        assert_eq!(self.core.answered(), granted.union(found).union(changed), "{self:?}");
        assert_eq!(self.core.never_set(), found.union(unsent), "{self:?}");
        let pending = self.set(|said| matches!(said, Said::Nothing | Said::Signing(None)));
        assert_eq!((self.core.outstanding(), self.core.is_complete()), (pending, pending.is_empty()), "{self:?}");
    }
}
