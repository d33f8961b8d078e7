//! The delimiter agrees with the decoder about every request, in whatever pieces it comes.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::protocol::{RequestDecoder, encode_request};

fn beginning(bytes: &[u8]) -> Beginning {
    RequestDelimiter::beginning(bytes, |_| true)
}

fn head(bytes: &[u8]) -> Head {
    match beginning(bytes) {
        Beginning::Request(head) => head,
        other => panic!("{:?}: {other:?}", bytes.escape_ascii().to_string()),
    }
}

fn delimiter() -> RequestDelimiter {
    RequestDelimiter::new(1_000)
}

#[test]
fn the_first_words_are_told_in_lower_case_and_no_byte_is_needed_behind_them() {
    let told = head(b"*3\r\n$6\r\nCLIENT\r\n$5\r\nreply\r\n$3\r\nOFF\r\n");
    assert_eq!((told.words, told.word(0), told.word(1), told.word(2)), (3, &b"client"[..], &b"reply"[..], &b"off"[..]));
    let one = |_: &Head| false;
    let get = b"*2\r\n$3\r\nGET\r\n";
    let told = RequestDelimiter::beginning(get, one);
    assert!(matches!(told, Beginning::Request(head) if head.word(0) == b"get" && head.words == 2), "{told:?}");
    for length in 0..get.len() {
        assert_eq!(RequestDelimiter::beginning(&get[..length], one), Beginning::Starved, "{length}");
    }
}

#[test]
fn a_word_that_is_longer_than_any_name_is_not_waited_for() {
    let told = head(b"*3\r\n$17\r\n");
    assert_eq!((told.words, told.word(0)), (3, &b""[..]));
    assert_eq!(head(b"*2\r\n$15\r\nGETKEYSANDFLAGS\r\n$500000000\r\n").word(0), b"getkeysandflags");
}

#[test]
fn inline_commands_are_told_by_their_whole_line_quotes_and_all() {
    let told = head(b"  \"SUB\\x53cribe\" a 'b c'\r\nnext");
    assert_eq!((told.words, told.word(0), told.word(1)), (3, &b"subscribe"[..], &b"a"[..]));
    assert_eq!(beginning(b"PING"), Beginning::Starved);
    assert_eq!(beginning(b"PING \"a\n"), Beginning::Malformed);
    let mut long = vec![b'x'; LINE_BYTES];
    assert_eq!(beginning(&long), Beginning::Starved);
    long.push(b'x');
    assert_eq!(beginning(&long), Beginning::Malformed);
    long[LINE_BYTES] = b'\n';
    assert_eq!(head(&long).words, 1);
}

#[test]
fn a_line_with_a_nul_in_it_is_no_request_and_an_argument_with_one_is() {
    for bytes in [&b"\0\r\n"[..], b"PING a\0b\r\n", b"RLOCK j\0b 1000\n"] {
        assert_eq!(beginning(bytes), Beginning::Malformed, "{}", bytes.escape_ascii());
    }
    assert_eq!(head(b"PING \"a\\x00\"\r\n").words, 2);
    assert_eq!(head(b"*1\r\n$3\r\na\0b\r\n").word(0), b"a\0b");
}

#[test]
fn what_gets_no_reply_is_blank() {
    for (bytes, length) in [(&b"\r\nPING"[..], 2), (b"\n", 1), (b" \t\r\n", 4), (b"*0\r\n*1", 4), (b"*-10\r\n", 6)] {
        assert_eq!(beginning(bytes), Beginning::Blank(length));
        assert_eq!(delimiter().advance(bytes), Advance::Ended(length));
    }
}

#[test]
fn what_redis_takes_for_no_request_is_malformed() {
    for bytes in [
        "*x\r\n",
        "*01\r\n",
        "*+1\r\n",
        "*2147483648\r\n",
        "*\r\n",
        "*1\r\n+PING\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$04\r\n",
        "*1\r\n$536870913\r\n",
        "*1\r\n\r\n\r\n",
        "*1234567890123456789012",
    ] {
        assert_eq!(beginning(bytes.as_bytes()), Beginning::Malformed, "{bytes:?}");
        assert_eq!(delimiter().advance(bytes.as_bytes()), Advance::Malformed, "{bytes:?}");
    }
    assert_eq!(head(b"*2147483647\r\n$4\r\nMGET\r\n$1\r\na\r\n$1\r\nb\r\n").words, 2_147_483_647);
}

