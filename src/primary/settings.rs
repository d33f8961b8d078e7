//! What one link goes by.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::incarnation::Incarnations;
use super::vouching::Vouching;
use crate::config::{Endpoint, Tcp};
use crate::counters::Counters;
use crate::lock::NodeId;

/// The part of the configuration that concerns one primary, and what all primaries of the set share.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) node: NodeId,
    pub(super) endpoint: Endpoint,
    /// All primaries' addresses as texts, in the order of configuration.
    pub(super) addresses: Arc<[Arc<str>]>,
    pub(super) key_prefix: Bytes,
    pub(super) connect_timeout: Duration,
    pub(super) silence_timeout: Duration,
    pub(super) probe_interval: Duration,
    pub(super) tcp: Tcp,
    pub(super) reply_nesting: usize,
    pub(super) counters: Arc<Counters>,
    pub(super) incarnations: Arc<Incarnations>,
    /// Who may vote; `None`: every primary keeps its memory, whatever happens.
    pub(super) vouching: Option<Arc<Vouching>>,
}
