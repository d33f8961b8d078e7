//! Answers find what they answer: one by one, in order, however many there are to each.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::*;
use crate::coordinator::{Ballot, Raise, Ticket, Vote};
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

#[tokio::test(start_paused = true)]
async fn an_operation_is_answered_with_the_last_of_its_answers() {
    let (votes, now) = (Arc::new(Votes::default()), Instant::now());
    let mut pipeline = Pipeline::new(DIALECT);
    pipeline.push(fenced(&votes, 0));
    pipeline.push(extension(&votes, 1));
    pipeline.push_probe(now, Moment::from_micros(7));
    pipeline.push(fenced(&votes, 2));
    for _ in 0..2 {
        assert!(matches!(pipeline.answered(Answer::Null, now), Event::Partly));
        assert_eq!((votes.taken(), pipeline.len()), (vec![], 5));
    }
    assert!(matches!(pipeline.answered(bulk(), now), Event::Answered { release: false }));
    assert_eq!(votes.taken(), ["0 Raised(None, true)", "0 Granted"]);
    assert!(matches!(pipeline.answered(Answer::Integer(1), now), Event::Answered { release: false }));
    assert_eq!(votes.taken(), ["1 Extended"]);
    assert!(matches!(pipeline.answered(Answer::Null, now), Event::Probed(..)));
    assert!(matches!(pipeline.answered(Answer::Null, now), Event::Clock(_, asked) if asked == Moment::from_micros(7)));
    assert!(matches!(pipeline.answered(bulk(), now), Event::Partly));
    assert!(matches!(pipeline.answered(Answer::Null, now), Event::Partly));
    assert!(matches!(pipeline.answered(Answer::Null, now), Event::Answered { .. }));
    assert_eq!(votes.taken()[0], "2 Raised(None, false)");
    assert!(pipeline.is_empty());
    assert!(matches!(pipeline.answered(Answer::Null, now), Event::Unasked));
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_was_answered_in_part_is_silent_and_keeps_its_place() {
    let votes = Arc::new(Votes::default());
    let mut pipeline = Pipeline::new(DIALECT);
    pipeline.push(fenced(&votes, 0));
    assert!(matches!(pipeline.answered(Answer::Null, Instant::now()), Event::Partly));
    tokio::time::advance(NODE_TIMEOUT).await;
    assert_eq!(pipeline.sweep(Instant::now()), 1);
    assert_eq!(votes.taken(), ["0 Silent", "0 Silent"]);
    pipeline.push(extension(&votes, 1));
    assert!(matches!(pipeline.answered(Answer::Null, Instant::now()), Event::Partly));
    assert!(matches!(pipeline.answered(bulk(), Instant::now()), Event::Answered { .. }));
    assert_eq!(votes.taken(), Vec::<String>::new());
    assert!(matches!(pipeline.answered(Answer::Integer(0), Instant::now()), Event::Answered { .. }));
    assert_eq!(votes.taken(), ["1 Lacking"]);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_was_answered_in_part_is_silent_when_the_connection_is_lost() {
    let votes = Arc::new(Votes::default());
    let mut pipeline = Pipeline::new(DIALECT);
    pipeline.push(fenced(&votes, 0));
    pipeline.push(extension(&votes, 1));
    assert!(matches!(pipeline.answered(Answer::Null, Instant::now()), Event::Partly));
    let (operations, silent) = pipeline.lose(&Trouble::ConnectionLost);
    assert_eq!((operations.len(), silent), (2, 2));
    assert_eq!(votes.taken(), ["0 Silent", "0 Silent", "1 Unknown"]);
}
