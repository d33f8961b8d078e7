//! Histories in words.

use std::fmt::Write as _;

use redlock_proxy::lock::{AcquireVerdict, ExtendVerdict, ReleaseVerdict};
use stateright::Path;

use crate::action::{Action, Request};
use crate::hearing::Heard;
use crate::rounds::Verdict;
use crate::state::State;

/// A history, a line for each thing that happened, and how the world stood behind it.
pub(crate) fn history(path: Path<State, Action>, primaries: usize) -> String {
    let steps = path.into_vec();
    let mut text = String::new();
    for (number, pair) in steps.windows(2).enumerate() {
        let ((_, action), (state, _)) = (&pair[0], &pair[1]);
        let action = action.as_ref().map(words).unwrap_or_default();
        writeln!(text, "{:3}  {action:64}  {}", number + 1, standing(state, primaries)).expect("a string takes all");
    }
    text
}

fn primary(place: usize) -> char {
    ['A', 'B', 'C', 'D'][place]
}

fn client(attempt: usize) -> char {
    ['x', 'y', 'z'][attempt]
}

fn words(action: &Action) -> String {
    match action {
        Action::Begin(attempt) => format!("{} asks all", client(*attempt)),
        Action::Run(place, attempt, request) => {
            let request = match request {
                Request::Set => "SET",
                Request::SetAlone => "SET (the raise behind it fails)",
                Request::Sign => "signing",
                Request::Raise => "raise",
                Request::Withdraw => "withdrawal",
                Request::Extend => "extension",
                Request::Release => "release",
            };
            format!("{} runs {}'s {request}", primary(*place), client(*attempt))
        }
        Action::Hear(attempt, decision) => {
            let heard = decision.heard.iter().enumerate().filter_map(|(place, heard)| Some((place, told(*heard)?)));
            let heard: Vec<_> = heard.map(|(place, heard)| format!("{} {heard}", primary(place))).collect();
            format!("{} hears {}: {}", client(*attempt), heard.join(", "), verdict(&decision.verdict))
        }
        Action::Extend(attempt) => format!("{} asks all to extend", client(*attempt)),
        Action::Release(attempt) => format!("{} asks all to release", client(*attempt)),
        Action::Tick => "a tick passes".to_owned(),
        Action::Expire(place) => format!("the record on {} ends", primary(*place)),
        Action::Forget(place) => format!("{} loses its memory", primary(*place)),
    }
}

fn told(heard: Heard) -> Option<String> {
    Some(match heard {
        Heard::Nothing => return None,
        Heard::Silence => "nothing".to_owned(),
        Heard::Unsent => "was never asked".to_owned(),
        Heard::Yes => "yes".to_owned(),
        Heard::No => "no record".to_owned(),
        Heard::Held(attempt) => format!("has {}'s", client(attempt.into())),
    })
}

fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Granted(None, _) => "granted".to_owned(),
        Verdict::Granted(Some(number), _) => format!("granted with {number}"),
        Verdict::Lost(verdict, _) => match verdict {
            AcquireVerdict::TooLate => "too late",
            AcquireVerdict::Held => "held",
            AcquireVerdict::Split => "split",
            AcquireVerdict::Abandoned => "granted, but its client has left",
            _ => "no quorum",
        }
        .to_owned(),
        Verdict::Sign(_, found) => {
            let where_found: Vec<_> = found.iter().map(|(node, _)| primary(node.index()).to_string()).collect();
            format!("signs anew on {}", where_found.join(", "))
        }
        Verdict::Raise(_, number, _) => format!("raises {number}"),
        Verdict::Extend(ExtendVerdict::Extended) => "extended".to_owned(),
        Verdict::Extend(ExtendVerdict::Lost) => "lost".to_owned(),
        Verdict::Release(ReleaseVerdict::Released) => "1".to_owned(),
        Verdict::Release(ReleaseVerdict::NotHeld) => "0".to_owned(),
        Verdict::Extend(ExtendVerdict::NoQuorum) | Verdict::Release(ReleaseVerdict::NoQuorum) => "no quorum".to_owned(),
    }
}

/// The records, and the ticks for which they certainly live; the counters; who does not vote; who is certain for how long.
fn standing(state: &State, primaries: usize) -> String {
    let mut text = String::new();
    for (place, one) in state.primaries[..primaries].iter().enumerate() {
        let record =
            one.record.map_or("-".to_owned(), |record| format!("{}{}", client(record.attempt.into()), record.left));
        let counter = one.counter.map_or(String::new(), |counter| format!(" #{counter}"));
        let quarantine = if one.quarantine > 0 { format!(" (silent {})", one.quarantine) } else { String::new() };
        write!(text, "{}:{record}{counter}{quarantine} ", primary(place)).expect("a string takes all");
    }
    for (attempt, its) in state.attempts.iter().enumerate().filter(|(_, its)| its.certain > 0) {
        write!(text, "| {} holds, for {} ", client(attempt), its.certain).expect("a string takes all");
    }
    text.trim_end().to_owned()
}
