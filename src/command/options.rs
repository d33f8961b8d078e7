//! What stands behind the ttl of RLOCK and RMLOCK: in any order and any case, each at most once.

use std::time::Duration;

use super::args::Arguments;
use super::table::{Argument, ArgumentKind};
use super::{CommandError, CommandLimits};
use crate::lock::{Owner, Ttl};

/// The options of a command that takes locks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// In whose name.
    pub owner: Option<Owner>,
    /// How long to stand in line; zero: not at all.
    pub wait: Duration,
    /// Whether a fencing token is wanted.
    pub fence: bool,
    /// Whether the lock is bound to the connection.
    pub session: Option<Binding>,
}

/// How a lock is bound to its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Whether its loss is told by a push.
    pub notify: bool,
}

/// What a command of this layout takes, as documentation shows it.
pub(super) const OWNER: Argument = Argument::new("name", ArgumentKind::String).token("OWNER").optional();
pub(super) const WAIT: Argument = Argument::new("milliseconds", ArgumentKind::Integer).token("WAIT").optional();
pub(super) const FENCE: Argument = Argument::pure_token("fence", "FENCE").optional();
pub(super) const SESSION: Argument = Argument::block(
    "session",
    &[Argument::pure_token("bind", "SESSION"), Argument::pure_token("notify", "NOTIFY").optional()],
)
.optional();

impl Options {
    /// Reads everything that is left. The ttl has been read before, since SESSION asks for more of it.
    pub(super) fn parse(
        arguments: &mut Arguments<'_>,
        ttl: Ttl,
        with_fence: bool,
        limits: &CommandLimits,
    ) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut waits = false;
        while let Some(word) = arguments.option() {
            if word.eq_ignore_ascii_case(b"OWNER") && options.owner.is_none() {
                options.owner = Some(Owner::new(arguments.value()?.clone())?);
            } else if word.eq_ignore_ascii_case(b"WAIT") && !waits {
                waits = true;
                options.wait = arguments.wait(limits)?;
            } else if with_fence && word.eq_ignore_ascii_case(b"FENCE") && !options.fence {
                options.fence = true;
            } else if word.eq_ignore_ascii_case(b"SESSION") && options.session.is_none() {
                arguments.check_session_ttl(ttl, limits)?;
                options.session = Some(Binding { notify: arguments.next_is(b"NOTIFY") });
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    /// The same in memory of its own.
    #[must_use]
    pub fn detached(self) -> Self {
        Self { owner: self.owner.map(|owner| owner.detached()), ..self }
    }

    /// Whether its caller wants to stand in line.
    pub fn waits(&self) -> bool {
        !self.wait.is_zero()
    }

    /// Whether it asks for a push.
    pub fn notifies(&self) -> bool {
        self.session.is_some_and(|binding| binding.notify)
    }
}
