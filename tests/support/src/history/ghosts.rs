//! The referee of what is left: does a primary still have the record of a lock that is over?
//!
//! A record may be there as long as its lock is held, and for a while behind its end: where it could not be deleted, it goes with
//! its ttl. So whoever looks says since when nobody asked for anything, and how long a record may live behind that.

use std::fmt;
use std::time::Duration;

use super::{GrantId, History};

/// A record that was found on a primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// On which.
    pub primary: usize,
    /// Its key.
    pub key: String,
    /// By what it is signed.
    pub token: String,
    /// When it goes by itself, unless it has no expiry.
    pub expires_in: Option<Duration>,
}

/// A record whose lock has been over for too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ghost {
    /// The record.
    pub found: Found,
    /// Which grant's, and whose; nobody's, when no client was told of one.
    pub grant: Option<(GrantId, String)>,
    /// Since when there was no reason for it any more.
    pub over: Duration,
}

impl fmt::Display for Ghost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found: Found { primary, key, expires_in, token: _ }, grant, over } = self;
        match grant {
            Some((grant, client)) => write!(f, "primary {primary} has {key} of {client} (grant {})", grant.0)?,
            None => write!(f, "primary {primary} has {key} of nobody who was told so")?,
        }
        write!(f, ", over since {over:?}")?;
        match expires_in {
            Some(left) => write!(f, ", for another {left:?}"),
            None => write!(f, ", for ever"),
        }
    }
}

impl History {
    /// The records of this grant are signed with `token`.
    pub fn signed(&mut self, grant: GrantId, token: impl Into<String>) {
        self.grants[grant.0].token = Some(token.into());
    }

    /// Those of the records found at `now` whose locks were over for longer than `grace`.
    ///
    /// A lock is over when its holder is not certain of it any more or has begun to give it up, but not before `quiet`, since when
    /// nobody asks for anything: until then it may have been extended without an answer, and a record of no grant that is known
    /// may belong to one that is just being answered.
    pub fn ghosts(&self, found: &[Found], quiet: Duration, grace: Duration, now: Duration) -> Vec<Ghost> {
        let ghost = |found: &Found| {
            let is_its = |(_, grant): &(usize, &super::Grant)| {
                grant.key == found.key && grant.token.as_deref() == Some(&found.token)
            };
            let grant = self.grants.iter().enumerate().find(is_its);
            let ends = grant.and_then(|(_, grant)| grant.certain().map(|(_, to)| to).max());
            let over = ends.map_or(quiet, |end| end.max(quiet));
            let grant = grant.map(|(index, grant)| (GrantId(index), grant.client.clone()));
            (now > over + grace).then(|| Ghost { found: found.clone(), grant, over })
        };
        found.iter().filter_map(ghost).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Answer;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// A grant of `job` from 5 ms to 100 ms, signed by `token`.
    fn granted(history: &mut History, token: &str) -> GrantId {
        let answer = Answer { sent: ms(0), arrived: ms(5), validity: ms(100) };
        let grant = history.granted("one", "job", answer);
        history.signed(grant, token);
        grant
    }

    fn found(primary: usize, token: &str) -> Found {
        Found { primary, key: "job".to_owned(), token: token.to_owned(), expires_in: Some(ms(700)) }
    }

    /// The primaries with ghosts, 50 ms after which records must be gone.
    fn haunted(history: &History, found: &[Found], quiet: u64, now: u64) -> Vec<usize> {
        let ghosts = history.ghosts(found, ms(quiet), ms(50), ms(now));
        ghosts.into_iter().map(|ghost| ghost.found.primary).collect()
    }

    #[test]
    fn a_record_that_outlives_its_lock_is_found_and_named() {
        let mut history = History::new();
        granted(&mut history, "a");
        let grant = granted(&mut history, "b");
        history.given_up(grant, ms(40));
        let ghosts = history.ghosts(&[found(2, "b")], ms(60), ms(50), ms(120));
        assert_eq!(ghosts.len(), 1);
        assert_eq!((ghosts[0].grant.clone(), ghosts[0].over), (Some((grant, "one".to_owned())), ms(60)));
        let expected = "primary 2 has job of one (grant 1), over since 60ms, for another 700ms";
        assert_eq!(ghosts[0].to_string(), expected);
    }

    #[test]
    fn what_is_held_or_may_still_live_is_no_ghost() {
        let mut history = History::new();
        let grant = granted(&mut history, "a");
        let records = [found(0, "a"), found(1, "a")];
        assert_eq!(haunted(&history, &records, 0, 99), [0; 0], "held");
        assert_eq!(haunted(&history, &records, 0, 150), [0; 0], "it goes with its ttl");
        assert_eq!(haunted(&history, &records, 0, 151), [0, 1]);
        assert_eq!(haunted(&history, &records, 120, 151), [0; 0], "it may have been extended until then");
        history.extended(grant, Answer { sent: ms(90), arrived: ms(95), validity: ms(100) });
        assert_eq!(haunted(&history, &records, 0, 240), [0; 0], "held for longer");
        assert_eq!(haunted(&history, &records, 0, 241), [0, 1]);
        history.given_up(grant, ms(110));
        assert_eq!(haunted(&history, &records, 0, 160), [0; 0]);
        assert_eq!(haunted(&history, &records, 0, 161), [0, 1]);
    }

    #[test]
    fn a_record_of_nobody_may_live_as_long_as_one_that_was_asked_for_last() {
        let mut history = History::new();
        granted(&mut history, "a");
        // By the same token, but of another key: that is not the same lock.
        let elsewhere = Found { key: "other".to_owned(), expires_in: None, ..found(1, "a") };
        let records = [found(0, "b"), elsewhere];
        assert_eq!(haunted(&history, &records, 30, 80), [0; 0]);
        assert_eq!(haunted(&history, &records, 30, 81), [0, 1]);
        let told: Vec<String> = history.ghosts(&records, ms(30), ms(50), ms(81)).iter().map(Ghost::to_string).collect();
        assert_eq!(told[0], "primary 0 has job of nobody who was told so, over since 30ms, for another 700ms");
        assert_eq!(told[1], "primary 1 has other of nobody who was told so, over since 30ms, for ever");
    }

    #[test]
    fn a_lock_of_which_nobody_was_ever_certain_is_over_when_all_is_quiet() {
        let mut history = History::new();
        let late = history.granted("slow", "job", Answer { sent: ms(0), arrived: ms(200), validity: ms(100) });
        history.signed(late, "late");
        assert_eq!(haunted(&history, &[found(0, "late")], 210, 260), [0; 0]);
        assert_eq!(haunted(&history, &[found(0, "late")], 210, 261), [0]);
    }
}
