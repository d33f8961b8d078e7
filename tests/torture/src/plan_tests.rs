use std::collections::BTreeMap;

use super::*;

const LENGTH: Duration = Duration::from_secs(45);
const QUARANTINE: Duration = Duration::from_millis(2_600);
const MARKING: Duration = Duration::from_millis(1_500);
const TERMS: Terms = Terms { length: LENGTH, quarantine: QUARANTINE, marking: MARKING };

/// Storms of every sort.
fn storms() -> impl Iterator<Item = Vec<Strike>> {
    let deals = [Deal::Clockless, Deal::Alternately, Deal::OnlyClocks];
    (0..60).map(move |seed| storm(seed, seed / 3, deals[usize::try_from(seed % 3).expect("few")], &TERMS))
}

/// Storms in which clocks step.
fn storms_of_clocks() -> impl Iterator<Item = Vec<Strike>> {
    (0..50).map(|seed| storm(seed, 1, Deal::Alternately, &TERMS))
}

fn kinds(storm: &[Strike]) -> BTreeMap<Kind, usize> {
    let mut counts = BTreeMap::new();
    for strike in storm {
        *counts.entry(strike.kind).or_default() += 1;
    }
    counts
}

fn is_step(strike: &Strike) -> bool {
    strike.kind.target() == Target::Clocks
}

#[test]
fn a_storm_is_a_function_of_its_seed_and_number() {
    let told = |seed, number| storm(seed, number, Deal::Alternately, &TERMS);
    assert_eq!(told(7, 1), told(7, 1));
    assert_ne!(told(7, 1), told(7, 2));
    assert_ne!(told(7, 1), told(8, 1));
}

#[test]
fn every_kind_comes_in_every_storm_and_none_much_more_often_than_others() {
    for (deal, number) in [(Deal::Clockless, 1), (Deal::Alternately, 0), (Deal::Alternately, 1), (Deal::OnlyClocks, 0)]
    {
        for seed in 0..50 {
            let counts = kinds(&storm(seed, number, deal, &TERMS));
            let included = Kind::ALL.into_iter().filter(|kind| deal.includes(*kind, number));
            assert!(included.eq(counts.keys().copied()), "{deal:?} {number}: {counts:?}");
            let (least, most) = (counts.values().min(), counts.values().max());
            assert!(most <= least.map(|least| least + 2).as_ref(), "{counts:?}");
        }
    }
}

#[test]
fn a_storm_has_steps_of_clocks_or_other_losses_of_memory() {
    let has = |deal: Deal, number, wanted: fn(Kind) -> bool| {
        storm(7, number, deal, &TERMS).iter().any(|strike| wanted(strike.kind))
    };
    let is_step = |kind: Kind| kind.target() == Target::Clocks;
    for (deal, number, steps, loses, other) in [
        (Deal::Clockless, 0, false, true, true),
        (Deal::Clockless, 1, false, true, true),
        (Deal::Alternately, 0, false, true, true),
        (Deal::Alternately, 1, true, false, true),
        (Deal::OnlyClocks, 0, true, false, false),
    ] {
        assert_eq!(has(deal, number, is_step), steps, "{deal:?} {number}");
        assert_eq!(deal.moves_clocks(number), steps);
        assert_eq!(has(deal, number, Kind::loses_counters), loses, "{deal:?} {number}");
        assert_eq!(has(deal, number, |kind| !kind.loses_memory()), other, "{deal:?} {number}");
    }
}

#[test]
fn a_minority_of_clocks_steps_at_a_time_forward_by_a_second_up_to_an_hour() {
    let (mut small, mut large) = (0, 0);
    for strike in storms_of_clocks().flatten().filter(is_step) {
        assert!(!strike.wide && strike.primaries.len() <= MINORITY, "{strike:?}");
        let seconds = strike.seconds();
        if strike.kind == Kind::ClockBack {
            assert!((2..=5).contains(&seconds), "{seconds}");
        } else {
            assert!((1..=3_600).contains(&seconds), "{seconds}");
            small += usize::from(seconds < 10);
            large += usize::from(seconds > 600);
        }
    }
    assert!(small > 20 && large > 20, "{small}, {large}");
}

/// A proxy that is not there before a step, or comes before it is marked, cannot tell that there was one.
#[test]
fn no_proxy_is_struck_from_a_while_before_a_step_until_it_is_marked() {
    for storm in storms_of_clocks() {
        for step in storm.iter().filter(|strike| is_step(strike)) {
            let (from, to) = (step.at, step.at + step.lasts + MARKING);
            for other in storm.iter().filter(|other| other.kind.target() == Target::Proxies) {
                assert!(other.at + other.lasts + RETURN <= from || other.at >= to, "{step:?}, {other:?}");
            }
            for other in storm.iter().filter(|other| is_step(other) && *other != step) {
                assert!(other.at >= to || other.at + other.lasts + MARKING <= from, "{step:?}, {other:?}");
            }
        }
    }
}

