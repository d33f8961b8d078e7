//! `INFO [section …]`: the proxy's state and counters, in the format of Redis' INFO.
//!
//! The first sections hold what tools that watch Redis look for; `redlock` holds the proxy's own. A field of it is
//! never renamed, and keeps its place: new ones are put in where their kind stands.

use std::fmt::{Display, Write};

use bytes::Bytes;

use super::{Environment, PROXY_VERSION, REDIS_VERSION};
use crate::counters::Counter;
use crate::protocol::Reply;
use crate::relay::State;

/// `INFO [section …]`: the named sections, in their own order; all of them when none is named. Unknown names say
/// nothing.
pub(super) fn info(names: &[Bytes], environment: &Environment<'_>) -> Reply {
    let is_asked = |name: &str| names.iter().any(|word| word.eq_ignore_ascii_case(name.as_bytes()));
    let every = names.is_empty() || ["default", "all", "everything"].into_iter().any(is_asked);
    let mut text = String::new();
    for (name, write) in SECTIONS {
        if every || is_asked(name) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let mut section = Section::new(&mut text, name);
            write(&mut section, environment);
        }
    }
    Reply::Verbatim(text.into())
}

type WriteSection = fn(&mut Section<'_>, &Environment<'_>);

const SECTIONS: [(&str, WriteSection); 5] =
    [("Server", server), ("Clients", clients), ("Stats", stats), ("Replication", replication), ("Redlock", redlock)];

/// The text of one section, field by field.
struct Section<'a>(&'a mut String);

impl<'a> Section<'a> {
    fn new(text: &'a mut String, title: &str) -> Self {
        let _ = write!(text, "# {title}\r\n");
        Self(text)
    }

