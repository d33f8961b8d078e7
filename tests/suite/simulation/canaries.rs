//! One rule broken at a time, at the seams only: the production code is unchanged. Each must be caught, and by the
//! promise that it breaks.
//!
//! A canary that sings no more says that the generator has lost the histories which that rule is there for.

use super::checker::Claim;
use super::directed::{
    all_start_empty, flushed_and_marked_by_another, put_back_behind_a_release, step_while_the_link_is_lost,
};
use super::forgetting::Forgetting;
use super::plan::{Mood, Plan};
use super::{from_environment, run};

/// The rule that a world breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Canary {
    /// N/2 primaries are enough.
    QuorumOfHalf,
    /// A reply tells ttl - drift, however late it is written.
    ValidityWithoutElapsed,
    /// No allowance is made for primaries whose clocks run fast.
    NoDrift,
    /// A command's attempts, and its retry through another proxy, sign with one token.
    TokenReused,
    /// What did not answer is not asked to delete either.
    WithdrawalSkippedForSilent,
    /// A release or an extension that never left counts as "there is no such record".
    UnsentCountedAsAbsent,
    /// An extension may shorten.
    ExtendWithoutGreaterThan,
    /// Signing anew asks whose record it is, not which.
    SigningByPrefix,
    /// A take-over that is not wanted any more is also withdrawn where it signed.
    TakeOverWithdrawnWhereSigned,
    /// A new connection does not end the former ones.
    NoKill,
    /// A new connection ends the last one before it only.
    OnlyTheLastKilled,
    /// Two nodes are one server.
    OneServerVotesTwice,
    /// A renewal sets a record anew where its first SET got no answer.
    PutBackWhereSilent,
    /// Who does not want to wait asks the primaries although others stand in line.
    NewcomersPassTheLine,
    /// Who wants to wait is kept waiting for a second longer.
    WaitsASecondLonger,
    /// A fencing number needs a majority of the primaries that granted the lock.
    MajorityOfGrantersForTheFence,
    /// A fencing number accepted by a primary that refused the lock counts.
    RaiseCountedOnRefusers,
    /// The raise counts although the record may have been taken over meanwhile.
    NoLookBehindTheRaise,
    /// A larger fencing number is drawn whenever a primary has not answered in time.
    FenceStepAtEveryRepetition,
    /// Nobody looks whether a primary may have forgotten.
    QuarantineOff,
    /// That a quarantined primary has no such record counts.
    AbsenceCountedInQuarantine,
    /// A primary that has forgotten is sound at once.
    MaxTtlNotWaitedOut,
    /// It is enough that there is a marker.
    ExistsInsteadOfGet,
    /// Only an idle link's probe looks.
    ProbesOnly,
    /// A marker vouches for whatever process it is found in.
    RunIgnored,
    /// Clocks are not looked at.
    ClockStepIgnored,
    /// How far a primary's clock was ahead is forgotten when its link is lost, and that it has stepped.
    StepForgottenWithTheLink,
    /// Primaries that have all been started a moment ago, and are without a marker, are a new set.
    NewSetToldByUptime,
}

impl Canary {
    /// Where to look for what only much haste, or owners without patience, bring about soon.
    pub(super) fn best_caught_in(self) -> Option<Mood> {
        match self {
            Self::MajorityOfGrantersForTheFence | Self::RaiseCountedOnRefusers => Some(Mood::Haste),
            Self::SigningByPrefix | Self::NoLookBehindTheRaise => Some(Mood::Impatience),
            Self::ClockStepIgnored => Some(Mood::Forgetfulness(Forgetting::Steps)),
            Self::QuarantineOff
            | Self::AbsenceCountedInQuarantine
            | Self::MaxTtlNotWaitedOut
            | Self::ProbesOnly
            | Self::RunIgnored => Some(Mood::Forgetfulness(Forgetting::Crashes)),
            _ => None,
        }
    }
}

/// What else breaks when a primary that has forgotten votes.
const FORGOTTEN: &[Claim] = &[Claim::Exclusion, Claim::ValidityStands, Claim::ReleasedIsGone, Claim::FenceOrder];

/// Looks for a world, among at most `most`, in which the broken rule breaks the promise. Another promise may break in
/// other worlds, but none that is not among those that `may` break by this rule.
#[track_caller]
fn must_be_caught(canary: Canary, promise: Claim, may: &[Claim], most: u64) {
    let first = from_environment("REDLOCK_SEED").unwrap_or(0);
    for seed in first..first + most {
        if let Err(broken) = run(Plan::new(seed, Some(canary))) {
            let claim = broken.violation.claim;
            assert!(claim == promise || may.contains(&claim), "not by what {canary:?} breaks: {broken}");
            if claim == promise {
                println!("{canary:?}, caught at seed {seed}: {broken}");
                return;
            }
        }
    }
    panic!("{canary:?} broke no {promise:?} in {most} worlds");
}

#[test]
fn a_quorum_of_half_lets_two_hold_one_lock() {
    must_be_caught(Canary::QuorumOfHalf, Claim::Exclusion, &[Claim::ReleasedIsGone], 20);
}

#[test]
fn validity_without_elapsed_lets_two_hold_one_lock() {
    must_be_caught(Canary::ValidityWithoutElapsed, Claim::Exclusion, &[Claim::ValidityStands], 100);
}

#[test]
fn no_allowance_for_drift_lets_two_hold_one_lock() {
    must_be_caught(Canary::NoDrift, Claim::Exclusion, &[Claim::ValidityStands], 100);
}

#[test]
fn a_token_used_twice_lets_the_withdrawal_of_one_try_free_what_another_won() {
    let may = [Claim::ValidityStands, Claim::ReleasedIsGone, Claim::FenceOrder, Claim::FenceStep];
    must_be_caught(Canary::TokenReused, Claim::Exclusion, &may, 200);
}

