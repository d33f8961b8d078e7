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

use super::integer::{parse_integer, short_header};
use super::{RequestLimits, inline};
use crate::limits::{LINE_BYTES, PROTOCOL_BULK_BYTES, PROTOCOL_ELEMENTS};

/// Type byte, sign and digits of the longest header; a longer one announces nothing.
const LONGEST_HEADER: usize = 21;
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
        if bytes.len() <= WORD_BYTES {
            word.length = u8::try_from(bytes.len()).ok();
            word.bytes.iter_mut().zip(bytes).for_each(|(room, byte)| *room = byte.to_ascii_lowercase());
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
    /// What has come of a header line that did not come whole.
    header: [u8; LONGEST_HEADER],
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
    /// So many bytes are to come of which nothing need be known, and so many arguments behind them: the byte behind a
    /// header's `\r`, whichever it is, and an argument with its line end.
    Bytes { count: u64, left: u64 },
}

impl RequestDelimiter {
    /// A delimiter between requests, for arguments of at most so many bytes.
    pub fn new(longest_bulk: usize) -> Self {
        Self { state: State::Start, header: [0; LONGEST_HEADER], header_length: 0, longest_bulk: longest_bulk as u64 }
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
            at += match self.state {
                // A request begins → Inline or Count.
                State::Start => {
                    self.state = if rest.first() == Some(&b'*') { State::Count } else { State::Inline };
                    0
                }
                // The line ends → Start.
                State::Inline => match rest.iter().position(|byte| *byte == b'\n') {
                    Some(end) => return self.end(at + end + 1),
                    None => rest.len(),
                },
                // The line's `\r` is there → Bytes.
                State::Count | State::Length { .. } => match self.header(rest) {
                    Ok(taken) => taken,
                    Err(stop) => return stop,
                },
                // The bytes are there → Length, or Start behind the last argument.
                State::Bytes { count, left } => {
                    match usize::try_from(count).ok().filter(|count| *count <= rest.len()) {
                        Some(count) if left == 0 => return self.end(at + count),
                        Some(count) => {
                            self.state = State::Length { left };
                            count
                        }
                        None => {
                            self.state = State::Bytes { count: count - rest.len() as u64, left };
                            rest.len()
                        }
                    }
                }
            };
        }
        Advance::Inside
    }

    fn end(&mut self, length: usize) -> Advance {
        self.state = State::Start;
        Advance::Ended(length)
    }

    /// Takes what is there of a header line, its `\r` included.
    fn header(&mut self, rest: &[u8]) -> Result<usize, Advance> {
        let kind = if matches!(self.state, State::Count) { b'*' } else { b'$' };
        if self.header_length == 0
            && let Some((number, taken)) = short_header(kind, rest)
        {
            self.announced(number)?;
            return Ok(taken);
        }
        for (index, byte) in rest.iter().enumerate() {
            if *byte == b'\r' {
                let length = std::mem::take(&mut self.header_length);
                let number = number(kind, self.header.get(..length).unwrap_or_default());
                self.announced(number.ok_or(Advance::Malformed)?)?;
                return Ok(index + 1);
            }
            *self.header.get_mut(self.header_length).ok_or(Advance::Malformed)? = *byte;
            self.header_length += 1;
        }
        Ok(rest.len())
    }

    /// A header is whole.
    fn announced(&mut self, number: i64) -> Result<(), Advance> {
        self.state = match self.state {
            State::Length { left } => {
                let length = length(number).ok_or(Advance::Malformed)?;
                if length > self.longest_bulk {
                    return Err(Advance::TooLong);
                }
                State::Bytes { count: length + 3, left: left - 1 }
            }
            _ => State::Bytes { count: 1, left: count(number).ok_or(Advance::Malformed)? },
        };
        Ok(())
    }
}

/// How many arguments are announced; none by 0 and less.
fn count(number: i64) -> Option<u64> {
    (number <= PROTOCOL_ELEMENTS).then(|| u64::try_from(number).unwrap_or(0))
}

/// How many bytes are announced.
fn length(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|_| number <= PROTOCOL_BULK_BYTES)
}

/// The number in a header line, which is without its line end.
fn number(kind: u8, header: &[u8]) -> Option<i64> {
    header.strip_prefix(&[kind]).and_then(parse_integer)
}

/// The number in the header line at the front of `bytes`, and what is behind the line; else what that says of the request.
fn header_line(kind: u8, bytes: &[u8]) -> Result<(i64, &[u8]), Beginning> {
    if let Some((number, taken)) = short_header(kind, bytes) {
        return bytes.get(taken + 1..).map(|behind| (number, behind)).ok_or(Beginning::Starved);
    }
    match bytes.iter().take(LONGEST_HEADER + 1).position(|byte| *byte == b'\r') {
        Some(end) => {
            let behind = bytes.get(end + 2..).ok_or(Beginning::Starved)?;
            let number = bytes.get(..end).and_then(|header| number(kind, header));
            number.map(|number| (number, behind)).ok_or(Beginning::Malformed)
        }
        None if bytes.len() > LONGEST_HEADER => Err(Beginning::Malformed),
        None => Err(Beginning::Starved),
    }
}

/// A request in the form of an array.
fn array(bytes: &[u8], wanted: impl Fn(&Head) -> bool) -> Beginning {
    array_or_else(bytes, wanted).unwrap_or_else(|other| other)
}

fn array_or_else(bytes: &[u8], wanted: impl Fn(&Head) -> bool) -> Result<Beginning, Beginning> {
    let (number, mut rest) = header_line(b'*', bytes)?;
    let mut head = match count(number) {
        None => return Err(Beginning::Malformed),
        Some(0) => return Ok(Beginning::Blank(bytes.len() - rest.len())),
        Some(words) => Head { words, ..Head::default() },
    };
    for index in 0..WORDS {
        if index > 0 && (index as u64 >= head.words || !wanted(&head)) {
            break;
        }
        let (number, behind) = header_line(b'$', rest)?;
        let length = length(number).ok_or(Beginning::Malformed)?;
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
    if line.contains(&0) {
        // A server written in C looks for the line's end no further than this, and never answers.
        return Beginning::Malformed;
    }
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