    fn field(&mut self, name: impl Display, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    fn counters<const N: usize>(&mut self, counters: [(&str, &Counter); N]) {
        for (name, counter) in counters {
            self.field(name, counter.value());
        }
    }
}

fn server(section: &mut Section<'_>, environment: &Environment<'_>) {
    let uptime = environment.now.since(environment.started).as_secs();
    section.field("redis_version", REDIS_VERSION);
    section.field("redlock_proxy_version", PROXY_VERSION);
    section.field("redis_mode", "standalone");
    section.field("arch_bits", usize::BITS);
    section.field("process_id", environment.process_id);
    section.field("run_id", environment.run_id);
    section.field("tcp_port", environment.tcp_port);
    section.field("uptime_in_seconds", uptime);
    section.field("uptime_in_days", uptime / 86_400);
}

fn clients(section: &mut Section<'_>, environment: &Environment<'_>) {
    section.field("connected_clients", environment.clients.count());
    section.field("maxclients", environment.max_clients);
    section.field("blocked_clients", environment.counters.waiters.value());
}

fn stats(section: &mut Section<'_>, environment: &Environment<'_>) {
    let counters = environment.counters;
    section.counters([
        ("total_connections_received", &counters.total_connections_received),
        ("rejected_connections", &counters.rejected_connections),
    ]);
}

fn replication(section: &mut Section<'_>, _environment: &Environment<'_>) {
    section.field("role", "master");
    section.field("connected_slaves", 0);
}

fn redlock(section: &mut Section<'_>, environment: &Environment<'_>) {
    let snapshot = (environment.primaries)();
    section.field("version", PROXY_VERSION);
    section.field("run_id", environment.run_id);
    section.field("uptime_in_seconds", environment.now.since(environment.started).as_secs());
    section.field("mode", if environment.upstream.is_some() { "relay" } else { "lock_only" });
    section.field("ready", u8::from(snapshot.ready));
    section.field("primaries", snapshot.primaries.len());
    let up = snapshot.primaries.iter().filter(|primary| primary.state.is_up()).count();
    section.field("primaries_up", up);
    section.field("primaries_voting", snapshot.voting);
    section.field("quorum", snapshot.quorum.needed());
    section.field(
        "upstream",
        match environment.upstream {
            None => "none",
            Some(State::Up) => "up",
            Some(State::Down) => "down",
        },
    );
    redlock_counters(section, environment);
    let percentiles = environment.latency.percentiles(environment.now);
    section.field("rlock_usec_p50", percentiles.p50);
    section.field("rlock_usec_p99", percentiles.p99);
    section.field("rlock_usec_p999", percentiles.p999);
    for (place, primary) in snapshot.primaries.iter().enumerate() {
        section.field(
            format_args!("primary{place}"),
            format_args!(
                "address={},state={},rtt_us={},operations={},unknown={},unsent={},reconnects={},queue={}",
                primary.address,
                primary.state,
                primary.round_trip.as_micros(),
                primary.operations,
                primary.unknown,
                primary.unsent,
                primary.reconnects,
                primary.queue
            ),
        );
    }
}

fn redlock_counters(section: &mut Section<'_>, environment: &Environment<'_>) {
    let counters = environment.counters;
    section.field("connected_clients", environment.clients.count());
    section.counters([
        // A client waits with one command at a time, and nothing behind it runs.
        ("waiting_clients", &counters.waiters),
        ("total_connections_received", &counters.total_connections_received),
        ("rejected_connections", &counters.rejected_connections),
        ("accept_errors", &counters.accept_errors),
    ]);
    section.field("descriptor_limit", environment.descriptor_limit);
    section.counters([
        ("rlock_granted", &counters.rlock_granted),
        ("rlock_taken_over", &counters.rlock_taken_over),
        ("rlock_refused", &counters.rlock_refused),
        ("rlock_noquorum", &counters.rlock_noquorum),
        ("rlock_too_late", &counters.rlock_too_late),
        ("rlock_split_retries", &counters.rlock_split_retries),
        ("rlock_abandoned", &counters.rlock_abandoned),
        ("runlock_released", &counters.runlock_released),
        ("runlock_not_held", &counters.runlock_not_held),
        ("runlock_noquorum", &counters.runlock_noquorum),
        ("rextend_extended", &counters.rextend_extended),
        ("rextend_lost", &counters.rextend_lost),
        ("rextend_noquorum", &counters.rextend_noquorum),
        ("rextend_records_restored", &counters.rextend_records_restored),
        ("rmlock_granted", &counters.rmlock_granted),
        ("rmlock_refused", &counters.rmlock_refused),
        ("rmlock_noquorum", &counters.rmlock_noquorum),
        ("wait_granted", &counters.wait_granted),
        ("wait_expired", &counters.wait_expired),
        ("wait_abandoned", &counters.wait_abandoned),
        ("lines", &counters.lines),
        ("waiters", &counters.waiters),
        ("waiters_peak", &counters.waiters_peak),
        ("notices_sent", &counters.notices_sent),
        ("notices_received", &counters.notices_received),
        ("session_locks", &counters.session_locks),
        ("session_renewals", &counters.session_renewals),
        ("session_renewal_failures", &counters.session_renewal_failures),
        ("session_lost", &counters.session_lost),
        ("session_released_on_close", &counters.session_released_on_close),
        ("fences_issued", &counters.fences_issued),
        ("fences_second_round", &counters.fences_second_round),
        ("withdrawals_sent", &counters.withdrawals_sent),
        ("withdrawals_pending", &counters.withdrawals_pending),
        ("late_grants_undone", &counters.late_grants_undone),
        ("quarantines", &counters.quarantines),
        ("incarnation_changes", &counters.incarnation_changes),
        ("relay_connections", &counters.relay_connections),
        ("relay_connect_failures", &counters.relay_connect_failures),
        ("relay_commands", &counters.relay_commands),
        ("relay_fences", &counters.relay_fences),
        ("relay_bytes_in", &counters.relay_bytes_in),
        ("relay_bytes_out", &counters.relay_bytes_out),
        ("errors_syntax", &counters.errors_syntax),
        ("errors_auth", &counters.errors_auth),
        ("errors_limit", &counters.errors_limit),
        ("errors_protocol", &counters.errors_protocol),
        ("clients_closed_output_limit", &counters.clients_closed_output_limit),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::tests_support::Fixture;
    use crate::lock::Moment;

    fn text(fixture: &mut Fixture, line: &str) -> String {
        match fixture.reply(line) {
            Reply::Verbatim(text) => String::from_utf8(text.to_vec()).expect("text"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn info_redlock_has_its_fields_in_their_order() {
        let mut fixture = Fixture::new();
        fixture.now = Moment::from_micros(90_500_000);
        fixture.counters.rlock_granted.add(3);
        fixture.counters.waiters.set(2);
        fixture.counters.waiters_peak.raise(5);
        fixture.counters.waiters_peak.raise(4);
        fixture.latency.record(40, fixture.now);
        let expected = format!(
            "# Redlock\nversion:{PROXY_VERSION}\nrun_id:0123456789abcdef\nuptime_in_seconds:90\nmode:lock_only\nready:1\n\
             primaries:2\nprimaries_up:1\nprimaries_voting:1\nquorum:2\nupstream:none\n\
             connected_clients:1\nwaiting_clients:2\n\
             total_connections_received:0\nrejected_connections:0\naccept_errors:0\n\
             descriptor_limit:10032\n\
             rlock_granted:3\nrlock_taken_over:0\nrlock_refused:0\nrlock_noquorum:0\nrlock_too_late:0\n\
             rlock_split_retries:0\nrlock_abandoned:0\n\
             runlock_released:0\nrunlock_not_held:0\nrunlock_noquorum:0\n\
             rextend_extended:0\nrextend_lost:0\nrextend_noquorum:0\nrextend_records_restored:0\n\
             rmlock_granted:0\nrmlock_refused:0\nrmlock_noquorum:0\n\
             wait_granted:0\nwait_expired:0\nwait_abandoned:0\nlines:0\nwaiters:2\nwaiters_peak:5\n\
             notices_sent:0\nnotices_received:0\n\
             session_locks:0\nsession_renewals:0\nsession_renewal_failures:0\nsession_lost:0\nsession_released_on_close:0\n\
             fences_issued:0\nfences_second_round:0\n\
             withdrawals_sent:0\nwithdrawals_pending:0\nlate_grants_undone:0\nquarantines:0\nincarnation_changes:0\n\
             relay_connections:0\nrelay_connect_failures:0\nrelay_commands:0\nrelay_fences:0\n\
             relay_bytes_in:0\nrelay_bytes_out:0\n\
             errors_syntax:0\nerrors_auth:0\nerrors_limit:0\nerrors_protocol:0\nclients_closed_output_limit:0\n\
             rlock_usec_p50:40\nrlock_usec_p99:40\nrlock_usec_p999:40\n\
             primary0:address=127.0.0.1:7001,state=up,rtt_us=85,operations=12345,unknown=0,unsent=0,reconnects=1,queue=0\n\
             primary1:address=[::1]:7002,state=duplicate,rtt_us=0,operations=0,unknown=0,unsent=0,reconnects=0,queue=0\n"
        );
        assert_eq!(text(&mut fixture, "INFO redlock"), expected.replace('\n', "\r\n"));
    }

    #[test]
    fn sections_are_told_once_in_their_own_order_with_a_line_between() {
        let mut fixture = Fixture::new();
        assert_eq!(
            text(&mut fixture, "INFO Replication CLIENTS nope replication"),
            "# Clients\r\nconnected_clients:1\r\nmaxclients:9000\r\nblocked_clients:0\r\n\r\n\
             # Replication\r\nrole:master\r\nconnected_slaves:0\r\n"
        );
        assert_eq!(text(&mut fixture, "INFO nope"), "");
    }

    #[test]
    fn without_a_name_all_sections_are_told() {
        let mut fixture = Fixture::new();
        let all = text(&mut fixture, "INFO");
        let titles: Vec<&str> = all.lines().filter(|line| line.starts_with('#')).collect();
        assert_eq!(titles, ["# Server", "# Clients", "# Stats", "# Replication", "# Redlock"]);
        for name in ["all", "default", "EVERYTHING"] {
            assert_eq!(text(&mut fixture, &format!("INFO {name}")), all, "{name}");
        }
    }

    #[test]
    fn every_line_is_a_title_or_a_field() {
        for line in text(&mut Fixture::new(), "INFO").split_terminator("\r\n").filter(|line| !line.is_empty()) {
            assert!(
                line.starts_with("# ") || line.split_once(':').is_some_and(|(name, _)| !name.contains(' ')),
                "{line}"
            );
        }
    }
}
