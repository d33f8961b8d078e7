//! How one server takes, deletes, extends and signs: found out once, when a link is opened, and a plain value from
//! there on. Nothing else asks what server it is talking to.

use std::sync::LazyLock;

/// The forms in which this server gets its commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) acquire: AcquireForm,
    pub(super) delete: DeleteForm,
}

/// How a record is set if there is none, and its holder asked for otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AcquireForm {
    /// `SET key token NX PX ttl GET` tells the holder in the same command (Redis 7.0, Valkey, Dragonfly).
    SetNxGet,
    /// `SET key token NX PX ttl` with `GET key` behind it.
    SetNxThenGet,
}

/// How a record is deleted if it bears the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeleteForm {
    /// `DELEX key IFEQ token` (Dragonfly 1.37, Redis 8.4)
    DelexIfeq,
    /// `DELIFEQ key token` (Valkey 9.0)
    Delifeq,
    /// The script of Redis' own description of the algorithm.
    Script,
}

/// A script and the digest by which a server knows it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) source: &'static str,
    pub(super) digest: String,
}

impl Script {
    fn new(source: &'static str) -> Self {
        Self { source, digest: redis::Script::new(source).get_hash().to_owned() }
    }
}

/// Compare and delete. KEYS: the record. ARGV: the token. Answers 1 or 0.
pub(super) static DELETE: LazyLock<Script> = LazyLock::new(|| {
    Script::new("if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end")
});

/// Compare and extend, never shorten. KEYS: the record. ARGV: the token, the ttl. Answers 1 or 0.
///
/// `PTTL` and a comparison rather than `PEXPIRE … GT`, which servers before Redis 7.0 lack; a script is atomic either way.
pub(super) static EXTEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end \
         local left = redis.call('pttl', KEYS[1]) \
         if left >= 0 and left < tonumber(ARGV[2]) then redis.call('pexpire', KEYS[1], ARGV[2]) end \
         return 1",
    )
});

/// Sign anew. KEYS: the record. ARGV: the value found, the new token, the ttl. Answers 1 or 0.
///
/// The whole value is compared, not its owner's name: a signing that was delayed must not overwrite the owner's next
/// grant.
pub(super) static SIGN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end \
         local left = redis.call('pttl', KEYS[1]) \
         if left < tonumber(ARGV[3]) then left = ARGV[3] end \
         redis.call('set', KEYS[1], ARGV[2], 'px', left) \
         return 1",
    )
});

/// Raise a fencing counter, never lower it. KEYS: the counter. ARGV: the number, how long it is kept. Answers the counter
/// as it was, or null.
///
/// Numbers of 16 digits are compared exactly: they stay below 2^53.
pub(super) static RAISE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local before = redis.call('get', KEYS[1]) \
         if not before or tonumber(before) < tonumber(ARGV[1]) then \
         redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2]) end \
         return before",
    )
});

/// Every script that a link may call.
pub(super) fn scripts() -> [&'static Script; 4] {
    [&DELETE, &EXTEND, &SIGN, &RAISE]
}
