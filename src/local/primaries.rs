//! `RPRIMARIES`: the primaries as this proxy sees them.

use bytes::Bytes;

use super::{Environment, bulk};
use crate::primary::PrimarySnapshot;
use crate::protocol::Reply;

/// One map for each primary, in the order of configuration.
pub fn primaries(environment: &Environment<'_>) -> Reply {
    let snapshot = (environment.primaries)();
    Reply::Array(snapshot.primaries.iter().map(|primary| described(primary, environment)).collect())
}

fn described(primary: &PrimarySnapshot, environment: &Environment<'_>) -> Reply {
    let text = |text: &str| Reply::Bulk(Bytes::copy_from_slice(text.as_bytes()));
    let integer = |number: u128| Reply::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let known = |known: &Option<String>| known.as_deref().map_or(Reply::Null, text);
    Reply::Map(vec![
        (bulk("address"), text(&primary.address)),
        (bulk("state"), text(&primary.state.to_string())),
        (bulk("since_ms"), integer(environment.now.since(primary.since).as_millis())),
        (bulk("server"), known(&primary.server)),
        (bulk("rtt_us"), integer(primary.round_trip.as_micros())),
        (bulk("clock_offset_ms"), primary.clock_offset_ms.map_or(Reply::Null, Reply::Integer)),
        (bulk("quarantine_ms"), integer(primary.quarantine.as_millis())),
        (bulk("last_error"), known(&primary.last_error)),
    ])
}
