//! One operation on the wire: the bytes that are sent for it.

use bytes::{BufMut, BytesMut};

use super::dialect::{AcquireForm, DELETE, DeleteForm, Dialect, EXTEND, RAISE, SIGN, Script};
use crate::coordinator::{Operation, Raise};
use crate::lock::FENCE_PREFIX;

/// What notices are published on, behind the configured prefix.
pub(super) const CHANNEL: &[u8] = b"redlock-proxy:released";

/// How a script is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// By its digest; the server may have forgotten it.
    Digest,
    /// With its source, after NOSCRIPT.
    Source,
}

/// Writes the operation's commands; `prefix` stands before the resource's name.
pub(super) fn encode(operation: &Operation, dialect: Dialect, call: Call, prefix: &[u8], out: &mut BytesMut) {
    match operation {
        Operation::Acquire { resource, token, ttl, raise, asks_ttl, .. } => {
            let name = resource.as_bytes();
            out.put_slice(match dialect.acquire {
                AcquireForm::SetNxGet => b"*7\r\n$3\r\nSET\r\n",
                AcquireForm::SetNxThenGet => b"*6\r\n$3\r\nSET\r\n",
            });
            put_key(out, prefix, name);
            put_bulk(out, token.as_bytes());
            out.put_slice(b"$2\r\nNX\r\n$2\r\nPX\r\n");
            put_integer(out, ttl.as_millis());
            match dialect.acquire {
                AcquireForm::SetNxGet => out.put_slice(b"$3\r\nGET\r\n"),
                AcquireForm::SetNxThenGet => put_get(out, prefix, name),
            }
            if let Some(raise) = raise {
                put_raise(out, raise, call, prefix, name);
            }
            if *asks_ttl {
                put_pttl(out, prefix, name);
            }
        }
        Operation::Sign { resource, found, token, ttl, raise, .. } => {
            put_script(out, &SIGN, call, 3);
            put_key(out, prefix, resource.as_bytes());
            put_bulk(out, found);
            put_bulk(out, token.as_bytes());
            put_integer(out, ttl.as_millis());
            if let Some(raise) = raise {
                put_raise(out, raise, call, prefix, resource.as_bytes());
            }
        }
        Operation::Raise { resource, raise, .. } => put_raise(out, raise, call, prefix, resource.as_bytes()),
        Operation::Inspect { resource, .. } => {
            put_get(out, prefix, resource.as_bytes());
            put_pttl(out, prefix, resource.as_bytes());
        }
        Operation::Extend { resource, token, ttl, .. } => {
            put_script(out, &EXTEND, call, 2);
            put_key(out, prefix, resource.as_bytes());
            put_bulk(out, token.as_bytes());
            put_integer(out, ttl.as_millis());
        }
        Operation::Release { resource, token, notice, .. } => {
            match dialect.delete {
                DeleteForm::DelexIfeq => out.put_slice(b"*4\r\n$5\r\nDELEX\r\n"),
                DeleteForm::Delifeq => out.put_slice(b"*3\r\n$7\r\nDELIFEQ\r\n"),
                DeleteForm::Script => put_script(out, &DELETE, call, 1),
            }
            put_key(out, prefix, resource.as_bytes());
            if dialect.delete == DeleteForm::DelexIfeq {
                out.put_slice(b"$4\r\nIFEQ\r\n");
            }
            put_bulk(out, token.as_bytes());
            if let Some(notice) = notice {
                put_notice(out, prefix, notice);
            }
        }
        Operation::Announce { notice, .. } => put_notice(out, prefix, notice),
    }
}

/// Writes one command of plain arguments.
pub(super) fn encode_command(arguments: &[&[u8]], out: &mut BytesMut) {
    put_header(out, b'*', arguments.len() as u64);
    for argument in arguments {
        put_bulk(out, argument);
    }
}

fn put_script(out: &mut BytesMut, script: &Script, call: Call, arguments: u64) {
    // The command, the script, the number of keys and the key come before them.
    put_header(out, b'*', 4 + arguments);
    let (command, script): (&[u8], &[u8]) = match call {
        Call::Digest => (b"$7\r\nEVALSHA\r\n", script.digest.as_bytes()),
        Call::Source => (b"$4\r\nEVAL\r\n", script.source.as_bytes()),
    };
    out.put_slice(command);
    put_bulk(out, script);
    out.put_slice(b"$1\r\n1\r\n");
}

fn put_get(out: &mut BytesMut, prefix: &[u8], name: &[u8]) {
    out.put_slice(b"*2\r\n$3\r\nGET\r\n");
    put_key(out, prefix, name);
}

fn put_pttl(out: &mut BytesMut, prefix: &[u8], name: &[u8]) {
    out.put_slice(b"*2\r\n$4\r\nPTTL\r\n");
    put_key(out, prefix, name);
}

fn put_notice(out: &mut BytesMut, prefix: &[u8], notice: &[u8]) {
    out.put_slice(b"*3\r\n$7\r\nPUBLISH\r\n");
    put_key(out, prefix, CHANNEL);
    put_bulk(out, notice);
}

fn put_raise(out: &mut BytesMut, raise: &Raise, call: Call, prefix: &[u8], name: &[u8]) {
    put_script(out, &RAISE, call, 2);
    put_header(out, b'$', (prefix.len() + FENCE_PREFIX.len() + name.len()) as u64);
    out.put_slice(prefix);
    out.put_slice(FENCE_PREFIX);
    out.put_slice(name);
    out.put_slice(b"\r\n");
    put_integer(out, raise.number.value());
    // `fence_retention_ms`, an integer.
    put_integer(out, u64::try_from(raise.retention.as_millis()).unwrap_or(u64::MAX));
    if raise.look {
        put_get(out, prefix, name);
    }
}

fn put_key(out: &mut BytesMut, prefix: &[u8], name: &[u8]) {
    put_header(out, b'$', (prefix.len() + name.len()) as u64);
    out.put_slice(prefix);
    out.put_slice(name);
    out.put_slice(b"\r\n");
}

fn put_bulk(out: &mut BytesMut, bytes: &[u8]) {
    put_header(out, b'$', bytes.len() as u64);
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

fn put_integer(out: &mut BytesMut, number: u64) {
    let mut digits = [0; 20];
    let digits = decimal(number, &mut digits);
    put_header(out, b'$', digits.len() as u64);
    out.put_slice(digits);
    out.put_slice(b"\r\n");
}

fn put_header(out: &mut BytesMut, kind: u8, number: u64) {
    let mut digits = [0; 20];
    out.put_u8(kind);
    out.put_slice(decimal(number, &mut digits));
    out.put_slice(b"\r\n");
}

/// The decimal digits of `number`, written to the end of `buffer`: 20 hold every 64-bit number.
pub(super) fn decimal(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        // A remainder of ten fits.
        buffer[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return &buffer[start..];
        }
    }
}
