//! The bytes of each operation in each dialect, and the votes in the answers.

use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};

use super::*;
use crate::coordinator::Ballot;
use crate::lock::{Moment, NodeId, Resource, Token, Ttl};
use crate::primary::dialect::{DELETE, DeleteForm, RAISE};
use crate::primary::encoding::{Call, decimal, encode};

#[path = "operation_raise_tests.rs"]
mod raise;

const MODERN: Dialect = Dialect { acquire: AcquireForm::SetNxGet, delete: DeleteForm::DelexIfeq };
const VALKEY: Dialect = Dialect { acquire: AcquireForm::SetNxGet, delete: DeleteForm::Delifeq };
const PLAIN: Dialect = Dialect { acquire: AcquireForm::SetNxThenGet, delete: DeleteForm::Script };

/// With nothing wrong.
fn answered(operation: &mut Operation, dialect: Dialect, answers: impl IntoIterator<Item = Answer>) -> Settled {
    super::answered(operation, dialect, answers, None)
}

/// A round that remembers the one vote it was given.
struct Recorder<V>(Mutex<Option<(V, Option<Trouble>)>>);

/// A round that has been given up.
struct Closed;

impl Ballot<AcquireVote> for Closed {
    fn depart(&self, _node: NodeId) -> bool {
        false
    }

    fn cast(&self, _node: NodeId, _vote: AcquireVote, _trouble: Option<Trouble>) {}
}

impl<V: Send> Ballot<V> for Recorder<V> {
    fn depart(&self, _node: NodeId) -> bool {
        true
    }

    fn cast(&self, _node: NodeId, vote: V, trouble: Option<Trouble>) {
        let before = self.0.lock().expect("no test panics in here").replace((vote, trouble));
        assert!(before.is_none(), "a second vote was cast");
    }
}

fn recorder<V: Vote + Send + 'static>() -> (Arc<Recorder<V>>, Ticket<V>) {
    let recorder = Arc::new(Recorder(Mutex::new(None)));
    let ticket = Ticket::new(Arc::clone(&recorder) as Arc<dyn Ballot<V>>, NodeId::new(0).expect("the first"));
    (recorder, ticket)
}

fn recorded<V>(recorder: &Recorder<V>) -> (V, Option<Trouble>) {
    recorder.0.lock().expect("no test panics in here").take().expect("a vote was cast")
}

fn resource() -> Resource {
    Resource::new(Bytes::from_static(b"job"), 4_096).expect("a name")
}

fn token(text: &'static str) -> Token {
    Token::new(Bytes::from_static(text.as_bytes())).expect("a token")
}

fn ttl() -> Ttl {
    Ttl::from_millis(30_000).expect("in range")
}

fn acquire(ticket: Ticket<AcquireVote>) -> Operation {
    Operation::Acquire { resource: resource(), token: token("T1"), ttl: ttl(), raise: None, asks_ttl: false, ticket }
}

fn extend(ticket: Ticket<ExtendVote>) -> Operation {
    Operation::Extend { resource: resource(), token: token("T1"), ttl: ttl(), ticket }
}

fn sign(ticket: Ticket<SignVote>) -> Operation {
    let found = Bytes::from_static(b"T0");
    Operation::Sign { resource: resource(), found, token: token("T1"), ttl: ttl(), raise: None, ticket }
}

fn release(ticket: Option<Ticket<ReleaseVote>>) -> Operation {
    let until = Moment::from_micros(9);
    Operation::Release { resource: resource(), token: token("T1"), until, notice: None, ticket }
}

fn sent(operation: &Operation, dialect: Dialect, call: Call) -> String {
    let mut out = BytesMut::new();
    encode(operation, dialect, call, b"p:", &mut out);
    String::from_utf8(out.to_vec()).expect("text")
}

/// Answers an attempt of the form that has so many answers.
fn answered_by(operation: &mut Operation, first: Answer, second: Option<Answer>) -> Settled {
    let dialect = if second.is_some() { PLAIN } else { MODERN };
    answered(operation, dialect, [Some(first), second].into_iter().flatten())
}

