//! The way through: a session's connection to the upstream, and the gate between relayed and own commands.
//!
//! Requests are delimited where they lie in the read buffer; what is cleared leaves it by one write, untouched, and the
//! replies come back the same way. A command of the proxy's own closes the gate: nothing behind it is looked at, and it
//! begins when everything before it has been answered, which the upstream's replies tell, or a fence does. When it has
//! been decided the gate opens again. So the order of effects is that of the client's requests, whoever runs them.
//!
//! Both directions advance whenever they can, neither waits for the other: a server stops reading a client that does not
//! read, and so would we. What cannot go on is held back by not reading: from the client when the upstream does not
//! take its requests, from the upstream when the client does not take its replies.
//!
//! In pieces: `forward` brings requests to the gate, `own` takes through it what is ours, `receive` looks at replies,
//! `away` answers while there is no upstream, `ending` takes leave.

mod away;
mod ending;
mod forward;
mod own;
mod receive;

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::Interest;
use tokio::time::Sleep;

use super::mode::{Mode, Standing};
use crate::command::{CommandError, LockCommand};
use crate::config::Limits;
use crate::local::{Connection, Merge};
use crate::net::Socket;
use crate::protocol::{ReplyScanner, RequestDelimiter};
use crate::relay::{OpenError, Opened, Upstreams, Wishes};
use crate::router::LocalRequest;

type Opening = Pin<Box<dyn Future<Output = Result<Opened, OpenError>> + Send>>;

/// The connection to the upstream.
enum Link {
    /// Not needed so far.
    Closed,
    Opening(Opening),
    Open(Socket),
    /// It has ended, and with it all that lived in it. `in_doubt`: something that was sent over it may still be run.
    Lost {
        in_doubt: bool,
    },
}

/// A command of the proxy's own that has been read and waits for its turn.
#[derive(Debug)]
enum Pending {
    Lock(LockCommand),
    /// A lock command with wrong arguments, which is not told to whom has to authenticate first.
    Mistake(CommandError),
    /// `INFO redlock`
    Info(LocalRequest),
    /// The COMMAND family.
    Merge(Merge),
}

/// Which command of ours is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    /// A lock command, `INFO redlock` or one of the COMMAND family, where it may run.
    Command,
    /// A lock command in a transaction, in a subscription, or without replies.
    Misplaced(Standing),
    /// The EXEC of a transaction in which a lock command was refused.
    Exec,
    /// Whatever a client sends that has yet to tell the proxy's password, and the commands by which it does.
    Door,
    /// What clients say on connecting, while the upstream is away.
    Greeting,
}

/// What the upstream is asked on the proxy's own account.
#[derive(Debug)]
enum Question {
    /// Whether everything before has been run, and whether this connection may ask at all.
    Fence { nonce: [u8; NONCE_BYTES], pending: Pending },
    /// What it knows of commands.
    Merge(Merge),
    /// To discard a transaction.
    Discard,
    /// To take the configured credentials again, in so many commands.
    Credentials(usize),
}

/// Hex digits of a fence's word.
const NONCE_BYTES: usize = 40;

/// What stands between the client's requests and the upstream.
#[derive(Debug)]
enum Gate {
    /// Nothing: they are passed on.
    Open,
    /// A command of ours is being read, at the front of the input.
    Reading(Own),
    /// A command of ours waits for a connection to the upstream.
    Holding(Pending),
    /// An answer is awaited.
    Asking(Question),
    /// Whether the connection begins anew is being told.
    Resetting,
    /// The rest of a refused request is thrown away.
    Skipping,
    /// A request that is too large waits until those before it have been answered, to be refused.
    Refusing,
}

/// What is known of the connection's right to be answered.
#[derive(Debug, Default)]
struct Admission {
    /// Whether a fence has passed since the connection began or last said who it is.
    passed: bool,
    /// Whether the client has ever shown a password: what this connection may do says nothing about others.
    authenticated: bool,
    /// The request that is being passed on is a RESET.
    is_resetting: bool,
}

/// What became of the request at the front of what was not looked at before.
enum Step {
    /// Go on with what follows it.
    Onward,
    /// Something else has to happen first.
    Wait,
    /// More bytes are needed.
    Starved,
}

/// See the module's documentation.
pub(super) struct Through {
    upstreams: Arc<Upstreams>,
    link: Link,
    /// Why the connection could not be opened, for the requests that had come by then.
    down: Option<OpenError>,
    gate: Gate,
    delimiter: RequestDelimiter,
    /// How many bytes at the front of the session's input are to be sent.
    cleared: usize,
    /// A command of the proxy's own, to be sent behind these.
    question: BytesMut,
    mode: Mode,
    admission: Admission,
    scanner: ReplyScanner,
    /// What has come from the upstream and has not been written.
    arrived: BytesMut,
    /// How much of it may be written.
    whole: usize,
    /// How much of it the scanner has seen.
    scanned: usize,
    /// Whether a part of the reply that is being scanned counts as whole: it is too long to be kept.
    in_part: bool,
    /// The front of a long answer to a question.
    captured: BytesMut,
    /// Something has happened by which the gate may open.
    stirred: bool,
    /// When the upstream has to have said what is waited for.
    deadline: Option<Pin<Box<Sleep>>>,
    /// It has not.
    is_overdue: bool,
    /// Our half of the connection has been ended; set to when the upstream has to have ended its own.
    leaving: Option<Pin<Box<Sleep>>>,
}

