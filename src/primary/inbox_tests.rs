//! What a full, an open and a shut inbox do with an operation.

use bytes::Bytes;

use super::*;
use crate::coordinator::{Ballot, Ticket, Vote};
use crate::lock::{AcquireVote, Moment, NodeId, Ttl};

/// A round that remembers the reasons it was given.
#[derive(Default)]
struct Recorder(Mutex<Vec<Option<Trouble>>>);

impl<V: Vote + Send> Ballot<V> for Recorder {
    fn depart(&self, _node: NodeId) -> bool {
        true
    }

    fn cast(&self, _node: NodeId, _vote: V, trouble: Option<Trouble>) {
        self.0.lock().expect("no test panics in here").push(trouble);
    }
}

impl Recorder {
    fn ticket<V: Vote + Send + 'static>(self: &Arc<Self>) -> Ticket<V> {
        Ticket::new(Arc::clone(self) as Arc<dyn Ballot<V>>, NodeId::new(0).expect("the first"))
    }

    fn reasons(&self) -> Vec<Option<Trouble>> {
        self.0.lock().expect("no test panics in here").clone()
    }
}

const TIMEOUT: Duration = Duration::from_secs(60);

fn inbox(capacity: usize) -> Inbox {
    Inbox::new(capacity, Arc::new(Status::new(Moment::from_micros(0))), Clock::runtime(), Arc::default())
}

fn resource() -> Resource {
    Resource::new(Bytes::from_static(b"job"), 4_096).expect("a name")
}

fn token() -> Token {
    Token::new(Bytes::from_static(b"T1")).expect("a token")
}

fn acquire(round: &Arc<Recorder>) -> Operation {
    let ttl = Ttl::from_millis(30_000).expect("in range");
    Operation::Acquire {
        resource: resource(),
        token: token(),
        ttl,
        raise: None,
        asks_ttl: false,
        ticket: round.ticket::<AcquireVote>(),
    }
}

fn release(inbox: &Inbox, round: Option<&Arc<Recorder>>) -> Operation {
    let until = inbox.clock.now().after(TIMEOUT);
    Operation::Release {
        resource: resource(),
        token: token(),
        until,
        notice: None,
        ticket: round.map(Recorder::ticket),
    }
}

/// An inbox whose link has been open for a while.
fn opened(capacity: usize) -> Inbox {
    let inbox = inbox(capacity);
    inbox.open();
    assert!(written(&inbox).is_empty());
    inbox
}

/// What the link would write, in order.
fn written(inbox: &Inbox) -> Vec<&'static str> {
    let former = std::iter::from_fn(|| Some(inbox.take_former()).filter(|former| !former.is_empty()));
    let mut queue: VecDeque<Queued> =
        former.flatten().map(|withdrawal| Queued::owed(withdrawal.into_operation())).collect();
    inbox.take(&mut queue);
    let name = |queued: &Queued| match queued.operation {
        Operation::Release { .. } => "release",
        _ => "acquire",
    };
    queue.iter().map(name).collect()
}

#[tokio::test]
async fn a_release_that_finds_no_room_goes_behind_the_acquire_it_undoes() {
    let (inbox, round) = (opened(1), Arc::new(Recorder::default()));
    inbox.submit(acquire(&round), TIMEOUT);
    inbox.submit(release(&inbox, Some(&round)), TIMEOUT);
    assert_eq!(round.reasons(), [Some(Trouble::Overloaded)], "its vote is not waited for");
    assert_eq!(written(&inbox), ["acquire"]);
    inbox.set_unanswered(0);
    assert_eq!(written(&inbox), ["release"]);
}

#[tokio::test]
async fn what_former_connections_owe_goes_before_new_work() {
    let (inbox, round) = (inbox(8), Arc::new(Recorder::default()));
    inbox.submit(release(&inbox, None), TIMEOUT);
    inbox.open();
    inbox.submit(acquire(&round), TIMEOUT);
    assert_eq!(written(&inbox), ["release", "acquire"]);
}

