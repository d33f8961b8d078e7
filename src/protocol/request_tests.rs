//! Requests: the rules as tables, then any bytes in any pieces.

use proptest::prelude::*;

use super::*;

const LIMITS: RequestLimits =
    RequestLimits { elements: 1_024, bulk_bytes: 1_048_576, request_bytes: 1_048_576, unauthenticated: false };
const STRANGER: RequestLimits =
    RequestLimits { elements: 10, bulk_bytes: 16_384, request_bytes: 65_536, unauthenticated: true };

type Outcome = (Vec<Vec<Bytes>>, Option<ProtocolError>);

/// Every request in `input`, which comes in pieces of the given lengths (and the rest in one), up to the first error.
fn decode_in_pieces(input: &[u8], pieces: &[usize], limits: &RequestLimits) -> Outcome {
    let mut decoder = RequestDecoder::default();
    let mut buffer = BytesMut::new();
    let mut requests = Vec::new();
    let mut rest = input;
    let mut pieces = pieces.iter();
    while !rest.is_empty() {
        let length = pieces.next().map_or(rest.len(), |length| rest.len().min(*length));
        buffer.extend_from_slice(&rest[..length]);
        rest = &rest[length..];
        loop {
            match decoder.decode(&mut buffer, limits) {
                Ok(Some(request)) => requests.push(request.arguments),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut buffer, limits), Err(error), "an error stays");
                    return (requests, Some(error));
                }
            }
        }
    }
    (requests, None)
}

fn decode(input: &[u8], limits: &RequestLimits) -> Outcome {
    decode_in_pieces(input, &[], limits)
}

fn words(requests: &[&[&str]]) -> Vec<Vec<Bytes>> {
    requests.iter().map(|words| words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()).collect()
}

#[test]
fn requests_are_found_as_redis_finds_them() {
    let table: &[(&str, &[&[&str]])] = &[
        ("*1\r\n$4\r\nPING\r\n", &[&["PING"]]),
        ("*2\r\n$3\r\nGET\r\n$0\r\n\r\n", &[&["GET", ""]]),
        ("*2\r\n$4\r\na\r\nb\r\n$1\r\n*\r\n", &[&["a\r\nb", "*"]]),
        ("PING\r\n", &[&["PING"]]),
        ("PING\n", &[&["PING"]]),
        ("PING\r\r\n", &[&["PING"]]),
        ("\r\n\n  \r\nPING\r\n\r\n", &[&["PING"]]),
        ("*0\r\n*-1\r\n*-10\r\nPING\r\n", &[&["PING"]]),
        ("*0\r\n", &[]),
        ("SET k 'a b'\r\n*1\r\n$4\r\nPING\r\nECHO \"\\x41\"\n", &[&["SET", "k", "a b"], &["PING"], &["ECHO", "A"]]),
        // The byte behind a header's \r, and the two behind a bulk string, may be any.
        ("*1\rx$4\ryPING??*1\r\n$1\r\na\r\n", &[&["PING"], &["a"]]),
        ("$4\r\n", &[&["$4"]]),
        ("*1\r\n$4\r\nPING\r", &[]),
        ("*1\r", &[]),
        ("PING\r", &[]),
    ];
    for (input, expected) in table {
        assert_eq!(decode(input.as_bytes(), &LIMITS), (words(expected), None), "{input:?}");
    }
}

#[test]
fn bad_framing_has_the_words_of_redis() {
    let line = |length: usize| "x".repeat(length);
    let table: &[(String, &str)] = &[
        ("*x\r\n".into(), "invalid multibulk length"),
        ("*\r\n".into(), "invalid multibulk length"),
        ("*+1\r\n".into(), "invalid multibulk length"),
        ("*01\r\n".into(), "invalid multibulk length"),
        ("* 1\r\n".into(), "invalid multibulk length"),
        ("*-0\r\n".into(), "invalid multibulk length"),
        ("*1 \r\n".into(), "invalid multibulk length"),
        ("*1\n$1\r\na\r\n".into(), "invalid multibulk length"),
        ("*1025\r\n".into(), "invalid multibulk length"),
        ("*2147483648\r\n".into(), "invalid multibulk length"),
        ("*9223372036854775808\r\n".into(), "invalid multibulk length"),
        ("*1\r\n$-1\r\n".into(), "invalid bulk length"),
        ("*1\r\n$\r\n".into(), "invalid bulk length"),
        ("*1\r\n$04\r\n".into(), "invalid bulk length"),
        ("*1\r\n$+4\r\n".into(), "invalid bulk length"),
        ("*1\r\n$1048577\r\n".into(), "invalid bulk length"),
        ("*1\r\n$9223372036854775807\r\n".into(), "invalid bulk length"),
        ("*2\r\n$1\r\na\r\n$1048576\r\n".into(), "invalid bulk length"),
        ("*1\r\nPING\r\n".into(), "expected '$', got 'P'"),
        ("*1\r\n\r\n".into(), "expected '$', got '\\r'"),
        ("*1\r\n\x01\r\n".into(), "expected '$', got '\\x01'"),
        ("*1\r\n'\r\n".into(), "expected '$', got '''"),
        (format!("*{}", line(LINE_BYTES)), "too big mbulk count string"),
        (format!("*1\r\n{}", line(LINE_BYTES + 1)), "too big bulk count string"),
        (line(LINE_BYTES + 1), "too big inline request"),
        ("GET 'a\r\n".into(), "unbalanced quotes in request"),
    ];
    for (input, expected) in table {
        let (requests, error) = decode(input.as_bytes(), &LIMITS);
        let shown = input.get(..input.len().min(40));
        assert_eq!(error.map(|error| error.to_string()), Some(format!("Protocol error: {expected}")), "{shown:?}");
        assert!(requests.is_empty());
    }
}

