//! The protocol keeps its promises in every history of these small worlds, and in each of them what is promised about
//! happens.

use model::{Bounds, Rules, World, search};

fn holds(bounds: Bounds) {
    let searched = search(World { bounds, rules: Rules::Protocol }, 1);
    println!("{bounds:?}: {searched}");
    assert!(searched.broken.is_empty() && searched.missing.is_empty(), "{bounds:?}: {searched}");
}

const TIME: Bounds = Bounds { time: true, ..Bounds::SMALLEST };

#[test]
fn two_attempts_with_releases_and_expiry() {
    holds(Bounds { releases: true, ..TIME });
}

#[test]
fn two_attempts_at_a_lock_of_which_a_primary_loses_its_memory() {
    holds(Bounds { losses: 1, ..TIME });
}

#[test]
fn two_attempts_and_their_extensions() {
    holds(Bounds { extension: Some(3), ..TIME });
}

#[test]
fn two_attempts_and_extensions_by_less_than_what_is_left() {
    holds(Bounds { extension: Some(1), ..TIME });
}

#[test]
fn an_extension_and_a_release_of_the_same_grant_and_a_loss() {
    holds(Bounds { attempts: 1, releases: true, extension: Some(3), losses: 1, ..TIME });
}

#[test]
fn three_attempts_with_releases() {
    holds(Bounds { attempts: 3, releases: true, ..Bounds::SMALLEST });
}

#[test]
fn an_owner_through_two_proxies_and_another_client() {
    holds(Bounds { attempts: 3, owner: true, ..Bounds::SMALLEST });
}

#[test]
fn an_owner_through_two_proxies_and_expiry() {
    holds(Bounds { owner: true, ..TIME });
}

#[test]
fn an_owner_through_two_proxies_and_a_loss() {
    holds(Bounds { owner: true, losses: 1, ..Bounds::SMALLEST });
}

#[test]
fn two_attempts_at_four_primaries() {
    holds(Bounds { primaries: 4, ..TIME });
}

#[test]
fn numbers_of_three_primaries() {
    holds(Bounds { releases: true, clocks: Some([2, 1, 1]), lost_raises: 1, ..Bounds::SMALLEST });
}

#[test]
fn numbers_of_four_primaries() {
    holds(Bounds { primaries: 4, releases: true, clocks: Some([2, 1, 1]), lost_raises: 1, ..Bounds::SMALLEST });
}

#[test]
fn numbers_and_expiry() {
    holds(Bounds { clocks: Some([2, 1, 1]), ..TIME });
}
