//! The table agrees with itself and with what is promised.

use std::collections::HashSet;

use super::*;
use crate::command::tests_support::words;

#[test]
fn names_are_unique_lower_case_and_begin_with_their_containers() {
    let mut seen = HashSet::new();
    for entry in all() {
        assert!(seen.insert(entry.name), "{} stands twice", entry.name);
        assert_eq!(entry.name, entry.name.to_lowercase());
    }
    for entry in COMMANDS {
        for subcommand in entry.subcommands {
            assert_eq!(subcommand.name.split_once('|').map(|(container, _)| container), Some(entry.name));
        }
    }
}

#[test]
fn no_two_entries_are_answered_alike() {
    let entries: Vec<_> = all().filter(|entry| entry.action != Action::Subcommands).collect();
    for (place, entry) in entries.iter().enumerate() {
        assert!(!entries[..place].iter().any(|other| other.action == entry.action), "{}", entry.name);
    }
}

#[test]
fn a_container_that_answers_nothing_itself_cannot_be_called_alone() {
    for entry in all() {
        assert_eq!(entry.action == Action::Subcommands, !entry.subcommands.is_empty() && !entry.takes(1));
    }
}

#[test]
fn an_entry_agrees_with_itself() {
    for entry in all() {
        assert_ne!(entry.arity, 0, "{}", entry.name);
        assert!(entry.takes(usize::try_from(entry.arity.unsigned_abs()).expect("small")), "{}", entry.name);
        assert!(entry.categories.iter().all(|category| category.starts_with('@')), "{}", entry.name);
        assert_eq!(entry.flags.contains(&"write"), entry.categories.contains(&"@write"), "{}", entry.name);
        assert_eq!(entry.flags.contains(&"blocking"), entry.categories.contains(&"@blocking"), "{}", entry.name);
        assert_eq!(entry.flags.contains(&"fast"), entry.categories.contains(&"@fast"), "{}", entry.name);
        assert_eq!(entry.flags.contains(&"fast"), !entry.categories.contains(&"@slow"), "{}", entry.name);
        let documents_a_key = entry.arguments.iter().any(|argument| argument.kind == ArgumentKind::Key);
        assert_eq!(entry.keys != Keys::None, documents_a_key, "{}", entry.name);
        for argument in entry.arguments {
            let composed = matches!(argument.kind, ArgumentKind::Block | ArgumentKind::OneOf);
            assert_eq!(composed, !argument.arguments.is_empty(), "{} {}", entry.name, argument.name);
        }
    }
}

#[test]
fn the_lock_commands_are_listed_as_promised() {
    let promised: [(_, _, &[&str], _); 8] = [
        ("rlock", -3, &["write", "noscript", "no_multi", "blocking"], (1, 1, 1)),
        ("runlock", 3, &["write", "noscript", "no_multi"], (1, 1, 1)),
        ("rextend", 4, &["write", "noscript", "no_multi"], (1, 1, 1)),
        ("rmlock", -4, &["write", "noscript", "no_multi", "blocking", "movablekeys"], (0, 0, 0)),
        ("rmunlock", -4, &["write", "noscript", "no_multi", "movablekeys"], (0, 0, 0)),
        ("rmextend", -5, &["write", "noscript", "no_multi", "movablekeys"], (0, 0, 0)),
        ("rinspect", 2, &["readonly", "noscript", "no_multi"], (1, 1, 1)),
        ("rprimaries", 1, &["readonly", "noscript", "no_multi"], (0, 0, 0)),
    ];
    for (name, arity, flags, keys) in promised {
        let entry = find_by_name(name.as_bytes()).expect("listed");
        assert_eq!((entry.arity, entry.flags, entry.keys.positions()), (arity, flags, keys), "{name}");
        assert_eq!(entry.group, "redlock");
    }
    let locks = all().filter(|entry| matches!(entry.action, Action::Lock(_))).count();
    assert_eq!(locks, promised.len());
}

#[test]
fn commands_are_found_in_any_case_and_subcommands_by_their_second_word() {
    let name = |line: &str| find(&words(line)).map(|entry| entry.name);
    assert_eq!(name("RLock a 1"), Ok("rlock"));
    assert_eq!(name("CLIENT SetName x"), Ok("client|setname"));
    assert_eq!(name("client"), Ok("client"));
    assert_eq!(name("COMMAND"), Ok("command"));
    assert_eq!(name("client nope"), Err(CommandError::unknown_subcommand("client", b"nope")));
    assert_eq!(name("client|setname x"), Err(CommandError::unknown_command(b"client|setname", &words("x"))));
    assert_eq!(find(&[]).map(|entry| entry.name), Err(CommandError::unknown_command(b"", &[])));
}
