//! One lock command of a session: its run over the primaries, and what becomes of its verdict.

use std::borrow::Cow;
use std::sync::Arc;

use super::reply_queue::{ReplyId, Settled, Timed};
use crate::command::{LockCommand, Resources, Rextend, Rlock, Runlock};
use crate::coordinator::{
    AcquireRequest, Acquired, Caller, Coordinator, Extended, Extension, Grant, NoQuorum, Released, Tenant,
};
use crate::lock::{Moment, Resource, Token};
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
            Self::Extended(extension) if extension.is_lost() => Some(Rextend::lost()),
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
    /// Runs the command to its end. Once polled it must not be dropped before: the client may be gone, the lock is not.
    pub(super) async fn execute(
        self,
        coordinator: Arc<Coordinator>,
        caller: Arc<Caller>,
        tenant: Option<Arc<Tenant>>,
    ) -> Finished {
        let (resources, waited) = (self.command.resources(), self.command.waits());
        // What this connection has lost it never holds again, whatever the primaries may still have of it.
        let is_lost =
            |resource: &Resource, token: &Token| tenant.as_ref().is_some_and(|tenant| tenant.has_lost(resource, token));
        let settled = match self.command {
            LockCommand::Rlock(command) => acquire(command, self.read_at, coordinator, caller, tenant.as_ref()).await,
            LockCommand::Runlock(Runlock { resource, token }) if is_lost(&resource, &token) => {
                Settled::Reply(Runlock::released(false))
            }
            LockCommand::Runlock(Runlock { resource, token }) => {
                match coordinator.release(resource.detached(), token.detached()).await {
                    Released::Released => Settled::Reply(Runlock::released(true)),
                    Released::NotHeld => Settled::Reply(Runlock::released(false)),
                    Released::NoQuorum(reason) => Settled::Reply(not_settled(reason)),
                }
            }
            LockCommand::Rextend(Rextend { resource, token, .. }) if is_lost(&resource, &token) => {
                Settled::Reply(Rextend::lost())
            }
            LockCommand::Rextend(Rextend { resource, token, ttl }) => {
                match coordinator.extend(resource.clone(), token.clone(), ttl).await {
                    Extended::Extended(extension) => Settled::Timed(LockReply::Extended(extension)),
                    Extended::NoQuorum(reason) if !is_lost(&resource, &token) => Settled::Reply(not_settled(reason)),
                    Extended::Lost | Extended::NoQuorum(_) => Settled::Reply(Rextend::lost()),
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

async fn acquire(
    Rlock { resource, ttl, options }: Rlock,
    read_at: Option<Moment>,
    coordinator: Arc<Coordinator>,
    caller: Arc<Caller>,
    tenant: Option<&Arc<Tenant>>,
) -> Settled<LockReply> {
    let seat = match options.session.zip(tenant).map(|(binding, tenant)| (coordinator.reserve(tenant), binding.notify))
    {
        None => None,
        Some((Some(seat), notify)) => Some((seat, notify)),
        Some((None, _)) => return Settled::Reply(Reply::Error("ERR max number of session locks reached".into())),
    };
    // In memory of its own: a withdrawal may go on for a minute, and must not keep the read buffer.
    let request = AcquireRequest { resource: resource.detached(), ttl, owner: options.owner };
    match coordinator.acquire(request, caller).await {
        Acquired::Granted(mut grant) => {
            if let Some((seat, notify)) = seat {
                grant.bind(seat, notify);
            }
            Settled::Timed(LockReply::Granted { grant, read_at })
        }
        Acquired::Refused => Settled::Reply(Rlock::refused()),
        Acquired::NoQuorum(reason) => Settled::Reply(not_settled(reason)),
    }
}

fn not_settled(reason: NoQuorum) -> Reply {
    Reply::Error(Cow::Owned(reason.into_text()))
}
