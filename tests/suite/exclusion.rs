//! Mutual exclusion and progress, while primaries and links come and go.
//!
//! Clients write down what they saw; the referee of `support::history` decides. Locks are taken for much longer than the test
//! runs, so that one that is left behind anywhere blocks its key: it shows as a time without grants, and as a key that is left.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use support::history::Answer;
use support::{ByteClient, Fleet, History, Kind, Proxy, ProxyOptions, Relay, Value, eventually, unique_key};
use tokio::task::JoinSet;

use crate::common::{Lock, Random, relays, start};

const CLIENTS: u64 = 32;
const KEYS: usize = 4;
const RUNS_FOR: Duration = Duration::from_secs(8);
/// Longest time without a grant of a key: 32 clients that try all the time share four of them.
const STALL: Duration = Duration::from_secs(4);

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// RLOCK and RUNLOCK.
    Plain,
    /// With OWNER and take-overs, REXTEND, short locks that are left to their ttl, and connections that end in between.
    Mixed,
}

struct Contest {
    work: Work,
    proxies: [Proxy; 2],
    keys: Vec<String>,
    history: Mutex<History>,
    began: Instant,
}

impl Contest {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn history<T>(&self, note: impl FnOnce(&mut History) -> T) -> T {
        note(&mut self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One client's life.
    async fn compete(self: Arc<Self>, number: u64) {
        let mut random = Random::new(number);
        let name = format!("client-{number}");
        let mut client = self.proxies[usize::from(number % 2 == 1)].connect().await;
        while self.now() < RUNS_FOR {
            let key = &self.keys[random.below(KEYS)];
            if self.work == Work::Mixed && random.below(20) == 0 {
                // Away without its answer, and back: the first try must be no obstacle and leave nothing.
                client.send(&["RLOCK", key, "60000", "OWNER", &name]).await;
                client = self.proxies[random.below(2)].connect().await;
            }
            if !self.take_and_release(&mut client, &name, key, &mut random).await {
                random.pause(10).await;
            }
        }
    }

    /// Whether the lock was granted; it is released at the end, or ends soon of itself.
    async fn take_and_release(&self, client: &mut ByteClient, name: &str, key: &str, random: &mut Random) -> bool {
        let mixed = self.work == Work::Mixed;
        let leave = mixed && random.below(10) == 0;
        let ttl = if leave { "300" } else { "60000" };
        let options: &[&str] = if mixed && !leave && random.below(2) == 0 { &["OWNER", name] } else { &[] };
        let Some((mut lock, mut grant)) = self.take(client, name, key, ttl, options).await else { return false };
        random.pause(5).await;
        if mixed && random.below(3) == 0 {
            let sent = self.now();
            let reply = client.call(&["REXTEND", key, &lock.token, ttl]).await;
            if let Value::Integer(validity) = reply {
                let answer = Answer { sent, arrived: self.now(), validity: milliseconds(validity) };
                self.history(|history| history.extended(grant, answer));
            }
        }
        if !options.is_empty() && random.below(3) == 0 {
            // A take-over gives the former grant up with its request.
            self.history(|history| history.given_up(grant, self.now()));
            if let Some(taken_over) = self.take(client, name, key, ttl, options).await {
                (lock, grant) = taken_over;
            }
        }
        if !leave {
            self.history(|history| history.given_up(grant, self.now()));
            let reply = client.call(&["RUNLOCK", key, &lock.token]).await;
            let settled = matches!(reply, Value::Integer(0 | 1)) || reply.is_error_with("NOQUORUM");
            assert!(settled, "{reply:?}");
        }
        true
    }

    async fn take(
        &self,
        client: &mut ByteClient,
        name: &str,
        key: &str,
        ttl: &str,
        options: &[&str],
    ) -> Option<(Lock, support::history::GrantId)> {
        let sent = self.now();
        let reply = client.call(&[&["RLOCK", key, ttl], options].concat()).await;
        if reply.is_error_with("NOQUORUM") {
            return None;
        }
        let lock = Lock::of(&reply)?;
        let answer = Answer { sent, arrived: self.now(), validity: milliseconds(lock.validity) };
        Some((lock, self.history(|history| history.granted(name, key, answer))))
    }
}

fn milliseconds(validity: i64) -> Duration {
    Duration::from_millis(validity.try_into().expect("a validity is positive"))
}

async fn until(contest: &Contest, moment: Duration) {
    tokio::time::sleep(moment.saturating_sub(contest.now())).await;
}

/// All is well; then a primary stands still; then links are cut, one after the other, and once all of a primary's.
async fn make_trouble(contest: &Contest, fleet: &mut Fleet, links: &[Vec<Relay>; 2]) {
    until(contest, Duration::from_secs(1)).await;
    fleet[1].pause();
    until(contest, Duration::from_millis(3500)).await;
    fleet[1].resume();
    until(contest, Duration::from_millis(4500)).await;
    for turn in 0..10 {
        let link = &links[turn % 2][turn % 3];
        if turn % 3 == 2 {
            link.reset();
        } else {
            link.cut();
        }
        until(contest, contest.now() + Duration::from_millis(150)).await;
    }
    for proxy in links {
        proxy[0].refuse();
        proxy[0].cut();
    }
    until(contest, Duration::from_secs(7)).await;
    for proxy in links {
        proxy[0].accept();
    }
}

async fn contend(kind: Kind, work: Work) {
    let mut fleet = Fleet::start(kind, 3).await;
    let links = [relays(&fleet), relays(&fleet)];
    let [one, other] = links.each_ref().map(|relays| ProxyOptions::new(relays.iter().map(Relay::address)));
    let contest = Arc::new(Contest {
        work,
        proxies: [start(one).await, start(other).await],
        keys: (0..KEYS).map(|_| unique_key("contest")).collect(),
        history: Mutex::default(),
        began: Instant::now(),
    });
    let mut clients: JoinSet<()> = (0..CLIENTS).map(|number| Arc::clone(&contest).compete(number)).collect();
    make_trouble(&contest, &mut fleet, &links).await;
    while let Some(ended) = clients.join_next().await {
        ended.expect("no client fails");
    }
    let end = contest.now();
    contest.history(|history| {
        history.assert_exclusive();
        for key in &contest.keys {
            assert_eq!(history.stall(key, STALL, Duration::ZERO, end).map(|stall| stall.to_string()), None);
        }
        // Far fewer than it would be undisturbed, far more than a handful that got through at the beginning.
        assert!(history.len() > 200, "{} grants", history.len());
    });
    for key in &contest.keys {
        let gone = async || fleet.holding(key).await == 0;
        if work == Work::Plain {
            eventually(gone, format_args!("nothing to be left of {key}")).await;
        } else {
            // A record of the owner's beside the quorum that was signed anew ends with its ttl: it may not stand in the way.
            take_once_more(&contest, key).await;
        }
    }
    for proxy in &contest.proxies {
        let done = async || proxy.counter("withdrawals_pending").await == 0;
        eventually(done, "no withdrawal to be owed").await;
        assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
    }
}

async fn take_once_more(contest: &Contest, key: &str) {
    for proxy in &contest.proxies {
        let mut client = proxy.connect().await;
        let taken = async || {
            let reply = client.call(&["RLOCK", key, "60000"]).await;
            let Value::Array(parts) = reply else { return false };
            client.call(&["RUNLOCK", key, &parts[0].text()]).await == Value::Integer(1)
        };
        eventually(taken, format_args!("{key} to be free")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_clients_of_two_proxies_ever_hold_one_lock_and_nothing_is_left() {
    contend(Kind::all()[0], Work::Plain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn take_overs_extensions_and_lost_clients_break_no_exclusion() {
    contend(Kind::all()[Kind::all().len() - 1], Work::Mixed).await;
}
