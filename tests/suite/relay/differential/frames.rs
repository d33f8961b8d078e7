//! Counts the replies in a stream that comes in pieces.
//!
//! The differ must know when a server has answered, in streams of any size; what was answered it compares as bytes. So this counts
//! and keeps nothing. A line that is no RESP counts as a reply of its own: whoever sends it has lost the thread, and waiting for
//! more would hide that.

#[derive(Debug, Default)]
pub(super) struct Frames {
    complete: usize,
    /// The line that has begun.
    line: Vec<u8>,
    /// Bytes left of a body, its line end among them.
    body: usize,
    /// How many values each open aggregate still lacks.
    open: Vec<usize>,
}

impl Frames {
    /// Takes the next bytes; says how many replies there have been.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> usize {
        while let Some(&byte) = bytes.first() {
            if self.body > 0 {
                let taken = self.body.min(bytes.len());
                bytes = &bytes[taken..];
                self.body -= taken;
                if self.body == 0 {
                    self.value_ends();
                }
            } else {
                bytes = &bytes[1..];
                self.line.push(byte);
                if byte == b'\n' {
                    self.line_ends();
                }
            }
        }
        self.complete
    }

    fn line_ends(&mut self) {
        let line = std::mem::take(&mut self.line);
        let length = std::str::from_utf8(&line[1..]).ok().and_then(|text| text.trim_end().parse::<usize>().ok());
        match (line[0], length) {
            (b'$' | b'!' | b'=', Some(length)) => self.body = length + 2,
            (b'*' | b'~' | b'>', Some(length @ 1..)) => self.open.push(length),
            (b'%', Some(length @ 1..)) => self.open.push(2 * length),
            // The value that the attributes belong to comes behind them.
            (b'|', Some(length)) => self.open.push(2 * length + 1),
            _ => self.value_ends(),
        }
    }

    fn value_ends(&mut self) {
        while let Some(lacking) = self.open.last_mut() {
            *lacking -= 1;
            if *lacking > 0 {
                return;
            }
            self.open.pop();
        }
        self.complete += 1;
    }
}

#[test]
fn replies_are_counted_at_their_last_byte() {
    let replies: [&[u8]; 8] = [
        b"+OK\r\n",
        b"$3\r\na\r\n\r\n",
        b"$-1\r\n",
        b"*2\r\n*1\r\n:1\r\n*0\r\n",
        b"%1\r\n+a\r\n~1\r\n#t\r\n",
        b"|1\r\n+k\r\n:1\r\n$0\r\n\r\n",
        b">2\r\n+m\r\n_\r\n",
        b"-ERR no\r\n",
    ];
    let mut frames = Frames::default();
    for (number, reply) in replies.iter().enumerate() {
        for (place, byte) in reply.iter().enumerate() {
            let is_last = place + 1 == reply.len();
            assert_eq!(frames.push(&[*byte]), number + usize::from(is_last), "in \"{}\"", reply.escape_ascii());
        }
    }
}
