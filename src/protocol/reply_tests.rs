//! The bytes of each reply, and that another decoder reads them back.

use proptest::prelude::*;
use redis_protocol::resp2::decode::decode as decode_resp2;
use redis_protocol::resp2::types::OwnedFrame as Frame2;
use redis_protocol::resp3::decode::complete::decode as decode_resp3;
use redis_protocol::resp3::types::OwnedFrame as Frame3;

use super::*;

fn bytes(reply: &Reply, version: Version) -> Vec<u8> {
    let mut out = BytesMut::from(&b"before"[..]);
    reply.encode(version, &mut out);
    assert!(out.starts_with(b"before"), "what the buffer held is kept");
    out[b"before".len()..].to_vec()
}

fn bulk(text: &'static str) -> Reply {
    Reply::Bulk(Bytes::from_static(text.as_bytes()))
}

#[test]
fn each_reply_has_its_bytes_in_both_versions() {
    let table: &[(Reply, &str, &str)] = &[
        (Reply::OK, "+OK\r\n", "+OK\r\n"),
        (Reply::Error("ERR no".into()), "-ERR no\r\n", "-ERR no\r\n"),
        (Reply::Integer(-12), ":-12\r\n", ":-12\r\n"),
        (Reply::Integer(999_999_999_999_999_999), ":999999999999999999\r\n", ":999999999999999999\r\n"),
        (bulk("abc"), "$3\r\nabc\r\n", "$3\r\nabc\r\n"),
        (bulk(""), "$0\r\n\r\n", "$0\r\n\r\n"),
        (
            Reply::Array(vec![bulk("t"), Reply::Integer(29697)]),
            "*2\r\n$1\r\nt\r\n:29697\r\n",
            "*2\r\n$1\r\nt\r\n:29697\r\n",
        ),
        (Reply::Array(vec![]), "*0\r\n", "*0\r\n"),
        (Reply::Map(vec![(bulk("a"), Reply::Null)]), "*2\r\n$1\r\na\r\n$-1\r\n", "%1\r\n$1\r\na\r\n_\r\n"),
        (Reply::Set(vec![Reply::Status("x".into())]), "*1\r\n+x\r\n", "~1\r\n+x\r\n"),
        (Reply::Verbatim(Bytes::from_static(b"hi\r\n")), "$4\r\nhi\r\n\r\n", "=8\r\ntxt:hi\r\n\r\n"),
        (Reply::Null, "$-1\r\n", "_\r\n"),
        (Reply::NullArray, "*-1\r\n", "_\r\n"),
    ];
    for (reply, resp2, resp3) in table {
        assert_eq!(bytes(reply, Version::Resp2), resp2.as_bytes(), "{reply:?} in RESP2");
        assert_eq!(bytes(reply, Version::Resp3), resp3.as_bytes(), "{reply:?} in RESP3");
    }
}

#[test]
fn a_text_with_line_ends_stays_one_reply() {
    let error = Reply::Error("ERR a\r\n+OK\r\n\0\x7fé".into());
    let status = Reply::Status("a\nb".into());
    for version in [Version::Resp2, Version::Resp3] {
        assert_eq!(bytes(&error, version), "-ERR a  +OK    é\r\n".as_bytes());
        assert_eq!(bytes(&status, version), b"+a b\r\n");
    }
}

#[test]
fn a_push_is_told_from_a_reply_by_its_first_byte() {
    let mut out = BytesMut::new();
    encode_push(&[Reply::Bulk("rlock-lost".into()), Reply::Bulk("job".into())], &mut out);
    assert_eq!(&out[..], b">2\r\n$10\r\nrlock-lost\r\n$3\r\njob\r\n");
}

fn replies() -> impl Strategy<Value = Reply> {
    let scalar = prop_oneof![
        "[ -~é\r\n]{0,12}".prop_map(|text| Reply::Status(text.into())),
        "[ -~é\r\n]{0,12}".prop_map(|text| Reply::Error(text.into())),
        any::<i64>().prop_map(Reply::Integer),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|data| Reply::Bulk(data.into())),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|data| Reply::Verbatim(data.into())),
        Just(Reply::Null),
        Just(Reply::NullArray),
    ];
    scalar.prop_recursive(3, 24, 5, |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..5);
        prop_oneof![
            list.clone().prop_map(Reply::Array),
            list.prop_map(Reply::Set),
            proptest::collection::vec((inner.clone(), inner), 0..4).prop_map(Reply::Map),
        ]
    })
}

