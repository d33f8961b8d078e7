use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::lock::walk_tests::node;

const DRIFT: Drift = Drift::from_parts_per_million(10_000);
const FOR_EVER: LeaseRules = LeaseRules { drift: DRIFT, max_lifetime: None, client_silence: None };

fn ms(millis: u64) -> Moment {
    Moment::from_micros(millis * 1_000)
}

fn ttl(millis: u64) -> Ttl {
    Ttl::from_millis(millis).expect("in range")
}

fn confirmed(started_ms: u64, ttl_ms: u64) -> Confirmed {
    Confirmed { started: ms(started_ms), ttl: ttl(ttl_ms) }
}

fn nodes(indexes: &[usize]) -> NodeSet {
    indexes.iter().map(|index| node(*index)).collect()
}

/// A lock of 30 seconds, told at once. Its validity ends at 29,698 ms.
fn lease(rules: &LeaseRules) -> Lease {
    let mut lease = Lease::offered(confirmed(0, 30_000), NodeSet::EMPTY, NodeSet::EMPTY, rules);
    assert!(lease.hand_over(ms(0), rules));
    lease
}

fn poll(lease: &mut Lease, now_ms: u64) -> LeaseStep {
    lease.poll(ms(now_ms), ms(now_ms), &FOR_EVER)
}

#[test]
fn a_renewal_is_due_a_third_of_the_ttl_after_the_last_one_began() {
    let mut lease = lease(&FOR_EVER);
    assert_eq!(poll(&mut lease, 0), LeaseStep::Sleep(ms(10_000)));
    assert_eq!(poll(&mut lease, 9_994), LeaseStep::Sleep(ms(10_000)));
    // A little early, with others.
    assert_eq!(poll(&mut lease, 9_995), LeaseStep::Renew);
    assert_eq!(lease.begin_renewal(ms(10_000)), ttl(30_000));
    assert_eq!(poll(&mut lease, 10_001), LeaseStep::Sleep(ms(29_698)));
    assert!(!lease.renewed(ExtendVerdict::Extended, confirmed(10_000, 30_000), ms(10_040), 0, &FOR_EVER));
    assert_eq!((lease.until(), poll(&mut lease, 10_041)), (ms(39_698), LeaseStep::Sleep(ms(20_000))));
}

#[test]
fn one_that_does_not_settle_is_tried_again_soon_and_then_later_while_validity_lasts() {
    let mut lease = lease(&FOR_EVER);
    let mut now = 10_000;
    // Between a half and the whole of 1.25, 2.5, 5 and, from then on, 10 seconds.
    for (bound_ms, random) in [(1_250, 0), (2_500, 1), (5_000, u64::MAX), (10_000, 7)] {
        assert_eq!(poll(&mut lease, now), LeaseStep::Renew);
        lease.begin_renewal(ms(now));
        assert!(!lease.renewed(ExtendVerdict::NoQuorum, confirmed(now, 30_000), ms(now), random, &FOR_EVER));
        let LeaseStep::Sleep(due) = poll(&mut lease, now) else { panic!("it rests") };
        let waits = due.since(ms(now));
        let bound = Duration::from_millis(bound_ms);
        assert!(waits >= bound / 2 && waits <= bound, "{waits:?} of {bound:?}");
        now = due.as_micros() / 1_000;
    }
    // What was confirmed stands to its end, and no longer.
    assert_eq!((lease.until(), poll(&mut lease, 29_697)), (ms(29_698), LeaseStep::Renew));
    assert_eq!(poll(&mut lease, 29_698), LeaseStep::Lose);
    assert_eq!((lease.is_lost(), poll(&mut lease, 29_699)), (true, LeaseStep::Over));
}

#[test]
fn a_lock_that_is_lacked_by_too_many_is_lost_at_once_and_for_good() {
    let mut lease = lease(&FOR_EVER);
    lease.begin_renewal(ms(10_000));
    assert!(lease.renewed(ExtendVerdict::Lost, confirmed(10_000, 30_000), ms(10_001), 0, &FOR_EVER));
    assert_eq!(poll(&mut lease, 10_002), LeaseStep::Over);
    let until = lease.until();
    // Whatever is heard of it afterwards changes nothing, and is told to nobody a second time.
    assert!(!lease.renewed(ExtendVerdict::Extended, confirmed(10_000, 30_000), ms(10_003), 0, &FOR_EVER));
    assert!(!lease.extended(confirmed(10_003, 60_000), ms(10_003), &FOR_EVER));
    assert!(!lease.renewed(ExtendVerdict::Lost, confirmed(10_000, 30_000), ms(10_004), 0, &FOR_EVER));
    assert!(!lease.lose() && !lease.end() && lease.is_lost());
    assert_eq!((lease.until(), poll(&mut lease, 10_005)), (until, LeaseStep::Over));
}

