//! Watches fencing numbers, and breaks their rules where a canary says so.
//!
//! Of two grants of one key the later must have the larger number. Which one is the later is certain in three cases. They
//! are of different owners, or of none: then they cannot overlap, and the later is the one that was told later. One was
//! told before the other was asked for. Or one owner asked for both at the same time, and wherever both have had their
//! record on a primary, the one's came first: the other took it over.

use std::collections::HashMap;

use redlock_proxy::coordinator::Trouble;
use redlock_proxy::limits::PRIMARIES;
use redlock_proxy::lock::{FenceNumber, RaiseVote, Token};

use super::ballot::Ballot;
use super::canaries::Canary;
use super::checker::{Claim, label};
use super::history::Actor;
use super::network::State;
use super::plan::Plan;
use super::primary::{Answer, Micros, Work};

/// A grant with a number, as its client was told.
#[derive(Debug)]
pub(super) struct FenceGrant {
    pub(super) token: Token,
    pub(super) number: u64,
    pub(super) client: usize,
    /// Whether the client gave its owner's name.
    pub(super) owned: bool,
    pub(super) asked: Micros,
    pub(super) at: Micros,
}

/// What is known of one attempt's numbers.
#[derive(Debug, Default)]
struct Numbers {
    /// The largest that an answer has shown to the attempt.
    shown: Option<FenceNumber>,
    /// The last that was drawn anew.
    drawn: Option<FenceNumber>,
    /// When its record came to be on each primary: events of this kind are counted.
    recorded: [Option<u64>; PRIMARIES],
    /// For each number, how many primaries accepted it that granted the lock, and how many that refused it.
    accepted: HashMap<FenceNumber, [usize; 2]>,
}

#[derive(Debug)]
pub(super) struct Fences {
    numbers: HashMap<Token, Numbers>,
    /// Per key.
    grants: Vec<Vec<FenceGrant>>,
    records: u64,
    /// When counters were lost last.
    lost_at: Micros,
    needed: usize,
    canary: Option<Canary>,
    /// Numbers of grants that took a lock over.
    pub(super) of_take_overs: u64,
    /// Numbers that were drawn in a third round or later.
    pub(super) drawn_again: u64,
}

impl Fences {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            numbers: HashMap::new(),
            grants: (0..plan.all_keys()).map(|_| Vec::new()).collect(),
            records: 0,
            lost_at: 0,
            needed: plan.quorum.needed(),
            canary: plan.canary,
            of_take_overs: 0,
            drawn_again: 0,
        }
    }

    /// A primary has lost its counters: numbers of before are not known everywhere any more.
    pub(super) fn counters_lost(&mut self, now: Micros) {
        self.lost_at = now;
        self.grants.iter_mut().for_each(Vec::clear);
    }

    /// A request of an attempt that wants a number.
    pub(super) fn begun(&mut self, token: &Token) {
        self.numbers.entry(token.clone()).or_default();
    }

    /// A primary has set or signed a record.
    pub(super) fn recorded(&mut self, primary: usize, token: Option<&Token>) {
        if let Some(numbers) = token.and_then(|token| self.numbers.get_mut(token)) {
            self.records += 1;
            numbers.recorded[primary] = Some(self.records);
        }
    }

    /// A number is raised that was drawn anew; says what is wrong with that.
    pub(super) fn drawn_anew(&mut self, token: &Token, number: FenceNumber) -> Option<String> {
        let numbers = self.numbers.get_mut(token)?;
        let former = numbers.drawn.replace(number).filter(|former| *former != number)?;
        self.drawn_again += 1;
        let shown = numbers.shown.is_some_and(|shown| shown >= former);
        (!shown).then(|| format!("{} goes from {former:?} to {number:?}, unasked", label(token)))
    }

    /// The answer to a raise, as the attempt is told; `granted`: where the lock was granted.
    pub(super) fn told(&mut self, raise: &Work, granted: bool, answer: &Answer) -> RaiseVote {
        let (Work::Raise { token, number, .. }, Answer::Raise(RaiseVote::Raised(before, ours))) = (raise, answer)
        else {
            return RaiseVote::Silent;
        };
        let numbers = self.numbers.entry(token.clone()).or_default();
        numbers.shown = numbers.shown.max(*before);
        let ours = *ours || self.canary == Some(Canary::NoLookBehindTheRaise);
        let truth = RaiseVote::Raised(*before, ours);
        let [by_granters, by_refusers] = numbers.accepted.entry(*number).or_default();
        let counts = before.is_none_or(|before| before < *number) && (ours || !granted);
        if counts || !granted {
            *(if granted { by_granters } else { by_refusers }) += usize::from(counts);
            return truth;
        }
        // What the broken rule would have counted is told as if this one had accepted.
        match self.canary {
            Some(Canary::RaiseCountedOnRefusers) if *by_refusers > 0 => {
                *by_refusers -= 1;
                RaiseVote::Raised(None, true)
            }
            Some(Canary::MajorityOfGrantersForTheFence) if *by_granters > self.needed / 2 => {
                RaiseVote::Raised(None, true)
            }
            _ => truth,
        }
    }

    /// Whether the record of `one` came first wherever both attempts had theirs.
    fn came_first(&self, one: &Token, other: &Token) -> bool {
        let (Some(one), Some(other)) = (self.numbers.get(one), self.numbers.get(other)) else { return false };
        let mut both = one.recorded.iter().zip(&other.recorded).filter_map(|(one, other)| Some((*one)? < (*other)?));
        both.next() == Some(true) && both.all(|first| first)
    }

    /// The former grant whose number does not fit to that of this one.
    fn out_of_order(&self, key: usize, grant: &FenceGrant) -> Option<&FenceGrant> {
        self.grants[key].iter().find(|former| {
            let same = grant.owned && former.owned && grant.client == former.client;
            if !same || former.at < grant.asked || self.came_first(&former.token, &grant.token) {
                former.number >= grant.number
            } else {
                self.came_first(&grant.token, &former.token) && grant.number >= former.number
            }
        })
    }
}

impl State {
    /// A client was told a number.
    pub(super) fn fenced(&mut self, key: usize, grant: FenceGrant) {
        let actor = Actor::Client(grant.client);
        self.checker.history.add(self.now, key, actor, "RLOCK granted, fence:", Some(&grant.token), Some(grant.number));
        if let Some(former) = self.fences.out_of_order(key, &grant) {
            let [its, former_one] = [&grant.token, &former.token].map(label);
            let what = format!("{its} was granted with {}, {former_one} with {}", grant.number, former.number);
            self.checker.violate(Claim::FenceOrder, key, what);
        }
        self.fences.of_take_overs += u64::from(self.checker.signed_anywhere(&grant.token));
        if grant.asked >= self.fences.lost_at {
            self.fences.grants[key].push(grant);
        }
    }
}

/// Nobody answered in time; to a raise that stands alone the broken rule says that a larger number was shown.
pub(super) fn silent(ballot: Ballot, work: &Work, trouble: Trouble, canary: Option<Canary>) {
    match (work, canary) {
        (Work::Raise { number, .. }, Some(Canary::FenceStepAtEveryRepetition)) => {
            ballot.answer(Answer::Raise(RaiseVote::Raised(Some(*number), false)), None);
        }
        _ => ballot.silent(trouble, canary),
    }
}
