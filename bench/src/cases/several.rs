//! RMLOCK and RMUNLOCK of eight keys, which nobody else wants: against eight bare locks that are sent as one.

use super::{Plan, distinct};
use crate::pairs::Verb;
use crate::results::Section;
use crate::stand::Stand;

const KEYS: usize = 8;

/// As fast as answers come.
pub fn measure(stand: &Stand, plan: &Plan) -> Section {
    let title = format!("RMLOCK of {KEYS}, distinct keys, {} primaries", stand.fleet.len());
    distinct::of_keys(stand, plan, title, "several", Verb::Several(KEYS))
}
