//! What fails: one misfortune after the other, of the servers and of the links to them, each over after a while.

use std::collections::BTreeMap;
use std::time::Duration;

use support::{Direction, Fault, Fleet, Kind, Relay, ServerOptions, Value};

use super::counter;
use super::work::{PROXIES, Work};
use crate::common::Random;

pub(super) const PRIMARIES: usize = 5;

/// How often a proxy looks at the primaries' clocks.
pub(super) const PROBED_EVERY: Duration = Duration::from_secs(1);
/// By how much it can be misled: half of what one way takes longer than the other.
const SKEW: Duration = Duration::from_millis(300);

/// How often each misfortune has come.
pub(super) type Tally = BTreeMap<&'static str, usize>;

/// What happens to servers.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// SIGSTOP, and after a while SIGCONT.
    Stop,
    /// SIGKILL, and after a while it comes back with what it had.
    Kill,
    /// SCRIPT FLUSH.
    Forget,
    /// A counter is ahead, as if a proxy had raised it whose clock is.
    Ahead,
}

const STOP: (Blow, &str) = (Blow::Stop, "stopped");
const KILL: (Blow, &str) = (Blow::Kill, "killed");
const FORGET: (Blow, &str) = (Blow::Forget, "forgot scripts");
const AHEAD: (Blow, &str) = (Blow::Ahead, "counter ahead");

/// What happens to links.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// Some primaries are out of one proxy's reach, perhaps most of them: what is sent either way is lost.
    Partition,
    /// One primary is out of everybody's reach.
    Isolate,
    /// Connections are reset, and new ones refused.
    Refuse,
    /// The replies are lost from some byte on, be it between those of a SET and of the raise behind it, and the connection ends.
    LoseReplies,
    /// No reply comes through for a moment, while commands do; then the connection is reset.
    SwallowReplies,
    /// Everything comes late, by a different time on each link.
    Slow,
    /// What one proxy sends, or what it is sent, comes so late that its next look at the primaries' clocks misleads it: its numbers
    /// begin too far ahead, or behind those of the others, until it has looked again.
    Skew,
}

/// Servers that have what they had when they come back, however they ended: a primary that forgets is another matter.
pub(super) fn persistent() -> ServerOptions {
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"].map(str::to_owned).to_vec();
    ServerOptions { arguments, ..ServerOptions::default() }
}

/// A while of at most so many milliseconds.
async fn a_while(random: &mut Random, most: usize) {
    tokio::time::sleep(Duration::from_millis(random.below(most) as u64 + 1)).await;
}

/// A choice of so many different ones below `limit`.
fn choose(random: &mut Random, count: usize, limit: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..limit).collect();
    (0..count).map(|_| all.swap_remove(random.below(all.len()))).collect()
}

/// Strikes servers until the work is over; each blow at least once. None is down afterwards.
pub(super) async fn strike(fleet: &mut Fleet, work: &Work, seed: u64) -> Tally {
    let mut random = Random::new(!seed);
    let mut tally = Tally::new();
    let blows: &[(Blow, &str)] = match fleet[0].kind() {
        // It keeps no log of what it does.
        Kind::Dragonfly => &[STOP, FORGET, AHEAD, FORGET],
        Kind::Redis | Kind::Valkey => &[STOP, FORGET, KILL, FORGET, AHEAD, FORGET],
    };
    while !work.is_over() || tally.is_empty() {
        for &(blow, name) in blows {
            a_while(&mut random, 300).await;
            let victims = match blow {
                Blow::Stop | Blow::Kill => 1 + usize::from(random.below(3) == 0),
                Blow::Forget | Blow::Ahead => 1 + random.below(PRIMARIES),
            };
            let victims = choose(&mut random, victims, PRIMARIES);
            fall(blow, fleet, &victims, work, &mut random).await;
            *tally.entry(name).or_default() += 1;
        }
    }
    tally
}

