//! Requests: where they end and what they say, whoever looks and however they were cut.

use bytes::{Bytes, BytesMut};
use redlock_proxy::limits::{PROTOCOL_BULK_BYTES, PROTOCOL_ELEMENTS};
use redlock_proxy::protocol::{
    Advance, Beginning, Head, ProtocolError, RequestDecoder, RequestDelimiter, RequestLimits, encode_request,
};

use crate::pieces::{Cut, cuts};

/// What a read buffer may have of room beyond a multiple of what has come.
const HEADROOM_BYTES: usize = 128 * 1_024;

const DEFAULT: RequestLimits =
    RequestLimits { elements: 1_024, bulk_bytes: 1_048_576, request_bytes: 1_048_576, unauthenticated: false };
const STRANGER: RequestLimits =
    RequestLimits { elements: 10, bulk_bytes: 16_384, request_bytes: 65_536, unauthenticated: true };
/// Small enough to be reached by a few bytes.
const NARROW: RequestLimits = RequestLimits { elements: 3, bulk_bytes: 8, request_bytes: 16, unauthenticated: false };

/// Reads the bytes as a client's stream; panics where decoders disagree or a limit is passed.
pub fn request(data: &[u8]) {
    for limits in [DEFAULT, STRANGER, NARROW] {
        let whole = decode(&Cut::whole(), data, &limits);
        check(&whole, data, &limits);
        // Strangers' limits differ in nothing that a cut could matter to.
        for cut in cuts(data).iter().filter(|_| !limits.unauthenticated) {
            assert_eq!(decode(cut, data, &limits), whole, "cut by {cut:?}");
        }
    }
    delimiter_agrees(data);
    let whole = delimit(&Cut::whole(), data);
    for cut in cuts(data) {
        assert_eq!(delimit(&cut, data), whole, "cut by {cut:?}");
    }
}

/// What a stream was decoded to.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    /// Where each request ends, and its words.
    requests: Vec<(usize, Vec<Bytes>)>,
    error: Option<ProtocolError>,
    /// Whether something has begun that has not ended.
    unfinished: bool,
}

fn decode(cut: &Cut, data: &[u8], limits: &RequestLimits) -> Decoded {
    let (mut decoder, mut buffer) = (RequestDecoder::default(), BytesMut::new());
    let (mut requests, mut come) = (Vec::new(), 0);
    for piece in cut.pieces(data) {
        buffer.extend_from_slice(piece);
        come += piece.len();
        loop {
            let taken = decoder.decode(&mut buffer, limits);
            let room = buffer.capacity();
            assert!(room <= 4 * come + HEADROOM_BYTES, "room for {room} bytes, and {come} have come");
            match taken {
                Ok(Some(request)) => requests.push((come - buffer.len(), request.arguments)),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut buffer, limits), Err(error), "an error stays");
                    return Decoded { requests, error: Some(error), unfinished: false };
                }
            }
        }
    }
    Decoded { requests, error: None, unfinished: !decoder.is_between_requests() }
}

fn check(decoded: &Decoded, data: &[u8], limits: &RequestLimits) {
    let mut last = 0;
    for (end, words) in &decoded.requests {
        assert!(last < *end && *end <= data.len(), "a request ends at {end}, behind one at {last}");
        last = *end;
        let lengths = words.iter().map(Bytes::len);
        assert!((1..=limits.elements).contains(&words.len()), "{} words", words.len());
        assert!(lengths.clone().all(|length| length <= limits.bulk_bytes), "{words:?}");
        assert!(lengths.sum::<usize>() <= limits.request_bytes, "{words:?}");

        let mut written = BytesMut::new();
        encode_request(&words.iter().map(|word| &word[..]).collect::<Vec<_>>(), &mut written);
        let again = decode(&Cut::whole(), &written, limits);
        assert_eq!(again.requests, [(written.len(), words.clone())], "written and read again");
    }
    if let Some(error) = decoded.error {
        let text = error.to_string();
        assert!(
            text.starts_with("Protocol error: ") && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{text:?}"
        );
    }
}

/// The limits of a request that is passed on: those of the protocol alone.
fn relayed() -> RequestLimits {
    let most = |limit: i64| usize::try_from(limit).expect("64 bits");
    let (elements, bulk_bytes) = (most(PROTOCOL_ELEMENTS), most(PROTOCOL_BULK_BYTES));
    RequestLimits { elements, bulk_bytes, request_bytes: usize::MAX, unauthenticated: false }
}

/// Goes from request to request as a session does that passes them on, beside the decoder.
fn delimiter_agrees(data: &[u8]) {
    let decoded = decode(&Cut::whole(), data, &relayed());
    let mut requests = decoded.requests.iter();
    let mut delimiter = RequestDelimiter::new(relayed().bulk_bytes);
    let mut at = 0;
    let malformed = loop {
        assert!(delimiter.is_between_requests());
        let head = match RequestDelimiter::beginning(&data[at..], |_| true) {
            Beginning::Starved => break false,
            // Behind a NUL servers find no line end, so it is not passed on as a request; the decoder has no server behind it.
            Beginning::Malformed if is_line_with_nul(&data[at..]) => return,
            Beginning::Malformed => break true,
            Beginning::Blank(length) => {
                assert_eq!(delimiter.advance(&data[at..]), Advance::Ended(length), "a blank at {at}");
                at += length;
                continue;
            }
            Beginning::Request(head) => head,
        };
        match delimiter.advance(&data[at..]) {
            Advance::Ended(length) => {
                at += length;
                let (end, words) = requests.next().expect("the decoder finds a request as well");
                assert_eq!(at, *end, "the ends of {words:?}");
                head_agrees(&head, words);
            }
            Advance::Inside => break false,
            Advance::Malformed => break true,
            Advance::TooLong => panic!("longer than the protocol allows, and well-formed"),
        }
    };
    assert_eq!(requests.next(), None, "the delimiter stopped at {at}, malformed: {malformed}");
    // It need not see the end of a header to know that it is none; so it may be the first to know, and never the last.
    assert!(malformed || decoded.error.is_none(), "{:?}, at {at} of what goes on", decoded.error);
}

fn is_line_with_nul(rest: &[u8]) -> bool {
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    !line.starts_with(b"*") && line.contains(&0)
}

fn head_agrees(head: &Head, words: &[Bytes]) {
    assert_eq!(head.words, words.len() as u64);
    for (place, word) in words.iter().take(3).enumerate() {
        let told = head.word(place);
        let is_told = told == word.to_ascii_lowercase();
        // What is longer than any name is not told, nor what stands behind it.
        assert!(
            is_told || (told.is_empty() && words[..=place].iter().any(|word| word.len() > 16)),
            "{head:?}: {words:?}"
        );
    }
}

/// Where requests end, without a look at what they say; and how it stands in the end.
fn delimit(cut: &Cut, data: &[u8]) -> (Vec<usize>, Advance) {
    let mut delimiter = RequestDelimiter::new(NARROW.bulk_bytes);
    let (mut ends, mut at) = (Vec::new(), 0);
    for piece in cut.pieces(data) {
        let mut rest = piece;
        while !rest.is_empty() {
            match delimiter.advance(rest) {
                Advance::Inside => {
                    at += rest.len();
                    rest = &[];
                }
                Advance::Ended(length) => {
                    assert!(length > 0, "nothing is a request");
                    at += length;
                    ends.push(at);
                    rest = &rest[length..];
                }
                stopped => return (ends, stopped),
            }
        }
    }
    (ends, Advance::Inside)
}
