//! Byte for byte: whoever speaks through the proxy hears what the server would have told it directly.
//!
//! The same [`script`]s are [`player`]ed to a server and, through the proxy, to a second one that was started in the same way; then the
//! streams are compared, every byte of every connection, and how each ended. Scripts are of four kinds: what clients do ([`corpus`]),
//! what some in fact did ([`recorded`]), what none should do ([`malformed`]) and what nobody thought of ([`generated`]). They are sent whole, one byte at a time and in
//! pieces drawn from a seed; and once with the server's replies coming in single bytes.
//!
//! The differ is itself tested: a [`forger`] that changes one bit is noticed, and a plain relay of bytes is not.

use futures_util::future::join_all;
use support::{Kind, Proxy, Server, ServerOptions};

mod corpus;
mod forger;
mod frames;
mod generated;
mod malformed;
mod player;
mod recorded;
mod script;

use forger::{Forger, Forgery};
use player::{Cut, Transcript, difference, play};
use script::{A, B, Script};

use super::proxy_before;

/// Longer scripts are not sent one byte at a time.
const SHORT: usize = 1500;

/// The megabytes that a value of a server's own making has.
const LARGE: usize = 64 * 1024 * 1024;

/// Two servers started alike, and the proxy in front of the second.
struct Twins {
    direct: Server,
    behind: Server,
    proxy: Proxy,
}

impl Twins {
    async fn start(kind: Kind, options: ServerOptions) -> Self {
        let direct = Server::start(kind, options.clone()).await;
        let behind = Server::start(kind, options).await;
        let proxy = proxy_before(kind, &behind.address()).await;
        Self { direct, behind, proxy }
    }

    async fn directly(&self, script: &Script) -> Transcript {
        play(script, &self.direct.address(), &self.direct, Cut::Whole).await.unwrap_or_else(|hung| panic!("{hung}"))
    }

    /// Notes it when the script is answered otherwise through the proxy.
    async fn compare(&self, script: &Script, reference: &Transcript, cut: Cut, differences: &mut Vec<String>) {
        let found = play(script, &self.proxy.address(), &self.behind, cut).await;
        differences
            .extend(compared(script, reference, found, cut).map(|what| format!("{}: {what}", self.direct.kind())));
    }
}

fn compared(script: &Script, reference: &Transcript, found: Result<Transcript, String>, cut: Cut) -> Option<String> {
    let compare_ends = !script.goes_on_behind_the_end || matches!(cut, Cut::Whole);
    let what = match found {
        Ok(found) => difference(reference, &found, compare_ends)?,
        Err(hung) => hung,
    };
    Some(format!("\"{}\", {cut:?}: {what}", script.name))
}

