//! The program under test, and what it tells of itself.

use std::time::{Duration, Instant};

use support::{ByteClient, Proxy, ProxyOptions, Value, eventually};

/// The program under test.
pub(crate) const PROXY: &str = env!("CARGO_BIN_EXE_redlock-proxy");

/// How long a patient proxy waits for a primary: a tenth of [`LONGEST_TTL`](super::LONGEST_TTL), the most that a lock allows.
const PATIENT_MS: u64 = 6_000;

/// An answer within this time did not wait for a silent primary, if the proxy is a patient one.
pub(crate) const PROMPT: Duration = Duration::from_millis(PATIENT_MS / 2);

/// A proxy in front of these primaries that waits long for a slow one, and never replaces the connection to it.
///
/// A machine that is busy with other tests must not make a primary miss a time-out which the test at hand is not about. One that
/// is about time-outs sets them after this.
pub(crate) fn patient<A: Into<String>>(primaries: impl IntoIterator<Item = A>) -> ProxyOptions {
    let patience = [("node_timeout_ms", PATIENT_MS), ("silence_timeout_ms", 60_000), ("connect_timeout_ms", 5_000)];
    ProxyOptions::new(primaries).set_all(&patience)
}

/// Starts a proxy and waits until every primary votes. Where some never will, [`Proxy::start`] and [`voters`] do instead.
pub(crate) async fn start(options: ProxyOptions) -> Proxy {
    let proxy = Proxy::start(PROXY, options).await;
    let all = proxy.counter("primaries").await;
    voters(&proxy, usize::try_from(all).expect("nine at most")).await;
    proxy
}

/// Waits until exactly so many primaries vote.
pub(crate) async fn voters(proxy: &Proxy, count: usize) {
    let voting = async || proxy.counter("primaries_voting").await == count as u64;
    eventually(voting, format_args!("{count} voting primaries")).await;
}

/// Waits until the proxy owes no primary anything and has had every answer: what it did is done.
pub(crate) async fn settled(proxy: &Proxy) {
    let primaries = usize::try_from(proxy.counter("primaries").await).expect("nine at most");
    for index in 0..primaries {
        let idle = async || primary_field(proxy, index, "queue").await == "0";
        eventually(idle, format_args!("every answer of primary {index}")).await;
    }
    eventually(async || proxy.counter("withdrawals_pending").await == 0, "every withdrawal to be answered").await;
}

/// One field of a primary's line in INFO redlock, such as `state`.
pub(crate) async fn primary_field(proxy: &Proxy, index: usize, field: &str) -> String {
    let line = proxy.info(&format!("primary{index}")).await.expect("each primary has a line");
    let value = line.split(',').find_map(|part| part.strip_prefix(field)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {field} in {line}")).to_owned()
}

/// A connection that has said HELLO 3.
pub(crate) async fn resp3(proxy: &Proxy) -> ByteClient {
    let mut client = proxy.connect().await;
    let greeting = client.call(&["HELLO", "3"]).await;
    assert!(matches!(greeting, Value::Map(_)), "{greeting:?}");
    client
}

/// What came of it, and how long it took.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let started = Instant::now();
    let result = work.await;
    (result, started.elapsed())
}

/// Waits until the proxy has begun to end: it accepts nobody any more.
pub(crate) async fn draining(proxy: &Proxy) {
    proxy.wait_for_log("shutting down").await;
    let closed = async || ByteClient::try_connect(proxy.address()).await.is_err();
    eventually(closed, "the listening port to be closed").await;
}

/// Waits for the end, which has to be a good one.
pub(crate) async fn ended(proxy: &Proxy) {
    let status = proxy.wait_exit().await;
    assert_eq!(status.code(), Some(0), "{status}: {}", proxy.log());
}
