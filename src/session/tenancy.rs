//! The locks that are bound to this connection.
//!
//! When the client has ended its stream, or said QUIT, they are released as if that had been its last command: when all
//! that it sent before has been answered, by the upstream too. On every other end renewing stops and they end with their
//! ttl, since the client may be alive and count on them; dropping this value does that, so that no way out can forget it.
//!
//! A client that took over a lock of its own and has said nothing since may never have read so, and count on a grant that
//! it had before. Whether anything was left unread its system tells by a reset. So that lock is released a moment later,
//! and after a reset not where a record of its owner was signed.

use std::sync::Arc;

use bytes::BytesMut;

use super::{Session, Stage};
use crate::command::{Binding, Rlock};
use crate::coordinator::{Coordinator, Grant, Loss, Seat, Tenant};
use crate::lock::Moment;
use crate::protocol::Version;

/// See the module's documentation.
pub(super) struct Tenancy {
    coordinator: Arc<Coordinator>,
    /// Made when the first lock is to be bound.
    tenant: Option<Arc<Tenant>>,
    /// The client has ended the connection in order.
    is_closed: bool,
}

impl Tenancy {
    pub(super) fn new(coordinator: Arc<Coordinator>) -> Self {
        Self { coordinator, tenant: None, is_closed: false }
    }

    /// All of it, for whoever sees the connection off.
    pub(super) fn take(&mut self) -> Self {
        let nothing = Self::new(Arc::clone(&self.coordinator));
        std::mem::replace(self, nothing)
    }

    /// The client with this number wants to bind a lock.
    pub(super) fn begin(&mut self, client: u64, now: Moment) {
        self.tenant.get_or_insert_with(|| Tenant::new(client, now));
    }

    pub(super) fn tenant(&self) -> Option<Arc<Tenant>> {
        self.tenant.clone()
    }

    /// Something has come from the client.
    pub(super) fn hear(&self) {
        if let Some(tenant) = &self.tenant {
            self.coordinator.hear(tenant);
        }
    }

    pub(super) fn has_locks(&self) -> bool {
        self.tenant.as_ref().is_some_and(|tenant| tenant.has_locks())
    }

    /// Waits until a loss is to be told. Safe to cancel.
    pub(super) async fn bereaved(&self) {
        match &self.tenant {
            Some(tenant) => tenant.bereaved().await,
            None => std::future::pending().await,
        }
    }

    /// The client has got a lock. If it took it over, what it had bound under that name is given up.
    pub(super) fn hand_over(&self, grant: Grant) {
        if let Some(tenant) = self.tenant.as_ref().filter(|_| grant.took_over()) {
            self.coordinator.succeed(tenant, grant.resource(), grant.token());
        }
        grant.hand_over();
    }

    /// The client has ended the connection in order.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// The connection has ended: unless its client has ended it, the locks are left to their ttl.
    pub(super) fn lose(&self) {
        if !self.is_closed {
            self.abandon();
        }
    }

    /// The client gives up all that the connection is, and what was bound to it.
    pub(super) fn reset(&self) {
        if let Some(tenant) = &self.tenant {
            self.coordinator.release_all(tenant);
        }
    }

    /// All that a client which has ended the connection had sent has been answered: releases what it certainly knows of.
    pub(super) fn release_known(&self) {
        if let Some(tenant) = self.tenant.as_ref().filter(|_| self.is_closed) {
            self.coordinator.release_known(tenant);
        }
    }

    /// Whether there are locks of which a client that has ended the connection may not know.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.is_closed && self.has_locks()
    }

    /// Releases the rest. `is_broken`: not everything that was sent to the client has been read.
    pub(super) fn release_rest(self, is_broken: bool) {
        self.release_known();
        if let Some(tenant) = self.tenant.as_ref().filter(|_| self.is_closed) {
            if is_broken {
                self.coordinator.release_unread(tenant);
            } else {
                self.coordinator.release_all(tenant);
            }
        }
    }

    fn abandon(&self) {
        if let Some(tenant) = &self.tenant {
            self.coordinator.abandon_all(tenant);
        }
    }
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// The right to bind as many locks as a command asks for.
pub(super) struct Seats {
    seats: Vec<Seat>,
    notify: bool,
}

impl Seats {
    /// None, where none is to be bound. `None`: there are as many as there may be.
    pub(super) fn reserve(
        coordinator: &Coordinator,
        tenant: Option<&Arc<Tenant>>,
        session: Option<Binding>,
        count: usize,
    ) -> Option<Self> {
        let Some((tenant, Binding { notify })) = tenant.zip(session) else {
            return Some(Self { seats: Vec::new(), notify: false });
        };
        let seats = (0..count).map(|_| coordinator.reserve(tenant)).collect::<Option<Vec<_>>>()?;
        Some(Self { seats, notify })
    }

    /// Binds the lock that was won.
    pub(super) fn seat(self, mut grant: Grant) -> Grant {
        self.take(std::slice::from_mut(&mut grant));
        grant
    }

    /// Binds the locks that were won.
    pub(super) fn take(self, grants: &mut [Grant]) {
        for (seat, grant) in self.seats.into_iter().zip(grants) {
            grant.bind(seat, self.notify);
        }
    }
}

impl Session {
    /// Tells what was lost, where the client is between two replies.
    pub(super) fn tell_losses(&mut self) {
        let Some(tenant) = &self.tenancy.tenant else { return };
        let is_inside = self.through.as_ref().is_some_and(|through| through.is_inside_reply());
        if is_inside || matches!(self.stage, Stage::Stopped | Stage::Broken) {
            return;
        }
        let losses = tenant.take_losses();
        // Pushes are RESP3's; the client may speak something else by now.
        let version = self.replies.front_version().unwrap_or(self.connection.version());
        if losses.is_empty() || version != Version::Resp3 {
            return;
        }
        if self.replies.front_version().is_none()
            && let Some(mut through) = self.through.take()
        {
            self.take_over_replies(&mut through);
            self.through = Some(through);
        }
        let mut pushes = BytesMut::new();
        for Loss { resource, token } in losses {
            Rlock::encode_loss(&resource, &token, &mut pushes);
        }
        self.replies.interject(&pushes);
    }
}

#[cfg(test)]
#[path = "tenancy_tests.rs"]
mod tests;
