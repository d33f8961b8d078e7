//! The small Redis behind a scripted node: what a lock's primary is asked, and no more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Who asks: what a server knows of one connection.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) id: u64,
    name: Vec<u8>,
    resp3: bool,
}

impl Caller {
    pub(super) fn new(id: u64) -> Self {
        Self { id, name: Vec::new(), resp3: false }
    }

    fn null(&self) -> Vec<u8> {
        if self.resp3 { b"_\r\n".to_vec() } else { b"$-1\r\n".to_vec() }
    }

    fn null_array(&self) -> Vec<u8> {
        if self.resp3 { b"_\r\n".to_vec() } else { b"*-1\r\n".to_vec() }
    }
}

struct Entry {
    value: Vec<u8>,
    expires: Option<Instant>,
}

pub(super) struct Store {
    entries: HashMap<Vec<u8>, Entry>,
    info: Vec<(String, String)>,
    run_id: String,
}

impl Default for Store {
    fn default() -> Self {
        let run_id = new_run_id();
        let fields = [
            ("redis_version", "7.0.15"),
            ("redis_mode", "standalone"),
            ("process_id", "1"),
            ("run_id", &run_id),
            ("uptime_in_seconds", "1000"),
            ("maxmemory", "0"),
            ("maxmemory_policy", "noeviction"),
            ("loading", "0"),
            ("role", "master"),
            ("connected_slaves", "0"),
            ("master_replid", &run_id),
        ];
        let info = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { entries: HashMap::new(), info, run_id }
    }
}

/// 40 hex digits that no other node of this process has; the process's start makes them differ between processes too.
fn new_run_id() -> String {
    static RUNS: AtomicU64 = AtomicU64::new(1);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("{:016x}{:024x}", RUNS.fetch_add(1, Ordering::Relaxed), nanos)
}

/// What the name of the record ends with in which proxies write what they know of a primary's memory.
const MARKER: &[u8] = b"redlock-proxy:marker";

const COMMANDS: [&str; 25] = [
    "AUTH",
    "CLIENT",
    "COMMAND",
    "CONFIG",
    "DEL",
    "ECHO",
    "EVAL",
    "EVALSHA",
    "EXISTS",
    "FLUSHALL",
    "GET",
    "HELLO",
    "INFO",
    "PEXPIRE",
    "PING",
    "PTTL",
    "PUBLISH",
    "QUIT",
    "RESET",
    "ROLE",
    "SCRIPT",
    "SELECT",
    "SET",
    "SUBSCRIBE",
    "TIME",
];

impl Store {
    pub(super) fn run_id(&self) -> &str {
        &self.run_id
    }

    pub(super) fn set_info(&mut self, field: &str, value: &str) {
        self.info.retain(|(name, _)| name != field);
        if !value.is_empty() {
            self.info.push((field.into(), value.into()));
        }
        if field == "run_id" {
            self.run_id = value.into();
        }
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[u8], lifetime: Option<Duration>) {
        let expires = lifetime.map(|lifetime| Instant::now() + lifetime);
        self.entries.insert(key.to_vec(), Entry { value: value.to_vec(), expires });
    }

    pub(super) fn value(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        self.entry(key).map(|entry| entry.value.clone())
    }

    /// Replaces the marker if it still is what was found.
    fn mark(&mut self, key: &[u8], found: &[u8], marker: &[u8]) -> Vec<u8> {
        let is_found = self.value(key).unwrap_or_default() == found;
        if is_found {
            self.put(key, marker, None);
        }
        integer(usize::from(is_found))
    }

    fn entry(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let now = Instant::now();
        self.entries.retain(|_, entry| entry.expires.is_none_or(|expires| expires > now));
        self.entries.get_mut(key)
    }