#[test]
fn clocks_step_where_nothing_else_is_wrong_and_nothing_is_until_that_is_marked() {
    for storm in storms_of_clocks() {
        for (index, step) in storm.iter().enumerate().filter(|(_, strike)| is_step(strike)) {
            let marked = step.at + step.lasts + MARKING;
            let strikes_it = |other: &&Strike| other.primaries.iter().any(|primary| step.primaries.contains(primary));
            for earlier in storm[..index].iter().filter(strikes_it) {
                let aftermath = match earlier.kind {
                    kind if kind.loses_memory() => MARKING + QUARANTINE,
                    kind if kind.impairs() => AFTERMATH,
                    _ => Duration::ZERO,
                };
                assert!(earlier.at + earlier.lasts + aftermath <= step.at, "{earlier:?}, {step:?}");
            }
            for later in storm[index + 1..].iter().filter(strikes_it) {
                assert!(later.at >= marked, "{step:?}, {later:?}");
            }
        }
    }
}

#[test]
fn even_a_short_storm_has_most_of_them() {
    let terms = Terms { length: Duration::from_secs(18), ..TERMS };
    for (deal, number, least) in [(Deal::Clockless, 0, 16), (Deal::Alternately, 1, 14), (Deal::OnlyClocks, 0, 2)] {
        for seed in 0..50 {
            let kinds = kinds(&storm(seed, number, deal, &terms));
            assert!(kinds.len() >= least, "{deal:?}, seed {seed}: {kinds:?}");
        }
    }
}

#[test]
fn strikes_come_by_time_and_are_over_when_the_storm_is() {
    for storm in storms() {
        assert!(storm.is_sorted_by_key(|strike| strike.at));
        assert!(storm.iter().all(|strike| strike.at + strike.lasts < LENGTH));
    }
}

#[test]
fn nothing_is_struck_twice_at_once() {
    for storm in storms() {
        for (index, strike) in storm.iter().enumerate() {
            let still = storm[..index].iter().filter(|earlier| earlier.at + earlier.lasts > strike.at);
            for earlier in still {
                let is_struck = |primary: &usize| earlier.primaries.contains(primary);
                assert!(!strike.primaries.iter().any(is_struck), "{earlier:?}, {strike:?}");
                let [proxies, others] = [strike, earlier].map(|strike| match strike.kind.target() {
                    Target::Proxies => strike.proxies.as_slice(),
                    _ => &[],
                });
                assert!(!proxies.iter().any(|proxy| others.contains(proxy)), "{earlier:?}, {strike:?}");
            }
        }
    }
}

#[test]
fn a_majority_is_struck_now_and_then_and_left_alone_otherwise() {
    let (mut wide, mut all) = (0, 0);
    for storm in storms() {
        for (index, strike) in storm.iter().enumerate() {
            all += 1;
            if strike.wide {
                wide += 1;
                let struck = strike.primaries.len().max(strike.proxies.len());
                assert!(struck > MINORITY || strike.kind.target() == Target::Proxies && struck == 2, "{strike:?}");
                continue;
            }
            if !strike.kind.impairs() {
                continue;
            }
            let is_out = |primary: usize| {
                storm[..=index].iter().any(|earlier| {
                    let aftermath = match earlier.kind {
                        kind if kind.target() == Target::Clocks => MARKING + QUARANTINE,
                        kind if kind.loses_memory() => QUARANTINE,
                        _ => AFTERMATH,
                    };
                    let lasts = earlier.at + earlier.lasts + aftermath > strike.at;
                    lasts && earlier.kind.impairs() && earlier.primaries.contains(&primary)
                })
            };
            let out = (0..PRIMARIES).filter(|primary| is_out(*primary)).count();
            assert!(out <= MINORITY, "{strike:?}");
        }
    }
    assert!(wide * 16 > all && wide * 4 < all, "{wide} of {all}");
}

#[test]
fn the_witness_is_never_ended_and_everybody_else_is() {
    let mut ended = [0; PROXIES];
    let mut paused = [0; PROXIES];
    for strike in storms().flatten() {
        let of_kind = match strike.kind {
            Kind::ProxyKilled | Kind::ProxyDrained => &mut ended,
            Kind::ProxyPaused => &mut paused,
            _ => continue,
        };
        for proxy in &strike.proxies {
            of_kind[*proxy] += 1;
        }
    }
    assert_eq!(ended[WITNESS], 0);
    assert!(ended.iter().skip(WITNESS + 1).all(|count| *count > 10), "{ended:?}");
    assert!(paused.iter().all(|count| *count > 10), "{paused:?}");
}

#[test]
fn whoever_is_struck_is_named_once() {
    for strike in storms().flatten() {
        for victims in [&strike.primaries, &strike.proxies] {
            assert!(victims.windows(2).all(|pair| pair[0] < pair[1]), "{strike:?}");
        }
        assert_eq!(strike.primaries.is_empty(), strike.kind.target() == Target::Proxies);
        assert_eq!(strike.proxies.is_empty(), matches!(strike.kind.target(), Target::Primaries | Target::Clocks));
    }
}