fn error(text: &'static str) -> Answer {
    Answer::Error(Bytes::from_static(text.as_bytes()))
}

#[test]
fn an_attempt_is_one_set_that_asks_for_the_holder_where_the_server_can() {
    let operation = acquire(recorder().1);
    assert_eq!(
        sent(&operation, MODERN, Call::Digest),
        "*7\r\n$3\r\nSET\r\n$5\r\np:job\r\n$2\r\nT1\r\n$2\r\nNX\r\n$2\r\nPX\r\n$5\r\n30000\r\n$3\r\nGET\r\n"
    );
    assert_eq!(
        sent(&operation, PLAIN, Call::Digest),
        "*6\r\n$3\r\nSET\r\n$5\r\np:job\r\n$2\r\nT1\r\n$2\r\nNX\r\n$2\r\nPX\r\n$5\r\n30000\r\n*2\r\n$3\r\nGET\r\n$5\r\np:job\r\n"
    );
    assert_eq!((replies(&operation, MODERN), replies(&operation, PLAIN)), (1, 2));
}

#[test]
fn a_release_takes_the_cheapest_form_that_the_server_knows() {
    let operation = release(None);
    assert_eq!(
        sent(&operation, MODERN, Call::Digest),
        "*4\r\n$5\r\nDELEX\r\n$5\r\np:job\r\n$4\r\nIFEQ\r\n$2\r\nT1\r\n"
    );
    assert_eq!(sent(&operation, VALKEY, Call::Digest), "*3\r\n$7\r\nDELIFEQ\r\n$5\r\np:job\r\n$2\r\nT1\r\n");
    let digest = &DELETE.digest;
    assert_eq!(
        sent(&operation, PLAIN, Call::Digest),
        format!("*5\r\n$7\r\nEVALSHA\r\n$40\r\n{digest}\r\n$1\r\n1\r\n$5\r\np:job\r\n$2\r\nT1\r\n")
    );
    let (source, length) = (DELETE.source, DELETE.source.len());
    assert_eq!(
        sent(&operation, PLAIN, Call::Source),
        format!("*5\r\n$4\r\nEVAL\r\n${length}\r\n{source}\r\n$1\r\n1\r\n$5\r\np:job\r\n$2\r\nT1\r\n")
    );
}

#[test]
fn scripts_get_one_key_and_their_arguments_in_order() {
    let (extend, sign) =
        (sent(&extend(recorder().1), MODERN, Call::Digest), sent(&sign(recorder().1), MODERN, Call::Digest));
    assert!(extend.starts_with("*6\r\n$7\r\nEVALSHA\r\n"), "{extend}");
    assert!(extend.ends_with("$1\r\n1\r\n$5\r\np:job\r\n$2\r\nT1\r\n$5\r\n30000\r\n"), "{extend}");
    assert!(sign.starts_with("*7\r\n$7\r\nEVALSHA\r\n"), "{sign}");
    assert!(sign.ends_with("$1\r\n1\r\n$5\r\np:job\r\n$2\r\nT0\r\n$2\r\nT1\r\n$5\r\n30000\r\n"), "{sign}");
}

