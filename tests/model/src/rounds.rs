//! The rounds of the lock core, told what was heard and asked what follows, as the coordinator does it with each vote.

use std::sync::Arc;

use redlock_proxy::lock::{
    Acquire, AcquireStep, AcquireVerdict, AcquireVote, Extend, ExtendVerdict, ExtendVote, Fence, FenceNumber,
    FenceStep, Holder, Moment, NodeId, NodeSet, Release, ReleaseVerdict, ReleaseVote, Token,
};

use crate::hearing::{Heard, Round};
use crate::state::{Answer, Link, Raised, Slot};
use crate::world::{Rules, TTL, World, ttl_of};

/// What a round decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// With a number, where one is wanted.
    Granted(Option<u16>),
    /// And withdrawn from these.
    Lost(AcquireVerdict, NodeSet),
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
    /// An attempt that has just asked all primaries; `clock` is the number raised there, where one is wanted.
    pub(crate) fn new(world: &World, clock: Option<u16>) -> Self {
        let fence = clock.map(|clock| Fence::new(world.acceptances(), number(clock)));
        Self { acquire: Acquire::new(world.quorum(), None), fence }
    }
}

impl Round for Acquiring {
    /// A `SET` and the raise behind it are heard together, a later raise by itself.
    fn choices(&self, link: &Link) -> Vec<Heard> {
        match (link.set, link.raise) {
            (Slot::Ran((answer, _)), _) => heard_of(answer),
            (Slot::Sent, _) => vec![Heard::Silence, Heard::Unsent],
            (_, Slot::Ran(_)) => vec![Heard::Yes, Heard::Silence],
            (_, Slot::Sent) => vec![Heard::Silence],
            _ => Vec::new(),
        }
    }

    fn tell(&mut self, node: NodeId, link: &Link, heard: Heard) {
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
                let token = Token::sign(None, [attempt; 20]);
                AcquireVote::Held(Holder::Value(token.as_bytes().to_vec().into()))
            }
            Heard::Unsent => AcquireVote::Unsent,
            Heard::Nothing | Heard::No | Heard::Silence => AcquireVote::Silent,
        };
        self.acquire.handle_vote(node, vote);
    }

    fn decide(&mut self, world: &World, elapsed: u8, heard: &[Heard]) -> Option<Verdict> {
        let AcquireStep::Done(verdict) =
            self.acquire.poll(world.moment(elapsed), Moment::from_micros(0), ttl_of(TTL), world.drift())
        else {
            return None;
        };
        let lost = |verdict| Some(Verdict::Lost(verdict, withdrawn(world, &self.acquire, heard)));
        if verdict != AcquireVerdict::Granted {
            return lost(verdict);
        }
        let Some(fence) = &mut self.fence else { return Some(Verdict::Granted(None)) };
        if world.certainty(elapsed, TTL) == 0 {
            return lost(AcquireVerdict::TooLate);
        }
        let granted = match world.rules {
            Rules::RefusersAccept => world.quorum().nodes().collect(),
            _ => self.acquire.granted(),
        };
        match fence.poll(granted) {
            FenceStep::Settled(number) => Some(Verdict::Granted(Some(small(number)))),
            FenceStep::Raise(number, nodes) => Some(Verdict::Raise(Arc::new(self.clone()), small(number), nodes)),
            FenceStep::Wait => None,
            FenceStep::Failed => lost(AcquireVerdict::NoQuorum),
        }
    }
}

impl Round for Extend {
    fn choices(&self, link: &Link) -> Vec<Heard> {
        choices(link.extend)
    }

    fn tell(&mut self, node: NodeId, _link: &Link, heard: Heard) {
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

    fn tell(&mut self, node: NodeId, _link: &Link, heard: Heard) {
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
    if world.rules == Rules::SilentKept {
        return targets.iter().filter(|node| heard[node.index()] == Heard::Yes).collect();
    }
    targets
}

fn number(number: u16) -> FenceNumber {
    FenceNumber::new(number.into()).expect("not zero")
}

fn small(number: FenceNumber) -> u16 {
    u16::try_from(number.value()).expect("few numbers are drawn")
}