#[test]
fn error_lines_are_free_of_control_bytes() {
    for byte in 0..=u8::MAX {
        let text = ProtocolError::ExpectedBulk(byte).to_string();
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
    }
}

#[test]
fn lines_end_within_their_limit_in_any_pieces() {
    let longest = "x".repeat(LINE_BYTES);
    let limits = RequestLimits { bulk_bytes: LINE_BYTES, ..LIMITS };
    for pieces in [&[][..], &[LINE_BYTES], &[LINE_BYTES + 1], &[1, 70_000]] {
        let (requests, error) = decode_in_pieces(format!("{longest}\n").as_bytes(), pieces, &limits);
        assert_eq!((requests.len(), error), (1, None));
        let (requests, error) = decode_in_pieces(format!("{longest}x\n").as_bytes(), pieces, &limits);
        assert_eq!((requests.len(), error), (0, Some(ProtocolError::InlineLine)));
    }
}

#[test]
fn strangers_are_told_why_their_limits_are_low() {
    let table: &[(&str, ProtocolError)] = &[
        ("*11\r\n", ProtocolError::UnauthenticatedMultibulkLength),
        ("*2147483648\r\n", ProtocolError::MultibulkLength),
        ("*1\r\n$16385\r\n", ProtocolError::UnauthenticatedBulkLength),
        ("*1\r\n$-1\r\n", ProtocolError::BulkLength),
        ("*1\r\n$536870913\r\n", ProtocolError::BulkLength),
        ("1 2 3 4 5 6 7 8 9 10 11\r\n", ProtocolError::UnauthenticatedMultibulkLength),
    ];
    for (input, expected) in table {
        assert_eq!(decode(input.as_bytes(), &STRANGER).1, Some(*expected), "{input:?}");
    }
    assert_eq!(decode(b"*10\r\n$16384\r\n", &STRANGER), (vec![], None));
}

#[test]
fn limits_hold_for_the_headers_read_under_them() {
    let mut decoder = RequestDecoder::default();
    let mut buffer = BytesMut::from(&b"*2\r\n$4\r\nAUTH\r\n"[..]);
    assert_eq!(decoder.decode(&mut buffer, &STRANGER), Ok(None));
    assert!(!decoder.is_between_requests());
    buffer.extend_from_slice(b"$20000\r\n");
    assert_eq!(decoder.decode(&mut buffer, &LIMITS), Ok(None), "allowed since it authenticated");
    buffer.extend_from_slice(&vec![b'x'; 20_002]);
    let request = decoder.decode(&mut buffer, &STRANGER).expect("announced when allowed").expect("whole");
    assert_eq!(request.arguments[1].len(), 20_000);
    assert!(decoder.is_between_requests());
}

#[test]
fn each_request_has_the_whole_limit_to_itself() {
    let limits = RequestLimits { bulk_bytes: 8, request_bytes: 10, ..LIMITS };
    let mut full = BytesMut::new();
    encode_request(&[b"12345678", b"12"], &mut full);
    let input = [&full[..], b"12345678 12\r\n*0\r\n", &full].concat();
    assert_eq!(decode(&input, &limits).0.len(), 3);
    let mut over = BytesMut::new();
    encode_request(&[b"12345678", b"123"], &mut over);
    assert_eq!(decode(&over, &limits), (vec![], Some(ProtocolError::BulkLength)));
    assert_eq!(decode(b"12345678 123\n", &limits), (vec![], Some(ProtocolError::BulkLength)));
}

