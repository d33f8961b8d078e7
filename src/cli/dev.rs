//! `redlock-proxy dev`: a whole set-up to try out on one machine, gone without a trace afterwards.
//!
//! It starts real servers, not imitations, the primaries that vote and one more as the upstream of everything else. So
//! what is seen here is what production does: one may be killed or stopped by hand, and the locks go on. Everything is in memory and on loopback ports; the one folder holds the
//! servers' logs and is removed at the end. The proxy itself is the ordinary one, from the ordinary configuration:
//! what `dev` decides is handed over as flags would be, so that environment variables still set the rest.
//!
//! Not for production: servers on one machine fail together, and it listens without a password unless one is set.

mod local_primary;
mod program;

use std::env;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::args::{DevArgs, ExecPrimaryArgs, SettingsArgs};
use super::{Exit, print};
use crate::config::{Address, Config, Problems};
use crate::server::{BindError, Server};
use crate::telemetry;

use local_primary::{LocalPrimary, StartError};
use program::{Program, ProgramError};

/// Where redis-cli looks when it is told nothing.
const USUAL_PORT: u16 = 6379;
/// How many ports from there on are tried before giving up.
const PORTS_TRIED: u16 = 100;

/// Starts everything, and returns when it has ended and everything is down again.
///
/// Must be called on the main thread: the servers' lives are tied to the thread that starts them.
pub(super) fn run(args: DevArgs) -> ExitCode {
    let ended = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(try_out(args)),
        Err(source) => Err(DevError::System { what: "start the runtime", source }),
    };
    let exit = match ended {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("{error}");
            if matches!(error, DevError::Config(_)) { Exit::Configuration } else { Exit::Unavailable }
        }
    };
    exit.into()
}

/// Becomes the server that `dev` asked for. Returns only when it cannot; `dev` shows the reason, from the server's log.
pub(super) fn exec(ExecPrimaryArgs { program, arguments }: ExecPrimaryArgs) -> ExitCode {
    let error = local_primary::exec_primary(&program, arguments);
    eprintln!("cannot run {}: {error}", program.display());
    Exit::Unavailable.into()
}

