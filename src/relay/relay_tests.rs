//! Opening a connection, against a server that says what the test wants.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::{Address, Secret};
use crate::protocol::Version;

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

fn upstreams(port: u16, password: Option<&str>, database: u32) -> Arc<Upstreams> {
    Arc::new(Upstreams {
        endpoint: Endpoint {
            address: Address::Tcp { host: "127.0.0.1".into(), port },
            user: password.map(|_| "me".to_owned()),
            password: password.map(|password| Secret::new(password.to_owned())),
            database,
        },
        tcp: Tcp {
            keepalive_idle: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(5),
            keepalive_probes: 3,
            user_timeout: None,
        },
        connect_timeout: Duration::from_millis(200),
        reply_nesting: 16,
        knowledge: Knowledge::default(),
        counters: Arc::default(),
    })
}

/// Takes one connection, reads exactly this and answers with that.
async fn serve(listener: &TcpListener, expected: &str, answer: &str) -> tokio::net::TcpStream {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut read = vec![0; expected.len()];
    stream.read_exact(&mut read).await.expect("what is to be said first");
    assert_eq!(String::from_utf8_lossy(&read), expected);
    stream.write_all(answer.as_bytes()).await.expect("the connection lives");
    stream
}

fn request(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{}", words.len(), words.concat())
}

#[tokio::test]
async fn what_the_client_was_promised_is_said_behind_the_credentials_and_answered_before_anything_else() {
    let (listener, port) = listener().await;
    let upstreams = upstreams(port, Some("secret"), 3);
    let wishes = Wishes { version: Version::Resp3, name: "name".into(), probe: true };
    let script = [
        request(&["AUTH", "me", "secret"]),
        request(&["HELLO", "3"]),
        request(&["SELECT", "3"]),
        request(&["CLIENT", "SETNAME", "name"]),
    ];
    let server = async {
        let answer = "+OK\r\n%1\r\n$5\r\nproto\r\n:3\r\n>1\r\n+push\r\n+OK\r\n+OK\r\n";
        let mut stream = serve(&listener, &script.concat(), answer).await;
        let probe = request(&["ECHO", "redlock-proxy"]);
        let mut read = vec![0; probe.len()];
        stream.read_exact(&mut read).await.expect("the probe");
        assert_eq!(String::from_utf8_lossy(&read), probe);
        stream.write_all(b"$13\r\nredlock-proxy\r\n").await.expect("the connection lives");
        stream
    };
    let (opened, _stream) = tokio::join!(Arc::clone(&upstreams).open(wishes), server);
    assert!(opened.expect("a connection").admitted);
    assert_eq!((upstreams.state(), upstreams.demand()), (State::Up, Demand::Nothing));
    assert_eq!(upstreams.counters.relay_connections.value(), 1);
}

#[tokio::test]
async fn a_server_that_refuses_the_credentials_is_told_in_its_own_words() {
    let (listener, port) = listener().await;
    let upstreams = upstreams(port, Some("wrong"), 0);
    let login = request(&["AUTH", "me", "wrong"]);
    let server = serve(&listener, &login, "-WRONGPASS invalid username-password pair\r\n");
    let (opened, _stream) = tokio::join!(Arc::clone(&upstreams).open(Wishes::default()), server);
    let error = opened.expect_err("a refusal");
    assert!(error.is_rejection());
    assert_eq!(error.to_string(), format!("UPSTREAMDOWN 127.0.0.1:{port}: WRONGPASS invalid username-password pair"));
    assert_eq!((upstreams.state(), upstreams.demand()), (State::Down, Demand::Unknown));
}

#[tokio::test]
async fn where_nobody_listens_every_try_says_so_at_once() {
    let (listener, port) = listener().await;
    drop(listener);
    let upstreams = upstreams(port, None, 0);
    for _ in 0..2 {
        let error = Arc::clone(&upstreams).open(Wishes::default()).await.expect_err("nobody listens");
        assert_eq!(error.to_string(), format!("UPSTREAMDOWN 127.0.0.1:{port}: connection refused"));
    }
    assert_eq!(upstreams.counters.relay_connect_failures.value(), 2);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_waited_for_once_and_not_by_everybody() {
    let (listener, port) = listener().await;
    let upstreams = upstreams(port, None, 0);
    let wishes = Wishes { probe: true, ..Wishes::default() };
    let silent = format!("UPSTREAMDOWN 127.0.0.1:{port}: timed out after 200 ms");
    let error = Arc::clone(&upstreams).open(wishes.clone()).await.expect_err("no answer");
    assert_eq!(error.to_string(), silent);
    let _connection = listener.accept().await.expect("the one that was given up");
    let error = Arc::clone(&upstreams).open(wishes).await.expect_err("known to be silent");
    assert_eq!(error.to_string(), silent);
    let further = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
    assert!(further.is_err(), "nobody tried again");
}

#[tokio::test]
async fn a_probe_that_is_refused_admits_nobody_and_looking_learns_of_the_password() {
    let (listener, port) = listener().await;
    let upstreams = upstreams(port, None, 0);
    let echo = request(&["ECHO", "redlock-proxy"]);
    let wishes = Wishes { probe: true, ..Wishes::default() };
    let noauth = "-NOAUTH Authentication required.\r\n";
    let (opened, _stream) = tokio::join!(Arc::clone(&upstreams).open(wishes), serve(&listener, &echo, noauth));
    assert!(!opened.expect("a connection").admitted);
    assert_eq!(upstreams.demand(), Demand::Unknown);
    let look = dial::look(&upstreams.endpoint, &upstreams.tcp, 16);
    let (demand, _stream) = tokio::join!(look, serve(&listener, &echo, noauth));
    assert_eq!(demand, Ok(Demand::Password));
}