#[test]
fn an_answer_behind_the_end_of_the_validity_revives_nothing() {
    for by_its_holder in [false, true] {
        let mut lease = lease(&FOR_EVER);
        lease.begin_renewal(ms(29_690));
        let (asked, now) = (confirmed(29_690, 30_000), ms(29_700));
        let is_lost = if by_its_holder {
            lease.extended(asked, now, &FOR_EVER)
        } else {
            lease.renewed(ExtendVerdict::Extended, asked, now, 0, &FOR_EVER)
        };
        assert!(is_lost && lease.is_lost());
        assert_eq!(lease.until(), ms(29_698));
    }
}

#[test]
fn an_extension_by_the_holder_changes_what_renewals_ask_for_and_never_shortens() {
    let mut lease = lease(&FOR_EVER);
    assert!(!lease.extended(confirmed(1_000, 60_000), ms(1_001), &FOR_EVER));
    assert_eq!((lease.until(), poll(&mut lease, 1_002)), (ms(60_398), LeaseStep::Sleep(ms(21_000))));
    assert_eq!(lease.begin_renewal(ms(21_000)), ttl(60_000));
    assert!(!lease.renewed(ExtendVerdict::NoQuorum, confirmed(21_000, 60_000), ms(21_001), 0, &FOR_EVER));
    assert!(!lease.extended(confirmed(22_000, 600), ms(22_001), &FOR_EVER));
    assert_eq!((lease.until(), poll(&mut lease, 22_002)), (ms(60_398), LeaseStep::Sleep(ms(22_200))));
    // As short as a session may be, and no shorter.
    assert!(!lease.extended(confirmed(23_000, 4), ms(23_001), &FOR_EVER));
    assert_eq!((poll(&mut lease, 23_002), lease.ttl), (LeaseStep::Sleep(Moment::from_micros(23_033_333)), ttl(100)));
}

#[test]
fn a_lock_that_was_kept_long_enough_is_renewed_no_more_and_lost_when_its_validity_is_over() {
    let rules = LeaseRules { max_lifetime: Some(Duration::from_secs(15)), ..FOR_EVER };
    let mut lease = Lease::offered(confirmed(0, 30_000), NodeSet::EMPTY, NodeSet::EMPTY, &rules);
    lease.hand_over(ms(100), &rules);
    let at = |lease: &mut Lease, now| lease.poll(ms(now), ms(now), &rules);
    assert_eq!(at(&mut lease, 10_000), LeaseStep::Renew);
    lease.begin_renewal(ms(10_000));
    lease.renewed(ExtendVerdict::Extended, confirmed(10_000, 30_000), ms(10_001), 0, &rules);
    assert_eq!(at(&mut lease, 15_099), LeaseStep::Sleep(ms(20_000)));
    assert_eq!(at(&mut lease, 15_100), LeaseStep::Sleep(ms(39_698)));
    assert_eq!(at(&mut lease, 20_000), LeaseStep::Sleep(ms(39_698)));
    assert_eq!(at(&mut lease, 39_698), LeaseStep::Lose);
}

#[test]
fn a_silent_clients_lock_is_not_renewed_until_it_speaks_again() {
    let rules = LeaseRules { client_silence: Some(Duration::from_secs(12)), ..FOR_EVER };
    let mut lease = lease(&rules);
    let at = |lease: &mut Lease, now, heard| lease.poll(ms(now), ms(heard), &rules);
    assert_eq!(at(&mut lease.clone(), 10_000, 0), LeaseStep::Renew);
    assert_eq!(at(&mut lease, 12_000, 0), LeaseStep::Pause(ms(29_698)));
    assert_eq!(at(&mut lease.clone(), 29_000, 29_000), LeaseStep::Renew);
    assert_eq!(at(&mut lease, 29_698, 29_697), LeaseStep::Lose);
}

#[test]
fn a_lock_that_nobody_was_told_of_is_not_renewed() {
    let mut lease = Lease::offered(confirmed(0, 30_000), NodeSet::EMPTY, NodeSet::EMPTY, &FOR_EVER);
    assert_eq!(poll(&mut lease, 20_000), LeaseStep::Sleep(ms(29_698)));
    assert_eq!(poll(&mut lease, 40_000), LeaseStep::Sleep(ms(29_698)));
    // Whoever was faster to give it back than we to write down that it was handed over.
    let mut released = lease.clone();
    assert!(released.end() && !released.hand_over(ms(1), &FOR_EVER));
    assert_eq!(poll(&mut released, 10_000), LeaseStep::Over);
    assert!(lease.hand_over(ms(20_001), &FOR_EVER));
    assert_eq!(poll(&mut lease, 20_001), LeaseStep::Renew);
}