/// All of them are told: what they have in common is often the cause.
#[track_caller]
fn none(differences: &[String]) {
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// A server that also shows the types of RESP3 which no ordinary command makes.
fn talkative(kind: Kind) -> ServerOptions {
    let arguments = match kind {
        Kind::Dragonfly => Vec::new(),
        Kind::Redis | Kind::Valkey => vec!["--enable-debug-command".into(), "local".into()],
    };
    ServerOptions { arguments, ..ServerOptions::default() }
}

/// Kinds side by side: most of the time goes by in waiting.
async fn every_kind<F: Future<Output = ()>>(test: impl Fn(Kind) -> F) {
    join_all(Kind::all().iter().map(|&kind| test(kind))).await;
}

async fn compare_all(kind: Kind, scripts: &[Script], seed: u64) {
    let mut twins = Twins::start(kind, talkative(kind)).await;
    let mut differences = Vec::new();
    let mut references = Vec::new();
    for script in scripts {
        let reference = twins.directly(script).await;
        twins.compare(script, &reference, Cut::Whole, &mut differences).await;
        twins.compare(script, &reference, Cut::Random(seed), &mut differences).await;
        if script.bytes() <= SHORT {
            twins.compare(script, &reference, Cut::Bytes, &mut differences).await;
        }
        references.push(reference);
    }
    none(&differences);
    let singly = Forger::start(twins.behind.address(), Forgery::Singly).await;
    twins.proxy = proxy_before(kind, singly.address()).await;
    for (script, reference) in scripts.iter().zip(&references) {
        if reference.0.iter().all(|heard| heard.bytes.len() <= SHORT) {
            twins.compare(script, reference, Cut::Whole, &mut differences).await;
        }
    }
    none(&differences);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_do_is_answered_as_by_the_server_itself() {
    every_kind(|kind| async move { compare_all(kind, &[corpus::all(), recorded::all()].concat(), 11).await }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_get_the_servers_own_errors_and_its_end() {
    every_kind(|kind| async move { compare_all(kind, &malformed::all(), 12).await }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_that_nobody_thought_of_are_answered_as_by_the_server_itself() {
    every_kind(|kind| async move {
        let twins = Twins::start(kind, ServerOptions::default()).await;
        let mut differences = Vec::new();
        for seed in 0..60 {
            let script = generated::script(seed);
            let reference = twins.directly(&script).await;
            let cut = if seed % 10 == 0 { Cut::Bytes } else { Cut::Random(seed) };
            twins.compare(&script, &reference, Cut::Whole, &mut differences).await;
            twins.compare(&script, &reference, cut, &mut differences).await;
        }
        none(&differences);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_password_asks_for_it_through_the_proxy() {
    let scripts = [
        Script::new("no password").masked().on(A, "GET k; PING; HELLO; HELLO 3; NONSENSE; GET; MULTI; RESET; SUBSCRIBE c; AUTH; QUIT").closed(A),
        Script::new("passwords, right and wrong").masked().on(A, "AUTH wrong; AUTH nobody secret; AUTH secret; SET k v; AUTH wrong; GET k; RESET; GET k; AUTH default secret; GET k"),
        Script::new("a password in HELLO").masked().on(A, "HELLO 3 AUTH default wrong; HELLO 3 AUTH default secret SETNAME me; GET none; CLIENT GETNAME; RESET; GET k"),
        // Whose a request is, its name tells: until that has come the proxy keeps what there is.
        Script::new("too many arguments before it").behind_the_end().raw(A, *b"*11\r\n$3\r\nDEL\r\n", 1).closed(A),
        Script::new("too long an argument before it").raw(A, *b"*2\r\n$4\r\nECHO\r\n$16385\r\n", 1).closed(A),
        Script::new("many arguments behind it").on(A, "AUTH secret; DEL 1 2 3 4 5 6 7 8 9 10 11 12"),
    ];
    for &kind in Kind::all() {
        let options = ServerOptions { password: Some("secret".into()), ..ServerOptions::default() };
        let twins = Twins::start(kind, options).await;
        let mut differences = Vec::new();
        for script in &scripts {
            let reference = twins.directly(script).await;
            for cut in [Cut::Whole, Cut::Bytes, Cut::Random(13)] {
                twins.compare(script, &reference, cut, &mut differences).await;
            }
        }
        none(&differences);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_64_megabytes_pass_unchanged() {
    // Bytes that look like replies and commands, at no regular distance.
    let value: Vec<u8> = b"*1\r\n$4\r\nPING\r\n+OK\r\n-ERR \0\xff".iter().copied().cycle().take(LARGE).collect();
    let scripts = [
        Script::new("SET and GET").call(A, &[b"SET", b"k", &value[..]]).on(A, "STRLEN k; GET k; PING"),
        Script::new("a value of the server's making, to two")
            .on(A, &format!("SETRANGE k {} x", LARGE - 1))
            .expecting(0, A, "GET k; PING")
            .on(B, "PING")
            .hear(2, A),
        Script::new("ECHO").call(A, &[b"ECHO", &value[..]]),
    ];
    for &kind in Kind::all() {
        let twins = Twins::start(kind, ServerOptions::default()).await;
        let mut differences = Vec::new();
        for script in &scripts {
            let reference = twins.directly(script).await;
            assert!(reference.0.iter().any(|heard| heard.bytes.len() > LARGE), "{}", script.name);
            twins.compare(script, &reference, Cut::Random(14), &mut differences).await;
        }
        none(&differences);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_differ_notices_what_a_relay_changes() {
    let options = talkative(Kind::any());
    let (direct, behind) =
        (Server::start(Kind::any(), options.clone()).await, Server::start(Kind::any(), options).await);
    // Nothing is waited for, so that what a relay keeps back shows at the end of the stream.
    let script = Script::new("a few commands").expecting(0, A, "SET k v; GET k; MULTI; GET k; EXEC; PING");
    let reference = play(&script, &direct.address(), &direct, Cut::Whole).await.expect("every reply comes");
    let last = reference.0[0].bytes.len() - 1;
    let forgeries = [
        Forgery::Flip(1),
        Forgery::Flip(last - 2),
        Forgery::Drop(last),
        Forgery::Drop(7),
        Forgery::Insert(6),
        Forgery::EndAt(last),
        Forgery::EndAt(0),
        Forgery::Reset,
    ];
    for forgery in forgeries {
        let forger = Forger::start(behind.address(), forgery).await;
        let found = play(&script, forger.address(), &behind, Cut::Whole).await;
        assert!(compared(&script, &reference, found, Cut::Whole).is_some(), "{forgery:?}");
    }
    let faithful = Forger::start(behind.address(), Forgery::None).await;
    let found = play(&script, faithful.address(), &behind, Cut::Whole).await;
    assert_eq!(compared(&script, &reference, found, Cut::Whole), None);
}

/// So that a difference is the proxy's: no script answers differently the second time, whatever the pieces it is sent in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_differ_finds_nothing_where_bytes_are_only_passed_on() {
    every_kind(|kind| async move {
        let (direct, behind) = (Server::start(kind, talkative(kind)).await, Server::start(kind, talkative(kind)).await);
        let relay = Forger::start(behind.address(), Forgery::None).await;
        let mut differences = Vec::new();
        for script in
            [corpus::all(), recorded::all(), malformed::all(), (0..10).map(generated::script).collect()].concat()
        {
            let reference = play(&script, &direct.address(), &direct, Cut::Whole).await;
            let reference = reference.unwrap_or_else(|hung| panic!("{hung}"));
            let cut = Cut::Random(15);
            let found = play(&script, relay.address(), &behind, cut).await;
            differences.extend(compared(&script, &reference, found, cut).map(|what| format!("{kind}: {what}")));
        }
        none(&differences);
    })
    .await;
}
