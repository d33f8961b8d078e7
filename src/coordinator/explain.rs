//! Why a lock command was not settled, in words.

use super::Coordinator;
use super::node::Trouble;
use super::outcome::{Attempt, NoQuorum};
use super::round::Troubles;
use crate::lock::{AcquireVerdict, NodeSet};

impl Coordinator {
    /// Why an attempt that ended with this verdict, which is neither granted nor refused, came to nothing.
    pub(super) async fn why_not(&self, attempt: &Attempt, verdict: AcquireVerdict) -> NoQuorum {
        let (answered, _) = attempt.round.report();
        match verdict {
            AcquireVerdict::TooLate => self.explain(attempt.round.report(), true),
            AcquireVerdict::Abandoned => {
                let reason = ("the take-over", "was not begun, since the client's stream has ended".to_owned());
                self.no_quorum(answered, &[reason])
            }
            _ => {
                // The error names what is wrong with each primary: those that were not lost yet are waited for.
                attempt.round.complete().await;
                let (answered, troubles) = attempt.round.report();
                let mut reasons = self.reasons(answered, &troubles, false);
                if attempt.round.lacks_number() {
                    reasons.push(("the fencing number", "was not accepted by a quorum".to_owned()));
                }
                self.no_quorum(answered, &reasons)
            }
        }
    }

    /// The error text of a round: who answered, what was wrong with the others. In a round that was won too late that
    /// is what is wrong with those that answered.
    pub(super) fn explain(&self, (answered, troubles): (NodeSet, Troubles), too_late: bool) -> NoQuorum {
        self.no_quorum(answered, &self.reasons(answered, &troubles, too_late))
    }

    fn reasons(&self, answered: NodeSet, troubles: &Troubles, too_late: bool) -> Vec<(&str, String)> {
        let mut reasons = Vec::new();
        for (id, node) in self.nodes() {
            let reason = match &troubles[id.index()] {
                Some(trouble) => trouble.to_string(),
                None if too_late && answered.contains(id) => Trouble::AnsweredTooLate.to_string(),
                None => continue,
            };
            reasons.push((node.address(), reason));
        }
        reasons
    }

    pub(super) fn no_quorum(&self, answered: NodeSet, reasons: &[(&str, String)]) -> NoQuorum {
        NoQuorum::new(answered.len(), self.rules.quorum.total(), self.rules.quorum.needed(), reasons)
    }
}