    /// Runs a command and gives its reply in bytes; `kill` closes another connection and says whether there was one.
    pub(super) fn execute(
        &mut self,
        caller: &mut Caller,
        arguments: &[Vec<u8>],
        kill: impl FnMut(u64) -> bool,
    ) -> Vec<u8> {
        let Some((name, rest)) = arguments.split_first() else { return Vec::new() };
        let name = String::from_utf8_lossy(name).to_uppercase();
        match (name.as_str(), rest) {
            ("PING", []) => b"+PONG\r\n".to_vec(),
            ("PING" | "ECHO", [text]) => bulk(text),
            ("HELLO", _) => hello(caller, rest),
            ("AUTH" | "SELECT" | "QUIT", _) => ok(),
            ("RESET", []) => {
                caller.resp3 = false;
                b"+RESET\r\n".to_vec()
            }
            ("CLIENT", [subcommand, rest @ ..]) => client(caller, subcommand, rest, kill),
            ("ROLE", []) => b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n".to_vec(),
            ("INFO", _) => self.info(),
            ("TIME", []) => time(),
            ("COMMAND", [subcommand, names @ ..]) if subcommand.eq_ignore_ascii_case(b"INFO") => {
                command_info(caller, names)
            }
            ("CONFIG", [subcommand, ..]) if subcommand.eq_ignore_ascii_case(b"GET") => b"*0\r\n".to_vec(),
            ("SET", [key, value, options @ ..]) => self.set(caller, key, value, options),
            ("GET", [key]) => self.value(key).map_or_else(|| caller.null(), bulk),
            ("DEL", keys) if !keys.is_empty() => integer(keys.iter().filter(|key| self.delete(key)).count()),
            ("EXISTS", keys) if !keys.is_empty() => {
                integer(keys.iter().filter(|key| self.entry(key).is_some()).count())
            }
            ("PTTL", [key]) => self.pttl(key),
            ("PEXPIRE", [key, lifetime]) => self.pexpire(key, lifetime),
            ("FLUSHALL", _) => {
                self.entries.clear();
                ok()
            }
            ("PUBLISH", [_, _]) => integer(0),
            // Nothing is ever published to it.
            ("SUBSCRIBE", [channel]) => [b"*3\r\n$9\r\nsubscribe\r\n", &bulk(channel)[..], b":1\r\n"].concat(),
            ("EVALSHA", _) => error("NOSCRIPT No matching script. Please use EVAL."),
            // As a primary that takes part in a quorum it can be marked.
            ("EVAL", [_, keys, key, found, marker]) if keys == b"1" && key.ends_with(MARKER) => {
                self.mark(key, found, marker)
            }
            ("EVAL" | "SCRIPT", _) => error("ERR a scripted node runs no scripts until its test says what they do"),
            (known, _) if COMMANDS.contains(&known) => {
                error(&format!("ERR wrong number of arguments for '{}' command", known.to_lowercase()))
            }
            _ => unknown(arguments),
        }
    }

    /// Every field, whatever section was asked for: who reads INFO looks for names.
    fn info(&self) -> Vec<u8> {
        let lines: Vec<String> = self.info.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect();
        bulk(lines.concat())
    }

    fn set(&mut self, caller: &Caller, key: &[u8], value: &[u8], options: &[Vec<u8>]) -> Vec<u8> {
        let (mut only_new, mut only_old, mut asks, mut lifetime) = (false, false, false, None);
        let mut options = options.iter();
        while let Some(option) = options.next() {
            match option.to_ascii_uppercase().as_slice() {
                b"NX" => only_new = true,
                b"XX" => only_old = true,
                b"GET" => asks = true,
                unit @ (b"PX" | b"EX") => {
                    let factor = if unit == b"PX" { 1 } else { 1000 };
                    match options.next().and_then(|number| number_of(number)) {
                        Some(number) if number > 0 => lifetime = Some(Duration::from_millis(number * factor)),
                        _ => return error("ERR invalid expire time in 'set' command"),
                    }
                }
                _ => return error("ERR syntax error"),
            }
        }
        let former = self.value(key);
        let sets = if former.is_some() { !only_new } else { !only_old };
        if sets {
            self.put(key, value, lifetime);
        }
        match former {
            Some(former) if asks => bulk(former),
            None if asks => caller.null(),
            _ if sets => ok(),
            _ => caller.null(),
        }
    }

    fn delete(&mut self, key: &[u8]) -> bool {
        self.entry(key).is_some() && self.entries.remove(key).is_some()
    }

    fn pttl(&mut self, key: &[u8]) -> Vec<u8> {
        match self.entry(key).map(|entry| entry.expires) {
            None => b":-2\r\n".to_vec(),
            Some(None) => b":-1\r\n".to_vec(),
            Some(Some(expires)) => integer(expires.saturating_duration_since(Instant::now()).as_millis()),
        }
    }

    fn pexpire(&mut self, key: &[u8], lifetime: &[u8]) -> Vec<u8> {
        let Some(lifetime) = number_of(lifetime) else { return error("ERR value is not an integer or out of range") };
        let entry = self.entry(key);
        let found = entry.is_some();
        if let Some(entry) = entry {
            entry.expires = Some(Instant::now() + Duration::from_millis(lifetime));
        }
        integer(u8::from(found))
    }

    pub(super) fn compare_and_delete(&mut self, arguments: &[Vec<u8>]) -> Vec<u8> {
        let Some((key, value, _)) = compared(arguments) else { return unknown(arguments) };
        let holds = self.value(key).is_some_and(|found| found == value);
        integer(u8::from(holds && self.delete(key)))
    }