#[test]
fn the_protocol_has_limits_of_its_own() {
    let limits = RequestLimits { elements: usize::MAX, bulk_bytes: usize::MAX, request_bytes: usize::MAX, ..LIMITS };
    assert_eq!(decode(b"*2147483647\r\n", &limits), (vec![], None));
    assert_eq!(decode(b"*2147483648\r\n", &limits), (vec![], Some(ProtocolError::MultibulkLength)));
    assert_eq!(decode(b"*1\r\n$536870912\r\n", &limits), (vec![], None));
    assert_eq!(decode(b"*1\r\n$536870913\r\n", &limits), (vec![], Some(ProtocolError::BulkLength)));
}

#[test]
fn an_announcement_reserves_only_a_small_step() {
    let limits = RequestLimits { elements: 1 << 20, bulk_bytes: 1 << 29, request_bytes: 1 << 29, ..LIMITS };
    for announcement in ["*1\r\n$536870912\r\n", "*1048576\r\n$1\r\n", "*1048576\r\n"] {
        let mut decoder = RequestDecoder::default();
        let mut buffer = BytesMut::from(announcement.as_bytes());
        assert_eq!(decoder.decode(&mut buffer, &limits), Ok(None));
        assert!(buffer.capacity() <= 2 * READ_AHEAD_BYTES, "{announcement:?}: {} bytes", buffer.capacity());
        assert!(decoder.arguments.capacity() <= RETAINED_ARGUMENTS);
    }
}

