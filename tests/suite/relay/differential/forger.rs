//! A relay between two connections that changes what it passes on, which the differ must notice; or only how it comes, which the
//! proxy must not.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// What it does to the replies of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Forgery {
    /// Nothing.
    None,
    /// Nothing; but each byte is written by itself.
    Singly,
    /// One bit of the byte at this place is another.
    Flip(usize),
    /// The byte at this place is missing.
    Drop(usize),
    /// A byte more behind that place.
    Insert(usize),
    /// The stream ends there.
    EndAt(usize),
    /// The connection is reset where it should end.
    Reset,
}

/// A running forger; dropping it ends it.
pub(super) struct Forger {
    address: String,
    accepting: AbortHandle,
}

impl Forger {
    pub(super) async fn start(target: String, forgery: Forgery) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound listener has an address").to_string();
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a listener accepts");
                let server = TcpStream::connect(&target).await.expect("the target accepts connections");
                for stream in [&client, &server] {
                    stream.set_nodelay(true).expect("a socket takes the option");
                }
                tokio::spawn(forge(client, server, forgery));
            }
        });
        Self { address, accepting: accepting.abort_handle() }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Forger {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forge(mut client: TcpStream, mut server: TcpStream, forgery: Forgery) {
    {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let requests = async {
            // Fails when the server has closed, which ends the replies too.
            let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
            let _ = to_server.shutdown().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = requests => {}
            () = forge_replies(&mut from_server, &mut to_client, forgery) => {}
        }
    }
    if matches!(forgery, Forgery::Reset) {
        client.set_zero_linger().expect("an open socket takes the option");
    }
}

async fn forge_replies(from_server: &mut ReadHalf<'_>, to_client: &mut WriteHalf<'_>, forgery: Forgery) {
    let mut place = 0;
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
        let mut bytes = buffer[..length].to_vec();
        let here = |at: usize| at.checked_sub(place).filter(|at| *at < length);
        match forgery {
            Forgery::Flip(at) => here(at).into_iter().for_each(|at| bytes[at] ^= 1),
            Forgery::Drop(at) => here(at).into_iter().for_each(|at| bytes.drain(at..=at).for_each(drop)),
            Forgery::Insert(at) => here(at).into_iter().for_each(|at| bytes.insert(at, b'0')),
            Forgery::EndAt(at) => bytes.truncate(at.saturating_sub(place)),
            Forgery::None | Forgery::Singly | Forgery::Reset => {}
        }
        place += length;
        let is_written = match forgery {
            Forgery::Singly => write_singly(to_client, &bytes).await,
            _ => to_client.write_all(&bytes).await,
        };
        if is_written.is_err() || matches!(forgery, Forgery::EndAt(at) if at <= place) {
            return;
        }
    }
}

async fn write_singly(sink: &mut WriteHalf<'_>, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes {
        sink.write_all(&[*byte]).await?;
        super::player::let_it_be_read();
    }
    Ok(())
}
