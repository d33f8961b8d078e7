//! Logs: tracing events to stderr, as text or JSON.
//!
//! A log must never stop what it tells of. Whoever reads our stderr may stall (a full pipe, a stopped terminal), and a
//! plain write would then hold the worker thread that logs, and every client on it. So a line goes into a bounded
//! buffer, and one thread of its own writes the buffer out; what does not fit is dropped, counted and told of once
//! there is room. No line carries a token: the types that hold one show nothing (`lock::Token`, `config::Secret`).

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::limits::{LOG_BUFFER_BYTES, LOG_FLUSH};

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people; in colour on a terminal.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Whether `filter` can be used as a log level; else why not.
///
/// Stricter than tracing: a lone word that is no level would silently be the name of a target (`inof` for `info`).
///
/// # Errors
///
/// A few words for an error message.
pub fn check_filter(filter: &str) -> Result<(), String> {
    parse_filter(filter).map(drop)
}

fn parse_filter(filter: &str) -> Result<EnvFilter, String> {
    if filter.split(',').all(|directive| directive.trim().is_empty()) {
        return Err("it is empty".to_owned());
    }
    let is_level = |word: &str| ["error", "warn", "info", "debug", "trace", "off"].contains(&word);
    // A span's fields may contain a comma; then the parts are not directives, and tracing judges alone.
    if !filter.contains('[') {
        for directive in filter.split(',').map(str::trim) {
            if !directive.contains('=') && !is_level(&directive.to_ascii_lowercase()) {
                return Err(format!("`{}` is no level", directive.escape_debug()));
            }
        }
    }
    EnvFilter::builder().parse(filter).map_err(|error| error.to_string())
}

/// Begins to log; the lines are written until the value that is returned is dropped.
///
/// # Errors
///
/// The filter is not one, or the process logs already.
pub fn start(filter: &str, format: Format) -> Result<LogWriter, String> {
    let filter = parse_filter(filter)?;
    let (lines, writer) = LogWriter::spawn(io::stderr(), LOG_BUFFER_BYTES, |dropped| {
        tracing::warn!(lines = dropped, "log lines were dropped: stderr was not read fast enough");
    })
    .map_err(|error| format!("no thread for the log: {error}"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    let result = match format {
        Format::Text => log.with_ansi(io::stderr().is_terminal()).try_init(),
        Format::Json => log.json().try_init(),
    };
    result.map(|()| writer).map_err(|error| error.to_string())
}

/// Writes what was logged. Dropping it waits for the last lines, up to a second.
#[derive(Debug)]
pub struct LogWriter {
    shared: Arc<Shared>,
}

impl LogWriter {
    /// A buffer of `capacity` bytes that is written to `sink`, and the end that takes the lines. `on_dropped` is told,
    /// from the writing thread, how many lines did not fit.
    fn spawn(
        sink: impl Write + Send + 'static,
        capacity: usize,
        on_dropped: impl Fn(u64) + Send + 'static,
    ) -> io::Result<(Lines, Self)> {
        let state = State { waiting: Vec::new(), dropped: 0, writing: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), capacity });
        let for_thread = shared.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || for_thread.write_to(sink, on_dropped))?;
        Ok((Lines { shared: shared.clone() }, Self { shared }))
    }

    /// Waits until everything logged so far is written, but no longer than `longest`. Whether it was.
    fn flush(&self, longest: Duration) -> bool {
        let busy = |state: &mut State| state.writing || !state.waiting.is_empty() || state.dropped > 0;
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), longest, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.flush(LOG_FLUSH);
    }
}

/// Takes lines; never waits for stderr.
#[derive(Debug, Clone)]
struct Lines {
    shared: Arc<Shared>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Lines;

