//! Bytes that are no commands. The server says what is wrong and closes; the proxy adds nothing and takes nothing away.
//!
//! The byte at fault is the last one sent, so that the server has read everything when it closes: then its close is an orderly one
//! in every run. Where more follows it is said to ([`Script::behind_the_end`]).

use super::script::{A, B, Script};

pub(super) fn all() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (wrong, bytes) in wrong() {
        scripts.push(Script::new(wrong).raw(A, bytes.clone(), 1).closed(A).on(B, "PING"));
        let mut behind = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*1\r\n$4\r\nPING\r\n".to_vec();
        behind.extend(&bytes);
        scripts.push(Script::new(format!("{wrong}, behind commands")).raw(A, behind, 3).closed(A).on(B, "GET k"));
    }
    scripts.push(
        Script::new("commands behind what is wrong")
            .behind_the_end()
            .raw(A, *b"*1\r\n$4\r\nPING\r\n*x\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n", 2)
            .closed(A)
            .on(B, "GET k"),
    );
    scripts.push(
        Script::new("what is wrong in a transaction")
            .on(A, "MULTI; SET k v")
            .raw(A, *b"*1\r\n!\r\n", 1)
            .closed(A)
            .on(B, "GET k"),
    );
    scripts.push(
        Script::new("what is wrong in a subscription")
            .on(A, "SUBSCRIBE c")
            .raw(A, *b"*1\r\n!\r\n", 1)
            .closed(A)
            .on(B, "PUBLISH c x"),
    );
    scripts.push(Script::new("what is wrong in RESP3").masked().on(A, "HELLO 3").raw(A, *b"*x\r\n", 1).closed(A));
    // Not wrong to every server: quotes that end inside of a word, and what stands where an argument's line end belongs.
    scripts.push(Script::new("quotes that end inside of a word").raw(A, *b"SET k 'abc'd\r\n", 1));
    scripts.push(
        Script::new("no line end behind an argument")
            .raw(A, *b"*2\r\n$4\r\nECHO\r\n$1\r\naXY*1\r\n$4\r\nPING\r\n", 1)
            .behind_the_end(),
    );
    scripts.extend(long());
    scripts
}

fn wrong() -> Vec<(&'static str, Vec<u8>)> {
    let wrong: &[(&str, &[u8])] = &[
        ("a count that is no number", b"*abc\r\n"),
        ("a count with a space", b"* 1\r\n"),
        ("a count with a plus sign", b"*+1\r\n"),
        ("a count with a leading zero", b"*01\r\n"),
        ("no count at all", b"*\r\n"),
        ("a count that is too large", b"*2147483648\r\n"),
        ("a count beyond 64 bits", b"*99999999999999999999\r\n"),
        ("no bulk string where one belongs", b"*1\r\n!\r\n"),
        ("an integer where a bulk string belongs", b"*2\r\n$3\r\nGET\r\n:1\r\n"),
        ("an array where a bulk string belongs", b"*1\r\n*1\r\n"),
        ("a line end where a bulk string belongs", b"*1\r\n\r\n"),
        ("a byte that cannot be shown where a bulk string belongs", b"*1\r\n\xff\r\n"),
        ("a length that is no number", b"*1\r\n$abc\r\n"),
        ("a negative length", b"*1\r\n$-1\r\n"),
        ("a length that is too large", b"*1\r\n$536870913\r\n"),
        ("a length beyond 64 bits", b"*2\r\n$3\r\nGET\r\n$99999999999999999999\r\n"),
        ("a length with a leading zero", b"*1\r\n$04\r\n"),
        ("no length at all", b"*1\r\n$\r\n"),
        ("quotes that do not end", b"SET k \"abc\r\n"),
    ];
    wrong.iter().map(|(name, bytes)| (*name, bytes.to_vec())).collect()
}

/// Lines without an end: each is refused at the byte that makes it too long.
fn long() -> Vec<Script> {
    const LONGEST: usize = 64 * 1024;
    let line = |begin: &[u8], length: usize| [begin, &vec![b'1'; length - begin.len()]].concat();
    vec![
        Script::new("an inline command that is too long").raw(A, line(b"PING ", LONGEST + 1), 1).closed(A),
        Script::new("a count that does not end").raw(A, line(b"*", LONGEST + 1), 1).closed(A),
        Script::new("a length that does not end").raw(A, *b"*1\r\n", 0).raw(A, line(b"$", LONGEST + 1), 1).closed(A),
        Script::new("an inline command that is long enough")
            .raw(A, [line(b"ECHO ", LONGEST - 2), b"\r\n".to_vec()].concat(), 1)
            .on(A, "PING"),
    ]
}
