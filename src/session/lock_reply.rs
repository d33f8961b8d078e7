//! One lock command of a session: its run over the primaries, and what becomes of its verdict.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;

use super::reply_queue::{ReplyId, Settled, Timed};
use crate::command::{LockCommand, Resources, Rextend, Rlock, Runlock};
use crate::coordinator::{
    AcquireRequest, Acquired, Caller, Coordinator, Extended, Extension, Grant, NoQuorum, Released,
};
use crate::lock::Moment;
use crate::protocol::Reply;

/// A lock command that was read and has not begun.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) reply: ReplyId,
    pub(super) command: LockCommand,
    /// When its request was read; `None` when it had to wait for one on the same key, since that is no measure of the
    /// proxy's speed.
    pub(super) read_at: Option<Moment>,
}

/// A lock command that waits, until it has ended.
pub(super) type Standing = Pin<Box<dyn Future<Output = Finished> + Send>>;

/// A lock command that has ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) reply: ReplyId,
    /// What it was about.
    pub(super) resources: Resources,
    /// Whether it may have stood in line.
    pub(super) waited: bool,
    pub(super) settled: Settled<LockReply>,
}

/// A verdict whose reply tells a validity.
#[derive(Debug)]
pub(super) enum LockReply {
    Granted { grant: Grant, read_at: Option<Moment> },
    Extended(Extension),
}

impl Timed for LockReply {
    fn reply(&self, now: Moment) -> Option<Reply> {
        match self {
            Self::Granted { grant, .. } => {
                grant.validity(now).map(|validity| Rlock::granted(grant.token(), validity, None))
            }
            Self::Extended(extension) => extension.validity(now).map(Rextend::extended),
        }
    }

    fn too_late(self) -> Reply {
        not_settled(match self {
            Self::Granted { grant, .. } => grant.too_late(),
            Self::Extended(extension) => extension.too_late(),
        })
    }
}

impl Launch {
    /// Runs a command that waits to its end, in a future as small as may be.
    pub(super) fn stand_in_line(self, coordinator: &Arc<Coordinator>, caller: &Arc<Caller>) -> Standing {
        let (coordinator, caller) = (Arc::clone(coordinator), Arc::clone(caller));
        let Self { reply, command, read_at } = self;
        let LockCommand::Rlock(Rlock { resource, ttl, options }) = command else {
            return Box::pin(Self { reply, command, read_at }.execute(coordinator, caller));
        };
        let request = AcquireRequest { resource: resource.clone(), ttl, owner: options.owner, wait: options.wait };
        // A block of its own would hold it twice: as it came, and as it is awaited.
        Box::pin(coordinator.acquire_in_line(request, caller).map(move |ended| {
            let settled = acquired(ended, read_at);
            Finished { reply, resources: Resources::One(resource), waited: true, settled }
        }))
    }

    /// Runs the command to its end. Once polled it must not be dropped before: the client may be gone, the lock is not.
    pub(super) async fn execute(self, coordinator: Arc<Coordinator>, caller: Arc<Caller>) -> Finished {
        let (resources, waited) = (self.command.resources(), self.command.waits());
        let settled = match self.command {
            LockCommand::Rlock(Rlock { resource, ttl, options }) => {
                // In memory of its own: a withdrawal may go on for a minute, and must not keep the read buffer.
                let (owner, wait) = (options.owner, options.wait);
                let request = AcquireRequest { resource: resource.detached(), ttl, owner, wait };
                acquired(coordinator.acquire(request, caller).await, self.read_at)
            }
            LockCommand::Runlock(Runlock { resource, token }) => {
                match coordinator.release(resource.detached(), token.detached()).await {
                    Released::Released => Settled::Reply(Runlock::released(true)),
                    Released::NotHeld => Settled::Reply(Runlock::released(false)),
                    Released::NoQuorum(reason) => Settled::Reply(not_settled(reason)),
                }
            }
            LockCommand::Rextend(Rextend { resource, token, ttl }) => {
                match coordinator.extend(resource, token, ttl).await {
                    Extended::Extended(extension) => Settled::Timed(LockReply::Extended(extension)),
                    Extended::Lost => Settled::Reply(Rextend::lost()),
                    Extended::NoQuorum(reason) => Settled::Reply(not_settled(reason)),
                }
            }
            LockCommand::Rmlock(_)
            | LockCommand::Rmunlock(_)
            | LockCommand::Rmextend(_)
            | LockCommand::Rinspect(_)
            | LockCommand::Rprimaries => Settled::Reply(Reply::Error("ERR comes with the next commits".into())),
        };
        Finished { reply: self.reply, resources, waited, settled }
    }
}

/// What the client of an RLOCK is told.
fn acquired(acquired: Acquired, read_at: Option<Moment>) -> Settled<LockReply> {
    match acquired {
        Acquired::Granted(grant) => Settled::Timed(LockReply::Granted { grant, read_at }),
        Acquired::Refused => Settled::Reply(Rlock::refused()),
        Acquired::NoQuorum(reason) => Settled::Reply(not_settled(reason)),
        Acquired::TooManyWaiters => Settled::Reply(Reply::Error("ERR max number of waiters reached".into())),
        Acquired::ShuttingDown => Settled::Reply(shutting_down()),
    }
}

/// What is said to whoever wants a lock while the proxy is about to end.
pub(super) fn shutting_down() -> Reply {
    Reply::Error("ERR the proxy is shutting down".into())
}

fn not_settled(reason: NoQuorum) -> Reply {
    Reply::Error(Cow::Owned(reason.into_text()))
}
