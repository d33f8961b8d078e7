//! A Redlock library's driver: a program in the library's language that does what a line tells it (bench/peers/README.md).

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::programs::{self, Program};
use crate::stage::Environment;

/// A running driver that has said `ready`.
pub(crate) struct Driver {
    /// Library and version, as it says.
    pub(crate) title: String,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    patience: Duration,
    _child: Child,
}

impl Driver {
    /// Starts it; what it prints to its standard error goes to `errors`.
    pub(crate) async fn start(
        program: &Program,
        environment: &Environment,
        errors: Stdio,
        patience: Duration,
    ) -> Result<Self, String> {
        let mut command = programs::command(program, environment);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().map_err(|error| format!("cannot be run: {error}"))?;
        let orders = child.stdin.take().expect("its input is piped");
        let answers = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let mut driver = Self { title: String::new(), orders, answers, patience, _child: child };
        let greeting = driver.read().await?;
        let title =
            greeting.strip_prefix("ready ").ok_or(format!("says {greeting:?} instead of `ready NAME VERSION`"))?;
        title.clone_into(&mut driver.title);
        Ok(driver)
    }

    /// One order, one answer.
    pub(crate) async fn tell(&mut self, order: &str) -> Result<String, String> {
        let sent = self.orders.write_all(format!("{order}\n").as_bytes()).await;
        sent.map_err(|error| format!("does not take `{order}`: {error}"))?;
        self.read().await.map_err(|error| format!("`{order}`: {error}"))
    }

    async fn read(&mut self) -> Result<String, String> {
        let line = tokio::time::timeout(self.patience, self.answers.next_line()).await;
        let line = line.map_err(|_| format!("has not answered for {:?}", self.patience))?;
        line.map_err(|error| error.to_string())?.ok_or("has ended".into())
    }
}
