//! Scripts that nobody thought of: one pipeline drawn from a seed, the stream ended right behind it.
//!
//! What is drawn mixes modes on purpose (transactions, subscriptions, protocols, replies switched off, resets) with commands that are
//! right, wrong and unknown, as arrays and inline. Only what would answer differently the second time, or wait for somebody, is
//! left out; and what is said stays small, since a server drops what it has not yet written when it sees the stream end.

use support::resp::encode_command;

use super::script::{A, Script};
use crate::common::Random;

/// Commands in one pipeline.
const LENGTH: usize = 120;

pub(super) fn script(seed: u64) -> Script {
    let mut random = Random::new(seed);
    let bytes: Vec<u8> = (0..LENGTH).flat_map(|_| command(&mut random)).collect();
    Script::new(format!("generated from {seed}")).masked().raw(A, bytes, 0).half_close(A)
}

fn command(random: &mut Random) -> Vec<u8> {
    let words = match random.below(100) {
        0..60 => ordinary(random),
        60..90 => mode(random),
        90..94 => {
            let line = ordinary(random).join(&b' ');
            // Only words that an inline command can hold.
            return if line.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ') {
                [&line[..], random.pick(&[&b"\r\n"[..], b"\n"])].concat()
            } else {
                b"PING\r\n".to_vec()
            };
        }
        _ => return random.pick(&[&b"\r\n"[..], b"\n", b"*0\r\n", b"*-10\r\n", b"*-1\r\n", b" \r\n"]).to_vec(),
    };
    encode_command(&words)
}

fn ordinary(random: &mut Random) -> Vec<Vec<u8>> {
    // A key each for most types, so that commands often find what they expect and now and then something else.
    let key = random.pick(&[&b"s"[..], b"n", b"l", b"h", b"z", b"", b"\r\n"]).to_vec();
    let value = value(random);
    let words: &[&[u8]] = match random.below(24) {
        0 => &[b"SET", &key, &value],
        1 => &[b"GET", &key],
        2 => &[b"APPEND", &key, &value],
        3 => &[b"INCR", &key],
        4 => &[b"RPUSH", &key, &value, b"x"],
        5 => &[b"LRANGE", &key, b"0", b"3"],
        6 => &[b"LPOP", &key, b"2"],
        7 => &[b"HSET", &key, b"f", &value],
        8 => &[b"HGETALL", &key],
        9 => &[b"ZADD", &key, b"1.5", b"m"],
        10 => &[b"ZRANGE", &key, b"0", b"-1", b"WITHSCORES"],
        11 => &[b"DEL", &key],
        12 => &[b"TYPE", &key],
        13 => &[b"MGET", b"s", &key, b"n"],
        14 => &[b"ECHO", &value],
        15 => &[b"PING"],
        16 => &[b"PING", &value],
        17 => &[b"EVAL", b"return {KEYS[1], ARGV, false, {1, 2.5}}", b"1", &key, &value],
        18 => &[b"NONSENSE", &key, b"a"],
        19 => &[b"GET"],
        20 => &[b"EXPIRE", &key, b"1000"],
        21 => &[b"GETRANGE", &key, b"0", b"20"],
        22 => &[b"PUBLISH", b"c", &value],
        _ => &[b"LPOS", &key, &value],
    };
    words.iter().map(|word| word.to_vec()).collect()
}

fn mode(random: &mut Random) -> Vec<Vec<u8>> {
    let text = random.pick(&[
        "MULTI",
        "MULTI",
        "EXEC",
        "EXEC",
        "EXEC",
        "DISCARD",
        "WATCH s",
        "UNWATCH",
        "RESET",
        "RESET",
        "HELLO 3",
        "HELLO 2",
        "HELLO 3",
        "HELLO 9",
        "SUBSCRIBE c",
        "SUBSCRIBE c",
        "PSUBSCRIBE c*",
        "UNSUBSCRIBE c",
        "UNSUBSCRIBE c",
        "PUNSUBSCRIBE c*",
        "SSUBSCRIBE s",
        "SUNSUBSCRIBE s",
        "UNSUBSCRIBE",
        "PUNSUBSCRIBE",
        "CLIENT REPLY OFF",
        "CLIENT REPLY ON",
        "CLIENT REPLY ON",
        "CLIENT REPLY ON",
        "CLIENT REPLY SKIP",
        "client reply skip",
        "CLIENT SETNAME me",
        "CLIENT GETNAME",
        "CLIENT TRACKING ON",
        "CLIENT TRACKING OFF",
        "SELECT 1",
        "SELECT 0",
        "AUTH x",
        "CLIENT NONSENSE",
        "HELLO",
        "CLIENT",
    ]);
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn value(random: &mut Random) -> Vec<u8> {
    match random.below(6) {
        0 => Vec::new(),
        1 => b"7".to_vec(),
        2 => random.pick(&[&b"\r\n"[..], b"+OK\r\n", b"*3\r\n", b"$-1\r\n", b"\0\xff"]).to_vec(),
        3 => vec![b'v'; random.below(40)],
        _ => b"value".to_vec(),
    }
}