    fn make_writer(&'a self) -> &'a Lines {
        self
    }
}

impl Write for &Lines {
    /// Takes a whole event, which is how tracing-subscriber writes: a line is kept or dropped, never cut.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.shared.lock();
        if line.len() > self.shared.capacity.saturating_sub(state.waiting.len()) {
            state.dropped += 1;
        } else {
            state.waiting.extend_from_slice(line);
        }
        drop(state);
        self.shared.changed.notify_all();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State {
    /// Lines that the thread has not taken yet.
    waiting: Vec<u8>,
    /// Lines that did not fit and have not been told of yet.
    dropped: u64,
    /// Whether the thread is writing what it took.
    writing: bool,
}

impl Shared {
    /// A thread that panicked while it held the lock left nothing half done: every change is one assignment or append.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes for ever; the process ends around it.
    fn write_to(&self, mut sink: impl Write, on_dropped: impl Fn(u64)) {
        let mut lines = Vec::new();
        loop {
            let idle = |state: &mut State| state.waiting.is_empty() && state.dropped == 0;
            let mut state = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            let dropped = std::mem::take(&mut state.dropped);
            std::mem::swap(&mut state.waiting, &mut lines);
            state.writing = true;
            drop(state);
            // A stderr that is gone is nothing that could be told of anywhere.
            let _ = sink.write_all(&lines).and_then(|()| sink.flush());
            lines.clear();
            if dropped > 0 {
                on_dropped(dropped);
            }
            self.lock().writing = false;
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Tells of each write, and finishes it only when it is let.
    struct Stalling {
        arrived: Sender<Vec<u8>>,
        proceed: Receiver<()>,
    }

    impl Write for Stalling {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.arrived.send(bytes.to_vec()).map_err(io::Error::other)?;
            self.proceed.recv().map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stalled_stderr_stops_nobody_and_the_lines_lost_are_counted() {
        let ((arrived, written), (go, proceed), (told, drops)) = (channel(), channel(), channel());
        let on_dropped = move |dropped| told.send(dropped).expect("the test is there");
        let (lines, log) = LogWriter::spawn(Stalling { arrived, proceed }, 10, on_dropped).expect("a thread");

        (&lines).write_all(b"first\n").expect("never fails");
        assert_eq!(written.recv().expect("written"), b"first\n");
        // The thread hangs in its write. Ten bytes fit into the buffer; the rest is dropped, and nobody waits.
        for line in [b"1234\n", b"5678\n", b"lost\n", b"gone\n"] {
            (&lines).write_all(line).expect("never fails");
        }
        assert!(!log.flush(Duration::ZERO), "nothing has been written yet");

        go.send(()).expect("the thread is there");
        assert_eq!(written.recv().expect("written"), b"1234\n5678\n");
        go.send(()).expect("the thread is there");
        assert_eq!(drops.recv().expect("told"), 2);
        assert!(log.flush(Duration::from_secs(30)));
    }

    #[test]
    fn the_last_line_is_written_before_the_process_ends() {
        let ((arrived, written), (go, proceed)) = (channel(), channel());
        let (lines, log) = LogWriter::spawn(Stalling { arrived, proceed }, 100, |_| ()).expect("a thread");
        (&lines).write_all(b"goodbye\n").expect("never fails");
        go.send(()).expect("the thread is there");
        drop(log);
        assert_eq!(written.try_recv().expect("written by now"), b"goodbye\n");
    }

    #[test]
    fn a_filter_is_levels_and_targets_and_no_slip_of_the_pen() {
        for filter in
            ["info", "WARN", "off", "redlock_proxy=debug,warn", "redlock_proxy::primary=trace", "[client{id=7}]=debug"]
        {
            assert_eq!(check_filter(filter), Ok(()), "{filter}");
        }
        for (filter, reason) in [
            ("", "it is empty"),
            (" , ", "it is empty"),
            ("inof", "`inof` is no level"),
            ("info,redlock_proxy", "`redlock_proxy` is no level"),
            ("redlock_proxy=loud", "expected one of"),
            ("[client=debug", "invalid"),
        ] {
            let error = check_filter(filter).expect_err(filter);
            assert!(error.contains(reason), "{filter}: {error}");
        }
    }
}
