//! What happened, in order: to be compared between two runs of one seed, and to be read when a promise is broken.
//!
//! Lines are kept as small values and become text only when somebody reads them.

use std::fmt::Write;

use redlock_proxy::lock::Token;

use super::checker::label;
use super::primary::Micros;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Actor {
    Client(usize),
    Proxy(usize),
    Primary(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    at: Micros,
    /// `None` when it concerns all keys.
    key: Option<usize>,
    actor: Actor,
    what: &'static str,
    token: Option<Token>,
    number: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct History(Vec<Line>);

impl History {
    pub(super) fn add(
        &mut self,
        at: Micros,
        key: usize,
        actor: Actor,
        what: &'static str,
        token: Option<&Token>,
        number: Option<u64>,
    ) {
        self.0.push(Line { at, key: Some(key), actor, what, token: token.cloned(), number });
    }

    pub(super) fn length(&self) -> usize {
        self.0.len()
    }

    /// Something that happened to a link or a primary as a whole.
    pub(super) fn add_event(&mut self, at: Micros, actor: Actor, what: &'static str, number: u64) {
        self.0.push(Line { at, key: None, actor, what, token: None, number: Some(number) });
    }

    /// The last `most` lines that concern one key.
    pub(super) fn of_key(&self, key: usize, most: usize) -> String {
        let lines: Vec<&Line> = self.0.iter().filter(|line| line.key.is_none_or(|it| it == key)).collect();
        let mut text = String::new();
        for line in &lines[lines.len().saturating_sub(most)..] {
            let (seconds, micros) = (line.at / 1_000_000, line.at % 1_000_000);
            let _ = write!(text, "{seconds:4}.{micros:06} s  {:<12} {}", format!("{:?}", line.actor), line.what);
            if let Some(token) = &line.token {
                let _ = write!(text, "  …{}", label(token));
            }
            if let Some(number) = line.number {
                let _ = write!(text, "  {number}");
            }
            text.push('\n');
        }
        text
    }
}
