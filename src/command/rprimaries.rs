//! `RPRIMARIES`: look at the primaries.

use super::table::{Action, Entry, Keys, LockVerb};

/// The command's line in the table.
pub(super) static ENTRY: Entry = Entry {
    name: "rprimaries",
    action: Action::Lock(LockVerb::Rprimaries),
    arity: 1,
    flags: &["readonly", "noscript", "no_multi"],
    keys: Keys::None,
    categories: &["@read", "@slow"],
    tips: &["nondeterministic_output"],
    summary: "Shows the primaries: which of them vote, and what is wrong with the others",
    since: "0.1.0",
    group: "redlock",
    complexity: "O(N) where N is the number of primaries",
    arguments: &[],
    subcommands: &[],
};
