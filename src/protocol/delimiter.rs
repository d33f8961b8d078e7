//! Where a request ends that is passed on, and what it is called.
//!
//! A [`RequestDelimiter`] decodes nothing: at the beginning of a request it looks at the first words, as many as its
//! caller needs to know whose the request is; the rest of it streams by, counted down. So a value of 500 MB is never in
//! the proxy at once, and no byte is copied.
//!
//! The rules are those of [`RequestDecoder`](super::RequestDecoder), which are Redis': whoever measured differently here
//! than the server behind would take an argument for a command. Input that is no request is not refused: its bytes go on
//! as they are, and the server says in its own words what is wrong with them.

use bytes::Bytes;

use super::integer::parse_integer;
use super::{RequestLimits, inline};
use crate::limits::{LINE_BYTES, PROTOCOL_BULK_BYTES, PROTOCOL_ELEMENTS};

/// Digits and sign of the longest number that a header may hold; more of them are no length.
const LONGEST_LENGTH: usize = 20;
/// The longest word that is told; a longer one is no command's name.
const WORD_BYTES: usize = 16;
/// Most words of a request that are told.
const WORDS: usize = 3;

/// One of the first words of a request, in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Word {
    bytes: [u8; WORD_BYTES],
    /// `None` for a word that is too long to be told.
    length: Option<u8>,
}

impl Word {
    fn new(bytes: &[u8]) -> Self {
        let mut word = Self::default();
        if let Some(room) = word.bytes.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            room.make_ascii_lowercase();
            word.length = u8::try_from(bytes.len()).ok();
        }
        word
    }

    /// The word; empty when it is longer than any name.
    pub fn as_bytes(&self) -> &[u8] {
        self.length.and_then(|length| self.bytes.get(..length.into())).unwrap_or_default()
    }
}

/// The beginning of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// How many words the request has, its name included; at least one.
    pub words: u64,
    told: [Word; WORDS],
}

impl Head {
    /// The word at `index`, in lower case; empty where it was not asked for, is not there or is longer than any name.
    pub fn word(&self, index: usize) -> &[u8] {
        self.told.get(index).map(Word::as_bytes).unwrap_or_default()
    }
}

/// What begins where a request may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// More bytes are needed to tell.
    Starved,
    /// So many bytes that make no request, and get no reply: a blank line, `*0`.
    Blank(usize),
    /// A request.
    Request(Head),
    /// No request. A server's answer to it is an error, and the end of the connection.
    Malformed,
}

/// How far [`RequestDelimiter::advance`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// All bytes belong to the request, and more of it is to come.
    Inside,
    /// The request ends with so many of the bytes.
    Ended(usize),
    /// The bytes are no request any more.
    Malformed,
    /// An argument is longer than may be passed on.
    TooLong,
}

/// Finds where requests begin and end; keeps its place between calls.
#[derive(Debug)]
pub struct RequestDelimiter {
    state: State,
    header: [u8; LONGEST_LENGTH + 1],
    header_length: usize,
    longest_bulk: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// A request begins.
    Start,
    /// In an inline command.
    Inline,
    /// In the `*N` line, behind its type byte or in front of it.
    Count,
    /// In a `$N` line; so many arguments are to come.
    Length { left: u64 },
    /// Behind a header's `\r`: one byte follows, whichever; then an argument of `length` bytes, the first of `left`.
    LengthEnd { left: u64, length: u64 },
    /// Behind the `\r` of the count.
    CountEnd { left: u64 },
    /// So many bytes of an argument and its line end are to come, and so many arguments with it.
    Bulk { left: u64, bytes: u64 },
}

impl RequestDelimiter {
    /// A delimiter between requests, for arguments of at most so many bytes.
    pub fn new(longest_bulk: usize) -> Self {
        Self {
            state: State::Start,
            header: [0; LONGEST_LENGTH + 1],
            header_length: 0,
            longest_bulk: longest_bulk as u64,
        }
    }

    /// Whether the next byte begins a request.
    pub fn is_between_requests(&self) -> bool {
        matches!(self.state, State::Start)
    }

    /// What begins with `bytes`, when a request may begin there; nothing is taken. `wanted` says whether another word is
    /// needed behind those of the head.
    ///
    /// An inline command is told when its whole line is there.
    pub fn beginning(bytes: &[u8], wanted: impl Fn(&Head) -> bool) -> Beginning {
        match bytes.first() {
            None => Beginning::Starved,
            Some(b'*') => array(bytes, wanted),
            Some(_) => line(bytes),
        }
    }