#[test]
fn the_answers_to_an_attempt_are_a_grant_a_holder_or_the_nodes_trouble() {
    let value = |bytes: &'static [u8]| AcquireVote::Held(Holder::Value(Bytes::from_static(bytes)));
    let unknown = || AcquireVote::Held(Holder::Unknown);
    let bulk = |bytes: &'static [u8]| Answer::Bulk(Bytes::from_static(bytes));
    let ok = || Answer::Status(Bytes::from_static(b"OK"));
    for (first, second, vote) in [
        (Answer::Null, None, AcquireVote::Granted),
        (bulk(b"x"), None, value(b"x")),
        (Answer::Bulk(vec![0; HOLDER_BYTES + 1].into()), None, unknown()),
        (Answer::Oversized, None, unknown()),
        (error("WRONGTYPE Operation against a key"), None, unknown()),
        // Without GET.
        (ok(), Some(bulk(b"T1")), AcquireVote::Granted),
        (Answer::Null, Some(bulk(b"x")), value(b"x")),
        (Answer::Null, Some(Answer::Null), unknown()),
        (Answer::Null, Some(error("WRONGTYPE Operation against a key")), unknown()),
        (Answer::Null, Some(error("LOADING")), unknown()),
    ] {
        let (votes, ticket) = recorder();
        let mut operation = acquire(ticket);
        assert!(matches!(answered_by(&mut operation, first, second), Settled::Done));
        assert_eq!(recorded(&votes), (vote, None));
    }
    for (answer, reason) in [
        (error("OOM command not allowed"), "out of memory"),
        (error("ERR Out of memory"), "out of memory"),
        (error("READONLY You can't write"), "read-only"),
        (error("LOADING Redis is loading"), "loading"),
        (error("BUSY Redis is busy"), "busy"),
        (error("ERR max number of clients reached"), "too many clients"),
        (Answer::Integer(1), "an answer of an unexpected type"),
    ] {
        let (votes, ticket) = recorder();
        let mut operation = acquire(ticket);
        assert!(matches!(answered(&mut operation, MODERN, [answer]), Settled::Done));
        let (vote, trouble) = recorded(&votes);
        assert_eq!((vote, trouble.map(|t| t.to_string())), (AcquireVote::Silent, Some(reason.to_owned())));
    }
}

#[test]
fn the_answers_to_a_script_are_its_number_another_type_or_the_nodes_trouble() {
    for (answer, vote) in [
        (Answer::Integer(1), ExtendVote::Extended),
        (Answer::Integer(0), ExtendVote::Lacking),
        (error("ERR Error running script (call to 6a): @user_script:2: -WRONGTYPE Operation"), ExtendVote::Lacking),
        (error("ERR Error running script (call to 6a): @user_script:2: -OOM command"), ExtendVote::Unknown),
        (error("READONLY You can't write"), ExtendVote::Unknown),
        (Answer::Null, ExtendVote::Unknown),
    ] {
        let (votes, ticket) = recorder();
        let mut operation = extend(ticket);
        assert!(matches!(answered(&mut operation, MODERN, [answer]), Settled::Done));
        assert_eq!(recorded(&votes).0, vote);
    }
}

#[test]
fn a_script_that_the_server_forgot_is_sent_again_before_anybody_hears_of_it() {
    let (votes, ticket) = recorder();
    let mut operation = sign(ticket);
    assert!(matches!(
        answered(&mut operation, MODERN, [error("NOSCRIPT No matching script. Please use EVAL.")]),
        Settled::SendSource
    ));
    assert!(matches!(answered(&mut operation, MODERN, [Answer::Integer(1)]), Settled::Done));
    assert_eq!(recorded(&votes), (SignVote::Signed, None));
}

#[test]
fn a_release_that_the_server_could_not_carry_out_is_still_owed() {
    for (answer, vote, owed) in [
        (Answer::Integer(1), ReleaseVote::Deleted, false),
        (Answer::Integer(0), ReleaseVote::Lacking, false),
        (error("WRONGTYPE Operation against a key"), ReleaseVote::Lacking, false),
        (error("BUSY Redis is busy"), ReleaseVote::Unknown, true),
        (error("ERR unknown command 'DELEX'"), ReleaseVote::Unknown, true),
    ] {
        let (votes, ticket) = recorder();
        let mut operation = release(Some(ticket));
        let settled = answered(&mut operation, MODERN, [answer]);
        assert_eq!(matches!(settled, Settled::StillOwed), owed);
        assert_eq!(recorded(&votes).0, vote);
    }
    assert!(matches!(answered(&mut release(None), MODERN, [error("BUSY")]), Settled::StillOwed));
}

