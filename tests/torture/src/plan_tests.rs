use std::collections::BTreeMap;

use super::*;

const LENGTH: Duration = Duration::from_secs(45);
const QUARANTINE: Duration = Duration::from_millis(2_600);

fn storms() -> impl Iterator<Item = Vec<Strike>> {
    (0..50).map(|seed| storm(seed, seed % 3, LENGTH, QUARANTINE))
}

#[test]
fn a_storm_is_a_function_of_its_seed_and_number() {
    let told = |seed, number| storm(seed, number, LENGTH, QUARANTINE);
    assert_eq!(told(7, 1), told(7, 1));
    assert_ne!(told(7, 1), told(7, 2));
    assert_ne!(told(7, 1), told(8, 1));
}

#[test]
fn every_kind_comes_in_every_storm_and_none_much_more_often_than_others() {
    for storm in storms() {
        let mut counts = BTreeMap::new();
        for strike in &storm {
            *counts.entry(strike.kind).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), Kind::ALL.len(), "{counts:?}");
        let (least, most) = (counts.values().min(), counts.values().max());
        assert!(most <= least.map(|least| least + 2).as_ref(), "{counts:?}");
    }
}

#[test]
fn even_a_short_storm_has_most_of_them() {
    for seed in 0..50 {
        let mut kinds: Vec<Kind> =
            storm(seed, 0, Duration::from_secs(18), QUARANTINE).iter().map(|strike| strike.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert!(kinds.len() >= 16, "seed {seed}: {kinds:?}");
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
                    let aftermath = if earlier.kind.loses_memory() { QUARANTINE } else { AFTERMATH };
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
        assert_eq!(strike.proxies.is_empty(), strike.kind.target() == Target::Primaries);
    }
}
