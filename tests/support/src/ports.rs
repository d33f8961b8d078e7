//! Free loopback ports.
//!
//! They lie **below** the range from which the kernel gives source ports to outgoing connections, for two reasons. A server that
//! is killed and restarted needs its port again, which meanwhile must not have become somebody's source port. And a client that
//! keeps connecting to a dead port inside that range sooner or later gets that very port as its source, and is then connected to
//! itself: a primary that is down would look as if it had come up.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

const LOWEST: u16 = 12_000;

/// A loopback port on which nothing listened a moment ago and which this process has not given out lately.
///
/// Between this answer and the bind another process may take the port: who binds it tries again with another one.
pub fn free_port() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let range = highest() - LOWEST;
    // Test processes that run side by side start in different places, so that they seldom try the same port at all.
    let start = u16::try_from(process::id() * 97 % u32::from(range)).unwrap_or_default();
    for _ in 0..range {
        let step = TRIED.fetch_add(1, Ordering::Relaxed) % range;
        let port = LOWEST + u16::try_from((u32::from(start) + u32::from(step)) % u32::from(range)).unwrap_or_default();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("none of the loopback ports {LOWEST} to {} is free", highest());
}

/// The first port that the kernel may hand out by itself; 32768 unless configured otherwise.
fn highest() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .filter(|&first| first > LOWEST + 1000)
        .unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_lie_below_the_range_of_source_ports() {
        let (one, other) = (free_port(), free_port());
        assert_ne!(one, other);
        assert!((LOWEST..highest()).contains(&one) && (LOWEST..highest()).contains(&other));
    }
}
