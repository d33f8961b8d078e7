//! The grammar of replies, written down as plainly as it goes: by recursion, over bytes that are all there.
//!
//! It is what `ReplyScanner` has to agree with, which keeps its place between any two bytes and does not recurse.

/// Why no reply ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// More bytes may make it one.
    More,
    /// None do.
    Wrong,
}

/// Longest header, its type and its line end not counted.
const HEADER_BYTES: usize = 20;

/// What is read, and how far.
struct Reading<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Most aggregates in each other.
    nesting: usize,
}

/// The length and the type of the reply at the front.
pub(crate) fn first_reply(bytes: &[u8], nesting: usize) -> Result<(usize, u8), Stop> {
    let mut reading = Reading { bytes, at: 0, nesting };
    reading.attributes(0)?;
    let kind = reading.next()?;
    reading.value(kind, 0)?;
    Ok((reading.at, kind))
}

impl Reading<'_> {
    fn next(&mut self) -> Result<u8, Stop> {
        let byte = self.bytes.get(self.at).copied().ok_or(Stop::More)?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, expected: u8) -> Result<(), Stop> {
        if self.next()? == expected { Ok(()) } else { Err(Stop::Wrong) }
    }

    /// Any number of attributes; the value that they describe is another matter.
    fn attributes(&mut self, depth: usize) -> Result<(), Stop> {
        while self.bytes.get(self.at) == Some(&b'|') {
            self.at += 1;
            let header = self.header()?;
            let pairs = length(&header).ok_or(Stop::Wrong)?;
            self.elements(pairs, 2, depth)?;
        }
        Ok(())
    }

    fn described_value(&mut self, depth: usize) -> Result<(), Stop> {
        self.attributes(depth)?;
        let kind = self.next()?;
        self.value(kind, depth)
    }

    /// What stands behind its type, in so many aggregates.
    fn value(&mut self, kind: u8, depth: usize) -> Result<(), Stop> {
        match kind {
            b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => return self.line(),
            b'$' | b'=' | b'!' | b'*' | b'~' | b'%' | b'>' => {}
            _ => return Err(Stop::Wrong),
        }
        let header = self.header()?;
        match (kind, &header[..]) {
            (b'$', b"?") => self.chunks(),
            (b'*' | b'~' | b'%', b"?") => self.stream(kind == b'%', depth),
            (b'>', b"-1") => Err(Stop::Wrong),
            (_, b"-1") => Ok(()),
            (kind, header) => {
                let length = length(header).ok_or(Stop::Wrong)?;
                match kind {
                    b'$' | b'=' | b'!' => self.body(length),
                    b'%' => self.elements(length, 2, depth),
                    _ => self.elements(length, 1, depth),
                }
            }
        }
    }

    fn line(&mut self) -> Result<(), Stop> {
        let rest = &self.bytes[self.at..];
        let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or(Stop::More)?;
        self.at += end + 2;
        Ok(())
    }

    /// Up to a line end, and no longer than any header is.
    fn header(&mut self) -> Result<Vec<u8>, Stop> {
        let mut header = Vec::new();
        loop {
            match self.next()? {
                b'\r' => break,
                _ if header.len() == HEADER_BYTES => return Err(Stop::Wrong),
                byte => header.push(byte),
            }
        }
        self.expect(b'\n')?;
        Ok(header)
    }

    fn body(&mut self, length: u64) -> Result<(), Stop> {
        let left = (self.bytes.len() - self.at) as u64;
        if left < length {
            return Err(Stop::More);
        }
        self.at += usize::try_from(length).map_err(|_| Stop::More)?;
        self.expect(b'\r')?;
        self.expect(b'\n')
    }

    fn chunks(&mut self) -> Result<(), Stop> {
        loop {
            self.expect(b';')?;
            let header = self.header()?;
            match length(&header).ok_or(Stop::Wrong)? {
                0 => return Ok(()),
                length => self.body(length)?,
            }
        }
    }

    /// So many times so many values.
    fn elements(&mut self, count: u64, times: u64, depth: usize) -> Result<(), Stop> {
        let count = count.checked_mul(times).ok_or(Stop::Wrong)?;
        if count > 0 && depth == self.nesting {
            return Err(Stop::Wrong);
        }
        (0..count).try_for_each(|_| self.described_value(depth + 1))
    }

    /// Values up to the end mark; where they are pairs, none of them may be broken.
    fn stream(&mut self, pairs: bool, depth: usize) -> Result<(), Stop> {
        if depth == self.nesting {
            return Err(Stop::Wrong);
        }
        let mut count = 0_u64;
        loop {
            // Attributes in front of the end mark describe nothing, and do no harm.
            self.attributes(depth + 1)?;
            match self.next()? {
                b'.' if !self.header()?.is_empty() || (pairs && count % 2 == 1) => return Err(Stop::Wrong),
                b'.' => return Ok(()),
                kind => self.value(kind, depth + 1)?,
            }
            count += 1;
        }
    }
}

/// The length that a header spells, in the one way in which it may be.
fn length(header: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(header).ok()?;
    let length: i64 = text.parse().ok()?;
    if length.to_string() == text { u64::try_from(length).ok() } else { None }
}
