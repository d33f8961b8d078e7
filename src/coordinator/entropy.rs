//! Randomness, passed in like the clock.

use std::fmt;

use crate::limits::TOKEN_RANDOM_BYTES;

/// Where random bytes come from. Tokens stand and fall with it.
pub trait Entropy: Send + Sync + fmt::Debug {
    fn fill(&self, bytes: &mut [u8]);

    /// The random part of a token that nobody can guess and nobody gets twice.
    fn token_bytes(&self) -> [u8; TOKEN_RANDOM_BYTES] {
        let mut bytes = [0; TOKEN_RANDOM_BYTES];
        self.fill(&mut bytes);
        bytes
    }

    /// A number for jitter.
    fn jitter(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_ne_bytes(bytes)
    }
}

/// The operating system's CSPRNG.
#[derive(Debug, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // It fails only where the system has no such source at all, and a proxy without unguessable tokens must not
        // grant locks; `server` draws once at start, so this is known before the first client comes.
        getrandom::fill(bytes).expect("the operating system gives random bytes");
    }
}
