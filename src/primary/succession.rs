//! What a new link owes the ones before it.
//!
//! A link that is lost with commands unanswered may have bytes on their way that the server has yet to run. Withdrawals
//! sent over another connection can overtake them. So the successor first ends the former connections at the server,
//! by CLIENT KILL ID, each until the server answers that there is none of that number any more (a batch may go on
//! running for a moment after a kill has been acknowledged), and only then sends what is owed. A number is worth something only to the
//! process that gave it: of another run the connection died with its process, and the number may be somebody else's.

/// The former connections of one link whose end has not been confirmed. Pure.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Succession {
    former: Vec<Former>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Former {
    client_id: i64,
    run: String,
}

impl Succession {
    /// A connection was lost with commands unanswered: the server knew it as `client_id`, in the process `run`.
    pub fn bury(&mut self, client_id: i64, run: &str) {
        self.former.push(Former { client_id, run: run.to_owned() });
    }

    /// The connection to end next, on a server that is the process `run`. Those of other processes are forgotten.
    pub fn next_to_kill(&mut self, run: &str) -> Option<i64> {
        self.former.retain(|former| former.run == run);
        self.former.first().map(|former| former.client_id)
    }

    /// The server's answer to the kill: how many it ended, or `None` when it answered an error, which settles nothing
    /// but will not get better by asking again. Zero says that the connection is gone.
    pub fn killed(&mut self, client_id: i64, ended: Option<i64>) {
        if ended.is_none_or(|ended| ended <= 0) {
            self.former.retain(|former| former.client_id != client_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_former_link_is_killed_not_only_the_last_one() {
        let mut succession = Succession::default();
        succession.bury(7, "a");
        // The next link was lost before its kill was answered.
        succession.bury(9, "a");
        assert_eq!(succession.next_to_kill("a"), Some(7));
        succession.killed(7, Some(0));
        assert_eq!(succession.next_to_kill("a"), Some(9));
        succession.killed(9, Some(0));
        assert_eq!(succession.next_to_kill("a"), None);
    }

    #[test]
    fn a_kill_is_repeated_until_the_server_knows_no_such_connection() {
        let mut succession = Succession::default();
        succession.bury(7, "a");
        succession.killed(7, Some(1));
        assert_eq!(succession.next_to_kill("a"), Some(7));
        succession.killed(7, Some(0));
        assert_eq!(succession.next_to_kill("a"), None);
    }

    #[test]
    fn an_error_is_not_repeated_for_ever() {
        let mut succession = Succession::default();
        succession.bury(7, "a");
        succession.killed(7, None);
        assert_eq!(succession.next_to_kill("a"), None);
    }

    #[test]
    fn connections_of_another_process_are_not_killed() {
        let mut succession = Succession::default();
        succession.bury(7, "a");
        assert_eq!(succession.next_to_kill("b"), None);
        succession.bury(3, "b");
        assert_eq!(succession.next_to_kill("b"), Some(3));
    }
}
