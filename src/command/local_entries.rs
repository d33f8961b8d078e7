//! The table's rows of Redis' own commands that the proxy answers.
//!
//! Arity, flags, categories, tips and the shape of arguments are what Redis 7.2 tells of the same commands (a client
//! may rely on any of it); summaries say what the command does *here*.

use super::table::{Action, Argument, ArgumentKind, Entry, Keys, LocalCommand};

/// Flags of what sets a connection up: it is answered before the connection has authenticated.
const SET_UP: &[&str] = &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"];
const CONNECTION: &[&str] = &["noscript", "loading", "stale"];
const ADMINISTRATION: &[&str] = &["admin", "noscript", "loading", "stale"];
const ALWAYS: &[&str] = &["loading", "stale"];

const FAST: &[&str] = &["@fast", "@connection"];
const SLOW: &[&str] = &["@slow", "@connection"];

/// A command without arguments, keys, tips and subcommands: what rows begin with.
const fn row(name: &'static str, command: LocalCommand, arity: i32, summary: &'static str) -> Entry {
    Entry {
        name,
        action: Action::Local(command),
        arity,
        flags: ALWAYS,
        keys: Keys::None,
        categories: SLOW,
        tips: &[],
        summary,
        since: "1.0.0",
        group: "connection",
        complexity: "O(1)",
        arguments: &[],
        subcommands: &[],
    }
}

pub(super) static PING: Entry = Entry {
    flags: &["fast"],
    categories: FAST,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    arguments: &[Argument::new("message", ArgumentKind::String).optional()],
    ..row("ping", LocalCommand::Ping, -1, "Answers PONG, or the message")
};

pub(super) static ECHO: Entry = Entry {
    flags: &["loading", "stale", "fast"],
    categories: FAST,
    arguments: &[Argument::new("message", ArgumentKind::String)],
    ..row("echo", LocalCommand::Echo, 2, "Answers the message")
};

pub(super) static HELLO: Entry = Entry {
    flags: SET_UP,
    categories: FAST,
    since: "6.0.0",
    arguments: &[Argument::block(
        "arguments",
        &[
            Argument::new("protover", ArgumentKind::Integer),
            Argument::block(
                "auth",
                &[Argument::new("username", ArgumentKind::String), Argument::new("password", ArgumentKind::String)],
            )
            .token("AUTH")
            .optional(),
            Argument::new("clientname", ArgumentKind::String).token("SETNAME").optional(),
        ],
    )
    .optional()],
    ..row("hello", LocalCommand::Hello, -1, "Agrees on the protocol, authenticates and names the connection")
};

pub(super) static AUTH: Entry = Entry {
    flags: SET_UP,
    categories: FAST,
    arguments: &[
        Argument::new("username", ArgumentKind::String).optional(),
        Argument::new("password", ArgumentKind::String),
    ],
    ..row("auth", LocalCommand::Auth, -2, "Authenticates the connection")
};

pub(super) static SELECT: Entry = Entry {
    flags: &["loading", "stale", "fast"],
    categories: FAST,
    arguments: &[Argument::new("index", ArgumentKind::Integer)],
    ..row("select", LocalCommand::Select, 2, "Accepts database 0, the only one")
};

pub(super) static INFO: Entry = Entry {
    categories: &["@slow", "@dangerous"],
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    group: "server",
    arguments: &[Argument::new("section", ArgumentKind::String).optional_multiple()],
    ..row("info", LocalCommand::Info, -1, "Tells the state and the counters of the proxy")
};

pub(super) static RESET: Entry = Entry {
    flags: SET_UP,
    categories: FAST,
    since: "6.2.0",
    ..row("reset", LocalCommand::Reset, 1, "Takes the connection back to how it began")
};

pub(super) static QUIT: Entry =
    Entry { flags: SET_UP, categories: FAST, ..row("quit", LocalCommand::Quit, -1, "Closes the connection") };

pub(super) static CLIENT: Entry = Entry {
    action: Action::Subcommands,
    flags: &[],
    categories: &["@slow"],
    since: "2.4.0",
    complexity: "Depends on subcommand.",
    subcommands: &[
        Entry {
            flags: CONNECTION,
            since: "2.6.9",
            ..row("client|getname", LocalCommand::ClientGetName, 2, "Answers the connection's name")
        },
        Entry {
            flags: CONNECTION,
            since: "2.6.9",
            arguments: &[Argument::new("connection-name", ArgumentKind::String)],
            ..row("client|setname", LocalCommand::ClientSetName, 3, "Names the connection")
        },
        Entry {
            flags: CONNECTION,
            since: "7.2.0",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            arguments: &[Argument::one_of(
                "attr",
                &[
                    Argument::new("libname", ArgumentKind::String).token("LIB-NAME"),
                    Argument::new("libver", ArgumentKind::String).token("LIB-VER"),
                ],
            )],
            ..row("client|setinfo", LocalCommand::ClientSetInfo, 4, "Notes the client's library and its version")
        },
        Entry {
            flags: CONNECTION,
            since: "5.0.0",
            ..row("client|id", LocalCommand::ClientId, 2, "Answers the connection's id")
        },
        Entry {
            flags: CONNECTION,
            tips: &["nondeterministic_output"],
            since: "6.2.0",
            ..row("client|info", LocalCommand::ClientInfo, 2, "Tells about the connection")
        },
        Entry {
            flags: ADMINISTRATION,
            categories: &["@admin", "@slow", "@dangerous", "@connection"],
            tips: &["nondeterministic_output"],
            since: "2.4.0",
            complexity: "O(N) where N is the number of client connections",
            arguments: &[
                Argument::one_of(
                    "client-type",
                    &[
                        Argument::pure_token("normal", "NORMAL"),
                        Argument::pure_token("master", "MASTER"),
                        Argument::pure_token("replica", "REPLICA"),
                        Argument::pure_token("pubsub", "PUBSUB"),
                    ],
                )
                .token("TYPE")
                .optional(),
                Argument::new("client-id", ArgumentKind::Integer).token("ID").optional_multiple(),
            ],
            ..row("client|list", LocalCommand::ClientList, -2, "Tells about all connections")
        },
        Entry {
            flags: ADMINISTRATION,
            categories: &["@admin", "@slow", "@dangerous", "@connection"],
            since: "7.0.0",
            arguments: ON_OR_OFF,
            ..row("client|no-evict", LocalCommand::ClientNoEvict, 3, "Accepted without effect: nothing is evicted")
        },
        Entry {
            flags: CONNECTION,
            since: "7.2.0",
            arguments: ON_OR_OFF,
            ..row("client|no-touch", LocalCommand::ClientNoTouch, 3, "Accepted without effect: no key has an age")
        },
        Entry { since: "5.0.0", ..row("client|help", LocalCommand::ClientHelp, 2, HELP) },
    ],
    ..row("client", LocalCommand::ClientHelp, -2, "A container for commands about client connections")
};

