//! A runtime on a thread of its own, for what must go on while a test blocks.
//!
//! A test may block its only thread in a child program, pause tokio's clock, or end its runtime while a relay is still in use by
//! another. So the relay and the scripted node run beside the test, on the real clock, and are gone when their owner is dropped.

use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A current-thread runtime on its own thread; dropping it ends every task on it and waits for that.
#[derive(Debug)]
pub(crate) struct Background {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub(crate) fn start(name: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            // Either way, told or dropped, it is the end.
            let _ = runtime.block_on(stopped);
        };
        let thread = thread::Builder::new().name(name.into()).spawn(run).expect("a thread can be started");
        Self { handle, stop: Some(stop), thread: Some(thread) }
    }

    /// Where to spawn.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed; a second one in a destructor would abort.
            let _ = thread.join();
        }
    }
}
