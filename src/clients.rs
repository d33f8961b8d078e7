//! Who is connected: what CLIENT LIST tells.
//!
//! A connection holds its [`Registration`] and is listed as long as that lives, however its task ends. What other
//! connections may read about it (its name, its library) lives here and nowhere else. Sharded, because every
//! connection comes and goes through it; a guard is held for single statements only.

use std::fmt::Write;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dashmap::DashMap;

use crate::lock::Moment;
use crate::protocol::Version;

/// All connected clients, by id.
#[derive(Debug, Default)]
pub struct Clients {
    connected: DashMap<u64, Arc<Client>>,
    /// The id given last; ids are never used again and begin at 1.
    last_id: AtomicU64,
}

/// One connected client.
#[derive(Debug)]
pub struct Client {
    id: u64,
    address: String,
    local_address: String,
    connected_at: Moment,
    /// When its last request was read, in microseconds of [`Moment`]'s clock.
    last_request: AtomicU64,
    details: Mutex<ClientDetails>,
}

/// What a client says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientDetails {
    /// Its name, empty when it has none.
    pub name: Bytes,
    /// The library it uses, empty when unknown.
    pub library_name: Bytes,
    /// That library's version, empty when unknown.
    pub library_version: Bytes,
    /// The protocol it speaks.
    pub version: Version,
}

impl Clients {
    /// A registry without clients.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Registers a client that connected at `now` from `address` to our `local_address`.
    pub fn register(self: &Arc<Self>, address: String, local_address: String, now: Moment) -> Registration {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Arc::new(Client {
            id,
            address,
            local_address,
            connected_at: now,
            last_request: AtomicU64::new(now.as_micros()),
            details: Mutex::default(),
        });
        self.connected.insert(id, Arc::clone(&client));
        Registration { clients: Arc::clone(self), client }
    }

    /// How many are connected.
    pub fn count(&self) -> usize {
        self.connected.len()
    }

    /// The client of this id, when it is connected.
    pub fn find(&self, id: u64) -> Option<Arc<Client>> {
        self.connected.get(&id).map(|entry| Arc::clone(&entry))
    }

    /// All that are connected, the oldest first.
    pub fn list(&self) -> Vec<Arc<Client>> {
        let mut clients: Vec<_> = self.connected.iter().map(|entry| Arc::clone(&entry)).collect();
        clients.sort_unstable_by_key(|client| client.id);
        clients
    }
}

impl Client {
    /// Its number: larger than that of every client before it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where it connected from.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its address, and its name if it has one.
    pub fn named(&self) -> String {
        let name = self.details().name;
        let name = String::from_utf8_lossy(&name);
        if name.is_empty() { self.address.clone() } else { format!("{} {name}", self.address) }
    }

    /// Notes that a request of it was read.
    pub fn touch(&self, now: Moment) {
        self.last_request.store(now.as_micros(), Ordering::Relaxed);
    }

    /// What it says about itself.
    pub fn details(&self) -> ClientDetails {
        self.lock().clone()
    }

    /// Changes what it says about itself.
    pub fn update(&self, change: impl FnOnce(&mut ClientDetails)) {
        change(&mut self.lock());
    }

    /// Its line in CLIENT LIST, without the line's end. Fields of Redis that say nothing here are left out.
    pub fn describe(&self, now: Moment) -> String {
        let details = self.details();
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let mut line = format!("id={} addr={} laddr={}", self.id, self.address, self.local_address);
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            " name={} age={} idle={} flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 user=default resp={} lib-name={} lib-ver={}",
            text(&details.name),
            now.since(self.connected_at).as_secs(),
            now.since(Moment::from_micros(self.last_request.load(Ordering::Relaxed))).as_secs(),
            protocol_number(details.version),
            text(&details.library_name),
            text(&details.library_version),
        );
        line
    }

    /// The details hold no invariant that a panic could break half-way.
    fn lock(&self) -> MutexGuard<'_, ClientDetails> {
        self.details.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number by which HELLO and CLIENT LIST name a protocol.
pub fn protocol_number(version: Version) -> i64 {
    match version {
        Version::Resp2 => 2,
        Version::Resp3 => 3,
    }
}

/// A client's place in the registry; dropped, the client is no longer listed.
#[derive(Debug)]
pub struct Registration {
    clients: Arc<Clients>,
    client: Arc<Client>,
}

impl Deref for Registration {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.clients.connected.remove(&self.client.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(clients: &Arc<Clients>, address: &str) -> Registration {
        clients.register(address.to_owned(), "127.0.0.1:6379".to_owned(), Moment::from_micros(1_000_000))
    }

    #[test]
    fn a_client_is_listed_until_its_registration_is_dropped_and_its_id_never_comes_back() {
        let clients = Clients::new();
        let first = register(&clients, "10.0.0.1:1");
        let second = register(&clients, "10.0.0.1:2");
        let ids = |clients: &Clients| clients.list().iter().map(|client| client.id()).collect::<Vec<_>>();
        assert_eq!(ids(&clients), [1, 2]);
        drop(second);
        assert_eq!((ids(&clients), clients.count()), (vec![1], 1));
        let third = register(&clients, "10.0.0.1:3");
        assert_eq!(third.id(), 3);
        assert_eq!(clients.find(3).map(|client| client.address().to_owned()), Some("10.0.0.1:3".to_owned()));
        drop((first, third));
        assert!(clients.find(3).is_none() && clients.list().is_empty());
    }

    #[test]
    fn a_registration_ends_with_a_panicking_task() {
        let clients = Clients::new();
        let registration = register(&clients, "10.0.0.1:1");
        let task = std::thread::spawn(move || {
            let _registration = registration;
            std::panic::resume_unwind(Box::new("a bug of one connection"));
        });
        assert!(task.join().is_err());
        assert_eq!(clients.count(), 0);
    }

    #[test]
    fn a_line_tells_what_redis_tells_of_a_client() {
        let clients = Clients::new();
        let client = register(&clients, "10.0.0.1:1");
        client.update(|details| details.name = Bytes::from_static(b"worker"));
        client.touch(Moment::from_micros(4_999_999));
        assert_eq!(
            client.describe(Moment::from_micros(7_500_000)),
            "id=1 addr=10.0.0.1:1 laddr=127.0.0.1:6379 name=worker age=6 idle=2 flags=N db=0 sub=0 psub=0 ssub=0 \
             multi=-1 user=default resp=2 lib-name= lib-ver="
        );
    }
}