#[test]
fn a_record_is_put_back_where_it_was_absent_and_never_set() {
    let mut lease = Lease::offered(confirmed(0, 30_000), nodes(&[3, 4]), nodes(&[4]), &FOR_EVER);
    let asked = confirmed(10_000, 30_000);
    assert_eq!(lease.put_back(nodes(&[3]), NodeSet::EMPTY, asked, ms(10_001)), None, "nobody was told");
    lease.hand_over(ms(0), &FOR_EVER);
    assert_eq!(lease.put_back(nodes(&[0, 1, 4]), NodeSet::EMPTY, asked, ms(10_001)), None);
    // For what remains, with time to spare for nobody.
    assert_eq!(
        lease.put_back(nodes(&[0, 3, 4]), NodeSet::EMPTY, asked, Moment::from_micros(10_020_999)),
        Some((nodes(&[3]), ttl(29_980)))
    );
    assert_eq!(lease.put_back(nodes(&[3]), NodeSet::EMPTY, asked, ms(10_021)), None, "this one may have been run");
    lease.refused_at(nodes(&[3, 4]));
    assert_eq!(lease.put_back(nodes(&[3]), NodeSet::EMPTY, asked, ms(40_000)), None, "nothing remains");
    assert_eq!(lease.put_back(nodes(&[3, 4]), NodeSet::EMPTY, asked, ms(39_999)), Some((nodes(&[3]), ttl(1))));
    lease.refused_at(nodes(&[3]));
    lease.end();
    assert_eq!(lease.put_back(nodes(&[3]), NodeSet::EMPTY, asked, ms(10_022)), None, "a release wins");
}

#[test]
fn a_record_is_put_back_where_it_was_forgotten_as_often_as_it_is_whoever_set_it() {
    let mut lease = Lease::offered(confirmed(0, 30_000), NodeSet::EMPTY, nodes(&[4]), &FOR_EVER);
    let asked = confirmed(10_000, 30_000);
    assert_eq!(lease.put_back(NodeSet::EMPTY, nodes(&[1]), asked, ms(10_001)), None, "nobody was told");
    lease.hand_over(ms(0), &FOR_EVER);
    for _ in 0..2 {
        let put_back = lease.put_back(nodes(&[0]), nodes(&[1, 4]), asked, ms(10_021));
        assert_eq!(put_back, Some((nodes(&[1, 4]), ttl(29_979))));
    }
    lease.end();
    assert_eq!(lease.put_back(NodeSet::EMPTY, nodes(&[1]), asked, ms(10_022)), None, "a release wins");
}

