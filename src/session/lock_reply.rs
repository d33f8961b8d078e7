//! One lock command of a session: its run over the primaries, and what becomes of its verdict.

use std::borrow::Cow;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::Either;

use super::Service;
use super::reply_queue::{ReplyId, Settled, Timed};
use super::tenancy::Seats;
use crate::command::{LockCommand, Options, Resources, Rextend, Rinspect, Rlock, Rmextend, Rmlock, Rmunlock, Runlock};
use crate::coordinator::{
    AcquireRequest, AcquireSeveral, Acquired, Caller, Coordinator, Extended, ExtendedSeveral, Extension, Grant,
    NoQuorum, Released, ReleasedSeveral, Tenant,
};
use crate::lock::{Moment, Resource, Validity};
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
    Granted {
        grant: Grant,
        read_at: Option<Moment>,
    },
    Extended(Extension),
    /// One for each key, with one token and one beginning.
    GrantedSeveral(Vec<Grant>),
    ExtendedSeveral(Vec<Extension>),
}

impl Timed for LockReply {
    fn reply(&self, now: Moment) -> Option<Reply> {
        match self {
            Self::Granted { grant, .. } => {
                grant.validity(now).map(|validity| Rlock::granted(grant.token(), validity, grant.fence()))
            }
            Self::Extended(extension) if extension.is_lost() => Some(Rextend::lost()),
            Self::Extended(extension) => extension.validity(now).map(Rextend::extended),
            Self::GrantedSeveral(grants) => {
                let validity = smallest(grants.iter().map(|grant| grant.validity(now)))?;
                grants.first().map(|grant| Rlock::granted(grant.token(), validity, None))
            }
            Self::ExtendedSeveral(extensions) if extensions.iter().any(Extension::is_lost) => Some(Rextend::lost()),
            Self::ExtendedSeveral(extensions) => {
                smallest(extensions.iter().map(|extension| extension.validity(now))).map(Rextend::extended)
            }
        }
    }

    fn too_late(self) -> Reply {
        not_settled(match self {
            Self::Granted { grant, .. } => grant.too_late(),
            Self::Extended(extension) => extension.too_late(),
            // What is told of the first holds for all: the others are withdrawn as they are dropped.
            Self::GrantedSeveral(grants) => match grants.into_iter().next() {
                Some(grant) => grant.too_late(),
                None => return Rlock::refused(),
            },
            Self::ExtendedSeveral(extensions) => match extensions.into_iter().next() {
                Some(extension) => extension.too_late(),
                None => return Rextend::lost(),
            },
        })
    }
}

impl LockReply {
    /// The locks that it tells of as taken.
    pub(super) fn into_grants(self) -> impl Iterator<Item = Grant> {
        let (one, several) = match self {
            Self::Granted { grant, .. } => (Some(grant), Vec::new()),
            Self::GrantedSeveral(grants) => (None, grants),
            Self::Extended(_) | Self::ExtendedSeveral(_) => (None, Vec::new()),
        };
        one.into_iter().chain(several)
    }
}

impl Launch {
    /// Runs a command that waits to its end, in a future as small as may be.
    pub(super) fn stand_in_line(
        self,
        service: &Arc<Service>,
        caller: &Arc<Caller>,
        tenant: Option<Arc<Tenant>>,
    ) -> Standing {
        let Self { reply, command, read_at } = self;
        let LockCommand::Rlock(Rlock { resource, ttl, options }) = command else {
            let launch = Self { reply, command, read_at };
            return Box::pin(launch.execute(service, caller, tenant));
        };
        let Options { owner, wait, fence, session } = options;
        let resources = Resources::One(resource.clone());
        let Some(seats) = Seats::reserve(&service.coordinator, tenant.as_ref(), session, 1) else {
            return Box::pin(ready(Finished { reply, resources, waited: true, settled: Settled::Reply(full()) }));
        };
        let request = AcquireRequest { resource, ttl, owner, fence, wait };
        // A block of its own would hold it twice: as it came, and as it is awaited.
        let ended = Arc::clone(&service.coordinator).acquire_in_line(request, Arc::clone(caller));
        Box::pin(ended.map(move |ended| {
            let settled = acquired(ended, |grant| LockReply::Granted { grant: seats.seat(grant), read_at });
            Finished { reply, resources, waited: true, settled }
        }))
    }

    /// Runs the command to its end. Once polled it must not be dropped before: the client may be gone, the lock is not.
    /// What is asked for most is kept small, and the rest in memory of its own.
    pub(super) fn execute(
        self,
        service: &Arc<Service>,
        caller: &Arc<Caller>,
        tenant: Option<Arc<Tenant>>,
    ) -> impl Future<Output = Finished> + Send + use<> {
        let Self { reply, command, read_at } = self;
        let (resources, waited) = (command.resources(), command.waits());
        let coordinator = Arc::clone(&service.coordinator);
        let settled = match command {
            LockCommand::Rlock(command) if command.options.session.is_none() => {
                Either::Left(Either::Left(acquire_unbound(command, read_at, coordinator, Arc::clone(caller))))
            }
            LockCommand::Runlock(command) => Either::Left(Either::Right(release(command, coordinator))),
            command => Either::Right(Box::pin(run(command, read_at, Arc::clone(service), Arc::clone(caller), tenant))),
        };
        settled.map(move |settled| Finished { reply, resources, waited, settled })
    }
}

