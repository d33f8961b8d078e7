//! Each target over its committed corpus, over inputs near to it, and over what is too large to be committed.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// The committed inputs of a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let inputs: Vec<_> = entries.map(|entry| fs::read(entry.expect("readable").path()).expect("readable")).collect();
    assert!(inputs.len() >= 10, "{} has only {} inputs", folder.display(), inputs.len());
    inputs
}

/// Inputs of the corpus behind each other, with some bytes changed, left out or added.
fn near(target: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let inputs = corpus(target);
    let alphabet = inputs.concat();
    let byte = prop_oneof![3 => select(alphabet), 1 => any::<u8>()];
    let changes = prop::collection::vec((0..3, any::<Index>(), byte), 0..8);
    let short = inputs.into_iter().filter(|input| input.len() < 1_000).collect::<Vec<_>>();
    (prop::collection::vec(select(short), 1..3), changes).prop_map(|(inputs, changes)| {
        let mut bytes = inputs.concat();
        for (change, place, byte) in changes {
            match change {
                0 => bytes.insert(place.index(bytes.len() + 1), byte),
                1 if !bytes.is_empty() => drop(bytes.remove(place.index(bytes.len()))),
                _ if !bytes.is_empty() => {
                    let place = place.index(bytes.len());
                    bytes[place] = byte;
                }
                _ => {}
            }
        }
        bytes
    })
}

/// Two tests of a target: its corpus, and inputs near to it.
macro_rules! holds {
    ($($target:ident),*) => {$(
        mod $target {
            use super::*;

            #[test]
            fn its_corpus_holds() {
                for input in corpus(stringify!($target)) {
                    crate::$target(&input);
                }
            }

            proptest! {
                #[test]
                fn so_do_inputs_near_to_it(input in near(stringify!($target))) {
                    crate::$target(&input);
                }
            }
        }
    )*};
}

holds!(request, reply, command, acquire, extend, release, fence);

#[test]
fn what_is_too_large_to_be_committed_holds() {
    let long = |byte: u8, length: usize| vec![byte; length];
    let line = redlock_proxy::limits::LINE_BYTES;
    let oversized = [
        // Lines that never end, as long as they may be, and longer.
        long(b'x', line),
        long(b'x', line + 1),
        [long(b'"', line), b"\r\n".to_vec()].concat(),
        [b"*".to_vec(), long(b'1', line + 1)].concat(),
        [b"*1\r\n$".to_vec(), long(b'9', line + 1)].concat(),
        long(0, line + 2),
        // More of everything than a request may have.
        b"*1025\r\n".iter().copied().chain(b"$1\r\na\r\n".repeat(1_025)).collect(),
        b"a ".repeat(1_025).into_iter().chain(*b"\r\n").collect(),
        [&b"*2\r\n$4\r\nECHO\r\n$1048577\r\n"[..], &long(b'z', 100_000)].concat(),
        b"\r\n".repeat(20_000),
        b"*0\r\n".repeat(20_000),
        b"*1\r\n".repeat(20_000),
        b"*1\r\n$4\r\nPING\r\n".repeat(2_000),
    ];
    for input in oversized {
        request(&input);
        command(&input);
    }
    let replies = [
        b"*1\r\n".repeat(20_000),
        b"%1\r\n+a\r\n".repeat(20_000),
        b"|1\r\n+a\r\n+b\r\n".repeat(5_000),
        [&b"$70000\r\n"[..], &long(b'z', 70_000), b"\r\n"].concat(),
        [&b"+"[..], &long(b'z', 70_000), b"\r\n"].concat(),
        [&b"*20000\r\n"[..], &b":1\r\n".repeat(20_000)].concat(),
        b"+OK\r\n".repeat(5_000),
    ];
    for input in replies {
        reply(&input);
    }
}
