//! The verdict table of an acquire, read a second time and as plainly as it goes, to check the state machine against.
//!
//! [`Round`] drives a real [`Acquire`] and keeps its own notes of who said what. From the notes alone, by counting,
//! it says what the first line that fits demands; nothing here calls the machine's own counting. Each event is
//! checked as it happens, so the walks and the property tests only choose events.

use bytes::Bytes;

use super::*;

const TTL_MS: u64 = 30_000;
const X: &[u8] = b"me:1111111111111111111111111111111111111111";
const Y: &[u8] = b"me:2222222222222222222222222222222222222222";

pub(super) fn node(index: usize) -> NodeId {
    NodeId::new(index).expect("below nine")
}

pub(super) fn owner() -> Owner {
    Owner::new(Bytes::from_static(b"me")).expect("1 to 200 bytes")
}

/// A primary's answer to the attempt's own request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    Granted,
    /// A record which the attempt's owner signed; two grants of one owner leave different values.
    OwnX,
    OwnY,
    /// A record which somebody else signed; there are two of them.
    HeldX,
    HeldY,
    HeldUnknown,
    Silent,
    Unsent,
}

impl Answer {
    pub(super) const ALL: [Self; 8] = [
        Self::Granted,
        Self::OwnX,
        Self::OwnY,
        Self::HeldX,
        Self::HeldY,
        Self::HeldUnknown,
        Self::Silent,
        Self::Unsent,
    ];

    pub(super) fn vote(self) -> AcquireVote {
        let held = |value: &'static [u8]| AcquireVote::Held(Holder::Value(Bytes::from_static(value)));
        match self {
            Self::Granted => AcquireVote::Granted,
            Self::OwnX => held(X),
            Self::OwnY => held(Y),
            Self::HeldX => held(b"x"),
            Self::HeldY => held(b"y"),
            Self::HeldUnknown => AcquireVote::Held(Holder::Unknown),
            Self::Silent => AcquireVote::Silent,
            Self::Unsent => AcquireVote::Unsent,
        }
    }

    /// The value to be signed anew, where this answer shows one.
    fn own_value(self) -> Option<&'static [u8]> {
        match self {
            Self::OwnX => Some(X),
            Self::OwnY => Some(Y),
            _ => None,
        }
    }
}

pub(super) const SIGN_VOTES: [SignVote; 4] = [SignVote::Signed, SignVote::Changed, SignVote::Silent, SignVote::Unsent];

/// What one primary has said so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Seen {
    Nothing,
    Answered(Answer),
    /// It was asked to sign anew and has not answered that.
    Asked,
    Signing(SignVote),
}

/// Whether the ttl has been used up when the machine is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    Fresh,
    Spent,
}

impl Clock {
    pub(super) const BOTH: [Self; 2] = [Self::Fresh, Self::Spent];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Vote(usize, Answer),
    SignVote(usize, SignVote),
    Abandon,
}

/// One attempt and the test's notes about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Round {
    pub(super) needed: usize,
    pub(super) seen: Vec<Seen>,
    pub(super) verdict: Option<AcquireVerdict>,
    machine: Acquire,
}