    /// Looks at the next bytes of a request, up to its end.
    pub fn advance(&mut self, bytes: &[u8]) -> Advance {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let taken = match self.state {
                // A request begins → Inline or Count.
                State::Start => {
                    self.expect_header(if rest.first() == Some(&b'*') { State::Count } else { State::Inline });
                    0
                }
                // The line ends → Start.
                State::Inline => match rest.iter().position(|byte| *byte == b'\n') {
                    Some(end) => return self.end(at + end + 1),
                    None => rest.len(),
                },
                // The line's `\r` is there → CountEnd or LengthEnd.
                State::Count | State::Length { .. } => match self.header(rest) {
                    Ok(taken) => taken,
                    Err(stop) => return stop,
                },
                // Any byte → Length, or Start when nothing is announced.
                State::CountEnd { left: 0 } => return self.end(at + 1),
                State::CountEnd { left } => {
                    self.expect_header(State::Length { left });
                    1
                }
                // Any byte → Bulk.
                State::LengthEnd { left, length } => {
                    self.state = State::Bulk { left, bytes: length + 2 };
                    1
                }
                // The bytes are there → Length, or Start behind the last argument.
                State::Bulk { left, bytes } => {
                    let taken = usize::try_from(bytes).map_or(rest.len(), |bytes| bytes.min(rest.len()));
                    let bytes = bytes - taken as u64;
                    match (bytes, left) {
                        (0, ..=1) => return self.end(at + taken),
                        (0, _) => self.expect_header(State::Length { left: left - 1 }),
                        _ => self.state = State::Bulk { left, bytes },
                    }
                    taken
                }
            };
            at += taken;
        }
        Advance::Inside
    }

    fn end(&mut self, length: usize) -> Advance {
        self.state = State::Start;
        Advance::Ended(length)
    }

    fn expect_header(&mut self, state: State) {
        self.header_length = 0;
        self.state = state;
    }

    /// Takes what is there of a header line, its `\r` included.
    fn header(&mut self, rest: &[u8]) -> Result<usize, Advance> {
        for (index, byte) in rest.iter().enumerate() {
            if *byte == b'\r' {
                self.announced()?;
                return Ok(index + 1);
            }
            let room = self.header.get_mut(self.header_length).ok_or(Advance::Malformed)?;
            *room = *byte;
            self.header_length += 1;
        }
        Ok(rest.len())
    }

    /// The header is whole.
    fn announced(&mut self) -> Result<(), Advance> {
        let header = self.header.get(..self.header_length).unwrap_or_default();
        self.state = match self.state {
            State::Length { left } => {
                let length = length(header).ok_or(Advance::Malformed)?;
                if length > self.longest_bulk {
                    return Err(Advance::TooLong);
                }
                State::LengthEnd { left, length }
            }
            _ => State::CountEnd { left: count(header).ok_or(Advance::Malformed)? },
        };
        Ok(())
    }
}

/// How many arguments `*N` announces; none for 0 and less.
fn count(header: &[u8]) -> Option<u64> {
    let digits = header.strip_prefix(b"*")?;
    let count = parse_integer(digits).filter(|count| *count <= PROTOCOL_ELEMENTS)?;
    Some(u64::try_from(count).unwrap_or(0))
}

/// How many bytes `$N` announces.
fn length(header: &[u8]) -> Option<u64> {
    let digits = header.strip_prefix(b"$")?;
    let length = parse_integer(digits).filter(|length| *length <= PROTOCOL_BULK_BYTES)?;
    u64::try_from(length).ok()
}

/// The header line at the front of `bytes` and what is behind it; else what that says of the request.
fn header_line(bytes: &[u8]) -> Result<(&[u8], &[u8]), Beginning> {
    let looked_at = bytes.get(..=LONGEST_LENGTH + 1).unwrap_or(bytes);
    match looked_at.iter().position(|byte| *byte == b'\r') {
        Some(end) => bytes.get(..end).zip(bytes.get(end + 2..)).ok_or(Beginning::Starved),
        // Longer than any number.
        None if looked_at.len() > LONGEST_LENGTH + 1 => Err(Beginning::Malformed),
        None => Err(Beginning::Starved),
    }
}

/// A request in the form of an array.
fn array(bytes: &[u8], wanted: impl Fn(&Head) -> bool) -> Beginning {
    array_or_else(bytes, wanted).unwrap_or_else(|other| other)
}

fn array_or_else(bytes: &[u8], wanted: impl Fn(&Head) -> bool) -> Result<Beginning, Beginning> {
    let (header, mut rest) = header_line(bytes)?;
    let mut head = match count(header) {
        None => return Err(Beginning::Malformed),
        Some(0) => return Ok(Beginning::Blank(bytes.len() - rest.len())),
        Some(words) => Head { words, ..Head::default() },
    };
    for index in 0..WORDS {
        if index > 0 && (index as u64 >= head.words || !wanted(&head)) {
            break;
        }
        let (header, behind) = header_line(rest)?;
        let length = length(header).ok_or(Beginning::Malformed)?;
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= WORD_BYTES) else {
            // Too long to be told, and to be followed by a word that matters.
            break;
        };
        let (word, behind) = behind.get(..length).zip(behind.get(length + 2..)).ok_or(Beginning::Starved)?;
        head.tell(index, word);
        rest = behind;
    }
    Ok(Beginning::Request(head))
}

/// A request in the form of a line.
fn line(bytes: &[u8]) -> Beginning {
    let looked_at = bytes.get(..=LINE_BYTES).unwrap_or(bytes);
    let Some(end) = looked_at.iter().position(|byte| *byte == b'\n') else {
        return if looked_at.len() > LINE_BYTES { Beginning::Malformed } else { Beginning::Starved };
    };
    let line = looked_at.get(..end).unwrap_or_default();
    let line = Bytes::copy_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
    let limits = RequestLimits {
        elements: LINE_BYTES,
        bulk_bytes: LINE_BYTES,
        request_bytes: LINE_BYTES,
        unauthenticated: false,
    };
    match inline::split(&line, &limits) {
        Err(_) => Beginning::Malformed,
        Ok(words) if words.is_empty() => Beginning::Blank(end + 1),
        Ok(words) => {
            let mut head = Head { words: words.len() as u64, ..Head::default() };
            words.iter().take(WORDS).enumerate().for_each(|(index, word)| head.tell(index, word));
            Beginning::Request(head)
        }
    }
}

impl Head {
    fn tell(&mut self, index: usize, word: &[u8]) {
        if let Some(room) = self.told.get_mut(index) {
            *room = Word::new(word);
        }
    }
}

#[cfg(test)]
#[path = "delimiter_tests.rs"]
mod tests;
