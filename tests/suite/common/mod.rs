//! What the tests that run the program have in common, a file per noun.
//!
//! * `proxies`: the program under test, patient unless patience is what a test is about.
//! * `rigs`: real servers with a proxy in front of them, and relays in between where something has to go wrong.
//! * `locks`: what clients are told, that they hold a lock or why they do not.
//! * `records`: what the primaries have of it.
//! * `sessions`: locks that live as long as a connection.
//! * `scripted`: primaries that say what a real server cannot be made to say.
//! * `bystander`: somebody who must be served meanwhile.
//! * `descriptors`: few of them for the program, many for the test.
//! * `random`: choices that are the same in each run.
//! * `environment`: how much of it is wanted.
//!
//! A test that harms nobody needs nothing but keys of its own ([`unique_key`](support::unique_key)) and takes what the whole test
//! process shares, [`Rig::shared`]. One that cuts connections has relays and a proxy of its own ([`Rig::shared_relayed`]); one that
//! kills servers, or counts what they have done, has its own servers too ([`Rig::direct`], [`Rig::relayed`]).

mod bystander;
mod descriptors;
mod environment;
mod locks;
mod proxies;
mod random;
mod records;
mod rigs;
mod scripted;
mod sessions;

pub(crate) use bystander::Bystander;
pub(crate) use descriptors::{need_descriptors, with_descriptors};
pub(crate) use environment::from_environment;
pub(crate) use locks::{LONGEST_TTL, Lock, drift, granted, reasons, take, take_at_last};
pub(crate) use proxies::{
    PROMPT, PROXY, draining, ended, patient, primary_field, resp3, settled, start, timed, voters,
};
pub(crate) use random::Random;
pub(crate) use records::{a_quorum_holds, every_primary_holds, no_primary_holds, occupy, outlive};
pub(crate) use rigs::{Rig, SharedRig, every_rig, relays, three_and_five};
pub(crate) use scripted::{on_acquire, scripted};
pub(crate) use sessions::{SESSION_TTL, bind, bound, counted, none_bound};