#[test]
fn arguments_are_slices_of_one_buffer() {
    let mut buffer = BytesMut::from(&b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"[..]);
    let start = buffer.as_ptr() as usize;
    let request = RequestDecoder::default().decode(&mut buffer, &LIMITS).expect("valid").expect("whole");
    let places: Vec<_> = request.arguments.iter().map(|argument| argument.as_ptr() as usize - start).collect();
    assert_eq!(places, [8, 17]);
}

#[test]
fn a_megabyte_byte_by_byte_costs_linear_work() {
    let megabyte = vec![b'x'; 1 << 20];
    let mut one_bulk = BytesMut::new();
    encode_request(&[b"SET", &megabyte[..1_000_000]], &mut one_bulk);
    let mut many_bulks = BytesMut::new();
    encode_request(&vec![&b"0123456789"[..]; 60_000], &mut many_bulks);
    let inline = [&megabyte[..LINE_BYTES], b"\n"].concat().repeat(16);
    let limits =
        RequestLimits { elements: 60_000, bulk_bytes: 1 << 20, request_bytes: 1 << 20, unauthenticated: false };
    for (input, expected) in [(&one_bulk[..], 1), (&many_bulks, 1), (&inline, 16)] {
        let mut decoder = RequestDecoder::default();
        let mut buffer = BytesMut::new();
        let mut requests = 0;
        let mut copied = 0;
        for byte in input {
            let before = buffer.as_ptr();
            buffer.extend_from_slice(&[*byte]);
            requests += usize::from(decoder.decode(&mut buffer, &limits).expect("valid").is_some());
            copied += if buffer.as_ptr() == before { 0 } else { buffer.len() };
        }
        assert_eq!(requests, expected);
        assert!(decoder.work <= 4 * input.len(), "{} steps for {} bytes", decoder.work, input.len());
        assert!(copied <= 4 * input.len(), "{copied} bytes moved for {} bytes", input.len());
    }
}

#[test]
fn a_connection_gives_back_what_a_large_request_took() {
    let mut decoder = RequestDecoder::default();
    let mut buffer = BytesMut::new();
    encode_request(&[b"SET", &vec![b'x'; 1_000_000]], &mut buffer);
    encode_request(&vec![&b"x"[..]; 1_000], &mut buffer);
    buffer.extend_from_slice(b"*1\r\n$4\r\nPI");
    let large = decoder.decode(&mut buffer, &LIMITS).expect("valid").expect("whole");
    assert!(buffer.capacity() <= RETAINED_BUFFER_BYTES);
    let many = decoder.decode(&mut buffer, &LIMITS).expect("valid").expect("whole");
    assert_eq!(many.arguments.len(), 1_000);
    assert!(decoder.arguments.capacity() <= RETAINED_ARGUMENTS);
    drop((large, many));
    buffer.extend_from_slice(b"NG\r\n");
    let last = decoder.decode(&mut buffer, &LIMITS).expect("valid").expect("whole");
    assert_eq!(last.arguments, [&b"PING"[..]]);
    buffer.reserve(1);
    assert!(buffer.capacity() <= RETAINED_BUFFER_BYTES, "{} bytes kept", buffer.capacity());
}

/// A request, and its bytes on the wire: an array, or inline where that can be told from one.
fn requests() -> impl Strategy<Value = (Vec<Bytes>, Vec<u8>)> {
    let argument = proptest::collection::vec(any::<u8>(), 0..12).prop_map(Bytes::from);
    let array = proptest::collection::vec(argument, 1..6).prop_map(|arguments| {
        let mut out = BytesMut::new();
        encode_request(&arguments.iter().map(AsRef::as_ref).collect::<Vec<_>>(), &mut out);
        (arguments, out.to_vec())
    });
    let word = prop_oneof![
        3 => "[a-z$*]{1,6}".prop_map(|text| (text.clone(), text)),
        1 => "[a-z' ]{0,6}".prop_map(|text| (text.clone(), format!("\"{text}\""))),
        1 => "[a-z\" ]{0,6}".prop_map(|text| (text.clone(), format!("'{text}'"))),
    ];
    let begins_no_array = |words: &Vec<(String, String)>| !words[0].1.starts_with('*');
    let line_end = proptest::sample::select(vec!["\n", "\r\n", " \t\r\n"]);
    let inline = (proptest::collection::vec(word, 1..5).prop_filter("an array", begins_no_array), line_end).prop_map(
        |(words, line_end)| {
            let line: Vec<_> = words.iter().map(|(_, written)| written.as_str()).collect();
            let arguments = words.iter().map(|(meant, _)| Bytes::copy_from_slice(meant.as_bytes())).collect();
            (arguments, (line.join(" ") + line_end).into_bytes())
        },
    );
    let skipped = prop_oneof![Just("\r\n"), Just("\n"), Just(" \r\n"), Just("*0\r\n"), Just("*-10\r\n")]
        .prop_map(|text| (vec![], text.as_bytes().to_vec()));
    prop_oneof![3 => array, 2 => inline, 1 => skipped]
}

proptest! {
    #[test]
    fn a_pipeline_in_pieces_gives_the_same_requests(
        pipeline in proptest::collection::vec(requests(), 0..8),
        pieces in proptest::collection::vec(1_usize..20, 0..60),
    ) {
        let input: Vec<u8> = pipeline.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let expected: Vec<_> = pipeline.into_iter().map(|(arguments, _)| arguments).filter(|arguments| !arguments.is_empty()).collect();
        prop_assert_eq!(decode(&input, &LIMITS), (expected.clone(), None));
        prop_assert_eq!(decode_in_pieces(&input, &pieces, &LIMITS), (expected.clone(), None));
        prop_assert_eq!(decode_in_pieces(&input, &vec![1; input.len()], &LIMITS), (expected, None));
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same_outcome(
        input in proptest::collection::vec(
            prop_oneof![
                4 => proptest::sample::select(b"*$0123456789-\r\n\r\n\r\n'\"\\x ".to_vec()),
                1 => any::<u8>(),
            ],
            0..200,
        ),
        pieces in proptest::collection::vec(1_usize..20, 0..60),
    ) {
        let whole = decode(&input, &STRANGER);
        prop_assert_eq!(decode_in_pieces(&input, &pieces, &STRANGER), whole.clone());
        prop_assert_eq!(decode_in_pieces(&input, &vec![1; input.len()], &STRANGER), whole);
    }

    #[test]
    fn memory_stays_within_the_limits(
        parts in proptest::collection::vec(
            prop_oneof![
                (0_i64..40).prop_map(|count| format!("*{count}\r\n").into_bytes()),
                (0_i64..3_000).prop_map(|length| format!("${length}\r\n").into_bytes()),
                (1_usize..3_000).prop_map(|length| vec![b'x'; length]),
                Just(b"\r\n".to_vec()),
            ],
            0..60,
        ),
    ) {
        let limits = RequestLimits { elements: 20, bulk_bytes: 2_000, request_bytes: 5_000, unauthenticated: false };
        // A request, a line that has no end, and what one read brought.
        let largest = limits.request_bytes + 32 * limits.elements + LINE_BYTES + 512;
        let mut decoder = RequestDecoder::default();
        let mut buffer = BytesMut::new();
        'connection: for piece in parts.concat().chunks(512) {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut buffer, &limits) {
                    Ok(Some(request)) => {
                        prop_assert!(request.arguments.len() <= limits.elements);
                        prop_assert!(request.arguments.iter().map(Bytes::len).sum::<usize>() <= limits.request_bytes);
                    }
                    Ok(None) => break,
                    Err(_) => break 'connection,
                }
            }
            prop_assert!(buffer.len() <= largest);
            prop_assert!(buffer.capacity() <= 2 * (largest + READ_AHEAD_BYTES), "{} bytes", buffer.capacity());
            prop_assert!(decoder.arguments.len() <= limits.elements);
        }
    }
}