#[test]
fn a_header_ends_at_the_return_and_the_bytes_behind_an_argument_are_not_looked_at() {
    assert_eq!(delimiter().advance(b"*1\rX$4\r!PING??*1"), Advance::Ended(14));
    assert_eq!(head(b"*1\rX$4\r!PING??").word(0), b"ping");
}

#[test]
fn an_argument_longer_than_the_limit_is_told_apart_from_one_that_is_none() {
    assert_eq!(delimiter().advance(b"*2\r\n$3\r\nGET\r\n$1000\r\n"), Advance::Inside);
    assert_eq!(delimiter().advance(b"*2\r\n$3\r\nGET\r\n$1001\r\n"), Advance::TooLong);
    assert_eq!(delimiter().advance(b"*2\r\n$3\r\nGET\r\n$536870913\r\n"), Advance::Malformed);
}

/// Where each request of `stream` ends, when it is shown in pieces of these lengths.
fn ends(stream: &[u8], pieces: &[usize]) -> Vec<usize> {
    let mut delimiter = delimiter();
    let (mut ends, mut at, mut pieces) = (Vec::new(), 0, pieces.iter().cycle());
    while at < stream.len() {
        let piece = (*pieces.next().expect("a cycle")).min(stream.len() - at);
        let until = at + piece;
        while at < until {
            match delimiter.advance(&stream[at..until]) {
                Advance::Inside => at = until,
                Advance::Ended(length) => {
                    at += length;
                    ends.push(at);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(delimiter.is_between_requests());
    ends
}

fn requests() -> impl Strategy<Value = Vec<u8>> {
    let word = || prop::collection::vec(any::<u8>(), 0..40);
    let array = prop::collection::vec(word(), 1..6).prop_map(|words| {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let mut out = BytesMut::new();
        encode_request(&words, &mut out);
        out.to_vec()
    });
    let one = prop_oneof![
        8 => array,
        2 => "[a-z]{1,8}( [a-z\\\\]{1,8}){0,3}\r?\n".prop_map(String::into_bytes),
        1 => prop_oneof![Just("\r\n"), Just("*0\r\n"), Just("*-1\r\n")].prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(one, 1..8).prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn requests_end_where_the_decoder_says_in_whatever_pieces_they_come(
        stream in requests(),
        pieces in prop::collection::vec(1_usize..50, 1..8),
    ) {
        let limits = RequestLimits { elements: 100, bulk_bytes: 1_000, request_bytes: 10_000, unauthenticated: false };
        // The decoder skips what is blank; the delimiter ends it. So they are compared by what is left behind requests.
        let (mut decoder, mut buffer, mut decoded) = (RequestDecoder::default(), BytesMut::from(&stream[..]), Vec::new());
        while let Some(request) = decoder.decode(&mut buffer, &limits).expect("requests") {
            decoded.push((stream.len() - buffer.len(), request.arguments));
        }
        let all = ends(&stream, &pieces);
        prop_assert_eq!(&all, &ends(&stream, &[1]));
        prop_assert_eq!(&all, &ends(&stream, &[usize::MAX]));
        let mut begin = 0;
        let mut delimited = Vec::new();
        for end in all {
            match beginning(&stream[begin..]) {
                Beginning::Request(head) => delimited.push((end, head)),
                Beginning::Blank(length) => prop_assert_eq!(length, end - begin),
                other => prop_assert!(false, "{:?}", other),
            }
            begin = end;
        }
        prop_assert_eq!(delimited.len(), decoded.len());
        for ((end, head), (decoded_end, words)) in delimited.into_iter().zip(decoded) {
            prop_assert_eq!(end, decoded_end);
            prop_assert_eq!(head.words, words.len() as u64);
            if words[0].len() <= WORD_BYTES {
                prop_assert_eq!(head.word(0), &words[0].to_ascii_lowercase()[..]);
            }
        }
    }

    #[test]
    fn garbage_is_never_a_panic_and_always_the_same(bytes in prop::collection::vec(
        prop_oneof![any::<u8>(), prop::sample::select(b"*$0123-\r\n aGET\"'\\".to_vec())], 0..200,
    )) {
        beginning(&bytes);
        let whole = delimiter().advance(&bytes);
        let mut slow = delimiter();
        let mut last = Advance::Inside;
        for (at, byte) in bytes.iter().enumerate() {
            last = match slow.advance(&[*byte]) {
                Advance::Ended(_) => Advance::Ended(at + 1),
                other => other,
            };
            if last != Advance::Inside {
                break;
            }
        }
        prop_assert_eq!(whole, last);
    }
}
