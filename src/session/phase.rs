//! What a connection to the upstream is in the middle of, in the pieces of which its mode consists.

use crate::protocol::Version;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Normal,
    Transaction(Transaction),
    Monitoring,
    Raw,
    Closing,
}

/// What is known of a transaction.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transaction {
    /// A lock command was refused in it: nothing of it may run.
    pub(super) poisoned: bool,
    /// Its EXEC brings more than one reply, or switches replies off.
    pub(super) strange: bool,
    /// The subscriptions that its EXEC makes, at most.
    pub(super) subscribes: u64,
    /// The protocol that its EXEC changes to.
    pub(super) version: Option<Version>,
}

/// Whether a lock command was left without a reply, because none was wanted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swallowed {
    #[default]
    Nothing,
    /// It was, and the upstream has not refused to be silent so far.
    Rightly,
    /// It was, and the upstream has: the client counts on a reply.
    Wrongly,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replies {
    #[default]
    On,
    Off,
    /// The next command is not answered.
    Skip,
}