#[tokio::test]
async fn much_that_is_owed_is_taken_a_part_at_a_time_and_is_never_out_of_sight() {
    let count = 2 * OWED_AT_ONCE + 1;
    let inbox = inbox(4 * OWED_AT_ONCE);
    (0..count).for_each(|_| inbox.submit(release(&inbox, None), TIMEOUT));
    inbox.open();
    let parts: Vec<usize> = std::iter::from_fn(|| Some(inbox.take_former().len()).filter(|part| *part > 0)).collect();
    assert_eq!(parts, [OWED_AT_ONCE, OWED_AT_ONCE, 1]);
    assert_eq!(inbox.len(), count);
    assert!(!inbox.is_drained(), "nothing of it has been answered");
    // What comes to be owed while the connection lives.
    (0..count).for_each(|_| inbox.still_owed(&release(&inbox, None)));
    assert_eq!(written(&inbox).len(), OWED_AT_ONCE);
    assert_eq!(inbox.len(), count + OWED_AT_ONCE);
    assert!(inbox.may_take_owed(), "there is room for more");
    inbox.set_unanswered(4 * OWED_AT_ONCE);
    assert!(!inbox.may_take_owed(), "there is none");
}

#[tokio::test(start_paused = true)]
async fn what_has_nothing_left_to_delete_is_owed_no_longer() {
    let inbox = inbox(4 * OWED_AT_ONCE);
    let count = 2 * OWED_AT_ONCE;
    (0..count).for_each(|_| inbox.submit(release(&inbox, None), TIMEOUT));
    tokio::time::advance(TIMEOUT / 2).await;
    inbox.submit(release(&inbox, None), TIMEOUT);
    tokio::time::advance(TIMEOUT / 2).await;
    inbox.open();
    assert_eq!(inbox.take_former().len(), 1);
    assert!(inbox.take_former().is_empty());
    assert_eq!((inbox.counters.withdrawals_pending.value(), inbox.len()), (1, 1));
    // The same of what has come to be owed since: the one that lives is not held up by those that do not.
    let expired: Vec<Operation> = (0..count).map(|_| release(&inbox, None)).collect();
    tokio::time::advance(TIMEOUT).await;
    expired.iter().chain([&release(&inbox, None)]).for_each(|operation| inbox.still_owed(operation));
    assert!(inbox.may_take_owed());
    assert_eq!(written(&inbox), ["release"]);
    assert!(!inbox.may_take_owed());
}

#[tokio::test]
async fn a_full_inbox_refuses_what_is_new_and_forgets_the_oldest_of_what_is_owed() {
    let (inbox, round) = (opened(2), Arc::new(Recorder::default()));
    for _ in 0..3 {
        inbox.submit(acquire(&round), TIMEOUT);
    }
    assert_eq!(round.reasons(), [Some(Trouble::Overloaded)]);
    for _ in 0..10 {
        inbox.submit(release(&inbox, None), TIMEOUT);
    }
    assert_eq!(written(&inbox), ["acquire", "acquire"]);
    assert!(written(&inbox).is_empty(), "what is written and unanswered leaves no room for what is owed");
    inbox.set_unanswered(0);
    assert_eq!(written(&inbox), ["release", "release"]);
    assert_eq!(inbox.counters.withdrawals_pending.value(), 2, "what was forgotten is owed no longer");
}

#[tokio::test]
async fn what_is_unanswered_takes_room_too() {
    let (inbox, round) = (inbox(2), Arc::new(Recorder::default()));
    inbox.open();
    inbox.set_unanswered(2);
    inbox.submit(acquire(&round), TIMEOUT);
    assert_eq!(round.reasons(), [Some(Trouble::Overloaded)]);
    inbox.set_unanswered(1);
    inbox.submit(acquire(&round), TIMEOUT);
    assert_eq!(written(&inbox), ["acquire"]);
}

#[tokio::test]
async fn a_shut_inbox_owes_releases_and_nothing_else() {
    let (inbox, round) = (inbox(8), Arc::new(Recorder::default()));
    inbox.submit(acquire(&round), TIMEOUT);
    inbox.submit(release(&inbox, Some(&round)), TIMEOUT);
    assert_eq!(round.reasons(), [Some(Trouble::NotConnected), Some(Trouble::NotConnected)]);
    inbox.open();
    inbox.submit(acquire(&round), TIMEOUT);
    inbox.submit(release(&inbox, Some(&round)), TIMEOUT);
    inbox.shut(&Trouble::ConnectionLost);
    assert_eq!(round.reasons()[2..], [Some(Trouble::ConnectionLost), Some(Trouble::ConnectionLost)]);
    assert_eq!(written(&inbox), ["release", "release"]);
}
