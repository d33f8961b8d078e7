//! The marker: a record without an end by which a primary's memory is known again. Pure.
//!
//! `1 <set> <N> <max_ttl_ms> <run> <epoch> <state>`. A memory that was lost has lost it, too; one that came back from an
//! old snapshot shows another run than the server's. The epoch is drawn anew with each loss, so that a loss which
//! another proxy has already marked is seen as well.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::is_set_name;
use crate::limits::{MAX_TTL_MS, PRIMARIES};
use crate::lock::Ttl;

/// The version that stands first.
const VERSION: &str = "1";

/// The name of one life of a primary's memory: 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u128);

/// Whether a primary may vote, as far as its marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MarkerState {
    /// Every lock that it may have forgotten has expired, or it has forgotten none.
    Sound,
    /// It may have forgotten locks that still live.
    Forgot,
}

/// What the proxies of a set have written about the memory of one primary.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Marker {
    /// `set_name` of the proxies.
    pub set: Arc<str>,
    /// How many primaries their set has.
    pub total: usize,
    /// The longest ttl that they may grant.
    pub max_ttl: Ttl,
    /// The process that the server was when this was written.
    pub run: Arc<str>,
    pub epoch: Epoch,
    pub state: MarkerState,
}

impl Marker {
    /// `None` for what no proxy of this version has written.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(value).ok()?.split(' ');
        let mut next = || words.next().filter(|word| !word.is_empty());
        let is_ours = next()? == VERSION;
        let marker = Self {
            set: next().filter(|set| is_set_name(set))?.into(),
            total: number(next()?).and_then(|total| usize::try_from(total).ok())?,
            max_ttl: number(next()?).filter(|millis| MAX_TTL_MS.contains(millis)).and_then(Ttl::from_millis)?,
            run: next()?.into(),
            epoch: epoch(next()?)?,
            state: match next()? {
                "sound" => MarkerState::Sound,
                "forgot" => MarkerState::Forgot,
                _ => return None,
            },
        };
        (is_ours && words.next().is_none() && (1..=PRIMARIES).contains(&marker.total)).then_some(marker)
    }

    /// The value as it is kept on the primary.
    pub fn encode(&self) -> Bytes {
        self.to_string().into_bytes().into()
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { set, total, max_ttl, run, epoch: Epoch(epoch), state } = self;
        let state = match state {
            MarkerState::Sound => "sound",
            MarkerState::Forgot => "forgot",
        };
        write!(f, "{VERSION} {set} {total} {} {run} {epoch:032x} {state}", max_ttl.as_millis())
    }
}

/// A number in the one form in which it is written.
fn number(word: &str) -> Option<u64> {
    word.parse().ok().filter(|number: &u64| number.to_string() == word)
}

fn epoch(word: &str) -> Option<Epoch> {
    let is_written = word.len() == 32 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u128::from_str_radix(word, 16).ok().filter(|_| is_written).map(Epoch)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_marker_is_one_line_of_seven_words() {
        let text = "1 main 3 60000 9f2c 0000000000000000000000000000002a sound";
        let marker = Marker {
            set: "main".into(),
            total: 3,
            max_ttl: Ttl::from_millis(60_000).expect("in range"),
            run: "9f2c".into(),
            epoch: Epoch(42),
            state: MarkerState::Sound,
        };
        assert_eq!(Marker::parse(text.as_bytes()), Some(marker.clone()));
        assert_eq!(marker.encode(), text);
        let forgot = Marker { state: MarkerState::Forgot, ..marker };
        assert_eq!(Marker::parse(&forgot.encode()), Some(forgot));
    }

    #[test]
    fn what_no_proxy_has_written_is_no_marker() {
        for text in [
            "",
            "1",
            "2 main 3 60000 9f2c 0000000000000000000000000000002a sound",
            "1 main 3 60000 9f2c 0000000000000000000000000000002a",
            "1 main 3 60000 9f2c 0000000000000000000000000000002a sound ",
            "1 main 3 60000 9f2c 0000000000000000000000000000002a sound more",
            "1 main 3 60000 9f2c 0000000000000000000000000000002a well",
            "1 main 3 60000 9f2c 0000000000000000000000000000002A sound",
            "1 main 3 60000 9f2c 2a sound",
            "1 main 3 60000  0000000000000000000000000000002a sound",
            "1 main 3 999 9f2c 0000000000000000000000000000002a sound",
            "1 main 3 060000 9f2c 0000000000000000000000000000002a sound",
            "1 main 0 60000 9f2c 0000000000000000000000000000002a sound",
            "1 main 10 60000 9f2c 0000000000000000000000000000002a sound",
            "1 m\u{e4}in 3 60000 9f2c 0000000000000000000000000000002a sound",
            "1  3 60000 9f2c 0000000000000000000000000000002a sound",
        ] {
            assert_eq!(Marker::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Marker::parse(b"1 \xff 3 60000 9f2c 0000000000000000000000000000002a sound"), None);
        assert!(!is_set_name(&"x".repeat(65)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_nothing_is_read_in_two_ways(
            set in "[A-Za-z0-9_.-]{1,64}", total in 1_usize..=9, millis in 1_000_u64..=86_400_000,
            run in "[0-9a-f]{1,40}", epoch: u128, sound: bool, garbled in any::<(usize, u8)>(),
        ) {
            let state = if sound { MarkerState::Sound } else { MarkerState::Forgot };
            let max_ttl = Ttl::from_millis(millis).expect("in range");
            let marker = Marker { set: set.as_str().into(), total, max_ttl, run: run.as_str().into(), epoch: Epoch(epoch), state };
            let encoded = marker.encode();
            prop_assert_eq!(Marker::parse(&encoded), Some(marker));
            let mut other = encoded.to_vec();
            let place = garbled.0 % other.len();
            other[place] = garbled.1;
            if let Some(read) = Marker::parse(&other) {
                prop_assert_eq!(read.encode(), other);
            }
        }
    }
}
