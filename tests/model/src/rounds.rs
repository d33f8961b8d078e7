//! The rounds of the lock core, told what was heard and asked what follows, as the coordinator does it with each vote.

use std::sync::Arc;

use redlock_proxy::lock::{
    Acquire, AcquireStep, AcquireVerdict, AcquireVote, Extend, ExtendVerdict, ExtendVote, Fence, FenceNumber,
    FenceStep, Holder, Moment, NodeId, NodeSet, Release, ReleaseVerdict, ReleaseVote, SignVote,
};

use crate::hearing::{Heard, Round};
use crate::state::{Answer, Link, Raised, Slot};
use crate::world::{ATTEMPTS, Rules, TTL, World, ttl_of};

/// What a round decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// With a number, where one is wanted, and whether the owner's records were signed anew.
    Granted(Option<u16>, bool),
    /// And withdrawn from these.
    Lost(AcquireVerdict, NodeSet),
    /// The records of these attempts are to be signed anew.
    Sign(Arc<Acquiring>, Vec<(NodeId, u8)>),
    /// Won, and a number is raised, drawn anew, on these.
    Raise(Arc<Acquiring>, u16, NodeSet),
    Extend(ExtendVerdict),
    Release(ReleaseVerdict),
}

/// The cores of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Acquiring {
    acquire: Acquire,
    fence: Option<Fence>,
}

impl Acquiring {
    /// An attempt that has just asked all primaries, and raised its clock there, where numbers are wanted.
    pub(crate) fn new(world: &World, attempt: usize) -> Self {
        let fence = world.bounds.clocks.map(|clocks| Fence::new(world.acceptances(), number(clocks[attempt])));
        Self { acquire: Acquire::new(world.quorum(), world.owner(attempt)), fence }
    }
}

impl Round for Acquiring {
    /// A `SET` and the raise behind it are heard together, a later raise by itself.
    fn choices(&self, link: &Link) -> Vec<Heard> {
        match (link.set, link.raise) {
            (Slot::Ran((answer, _)), _) => heard_of(answer),
            (Slot::Sent, _) => vec![Heard::Silence, Heard::Unsent],
            _ if link.sign != Slot::Idle => choices(link.sign),
            (_, Slot::Ran(_)) => vec![Heard::Yes, Heard::Silence],
            (_, Slot::Sent) => vec![Heard::Silence],
            _ => Vec::new(),
        }
    }

    fn tell(&mut self, world: &World, node: NodeId, link: &Link, heard: Heard) {
        if link.found.is_some() {
            let vote = match heard {
                Heard::Yes => SignVote::Signed,
                Heard::No => SignVote::Changed,
                _ => SignVote::Silent,
            };
            return self.acquire.handle_sign_vote(node, vote);
        }
        match (link.set, &mut self.fence, link.raise) {
            (Slot::Ran((_, Raised::Over(before))), Some(fence), _) if heard != Heard::Silence => {
                fence.handle_first(node, before.map(number), true);
            }
            (Slot::Idle | Slot::GivenUp, Some(fence), Slot::Ran((before, ours))) if heard == Heard::Yes => {
                return fence.handle_raise(node, number(link.number), before.map(number), ours);
            }
            (Slot::Idle | Slot::GivenUp, Some(fence), _) => {
                return fence.handle_silence(node, number(link.number));
            }
            _ => {}
        }
        let vote = match heard {
            Heard::Yes => AcquireVote::Granted,
            Heard::Held(attempt) => {
                let token = world.token(attempt.into());
                AcquireVote::Held(Holder::Value(token.as_bytes().to_vec().into()))
            }
            Heard::Unsent => AcquireVote::Unsent,
            Heard::Nothing | Heard::No | Heard::Silence => AcquireVote::Silent,
        };
        self.acquire.handle_vote(node, vote);
    }

