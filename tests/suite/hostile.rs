//! Bytes that no well-meaning client sends: an error line or the end of the connection, bounded memory, and everybody else is
//! served meanwhile.

use std::time::Duration;

use support::resp::{encode_command, parse};
use support::{ByteClient, Kind, PATIENCE, Proxy, Value, shared, unique_key};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::{Random, granted, patient, start};

/// What the proxy may grow by under any of this: far less than what is announced or thrown at it.
const GROWTH_BYTES: u64 = 48 * 1024 * 1024;

/// A proxy of its own, whose memory and log are looked at in the end.
struct Target {
    proxy: Proxy,
    /// Somebody who is served meanwhile.
    bystander: ByteClient,
    key: String,
    resident_bytes: u64,
}

impl Target {
    async fn start() -> Self {
        let proxy = start(patient(shared(Kind::any(), 3).await.addresses())).await;
        let bystander = proxy.connect().await;
        let mut target = Self { resident_bytes: 0, proxy, bystander, key: unique_key("bystander") };
        target.is_served().await;
        target.resident_bytes = target.proxy.footprint().resident_bytes;
        target
    }

    /// The bystander still takes and releases its lock.
    async fn is_served(&mut self) {
        let lock = granted(&self.bystander.call(&["RLOCK", &self.key, "30000"]).await);
        assert_eq!(self.bystander.call(&["RUNLOCK", &self.key, &lock.token]).await, Value::Integer(1));
    }

    async fn is_unharmed(&mut self) {
        self.is_served().await;
        let resident = self.proxy.footprint().resident_bytes;
        let grown = resident.saturating_sub(self.resident_bytes);
        assert!(grown < GROWTH_BYTES, "grown by {grown} bytes to {resident}");
        let log = self.proxy.log();
        assert!(!log.contains("panicked") && !log.contains("ended by a bug"), "{log}");
        assert_eq!(self.proxy.exit_status(), None);
    }

    /// Sends these bytes and the end of the stream, and gives all that comes back. A reset is an end too.
    async fn answers_to(&self, bytes: &[u8]) -> Vec<Value> {
        let stream = TcpStream::connect(self.proxy.address()).await.expect("it accepts");
        let (mut from, mut to) = stream.into_split();
        let sent = async {
            // It may have closed already.
            let _ = to.write_all(bytes).await;
            let _ = to.shutdown().await;
        };
        let mut answer = Vec::new();
        let read = async { while matches!(from.read_buf(&mut answer).await, Ok(read) if read > 0) {} };
        let both = async { tokio::join!(sent, read) };
        timeout(PATIENCE, both).await.unwrap_or_else(|_| panic!("no end to \"{}\"", bytes.escape_ascii()));
        values(&answer, bytes)
    }
}

/// Everything in `answer` has to be replies, each error one line.
fn values(answer: &[u8], bytes: &[u8]) -> Vec<Value> {
    let mut values = Vec::new();
    let mut rest = answer;
    while !rest.is_empty() {
        match parse(rest) {
            Ok(Some((value, length))) => {
                values.push(value);
                rest = &rest[length..];
            }
            // Cut off by a reset.
            Ok(None) => break,
            Err(reason) => panic!("{reason}: \"{}\" answers \"{}\"", answer.escape_ascii(), bytes.escape_ascii()),
        }
    }
    for value in &values {
        if let Value::Error(line) = value {
            let known = ["ERR ", "NOPROTO ", "WRONGPASS ", "NOQUORUM "].iter().any(|code| line.starts_with(code));
            assert!(known && !line.contains(char::is_control), "{line:?} to \"{}\"", bytes.escape_ascii());
        }
    }
    values
}

