//! What is said to a server: bytes on some connections, and what is waited for in between.
//!
//! A script says when to wait, because two connections of one server have no order but the one that their replies give them. It
//! waits for *how many* replies have come, never for what they say: what they say is the question.

use support::resp::encode_command;

/// The connections of a script.
pub(super) const A: usize = 0;
pub(super) const B: usize = 1;
pub(super) const C: usize = 2;

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Bytes, and how many replies to wait for before the next step.
    Send { connection: usize, bytes: Vec<u8>, replies: usize },
    /// Further replies, or pushes, for which this connection sends nothing.
    Hear { connection: usize, replies: usize },
    /// The server holds so many clients blocked.
    Blocked(usize),
    /// Ends this direction of the stream.
    HalfClose(usize),
    /// The server ends the connection.
    Closed(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
    pub(super) connections: usize,
    /// Whether connection ids and MONITOR's times and addresses are made alike (see `player::masked`).
    pub(super) is_masked: bool,
    /// Whether bytes stand behind what makes the server close. In one piece they are read with it; in several they may reach a
    /// closed socket, which answers with a reset: then how the stream ends is the network's luck, and is not compared.
    pub(super) goes_on_behind_the_end: bool,
}

impl Script {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), steps: Vec::new(), connections: 1, is_masked: false, goes_on_behind_the_end: false }
    }

    /// Sends commands in one write and waits for a reply to each. They are written as in redis-cli, with `;` between two of them
    /// and `'…'` around words that hold spaces.
    pub(super) fn on(self, connection: usize, commands: &str) -> Self {
        let commands = parse(commands);
        let replies = commands.len();
        self.raw(connection, encoded(&commands), replies)
    }

    /// The same where there are more replies, or fewer, than commands.
    pub(super) fn expecting(self, replies: usize, connection: usize, commands: &str) -> Self {
        self.raw(connection, encoded(&parse(commands)), replies)
    }

    /// One command whose arguments are any bytes.
    pub(super) fn call(self, connection: usize, arguments: &[&[u8]]) -> Self {
        self.raw(connection, encode_command(arguments), 1)
    }

    /// Sends these bytes.
    pub(super) fn raw(self, connection: usize, bytes: impl Into<Vec<u8>>, replies: usize) -> Self {
        self.step(connection, Step::Send { connection, bytes: bytes.into(), replies })
    }

    pub(super) fn hear(self, replies: usize, connection: usize) -> Self {
        self.step(connection, Step::Hear { connection, replies })
    }

    pub(super) fn blocked(self, clients: usize) -> Self {
        self.step(A, Step::Blocked(clients))
    }

    pub(super) fn half_close(self, connection: usize) -> Self {
        self.step(connection, Step::HalfClose(connection))
    }

    pub(super) fn closed(self, connection: usize) -> Self {
        self.step(connection, Step::Closed(connection))
    }

    pub(super) fn masked(mut self) -> Self {
        self.is_masked = true;
        self
    }

    pub(super) fn behind_the_end(mut self) -> Self {
        self.goes_on_behind_the_end = true;
        self
    }

    /// The bytes of all connections together.
    pub(super) fn bytes(&self) -> usize {
        let sent = self.steps.iter().map(|step| if let Step::Send { bytes, .. } = step { bytes.len() } else { 0 });
        sent.sum()
    }

    fn step(mut self, connection: usize, step: Step) -> Self {
        self.connections = self.connections.max(connection + 1);
        self.steps.push(step);
        self
    }
}

fn encoded(commands: &[Vec<String>]) -> Vec<u8> {
    commands.iter().flat_map(|command| encode_command(command)).collect()
}

fn parse(text: &str) -> Vec<Vec<String>> {
    let (mut commands, mut command, mut word, mut is_quoted) = (Vec::new(), Vec::new(), None::<String>, false);
    for letter in text.chars().chain([';']) {
        match letter {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            letter if is_quoted => word.get_or_insert_default().push(letter),
            letter if letter.is_whitespace() => command.extend(word.take()),
            ';' => {
                command.extend(word.take());
                if !command.is_empty() {
                    commands.push(std::mem::take(&mut command));
                }
            }
            letter => word.get_or_insert_default().push(letter),
        }
    }
    assert!(!is_quoted, "a quote is open in: {text}");
    commands
}

#[test]
fn commands_are_split_as_they_are_written() {
    assert_eq!(parse("SET k 'a ; b'; GET k"), [vec!["SET", "k", "a ; b"], vec!["GET", "k"]]);
    assert_eq!(parse("ECHO ''"), [["ECHO", ""]]);
}
