//! A connection to a primary: bytes out, answers in.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::net::{TcpStream, UnixStream};

use super::encoding::encode_command;
use super::trouble::classify;
use crate::config::{Address, Tcp};
use crate::coordinator::Trouble;
use crate::limits::PRIMARY_REPLY_BYTES;
use crate::net::Socket;
use crate::protocol::{Answer, AnswerReader};

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// An open connection with what has been read of its next answers.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    reader: AnswerReader,
    input: BytesMut,
    pub(super) output: BytesMut,
}

impl Wire {
    /// Connects; how long that may take is the caller's matter.
    pub(super) async fn connect(address: &Address, tcp: &Tcp, reply_nesting: usize) -> Result<Self, Trouble> {
        let socket = match address {
            Address::Tcp { host, port } => TcpStream::connect((host.as_str(), *port)).await.map(Socket::Tcp),
            Address::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
        }
        .map_err(|error| connect_trouble(&error))?;
        socket.configure(tcp).map_err(|error| connect_trouble(&error))?;
        Ok(Self {
            socket,
            reader: AnswerReader::new(PRIMARY_REPLY_BYTES, reply_nesting),
            input: BytesMut::with_capacity(READ_BYTES),
            output: BytesMut::with_capacity(READ_BYTES),
        })
    }

    /// Waits until there is something to read, or room to write.
    pub(super) async fn ready(&self, interest: tokio::io::Interest) -> io::Result<()> {
        self.socket.ready(interest).await
    }

    /// Writes as much of `output` as the socket takes now.
    pub(super) fn write(&mut self) -> Result<(), Trouble> {
        while !self.output.is_empty() {
            match self.socket.try_write(&self.output) {
                Ok(0) => return Err(Trouble::ConnectionLost),
                Ok(written) => self.output.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(Trouble::ConnectionLost),
            }
        }
        Ok(())
    }

    /// Reads what has arrived; true when there was something.
    pub(super) fn read(&mut self) -> Result<bool, Trouble> {
        self.input.reserve(READ_BYTES);
        match self.socket.try_read(&mut self.input) {
            Ok(0) => Err(Trouble::ConnectionLost),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(_) => Err(Trouble::ConnectionLost),
        }
    }

    /// The next whole answer of what has been read.
    pub(super) fn answer(&mut self) -> Result<Option<Answer>, Trouble> {
        self.reader.decode(&mut self.input).map_err(|error| Trouble::Other(error.to_string().into()))
    }

    /// Sends one command and waits for its answer.
    pub(super) async fn ask(&mut self, command: &[&[u8]]) -> Result<Answer, Trouble> {
        encode_command(command, &mut self.output);
        loop {
            self.write()?;
            if let Some(answer) = self.answer()? {
                return Ok(answer);
            }
            let interest = if self.output.is_empty() {
                tokio::io::Interest::READABLE
            } else {
                tokio::io::Interest::READABLE | tokio::io::Interest::WRITABLE
            };
            self.ready(interest).await.map_err(|_| Trouble::ConnectionLost)?;
            self.read()?;
        }
    }

    /// Like [`ask`](Self::ask), for a command that is useless when refused.
    pub(super) async fn demand(&mut self, command: &[&[u8]]) -> Result<Answer, Trouble> {
        match self.ask(command).await? {
            Answer::Error(error) => Err(classify(&error)),
            answer => Ok(answer),
        }
    }
}

fn connect_trouble(error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Trouble::ConnectionRefused,
        io::ErrorKind::TimedOut => Trouble::NotConnected,
        _ => Trouble::Other(super::trouble::own_words(error.to_string().as_bytes())),
    }
}
