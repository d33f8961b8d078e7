//! A long pipeline from a client that writes everything before it looks at a reply: `redis-cli --pipe`.

use std::fmt::Write;
use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

use serde_json::json;
use support::Value;

use crate::front::Front;
use crate::numbers::grouped;
use crate::programs;
use crate::results::Section;

const COMMANDS: usize = 200_000;

/// Pipes so many commands through the proxy and looks whether all of them have been run.
pub fn measure(front: &Front) -> Section {
    eprintln!("redis-cli --pipe");
    let mut commands = String::new();
    for number in 0..COMMANDS {
        let key = format!("key:{number}");
        // Writing to a string cannot fail.
        let _ = write!(commands, "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$5\r\nvalue\r\n", key.len());
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("commands");
    File::create(&file).and_then(|mut file| file.write_all(commands.as_bytes())).expect("a file in a new folder");
    let port = front.proxy.port().to_string();
    let arguments = ["-h", "127.0.0.1", "-p", &port, "--pipe"];
    let input = File::open(&file).expect("it was written");
    front.wait(async { front.upstream.command(&["FLUSHALL"]).await });
    let began = Instant::now();
    let printed = front.wait(programs::output("redis-cli", &arguments, input));
    let took = began.elapsed();
    assert!(printed.contains(&format!("errors: 0, replies: {COMMANDS}")), "{printed}");
    let there = front.wait(front.upstream.command(&["DBSIZE"]));
    assert_eq!(there, Value::Integer(COMMANDS.try_into().expect("a small number")));
    let per_second = COMMANDS as f64 / took.as_secs_f64();
    Section {
        title: "redis-cli --pipe".into(),
        text: format!(
            "{} commands through the proxy, no error: {} a second.\n",
            grouped(COMMANDS as f64),
            grouped(per_second)
        ),
        json: json!({"case": "pipe", "commands": COMMANDS, "per_second": per_second}),
        ..Section::default()
    }
}
