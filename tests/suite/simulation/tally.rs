//! What went on, in numbers: whether the seeds exercised what they are there for.

use std::fmt;

use redlock_proxy::counters::Counters;

use super::network::State;

macro_rules! tally {
    ($($name:ident),* $(,)?) => {
        /// Of one world, or of many.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub(super) struct Tally {
            $(pub(super) $name: u64,)*
        }

        impl Tally {
            pub(super) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl fmt::Display for Tally {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, "{:>10} {}", self.$name, stringify!($name).replace('_', " "))?;)*
                Ok(())
            }
        }
    };
}

tally! {
    grants, take_overs, refusals, no_quorums, splits, replies_too_late, clients_left, withdrawals,
    extensions, extensions_lost, releases, fences, fences_of_take_overs, fences_in_two_rounds, fences_drawn_again,
    renewals, renewals_failed, put_back, sessions_lost,
    waits_granted, waits_expired, waits_abandoned, notices_heard, notices_lost,
    links_lost, connections_killed, requests_of_killed_connections, requests_of_given_up_links, timed_out, unsent,
    memories_lost, clock_steps, proxies_started_anew, quarantines,
}

impl Tally {
    pub(super) fn of(counters: &Counters, world: &State) -> Self {
        let incidents = &world.incidents;
        Self {
            grants: counters.rlock_granted.value(),
            take_overs: counters.rlock_taken_over.value(),
            refusals: counters.rlock_refused.value(),
            no_quorums: counters.rlock_noquorum.value(),
            splits: counters.rlock_split_retries.value(),
            replies_too_late: world.checker.too_late,
            clients_left: world.checker.left,
            withdrawals: counters.withdrawals_sent.value(),
            extensions: counters.rextend_extended.value(),
            extensions_lost: counters.rextend_lost.value(),
            releases: counters.runlock_released.value(),
            fences: counters.fences_issued.value(),
            fences_of_take_overs: world.fences.of_take_overs,
            fences_in_two_rounds: counters.fences_second_round.value(),
            fences_drawn_again: world.fences.drawn_again,
            renewals: world.sessions.renewals,
            renewals_failed: counters.session_renewal_failures.value(),
            put_back: world.sessions.put_back,
            sessions_lost: counters.session_lost.value(),
            waits_granted: counters.wait_granted.value(),
            waits_expired: counters.wait_expired.value(),
            waits_abandoned: counters.wait_abandoned.value(),
            notices_heard: counters.notices_received.value(),
            notices_lost: incidents.notices_lost,
            links_lost: incidents.links_lost,
            connections_killed: incidents.kills,
            requests_of_killed_connections: incidents.bytes_of_the_killed,
            requests_of_given_up_links: incidents.late_requests,
            timed_out: incidents.timed_out,
            unsent: incidents.unsent,
            memories_lost: incidents.losses,
            clock_steps: incidents.steps,
            proxies_started_anew: world.censuses.lives.iter().sum(),
            quarantines: world.censuses.quarantines(),
        }
    }
}