#[tokio::test]
async fn announced_lengths_take_no_memory() {
    let mut target = Target::start().await;
    // 300 MB and 300,000 arguments, by announcement.
    let mut waiting = Vec::new();
    for _ in 0..300 {
        let mut client = target.proxy.connect().await;
        client.send_raw("*1024\r\n$4\r\nECHO\r\n$1000000\r\nbeginning").await;
        waiting.push(client);
    }
    // They, the bystander, and the one who asks.
    let all_in = async || target.proxy.counter("connected_clients").await == 302;
    support::eventually(all_in, "all of them to be clients").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn nesting_and_endless_lines_are_refused_at_once() {
    let mut target = Target::start().await;
    let cases: [(Vec<u8>, &str); 6] = [
        ("*1\r\n".repeat(10_000).into_bytes(), "ERR Protocol error: expected '$', got '*'"),
        (vec![b'*'; 100_000], "ERR Protocol error: too big mbulk count string"),
        (vec![0; 1_000_000], "ERR Protocol error: too big inline request"),
        (vec![b'"'; 100_000], "ERR Protocol error: too big inline request"),
        ([&b"*1\r\n$"[..], &vec![b'9'; 1_000_000]].concat(), "ERR Protocol error: too big bulk count string"),
        (b"*1\r\n$-2147483648\r\n".to_vec(), "ERR Protocol error: invalid bulk length"),
    ];
    for (bytes, error) in cases {
        let answers = target.answers_to(&bytes).await;
        // A client that goes on sending may be reset before it reads why.
        assert!(answers.is_empty() || answers == [Value::error(error)], "{answers:?}, not {error}");
        target.is_served().await;
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn nul_bytes_are_bytes_like_others() {
    let mut target = Target::start().await;
    let nuls = target.answers_to(b"\0\0\0\r\nPING\r\n").await;
    assert_eq!(nuls, [Value::error("ERR unknown command '', with args beginning with: "), Value::simple("PONG")]);
    let split = target.answers_to(b"*2\r\n$4\r\nP\0NG\r\n$3\r\na\0b\r\n").await;
    assert_eq!(split, [Value::error("ERR unknown command 'P', with args beginning with: 'a' ")]);
    assert_eq!(target.answers_to(b"*2\r\n$4\r\nECHO\r\n$3\r\na\0b\r\n").await, [Value::bulk("a\0b")]);
    target.is_unharmed().await;
}

/// Commands whose replies are known, as arrays and inline, with arguments that look like framing.
fn script() -> (Vec<u8>, Vec<Value>) {
    let key = unique_key("script");
    let long = "x".repeat(20_000);
    let commands: Vec<(Vec<u8>, Value)> = vec![
        (encode_command(&["PING"]), Value::simple("PONG")),
        (encode_command(&["ECHO", "*1\r\n$4\r\nPING\r\n"]), Value::bulk("*1\r\n$4\r\nPING\r\n")),
        (b"PING inline\r\n".to_vec(), Value::bulk("inline")),
        (b"\r\n*0\r\n".to_vec(), Value::Null),
        (encode_command(&["RUNLOCK", &key, "nobody's"]), Value::Integer(0)),
        (encode_command(&["RLOCK", &key, "x"]), Value::error("ERR value is not an integer or out of range")),
        (encode_command(&["ECHO", &long]), Value::bulk(&long)),
        (encode_command(&["REXTEND", &key, "t", "1000"]), Value::NullBulk),
        (b"echo \"\\x00\\n'\" \n".to_vec(), Value::bulk("\0\n'")),
        (encode_command(&["ECHO", ""]), Value::bulk("")),
    ];
    let bytes = commands.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
    // Blank lines have no reply.
    (bytes, commands.into_iter().map(|(_, reply)| reply).filter(|reply| *reply != Value::Null).collect())
}

#[tokio::test]
async fn a_client_that_sends_byte_by_byte_is_served_like_any_other() {
    let mut target = Target::start().await;
    let (bytes, replies) = script();
    let mut client = target.proxy.connect().await;
    for byte in &bytes[..2000.min(bytes.len())] {
        client.send_raw([*byte]).await;
    }
    client.send_raw(&bytes[2000.min(bytes.len())..]).await;
    assert_eq!(client.read_replies(replies.len()).await, replies);
    target.is_unharmed().await;
}

#[tokio::test]
async fn where_a_stream_is_cut_changes_no_reply() {
    let mut target = Target::start().await;
    let (bytes, replies) = script();
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let mut client = target.proxy.connect().await;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let longest = if random.below(4) == 0 { 8192 } else { 40 };
            let (piece, behind) = rest.split_at((1 + random.below(longest)).min(rest.len()));
            client.send_raw(piece).await;
            // So that the pieces arrive as such, now and then.
            if random.below(4) == 0 {
                tokio::task::yield_now().await;
            }
            rest = behind;
        }
        assert_eq!(client.read_replies(replies.len()).await, replies, "seed {seed}");
        assert!(client.is_quiet_for(Duration::ZERO).await, "seed {seed}");
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn garbage_gets_error_lines_or_the_end() {
    let mut target = Target::start().await;
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let length = random.below(3000);
        let bytes: Vec<u8> = (0..length).map(|_| random.byte()).collect();
        target.answers_to(&bytes).await;
    }
    target.is_unharmed().await;
}

/// Nearer to what a decoder expects than plain noise: a good stream with some bytes changed, left out or doubled.
#[tokio::test]
async fn spoilt_commands_get_error_lines_or_the_end() {
    const LIKELY: &[u8] = b"*$\r\n0123456789-+:\"'\\x \0";
    let mut target = Target::start().await;
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let (mut bytes, _) = script();
        for _ in 0..=random.below(6) {
            let place = random.below(bytes.len());
            let byte = if random.below(2) == 0 { LIKELY[random.below(LIKELY.len())] } else { random.byte() };
            match random.below(3) {
                0 => bytes[place] = byte,
                1 => drop(bytes.remove(place)),
                _ => bytes.insert(place, byte),
            }
        }
        target.answers_to(&bytes).await;
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn half_requests_and_sudden_ends_leave_nothing_behind() {
    let mut target = Target::start().await;
    let (bytes, _) = script();
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut client = target.proxy.connect().await;
        client.send_raw(&bytes[..random.below(300)]).await;
        match random.below(3) {
            0 => client.reset(),
            1 => client.shutdown_write().await,
            _ => drop(client),
        }
    }
    // The bystander and the one who asks.
    let gone = async || target.proxy.counter("connected_clients").await == 2;
    support::eventually(gone, "everybody else to be gone").await;
    target.is_unharmed().await;
}