impl Through {
    pub(super) fn new(upstreams: Arc<Upstreams>, limits: &Limits) -> Box<Self> {
        Box::new(Self {
            upstreams,
            link: Link::Closed,
            down: None,
            gate: Gate::Open,
            delimiter: RequestDelimiter::new(limits.relayed_bulk_bytes),
            cleared: 0,
            question: BytesMut::new(),
            mode: Mode::default(),
            admission: Admission::default(),
            scanner: ReplyScanner::new(limits.reply_nesting),
            arrived: BytesMut::new(),
            whole: 0,
            scanned: 0,
            in_part: false,
            captured: BytesMut::new(),
            stirred: false,
            deadline: None,
            is_overdue: false,
            leaving: None,
        })
    }

    /// New requests have come: the upstream is worth another try.
    pub(super) fn try_again(&mut self) {
        self.down = None;
    }

    /// Something has happened by which the gate may open.
    pub(super) fn stir(&mut self) {
        self.stirred = true;
    }

    /// Whether there is a reason to look at the gate again.
    pub(super) fn is_stirred(&self) -> bool {
        self.stirred
    }

    /// How much of the client's input is yet to be sent.
    pub(super) fn cleared(&self) -> usize {
        self.cleared
    }

    /// Whether the upstream owes the client a reply.
    pub(super) fn is_owed(&self) -> bool {
        self.mode.owes()
    }

    /// Whether the client waits for something that may never happen, rightly.
    pub(super) fn is_patient(&self) -> bool {
        self.is_owed() || self.mode.is_subscribed() || self.mode.standing() == Standing::Raw
    }

    /// Whether a command of ours waits at the gate: what the client sends behind it is read up to the buffer's limit.
    pub(super) fn is_gate_closed(&self) -> bool {
        matches!(self.gate, Gate::Holding(_) | Gate::Asking(_) | Gate::Resetting | Gate::Refusing)
    }

    /// Whether all that was asked has been answered: the effects of what was sent before are there, and no reply of ours
    /// can come between the parts of another.
    fn is_settled(&self) -> bool {
        self.cleared == 0 && self.question.is_empty() && !self.mode.owes() && !self.in_part
    }

    /// Whether nothing of what was sent can still be run: it has been, or never will be.
    pub(super) fn has_run_all(&self) -> bool {
        match self.link {
            Link::Closed | Link::Opening(_) => true,
            Link::Open(_) => self.is_settled() && !self.mode.is_in_doubt(),
            Link::Lost { in_doubt } => !in_doubt,
        }
    }

    /// Whether the client is in the middle of a reply, or its connection is not made of replies any more.
    pub(super) fn is_inside_reply(&self) -> bool {
        self.in_part || self.mode.standing() == Standing::Raw
    }

    /// What is waited for may never come, where the replies cannot be counted: so not for ever. What a command that
    /// blocks waits for may take as long as it likes.
    fn limit_patience(&mut self) {
        let is_owed = self.cleared == 0 && self.question.is_empty() && self.mode.owes();
        if is_owed && self.mode.has_lost_count() && !self.mode.is_blocked() && self.deadline.is_none() {
            self.deadline = Some(self.upstreams.time_to_answer());
        }
    }

    /// Begins to open the connection; the client's name and protocol are said ahead.
    fn open(&mut self, connection: &Connection) {
        let probe = matches!(self.gate, Gate::Holding(_));
        let wishes = Wishes { version: connection.version(), name: connection.client().details().name, probe };
        self.mode = Mode::new(wishes.version);
        self.link = Link::Opening(Box::pin(Arc::clone(&self.upstreams).open(wishes)));
    }

    /// What the upstream is waited for.
    fn interest(&self, buffer_bytes: usize) -> Option<Interest> {
        let wants_room = self.cleared > 0 || !self.question.is_empty();
        match (self.arrived.len() < buffer_bytes, wants_room) {
            (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            (false, false) => None,
        }
    }

    fn opened(&mut self, opened: Result<Opened, OpenError>) {
        match opened {
            Ok(Opened { socket, admitted }) => {
                self.link = Link::Open(socket);
                self.admission.passed = admitted;
            }
            Err(error) => {
                self.link = Link::Closed;
                self.down = Some(error);
            }
        }
    }
}

/// Waits until the upstream can go on. Safe to cancel.
pub(super) async fn moved(through: Option<&mut Box<Through>>, buffer_bytes: usize) {
    let Some(through) = through else { return pending().await };
    let interest = through.interest(buffer_bytes);
    match (&mut through.link, &mut through.leaving) {
        (Link::Opening(opening), _) => {
            let opened = opening.await;
            through.opened(opened);
        }
        (Link::Open(socket), leaving) => {
            tokio::select! {
                biased;
                () = super::ready(socket, interest) => {}
                () = elapsed(leaving) => {
                    through.link = Link::Lost { in_doubt: !through.has_run_all() };
                }
                () = elapsed(&mut through.deadline) => {
                    through.deadline = None;
                    (through.is_overdue, through.stirred) = (true, true);
                }
            }
        }
        (Link::Closed | Link::Lost { .. }, _) => pending().await,
    }
}

/// Waits until the time has come, where one is set.
async fn elapsed(time: &mut Option<Pin<Box<Sleep>>>) {
    match time {
        Some(time) => time.await,
        None => pending().await,
    }
}
