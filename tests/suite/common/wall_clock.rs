//! A time of day that can be set.

use std::fs;
use std::path::{Path, PathBuf};

use support::ProxyOptions;
use tempfile::TempDir;

/// Debian's libfaketime, which shows a program another time of day.
fn libfaketime() -> PathBuf {
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(Path::new);
    let architectures = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let mut candidates = folders.iter().map(PathBuf::from).chain(architectures.map(|entry| entry.path()));
    candidates
        .find_map(|folder| Some(folder.join("faketime/libfaketimeMT.so.1")).filter(|file| file.is_file()))
        .expect("libfaketime is installed: run `make setup`")
}

/// A time of day that can be set, for one program.
pub(crate) struct WallClock {
    folder: TempDir,
}

impl WallClock {
    pub(crate) fn new() -> Self {
        let clock = Self { folder: TempDir::new().expect("a temporary folder") };
        clock.shift("+0");
        clock
    }

    /// From now on it is so much later than it is, or earlier: `+10y`, `-10y`.
    pub(crate) fn shift(&self, offset: &str) {
        // Replaced rather than rewritten: it is read at any moment.
        let new = self.folder.path().join("new");
        fs::write(&new, offset).and_then(|()| fs::rename(&new, self.file())).expect("the folder is ours");
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }

    /// libfaketime stands between the program and the C library, which the standard library asks for the time of day.
    pub(crate) fn shown_to(&self, options: ProxyOptions) -> ProxyOptions {
        self.environment().into_iter().fold(options, |options, (name, value)| options.environment(&name, value))
    }

    /// What a program needs in its environment to be shown this time of day. Its monotonic clock stays the machine's.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        [
            ("LD_PRELOAD", libfaketime().display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}
