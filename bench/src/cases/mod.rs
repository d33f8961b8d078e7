//! What is measured, a file for each case.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use support::{Fleet, Footprint, Kind, Proxy, ProxyOptions};

use crate::floor::Delete;
use crate::lines::Lines;
use crate::load::{Load, Pace, Work, run};
use crate::results::{Processor, Run};

pub mod distinct;

/// How long locks are taken for: longer than any measurement's worst moment, so that none ends by itself.
const TTL_MS: u64 = 30_000;

/// The primaries and the proxy before them, running.
pub struct Stand {
    /// The primaries.
    pub fleet: Fleet,
    /// The proxy, built for release.
    pub proxy: Proxy,
    /// How the primaries compare and delete.
    pub delete: Delete,
}

impl Stand {
    /// Starts primaries and a proxy with these settings.
    pub async fn start(binary: &Path, kind: Kind, primaries: usize, settings: &[(String, String)]) -> Self {
        let fleet = Fleet::start(kind, primaries).await;
        let delete = Delete::found_on(&fleet).await;
        let options = ProxyOptions::new(fleet.addresses());
        let options = settings.iter().fold(options, |options, (key, value)| options.set(key, value));
        let proxy = Proxy::start(binary, options.await_ready()).await;
        Self { fleet, proxy, delete }
    }

    /// One run of a work on these lines, with what it has cost whom.
    fn measure(&self, work: &mut impl Work, lines: &mut Lines, load: &Load) -> Run {
        let used = || {
            let primaries: Duration = self.fleet.iter().map(|server| server.footprint().processor).sum();
            let Footprint { processor, .. } = self.proxy.footprint();
            (processor, primaries)
        };
        let before = used();
        let measured = run(work, lines, load);
        let after = used();
        let each = |time: Duration| time.as_secs_f64() * 1e6 / measured.operations as f64;
        let processor = Processor {
            generator_us: each(measured.processor),
            proxy_us: each(after.0.saturating_sub(before.0)),
            primaries_us: each(after.1.saturating_sub(before.1)),
        };
        Run::new(&measured, processor)
    }
}

/// How a case is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often the contestants take turns.
    pub rounds: usize,
    /// How long each is measured in a round.
    pub span: Duration,
}

impl Plan {
    fn load(&self, pace: Pace) -> Load {
        Load { pace, warm_up: self.span.div_f64(4.0).min(Duration::from_millis(500)), span: self.span }
    }
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Contestant {
    /// A bare client on the primaries themselves
    Floor,
    /// The proxy
    Proxy,
}

/// How many connections there are to the proxy, and how many requests are under way on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connections {
    /// Connections.
    pub count: usize,
    /// Virtual clients on each.
    pub depth: usize,
}

impl Connections {
    /// Virtual clients on all of them.
    pub fn clients(self) -> usize {
        self.count * self.depth
    }
}

/// `64`, or `1x64` for one connection with 64 requests under way.
impl FromStr for Connections {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (count, depth) = text.split_once('x').unwrap_or((text, "1"));
        let number = |digits: &str| digits.parse().ok().filter(|&number| number > 0);
        let (count, depth) = number(count).zip(number(depth)).ok_or("not like 64, or 1x64")?;
        Ok(Self { count, depth })
    }
}

impl fmt::Display for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.depth {
            1 => write!(f, "{}", self.count),
            depth => write!(f, "{}x{depth}", self.count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_read_as_they_are_written() {
        for text in ["1", "1000", "1x64", "8x2"] {
            assert_eq!(text.parse().map(|read: Connections| read.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("2x3".parse().map(Connections::clients), Ok(6));
        for text in ["", "0", "x", "1x", "1x0", "-1", "1x2x3"] {
            assert!(text.parse::<Connections>().is_err(), "{text}");
        }
    }
}
