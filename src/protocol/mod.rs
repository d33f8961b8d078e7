//! RESP on the client's side and on the primaries': requests in, replies out, where a reply ends.

mod boundary;
mod reply;
mod request;

pub use reply::{Reply, Version};
pub use request::{ProtocolError, Request, RequestDecoder, RequestLimits};
