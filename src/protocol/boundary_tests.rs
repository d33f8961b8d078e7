//! Where replies end: tables, then generated replies in any pieces.

use proptest::prelude::*;

use super::*;

const NESTING: usize = 16;

/// Where each reply in `input` ends and what its type is, up to the first error; the input comes in pieces of the given
/// lengths, the rest in one.
fn scan_in_pieces(input: &[u8], pieces: &[usize]) -> (Vec<(usize, u8)>, Option<ReplyError>) {
    let mut scanner = ReplyScanner::new(NESTING);
    let mut ends = Vec::new();
    let mut pieces = pieces.iter();
    let mut at = 0;
    while at < input.len() {
        let mut piece_end = input.len();
        if let Some(length) = pieces.next() {
            piece_end = piece_end.min(at + length);
        }
        while at < piece_end {
            match scanner.scan(&input[at..piece_end]) {
                Ok(Scan { consumed, ended }) => {
                    assert!(consumed > 0 && (ended.is_some() || at + consumed == piece_end));
                    assert_eq!(scanner.is_between_replies(), ended.is_some());
                    at += consumed;
                    ends.extend(ended.map(|kind| (at, kind)));
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

fn scan_bytewise(input: &[u8]) -> (Vec<(usize, u8)>, Option<ReplyError>) {
    scan_in_pieces(input, &vec![1; input.len()])
}

#[test]
fn each_of_these_is_one_reply() {
    for reply in [
        "+OK\r\n",
        "+\r\n",
        "+a\rb\nc\r\r\n",
        "-ERR no\r\n",
        ":1\r\n",
        "$-1\r\n",
        "$0\r\n\r\n",
        "$4\r\n\r\n\r\n\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
        "_\r\n",
        "#t\r\n",
        ",3.14\r\n",
        ",-inf\r\n",
        "(3492890328409238509324850943850943825024385\r\n",
        "!21\r\nSYNTAX invalid syntax\r\n",
        "=15\r\ntxt:Some string\r\n",
        "%0\r\n",
        "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n",
        "~2\r\n+a\r\n~0\r\n",
        ">3\r\n+message\r\n+channel\r\n$2\r\nhi\r\n",
        "$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n",
        "$?\r\n;0\r\n",
        "*?\r\n:1\r\n*?\r\n.\r\n$?\r\n;1\r\nx\r\n;0\r\n.\r\n",
        "~?\r\n:1\r\n.\r\n",
        "%?\r\n+a\r\n*1\r\n:1\r\n.\r\n",
    ] {
        let expected = (vec![(reply.len(), reply.as_bytes()[0])], None);
        assert_eq!(scan_in_pieces(reply.as_bytes(), &[]), expected, "{reply:?}");
        assert_eq!(scan_bytewise(reply.as_bytes()), expected, "{reply:?} byte by byte");
        for end in 0..reply.len() {
            assert_eq!(scan_in_pieces(&reply.as_bytes()[..end], &[]), (vec![], None), "{end} bytes of {reply:?}");
        }
    }
}

#[test]
fn an_attribute_belongs_to_the_value_behind_it() {
    for (reply, kind) in [
        ("|1\r\n+ttl\r\n:3600\r\n:5\r\n", b':'),
        ("|0\r\n+OK\r\n", b'+'),
        ("|1\r\n+a\r\n%1\r\n+b\r\n|1\r\n+c\r\n+d\r\n:2\r\n|1\r\n+e\r\n+f\r\n*1\r\n+x\r\n", b'*'),
        ("*2\r\n|1\r\n+ttl\r\n:3600\r\n:5\r\n:6\r\n", b'*'),
    ] {
        assert_eq!(scan_in_pieces(reply.as_bytes(), &[]), (vec![(reply.len(), kind)], None), "{reply:?}");
        assert_eq!(scan_bytewise(reply.as_bytes()), (vec![(reply.len(), kind)], None), "{reply:?}");
    }
}

#[test]
fn what_is_no_reply_is_an_error() {
    for (input, expected) in [
        ("OK\r\n", ReplyError::Type(b'O')),
        ("\r\n", ReplyError::Type(b'\r')),
        (".\r\n", ReplyError::Type(b'.')),
        (";1\r\na\r\n", ReplyError::Type(b';')),
        ("*1\r\n.\r\n", ReplyError::Type(b'.')),
        ("$?\r\n+a\r\n", ReplyError::Type(b'+')),
        ("$\r\n", ReplyError::Length),
        ("$x\r\n", ReplyError::Length),
        ("$+1\r\n", ReplyError::Length),
        ("$01\r\n", ReplyError::Length),
        ("$-2\r\n", ReplyError::Length),
        ("*-2\r\n", ReplyError::Length),
        (">-1\r\n", ReplyError::Length),
        ("|-1\r\n", ReplyError::Length),
        (">?\r\n", ReplyError::Length),
        ("=?\r\n", ReplyError::Length),
        ("$?\r\n;-1\r\n", ReplyError::Length),
        ("$?\r\n;?\r\n", ReplyError::Length),
        ("*?\r\n.1\r\n", ReplyError::Length),
        ("*9223372036854775808\r\n", ReplyError::Length),
        ("$100000000000000000000000000000\r\n", ReplyError::Length),
        ("$1\nab\r\n", ReplyError::Length),
        ("$1\rxab\r\n", ReplyError::LineEnd),
        ("$1\r\nabc", ReplyError::LineEnd),
        ("$1\r\na\rb", ReplyError::LineEnd),
        ("$?\r\n;1\r\nabc", ReplyError::LineEnd),
        ("%?\r\n+a\r\n.\r\n", ReplyError::Unpaired),
    ] {
        assert_eq!(scan_in_pieces(input.as_bytes(), &[]), (vec![], Some(expected)), "{input:?}");
        assert_eq!(scan_bytewise(input.as_bytes()), (vec![], Some(expected)), "{input:?}");
    }
}

#[test]
fn the_largest_lengths_are_counted_without_overflow() {
    for input in ["$9223372036854775807\r\nab", "*9223372036854775807\r\n:1\r\n", "%9223372036854775807\r\n:1\r\n"] {
        assert_eq!(scan_in_pieces(input.as_bytes(), &[]), (vec![], None), "{input:?}");
    }
}

#[test]
fn deep_nesting_is_an_error_and_costs_little() {
    for opening in ["*1\r\n", "~1\r\n", "%1\r\n", ">1\r\n", "|1\r\n", "*?\r\n", "%?\r\n"] {
        let mut scanner = ReplyScanner::new(NESTING);
        let deep = opening.repeat(100_000);
        assert_eq!(scanner.scan(deep.as_bytes()), Err(ReplyError::Nesting(NESTING)), "{opening:?}");
        assert!(scanner.open.capacity() <= 2 * NESTING);
    }
    let deepest = "*1\r\n".repeat(NESTING) + ":1\r\n";
    assert_eq!(scan_in_pieces(deepest.as_bytes(), &[]), (vec![(deepest.len(), b'*')], None));
    assert_eq!(scan_in_pieces(format!("*1\r\n{deepest}").as_bytes(), &[]).1, Some(ReplyError::Nesting(NESTING)));
}

#[test]
fn error_texts_are_free_of_control_bytes() {
    for byte in 0..=u8::MAX {
        assert!(ReplyError::Type(byte).to_string().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
}

/// A reply's type and bytes.
type Encoded = (u8, Vec<u8>);

fn aggregate(kind: u8, elements: &[Encoded], counted: usize, streamed: bool) -> Encoded {
    let mut out = vec![kind];
    out.extend_from_slice(&if streamed { b"?\r\n".to_vec() } else { format!("{counted}\r\n").into_bytes() });
    out.extend(elements.iter().flat_map(|(_, bytes)| bytes).copied());
    if streamed {
        out.extend_from_slice(b".\r\n");
    }
    (kind, out)
}

/// Replies of every type, at most four levels deep.
fn replies() -> impl Strategy<Value = Encoded> {
    let line = (proptest::sample::select(b"+-:,#_(".to_vec()), "[ -~\n]{0,10}")
        .prop_map(|(kind, text)| (kind, [&[kind], text.as_bytes(), b"\r\n"].concat()));
    let data =
        proptest::collection::vec(prop_oneof![proptest::sample::select(b"\r\n*$;.".to_vec()), any::<u8>()], 0..30);
    let blob = (proptest::sample::select(b"$=!".to_vec()), data.clone())
        .prop_map(|(kind, data)| (kind, [&[kind], format!("{}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat()));
    let streamed_string = proptest::collection::vec(data, 0..4).prop_map(|chunks| {
        let mut out = b"$?\r\n".to_vec();
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            out.extend_from_slice(format!(";{}\r\n", chunk.len()).as_bytes());
            out.extend_from_slice(chunk);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b";0\r\n");
        (b'$', out)
    });
    let null = proptest::sample::select(b"$*".to_vec()).prop_map(|kind| (kind, [&[kind], &b"-1\r\n"[..]].concat()));
    prop_oneof![3 => line, 3 => blob, 1 => streamed_string, 1 => null].prop_recursive(4, 48, 5, |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..5);
        let pairs = proptest::collection::vec((inner.clone(), inner.clone()), 0..4)
            .prop_map(|pairs| pairs.into_iter().flat_map(|(key, value)| [key, value]).collect::<Vec<_>>());
        prop_oneof![
            (proptest::sample::select(b"*~".to_vec()), list.clone(), any::<bool>())
                .prop_map(|(kind, list, streamed)| aggregate(kind, &list, list.len(), streamed)),
            list.prop_map(|list| aggregate(b'>', &list, list.len(), false)),
            (pairs.clone(), any::<bool>()).prop_map(|(pairs, streamed)| aggregate(
                b'%',
                &pairs,
                pairs.len() / 2,
                streamed
            )),
            (pairs, inner).prop_map(|(pairs, (kind, value))| {
                (kind, [aggregate(b'|', &pairs, pairs.len() / 2, false).1, value].concat())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn replies_end_where_they_were_written_to_end(
        stream in proptest::collection::vec(replies(), 1..5),
        pieces in proptest::collection::vec(1_usize..20, 0..60),
    ) {
        let input: Vec<u8> = stream.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let mut end = 0;
        let expected: Vec<_> = stream.iter().map(|(kind, bytes)| { end += bytes.len(); (end, *kind) }).collect();
        prop_assert_eq!(scan_in_pieces(&input, &[]), (expected.clone(), None));
        prop_assert_eq!(scan_in_pieces(&input, &pieces), (expected.clone(), None));
        prop_assert_eq!(scan_bytewise(&input), (expected.clone(), None));
        for boundary in 1..input.len() {
            prop_assert_eq!(scan_in_pieces(&input, &[boundary]), (expected.clone(), None));
        }
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same_outcome(
        input in proptest::collection::vec(
            prop_oneof![
                5 => proptest::sample::select(b"+-:$*%~>|;.?_=!0123\r\n\r\n\r\n\r\n".to_vec()),
                1 => any::<u8>(),
            ],
            0..120,
        ),
        pieces in proptest::collection::vec(1_usize..9, 0..60),
    ) {
        let whole = scan_in_pieces(&input, &[]);
        prop_assert_eq!(scan_in_pieces(&input, &pieces), whole.clone());
        prop_assert_eq!(scan_bytewise(&input), whole);
    }

    #[test]
    fn one_changed_byte_never_panics(
        (_, reply) in replies(), at in any::<proptest::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut input = reply;
        let index = at.index(input.len());
        input[index] = byte;
        prop_assert_eq!(scan_in_pieces(&input, &[]), scan_bytewise(&input));
    }
}