impl Round {
    /// An attempt of [`owner`] at a lock that needs `needed` of `total`.
    pub(super) fn new(needed: usize, total: usize) -> Self {
        let quorum = Quorum::new(needed, total).expect("a majority");
        let machine = Acquire::new(quorum, Some(owner()));
        Self { needed, seen: vec![Seen::Nothing; total], verdict: None, machine }
    }

    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Vote(index, answer) => {
                assert_eq!(self.seen[index], Seen::Nothing, "the test asks for one answer of each primary");
                self.seen[index] = Seen::Answered(answer);
                self.machine.handle_vote(node(index), answer.vote());
            }
            Event::SignVote(index, vote) => {
                assert_eq!(self.seen[index], Seen::Asked, "the test asks for one answer to each signing");
                self.seen[index] = Seen::Signing(vote);
                self.machine.handle_sign_vote(node(index), vote);
            }
            Event::Abandon => {
                self.verdict.get_or_insert(AcquireVerdict::Abandoned);
                self.machine.abandon();
            }
        }
    }

    /// Asks the machine for its step, which must be the table's.
    pub(super) fn poll(&mut self, clock: Clock) -> AcquireStep {
        let demanded = self.demanded(clock);
        let step = poll(&mut self.machine, clock);
        assert_eq!(step, demanded, "{clock:?} {self:?}");
        match &step {
            AcquireStep::Done(verdict) => self.verdict = Some(*verdict),
            AcquireStep::Sign(asked) => {
                for (node, _) in asked {
                    let seen = &mut self.seen[node.index()];
                    assert!(matches!(seen, Seen::Answered(_)), "a primary is asked to sign once: {step:?}");
                    *seen = Seen::Asked;
                }
            }
            AcquireStep::Wait => {
                let is_awaited = |seen: &Seen| matches!(seen, Seen::Nothing | Seen::Asked);
                assert!(self.seen.iter().any(is_awaited), "all answered, nothing decided: {self:?}");
            }
        }
        step
    }

    /// The table: the first line that fits, from the notes alone.
    fn demanded(&self, clock: Clock) -> AcquireStep {
        if let Some(verdict) = self.verdict {
            return AcquireStep::Done(verdict);
        }
        let (total, quorum) = (self.seen.len(), self.needed);
        let granted = self.granted();
        let own = self.count(|seen| matches!(seen, Seen::Answered(Answer::OwnX | Answer::OwnY)));
        let held_x = self.count(|seen| seen == Seen::Answered(Answer::HeldX));
        let held_y = self.count(|seen| seen == Seen::Answered(Answer::HeldY));
        let silent =
            self.count(|seen| matches!(seen, Seen::Answered(Answer::Silent) | Seen::Signing(SignVote::Silent)));
        let unsent = self.count(Seen::is_unsent);
        let pending = self.count(|seen| matches!(seen, Seen::Nothing | Seen::Asked));

        if granted >= quorum && clock == Clock::Fresh {
            AcquireStep::Done(AcquireVerdict::Granted)
        } else if granted >= quorum {
            AcquireStep::Done(AcquireVerdict::TooLate)
        } else if held_x >= quorum || held_y >= quorum {
            AcquireStep::Done(AcquireVerdict::Held)
        } else if silent + unsent > total - quorum {
            AcquireStep::Done(AcquireVerdict::NoQuorum)
        } else if granted + own + pending < quorum && held_x + pending < quorum && held_y + pending < quorum {
            AcquireStep::Done(AcquireVerdict::Split)
        } else if granted + own >= quorum && own > 0 && (granted + pending < quorum || pending == 0) {
            let value = |index: usize| match self.seen[index] {
                Seen::Answered(answer) => answer.own_value(),
                _ => None,
            };
            let found = |index| value(index).map(|value| (node(index), Bytes::from_static(value)));
            AcquireStep::Sign((0..total).filter_map(found).collect())
        } else {
            AcquireStep::Wait
        }
    }

    /// Everything that must hold after every event, whatever the table said.
    pub(super) fn check(&self) {
        let total = self.seen.len();
        let those =
            |counts: fn(Seen) -> bool| (0..total).filter(|&i| counts(self.seen[i])).map(node).collect::<NodeSet>();

        let withdrawn = those(|seen| !seen.is_unsent() && !seen.is_touched_by_a_signing());
        assert_eq!(self.machine.withdraw_from(), withdrawn, "{self:?}");
        assert_eq!(self.machine.took_over(), !those(Seen::is_touched_by_a_signing).is_empty(), "{self:?}");
        assert_eq!(self.machine.answered(), those(Seen::is_usable), "{self:?}");

        if self.verdict == Some(AcquireVerdict::Granted) {
            assert!(self.granted() >= self.needed, "a lock without a quorum: {self:?}");
            // Signing is asked for only when the others can no longer win it alone.
            let asked = self.count(|seen| matches!(seen, Seen::Asked | Seen::Signing(_)));
            let signed = self.count(|seen| seen == Seen::Signing(SignVote::Signed));
            assert!(asked == 0 || signed > 0, "a take-over without a record taken over: {self:?}");
        }
        self.check_that_what_is_over_is_ignored();
        for clock in Clock::BOTH {
            // A step changes nothing that the next one would repeat: no second verdict, no second signing.
            assert_eq!(poll(&mut self.machine.clone(), clock), self.demanded(clock), "{clock:?} {self:?}");
        }
    }

    /// Second votes, answers to signings nobody asked for, and first answers behind a signing: all without effect.
    fn check_that_what_is_over_is_ignored(&self) {
        let mut told_twice = self.machine.clone();
        for (index, seen) in self.seen.iter().enumerate() {
            if *seen != Seen::Nothing {
                told_twice.handle_vote(node(index), AcquireVote::Granted);
                told_twice.handle_vote(node(index), AcquireVote::Unsent);
            }
            if *seen != Seen::Asked {
                told_twice.handle_sign_vote(node(index), SignVote::Signed);
                told_twice.handle_sign_vote(node(index), SignVote::Unsent);
            }
        }
        assert!(told_twice == self.machine, "{told_twice:?} {self:?}");
    }

    fn granted(&self) -> usize {
        self.count(|seen| matches!(seen, Seen::Answered(Answer::Granted) | Seen::Signing(SignVote::Signed)))
    }

    fn count(&self, is_in: impl Fn(Seen) -> bool) -> usize {
        self.seen.iter().filter(|&&seen| is_in(seen)).count()
    }
}

impl Seen {
    fn is_unsent(self) -> bool {
        matches!(self, Self::Answered(Answer::Unsent) | Self::Signing(SignVote::Unsent))
    }

    fn is_touched_by_a_signing(self) -> bool {
        matches!(self, Self::Asked | Self::Signing(SignVote::Signed | SignVote::Changed | SignVote::Silent))
    }

    fn is_usable(self) -> bool {
        match self {
            Self::Nothing | Self::Asked => false,
            Self::Answered(answer) => !matches!(answer, Answer::Silent | Answer::Unsent),
            Self::Signing(vote) => matches!(vote, SignVote::Signed | SignVote::Changed),
        }
    }
}

/// Asks `machine` at the start of its ttl, or when nothing of it is left.
pub(super) fn poll(machine: &mut Acquire, clock: Clock) -> AcquireStep {
    poll_after(machine, if clock == Clock::Fresh { 0 } else { TTL_MS })
}

/// Asks `machine` so many milliseconds into a ttl of 30 s, 302 ms of which go to drift.
pub(super) fn poll_after(machine: &mut Acquire, elapsed_ms: u64) -> AcquireStep {
    let started = Moment::from_micros(5);
    let now = started.after(std::time::Duration::from_millis(elapsed_ms));
    let ttl = Ttl::from_millis(TTL_MS).expect("in range");
    machine.poll(now, started, ttl, Drift::from_parts_per_million(10_000))
}