    pub(super) fn compare_and_extend(&mut self, arguments: &[Vec<u8>]) -> Vec<u8> {
        let Some((key, value, [lifetime, ..])) = compared(arguments) else { return unknown(arguments) };
        let Some(lifetime) = number_of(lifetime) else { return error("ERR value is not an integer or out of range") };
        match self.entry(key) {
            Some(entry) if entry.value == value => {
                let until = Instant::now() + Duration::from_millis(lifetime);
                entry.expires = entry.expires.map(|expires| expires.max(until));
                integer(1)
            }
            _ => integer(0),
        }
    }
}

/// The key, the value to compare with, and the arguments behind them.
type Compared<'a> = (&'a [u8], &'a [u8], &'a [Vec<u8>]);

/// Of a script call with one key, a `DELEX key IFEQ value` or a `DELIFEQ key value`.
fn compared(arguments: &[Vec<u8>]) -> Option<Compared<'_>> {
    match (super::name_of(arguments).as_str(), arguments) {
        ("EVAL" | "EVALSHA", [_, _, _, key, value, rest @ ..]) | ("DELEX", [_, key, _, value, rest @ ..]) => {
            Some((key, value, rest))
        }
        ("DELIFEQ", [_, key, value, rest @ ..]) => Some((key, value, rest)),
        _ => None,
    }
}

fn hello(caller: &mut Caller, rest: &[Vec<u8>]) -> Vec<u8> {
    match rest.first().map(Vec::as_slice) {
        Some(b"3") => caller.resp3 = true,
        Some(b"2") => caller.resp3 = false,
        None => {}
        Some(_) => return error("NOPROTO unsupported protocol version"),
    }
    let mut reply = if caller.resp3 { b"%7\r\n".to_vec() } else { b"*14\r\n".to_vec() };
    let mut field = |name: &str, value: Vec<u8>| {
        reply.extend(bulk(name));
        reply.extend(value);
    };
    field("server", bulk("redis"));
    field("version", bulk("7.0.15"));
    field("proto", integer(if caller.resp3 { 3 } else { 2 }));
    field("id", integer(caller.id));
    field("mode", bulk("standalone"));
    field("role", bulk("master"));
    field("modules", b"*0\r\n".to_vec());
    reply
}

fn client(caller: &mut Caller, subcommand: &[u8], rest: &[Vec<u8>], mut kill: impl FnMut(u64) -> bool) -> Vec<u8> {
    match (subcommand.to_ascii_uppercase().as_slice(), rest) {
        (b"ID", []) => integer(caller.id),
        (b"SETNAME", [name]) => {
            caller.name.clone_from(name);
            ok()
        }
        (b"GETNAME", []) if caller.name.is_empty() => caller.null(),
        (b"GETNAME", []) => bulk(&caller.name),
        (b"SETINFO" | b"NO-EVICT" | b"NO-TOUCH", _) => ok(),
        // By default a client does not kill itself.
        (b"KILL", [filter, id]) if filter.eq_ignore_ascii_case(b"ID") => {
            integer(u8::from(number_of(id).is_some_and(|id| id != caller.id && kill(id))))
        }
        _ => error("ERR unknown subcommand or wrong number of arguments. Try CLIENT HELP."),
    }
}

fn command_info(caller: &Caller, names: &[Vec<u8>]) -> Vec<u8> {
    let mut reply = format!("*{}\r\n", names.len()).into_bytes();
    for name in names {
        let name = String::from_utf8_lossy(name);
        if COMMANDS.contains(&name.to_uppercase().as_str()) {
            reply.extend_from_slice(b"*6\r\n");
            reply.extend(bulk(name.to_lowercase()));
            reply.extend_from_slice(b":-1\r\n*0\r\n:0\r\n:0\r\n:0\r\n");
        } else {
            reply.extend(caller.null_array());
        }
    }
    reply
}

fn time() -> Vec<u8> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut reply = b"*2\r\n".to_vec();
    reply.extend(bulk(since.as_secs().to_string()));
    reply.extend(bulk(since.subsec_micros().to_string()));
    reply
}

fn unknown(arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut words = arguments.iter().map(|argument| argument.escape_ascii().to_string());
    let name = words.next().unwrap_or_default();
    let rest: Vec<String> = words.map(|word| format!("'{word}' ")).collect();
    error(&format!("ERR unknown command '{name}', with args beginning with: {}", rest.concat()))
}

fn number_of(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn ok() -> Vec<u8> {
    b"+OK\r\n".to_vec()
}

fn error(text: &str) -> Vec<u8> {
    format!("-{text}\r\n").into_bytes()
}

fn integer(number: impl std::fmt::Display) -> Vec<u8> {
    format!(":{number}\r\n").into_bytes()
}

fn bulk(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
