//! A time of day that can be set, for one program: a server, or the proxy.
//!
//! Debian's libfaketime stands between the program and the C library, which it asks for the time. Redis hangs under it
//! ([`Kind::can_be_shown_a_clock`]).

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::proxy::ProxyOptions;
use crate::servers::{Kind, ServerOptions};

/// A time of day that can be set. The program's monotonic clock stays the machine's.
#[derive(Debug)]
pub struct WallClock {
    folder: TempDir,
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}

impl WallClock {
    /// A clock that shows the machine's time.
    pub fn new() -> Self {
        let clock = Self { folder: TempDir::new().expect("a temporary folder") };
        clock.shift("+0");
        clock
    }

    /// From now on it is so much later than it is, or earlier: `+10y`, `-10y`, `+90` (seconds).
    pub fn shift(&self, offset: &str) {
        // Replaced rather than rewritten: it is read at any moment.
        let new = self.folder.path().join("new");
        fs::write(&new, offset).and_then(|()| fs::rename(&new, self.file())).expect("the folder is ours");
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }

    /// What a program needs in its environment to be shown this time of day.
    fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", libfaketime().display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}

impl ProxyOptions {
    /// The proxy is shown this time of day.
    #[must_use]
    pub fn shown(self, clock: &WallClock) -> Self {
        clock.environment().into_iter().fold(self, |options, (name, value)| options.environment(name, value))
    }
}

impl ServerOptions {
    /// The server is shown this time of day.
    #[must_use]
    pub fn shown(mut self, clock: &WallClock) -> Self {
        self.environment.extend(clock.environment().map(|(name, value)| (name.to_owned(), value)));
        self
    }
}

impl Kind {
    /// Whether servers of this kind run under libfaketime.
    pub fn can_be_shown_a_clock(self) -> bool {
        self == Kind::Valkey
    }
}

fn libfaketime() -> PathBuf {
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(Path::new);
    let architectures = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let mut candidates = folders.iter().map(PathBuf::from).chain(architectures.map(|entry| entry.path()));
    candidates
        .find_map(|folder| Some(folder.join("faketime/libfaketimeMT.so.1")).filter(|file| file.is_file()))
        .expect("libfaketime is installed: run `make setup`")
}

/// Removes what libfaketime keeps in shared memory for the process of this number, which was killed.
pub(crate) fn clean_up_after(process: u32) {
    for file in left_by(process) {
        // Most processes are shown no clock.
        fs::remove_file(file).ok();
    }
}

/// What is there of a process that is shown a clock, and of nobody else.
pub(crate) fn left_by(process: u32) -> [PathBuf; 2] {
    [format!("faketime_shm_{process}"), format!("sem.faketime_sem_{process}")]
        .map(|name| Path::new("/dev/shm").join(name))
}
