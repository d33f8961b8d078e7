//! A look at a lock over all primaries: asks each, decides nothing.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::Coordinator;
use super::node::{Ballot, Operation, Ticket, Trouble};
use crate::lock::{Inspect, InspectVote, NodeId, Resource, Token};

/// What the primaries said of one key.
#[derive(Debug)]
pub struct Inspection {
    pub inspect: Inspect,
    /// The primaries' addresses, in the order of configuration.
    pub addresses: Vec<(NodeId, String)>,
    /// The number of the client to whose connection the lock is bound, if that is one of this proxy's.
    pub client: Option<u64>,
}

struct Look {
    inspect: Mutex<Inspect>,
    complete: Notify,
}

impl Ballot<InspectVote> for Look {
    fn depart(&self, _node: NodeId) -> bool {
        true
    }

    fn cast(&self, node: NodeId, vote: InspectVote, _trouble: Option<Trouble>) {
        let mut inspect = self.inspect.lock().unwrap_or_else(PoisonError::into_inner);
        inspect.handle_vote(node, vote);
        if inspect.is_complete() {
            self.complete.notify_one();
        }
    }
}

impl Coordinator {
    /// Asks every primary who holds the key, and waits for all of them, each for as long as an attempt would.
    pub async fn inspect(self: Arc<Self>, resource: Resource) -> Inspection {
        let look = Arc::new(Look { inspect: Mutex::new(Inspect::new(self.rules.quorum)), complete: Notify::new() });
        for (id, node) in self.nodes() {
            let ticket = Ticket::new(Arc::clone(&look) as Arc<dyn Ballot<InspectVote>>, id);
            node.submit(Operation::Inspect { resource: resource.clone(), ticket }, self.rules.node_timeout);
        }
        look.complete.notified().await;
        let inspect = look.inspect.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let holder = inspect.holder().and_then(|token| Token::new(Bytes::copy_from_slice(token)).ok());
        let client = holder.and_then(|token| self.client_of(&resource, &token));
        Inspection {
            inspect,
            client,
            addresses: self.nodes().map(|(id, node)| (id, node.address().to_owned())).collect(),
        }
    }
}