pub(super) static COMMAND: Entry = Entry {
    since: "2.8.13",
    group: "server",
    tips: &["nondeterministic_output_order"],
    complexity: ALL_COMMANDS,
    subcommands: &[
        Entry {
            since: "2.8.13",
            group: "server",
            ..row("command|count", LocalCommand::CommandCount, 2, "Answers the number of commands")
        },
        Entry {
            tips: &["nondeterministic_output_order"],
            since: "7.0.0",
            group: "server",
            complexity: ALL_COMMANDS,
            arguments: &[Argument::one_of(
                "filterby",
                &[
                    Argument::new("module-name", ArgumentKind::String).token("MODULE"),
                    Argument::new("category", ArgumentKind::String).token("ACLCAT"),
                    Argument::new("pattern", ArgumentKind::Pattern).token("PATTERN"),
                ],
            )
            .token("FILTERBY")
            .optional()],
            ..row("command|list", LocalCommand::CommandList, -2, "Lists the names of commands")
        },
        Entry {
            tips: &["nondeterministic_output_order"],
            since: "2.8.13",
            group: "server",
            complexity: NAMED_COMMANDS,
            arguments: NAMES,
            ..row("command|info", LocalCommand::CommandInfo, -2, "Tells how commands behave, all or those named")
        },
        Entry {
            tips: &["nondeterministic_output_order"],
            since: "7.0.0",
            group: "server",
            complexity: NAMED_COMMANDS,
            arguments: NAMES,
            ..row("command|docs", LocalCommand::CommandDocs, -2, "Documents commands, all or those named")
        },
        Entry {
            since: "2.8.13",
            group: "server",
            complexity: ALL_ARGUMENTS,
            arguments: FULL_COMMAND,
            ..row("command|getkeys", LocalCommand::CommandGetKeys, -3, "Picks the keys out of a whole command")
        },
        Entry {
            since: "7.0.0",
            group: "server",
            complexity: ALL_ARGUMENTS,
            arguments: FULL_COMMAND,
            ..row(
                "command|getkeysandflags",
                LocalCommand::CommandGetKeysAndFlags,
                -3,
                "Picks the keys out of a whole command, with how it uses them",
            )
        },
        Entry { since: "5.0.0", group: "server", ..row("command|help", LocalCommand::CommandHelp, 2, HELP) },
    ],
    ..row("command", LocalCommand::Command, -1, "Tells how all commands behave")
};

pub(super) static CONFIG: Entry = Entry {
    action: Action::Subcommands,
    flags: &[],
    categories: &["@slow"],
    since: "2.0.0",
    group: "server",
    complexity: "Depends on subcommand.",
    subcommands: &[
        Entry {
            flags: ADMINISTRATION,
            categories: &["@admin", "@slow", "@dangerous"],
            since: "2.0.0",
            group: "server",
            complexity: "O(N) where N is the number of parameters named",
            arguments: &[Argument::block("parameter", &[Argument::new("parameter", ArgumentKind::String)]).multiple()],
            ..row("config|get", LocalCommand::ConfigGet, -3, "Answers the parameters that match, and their values")
        },
        Entry {
            categories: &["@slow"],
            since: "5.0.0",
            group: "server",
            ..row("config|help", LocalCommand::ConfigHelp, 2, HELP)
        },
    ],
    ..row("config", LocalCommand::ConfigHelp, -2, "A container for commands about the configuration")
};

const HELP: &str = "Lists the subcommands";
const ALL_COMMANDS: &str = "O(N) where N is the number of commands";
const NAMED_COMMANDS: &str = "O(N) where N is the number of commands named";
const ALL_ARGUMENTS: &str = "O(N) where N is the number of arguments of the command";

const ON_OR_OFF: &[Argument] =
    &[Argument::one_of("enabled", &[Argument::pure_token("on", "ON"), Argument::pure_token("off", "OFF")])];

const NAMES: &[Argument] = &[Argument::new("command-name", ArgumentKind::String).optional_multiple()];

const FULL_COMMAND: &[Argument] =
    &[Argument::new("command", ArgumentKind::String), Argument::new("arg", ArgumentKind::String).optional_multiple()];