/// What a RESP2 decoder must make of the reply.
fn as_resp2(reply: &Reply) -> Frame2 {
    match reply {
        Reply::Status(text) => Frame2::SimpleString(one_line(text).as_bytes().to_vec()),
        Reply::Error(text) => Frame2::Error(one_line(text).into_owned()),
        Reply::Integer(value) => Frame2::Integer(*value),
        Reply::Bulk(data) | Reply::Verbatim(data) => Frame2::BulkString(data.to_vec()),
        Reply::Array(elements) | Reply::Set(elements) => Frame2::Array(elements.iter().map(as_resp2).collect()),
        Reply::Map(pairs) => {
            Frame2::Array(pairs.iter().flat_map(|(key, value)| [as_resp2(key), as_resp2(value)]).collect())
        }
        Reply::Null | Reply::NullArray => Frame2::Null,
    }
}

/// Whether a RESP3 decoder made the reply's frame of it. Maps and sets are compared by what the decoder keeps of them:
/// it drops what is there twice.
fn is_resp3(reply: &Reply, frame: &Frame3) -> bool {
    match (reply, frame) {
        (Reply::Status(text), Frame3::SimpleString { data, .. }) => one_line(text).as_bytes() == data,
        (Reply::Error(text), Frame3::SimpleError { data, .. }) => one_line(text) == **data,
        (Reply::Integer(value), Frame3::Number { data, .. }) => value == data,
        (Reply::Bulk(bytes), Frame3::BlobString { data, .. })
        | (Reply::Verbatim(bytes), Frame3::VerbatimString { data, .. }) => bytes == data,
        (Reply::Array(elements), Frame3::Array { data, .. }) => {
            elements.len() == data.len() && elements.iter().zip(data).all(|(reply, frame)| is_resp3(reply, frame))
        }
        (Reply::Set(elements), Frame3::Set { data, .. }) => {
            elements.iter().all(|reply| data.iter().any(|frame| is_resp3(reply, frame)))
                && data.iter().all(|frame| elements.iter().any(|reply| is_resp3(reply, frame)))
        }
        (Reply::Map(pairs), Frame3::Map { data, .. }) => {
            pairs.iter().all(|(key, _)| data.keys().any(|frame| is_resp3(key, frame)))
                && data.iter().all(|(key_frame, frame)| {
                    pairs.iter().any(|(key, value)| is_resp3(key, key_frame) && is_resp3(value, frame))
                })
        }
        (Reply::Null | Reply::NullArray, Frame3::Null) => true,
        _ => false,
    }
}

/// Whether maps and sets hold scalars only: the decoder cannot hash anything else.
fn is_hashable_throughout(reply: &Reply) -> bool {
    let is_scalar = |reply: &Reply| !matches!(reply, Reply::Array(_) | Reply::Set(_) | Reply::Map(_));
    match reply {
        Reply::Array(elements) => elements.iter().all(is_hashable_throughout),
        Reply::Set(elements) => elements.iter().all(is_scalar),
        Reply::Map(pairs) => pairs.iter().all(|(key, value)| is_scalar(key) && is_hashable_throughout(value)),
        _ => true,
    }
}

proptest! {
    #[test]
    fn another_decoder_reads_every_resp2_reply(reply in replies()) {
        let encoded = bytes(&reply, Version::Resp2);
        let (frame, length) = decode_resp2(&encoded).expect("valid").expect("whole");
        prop_assert_eq!(length, encoded.len());
        prop_assert_eq!(frame, as_resp2(&reply));
    }

    #[test]
    fn another_decoder_reads_every_resp3_reply(
        reply in replies().prop_filter("what its decoder can hash", is_hashable_throughout)
    ) {
        let encoded = bytes(&reply, Version::Resp3);
        let (frame, length) = decode_resp3(&encoded).expect("valid").expect("whole");
        prop_assert_eq!(length, encoded.len());
        prop_assert!(is_resp3(&reply, &frame), "{:?} became {:?}", reply, frame);
    }
}
