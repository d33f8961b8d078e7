//! Lets misfortunes come as planned.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use support::{Direction, Fault, PATIENCE, Proxy, Relay, Server, Value};
use tokio::sync::MutexGuard;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::clocks;
use crate::plan::{Kind, PRIMARIES, Strike, Target};
use crate::record::Record;
use crate::rig::{Rig, look_for_panic};

/// Lets all of it happen; returns when all is over, and healed as far as it heals by itself.
pub(crate) async fn rage(rig: &Arc<Rig>, record: &Arc<Record>, strikes: Vec<Strike>) {
    let began = Instant::now();
    let mut raging = JoinSet::new();
    for strike in strikes {
        let (rig, record) = (Arc::clone(rig), Arc::clone(record));
        raging.spawn(async move {
            sleep_until(began + strike.at).await;
            fall(&rig, &record, strike).await;
        });
    }
    while let Some(ended) = raging.join_next().await {
        ended.expect("a misfortune goes as planned");
    }
    rig.heal();
}

/// One misfortune, written down from its beginning on.
async fn fall(rig: &Rig, record: &Record, strike: Strike) {
    let place;
    // Locked in order, so that two that meet in the same place wait for each other only one way.
    match strike.kind.target() {
        Target::Primaries => {
            let mut servers = Vec::new();
            for primary in &strike.primaries {
                servers.push(rig.servers[*primary].lock().await);
            }
            place = record.begins(strike.clone());
            strike_servers(rig, &strike, &mut servers).await;
        }
        Target::Clocks => {
            let mut servers = Vec::new();
            for primary in &strike.primaries {
                servers.push(rig.servers[*primary].lock().await);
            }
            let mut proxies = Vec::new();
            for proxy in &rig.proxies {
                proxies.push(proxy.lock().await);
            }
            let Some(known) = clocks::known_to_all(record, &proxies, &strike.primaries).await else { return };
            place = record.begins(strike.clone());
            let clocks = rig.clocks.as_ref().expect("steps are dealt where clocks can be set");
            clocks.step(record, &strike, &servers, &proxies, &known).await;
        }
        Target::Links => {
            place = record.begins(strike.clone());
            strike_links(rig, &strike).await;
        }
        Target::Proxies => {
            let mut proxies = Vec::new();
            for proxy in &strike.proxies {
                proxies.push(rig.proxies[*proxy].lock().await);
            }
            place = record.begins(strike.clone());
            strike_proxies(rig, record, &strike, &mut proxies).await;
        }
    }
    record.is_over(place);
}

