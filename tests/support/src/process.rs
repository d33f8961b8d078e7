//! Child processes that never outlive the test process.
//!
//! A test process may end in any way: a panic, `process::exit` behind the last test, SIGKILL by an impatient runner. Destructors
//! run in few of them, so each child is started through `setpriv --pdeathsig KILL`: the kernel kills it when its parent dies. The
//! parent, to the kernel, is the *thread* that forked. A test's own thread ends with the test, long before a shared server may, so
//! one thread of the process's lifetime does all the forking.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::waiting::{LOOK_EVERY, PATIENCE};
use crate::wall_clock::clean_up_after;

/// A command that runs `program`, killed by the kernel when the test process ends.
pub(crate) fn command(program: &Path) -> Command {
    static SETPRIV: OnceLock<PathBuf> = OnceLock::new();
    let setpriv = SETPRIV.get_or_init(|| {
        on_path("setpriv").unwrap_or_else(|| panic!("setpriv (Debian: util-linux) is not on PATH: run `make setup`"))
    });
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// What a process takes, as `/proc` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Resident memory.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// Time of processors that it has used so far, its own and the system's on its behalf; counted in hundredths of a second.
    pub processor: Duration,
}

/// Where `program` is found along PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A running child, or one that has ended and whose status is known.
///
/// It is signalled only while it has not been waited for: until then its process id cannot be somebody else's.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    id: u32,
    child: Mutex<Child>,
}

impl Process {
    /// Starts `command` (made by [`command`]) from the thread that lives as long as this process.
    pub(crate) fn spawn(name: impl Into<String>, command: Command) -> Self {
        let name = name.into();
        let (answer, answered) = mpsc::channel();
        spawner().send((command, answer)).expect("the spawning thread lives as long as the process");
        let child = answered.recv().expect("the spawning thread answers every order");
        let child = child.unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { name, id: child.id(), child: Mutex::new(child) }
    }