/// Why there is nothing to try out.
#[derive(Debug, thiserror::Error)]
enum DevError {
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("{name}: {source}")]
    Start { name: String, source: StartError },
    #[error(
        "127.0.0.1:{USUAL_PORT} and the {PORTS_TRIED} ports after it are taken: name another address with --listen"
    )]
    NoPort,
    #[error(transparent)]
    Config(#[from] Problems),
    #[error("cannot log: {0}")]
    Log(String),
    #[error(transparent)]
    Server(#[from] BindError),
    #[error("cannot {what}: {source}")]
    System { what: &'static str, source: io::Error },
}

async fn try_out(args: DevArgs) -> Result<(), DevError> {
    // From here on these signals no longer end the program by themselves, so that no server is ever left to itself.
    let mut ending = Ending::listen().map_err(cannot("receive signals"))?;
    let search_path = env::var_os("PATH").unwrap_or_default();
    let program = Program::find(args.server.as_deref(), &search_path).await?;
    let folder = tempfile::Builder::new().prefix("redlock-proxy-dev-").tempdir().map_err(cannot("make a folder"))?;

    let servers = tokio::select! {
        servers = start_servers(&program, args.primaries.into(), folder.path()) => servers?,
        () = ending.wait() => return Ok(()),
    };
    let addresses = Addresses {
        upstream: servers.upstream.address,
        primaries: servers.primaries.iter().map(|primary| primary.address).collect(),
    };
    let (listen, port_note) = where_to_listen(args.listen)?;
    let announce = |listening: &[Address]| {
        print(&(port_note + &description(&program, &addresses, folder.path(), listening)));
    };

    let (up, looked_after) = look_after(servers);
    let served = serve(&addresses, &listen, announce, ending).await;
    drop(up);
    looked_after.join_all().await;
    folder.close().map_err(cannot("remove the folder"))?;
    served
}

/// The servers that `dev` runs.
struct Servers {
    upstream: LocalPrimary,
    primaries: Vec<LocalPrimary>,
}

/// Where they listen.
struct Addresses {
    upstream: SocketAddr,
    primaries: Vec<SocketAddr>,
}

/// The proxy itself, from what `--primary ADDR… --upstream ADDR --listen ADDR` would make of the configuration to its last connection.
/// The first signal drains it, a second one ends it at once.
async fn serve(
    addresses: &Addresses,
    listen: &Address,
    announce: impl FnOnce(&[Address]),
    mut ending: Ending,
) -> Result<(), DevError> {
    let flags = SettingsArgs {
        primaries: addresses.primaries.iter().map(ToString::to_string).collect(),
        upstream: Some(addresses.upstream.to_string()),
        listen: vec![listen.to_string()],
        // Nobody has ever held a lock there.
        set: vec![("new_set".to_owned(), "at_once".to_owned())],
        ..SettingsArgs::default()
    };
    let (config, warnings) = Config::load(&flags.sources(env::vars_os()))?;
    // Kept to the end: dropping it writes the last lines.
    let _log = telemetry::start(&config.log.level, config.log.format).map_err(DevError::Log)?;
    for warning in warnings {
        warn!("{warning}");
    }

    let server = Server::bind(config).await?;
    announce(server.local_addresses());
    let (tell, told) = oneshot::channel();
    let signals = async {
        ending.wait().await;
        info!("shutting down; a second signal ends at once");
        // The server may have ended of itself.
        let _ = tell.send(());
        ending.wait().await;
    };
    tokio::select! {
        () = server.run(async { _ = told.await }) => {}
        () = signals => {}
    }
    Ok(())
}

async fn start_servers(program: &Program, count: usize, folder: &Path) -> Result<Servers, DevError> {
    // One after the other, on this task: see `LocalPrimary::start` on the thread, and a port that is in use is not found
    // free a second time.
    let mut primaries = Vec::with_capacity(count);
    for number in 1..=count {
        primaries.push(start(program, format!("primary-{number}"), folder).await?);
    }
    Ok(Servers { primaries, upstream: start(program, "upstream".to_owned(), folder).await? })
}

async fn start(program: &Program, name: String, folder: &Path) -> Result<LocalPrimary, DevError> {
    LocalPrimary::start(program, &name, folder).await.map_err(|source| DevError::Start { name, source })
}

/// Reports a server that ends by itself, and takes all of them down when the sender is dropped: a task ends when its
/// server has.
fn look_after(servers: Servers) -> (watch::Sender<()>, JoinSet<()>) {
    let (up, still_up) = watch::channel(());
    let mut tasks = JoinSet::new();
    let primaries = (1..).zip(servers.primaries).map(|(number, primary)| (format!("primary {number}"), primary));
    for (name, mut server) in primaries.chain([("the upstream".to_owned(), servers.upstream)]) {
        let mut still_up = still_up.clone();
        tasks.spawn(async move {
            tokio::select! {
                ended = server.ended() => {
                    let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                    warn!(address = %server.address, "{name} has ended ({how}); it will not be started again");
                }
                _ = still_up.changed() => server.kill().await,
            }
        });
    }
    (up, tasks)
}

/// The signals that end the program: Ctrl-C, `kill`, and the terminal's closing.
struct Ending([Signal; 3]);

impl Ending {
    fn listen() -> io::Result<Self> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// The address to listen on, and what there is to say about it. An address that was asked for is taken as it is, and
/// fails where the proxy binds it if somebody else has it.
fn where_to_listen(wanted: Option<Address>) -> Result<(Address, String), DevError> {
    if let Some(wanted) = wanted {
        return Ok((wanted, String::new()));
    }
    let port = first_free(USUAL_PORT).ok_or(DevError::NoPort)?;
    let note = if port == USUAL_PORT { String::new() } else { format!("{USUAL_PORT} is taken, using {port}\n") };
    Ok((Address::Tcp { host: Ipv4Addr::LOCALHOST.to_string(), port }, note))
}

fn first_free(from: u16) -> Option<u16> {
    (from..=from.saturating_add(PORTS_TRIED)).find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
}

fn cannot(what: &'static str) -> impl FnOnce(io::Error) -> DevError {
    move |source| DevError::System { what, source }
}

/// What is where, and the command to try.
fn description(program: &Program, addresses: &Addresses, folder: &Path, listening: &[Address]) -> String {
    let Program { path, kind, version } = program;
    let mut text = format!("{kind} {version} ({})\n", path.display());
    for (number, address) in (1..).zip(&addresses.primaries) {
        let _ = writeln!(text, "  primary {number}  {address}");
    }
    let _ = writeln!(text, "  upstream   {}", addresses.upstream);
    let _ = writeln!(text, "  folder     {} (the servers' logs; removed at the end)", folder.display());
    for address in listening {
        let _ = writeln!(text, "  listening  {address}");
    }
    if let Some(address) = listening.first() {
        let _ = writeln!(text, "\ntry: {} RLOCK job 30000", redis_cli(address));
    }
    text
}

/// How redis-cli is told this address; it finds 127.0.0.1 by itself.
fn redis_cli(address: &Address) -> String {
    match address {
        Address::Unix(path) => format!("redis-cli -s {}", path.display()),
        Address::Tcp { host, port } if ["127.0.0.1", "localhost", "0.0.0.0"].contains(&host.as_str()) => {
            format!("redis-cli -p {port}")
        }
        Address::Tcp { host, port } => format!("redis-cli -h {host} -p {port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::program::Kind;
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.into(), port }
    }

    #[test]
    fn the_command_to_try_reaches_the_address() {
        for (address, command) in [
            (tcp("127.0.0.1", 6380), "redis-cli -p 6380"),
            (tcp("0.0.0.0", 6379), "redis-cli -p 6379"),
            (tcp("::1", 6379), "redis-cli -h ::1 -p 6379"),
            (tcp("10.0.0.2", 7000), "redis-cli -h 10.0.0.2 -p 7000"),
            (Address::Unix("/run/redlock.sock".into()), "redis-cli -s /run/redlock.sock"),
        ] {
            assert_eq!(redis_cli(&address), command);
        }
    }

    #[test]
    fn the_description_says_what_is_where_and_what_to_try() {
        let program = Program { path: "/usr/bin/valkey-server".into(), kind: Kind::Valkey, version: "9.1.2".into() };
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let addresses = Addresses { upstream: local(7003), primaries: vec![local(7001), local(7002)] };
        let text = description(&program, &addresses, Path::new("/folder"), &[tcp("127.0.0.1", 6379)]);
        assert_eq!(
            text,
            "Valkey 9.1.2 (/usr/bin/valkey-server)\n\
             \x20 primary 1  127.0.0.1:7001\n\
             \x20 primary 2  127.0.0.1:7002\n\
             \x20 upstream   127.0.0.1:7003\n\
             \x20 folder     /folder (the servers' logs; removed at the end)\n\
             \x20 listening  127.0.0.1:6379\n\
             \n\
             try: redis-cli -p 6379 RLOCK job 30000\n"
        );
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = taken.local_addr().expect("its address").port();
        let free = first_free(port).expect("one of a hundred is free");
        assert!(free > port);
        drop(taken);
        assert_eq!(first_free(port), Some(port));
    }
}