async fn strike_servers(rig: &Rig, strike: &Strike, servers: &mut [MutexGuard<'_, Server>]) {
    let lasts = strike.lasts;
    match strike.kind {
        Kind::KilledEmpty => {
            for server in &mut *servers {
                fs::remove_file(snapshot(server).await).ok();
                server.kill();
            }
            sleep(lasts).await;
            for server in servers {
                server.restart().await;
            }
        }
        Kind::KilledSnapshot => {
            for server in &*servers {
                save(server).await;
            }
            // What is granted from here on, it will have forgotten.
            sleep(lasts).await;
            for server in &mut *servers {
                server.kill();
            }
            sleep(lasts / 4).await;
            for server in servers {
                server.restart().await;
            }
        }
        Kind::Stopped => {
            for server in &mut *servers {
                server.pause();
            }
            sleep(lasts).await;
            for server in servers {
                server.resume();
            }
        }
        Kind::Flushed => {
            for server in servers {
                server.flushall().await;
            }
        }
        Kind::ClientsPaused => {
            let milliseconds = u64::try_from(lasts.as_millis()).expect("short");
            for server in servers {
                server.client_pause(milliseconds).await;
            }
            sleep(lasts).await;
        }
        Kind::ScriptsFlushed => {
            for server in servers {
                expect_ok(server, &["SCRIPT", "FLUSH"]).await;
            }
        }
        Kind::Replica => {
            for (server, number) in servers.iter().zip(&strike.primaries) {
                // Always of its neighbour, so that nothing that was copied comes back to where it is from.
                let port = rig.ports[(number + 1) % PRIMARIES].to_string();
                expect_ok(server, &["REPLICAOF", "127.0.0.1", &port]).await;
            }
            sleep(lasts).await;
            for server in servers {
                server.promote().await;
            }
        }
        other => unreachable!("{other:?} strikes no servers"),
    }
}

async fn expect_ok(server: &Server, command: &[&str]) {
    assert_eq!(server.command(command).await, Value::ok(), "{command:?}");
}

/// Writes a snapshot, which is refused while it writes another one for a replica.
async fn save(server: &Server) {
    let saved = async {
        while server.command(&["SAVE"]).await != Value::ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, saved).await.expect("a server writes a snapshot");
}

/// Where a server finds what it had, when it starts.
async fn snapshot(server: &Server) -> PathBuf {
    let folder = server.command(&["CONFIG", "GET", "dir"]).await;
    PathBuf::from(folder.items()[1].text()).join("dump.rdb")
}

async fn strike_links(rig: &Rig, strike: &Strike) {
    let among =
        |proxy: &usize| strike.primaries.iter().map(|primary| &rig.relays[*proxy][*primary]).collect::<Vec<_>>();
    let relays: Vec<&Relay> = strike.proxies.iter().flat_map(among).collect();
    let way = Direction::BOTH[usize::from(strike.detail.is_multiple_of(2))];
    let amount = strike.detail / 2;
    let ms = Duration::from_millis;
    for relay in &relays {
        match strike.kind {
            Kind::Slow => relay.set_both(Fault::Delay { latency: ms(amount % 15), jitter: ms(1 + amount % 20) }),
            Kind::OneWaySlow => relay.set(way, Fault::Delay { latency: ms(60 + amount % 400), jitter: ms(50) }),
            Kind::CommandsLost => relay.set(Direction::ToServer, Fault::BlackHole),
            Kind::RepliesLost => relay.set(Direction::ToClient, Fault::BlackHole),
            Kind::CutOff => relay.set_both(Fault::BlackHole),
            Kind::Reset => relay.reset(),
            Kind::Refused => {
                relay.refuse();
                relay.reset();
            }
            Kind::HalfOpen => swallow(relay),
            Kind::HalfClosed => relay.half_close(way),
            Kind::Drip => {
                let pause = Duration::from_micros(500 + amount % 5_000);
                let bytes = 1 + usize::try_from(amount % 8).expect("few");
                relay.set_both(Fault::Drip { bytes, pause });
            }
            Kind::Truncated => relay.set(way, Fault::Truncate { after: amount % 400 }),
            Kind::HeldBack if amount.is_multiple_of(3) => relay.set_both(Fault::Hold),
            Kind::HeldBack => relay.set(way, Fault::Hold),
            other => unreachable!("{other:?} strikes no links"),
        }
    }
    sleep(strike.lasts).await;
    for relay in relays {
        match strike.kind {
            // A stream with a hole in it cannot go on.
            Kind::CommandsLost | Kind::RepliesLost | Kind::CutOff | Kind::Truncated => {
                relay.reset();
                relay.heal();
            }
            Kind::Reset | Kind::HalfOpen | Kind::HalfClosed => {}
            _ => relay.heal(),
        }
    }
}

/// Every connection that is open is dead from now on, and nobody is told.
fn swallow(relay: &Relay) {
    for connection in relay.connections().iter().filter(|connection| connection.is_open) {
        relay.swallow(connection.id);
    }
}

async fn strike_proxies(rig: &Rig, record: &Record, strike: &Strike, proxies: &mut [MutexGuard<'_, Proxy>]) {
    if strike.kind == Kind::ProxyPaused {
        for proxy in &*proxies {
            proxy.pause();
        }
        sleep(strike.lasts).await;
        for proxy in proxies {
            proxy.resume();
        }
        return;
    }
    for (proxy, number) in proxies.iter().zip(&strike.proxies) {
        look_for_panic(record, *number, proxy);
        rig.look_for_the_last_time(*number, proxy).await;
        if strike.kind == Kind::ProxyKilled { proxy.kill() } else { proxy.terminate() }
    }
    for (proxy, number) in proxies.iter().zip(&strike.proxies) {
        let status = proxy.wait_exit().await;
        let log = proxy.log();
        if strike.kind == Kind::ProxyDrained && status.code() != Some(0) || log.contains("panicked") {
            record.accuse(format!("proxy {number} was drained and ended badly ({status}):\n{log}"));
        }
    }
    sleep(strike.lasts).await;
    for proxy in proxies {
        proxy.restart().await;
    }
}