    /// The child's process id (that of the program: `setpriv` execs it).
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// What it was called, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The child itself, to take its pipes.
    pub(crate) fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it ended, if it has.
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        self.child().try_wait().unwrap_or_else(|error| panic!("cannot wait for {}: {error}", self.name))
    }

    /// Sends a signal; nothing happens when the process has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let mut child = self.child();
        if matches!(child.try_wait(), Ok(None)) {
            kill_process(Pid::from_child(&child), signal)
                .unwrap_or_else(|error| panic!("cannot send {signal:?} to {}: {error}", self.name));
        }
    }

    /// SIGKILL, and waits until the process is gone and its sockets with it.
    pub(crate) fn kill(&self) {
        let mut child = self.child();
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        // An error means that it has ended by itself, which is as good.
        let _ = child.kill();
        let _ = child.wait();
        clean_up_after(self.id);
    }

    /// SIGSTOP, and waits until the process has in fact stopped: the signal is delivered some time after the call.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        let started = Instant::now();
        while self.state() != Some('T') {
            assert!(started.elapsed() < PATIENCE, "{} does not stop", self.name);
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits for the end of the process; panics when it has not ended after [`PATIENCE`].
    pub(crate) async fn wait_exit(&self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.exit_status() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "{} has not ended after {PATIENCE:?}", self.name);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether this very process listens on `port`: what answers there might be another's, while ours is about to find it taken.
    pub(crate) fn listens_on(&self, port: u16) -> bool {
        const LISTENING: &str = "0A";
        let sockets = fs::read_to_string("/proc/net/tcp").expect("/proc is mounted");
        let suffix = format!(":{port:04X}");
        let listening = sockets.lines().filter_map(|line| {
            // Number, local address, remote address, state, queues, timer, retransmits, user, timeout, inode.
            let fields: Vec<&str> = line.split_whitespace().take(10).collect();
            let matches = fields.len() == 10 && fields[1].ends_with(&suffix) && fields[3] == LISTENING;
            matches.then(|| PathBuf::from(format!("socket:[{}]", fields[9])))
        });
        let listening: Vec<PathBuf> = listening.collect();
        // A process that has just ended has no descriptors to read.
        let Ok(descriptors) = fs::read_dir(format!("/proc/{}/fd", self.id)) else { return false };
        descriptors
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|target| listening.contains(&target))
    }

    /// Memory, descriptors and time; panics when the process has ended.
    pub(crate) fn footprint(&self) -> Footprint {
        let gone = |error| panic!("{} cannot be measured: {error}", self.name);
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap_or_else(gone);
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        let resident = resident.unwrap_or_else(|| panic!("{} has ended", self.name));
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.id))
            .map_or_else(|error| panic!("{}: {error}", self.name), Iterator::count);
        // The times stand in the 14th and 15th place, in ticks, of which Linux shows a hundred a second whatever it counts.
        let ticks = |field: usize| self.stat()?.split(' ').nth(field - 3)?.parse::<u64>().ok();
        let ticks = ticks(14).zip(ticks(15)).unwrap_or_else(|| panic!("{} has ended", self.name));
        let processor = Duration::from_millis(10 * (ticks.0 + ticks.1));
        Footprint { resident_bytes: resident * 1024, descriptors, processor }
    }

    /// The one-letter state.
    fn state(&self) -> Option<char> {
        self.stat()?.chars().next()
    }

    /// `/proc/<id>/stat` from its third field on: behind the last parenthesis, since the program's name may hold any.
    fn stat(&self) -> Option<String> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id)).ok()?;
        Some(stat.rsplit_once(") ")?.1.to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

fn spawner() -> &'static mpsc::Sender<Order> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (orders, received) = mpsc::channel::<Order>();
        let spawn_all = move || {
            for (mut command, answer) in received {
                // Who ordered may have panicked meanwhile; the child is then dropped unheard, and dies with this process.
                let _ = answer.send(command.spawn());
            }
        };
        thread::Builder::new().name("spawner".into()).spawn(spawn_all).expect("a thread can be started");
        orders
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_process_and_its_code_are_seen() {
        let mut shell = command(Path::new("/bin/sh"));
        shell.args(["-c", "exit 7"]);
        let process = Process::spawn("a shell", shell);
        assert_eq!(process.wait_exit().await.code(), Some(7));
        // Signalling it now must not reach whoever has its number.
        process.signal(Signal::TERM);
    }

    #[test]
    fn children_outlive_the_thread_that_asked_for_them() {
        let ask = || {
            let mut sleep = command(Path::new("/bin/sleep"));
            sleep.arg("1000");
            Process::spawn("sleep", sleep)
        };
        let process = thread::spawn(ask).join().expect("the thread ends by itself");
        // The parent-death signal would have been sent when that thread ended; what is sent is delivered at once to a sleeper.
        thread::sleep(Duration::from_millis(50));
        assert!(process.exit_status().is_none());
    }

    #[test]
    fn children_die_with_the_process_that_started_them() {
        // A shell stands for the test process: it starts a child as `command` does, tells its id and is killed.
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", "setpriv --pdeathsig KILL -- sleep 1000 & echo $!; wait"])
            .stdout(std::process::Stdio::piped());
        let mut shell = shell.spawn().expect("a shell can be started");
        let mut line = String::new();
        let output = shell.stdout.take().expect("its output is piped");
        io::BufRead::read_line(&mut io::BufReader::new(output), &mut line).expect("the shell tells an id");
        let program = format!("/proc/{}/comm", line.trim());
        let is_sleep = || fs::read_to_string(&program).is_ok_and(|name| name.trim() == "sleep");
        let wait = |wanted: bool| {
            let started = Instant::now();
            while is_sleep() != wanted {
                assert!(started.elapsed() < PATIENCE, "waited in vain for sleep to be there: {wanted}");
                thread::sleep(Duration::from_millis(2));
            }
        };
        wait(true);
        shell.kill().expect("the shell is there");
        shell.wait().expect("the shell has ended");
        wait(false);
    }
}