#[test]
fn what_comes_after_the_time_out_changes_no_vote_and_a_late_grant_is_seen() {
    let (votes, ticket) = recorder();
    let mut operation = acquire(ticket);
    assert!(silent(&mut operation, Trouble::ConnectionLost));
    assert!(!silent(&mut operation, Trouble::ConnectionLost));
    assert_eq!(recorded(&votes), (AcquireVote::Silent, Some(Trouble::ConnectionLost)));
    assert!(
        matches!(answered(&mut operation, MODERN, [Answer::Null]), Settled::Done),
        "the attempt was won all the same"
    );

    let mut operation = acquire(Ticket::new(Arc::new(Closed), NodeId::new(0).expect("the first")));
    assert!(silent(&mut operation, Trouble::ConnectionLost));
    assert!(matches!(answered(&mut operation, MODERN, [Answer::Null]), Settled::LateGrant));
}

/// A round that is told how long what is in its way lives on.
#[derive(Default)]
struct Told(Mutex<Vec<Option<Duration>>>);

impl Ballot<AcquireVote> for Told {
    fn depart(&self, _node: NodeId) -> bool {
        true
    }

    fn cast(&self, _node: NodeId, _vote: AcquireVote, _trouble: Option<Trouble>) {}

    fn lives_on(&self, _node: NodeId, left: Option<Duration>) {
        self.0.lock().expect("no test panics in here").push(left);
    }
}

#[test]
fn the_first_in_line_also_asks_how_long_the_record_in_its_way_lives_on() {
    let told = Arc::new(Told::default());
    let asks = || {
        let ticket = Ticket::new(Arc::clone(&told) as Arc<dyn Ballot<AcquireVote>>, NodeId::new(0).expect("the first"));
        Operation::Acquire { resource: resource(), token: token("T1"), ttl: ttl(), raise: None, asks_ttl: true, ticket }
    };
    for (dialect, count) in [(MODERN, 2), (PLAIN, 3)] {
        let operation = asks();
        assert!(sent(&operation, dialect, Call::Digest).ends_with("*2\r\n$4\r\nPTTL\r\n$5\r\np:job\r\n"));
        assert_eq!(replies(&operation, dialect), count);
    }
    let held = || Answer::Bulk(Bytes::from_static(b"x"));
    answered(&mut asks(), MODERN, [held(), Answer::Integer(250)]);
    answered(&mut asks(), PLAIN, [Answer::Null, held(), Answer::Integer(0)]);
    answered(&mut asks(), MODERN, [held(), Answer::Integer(-1)]);
    answered(&mut asks(), MODERN, [held(), Answer::Integer(-2)]);
    answered(&mut asks(), MODERN, [error("BUSY"), error("BUSY")]);
    let millis = |millis| Some(Duration::from_millis(millis));
    assert_eq!(*told.0.lock().expect("no panic"), [millis(250), millis(0), None, millis(0), None]);
}

#[test]
fn a_notice_stands_behind_the_release_that_it_tells_of() {
    let notice = || Bytes::from_static(b"1 released 00000000000000ab job");
    let publish =
        "*3\r\n$7\r\nPUBLISH\r\n$24\r\np:redlock-proxy:released\r\n$31\r\n1 released 00000000000000ab job\r\n";
    let until = Moment::from_micros(9);
    let released =
        |ticket| Operation::Release { resource: resource(), token: token("T1"), until, notice: Some(notice()), ticket };
    let silent = sent(&release(None), VALKEY, Call::Digest);
    assert_eq!(sent(&released(None), VALKEY, Call::Digest), format!("{silent}{publish}"));
    assert_eq!(replies(&released(None), VALKEY), 2);
    let (votes, ticket) = recorder();
    let heard_by = Answer::Integer(3);
    answered(&mut released(Some(ticket)), VALKEY, [Answer::Integer(1), heard_by]);
    assert_eq!(recorded(&votes), (ReleaseVote::Deleted, None));

    let mut announcement = Operation::Announce { resource: resource(), notice: notice() };
    assert_eq!(sent(&announcement, MODERN, Call::Digest), publish);
    assert!(matches!(answered(&mut announcement, MODERN, [error("NOPERM")]), Settled::Done));
}

#[test]
fn numbers_are_written_in_decimal() {
    let mut buffer = [0; 20];
    for number in [0, 9, 10, 86_400_000, u64::MAX] {
        assert_eq!(decimal(number, &mut buffer), number.to_string().as_bytes());
    }
}
