//! A long pipeline from a client that writes everything before it looks at a reply.

use std::fmt::Write;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use bench::numbers::grouped;
use bench::programs;
use support::Value;

const COMMANDS: usize = 200_000;

/// Pipes so many commands through the proxy and looks whether all of them have been run.
pub(crate) async fn measure(binary: &Path) {
    let (upstream, proxy) = super::front(binary).await;
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
    let port = proxy.port().to_string();
    let arguments = ["-h", "127.0.0.1", "-p", &port, "--pipe"];
    let began = Instant::now();
    let printed = programs::output("redis-cli", &arguments, File::open(&file).expect("it was written")).await;
    let took = began.elapsed();
    assert!(printed.contains(&format!("errors: 0, replies: {COMMANDS}")), "{printed}");
    assert_eq!(upstream.command(&["DBSIZE"]).await, Value::Integer(COMMANDS.try_into().expect("a small number")));
    println!("## redis-cli --pipe\n");
    println!("{COMMANDS} commands, no error: {} a second.\n", grouped(COMMANDS as f64 / took.as_secs_f64()));
}