async fn fall(blow: Blow, fleet: &mut Fleet, victims: &[usize], work: &Work, random: &mut Random) {
    match blow {
        Blow::Stop => {
            for victim in victims {
                fleet[*victim].pause();
            }
            a_while(random, 500).await;
            for victim in victims {
                fleet[*victim].resume();
            }
        }
        Blow::Kill => {
            for victim in victims {
                fleet[*victim].kill();
            }
            a_while(random, 300).await;
            for victim in victims {
                fleet[*victim].restart().await;
            }
        }
        Blow::Forget => {
            for victim in victims {
                assert_eq!(fleet[*victim].command(&["SCRIPT", "FLUSH"]).await, Value::ok());
            }
        }
        Blow::Ahead => {
            let key = &work.keys[random.below(work.keys.len())];
            let micros = (1_000 * random.below(100)).to_string();
            for victim in victims {
                let raised = fleet[*victim].command(&["INCRBY", &counter(key), &micros]).await;
                assert!(!raised.is_error(), "{raised:?}");
            }
        }
    }
}

/// Cuts links until the work is over, each way at least once. All are well afterwards.
pub(super) async fn cut(links: &[Vec<Relay>; PROXIES], work: &Work, seed: u64) -> Tally {
    let mut random = Random::new(seed);
    let mut tally = Tally::new();
    let cuts = [
        (Cut::Partition, "partitioned"),
        (Cut::LoseReplies, "replies cut off"),
        (Cut::Isolate, "isolated"),
        (Cut::SwallowReplies, "replies swallowed"),
        (Cut::Refuse, "refused"),
        (Cut::Slow, "slowed down"),
        (Cut::Skew, "clock skewed"),
    ];
    while !work.is_over() || tally.is_empty() {
        for (cut, name) in cuts {
            a_while(&mut random, 250).await;
            befall(cut, links, &mut random).await;
            *tally.entry(name).or_default() += 1;
        }
    }
    tally
}

async fn befall(cut: Cut, links: &[Vec<Relay>; PROXIES], random: &mut Random) {
    let (proxies, primaries) = match cut {
        Cut::Partition => (1, 1 + random.below(4)),
        Cut::Isolate => (PROXIES, 1),
        Cut::Refuse | Cut::LoseReplies | Cut::SwallowReplies => (1 + random.below(PROXIES), 1 + random.below(3)),
        Cut::Slow => (PROXIES, PRIMARIES),
        Cut::Skew => (1, PRIMARIES),
    };
    let (proxies, primaries) = (choose(random, proxies, PROXIES), choose(random, primaries, PRIMARIES));
    let victims: Vec<&Relay> =
        proxies.iter().flat_map(|proxy| primaries.iter().map(|primary| &links[*proxy][*primary])).collect();
    let way = random.pick(&Direction::BOTH);
    for relay in &victims {
        match cut {
            Cut::Partition | Cut::Isolate => relay.set_both(Fault::BlackHole),
            Cut::Refuse => {
                relay.refuse();
                relay.reset();
            }
            Cut::LoseReplies => relay.set(Direction::ToClient, Fault::Truncate { after: random.below(400) as u64 }),
            Cut::SwallowReplies => relay.set(Direction::ToClient, Fault::BlackHole),
            Cut::Slow => {
                let mut milliseconds = |most| Duration::from_millis(random.below(most) as u64);
                relay.set_both(Fault::Delay { latency: milliseconds(10), jitter: milliseconds(10) });
            }
            Cut::Skew => relay.set(way, Fault::latency(SKEW * 2)),
        }
    }
    match cut {
        Cut::LoseReplies | Cut::SwallowReplies => a_while(random, 40).await,
        // Until the next look at the clocks has been answered.
        Cut::Skew => tokio::time::sleep(PROBED_EVERY + SKEW * 3).await,
        _ => a_while(random, 400).await,
    }
    for relay in victims {
        // A stream with a hole in it cannot go on; one that is only slow can.
        if !matches!(cut, Cut::Slow | Cut::Skew) {
            relay.reset();
        }
        relay.heal();
    }
    if matches!(cut, Cut::Skew) {
        // Misled, and within reach again.
        tokio::time::sleep(PROBED_EVERY / 2).await;
    }
}
