//! What has passed: told to whoever looks for the cause of a failure, and forgotten when a run is too long to keep it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Answer, Grant, History};

impl History {
    /// What clients saw of `key` between these moments, a grant on each line.
    pub fn tell(&self, key: &str, from: Duration, to: Duration) -> String {
        let grants = self.grants.iter().enumerate().filter(|(_, grant)| grant.key == key);
        let near = grants.filter(|(_, grant)| {
            let ends = grant.answers.iter().map(|answer| answer.sent + answer.validity);
            grant.answers[0].sent <= to && ends.max() >= Some(from)
        });
        let lines: Vec<String> =
            near.map(|(number, grant)| format!("grant {number} to {}\n", described(grant))).collect();
        lines.concat()
    }

    /// The history that goes on when all of this has been judged and nobody holds anything: of the past it knows the largest
    /// number of each key.
    #[must_use]
    pub fn carried_over(&self) -> Self {
        let mut largest: BTreeMap<&str, &Grant> = BTreeMap::new();
        for grant in self.grants.iter().filter(|grant| grant.fence.is_some()) {
            let known = largest.entry(&grant.key).or_insert(grant);
            if known.fence < grant.fence {
                *known = grant;
            }
        }
        let mut next = Self::new();
        for (key, grant) in largest {
            // Long over: nobody is certain by it.
            let answer = Answer { validity: Duration::ZERO, ..grant.answers[0] };
            let id = next.granted(format!("{}, earlier", grant.client), key, answer);
            next.fenced(id, grant.fence.expect("it has one"));
        }
        next
    }
}

fn described(grant: &Grant) -> String {
    let mut parts = vec![grant.client.clone()];
    for (index, Answer { sent, arrived, validity }) in grant.answers.iter().enumerate() {
        let what = if index == 0 { "asked" } else { "extended" };
        parts.push(format!("{what} {sent:?} answered {arrived:?} for {validity:?}"));
    }
    parts.extend(grant.fence.map(|fence| format!("number {fence}")));
    parts.extend(grant.given_up.map(|given_up| format!("given up {given_up:?}")));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(sent: u64, arrived: u64, validity: u64) -> Answer {
        let ms = Duration::from_millis;
        Answer { sent: ms(sent), arrived: ms(arrived), validity: ms(validity) }
    }

    #[test]
    fn what_was_seen_of_a_key_is_told() {
        let mut history = History::new();
        history.granted("early", "job", answer(0, 5, 10));
        let grant = history.granted("one", "job", answer(100, 105, 50));
        history.extended(grant, answer(120, 125, 50));
        history.fenced(grant, 7);
        history.given_up(grant, Duration::from_millis(130));
        history.granted("other", "another job", answer(100, 105, 50));
        history.granted("late", "job", answer(300, 301, 50));
        let told = history.tell("job", Duration::from_millis(90), Duration::from_millis(200));
        let expected = "grant 1 to one, asked 100ms answered 105ms for 50ms, extended 120ms answered 125ms for 50ms, \
            number 7, given up 130ms\n";
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_carried_over_holds_nothing_and_still_knows_the_largest_number() {
        let mut history = History::new();
        for (sent, number) in [(0, 3), (10, 9), (20, 11)] {
            let grant = history.granted("one", "job", answer(sent, sent + 1, 5));
            history.fenced(grant, number);
        }
        history.granted("plain", "other", answer(0, 1, 5));
        let mut next = history.carried_over();
        assert_eq!(next.len(), 1);
        let held_meanwhile = next.granted("next", "job", answer(21, 22, 100));
        next.fenced(held_meanwhile, 12);
        next.assert_exclusive();
        next.assert_fences_rise();
        let behind = next.granted("behind", "job", answer(200, 201, 5));
        next.fenced(behind, 10);
        assert!(!next.disorders().is_empty());
    }
}