#[test]
fn a_withdrawal_skipped_where_no_answer_came_leaves_a_ghost() {
    must_be_caught(Canary::WithdrawalSkippedForSilent, Claim::Ghost, &[], 200);
}

#[test]
fn unsent_counted_as_absent_says_of_a_held_lock_that_it_is_not() {
    must_be_caught(Canary::UnsentCountedAsAbsent, Claim::ValidityStands, &[], 50);
}

#[test]
fn an_extension_that_shortens_lets_two_hold_one_lock() {
    must_be_caught(Canary::ExtendWithoutGreaterThan, Claim::Exclusion, &[Claim::ValidityStands], 50);
}

#[test]
fn signing_by_the_owners_name_overwrites_the_record_of_its_next_grant() {
    let may = [Claim::Exclusion, Claim::ReleasedIsGone];
    must_be_caught(Canary::SigningByPrefix, Claim::ValidityStands, &may, 500);
}

#[test]
fn a_take_over_withdrawn_where_it_signed_frees_what_the_former_grant_rests_on() {
    must_be_caught(Canary::TakeOverWithdrawnWhereSigned, Claim::Exclusion, &[Claim::ValidityStands], 200);
}

#[test]
fn without_kill_bytes_of_a_former_connection_leave_a_ghost() {
    must_be_caught(Canary::NoKill, Claim::Ghost, &[], 300);
}

#[test]
fn bytes_of_the_connection_before_the_last_leave_a_ghost() {
    must_be_caught(Canary::OnlyTheLastKilled, Claim::Ghost, &[], 1_000);
}

#[test]
fn one_server_that_votes_twice_says_of_a_held_lock_that_it_is_not() {
    must_be_caught(Canary::OneServerVotesTwice, Claim::ValidityStands, &[Claim::Exclusion, Claim::Progress], 100);
}

/// No luck brings this about: the history is told to the world step by step.
#[test]
fn putting_back_where_a_set_was_silent_keeps_a_lock_that_was_released() {
    assert_eq!(put_back_behind_a_release(None), None);
    let claim = put_back_behind_a_release(Some(Canary::PutBackWhereSilent));
    assert_eq!(claim, Some(Claim::ReleasedIsGone));
}

#[test]
fn newcomers_that_ask_for_themselves_overtake_the_line() {
    must_be_caught(Canary::NewcomersPassTheLine, Claim::Overtaken, &[], 50);
}

#[test]
fn a_waiter_that_is_kept_for_too_long_is_missed() {
    must_be_caught(Canary::WaitsASecondLonger, Claim::Overdue, &[], 50);
}

#[test]
fn a_majority_of_the_granters_lets_a_later_grant_have_the_smaller_number() {
    must_be_caught(Canary::MajorityOfGrantersForTheFence, Claim::FenceOrder, &[], 1_000);
}

#[test]
fn a_raise_counted_on_refusers_lets_a_later_grant_have_the_smaller_number() {
    must_be_caught(Canary::RaiseCountedOnRefusers, Claim::FenceOrder, &[], 1_000);
}

#[test]
fn without_a_look_behind_the_raise_a_take_over_may_have_the_smaller_number() {
    must_be_caught(Canary::NoLookBehindTheRaise, Claim::FenceOrder, &[], 1_000);
}

#[test]
fn a_number_drawn_anew_at_every_repetition_is_one_that_nobody_asked_for() {
    must_be_caught(Canary::FenceStepAtEveryRepetition, Claim::FenceStep, &[], 200);
}

#[test]
fn without_quarantine_what_was_forgotten_is_granted_again() {
    must_be_caught(Canary::QuarantineOff, Claim::Exclusion, FORGOTTEN, 200);
}

#[test]
fn absence_counted_on_a_quarantined_primary_says_of_a_held_lock_that_it_is_not() {
    must_be_caught(Canary::AbsenceCountedInQuarantine, Claim::ValidityStands, FORGOTTEN, 500);
}

#[test]
fn a_quarantine_that_ends_before_the_longest_ttl_grants_what_was_forgotten_again() {
    must_be_caught(Canary::MaxTtlNotWaitedOut, Claim::Exclusion, FORGOTTEN, 500);
}

#[test]
fn a_marker_that_only_exists_hides_that_another_proxy_has_written_it_anew() {
    assert_eq!(flushed_and_marked_by_another(None), None);
    assert_eq!(flushed_and_marked_by_another(Some(Canary::ExistsInsteadOfGet)), Some(Claim::Exclusion));
}

#[test]
fn probes_alone_find_out_too_late() {
    must_be_caught(Canary::ProbesOnly, Claim::Exclusion, FORGOTTEN, 1_000);
}

#[test]
fn a_snapshots_marker_that_is_trusted_vouches_for_what_it_does_not_know() {
    must_be_caught(Canary::RunIgnored, Claim::Exclusion, FORGOTTEN, 1_000);
}

#[test]
fn a_clock_that_is_not_looked_at_ends_locks_before_their_time() {
    must_be_caught(Canary::ClockStepIgnored, Claim::Exclusion, FORGOTTEN, 1_000);
}

#[test]
fn a_step_that_is_forgotten_with_the_link_ends_locks_before_their_time() {
    assert_eq!(step_while_the_link_is_lost(None), None);
    let claim = step_while_the_link_is_lost(Some(Canary::StepForgottenWithTheLink));
    assert_eq!(claim, Some(Claim::Exclusion));
}

#[test]
fn a_new_set_that_is_told_by_uptime_may_be_one_that_has_lost_everything() {
    assert_eq!(all_start_empty(None), None);
    assert_eq!(all_start_empty(Some(Canary::NewSetToldByUptime)), Some(Claim::Exclusion));
}
