//! Answers find what they answer: one by one, in order, however many there are to each.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::*;
use crate::coordinator::{Amnesia, Ballot, Raise, Ticket, Vote};
use crate::lock::{AcquireVote, ExtendVote, FenceNumber, NodeId, RaiseVote, Resource, Token, Ttl};
use crate::primary::dialect::{AcquireForm, DeleteForm};

const DIALECT: Dialect = Dialect { acquire: AcquireForm::SetNxGet, delete: DeleteForm::DelexIfeq };
const NODE_TIMEOUT: Duration = Duration::from_millis(50);

/// Rounds that write down every vote.
#[derive(Default)]
struct Votes(Mutex<Vec<String>>);

impl<V: Vote + std::fmt::Debug> Ballot<V> for Votes {
    fn depart(&self, _node: NodeId) -> bool {
        true
    }

    fn cast(&self, node: NodeId, vote: V, _trouble: Option<Trouble>) {
        self.0.lock().expect("no test panics in here").push(format!("{} {vote:?}", node.index()));
    }
}

impl Votes {
    fn ticket<V: Vote + std::fmt::Debug>(self: &Arc<Self>, node: usize) -> Ticket<V> {
        Ticket::new(Arc::clone(self) as Arc<dyn Ballot<V>>, NodeId::new(node).expect("below nine"))
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no test panics in here"))
    }
}

fn job() -> (Resource, Token, Ttl) {
    let resource = Resource::new(Bytes::from_static(b"job"), 64).expect("a name");
    let token = Token::new(Bytes::from_static(b"T1")).expect("a token");
    (resource, token, Ttl::from_millis(30_000).expect("in range"))
}

/// An attempt that has three answers; its votes are told as those of `node`.
fn fenced(votes: &Arc<Votes>, node: usize) -> Queued {
    let (resource, token, ttl) = job();
    let (number, retention, ticket) = (FenceNumber::SMALLEST, Duration::from_secs(1), votes.ticket::<RaiseVote>(node));
    let raise = Some(Box::new(Raise { number, retention, look: true, ticket }));
    let ticket = votes.ticket::<AcquireVote>(node);
    queued(Operation::Acquire { resource, token, ttl, raise, asks_ttl: false, ticket })
}

/// An extension, which has one answer.
fn extension(votes: &Arc<Votes>, node: usize) -> Queued {
    let (resource, token, ttl) = job();
    queued(Operation::Extend { resource, token, ttl, ticket: votes.ticket::<ExtendVote>(node) })
}

fn queued(operation: Operation) -> Queued {
    Queued { operation, deadline: Some(Instant::now() + NODE_TIMEOUT), timeout: NODE_TIMEOUT }
}

fn bulk() -> Answer {
    Answer::Bulk(Bytes::from_static(b"T1"))
}

/// Hands the pipeline an answer that does not end its batch.
fn partly(pipeline: &mut Pipeline, answer: Answer) {
    assert!(matches!(pipeline.answered(answer), Ok(false)));
}

/// Hands the pipeline the answer that ends its batch, and has the batch settled.
fn wholly(pipeline: &mut Pipeline, answer: Answer, wrong: Option<&Trouble>) -> Vec<Event> {
    assert!(matches!(pipeline.answered(answer), Ok(true)));
    std::iter::from_fn(|| pipeline.settle(wrong, Instant::now())).collect()
}

