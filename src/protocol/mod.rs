//! RESP on the client's side and on the primaries': requests in, replies out, where a reply ends.
//!
//! Everything here is a function of bytes: no sockets, no clock, no tasks. What comes from a socket is taken in any
//! pieces, measured against a limit before memory is set aside for it, and looked at once, however slowly it drips in.
//!
//! - [`RequestDecoder`] takes whole requests off a client's read buffer, [`Reply`] writes what the proxy answers itself.
//! - [`RequestDelimiter`] finds where a request ends that is passed on, and what it is called, without decoding it.
//! - [`ReplyScanner`] finds where a reply ends without decoding it; [`AnswerReader`] decodes the small ones that
//!   primaries send to the proxy.
//!
//! The `redis-protocol` crate is named in this module only, and is given only complete frames of bounded size and
//! depth or frames of our own making.

mod answer;
mod boundary;
mod delimiter;
mod inline;
mod integer;
mod reply;
mod request;

pub use answer::{Answer, AnswerReader};
pub use boundary::{ReplyError, ReplyScanner, Scan};
pub use delimiter::{Advance, Beginning, Head, RequestDelimiter, Word};
pub use integer::parse_integer;
pub use reply::{Reply, Version, encode_push};
pub use request::{ProtocolError, Request, RequestDecoder, RequestLimits, encode_request};
