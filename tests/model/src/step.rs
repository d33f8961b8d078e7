//! How a world changes when something happens.

use std::sync::Arc;

use redlock_proxy::lock::{ExtendVerdict, NodeSet, ReleaseVerdict};

use crate::action::{Action, Request};
use crate::hearing::{Decision, Heard};
use crate::rounds::{Acquiring, Verdict};
use crate::state::{Answer, Attempt, Extension, Link, Primary, Raised, Record, Release, Slot, Stage, State};
use crate::world::{Rules, TTL, World, certain_life};

/// The world behind `action`.
pub(crate) fn next(world: &World, state: &State, action: &Action) -> State {
    let mut next = state.clone();
    let primaries = world.bounds.primaries;
    match action {
        Action::Begin(attempt) => {
            next.attempts[*attempt].stage = Stage::Asking;
            next.links(*attempt).for_each(|link| link.set = Slot::Sent);
        }
        Action::Run(place, attempt, request) => next.run(world, *place, *attempt, *request),
        Action::Hear(attempt, decision) => next.hear(world, *attempt, decision),
        Action::Extend(attempt) => {
            let its = &mut next.attempts[*attempt];
            its.extension = Extension::UnderWay { elapsed: 0, is_late: its.release == Release::Released };
            next.links(*attempt).for_each(|link| link.extend = Slot::Sent);
        }
        Action::Release(attempt) => {
            let its = &mut next.attempts[*attempt];
            (its.release, its.certain) = (Release::UnderWay, 0);
            next.links(*attempt).for_each(|link| link.release = Slot::Sent);
        }
        Action::Tick => next.tick(),
        Action::Expire(place) => next.primaries[*place].record = None,
        Action::Forget(place) => {
            next.losses -= 1;
            let primary = &mut next.primaries[*place];
            (primary.record, primary.counter, primary.forgot) = (None, None, true);
            primary.quarantine = world.quarantine();
        }
    }
    // Places beyond the bounds are never used.
    next.primaries[primaries..].fill(Primary::default());
    next.forget_what_is_idle(world);
    next
}

impl State {
    /// All links of one attempt.
    fn links(&mut self, attempt: usize) -> impl Iterator<Item = &mut Link> {
        self.primaries.iter_mut().map(move |primary| &mut primary.links[attempt])
    }

    fn tick(&mut self) {
        for primary in &mut self.primaries {
            primary.quarantine = primary.quarantine.saturating_sub(1);
            if let Some(record) = &mut primary.record {
                record.left = record.left.saturating_sub(1);
            }
        }
        for its in &mut self.attempts {
            its.certain = its.certain.saturating_sub(1);
            if its.is_asking() {
                its.elapsed = TTL.min(its.elapsed + 1);
            }
            if let Extension::UnderWay { elapsed, .. } = &mut its.extension {
                *elapsed = TTL.min(*elapsed + 1);
            }
        }
    }

    fn run(&mut self, world: &World, place: usize, attempt: usize, request: Request) {
        let primary = &mut self.primaries[place];
        let bears = primary.bears(attempt);
        let is_sound = primary.quarantine == 0;
        let record = |left| Some(Record { attempt: u8::try_from(attempt).expect("few attempts"), left });
        let vouched = |answer| if is_sound { answer } else { Answer::Unsound };
        let done = vouched(if bears { Answer::Yes } else { Answer::No });
        match request {
            Request::Set | Request::SetAlone => {
                let found = primary.record.map_or(Answer::Yes, |record| Answer::Held(record.attempt));
                primary.record = primary.record.or(record(certain_life(TTL)));
                let raised = match world.bounds.clocks.filter(|_| request == Request::Set) {
                    Some(clocks) => Raised::Over(primary.raise(clocks[attempt])),
                    None => Raised::Unknown,
                };
                primary.links[attempt].set.run((vouched(found), raised));
                self.lost_raises -= u8::from(request == Request::SetAlone);
            }
            Request::Sign => {
                let found = primary.links[attempt].found.map(usize::from);
                let is_there = found.is_some_and(|found| primary.bears(found));
                if let Some(former) = primary.record.filter(|_| is_there) {
                    primary.record = record(former.left.max(certain_life(TTL)));
                }
                primary.links[attempt].sign.run(vouched(if is_there { Answer::Yes } else { Answer::No }));
            }
            Request::Raise => {
                let before = primary.raise(primary.links[attempt].number);
                primary.links[attempt].raise.run((before, bears));
            }
            Request::Withdraw => {
                primary.links[attempt].withdraw = false;
                primary.record = primary.record.filter(|_| !bears);
            }
            Request::Extend => {
                let life = certain_life(world.bounds.extension.unwrap_or(TTL));
                let creates = world.rules == Rules::ExtensionCreates && primary.record.is_none();
                match &mut primary.record {
                    Some(record) if bears && world.rules == Rules::ExtensionShortens => record.left = life,
                    Some(record) if bears => record.left = life.max(record.left),
                    None if creates => primary.record = record(life),
                    _ => {}
                }
                primary.links[attempt].extend.run(if creates { vouched(Answer::Yes) } else { done });
            }
            Request::Release => {
                primary.record = primary.record.filter(|_| !bears);
                primary.links[attempt].release.run(done);
            }
        }
    }

