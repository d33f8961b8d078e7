//! One attempt at a lock: one token, one set of votes, one verdict.
//!
//! Each primary is in one class at any moment:
//!
//! | class | a primary is in it when |
//! |---|---|
//! | G granted | it set the record; or the record was our own owner's, and signing it anew answered 1 |
//! | O own | the value found is `name:` and 40 hex digits of this attempt's owner, not yet signed anew |
//! | H(x) held | the value x was found; a holder that is not shown is unknown, and never adds up to one holder |
//! | X silent | it was asked and gave no usable answer: it may hold our token |
//! | S unsent | it was never asked: it cannot hold our token |
//! | P pending | everything else |
//!
//! After each event the first line that fits decides, and a verdict is final:
//!
//! | # | condition | verdict |
//! |---|---|---|
//! | 1 | G ≥ Q, validity > 0 | granted |
//! | 2 | G ≥ Q, validity ≤ 0 | too late |
//! | 3 | one x with H(x) ≥ Q | held |
//! | 4 | X + S ≥ N - Q + 1 | no quorum |
//! | 5 | G + O + P < Q, and no x with H(x) + P ≥ Q | split: nobody can have it with this attempt, another may |
//! | 6 | G + O ≥ Q, O > 0, and G + P < Q or none pending | none yet: sign the own ones anew, go on |
//!
//! A signing under way is pending; one that was refused is held by somebody unknown. Line 5 waits as long as the votes
//! that are missing may still show one holder: in a set of two, or of three with one away, the first refusal already
//! makes the attempt hopeless, and only the second tells a lock that is held, which is answered at once, from votes that
//! split, which are worth another attempt.
//!
//! A token is never used by a second attempt, so whatever this attempt leaves behind on its way (late bytes, a late
//! withdrawal) can hurt nobody else's lock.

use bytes::Bytes;

use super::name::Owner;
use super::tally::{NodeId, NodeSet, Quorum};
use super::time::{Drift, Moment, Ttl, Validity};
use crate::limits::PRIMARIES;

/// What one primary answered to `SET key token NX PX ttl`, or why it did not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AcquireVote {
    /// It set the record.
    Granted,
    /// The key was taken, by this holder.
    Held(Holder),
    /// It may have set the record: time-out, connection lost, an error of its own.
    Silent,
    /// The request never left: it cannot have set the record.
    Unsent,
}

/// Who holds a key that was found taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// The value of the record.
    Value(Bytes),
    /// Another type under the lock's name, a value too long for a token, or a holder that was not shown.
    Unknown,
}

/// What one primary answered when it was asked to sign a record of the same owner anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignVote {
    /// The record was still the one found, and bears this attempt's token now.
    Signed,
    /// It was not; nothing was changed.
    Changed,
    /// It may have been signed.
    Silent,
    /// The request never left.
    Unsent,
}

/// The end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AcquireVerdict {
    /// A quorum bears the token and validity is left.
    Granted,
    /// A quorum bears the token, but nothing is left of its ttl.
    TooLate,
    /// One other holds it on a quorum.
    Held,
    /// So many primaries gave no usable answer that the rest decides nothing.
    NoQuorum,
    /// The votes split: nobody is seen to hold a quorum, and this attempt cannot get one.
    Split,
    /// The client left before the own records were signed anew.
    Abandoned,
}

/// What the driver of an attempt does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcquireStep {
    /// Wait for the next vote.
    Wait,
    /// Ask each of these to sign the value found there anew; tell the answers with [`Acquire::handle_sign_vote`].
    Sign(Vec<(NodeId, Bytes)>),
    /// It is decided.
    Done(AcquireVerdict),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Class {
    Granted,
    Own(Bytes),
    Held(Holder),
    Silent,
    Unsent,
    Pending,
}

/// The state of one attempt. Pure: votes and the time go in, steps come out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Acquire {
    quorum: Quorum,
    owner: Option<Owner>,
    classes: [Class; PRIMARIES],
    /// Where a signing went: another grant of this owner, former or newer, may rest on the record there.
    signing_sent: NodeSet,
    verdict: Option<AcquireVerdict>,
}

impl Acquire {
    /// An attempt that is about to ask all primaries.
    pub fn new(quorum: Quorum, owner: Option<Owner>) -> Self {
        Self {
            quorum,
            owner,
            classes: [const { Class::Pending }; PRIMARIES],
            signing_sent: NodeSet::EMPTY,
            verdict: None,
        }
    }

    /// A primary's answer to the attempt. The first one of each primary counts.
    pub fn handle_vote(&mut self, node: NodeId, vote: AcquireVote) {
        if self.classes[node.index()] != Class::Pending || self.signing_sent.contains(node) {
            return;
        }
        self.classes[node.index()] = match vote {
            AcquireVote::Granted => Class::Granted,
            AcquireVote::Held(Holder::Value(value))
                if self.owner.as_ref().is_some_and(|owner| owner.signed(&value)) =>
            {
                Class::Own(value)
            }
            AcquireVote::Held(holder) => Class::Held(holder),
            AcquireVote::Silent => Class::Silent,
            AcquireVote::Unsent => Class::Unsent,
        };
    }

