//! What the proxy remembers of one connection, and the smallest commands about it.

use bytes::Bytes;

use super::Refusal;
use crate::clients::{Client, Registration};
use crate::command::{CommandError, integer};
use crate::protocol::{Reply, Version};
use crate::router::SessionMode;

/// One client connection: who it is, how it speaks, whether it may.
#[derive(Debug)]
pub struct Connection {
    registration: Registration,
    version: Version,
    password_required: bool,
    authenticated: bool,
}

impl Connection {
    /// A connection as it begins: RESP2, without a name, authenticated only where no password is asked for.
    pub fn new(registration: Registration, password_required: bool) -> Self {
        Self { registration, version: Version::default(), password_required, authenticated: !password_required }
    }

    /// Its place in the registry of clients.
    pub fn client(&self) -> &Client {
        &self.registration
    }

    /// The protocol that replies are written in.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What it may do.
    pub fn mode(&self) -> SessionMode {
        if self.authenticated { SessionMode::Open } else { SessionMode::Unauthenticated }
    }

    pub(super) fn authenticate(&mut self) {
        self.authenticated = true;
    }

    /// The protocol has changed.
    pub fn speak(&mut self, version: Version) {
        self.version = version;
        self.registration.update(|details| details.version = version);
    }

    pub(super) fn name(&self, name: &Bytes) {
        // A copy: a slice would keep the whole read buffer for as long as the name stands.
        let name = Bytes::copy_from_slice(name);
        self.registration.update(|details| details.name = name);
    }

    /// `RESET`: as the connection began. What the client said about its library still holds, and stays.
    pub fn reset(&mut self) -> Reply {
        self.authenticated = !self.password_required;
        self.name(&Bytes::new());
        self.speak(Version::default());
        Reply::Status("RESET".into())
    }
}

/// `PING [message]`
pub(super) fn ping(arguments: &[Bytes]) -> Result<Reply, Refusal> {
    match arguments {
        [] => Ok(Reply::Status("PONG".into())),
        [message] => Ok(Reply::Bulk(message.clone())),
        _ => Err(CommandError::Arity("ping").into()),
    }
}

/// `ECHO message`
pub(super) fn echo(arguments: &[Bytes]) -> Result<Reply, Refusal> {
    match arguments {
        [message] => Ok(Reply::Bulk(message.clone())),
        _ => Err(CommandError::Arity("echo").into()),
    }
}

/// `SELECT index`: there is one database, and locks are not in it.
pub(super) fn select(arguments: &[Bytes]) -> Result<Reply, Refusal> {
    let [index] = arguments else { return Err(CommandError::Arity("select").into()) };
    match integer(index).and_then(|index| i32::try_from(index).ok()) {
        Some(0) => Ok(Reply::OK),
        Some(_) => Err(Refusal::syntax("ERR DB index is out of range")),
        None => Err(CommandError::Integer.into()),
    }
}
