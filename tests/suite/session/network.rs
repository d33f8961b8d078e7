//! A network that drops every packet: neither end of the connection hears of it, until the proxy's kernel finds that nobody is
//! there. Then renewing stops, and the lock ends with its ttl.
//!
//! The client lives in a network namespace of its own, at the other end of a virtual cable that can be cut.

use std::process::{Command, Stdio};

use rustix::process::geteuid;
use support::{Kind, Proxy, ProxyOptions, eventually, unique_key};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};

use crate::common::{
    Rig, SESSION_TTL, bound, counted, every_primary_holds, no_primary_holds, none_bound, outlive, patient, start,
};

/// A namespace behind a cable; dropped, it is gone.
struct Namespace {
    name: String,
    /// Of our end of the cable, and of the other.
    cable: [String; 2],
    /// The first three numbers of both addresses.
    network: String,
}

/// Runs `ip` as root.
fn ip(arguments: &str) -> bool {
    let mut command = as_root("ip");
    let status = command.args(arguments.split(' ')).stdin(Stdio::null()).status();
    status.expect("ip is installed: run `make setup`").success()
}

fn as_root(program: &str) -> Command {
    if geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["--non-interactive", program]);
    command
}

impl Namespace {
    /// With a network of its own: `number` tells it from those of other tests.
    fn new(number: u32) -> Self {
        let id = std::process::id();
        let name = format!("redlock-{id}-{number}");
        let cable = [format!("rl{id}n{number}a"), format!("rl{id}n{number}b")];
        // 198.18.0.0/15 is for tests of networks: nobody has a route there.
        let network = format!("198.{}.{}", 18 + number % 2, id % 250);
        let namespace = Self { name, cable, network };
        let Self { name, cable: [ours, theirs], network } = &namespace;
        for command in [
            format!("netns add {name}"),
            format!("link add {ours} type veth peer name {theirs} netns {name}"),
            format!("address add {network}.1/24 dev {ours}"),
            format!("link set {ours} up"),
            format!("-netns {name} address add {network}.2/24 dev {theirs}"),
            format!("-netns {name} link set {theirs} up"),
        ] {
            assert!(ip(&command), "`ip {command}` failed: network namespaces take root, or sudo without a password");
        }
        namespace
    }

    /// From now on every packet is lost.
    fn cut(&self) {
        let Self { name, cable: [_, theirs], .. } = self;
        assert!(ip(&format!("-netns {name} link set {theirs} down")));
    }

    /// A proxy that listens at our end of the cable as well, and its port there.
    async fn proxy(&self, options: ProxyOptions) -> (Proxy, u16) {
        let address = format!("{}.1:", self.network);
        let proxy = start(options.argument("--listen").argument(format!("{address}0"))).await;
        let line = proxy.wait_for_log(&address).await;
        let port = line.rsplit_once(&address).and_then(|(_, port)| port.trim().parse().ok());
        (proxy, port.unwrap_or_else(|| panic!("no port in {line}")))
    }

    /// A client at the other end, that sends what it is told to.
    fn client(&self, port: u16) -> (Child, ChildStdin) {
        let mut command = tokio::process::Command::from(as_root("ip"));
        command.args(["netns", "exec", &self.name, "redis-cli", "-3", "-h", &format!("{}.1", self.network)]);
        command.args(["-p", &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
        let mut client = command.spawn().expect("redis-cli is installed: run `make setup`");
        let input = client.stdin.take().expect("it was asked for");
        (client, input)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The cable goes with it.
        ip(&format!("netns delete {}", self.name));
    }
}

/// Takes a lock at the other end of the cable.
async fn bind_at(rig: &Rig, proxy: &Proxy, input: &mut ChildStdin, key: &str) -> String {
    let locks = proxy.counter("session_locks").await;
    let command = format!("RLOCK {key} {SESSION_TTL} SESSION NOTIFY\n");
    input.write_all(command.as_bytes()).await.expect("it reads");
    eventually(async || rig.fleet.holding(key).await == 3, "the lock to be everywhere").await;
    counted(proxy, "session_locks", locks + 1).await;
    rig.fleet[0].get(key).await.expect("it was just there")
}

async fn ends_with_its_ttl(rig: &Rig, proxy: &Proxy, key: &str, token: &str) {
    // For as long as nobody knows, it is renewed.
    none_bound(proxy).await;
    every_primary_holds(&rig.fleet, key, token).await;
    outlive(&rig.fleet[0], SESSION_TTL).await;
    no_primary_holds(&rig.fleet, key).await;
    assert_eq!(proxy.counter("session_released_on_close").await, 0);
}

/// `tcp.keepalive_idle_ms`, `tcp.keepalive_interval_ms`, `tcp.keepalive_probes`
#[tokio::test]
async fn keep_alive_finds_out_that_an_idle_client_has_vanished() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let namespace = Namespace::new(1);
    let settings = [
        ("tcp.keepalive_idle_ms", 2_000),
        ("tcp.keepalive_interval_ms", 1_000),
        ("tcp.keepalive_probes", 2),
        ("tcp.user_timeout_ms", 0),
    ];
    let (proxy, port) = namespace.proxy(patient(rig.fleet.addresses()).set_all(&settings)).await;
    let (_client, mut input) = namespace.client(port);
    let key = unique_key("vanished");
    let token = bind_at(&rig, &proxy, &mut input, &key).await;
    // It is looked for, and answers.
    outlive(&rig.fleet[0], "6000").await;
    bound(&proxy, 1).await;
    namespace.cut();
    ends_with_its_ttl(&rig, &proxy, &key, &token).await;
    assert_eq!(proxy.counter("session_lost").await, 0);
}

/// `tcp.user_timeout_ms`
#[tokio::test]
async fn what_is_not_acknowledged_in_time_ends_the_connection() {
    let rig = Rig::direct(Kind::any(), 3, &[]).await;
    let namespace = Namespace::new(2);
    let settings = [("tcp.keepalive_idle_ms", 600_000), ("tcp.user_timeout_ms", 2_000)];
    let (proxy, port) = namespace.proxy(patient(rig.fleet.addresses()).set_all(&settings)).await;
    let (_client, mut input) = namespace.client(port);
    let (key, other) = (unique_key("vanished"), unique_key("other"));
    let token = bind_at(&rig, &proxy, &mut input, &key).await;
    bind_at(&rig, &proxy, &mut input, &other).await;
    namespace.cut();
    // The push that tells of this loss arrives nowhere.
    for server in &rig.fleet[..2] {
        assert!(server.del(&other).await);
    }
    counted(&proxy, "session_lost", 1).await;
    ends_with_its_ttl(&rig, &proxy, &key, &token).await;
}
