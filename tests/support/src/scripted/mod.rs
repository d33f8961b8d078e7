//! A server that answers what a test wants, and remembers what it was asked.
//!
//! A real server cannot be made to say at will that it is out of memory, to run a command and lose its reply, to answer garbage
//! or to be slow for one command only. This one can. Left alone it behaves like a small Redis 7 (`store`) that takes part in
//! a quorum: what a proxy asks on connecting is answered, and strings with an expiry are kept. It can be
//! marked, and runs no other scripts: EVALSHA says NOSCRIPT and EVAL an error, until a test says what they do
//! ([`Action::CompareAndDelete`]).
//!
//! A connection's commands are handled one after the other, so a delay holds back all behind it, as in Redis; connections do not
//! wait for each other. A withheld reply withholds every later one of its connection too ([`Action::Silence`]): no server
//! leaves one out of the middle, and a client could only take the next for it.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::background::Background;
use crate::resp::{Arguments, parse_command};
use crate::waiting::eventually;

mod action;
mod store;
pub use action::Action;
use store::{Caller, Store};

/// A command that the node was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// When it had been read whole.
    pub at: Instant,
    /// The connection it came on, counted from 1; what CLIENT ID answers there.
    pub connection: u64,
    /// The name as sent, and what follows it.
    pub arguments: Arguments,
}

impl Recorded {
    /// The command's name in upper case.
    pub fn name(&self) -> String {
        name_of(&self.arguments)
    }

    /// One argument as text; 0 is the name.
    pub fn argument(&self, index: usize) -> String {
        self.arguments.get(index).map(|argument| String::from_utf8_lossy(argument).into_owned()).unwrap_or_default()
    }
}

fn name_of(arguments: &[Vec<u8>]) -> String {
    arguments.first().map(|name| String::from_utf8_lossy(name).to_uppercase()).unwrap_or_default()
}

type Script = Box<dyn FnMut(&Recorded) -> Action + Send>;

#[derive(Default)]
struct State {
    store: Store,
    /// What the next commands of a name get, one each, before all else.
    once: HashMap<String, VecDeque<Action>>,
    always: HashMap<String, Script>,
    on_connect: Option<Action>,
    recorded: Vec<Recorded>,
    connections: u64,
    open: HashMap<u64, watch::Sender<bool>>,
}

/// A running node; dropping it closes everything.
pub struct ScriptedNode {
    port: u16,
    state: Shared,
    _background: Background,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<State>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A test's script may have panicked in here; what it did before stands.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ScriptedNode {
    /// Starts a node on a free port.
    pub fn start() -> Self {
        let background = Background::start("scripted node");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        listener.set_nonblocking(true).expect("a listener takes the option");
        let state = Shared::default();
        let accepting = state.clone();
        background.handle().spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener can be registered");
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(accepting.clone(), stream));
                }
            }
        });
        Self { port, state, _background: background }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on this is done about every command of that name (in any case).
    pub fn on(&self, command: &str, action: Action) {
        self.on_call(command, move |_| action.clone());
    }

    /// From now on `script` decides about every command of that name.
    pub fn on_call(&self, command: &str, script: impl FnMut(&Recorded) -> Action + Send + 'static) {
        self.state.lock().always.insert(command.to_uppercase(), Box::new(script));
    }

    /// This is done about the next command of that name only; several are used up in the order they were given.
    pub fn once(&self, command: &str, action: Action) {
        self.state.lock().once.entry(command.to_uppercase()).or_default().push_back(action);
    }

    /// What is done when a connection is accepted: bytes sent and then the end (`Reply`), `Close`, `Reset`, `Silence`, or a delay
    /// before any of them. `None`: it is served.
    pub fn on_connect(&self, action: impl Into<Option<Action>>) {
        self.state.lock().on_connect = action.into();
    }

    /// Forgets what was said about that command.
    pub fn clear(&self, command: &str) {
        let mut state = self.state.lock();
        state.always.remove(&command.to_uppercase());
        state.once.remove(&command.to_uppercase());
    }

    /// Everything it has been sent, in order.
    pub fn commands(&self) -> Vec<Recorded> {
        self.state.lock().recorded.clone()
    }

    /// What it has been sent of that name.
    pub fn commands_named(&self, name: &str) -> Vec<Recorded> {
        let state = self.state.lock();
        state.recorded.iter().filter(|command| command.name().eq_ignore_ascii_case(name)).cloned().collect()
    }

    /// Forgets what it has been sent.
    pub fn forget_commands(&self) {
        self.state.lock().recorded.clear();
    }

    /// Waits until it has been sent `count` commands of that name, and gives them.
    pub async fn wait_for(&self, name: &str, count: usize) -> Vec<Recorded> {
        let what = format!("{count} of {name} at the scripted node");
        eventually(async || self.commands_named(name).len() >= count, what).await;
        self.commands_named(name)
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> u64 {
        self.state.lock().connections
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.state.lock().open.len()
    }

    /// Closes every connection, as a server that goes away does.
    pub fn close_all(&self) {
        for open in self.state.lock().open.values() {
            open.send_replace(false);
        }
    }

    /// The value under a key that has not expired.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<String> {
        let mut state = self.state.lock();
        state.store.value(key.as_ref()).map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    /// Puts a string there, for `milliseconds` or for ever.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, milliseconds: Option<u64>) {
        self.state.lock().store.put(key.as_ref(), value.as_ref(), milliseconds.map(Duration::from_millis));
    }

    /// Loses all data and becomes another run, as a server that restarts empty does; connections stay open (see `close_all`).
    pub fn restart_empty(&self) {
        self.state.lock().store = Store::default();
    }

    /// Sets a field of INFO, such as `redis_version` or `maxmemory_policy`; an empty value removes it.
    pub fn set_info(&self, field: &str, value: &str) {
        self.state.lock().store.set_info(field, value);
    }

    /// The run it says it is (`run_id` of INFO).
    pub fn run_id(&self) -> String {
        self.state.lock().store.run_id().to_owned()
    }
}