    fn decide(&mut self, world: &World, elapsed: u8, heard: &[Heard]) -> Option<Verdict> {
        let step = self.acquire.poll(world.moment(elapsed), Moment::from_micros(0), ttl_of(TTL), world.drift());
        let verdict = match step {
            AcquireStep::Wait => return None,
            AcquireStep::Sign(found) => {
                let found = found.into_iter().map(|(node, value)| (node, signer(world, &value))).collect();
                return Some(Verdict::Sign(Arc::new(self.clone()), found));
            }
            AcquireStep::Done(verdict) => verdict,
        };
        let lost = |verdict| Some(Verdict::Lost(verdict, withdrawn(world, &self.acquire, heard)));
        if verdict != AcquireVerdict::Granted {
            return lost(verdict);
        }
        let Some(fence) = &mut self.fence else {
            return Some(Verdict::Granted(None, self.acquire.took_over()));
        };
        if world.certainty(elapsed, TTL) == 0 {
            return lost(AcquireVerdict::TooLate);
        }
        let granted = match world.rules {
            Rules::RefusersAccept => world.quorum().nodes().collect(),
            _ => self.acquire.granted(),
        };
        match fence.poll(granted, self.acquire.outstanding()) {
            FenceStep::Settled(number) => Some(Verdict::Granted(Some(small(number)), false)),
            FenceStep::Raise(number, nodes) => Some(Verdict::Raise(Arc::new(self.clone()), small(number), nodes)),
            FenceStep::Wait => None,
            FenceStep::Failed => lost(AcquireVerdict::NoQuorum),
        }
    }

    /// The grant cannot be told, and is withdrawn.
    fn when_left(&self, world: &World, verdict: &Verdict) -> Option<Verdict> {
        let is_granted = matches!(verdict, Verdict::Granted(..));
        let left = (world.bounds.owner && is_granted).then_some(AcquireVerdict::Abandoned)?;
        Some(Verdict::Lost(left, withdrawn(world, &self.acquire, &[])))
    }
}

impl Round for Extend {
    fn choices(&self, link: &Link) -> Vec<Heard> {
        choices(link.extend)
    }

    fn tell(&mut self, _world: &World, node: NodeId, _link: &Link, heard: Heard) {
        let vote = match heard {
            Heard::Yes => ExtendVote::Extended,
            Heard::No => ExtendVote::Lacking,
            _ => ExtendVote::Unknown,
        };
        self.handle_vote(node, vote);
    }

    fn decide(&mut self, world: &World, elapsed: u8, _heard: &[Heard]) -> Option<Verdict> {
        let ttl = ttl_of(world.bounds.extension.unwrap_or(TTL));
        self.poll(world.moment(elapsed), Moment::from_micros(0), ttl, world.drift()).map(Verdict::Extend)
    }
}

impl Round for Release {
    fn choices(&self, link: &Link) -> Vec<Heard> {
        choices(link.release)
    }

    fn tell(&mut self, _world: &World, node: NodeId, _link: &Link, heard: Heard) {
        let vote = match heard {
            Heard::Yes => ReleaseVote::Deleted,
            Heard::No => ReleaseVote::Lacking,
            _ => ReleaseVote::Unknown,
        };
        self.handle_vote(node, vote);
    }

    fn decide(&mut self, _world: &World, _elapsed: u8, _heard: &[Heard]) -> Option<Verdict> {
        self.poll().map(Verdict::Release)
    }
}

fn choices(slot: Slot<Answer>) -> Vec<Heard> {
    match slot {
        Slot::Ran(answer) => heard_of(answer),
        Slot::Sent => vec![Heard::Silence],
        Slot::Idle | Slot::GivenUp => Vec::new(),
    }
}

/// What may be heard of an answer: it may get lost.
fn heard_of(answer: Answer) -> Vec<Heard> {
    match answer {
        Answer::Unsound => vec![Heard::Silence],
        Answer::Yes => vec![Heard::Yes, Heard::Silence],
        Answer::No => vec![Heard::No, Heard::Silence],
        Answer::Held(attempt) => vec![Heard::Held(attempt), Heard::Silence],
    }
}

/// Where the token of a lost attempt is withdrawn.
fn withdrawn(world: &World, core: &Acquire, heard: &[Heard]) -> NodeSet {
    let targets = core.withdraw_from();
    if world.rules == Rules::SignedWithdrawn {
        return targets.union(core.signed());
    }
    if world.rules == Rules::SilentKept {
        return targets.iter().filter(|node| heard[node.index()] == Heard::Yes).collect();
    }
    targets
}

/// The attempt whose token it is.
fn signer(world: &World, token: &[u8]) -> u8 {
    let attempt = (0..ATTEMPTS).find(|attempt| world.token(*attempt).as_bytes() == token);
    attempt.and_then(|attempt| u8::try_from(attempt).ok()).expect("one of the attempts signed it")
}

fn number(number: u16) -> FenceNumber {
    FenceNumber::new(number.into()).expect("not zero")
}

fn small(number: FenceNumber) -> u16 {
    u16::try_from(number.value()).expect("few numbers are drawn")
}