/// Takes a lock that is not bound to its connection.
fn acquire_unbound(
    Rlock { resource, ttl, options }: Rlock,
    read_at: Option<Moment>,
    coordinator: Arc<Coordinator>,
    caller: Arc<Caller>,
) -> impl Future<Output = Settled<LockReply>> + Send {
    let Options { owner, wait, fence, session: _ } = options;
    // In memory of its own: a withdrawal may go on for a minute, and must not keep the read buffer.
    let request = AcquireRequest { resource: resource.detached(), ttl, owner, fence, wait };
    let granted = move |grant| LockReply::Granted { grant, read_at };
    coordinator.acquire(request, caller).map(move |ended| acquired(ended, granted))
}

async fn acquire(
    Rlock { resource, ttl, options }: Rlock,
    read_at: Option<Moment>,
    coordinator: Arc<Coordinator>,
    caller: Arc<Caller>,
    tenant: Option<Arc<Tenant>>,
) -> Settled<LockReply> {
    let Options { owner, wait, fence, session } = options;
    // Not before: a release in front of it may be what makes room.
    let Some(seats) = Seats::reserve(&coordinator, tenant.as_ref(), session, 1) else {
        return Settled::Reply(full());
    };
    let request = AcquireRequest { resource: resource.detached(), ttl, owner, fence, wait };
    let ended = coordinator.acquire(request, caller).await;
    acquired(ended, |grant| LockReply::Granted { grant: seats.seat(grant), read_at })
}

fn release(
    Runlock { resource, token }: Runlock,
    coordinator: Arc<Coordinator>,
) -> impl Future<Output = Settled<LockReply>> + Send {
    coordinator.release(resource.detached(), token.detached()).map(|ended| {
        Settled::Reply(match ended {
            Released::Released => Runlock::released(true),
            Released::NotHeld => Runlock::released(false),
            Released::NoQuorum(reason) => not_settled(reason),
        })
    })
}

/// Runs any of them.
async fn run(
    command: LockCommand,
    read_at: Option<Moment>,
    service: Arc<Service>,
    caller: Arc<Caller>,
    tenant: Option<Arc<Tenant>>,
) -> Settled<LockReply> {
    let coordinator = Arc::clone(&service.coordinator);
    match command {
        LockCommand::Rlock(command) => acquire(command, read_at, coordinator, caller, tenant).await,
        LockCommand::Runlock(command) => release(command, coordinator).await,
        LockCommand::Rextend(Rextend { resource, token, ttl }) => {
            match coordinator.extend(resource, token, ttl).await {
                Extended::Extended(extension) => Settled::Timed(LockReply::Extended(extension)),
                Extended::Lost => Settled::Reply(Rextend::lost()),
                Extended::NoQuorum(reason) => Settled::Reply(not_settled(reason)),
            }
        }
        LockCommand::Rmlock(command) => acquire_several(command, coordinator, caller, tenant).await,
        LockCommand::Rmunlock(Rmunlock { resources, token }) => {
            let resources = resources.iter().map(Resource::detached).collect();
            Settled::Reply(match coordinator.release_several(resources, token.detached()).await {
                ReleasedSeveral::Released(count) => Rmunlock::released(count),
                ReleasedSeveral::NoQuorum(reason) => not_settled(reason),
            })
        }
        LockCommand::Rmextend(Rmextend { resources, token, ttl }) => {
            match coordinator.extend_several(resources, token, ttl).await {
                ExtendedSeveral::Extended(extensions) => Settled::Timed(LockReply::ExtendedSeveral(extensions)),
                ExtendedSeveral::Lost => Settled::Reply(Rextend::lost()),
                ExtendedSeveral::NoQuorum(reason) => Settled::Reply(not_settled(reason)),
            }
        }
        LockCommand::Rinspect(Rinspect { resource }) => {
            let waiters = coordinator.waiters(&resource);
            let found = Arc::clone(&coordinator).inspect(resource).await;
            let primaries = found.addresses.iter().map(|(node, address)| (*node, address.as_str()));
            let session = found.client.and_then(|client| service.clients.find(client)).map(|client| client.named());
            Settled::Reply(Rinspect::found(&found.inspect, primaries, session, waiters))
        }
        // It is answered from what is known, and never comes here.
        LockCommand::Rprimaries => Settled::Reply(Reply::NullArray),
    }
}

async fn acquire_several(
    Rmlock { resources, ttl, options }: Rmlock,
    coordinator: Arc<Coordinator>,
    caller: Arc<Caller>,
    tenant: Option<Arc<Tenant>>,
) -> Settled<LockReply> {
    let Options { owner, wait, session, .. } = options;
    let Some(seats) = Seats::reserve(&coordinator, tenant.as_ref(), session, resources.len()) else {
        return Settled::Reply(full());
    };
    let resources = resources.iter().map(Resource::detached).collect();
    let ended = coordinator.acquire_several(AcquireSeveral { resources, ttl, owner, wait }, caller).await;
    acquired(ended, |mut grants| {
        seats.take(&mut grants);
        LockReply::GrantedSeveral(grants)
    })
}

/// What the client of an RLOCK or RMLOCK is told.
fn acquired<G>(acquired: Acquired<G>, granted: impl FnOnce(G) -> LockReply) -> Settled<LockReply> {
    match acquired {
        Acquired::Granted(grant) => Settled::Timed(granted(grant)),
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

/// The smallest of these; `None` when one of them is.
fn smallest(mut validities: impl Iterator<Item = Option<Validity>>) -> Option<Validity> {
    let first = validities.next()??;
    validities.try_fold(first, |smallest, validity| validity.map(|validity| smallest.min(validity)))
}

fn full() -> Reply {
    Reply::Error("ERR max number of session locks reached".into())
}

fn not_settled(reason: NoQuorum) -> Reply {
    Reply::Error(Cow::Owned(reason.into_text()))
}
