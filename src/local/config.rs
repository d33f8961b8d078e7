//! `CONFIG GET pattern …`: the few parameters that clients and tools look for on connecting.
//!
//! They have Redis' names and units and the proxy's values. The proxy's own configuration is not told here: it has
//! other names, and `redlock-proxy check` prints it.

use bytes::Bytes;

use super::{Environment, bulk, glob};
use crate::protocol::Reply;

/// `CONFIG GET pattern …`: each parameter that any pattern matches, once.
pub(super) fn get(patterns: &[Bytes], environment: &Environment<'_>) -> Reply {
    let limits = environment.limits;
    let parameters: [(&'static str, String); 6] = [
        ("save", String::new()),
        ("appendonly", "no".to_owned()),
        ("databases", "1".to_owned()),
        ("maxclients", environment.max_clients.to_string()),
        // In seconds; 0 is never. A part of a second counts as one, so that "on" does not read as "off".
        ("timeout", limits.idle_timeout.map_or(0, |timeout| timeout.as_millis().div_ceil(1_000)).to_string()),
        ("proto-max-bulk-len", limits.request_bytes.to_string()),
    ];
    Reply::Map(
        parameters
            .into_iter()
            .filter_map(|(name, value)| {
                let pattern = patterns.iter().find(|pattern| glob::matches(pattern, name.as_bytes()))?;
                // Whoever asks for a name looks for the answer under that name, in the case it was written.
                let is_name = pattern.eq_ignore_ascii_case(name.as_bytes());
                Some((if is_name { Reply::Bulk(pattern.clone()) } else { bulk(name) }, Reply::Bulk(value.into())))
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::local::tests_support::{Fixture, error};

    fn pairs(fixture: &mut Fixture, line: &str) -> Vec<(String, String)> {
        let text = |reply| match reply {
            Reply::Bulk(bytes) => String::from_utf8(bytes.to_vec()).expect("text"),
            other => panic!("{other:?}"),
        };
        match fixture.reply(line) {
            Reply::Map(pairs) => pairs.into_iter().map(|(name, value)| (text(name), text(value))).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_parameters_that_tools_look_for_have_values() {
        let mut fixture = Fixture::new();
        fixture.limits.idle_timeout = Some(Duration::from_millis(1_500));
        let all = [
            ("save", ""),
            ("appendonly", "no"),
            ("databases", "1"),
            ("maxclients", "9000"),
            ("timeout", "2"),
            ("proto-max-bulk-len", "1048576"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs(&mut fixture, "CONFIG GET *"), all);
        assert_eq!(
            pairs(&mut fixture, "config get SAVE s* nope maxclients"),
            [("SAVE".to_owned(), String::new()), all[3].clone()]
        );
        assert!(pairs(&mut fixture, "CONFIG GET nope").is_empty());
        fixture.limits.idle_timeout = None;
        assert_eq!(pairs(&mut fixture, "CONFIG GET timeout"), [("timeout".to_owned(), "0".to_owned())]);
    }

    #[test]
    fn nothing_else_of_config_exists() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.reply("CONFIG GET"), error("ERR wrong number of arguments for 'config|get' command"));
        assert_eq!(fixture.reply("CONFIG SET save x"), error("ERR unknown subcommand 'SET'. Try CONFIG HELP."));
    }
}
