//! Randomness that depends on nothing but the seed, the client, its command and the try: what one client does leaves the
//! tokens of the others as they were.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redlock_proxy::coordinator::{Caller, Entropy};

use super::canaries::Canary;
use super::checker::Claim;
use super::network::World;
use crate::common::Random;

tokio::task_local! {
    /// The command on whose behalf tokens are made.
    pub(super) static COMMAND: Command;
}

/// One try of a command.
pub(super) struct Command {
    /// What the client asked for; a retry through another proxy is the same command.
    pub(super) number: u64,
    /// Which of its tries this is.
    pub(super) attempt: u64,
    pub(super) drawn: AtomicU64,
    /// How many tokens were made.
    pub(super) tokens: AtomicU64,
    /// Who asked, of whom, for which key.
    pub(super) caller: Arc<Caller>,
    pub(super) world: Arc<World>,
    pub(super) key: usize,
}

/// What the coordinators of one world draw from.
#[derive(Debug)]
pub(super) struct SeededEntropy {
    seed: u64,
    canary: Option<Canary>,
    /// How often the proxy has drawn on nobody's behalf.
    drawn: AtomicU64,
}

impl SeededEntropy {
    pub(super) fn new(seed: u64, canary: Option<Canary>) -> Self {
        Self { seed, canary, drawn: AtomicU64::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let is_asked_for = COMMAND.try_with(|command| {
            let mut random = Random::stream(self.seed ^ command.number, 1);
            let is_token = bytes.len() > 8;
            let is_further = is_token && command.tokens.fetch_add(1, Ordering::Relaxed) > 0;
            if is_further && command.caller.has_left() {
                let what = "a further attempt was begun for a client that had left".to_owned();
                command.world.with(|state| state.checker.violate(Claim::LeftIsLeft, command.key, what));
            }
            if !(is_token && self.canary == Some(Canary::TokenReused)) {
                let drawn = command.drawn.fetch_add(1, Ordering::Relaxed);
                random = Random::stream(random.bits(), (command.attempt << 32) + drawn);
            }
            for part in bytes.chunks_mut(8) {
                part.copy_from_slice(&random.bits().to_le_bytes()[..part.len()]);
            }
        });
        if is_asked_for.is_err() {
            let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
            assert!(bytes.len() <= 8, "tokens are drawn for commands only");
            bytes.copy_from_slice(&Random::stream(self.seed, 1_000 + drawn).bits().to_le_bytes()[..bytes.len()]);
        }
    }
}