#[tokio::test(start_paused = true)]
async fn answers_count_when_all_of_their_batch_have_come() {
    let (votes, now) = (Arc::new(Votes::default()), Instant::now());
    let mut pipeline = Pipeline::new(DIALECT);
    pipeline.push_probe(now);
    pipeline.push(fenced(&votes, 0));
    pipeline.push(extension(&votes, 1));
    pipeline.push_clock(Moment::from_micros(7));
    pipeline.push_marker();
    pipeline.end_batch();
    pipeline.push(fenced(&votes, 2));
    pipeline.end_batch();
    for answer in [Answer::Null, Answer::Null, Answer::Null, bulk(), Answer::Integer(1), Answer::Integer(9)] {
        partly(&mut pipeline, answer);
        assert_eq!((votes.taken(), pipeline.len()), (vec![], 3));
    }
    assert!(matches!(pipeline.answered(Answer::Null), Ok(true)));
    let tail = pipeline.tail().expect("it was asked for");
    assert!(
        matches!(tail, TailAnswers { clock: Answer::Integer(9), asked, marker: Answer::Null } if asked == Moment::from_micros(7))
    );
    let events: Vec<Event> = std::iter::from_fn(|| pipeline.settle(None, now)).collect();
    assert!(matches!(
        events.as_slice(),
        [
            Event::Probed(Answer::Null, _),
            Event::Answered { release: false },
            Event::Answered { release: false },
            Event::Clock(..),
            Event::Noted
        ]
    ));
    assert_eq!(votes.taken(), ["0 Raised(None, true)", "0 Granted", "1 Extended"]);
    partly(&mut pipeline, bulk());
    partly(&mut pipeline, Answer::Null);
    assert!(pipeline.tail().is_none());
    assert_eq!(wholly(&mut pipeline, Answer::Null, None).len(), 1);
    assert_eq!(votes.taken()[0], "2 Raised(None, false)");
    assert!(pipeline.is_empty());
    assert!(pipeline.answered(Answer::Null).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_batch_with_which_something_is_wrong_has_no_votes() {
    let votes = Arc::new(Votes::default());
    let mut pipeline = Pipeline::new(DIALECT);
    let quarantined = |left| Trouble::Quarantined(Amnesia::Flushed, left);
    // One that has just ended may have ended before the operations were run.
    for wrong in [quarantined(Duration::from_secs(1)), quarantined(Duration::ZERO), Trouble::ConnectionLost] {
        pipeline.push(fenced(&votes, 0));
        pipeline.push(extension(&votes, 1));
        pipeline.push(extension(&votes, 2));
        pipeline.end_batch();
        for answer in [Answer::Null, Answer::Null, bulk(), Answer::Integer(1)] {
            partly(&mut pipeline, answer);
        }
        assert_eq!(wholly(&mut pipeline, Answer::Integer(0), Some(&wrong)).len(), 3);
        let absent = if wrong == quarantined(Duration::from_secs(1)) { "2 Forgot" } else { "2 Unknown" };
        assert_eq!(votes.taken(), ["0 Silent", "0 Silent", "1 Unknown", absent], "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_was_answered_in_part_is_silent_and_keeps_its_place() {
    let votes = Arc::new(Votes::default());
    let mut pipeline = Pipeline::new(DIALECT);
    pipeline.push(fenced(&votes, 0));
    pipeline.end_batch();
    partly(&mut pipeline, Answer::Null);
    tokio::time::advance(NODE_TIMEOUT).await;
    assert_eq!(pipeline.sweep(Instant::now()), 1);
    assert_eq!(votes.taken(), ["0 Silent", "0 Silent"]);
    pipeline.push(extension(&votes, 1));
    pipeline.end_batch();
    partly(&mut pipeline, Answer::Null);
    wholly(&mut pipeline, bulk(), None);
    assert_eq!(votes.taken(), Vec::<String>::new());
    wholly(&mut pipeline, Answer::Integer(0), None);
    assert_eq!(votes.taken(), ["1 Lacking"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_in_part_is_silent_when_the_connection_is_lost() {
    let votes = Arc::new(Votes::default());
    let mut pipeline = Pipeline::new(DIALECT);
    pipeline.push(extension(&votes, 2));
    pipeline.push(fenced(&votes, 0));
    pipeline.end_batch();
    pipeline.push(extension(&votes, 1));
    partly(&mut pipeline, Answer::Integer(1));
    partly(&mut pipeline, Answer::Null);
    let silent = pipeline.lose(&Trouble::ConnectionLost);
    assert_eq!((pipeline.into_operations().count(), silent), (3, 3));
    assert_eq!(votes.taken(), ["2 Unknown", "0 Silent", "0 Silent", "1 Unknown"]);
}

#[tokio::test(start_paused = true)]
async fn votes_are_given_up_when_they_are_due_in_whatever_order_they_were_written() {
    let votes = Arc::new(Votes::default());
    let mut pipeline = Pipeline::new(DIALECT);
    let began = Instant::now();
    let extension = |node, after_ms| {
        let deadline = Some(began + Duration::from_millis(after_ms));
        Queued { deadline, ..extension(&votes, node) }
    };
    for batch in [[(0, 10), (1, 50)], [(2, 30), (3, 10)], [(4, 50), (5, 40)]] {
        for (node, after_ms) in batch {
            pipeline.push(extension(node, after_ms));
        }
        pipeline.end_batch();
    }
    pipeline.push(extension(6, 20));
    for (after_ms, given_up) in [(9, ""), (10, "03"), (25, "6"), (30, "2"), (45, "5"), (60, "14"), (70, "")] {
        let earliest = pipeline.earliest_deadline();
        let silent = pipeline.sweep(began + Duration::from_millis(after_ms));
        let nodes: String = votes.taken().iter().filter_map(|vote| vote.chars().next()).collect();
        assert_eq!(nodes, given_up, "after {after_ms} ms");
        assert_eq!(silent, given_up.len() as u64);
        // Who sleeps until the earliest deadline misses none.
        assert!(given_up.is_empty() || earliest.is_some_and(|at| at <= began + Duration::from_millis(after_ms)));
    }
    assert_eq!(pipeline.earliest_deadline(), None);
    // Their answers still have their places.
    assert_eq!(pipeline.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_marker_that_cannot_be_written_is_told() {
    let mut pipeline = Pipeline::new(DIALECT);
    for (answer, is_refused) in [(Answer::Integer(1), false), (Answer::Error(Bytes::from_static(b"OOM")), true)] {
        pipeline.push_marking();
        pipeline.end_batch();
        let events = wholly(&mut pipeline, answer, None);
        assert_eq!(matches!(events.as_slice(), [Event::NotMarked(_)]), is_refused);
    }
}
