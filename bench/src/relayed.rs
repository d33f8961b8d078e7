//! Clients whose commands the proxy only passes on.

use crate::lines::{Ask, Lines};
use crate::load::{Progress, Work};
use crate::pairs::keys;
use crate::wire::{Reply, put_command};

const VALUE: &[u8] = b"0123456789abcdef";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// SET of 16 bytes
    Set,
    /// GET of what SET has left
    Get,
}

/// Clients with a key each, spread over the lines in turn.
#[derive(Debug)]
pub struct Relayed {
    commands: Vec<Vec<u8>>,
    expected: Reply<'static>,
}

impl Relayed {
    /// So many clients that ask for this.
    pub fn new(clients: usize, command: Command) -> Self {
        let written = |client| {
            let key = &keys("relayed", client, 1)[0];
            let mut written = Vec::new();
            match command {
                Command::Set => put_command(&mut written, &[b"SET", key, VALUE]),
                Command::Get => put_command(&mut written, &[b"GET", key]),
            }
            written
        };
        let expected = if command == Command::Set { Reply::Status(b"OK") } else { Reply::Bulk(VALUE) };
        Self { commands: (0..clients).map(written).collect(), expected }
    }
}

impl Work for Relayed {
    fn clients(&self) -> usize {
        self.commands.len()
    }

    fn begin(&mut self, client: usize, lines: &mut Lines) {
        lines.send_written(client % lines.count(), Ask { client, step: 0 }, &self.commands[client]);
    }

    fn answered(&mut self, _: Ask, reply: Reply<'_>, _: &mut Lines) -> Progress {
        if reply == self.expected { Progress::Done } else { Progress::Failed(format!("it is answered {reply:?}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use support::{Kind, Server, ServerOptions};

    use crate::load::{Load, Measured, Pace, run};

    fn driven(server: &Server, command: Command) -> Measured {
        let mut lines = Lines::connect([server.address(), server.address()]);
        let load = Load { pace: Pace::Closed, warm_up: Duration::ZERO, span: Duration::from_millis(50) };
        run(&mut Relayed::new(6, command), &mut lines, &load)
    }

    #[tokio::test]
    async fn each_reply_is_looked_at() {
        let server = Server::start(Kind::any(), ServerOptions::default()).await;
        let nothing_there = driven(&server, Command::Get);
        assert_eq!(nothing_there.operations, 0);
        assert_eq!(nothing_there.first_failure.as_deref(), Some("it is answered null"));
        let set = driven(&server, Command::Set);
        let get = driven(&server, Command::Get);
        assert_eq!((set.failures, get.failures), (0, 0));
        assert_eq!(server.calls("set").await, set.operations);
        assert_eq!(server.calls("get").await, get.operations + nothing_there.failures);
    }
}