    /// A primary's answer to the signing that [`AcquireStep::Sign`] asked for. The first one counts.
    pub fn handle_sign_vote(&mut self, node: NodeId, vote: SignVote) {
        if self.classes[node.index()] != Class::Pending || !self.signing_sent.contains(node) {
            return;
        }
        self.classes[node.index()] = match vote {
            SignVote::Signed => Class::Granted,
            SignVote::Changed => Class::Held(Holder::Unknown),
            SignVote::Silent => Class::Silent,
            SignVote::Unsent => {
                self.signing_sent.remove(node);
                Class::Unsent
            }
        };
    }

    /// The next step at `now`, for an attempt that began at `started`. Once it is `Done` it stays so.
    pub fn poll(&mut self, now: Moment, started: Moment, ttl: Ttl, drift: Drift) -> AcquireStep {
        if let Some(verdict) = self.verdict {
            return AcquireStep::Done(verdict);
        }
        let needed = self.quorum.needed();
        let granted = self.count(|class| *class == Class::Granted);
        let own = self.count(|class| matches!(class, Class::Own(_)));
        let pending = self.count(|class| *class == Class::Pending);
        let unanswered = self.count(|class| matches!(class, Class::Silent | Class::Unsent));

        let verdict = if granted >= needed {
            match Validity::at(now, started, ttl, drift) {
                Some(_) => AcquireVerdict::Granted,
                None => AcquireVerdict::TooLate,
            }
        } else if self.one_other_holds(needed) {
            AcquireVerdict::Held
        } else if unanswered >= self.quorum.blocking() {
            AcquireVerdict::NoQuorum
        } else if granted + own + pending < needed && !self.one_other_holds(needed - pending) {
            AcquireVerdict::Split
        } else if own > 0 && granted + own >= needed && (granted + pending < needed || pending == 0) {
            return AcquireStep::Sign(self.start_signing());
        } else {
            return AcquireStep::Wait;
        };
        self.verdict = Some(verdict);
        AcquireStep::Done(verdict)
    }

    /// Ends the attempt without asking for anything more: its client has left. A verdict that stands already stays.
    pub fn abandon(&mut self) {
        self.verdict.get_or_insert(AcquireVerdict::Abandoned);
    }

    /// Where the token must be withdrawn when the attempt is not, or no longer, wanted: everywhere it may be, except
    /// where a signing went.
    pub fn withdraw_from(&self) -> NodeSet {
        self.quorum
            .nodes()
            .filter(|node| self.classes[node.index()] != Class::Unsent && !self.signing_sent.contains(*node))
            .collect()
    }

    /// Whether any record of the owner was asked to be signed anew: the grant took a lock over.
    pub fn took_over(&self) -> bool {
        !self.signing_sent.is_empty()
    }

    /// The primaries that certainly never ran a `SET` of this attempt's token, as far as is known by now: it was never
    /// sent there, or it was refused.
    pub fn never_set(&self) -> NodeSet {
        let refused = |class: &Class| matches!(class, Class::Unsent | Class::Held(_) | Class::Own(_));
        self.quorum
            .nodes()
            .filter(|node| refused(&self.classes[node.index()]))
            .collect::<NodeSet>()
            .without(self.signed())
    }

    /// Where a record of the same owner was asked to be signed anew.
    pub fn signed(&self) -> NodeSet {
        self.signing_sent
    }

    /// The primaries that set the record or signed it anew.
    pub fn granted(&self) -> NodeSet {
        self.quorum.nodes().filter(|node| self.classes[node.index()] == Class::Granted).collect()
    }

    /// The primaries that gave an answer which counts, for error texts.
    pub fn answered(&self) -> NodeSet {
        let answers = |class: &Class| !matches!(class, Class::Silent | Class::Unsent | Class::Pending);
        self.quorum.nodes().filter(|node| answers(&self.classes[node.index()])).collect()
    }

    /// Whether every primary has been heard of: it answered, was silent, or was never asked.
    pub fn is_complete(&self) -> bool {
        self.outstanding().is_empty()
    }

    /// The primaries whose vote is still to come.
    pub fn outstanding(&self) -> NodeSet {
        self.quorum.nodes().filter(|node| self.classes[node.index()] == Class::Pending).collect()
    }

    fn start_signing(&mut self) -> Vec<(NodeId, Bytes)> {
        let mut found = Vec::new();
        for node in self.quorum.nodes() {
            if let Class::Own(value) = &self.classes[node.index()] {
                found.push((node, value.clone()));
                self.classes[node.index()] = Class::Pending;
                self.signing_sent.insert(node);
            }
        }
        found
    }

    fn classes(&self) -> &[Class] {
        &self.classes[..self.quorum.total()]
    }

    fn count(&self, is_in: impl Fn(&Class) -> bool) -> usize {
        self.classes().iter().filter(|class| is_in(class)).count()
    }

    fn one_other_holds(&self, needed: usize) -> bool {
        self.classes().iter().any(|class| match class {
            Class::Held(Holder::Value(_)) => self.count(|other| other == class) >= needed,
            _ => false,
        })
    }
}

#[cfg(test)]
#[path = "acquire_tests.rs"]
mod tests;
