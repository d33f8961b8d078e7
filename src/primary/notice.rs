//! What other proxies tell of the locks that their clients wait for: one subscription to each primary, over the `redis`
//! crate, beside the links.
//!
//! Notices are published over the links, where they stand behind the command that they tell of. To hear them takes a
//! connection of its own, since a subscribed one is good for nothing else. Everything that is heard is handed to the
//! coordinator, and so is whether anything can be heard: what is released while nobody listens is found by trying again.
//!
//! The crate queues what has come without a bound. Nothing is waited for between two notices, and whoever publishes there
//! has a primary's password.
//!
//! A subscription that is silent is a subscription on which nothing happens, or one that is dead. So it is asked for a
//! sign of life as often as a link is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{PubSubSink, PubSubStream};
use redis::{Client, Msg, RedisError, Value};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::control::{connection_info, trouble};
use super::encoding::CHANNEL;
use super::link::jittered;
use crate::config::{Config, Endpoint};
use crate::coordinator::{Coordinator, Notice, Trouble};
use crate::limits::{RECONNECT_FIRST, RECONNECT_LONGEST};
use crate::lock::NodeId;

/// The subscriptions to all primaries; they live as long as this does.
#[derive(Debug)]
pub struct Listeners {
    _tasks: JoinSet<()>,
}

impl Listeners {
    /// Starts to listen; connects in the background.
    pub fn start(config: &Config, coordinator: &Arc<Coordinator>) -> Self {
        let mut tasks = JoinSet::new();
        for (node, endpoint) in config.quorum.nodes().zip(&config.primaries) {
            let listener = Listener {
                node,
                endpoint: endpoint.clone(),
                channel: [&config.key_prefix[..], CHANNEL].concat(),
                connect_timeout: config.connect_timeout,
                silence_timeout: config.silence_timeout,
                probe_interval: config.probe_interval,
                key_bytes: config.limits.key_bytes,
                coordinator: Arc::clone(coordinator),
            };
            tasks.spawn(listener.run());
        }
        Self { _tasks: tasks }
    }
}

/// The task that listens to one primary.
struct Listener {
    node: NodeId,
    endpoint: Endpoint,
    channel: Vec<u8>,
    connect_timeout: Duration,
    silence_timeout: Duration,
    probe_interval: Duration,
    key_bytes: usize,
    coordinator: Arc<Coordinator>,
}

impl Listener {
    /// Subscribes, listens until the connection is lost, and begins again, for ever.
    async fn run(self) {
        let mut delay = RECONNECT_FIRST;
        let mut told = false;
        loop {
            let trouble = match timeout(self.connect_timeout, self.subscribe()).await {
                Ok(Ok((sink, stream))) => {
                    tracing::debug!(primary = %self.endpoint.address, "notices of other proxies are heard");
                    (delay, told) = (RECONNECT_FIRST, false);
                    self.coordinator.listens_to(self.node, true);
                    let trouble = self.listen(sink, stream).await;
                    self.coordinator.listens_to(self.node, false);
                    trouble
                }
                Ok(Err(error)) => trouble(&error),
                Err(_) => Trouble::TimedOut(self.connect_timeout),
            };
            self.tell(&trouble, &mut told);
            // Not in step with the proxies that lost it at the same time.
            sleep(jittered(delay)).await;
            delay = (delay * 2).min(RECONNECT_LONGEST);
        }
    }

    /// A server that refuses is worth a warning, once: somebody has to allow it. That one is away is the link's to tell.
    fn tell(&self, trouble: &Trouble, told: &mut bool) {
        let primary = &self.endpoint.address;
        if matches!(trouble, Trouble::Other(_)) && !std::mem::replace(told, true) {
            tracing::warn!(
                %primary,
                reason = %trouble,
                "notices of other proxies are not heard: waiters find out by trying"
            );
        } else {
            tracing::debug!(%primary, reason = %trouble, "notices of other proxies are not heard");
        }
    }

    async fn subscribe(&self) -> Result<(PubSubSink, PubSubStream), RedisError> {
        let client = Client::open(connection_info(&self.endpoint)?)?;
        let (mut sink, stream) = client.get_async_pubsub().await?.split();
        sink.subscribe(&self.channel[..]).await?;
        Ok((sink, stream))
    }

    async fn listen(&self, mut sink: PubSubSink, mut stream: PubSubStream) -> Trouble {
        let messages = async {
            while let Some(message) = stream.next().await {
                self.hear(&message);
            }
            Trouble::ConnectionLost
        };
        let signs_of_life = async {
            loop {
                sleep(self.probe_interval).await;
                match timeout(self.silence_timeout, sink.ping::<Value>()).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return trouble(&error),
                    Err(_) => return Trouble::TimedOut(self.silence_timeout),
                }
            }
        };
        tokio::select! {
            trouble = messages => trouble,
            trouble = signs_of_life => trouble,
        }
    }

    fn hear(&self, message: &Msg) {
        if let Some(notice) = Notice::parse(message.get_payload_bytes(), self.key_bytes) {
            self.coordinator.hear_notice(notice, self.node);
        } else {
            tracing::debug!(primary = %self.endpoint.address, "a notice that this version does not know");
        }
    }
}
