//! The least that a proxy can be: bytes from one socket to another, both ways, in one task per connection.
//!
//! What the transparent relay is compared with. Same runtime, same socket options, and no look at a single byte.
//!
//! `splice PORT UPSTREAM`

use std::env;
use std::io;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [port, upstream] = &arguments[..] else { panic!("splice PORT UPSTREAM") };
    let (port, upstream) = (port.parse().expect("a port"), upstream.clone());
    Builder::new_multi_thread().enable_all().build()?.block_on(serve(port, upstream))
}

async fn serve(port: u16, upstream: String) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (client, _) = listener.accept().await?;
        let upstream = upstream.clone();
        tokio::spawn(async move {
            if let Err(error) = splice(client, &upstream).await {
                eprintln!("a connection has failed: {error}");
            }
        });
    }
}

async fn splice(mut client: TcpStream, upstream: &str) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}
