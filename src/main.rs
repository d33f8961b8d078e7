//! The shell around the library: arguments, configuration, logs, runtime, signals, exit code.

use std::env;
use std::process::ExitCode;

use redlock_proxy::cli::args::{Arguments, SettingsArgs};
use redlock_proxy::cli::{self, Exit};
use redlock_proxy::config::Config;
use redlock_proxy::server::Server;
use redlock_proxy::telemetry;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

fn main() -> ExitCode {
    match cli::parse(env::args_os()) {
        Ok(Arguments { command: Some(command), .. }) => cli::run(command),
        Ok(Arguments { command: None, settings }) => serve(settings).into(),
        Err(exit) => exit.into(),
    }
}

/// Runs the proxy until it is told to stop.
fn serve(settings: SettingsArgs) -> Exit {
    let (config, warnings) = match Config::load(&settings.sources(env::vars_os())) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprintln!("{problems}");
            return Exit::Configuration;
        }
    };
    // Kept to the end: dropping it writes the last lines.
    let _log = match telemetry::start(&config.log.level, config.log.format) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("cannot log: {error}");
            return Exit::Unavailable;
        }
    };
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let runtime = match runtime(config.worker_threads) {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start threads");
            return Exit::Unavailable;
        }
    };
    let exit = runtime.block_on(bind_and_run(config));
    // What is still running has had its grace, or was told to stop at once.
    runtime.shutdown_background();
    exit
}

/// 0 threads: one per core.
fn runtime(worker_threads: usize) -> std::io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if worker_threads > 0 {
        builder.worker_threads(worker_threads);
    }
    builder.enable_all().thread_name("worker").build()
}

/// The server from its first socket to its last: the one place that knows it.
async fn bind_and_run(config: Config) -> Exit {
    let mut stop = match StopSignals::new() {
        Ok(stop) => stop,
        Err(error) => {
            tracing::error!(%error, "cannot receive signals");
            return Exit::Unavailable;
        }
    };
    let server = match Server::bind(config).await {
        Ok(server) => server,
        Err(error) => {
            tracing::error!("{error}");
            return Exit::Unavailable;
        }
    };
    let (tell, told) = tokio::sync::oneshot::channel();
    let signals = async {
        let first = stop.next().await;
        tracing::info!("{first}: shutting down; a second signal ends at once");
        // The server may have ended of itself.
        let _ = tell.send(());
        stop.next().await
    };
    tokio::select! {
        () = server.run(async { _ = told.await }) => tracing::info!("shut down"),
        second = signals => tracing::warn!("{second}: ending at once"),
    }
    Exit::Done
}

/// SIGTERM and SIGINT; SIGHUP is told of and ignored.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The name of the next signal to stop.
    async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => tracing::info!("SIGHUP: ignored; the configuration is read at start only"),
            }
        }
    }
}
