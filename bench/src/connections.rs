//! How a number of virtual clients is spread over connections.

use std::fmt;
use std::str::FromStr;

/// How many connections there are to the proxy, and how many requests are under way on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connections {
    /// Connections.
    pub count: usize,
    /// Virtual clients on each.
    pub depth: usize,
}

impl Connections {
    /// One for each of so many clients.
    pub fn of(clients: usize) -> Self {
        Self { count: clients, depth: 1 }
    }

    /// One that so many clients share.
    pub fn shared_by(clients: usize) -> Self {
        Self { count: 1, depth: clients }
    }

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