#[test]
fn retries_spread_over_their_range() {
    for failures in [0, 1, 3, 200] {
        let bound = Duration::from_millis(100) * (1 << failures.min(3)) / 24;
        let waits: HashSet<Duration> = (0..1_000_u64)
            .map(|n| retry_delay(ttl(100), failures, n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .inspect(|wait| assert!(*wait + Duration::from_micros(1) >= bound / 2 && *wait <= bound))
            .collect();
        assert!(waits.len() > 500, "only {} different waits", waits.len());
    }
}

/// All that can happen to a lease, besides the passing of time.
#[derive(Debug, Clone, Copy)]
enum Event {
    HandOver,
    /// Looks, and begins the renewal that is due.
    Poll {
        heard: bool,
    },
    Verdict(ExtendVerdict),
    Extended(u64),
    Refused(usize),
    PutBack(usize),
    End,
    Lose,
}

const EVENTS: [Event; 13] = [
    Event::HandOver,
    Event::Poll { heard: true },
    Event::Poll { heard: false },
    Event::Verdict(ExtendVerdict::Extended),
    Event::Verdict(ExtendVerdict::Lost),
    Event::Verdict(ExtendVerdict::NoQuorum),
    Event::Extended(90),
    Event::Extended(300),
    Event::Refused(0),
    Event::PutBack(0),
    Event::PutBack(2),
    Event::End,
    Event::Lose,
];

/// A lease and what its keeper knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kept {
    lease: Lease,
    now: Moment,
    told: bool,
    /// The renewal under way.
    asked: Option<Confirmed>,
    over: bool,
    put_back_at_first: u8,
    refused_by_first: u8,
}

impl Kept {
    const RULES: LeaseRules = LeaseRules {
        drift: DRIFT,
        max_lifetime: Some(Duration::from_millis(250)),
        client_silence: Some(Duration::from_millis(120)),
    };

    fn new() -> Self {
        let lease = Lease::offered(confirmed(0, 100), nodes(&[0, 2]), nodes(&[2]), &Self::RULES);
        let (told, over) = (false, false);
        Self { lease, now: ms(0), told, asked: None, over, put_back_at_first: 0, refused_by_first: 0 }
    }

    /// Lets `event` happen and checks what must hold whatever went before.
    fn happen(&mut self, event: Event) {
        let before = self.lease.clone();
        let was_alive = before.is_alive();
        let mut just_lost = false;
        match event {
            Event::HandOver => self.told |= self.lease.hand_over(self.now, &Self::RULES) && was_alive,
            Event::Poll { heard } => {
                let heard_at = if heard { self.now } else { ms(0) };
                match self.lease.poll(self.now, heard_at, &Self::RULES) {
                    LeaseStep::Renew => {
                        assert!(self.told && !self.over && self.asked.is_none(), "not twice, not after the end");
                        assert!(self.now < before.until && self.now < before.latest);
                        assert!(self.now.since(heard_at) < Duration::from_millis(120));
                        assert!(before.due <= self.now.after(RENEWAL_SLACK));
                        let ttl = self.lease.begin_renewal(self.now);
                        self.asked = Some(Confirmed { started: self.now, ttl });
                    }
                    LeaseStep::Lose => just_lost = true,
                    LeaseStep::Sleep(at) => assert!(at <= self.lease.until() && (!self.told || at > self.now)),
                    LeaseStep::Pause(at) => assert!(self.told && at == self.lease.until() && at > self.now),
                    LeaseStep::Over => assert!(self.over),
                }
            }
            Event::Verdict(verdict) => {
                let Some(asked) = self.asked.take() else { return };
                just_lost = self.lease.renewed(verdict, asked, self.now, 5, &Self::RULES);
            }
            Event::Extended(ttl_ms) => {
                just_lost =
                    self.lease.extended(Confirmed { started: self.now, ttl: ttl(ttl_ms) }, self.now, &Self::RULES);
            }
            Event::Refused(index) => {
                self.refused_by_first += 1;
                self.lease.refused_at(nodes(&[index]));
            }
            Event::PutBack(index) => {
                let asked = Confirmed { started: self.now, ttl: ttl(100) };
                if let Some((at, _)) = self.lease.put_back(nodes(&[index]), NodeSet::EMPTY, asked, self.now) {
                    assert!(self.told && !self.over, "a record was put back behind the end");
                    assert_eq!(at, nodes(&[0]), "not where one was signed");
                    self.put_back_at_first += 1;
                }
            }
            Event::End => self.over |= self.lease.end(),
            Event::Lose => just_lost = self.lease.lose(),
        }
        self.over |= just_lost;
        assert!(!just_lost || was_alive, "lost twice");
        assert_eq!(self.over, !self.lease.is_alive());
        assert!(was_alive || !self.lease.is_alive(), "it came back to life");
        assert!(self.lease.until() >= before.until(), "what was told is shortened");
        // It is never sent there twice but after a refusal.
        assert!(self.put_back_at_first <= 1 + self.refused_by_first);
    }
}

#[test]
fn whatever_happens_in_whichever_order_a_lease_ends_once() {
    let mut visited = HashSet::from([Kept::new()]);
    let mut generation = vec![Kept::new()];
    for _ in 0..6 {
        let mut next_generation = Vec::new();
        for kept in generation {
            for event in EVENTS {
                for pause_ms in [0, 34, 70] {
                    let mut next = kept.clone();
                    next.now = kept.now.after(Duration::from_millis(pause_ms));
                    next.happen(event);
                    // What is over stays so, which is seen after one step more.
                    if visited.insert(next.clone()) && !kept.over {
                        next_generation.push(next);
                    }
                }
            }
        }
        generation = next_generation;
    }
    println!("{} states", visited.len());
    assert!(visited.len() > 50_000);
}

proptest! {
    #[test]
    fn long_lives_keep_the_same_promises(events in prop::collection::vec((0_usize..EVENTS.len(), 0_u64..60), 1..200)) {
        let mut kept = Kept::new();
        for (event, pause_ms) in events {
            kept.now = kept.now.after(Duration::from_millis(pause_ms));
            kept.happen(EVENTS[event]);
        }
    }
}
