//! The listening sockets.

use std::future::Future;

use tokio::net::{TcpListener, UnixListener};

use crate::config::{Address, Config};

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    address: Address,
    source: std::io::Error,
}

/// The proxy, listening.
#[derive(Debug)]
pub struct Server {
    tcp: Vec<TcpListener>,
    unix: Vec<UnixListener>,
}

impl Server {
    /// Binds every address of the configuration.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let mut server = Self { tcp: Vec::new(), unix: Vec::new() };
        for address in config.listen {
            let bound = match &address {
                Address::Tcp { host, port } => {
                    TcpListener::bind((host.as_str(), *port)).await.map(|listener| server.tcp.push(listener))
                }
                Address::Unix(path) => UnixListener::bind(path).map(|listener| server.unix.push(listener)),
            };
            if let Err(source) = bound {
                return Err(BindError { address, source });
            }
            tracing::info!(%address, "listening");
        }
        Ok(server)
    }

    /// Runs until `shutdown` is ready.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        shutdown.await;
        drop((self.tcp, self.unix));
    }
}