impl fmt::Debug for ScriptedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScriptedNode(127.0.0.1:{}, {} commands)", self.port, self.state.lock().recorded.len())
    }
}

/// One connection, until either side closes.
async fn serve(shared: Shared, mut stream: TcpStream) {
    let (id, mut open, greeting) = {
        let mut state = shared.lock();
        state.connections += 1;
        let id = state.connections;
        let (sender, open) = watch::channel(true);
        state.open.insert(id, sender);
        (id, open, state.on_connect.clone())
    };
    // Fails only on a socket that is closed already; then reading finds out.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection { shared: shared.clone(), caller: Caller::new(id), mute: Mute::No };
    let ended = tokio::select! {
        ended = connection.run(&mut stream, greeting) => ended,
        _ = open.wait_for(|open| !open) => Ended::Closed,
    };
    if ended == Ended::Reset {
        let _ = stream.set_zero_linger();
    }
    drop(stream);
    shared.lock().open.remove(&id);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Closed,
    Reset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mute {
    No,
    /// Nothing is answered, everything done.
    Executing,
    /// Nothing is answered and nothing done.
    Dead,
}

struct Connection {
    shared: Shared,
    caller: Caller,
    mute: Mute,
}

impl Connection {
    async fn run(&mut self, stream: &mut TcpStream, greeting: Option<Action>) -> Ended {
        if let Some(action) = greeting {
            let greeting = Recorded { at: Instant::now(), connection: self.caller.id, arguments: Vec::new() };
            let is_reply = matches!(action, Action::Reply(_));
            if let Some(ended) = self.act(stream, &greeting, action).await {
                return ended;
            }
            if is_reply {
                return Ended::Closed;
            }
        }
        let mut buffer = Vec::new();
        loop {
            match parse_command(&buffer) {
                Ok(Some((arguments, length))) => {
                    buffer.drain(..length);
                    if let Some(ended) = self.command(stream, arguments).await {
                        return ended;
                    }
                }
                Ok(None) => match stream.read_buf(&mut buffer).await {
                    Ok(length) if length > 0 => {}
                    _ => return Ended::Closed,
                },
                // As Redis does with what is no command, though in other words.
                Err(_) => {
                    let _ = stream.write_all(b"-ERR Protocol error: expected an array of bulk strings\r\n").await;
                    return Ended::Closed;
                }
            }
        }
    }

    async fn command(&mut self, stream: &mut TcpStream, arguments: Arguments) -> Option<Ended> {
        let recorded = Recorded { at: Instant::now(), connection: self.caller.id, arguments };
        let action = {
            let mut state = self.shared.lock();
            state.recorded.push(recorded.clone());
            let name = recorded.name();
            match state.once.get_mut(&name).and_then(VecDeque::pop_front) {
                Some(action) => action,
                None => state.always.get_mut(&name).map_or(Action::Execute, |script| script(&recorded)),
            }
        };
        if self.mute == Mute::Dead {
            return None;
        }
        self.act(stream, &recorded, action).await
    }

    /// Does it; says how the connection ends, if it does.
    async fn act(&mut self, stream: &mut TcpStream, command: &Recorded, mut action: Action) -> Option<Ended> {
        while let Action::Delay(duration, then) = action {
            tokio::time::sleep(duration).await;
            action = *then;
        }
        let reply = match action {
            Action::Execute | Action::Delay(..) => self.execute(command),
            Action::Reply(bytes) => bytes,
            Action::ExecuteThenReply(bytes) => {
                self.execute(command);
                bytes
            }
            Action::Silence => {
                self.mute = Mute::Dead;
                return None;
            }
            Action::ExecuteSilently => {
                self.mute = Mute::Executing;
                self.execute(command)
            }
            Action::DelayReply(duration) => {
                let reply = self.execute(command);
                tokio::time::sleep(duration).await;
                reply
            }
            Action::Close => return Some(Ended::Closed),
            Action::Reset => return Some(Ended::Reset),
            Action::ExecuteThenReset => {
                self.execute(command);
                return Some(Ended::Reset);
            }
            Action::CompareAndDelete => self.shared.lock().store.compare_and_delete(&command.arguments),
            Action::CompareAndExtend => self.shared.lock().store.compare_and_extend(&command.arguments),
        };
        let is_quit = command.name() == "QUIT";
        if self.mute == Mute::No && stream.write_all(&reply).await.is_err() || is_quit {
            return Some(Ended::Closed);
        }
        None
    }

    fn execute(&mut self, command: &Recorded) -> Vec<u8> {
        let mut state = self.shared.lock();
        let State { store, open, .. } = &mut *state;
        // Taken off the list here and not when its task has noticed: a second kill finds nobody.
        let kill = |id| open.remove(&id).map(|open| open.send_replace(false)).is_some();
        store.execute(&mut self.caller, &command.arguments, kill)
    }
}

#[cfg(test)]
#[path = "scripted_tests.rs"]
mod tests;
