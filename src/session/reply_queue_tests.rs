use std::borrow::Cow;

use proptest::prelude::*;

use super::*;

/// A timed reply that names itself and the moment at which it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fake {
    name: i64,
    until: u64,
}

impl Timed for Fake {
    fn reply(&self, now: Moment) -> Option<Reply> {
        let made = i64::try_from(now.as_micros()).expect("small");
        (now.as_micros() < self.until)
            .then(|| Reply::Array(vec![Reply::Integer(self.name), Reply::Integer(made), Reply::NullArray]))
    }

    fn too_late(self) -> Reply {
        Reply::Error(Cow::Owned(format!("NOQUORUM {}", self.name)))
    }
}

const fn at(micros: u64) -> Moment {
    Moment::from_micros(micros)
}

fn lasting(name: i64) -> Settled<Fake> {
    Settled::Timed(Fake { name, until: u64::MAX })
}

/// Lets the socket take all, and returns it with the names of what was delivered.
fn drain(queue: &mut ReplyQueue<Fake>, now: u64) -> (String, Vec<i64>) {
    let (mut text, mut names) = (String::new(), Vec::new());
    while queue.is_ready() {
        let bytes = queue.fill(at(now));
        text.push_str(std::str::from_utf8(bytes).expect("text"));
        let count = bytes.len();
        queue.wrote(count, |fake| names.push(fake.name));
    }
    (text, names)
}

#[test]
fn a_reply_that_is_known_waits_for_the_lock_reply_in_front_of_it() {
    let mut queue = ReplyQueue::default();
    queue.push(Version::Resp2, &Reply::Integer(1));
    let lock = queue.reserve(Version::Resp2);
    queue.push(Version::Resp2, &Reply::Integer(3));
    assert_eq!(drain(&mut queue, 0).0, ":1\r\n");
    assert!(!queue.is_empty() && !queue.is_ready());
    queue.settle(lock, Settled::Reply(Reply::Integer(2)));
    assert_eq!(drain(&mut queue, 0).0, ":2\r\n:3\r\n");
    assert!(queue.is_empty());
}

#[test]
fn every_reply_is_written_in_the_version_in_force_when_its_request_was_read() {
    let mut queue = ReplyQueue::default();
    let old = queue.reserve(Version::Resp2);
    queue.push(Version::Resp2, &Reply::NullArray);
    let new = queue.reserve(Version::Resp3);
    queue.push(Version::Resp3, &Reply::NullArray);
    queue.settle(new, lasting(7));
    queue.settle(old, Settled::Reply(Reply::NullArray));
    assert_eq!(drain(&mut queue, 5).0, "*-1\r\n*-1\r\n*3\r\n:7\r\n:5\r\n_\r\n_\r\n");
}

#[test]
fn a_timed_reply_of_which_nothing_left_is_made_anew() {
    let mut queue = ReplyQueue::default();
    queue.push(Version::Resp2, &Reply::Integer(0));
    let (first, second) = (queue.reserve(Version::Resp2), queue.reserve(Version::Resp2));
    queue.push(Version::Resp2, &Reply::Integer(9));
    queue.settle(first, lasting(1));
    queue.settle(second, lasting(2));

    assert_eq!(queue.fill(at(10)), b":0\r\n*3\r\n:1\r\n:10\r\n*-1\r\n*3\r\n:2\r\n:10\r\n*-1\r\n:9\r\n");
    // One byte of the first lock's reply leaves: it is what it is, the second one is not told yet.
    queue.wrote(5, |_| panic!("nothing has left whole"));
    assert_eq!(queue.fill(at(20)), b"3\r\n:1\r\n:10\r\n*-1\r\n*3\r\n:2\r\n:20\r\n*-1\r\n:9\r\n");
    queue.wrote(0, |_| panic!("nothing has left whole"));
    assert_eq!(queue.fill(at(30)), b"3\r\n:1\r\n:10\r\n*-1\r\n*3\r\n:2\r\n:30\r\n*-1\r\n:9\r\n");
    let mut delivered = Vec::new();
    queue.wrote(17, |fake| delivered.push(fake.name));
    assert_eq!(delivered, [1]);
    assert_eq!(drain(&mut queue, 40), ("*3\r\n:2\r\n:40\r\n*-1\r\n:9\r\n".to_owned(), vec![2]));
}

#[test]
fn a_lock_with_no_validity_left_when_it_is_written_is_not_told() {
    let mut queue = ReplyQueue::default();
    let lock = queue.reserve(Version::Resp2);
    queue.settle(lock, Settled::Timed(Fake { name: 1, until: 100 }));
    queue.fill(at(99));
    queue.wrote(0, |_| panic!("nothing has left"));
    assert_eq!(drain(&mut queue, 100), ("-NOQUORUM 1\r\n".to_owned(), vec![]));
}

#[test]
fn places_are_found_after_replies_in_front_of_them_were_taken_back() {
    let mut queue = ReplyQueue::default();
    let ids: Vec<ReplyId> = (0..4).map(|_| queue.reserve(Version::Resp2)).collect();
    queue.settle(ids[0], lasting(0));
    queue.settle(ids[1], Settled::Reply(Reply::Integer(1)));
    queue.settle(ids[2], lasting(2));
    queue.fill(at(1));
    queue.wrote(0, |_| panic!("nothing has left"));
    queue.settle(ids[3], Settled::Reply(Reply::Integer(3)));
    let (text, delivered) = drain(&mut queue, 2);
    assert_eq!(text, "*3\r\n:0\r\n:2\r\n*-1\r\n:1\r\n*3\r\n:2\r\n:2\r\n*-1\r\n:3\r\n");
    assert_eq!(delivered, [0, 2]);
}

