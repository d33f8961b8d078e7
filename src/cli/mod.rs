//! The command line: what was asked for, done, as an exit code.
//!
//! stdout carries only what was asked for (`check`'s YAML, `ping`'s answer, help); everything else goes to stderr.
//! Exit codes are those of `sysexits.h`, so that a service manager can tell a wrong configuration, which a restart
//! does not mend, from an address that is taken, which it may.

pub mod args;
pub mod dev;
mod check;
mod ping;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use args::{Arguments, Command};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for has been done.
    Done = 0,
    /// The command line is wrong.
    Usage = 64,
    /// An address cannot be bound, or nobody answers there.
    Unavailable = 69,
    /// The configuration is wrong.
    Configuration = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Reads the command line. Help and version are printed here, and so is what is wrong.
///
/// # Errors
///
/// There is nothing to run: the exit code says why.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, Exit> {
    Arguments::try_parse_from(arguments).map_err(|error| {
        // A reader that is gone is nothing that could be told of.
        let _ = error.print();
        if error.use_stderr() { Exit::Usage } else { Exit::Done }
    })
}

/// Does what was asked for instead of running the proxy.
pub fn run(command: Command) -> ExitCode {
    match command {
        Command::Check(settings) => check::run(settings).into(),
        Command::Ping(ping) => ping::run(&ping).into(),
        Command::Dev(dev) => dev::run(dev),
        Command::ExecPrimary(primary) => dev::exec(primary),
    }
}

/// Prints what was asked for. A reader that is gone has seen enough.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_one_that_clap_can_use() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_program_of_dev_gets_its_arguments_untouched() {
        let line = ["redlock-proxy", "exec-primary", "/bin/redis-server", "--port", "1", "--", "-x", "--help"];
        let parsed = parse(line.map(OsString::from)).expect("right");
        let Some(Command::ExecPrimary(primary)) = parsed.command else { panic!("another command") };
        assert_eq!(primary.program.as_os_str(), "/bin/redis-server");
        assert_eq!(primary.arguments, ["--port", "1", "--", "-x", "--help"]);
    }

    #[test]
    fn dev_starts_three_primaries_unless_told_otherwise() {
        let dev = |line: &[&str]| match parse([&["redlock-proxy", "dev"], line].concat().iter().map(OsString::from)) {
            Ok(Arguments { command: Some(Command::Dev(dev)), .. }) => Ok(dev),
            Ok(_) => panic!("another command"),
            Err(exit) => Err(exit),
        };
        let plain = dev(&[]).expect("right");
        assert_eq!((plain.primaries, plain.server, plain.listen), (3, None, None));
        let full = dev(&["--primaries", "5", "--server", "/x", "--listen", "127.0.0.1:0"]).expect("right");
        assert_eq!((full.primaries, full.server), (5, Some("/x".into())));
        assert_eq!(full.listen.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:0"));
        for wrong in [["--primaries", "0"], ["--primaries", "10"], ["--listen", "nowhere"]] {
            assert_eq!(dev(&wrong).expect_err("wrong"), Exit::Usage, "{wrong:?}");
        }
    }
}
