//! What primaries answer, whole, in pieces and too large.

use proptest::prelude::*;

use super::*;
use crate::limits::PRIMARY_REPLY_BYTES;

/// Levels that the readers of these tests allow.
const DEEPEST: usize = 32;

/// Every answer in `input`, up to the first error; the most the buffer ever held between two reads.
fn read(input: &[u8], piece: usize, longest: usize) -> (Vec<Answer>, Option<ReplyError>, usize) {
    let mut reader = AnswerReader::new(longest, DEEPEST);
    let mut buffer = BytesMut::new();
    let mut answers = Vec::new();
    let mut held = 0;
    for bytes in input.chunks(piece) {
        buffer.extend_from_slice(bytes);
        loop {
            match reader.decode(&mut buffer) {
                Ok(Some(answer)) => answers.push(answer),
                Ok(None) => break,
                Err(error) => return (answers, Some(error), held),
            }
        }
        held = held.max(buffer.len());
    }
    (answers, None, held)
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[test]
fn answers_are_read_whole_and_in_pieces() {
    let token = "a".repeat(40);
    let input = format!(
        "+OK\r\n$-1\r\n*-1\r\n:1\r\n:-12\r\n$40\r\n{token}\r\n$0\r\n\r\n-ERR no\r\n+QUEUED\r\n+\r\n*0\r\n*3\r\n+OK\r\n*2\r\n:7\r\n$-1\r\n-x\r\n+OK\r\n"
    );
    let expected = vec![
        Answer::Status(text("OK")),
        Answer::Null,
        Answer::Null,
        Answer::Integer(1),
        Answer::Integer(-12),
        Answer::Bulk(token.into()),
        Answer::Bulk(Bytes::new()),
        Answer::Error(text("ERR no")),
        Answer::Status(text("QUEUED")),
        Answer::Status(Bytes::new()),
        Answer::Array(vec![]),
        Answer::Array(vec![
            Answer::Status(text("OK")),
            Answer::Array(vec![Answer::Integer(7), Answer::Null]),
            Answer::Error(text("x")),
        ]),
        Answer::Status(text("OK")),
    ];
    for piece in 1..=input.len() {
        let (answers, error, _) = read(input.as_bytes(), piece, 1_024);
        assert_eq!((answers, error), (expected.clone(), None), "in pieces of {piece}");
    }
}

#[test]
fn what_is_too_large_is_skipped_without_being_held() {
    let large = PRIMARY_REPLY_BYTES * 8;
    let bulk = format!("${large}\r\n{}\r\n", "\r\n".repeat(large / 2));
    let array = format!("*100000\r\n{}", "$10\r\n0123456789\r\n".repeat(100_000));
    let line = format!("-{}\r\n", "x".repeat(large));
    for reply in [bulk, array, line] {
        let input = format!(":1\r\n{reply}:2\r\n");
        for piece in [1_000, 4_096, input.len()] {
            let (answers, error, held) = read(input.as_bytes(), piece, PRIMARY_REPLY_BYTES);
            assert_eq!((answers, error), (vec![Answer::Integer(1), Answer::Oversized, Answer::Integer(2)], None));
            assert!(held <= PRIMARY_REPLY_BYTES, "{held} bytes held");
        }
    }
}

#[test]
fn the_maximum_is_exact_in_any_pieces() {
    for (length, fits) in [(84, true), (85, false)] {
        let input = format!("${length}\r\n{}\r\n+OK\r\n", "x".repeat(length));
        for piece in 1..=input.len() {
            let (answers, error, _) = read(input.as_bytes(), piece, 5 + 84 + 2);
            assert_eq!((answers.len(), error), (2, None));
            assert_eq!(matches!(&answers[0], Answer::Bulk(_)), fits, "{length} bytes in pieces of {piece}");
            assert_eq!(answers[0] == Answer::Oversized, !fits);
        }
    }
}

#[test]
fn bytes_that_are_not_resp2_are_an_error() {
    let deep = "*1\r\n".repeat(100_000);
    for (input, expected) in [
        ("HTTP/1.1 400 Bad Request\r\n", ReplyError::Type(b'H')),
        ("$x\r\n", ReplyError::Length),
        ("$1\r\nabc", ReplyError::LineEnd),
        (":x\r\n", ReplyError::NotResp2),
        ("_\r\n", ReplyError::NotResp2),
        ("%0\r\n", ReplyError::NotResp2),
        ("|0\r\n+OK\r\n", ReplyError::NotResp2),
        ("$?\r\n;0\r\n", ReplyError::NotResp2),
        ("*1\r\n#t\r\n", ReplyError::NotResp2),
        (deep.as_str(), ReplyError::Nesting(DEEPEST)),
    ] {
        for piece in [1, 3, input.len()] {
            let (answers, error, _) = read(input.as_bytes(), piece, 1_024);
            assert_eq!((answers, error), (vec![], Some(expected)), "{:?}", input.get(..20));
        }
    }
}

#[test]
fn the_deepest_allowed_answer_is_read() {
    let input = "*1\r\n".repeat(DEEPEST) + ":1\r\n";
    let (answers, error, _) = read(input.as_bytes(), input.len(), 1_024);
    let mut expected = Answer::Integer(1);
    for _ in 0..DEEPEST {
        expected = Answer::Array(vec![expected]);
    }
    assert_eq!((answers, error), (vec![expected], None));
}

#[test]
fn errors_may_hold_any_bytes() {
    let (answers, error, _) = read(b"-ERR \xff\xfe\r\n", 3, 1_024);
    assert_eq!((answers, error), (vec![Answer::Error(Bytes::from_static(b"ERR \xff\xfe"))], None));
}

#[test]
fn the_common_answers_take_no_memory() {
    let mut buffer = BytesMut::from(&b"+OK\r\n:1\r\n$-1\r\n$5\r\ntoken\r\n"[..]);
    let token_place = buffer[b"+OK\r\n:1\r\n$-1\r\n$5\r\n".len()..].as_ptr();
    let mut reader = AnswerReader::new(1_024, DEEPEST);
    for _ in 0..3 {
        assert!(matches!(reader.decode(&mut buffer), Ok(Some(_))));
    }
    assert!(matches!(reader.decode(&mut buffer), Ok(Some(Answer::Bulk(token))) if token.as_ptr() == token_place));
}

fn encode(answer: &Answer, out: &mut Vec<u8>) {
    match answer {
        Answer::Status(text) => out.extend_from_slice(&[b"+", &text[..], b"\r\n"].concat()),
        Answer::Error(text) => out.extend_from_slice(&[b"-", &text[..], b"\r\n"].concat()),
        Answer::Integer(value) => out.extend_from_slice(format!(":{value}\r\n").as_bytes()),
        Answer::Bulk(data) => {
            out.extend_from_slice(format!("${}\r\n", data.len()).as_bytes());
            out.extend_from_slice(data);
            out.extend_from_slice(b"\r\n");
        }
        Answer::Null => out.extend_from_slice(b"$-1\r\n"),
        Answer::Array(elements) => {
            out.extend_from_slice(format!("*{}\r\n", elements.len()).as_bytes());
            for element in elements {
                encode(element, out);
            }
        }
        Answer::Oversized => unreachable!("is never sent"),
    }
}

fn answers() -> impl Strategy<Value = Answer> {
    let scalar = prop_oneof![
        "[ -~]{0,12}".prop_map(|text| Answer::Status(text.into())),
        "[ -~]{0,12}".prop_map(|text| Answer::Error(text.into())),
        any::<i64>().prop_map(Answer::Integer),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|data| Answer::Bulk(data.into())),
        Just(Answer::Null),
    ];
    scalar.prop_recursive(3, 24, 5, |inner| proptest::collection::vec(inner, 0..5).prop_map(Answer::Array))
}

proptest! {
    #[test]
    fn what_primaries_send_is_read_back(sent in proptest::collection::vec(answers(), 0..6), piece in 1_usize..40) {
        let mut input = Vec::new();
        for answer in &sent {
            encode(answer, &mut input);
        }
        let (received, error, _) = read(&input, piece, 1 << 20);
        prop_assert_eq!((received, error), (sent, None));
    }

    #[test]
    fn any_bytes_in_any_pieces_are_read_alike_and_within_bounds(
        input in proptest::collection::vec(
            prop_oneof![
                5 => proptest::sample::select(b"+-:$*%0123\r\n\r\n\r\n\r\n".to_vec()),
                1 => any::<u8>(),
            ],
            0..120,
        ),
        piece in 1_usize..20,
    ) {
        let (answers, error, held) = read(&input, piece, 32);
        prop_assert!(held <= 32);
        let (whole_answers, whole_error, _) = read(&input, input.len().max(1), 32);
        prop_assert_eq!((answers, error), (whole_answers, whole_error));
    }
}
