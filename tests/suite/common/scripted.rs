//! Primaries that answer what a test wants.

use support::scripted::Recorded;
use support::{Action, ScriptedNode};

/// A primary that knows the three scripts by their number of arguments, and else what a small server knows.
pub(crate) fn scripted() -> ScriptedNode {
    let node = ScriptedNode::start();
    let told_by_arguments = |command: &Recorded| match command.arguments.len() {
        _ if command.argument(3).ends_with("redlock-proxy:marker") => Action::Execute,
        5 => Action::CompareAndDelete,
        _ => Action::CompareAndExtend,
    };
    node.on_call("EVALSHA", told_by_arguments);
    node.on_call("EVAL", told_by_arguments);
    node
}

/// From now on the node does this about every SET of a lock. The proxy tries SET out on connecting, with a ttl of 0.
pub(crate) fn on_acquire(node: &ScriptedNode, action: Action) {
    node.on_call("SET", move |command| if command.argument(5) == "0" { Action::Execute } else { action.clone() });
}