#[test]
fn what_was_not_delivered_is_given_back() {
    let mut queue = ReplyQueue::default();
    let ids: Vec<ReplyId> = (0..4).map(|_| queue.reserve(Version::Resp2)).collect();
    for (name, id) in (0..3).zip(&ids) {
        queue.settle(*id, lasting(name));
    }
    let whole = queue.fill(at(1)).len() / 3;
    queue.wrote(whole + 1, drop);
    assert_eq!(queue.abandon().map(|fake| fake.name).collect::<Vec<_>>(), [1, 2]);
    assert!(queue.is_empty());
}

#[test]
fn what_waits_is_measured() {
    let mut queue = ReplyQueue::default();
    let lock = queue.reserve(Version::Resp2);
    queue.push(Version::Resp2, &Reply::Bulk(vec![b'x'; 1_000].into()));
    queue.settle(lock, Settled::Reply(Reply::Error("NOQUORUM".into())));
    assert_eq!(queue.unwritten_bytes(), 1_009 + 8);
    queue.fill(at(0));
    assert_eq!(queue.unwritten_bytes(), 1_009 + 11);
    queue.wrote(20, drop);
    assert_eq!(queue.unwritten_bytes(), 1_000);
    drain(&mut queue, 0);
    assert_eq!(queue.unwritten_bytes(), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Push,
    Reserve,
    /// Settles one of those that wait: as a plain reply, or as a timed one.
    Settle(prop::sample::Index, bool),
    SettleOldest,
    /// The socket takes this share of what there is.
    Write(prop::sample::Index),
    WriteAll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => Just(Step::Push),
        3 => Just(Step::Reserve),
        3 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, timed)| Step::Settle(which, timed)),
        3 => any::<prop::sample::Index>().prop_map(Step::Write),
        1 => Just(Step::WriteAll),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// However requests, verdicts and writes mix: the client reads one whole reply for each request, in their order; a
    /// timed one carries the moment of the write that took its first byte, and is delivered with its last.
    #[test]
    fn replies_leave_in_request_order_with_the_moment_of_their_first_byte(steps in steps()) {
        let mut queue = ReplyQueue::default();
        let (mut requests, mut waiting, mut timed) = (0_i64, Vec::new(), std::collections::HashSet::new());
        let (mut stream, mut moments, mut delivered) = (Vec::new(), Vec::new(), Vec::new());
        let mut now = 1_000_u64;
        let finish = [Step::WriteAll];
        let settle_all = std::iter::repeat_n(Step::SettleOldest, steps.len());
        for step in steps.iter().cloned().chain(settle_all).chain(finish) {
            now += 1;
            match step {
                Step::Push => {
                    queue.push(Version::Resp2, &Reply::Integer(requests));
                    requests += 1;
                }
                Step::Reserve => {
                    waiting.push((requests, queue.reserve(Version::Resp2)));
                    requests += 1;
                }
                Step::Settle(..) | Step::SettleOldest if waiting.is_empty() => {}
                Step::SettleOldest => {
                    let (name, id) = waiting.remove(0);
                    queue.settle(id, Settled::Reply(Reply::Integer(name)));
                }
                Step::Settle(which, is_timed) => {
                    let (name, id) = waiting.remove(which.index(waiting.len()));
                    let settled = if is_timed { lasting(name) } else { Settled::Reply(Reply::Integer(name)) };
                    if is_timed {
                        timed.insert(name);
                    }
                    queue.settle(id, settled);
                }
                Step::Write(share) => {
                    let bytes = queue.fill(at(now)).to_vec();
                    let count = share.index(bytes.len() + 1);
                    stream.extend_from_slice(&bytes[..count]);
                    moments.resize(stream.len(), now);
                    queue.wrote(count, |fake| delivered.push((fake.name, stream.len())));
                }
                Step::WriteAll => while queue.is_ready() {
                    let bytes = queue.fill(at(now)).to_vec();
                    stream.extend_from_slice(&bytes);
                    moments.resize(stream.len(), now);
                    queue.wrote(bytes.len(), |fake| delivered.push((fake.name, stream.len())));
                },
            }
        }
        prop_assert!(queue.is_empty());
        prop_assert_eq!(queue.unwritten_bytes(), 0);

        let mut expected = Vec::new();
        let mut deliveries = delivered.into_iter();
        for name in 0..requests {
            if timed.contains(&name) {
                let made = moments[expected.len()];
                expected.extend_from_slice(format!("*3\r\n:{name}\r\n:{made}\r\n*-1\r\n").as_bytes());
                let (delivered, length) = deliveries.next().expect("each timed reply is delivered");
                prop_assert_eq!(delivered, name);
                prop_assert!(length >= expected.len());
            } else {
                expected.extend_from_slice(format!(":{name}\r\n").as_bytes());
            }
        }
        prop_assert_eq!(String::from_utf8(stream), String::from_utf8(expected));
        prop_assert_eq!(deliveries.next(), None);
    }
}

#[test]
fn encoded_replies_keep_their_place_and_interjections_leave_before_what_cannot() {
    let mut queue: ReplyQueue<Fake> = ReplyQueue::default();
    queue.push_bytes(b"+first\r\n");
    let id = queue.reserve(Version::Resp2);
    queue.push_bytes(b"+behind\r\n");
    assert_eq!(queue.unwritten_bytes(), 17);
    queue.interject(b">1\r\n+push\r\n");
    let bytes = queue.fill(at(1)).to_vec();
    assert_eq!(bytes, b"+first\r\n>1\r\n+push\r\n");
    queue.wrote(bytes.len(), |_| {});
    assert!(!queue.is_ready() && !queue.is_empty());
    queue.settle(id, Settled::Reply(Reply::Integer(1)));
    assert_eq!(queue.fill(at(1)), b":1\r\n+behind\r\n");
}
