//! A client's connection to a proxy, which may be gone at any time and is opened again when it is needed.

use std::time::Duration;

use support::resp::encode_command;
use support::{ByteClient, Value};
use tokio::time::timeout;

use crate::record::Record;

/// An answer that has not come by so much behind its time never comes: no pause of a proxy and no load of the machine is
/// as long. Shorter than the patience of [`ByteClient`], which ends in a panic.
const NEVER: Duration = Duration::from_secs(25);

/// A connection to one proxy.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) proxy: usize,
    address: String,
    client: Option<ByteClient>,
    /// Tokens of session locks that were said to be lost.
    pub(crate) lost: Vec<String>,
}

impl Line {
    pub(crate) fn new(proxy: usize, address: &str) -> Self {
        Self { proxy, address: address.to_owned(), client: None, lost: Vec::new() }
    }

    /// Whether it is open, if it has to be opened for that.
    async fn opened(&mut self) -> Option<&mut ByteClient> {
        if self.client.is_none() {
            self.client = ByteClient::try_connect(&self.address).await.ok();
        }
        self.client.as_mut()
    }

    /// Sends these commands in one breath; whether that could be done.
    pub(crate) async fn send(&mut self, commands: &[Vec<String>]) -> bool {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encode_command(command)).collect();
        let Some(client) = self.opened().await else { return false };
        let is_sent = client.try_send_raw(bytes).await.is_ok();
        if !is_sent {
            self.client = None;
        }
        is_sent
    }

    /// The next reply to a command that may wait for so long; `None` when the connection has ended.
    pub(crate) async fn read(&mut self, record: &Record, wait: Duration) -> Option<Value> {
        let client = self.client.as_mut()?;
        let reply = async {
            loop {
                match client.try_read_reply().await {
                    Ok(Value::Push(items)) if items.first() == Some(&Value::bulk("rlock-lost")) => {
                        self.lost.push(items[2].text());
                    }
                    other => return other.ok(),
                }
            }
        };
        let reply = timeout(wait + NEVER, reply).await.unwrap_or_else(|_| {
            record.accuse(format!("proxy {} has not answered {NEVER:?} after it must have", self.proxy));
            None
        });
        if reply.is_none() {
            self.client = None;
        }
        reply
    }

    /// Sends a command and reads its reply; `None` when the connection is gone.
    pub(crate) async fn ask(&mut self, record: &Record, command: Vec<String>, wait: Duration) -> Option<Value> {
        if self.send(&[command]).await { self.read(record, wait).await } else { None }
    }

    /// Away without its answers.
    pub(crate) fn leave(&mut self) {
        self.client = None;
    }

    /// Away by a reset.
    pub(crate) fn reset(&mut self) {
        if let Some(client) = self.client.take() {
            client.reset();
        }
    }
}

/// The words of a command.
pub(crate) fn words(command: &[&str]) -> Vec<String> {
    command.iter().map(|word| (*word).to_owned()).collect()
}
