//! Replies: where they end, however they were cut, and whether the grammar and `redis-protocol` see the same end.

use bytes::{Bytes, BytesMut};
use redis_protocol::{resp2, resp3};
use redlock_proxy::protocol::{Answer, AnswerReader, ReplyError, ReplyScanner};

use crate::grammar::{Stop, first_reply};
use crate::pieces::{Cut, cuts};

/// Deeper than any reply of a server; what recurses is given nothing deeper.
const NESTING: usize = 16;
/// The longest answer of a primary that is kept, here.
const LONGEST: usize = 64;

/// Reads the bytes as a server's stream; panics where its cuts matter or the decoders disagree.
pub fn reply(data: &[u8]) {
    let (ends, error) = scan(&Cut::whole(), data);
    assert_eq!((ends.clone(), error.is_some()), replies(data), "by the grammar");
    let answers = read(&Cut::whole(), data);
    for cut in cuts(data) {
        assert_eq!(scan(&cut, data), (ends.clone(), error), "cut by {cut:?}");
        assert_eq!(read(&cut, data), answers, "cut by {cut:?}");
    }
    let mut begin = 0;
    for (end, kind) in ends {
        decoders_agree(&data[begin..end], kind);
        begin = end;
    }
    if let Some(error) = error {
        let text = error.to_string();
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
    }
}

/// The same by the grammar, and whether something is wrong behind them.
fn replies(data: &[u8]) -> (Vec<(usize, u8)>, bool) {
    let (mut ends, mut at) = (Vec::new(), 0);
    loop {
        match first_reply(&data[at..], NESTING) {
            Ok((length, kind)) => {
                at += length;
                ends.push((at, kind));
            }
            Err(stop) => return (ends, stop == Stop::Wrong),
        }
    }
}

/// Where replies end, and their types; up to an error.
fn scan(cut: &Cut, data: &[u8]) -> (Vec<(usize, u8)>, Option<ReplyError>) {
    let mut scanner = ReplyScanner::new(NESTING);
    let (mut ends, mut at) = (Vec::new(), 0);
    for piece in cut.pieces(data) {
        let piece_end = at + piece.len();
        while at < piece_end {
            match scanner.scan(&data[at..piece_end]) {
                Ok(scan) => {
                    assert!(scan.consumed > 0, "no step ahead at {at}");
                    assert_eq!(scanner.is_between_replies(), scan.ended.is_some());
                    at += scan.consumed;
                    assert!(scan.ended.is_some() || at == piece_end, "a reply goes on at {at}, and is left");
                    ends.extend(scan.ended.map(|kind| (at, kind)));
                }
                Err(error) => {
                    assert_eq!(scanner.scan(b"+OK\r\n"), Err(error), "an error stays");
                    return (ends, Some(error));
                }
            }
        }
    }
    (ends, None)
}

/// The answers of a primary; up to an error.
fn read(cut: &Cut, data: &[u8]) -> (Vec<Answer>, Option<ReplyError>) {
    let (mut reader, mut buffer) = (AnswerReader::new(LONGEST, NESTING), BytesMut::new());
    let mut answers = Vec::new();
    for piece in cut.pieces(data) {
        buffer.extend_from_slice(piece);
        loop {
            match reader.decode(&mut buffer) {
                Ok(Some(answer)) => answers.push(answer),
                Ok(None) => break,
                Err(error) => return (answers, Some(error)),
            }
        }
        // A part of an answer is kept, or the last of its bytes, but not one that is too long.
        assert!(buffer.len() <= LONGEST, "{} bytes are kept", buffer.len());
    }
    (answers, None)
}

/// Of a whole reply, and nothing else, each decoder must find the end where the scanner did, if it takes it for one.
fn decoders_agree(reply: &[u8], kind: u8) {
    let bytes = Bytes::copy_from_slice(reply);
    let shown = reply.escape_ascii();
    let in_resp2 = resp2::decode::decode_bytes(&bytes);
    match &in_resp2 {
        Ok(Some((_, length))) => assert_eq!(*length, reply.len(), "RESP2: {shown}"),
        Ok(None) => panic!("RESP2 wants more than {shown}"),
        // A number that is none, a type that RESP2 has not, an error text that is no text.
        Err(_) => {}
    }
    if matches!(reply.first(), Some(b'+' | b'$')) && !reply.starts_with(b"$?") {
        assert!(in_resp2.is_ok(), "RESP2 refuses {shown}");
    }
    match resp3::decode::complete::decode_bytes(&bytes) {
        Ok(Some((frame, length))) => {
            assert_eq!(length, reply.len(), "RESP3: {shown}");
            let mut written = BytesMut::new();
            resp3::encode::complete::extend_encode(&mut written, &frame, false).expect("it was read");
            assert_eq!(scan(&Cut::whole(), &written), (vec![(written.len(), kind)], None), "{shown} written again");
        }
        // It takes a verbatim string that is shorter than the name of its format for one that goes on.
        Ok(None) => assert!(reply.contains(&b'='), "RESP3 wants more than {shown}"),
        Err(_) => {}
    }
}
