//! What real clients sent, taken down between them and a server; replayed in one pipeline, with the end of the stream right behind it.
//!
//! Each file is the bytes of one connection as they were: redis-py 8 (its greeting, pipelines with and without MULTI, scripts by digest,
//! its own lock), ioredis 6, redis-cli 7.0 reading from a pipe (without the COMMAND DOCS it begins with: that answer is the proxy's), and
//! redis-benchmark with eight commands in a pipeline.

use super::script::{A, Script};

const RECORDED: [(&str, &[u8]); 6] = [
    ("redis-py in RESP2", include_bytes!("recorded/redis-py-resp2.bytes")),
    ("redis-py in RESP3", include_bytes!("recorded/redis-py-resp3.bytes")),
    ("redis-py in RESP3, pipelines", include_bytes!("recorded/redis-py-resp3-pipelines.bytes")),
    ("ioredis", include_bytes!("recorded/ioredis.bytes")),
    ("redis-cli", include_bytes!("recorded/redis-cli.bytes")),
    ("redis-benchmark", include_bytes!("recorded/redis-benchmark.bytes")),
];

pub(super) fn all() -> Vec<Script> {
    let script = |(name, bytes): (&str, &[u8])| Script::new(name).masked().raw(A, bytes, 0).half_close(A);
    RECORDED.into_iter().map(script).collect()
}