    fn hear(&mut self, world: &World, attempt: usize, Decision { heard, verdict }: &Decision) {
        match verdict {
            Verdict::Granted(number, took_over) => {
                self.broken.order |= number.is_some() && self.latest >= *number;
                self.latest = *number;
                self.grant(world, attempt, heard, *took_over);
            }
            Verdict::Lost(_, withdraw) => self.lose(attempt, heard, *withdraw),
            Verdict::Sign(cores, found) => {
                self.go_on(attempt, cores, heard);
                for (node, former) in found {
                    let link = &mut self.primaries[node.index()].links[attempt];
                    (link.found, link.sign) = (Some(*former), Slot::Sent);
                }
            }
            Verdict::Raise(cores, number, nodes) => {
                self.go_on(attempt, cores, heard);
                for node in nodes.iter() {
                    let link = &mut self.primaries[node.index()].links[attempt];
                    (link.number, link.raise) = (*number, Slot::Sent);
                }
            }
            Verdict::Extend(verdict) => {
                let its = &mut self.attempts[attempt];
                let Extension::UnderWay { elapsed, is_late } = its.extension else { return };
                let ttl = world.bounds.extension.unwrap_or(TTL);
                its.extension = Extension::Failed;
                match verdict {
                    ExtendVerdict::Extended => {
                        its.extension = Extension::Confirmed;
                        if its.release == Release::Unused {
                            its.certain = its.certain.max(world.certainty(elapsed, ttl));
                        }
                        self.broken.release |= is_late;
                    }
                    ExtendVerdict::Lost => its.certain = 0,
                    ExtendVerdict::NoQuorum => {}
                }
                drop_unsent(self.links(attempt).map(|link| &mut link.extend), heard);
            }
            Verdict::Release(verdict) => {
                let is_released = *verdict == ReleaseVerdict::Released;
                self.attempts[attempt].release = if is_released { Release::Released } else { Release::Failed };
                drop_unsent(self.links(attempt).map(|link| &mut link.release), heard);
            }
        }
    }

    /// The attempt keeps what it has heard, and waits for what it has not.
    fn go_on(&mut self, attempt: usize, cores: &Arc<Acquiring>, heard: &[Heard]) {
        self.attempts[attempt].stage = Stage::Further(Arc::clone(cores));
        for (link, heard) in self.links(attempt).zip(heard).filter(|(_, heard)| **heard != Heard::Nothing) {
            drop_unsent(std::iter::once(&mut link.set), &[*heard]);
            link.raise.give_up();
            link.sign.give_up();
        }
    }

    fn grant(&mut self, world: &World, attempt: usize, heard: &[Heard], took_over: bool) {
        let its = &mut self.attempts[attempt];
        let certain = world.certainty(its.elapsed, TTL);
        *its = Attempt { stage: Stage::Granted { took_over }, certain, ..Attempt::default() };
        self.end_acquiring(attempt, heard);
    }

    fn lose(&mut self, attempt: usize, heard: &[Heard], withdraw: NodeSet) {
        self.attempts[attempt] = Attempt { stage: Stage::Lost, ..Attempt::default() };
        withdraw.iter().for_each(|node| self.primaries[node.index()].links[attempt].withdraw = true);
        self.end_acquiring(attempt, heard);
    }

    fn end_acquiring(&mut self, attempt: usize, heard: &[Heard]) {
        drop_unsent(self.links(attempt).map(|link| &mut link.set), heard);
        for link in self.links(attempt) {
            link.raise.give_up();
            link.sign.give_up();
        }
    }

    /// Requests that are waited for no longer, and would change nothing, are as good as run.
    fn forget_what_is_idle(&mut self, world: &World) {
        for primary in &mut self.primaries {
            for attempt in 0..world.bounds.attempts {
                let (bears, counter) = (primary.bears(attempt), primary.counter);
                let link = &mut primary.links[attempt];
                if link.raise == Slot::GivenUp && counter >= Some(link.number) {
                    link.raise = Slot::Idle;
                }
                if link.raise == Slot::Idle {
                    link.number = 0;
                }
                if bears || link.set.is_to_run() || link.sign.is_to_run() || world.rules == Rules::ExtensionCreates {
                    continue;
                }
                link.withdraw = false;
                for slot in [&mut link.extend, &mut link.release] {
                    if *slot == Slot::GivenUp {
                        *slot = Slot::Idle;
                    }
                }
            }
        }
    }
}

impl Primary {
    /// Raises the counter; tells it as it was.
    fn raise(&mut self, number: u16) -> Option<u16> {
        let before = self.counter;
        self.counter = before.max(Some(number));
        before
    }
}

/// A round has ended: what is under way is waited for no longer, and what has never left never will.
fn drop_unsent<'a, A: 'a>(slots: impl Iterator<Item = &'a mut Slot<A>>, heard: &[Heard]) {
    for (slot, heard) in slots.zip(heard) {
        slot.give_up();
        if *heard == Heard::Unsent {
            *slot = Slot::Idle;
        }
    }
}
