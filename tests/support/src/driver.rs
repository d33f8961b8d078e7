//! A Redlock library's driver: a program in the library's language that does what a line tells it (bench/peers/README.md).

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::timeout;

use crate::process::{Footprint, Process, command};

/// A running driver that has said `ready`. Unlike the rest of this crate it says what has failed: the library's failure is no
/// failure of whoever asks.
#[derive(Debug)]
pub struct Driver {
    title: String,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    patience: Duration,
    process: Process,
}

impl Driver {
    /// Starts `run` with these variables; what it prints to its standard error goes to `errors`. The time it has for an answer is
    /// also what it has for bringing its library.
    pub async fn start(
        run: &Path,
        environment: &[(String, String)],
        errors: Stdio,
        patience: Duration,
    ) -> Result<Self, String> {
        let mut command = command(run);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let process = Process::spawn(run.display().to_string(), command);
        let (orders, answers) = {
            let mut child = process.child();
            (child.stdin.take().expect("its input is piped"), child.stdout.take().expect("its output is piped"))
        };
        let orders = ChildStdin::from_std(orders).expect("a pipe can be awaited");
        let answers = ChildStdout::from_std(answers).expect("a pipe can be awaited");
        let answers = BufReader::new(answers).lines();
        let mut driver = Self { title: String::new(), orders, answers, patience, process };
        let greeting = driver.read().await?;
        let title =
            greeting.strip_prefix("ready ").ok_or(format!("says {greeting:?} instead of `ready NAME VERSION`"))?;
        title.clone_into(&mut driver.title);
        Ok(driver)
    }

    /// Library and version, as it says.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// One order, one answer.
    pub async fn tell(&mut self, order: &str) -> Result<String, String> {
        let sent = self.orders.write_all(format!("{order}\n").as_bytes()).await;
        sent.map_err(|error| format!("does not take `{order}`: {error}"))?;
        self.read().await.map_err(|error| format!("`{order}`: {error}"))
    }

    /// Its resident memory, open descriptors and processor time; `None` when it has ended.
    pub fn footprint(&self) -> Option<Footprint> {
        self.process.exit_status().is_none().then(|| self.process.footprint())
    }

    async fn read(&mut self) -> Result<String, String> {
        let line = timeout(self.patience, self.answers.next_line()).await;
        let line = line.map_err(|_| format!("has not answered for {:?}", self.patience))?;
        line.map_err(|error| error.to_string())?.ok_or("has ended".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::PATIENCE;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    async fn start(script: &str) -> Result<Driver, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = folder.path().join("run");
        fs::write(&run, format!("#!/bin/sh\n{script}\n")).expect("a file in a new folder");
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let environment = [("WORD".to_owned(), "a word".to_owned())];
        Driver::start(&run, &environment, Stdio::inherit(), PATIENCE).await
    }

    #[tokio::test]
    async fn each_order_has_its_answer() {
        let mut driver =
            start("echo ready lib 1.2; while read order; do echo $WORD: $order; done").await.expect("ready");
        assert_eq!(driver.title(), "lib 1.2");
        assert_eq!(driver.tell("one").await.as_deref(), Ok("a word: one"));
        assert_eq!(driver.tell("two").await.as_deref(), Ok("a word: two"));
        assert!(driver.footprint().is_some());
    }

    #[tokio::test]
    async fn what_fails_is_said() {
        assert_eq!(start("exit 1").await.err().as_deref(), Some("has ended"));
        let other = start("echo hello").await.err();
        assert_eq!(other.as_deref(), Some("says \"hello\" instead of `ready NAME VERSION`"));
        let mut driver = start("echo ready lib 1.2; read order").await.expect("ready");
        assert_eq!(driver.tell("one").await.err().as_deref(), Some("`one`: has ended"));
    }
}
