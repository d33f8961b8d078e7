//! What clients do with locks. Each of these tells whether a lock was had.

use std::time::Duration;

use support::Value;

use crate::clerk::{Clerk, Extension, Held, Missed, Wish};
use crate::crowd::Client;
use crate::line::{Line, words};

/// The longest time that anybody stands in line, in milliseconds.
const LONGEST_WAIT: u64 = 1_500;

impl Client {
    /// RLOCK, perhaps REXTEND, and RUNLOCK, perhaps through another proxy; or the lock is left to its ttl.
    pub(crate) async fn live_plainly(&mut self) -> bool {
        let (proxy, ttl, keys) = (self.a_proxy(), self.a_ttl(), self.keys(1));
        let wish = Wish { ttl, ..Wish::default() };
        let Ok(mut held) = self.clerk.take(&mut self.lines[proxy], &keys, &wish).await else { return false };
        self.hold(&mut held, proxy, ttl).await;
        if self.once_in(25) {
            // It may be left to its ttl in the middle of that: nobody gives it up.
            return true;
        }
        let releasing = if self.once_in(4) { self.a_proxy() } else { proxy };
        self.clerk.release(&mut self.lines[releasing], &held).await;
        true
    }

    /// Works with what it holds, for a while.
    async fn hold(&mut self, held: &mut Held, proxy: usize, ttl: u64) {
        self.pause(30).await;
        while self.once_in(3) {
            let extending = if self.once_in(4) { self.a_proxy() } else { proxy };
            if self.clerk.extend(&mut self.lines[extending], held, ttl).await == Extension::Lost {
                return;
            }
            // As long as a quarantine lasts, now and then.
            let most = if self.once_in(8) { ttl } else { 30 };
            self.pause(most).await;
        }
    }

    /// A lock with an owner, who asks for it again through this proxy and that, and does not always read what it is told.
    pub(crate) async fn take_over(&mut self) -> bool {
        let (keys, ttl, name) = (self.keys(1), self.a_ttl(), self.clerk.name.clone());
        let fence = self.once_in(2);
        let wish = Wish { ttl, owner: Some(&name), fence, ..Wish::default() };
        let mut last: Option<(usize, Held)> = None;
        // An earlier request whose answer is not known gives up what was granted before it.
        let mut is_doubtful = false;
        let turns = self.random_turns();
        for _ in 0..turns {
            if let Some((_, held)) = &last {
                self.clerk.give_up(held);
            }
            if self.once_in(5) {
                // Away without its answer, and back through some proxy while that request is still under way.
                let mut gone = self.new_line();
                is_doubtful |= gone.send(&[self.clerk.command(&keys, &wish)]).await;
                self.pause(1).await;
            }
            let proxy = self.a_proxy();
            last = match (self.clerk.take(&mut self.lines[proxy], &keys, &wish).await, last) {
                (Ok(held), _) => Some((proxy, held)),
                (Err(Missed::Refused | Missed::Unsettled), Some((proxy, mut held))) if !is_doubtful => {
                    self.clerk.rely_again(&mut held);
                    Some((proxy, held))
                }
                (Err(missed), _) => {
                    is_doubtful |= missed == Missed::Away;
                    None
                }
            };
            self.pause(20).await;
        }
        let Some((proxy, held)) = last else { return false };
        self.clerk.release(&mut self.lines[proxy], &held).await;
        true
    }

    fn random_turns(&mut self) -> usize {
        (1..4).find(|_| self.once_in(2)).unwrap_or(4)
    }

    /// A place in a line.
    pub(crate) async fn wait_in_line(&mut self) -> bool {
        let (proxy, ttl, keys, name) = (self.a_proxy(), self.a_ttl(), self.keys(1), self.clerk.name.clone());
        let wait = 1 + self.a_ttl() * LONGEST_WAIT / crate::crowd::LONGEST_TTL;
        let owner = self.once_in(4).then_some(name.as_str());
        let wish = Wish { ttl, wait, owner, fence: self.once_in(3), ..Wish::default() };
        if self.once_in(10) {
            // Leaves the line.
            let mut gone = self.new_line();
            gone.send(&[self.clerk.command(&keys, &wish)]).await;
            self.pause(100).await;
            return false;
        }
        let Ok(mut held) = self.clerk.take(&mut self.lines[proxy], &keys, &wish).await else { return false };
        // Who has waited counts from an extension.
        self.clerk.extend(&mut self.lines[proxy], &mut held, ttl).await;
        self.pause(30).await;
        self.clerk.release(&mut self.lines[proxy], &held).await;
        true
    }

    /// Numbers: several locks in one breath, or one through this proxy and that, as fast as can be.
    pub(crate) async fn take_numbers(&mut self) -> bool {
        let ttl = self.a_ttl();
        let wish = Wish { ttl, fence: true, ..Wish::default() };
        let mut succeeded = false;
        if self.once_in(2) {
            let keys = self.keys(1);
            for _ in 0..4 {
                let proxy = self.a_proxy();
                if let Ok(held) = self.clerk.take(&mut self.lines[proxy], &keys, &wish).await {
                    self.clerk.release(&mut self.lines[proxy], &held).await;
                    succeeded = true;
                }
            }
            return succeeded;
        }
        let (proxy, keys) = (self.a_proxy(), self.keys(3));
        let clerk = self.clerk.clone();
        let line = &mut self.lines[proxy];
        let commands: Vec<Vec<String>> =
            keys.iter().map(|key| clerk.command(std::slice::from_ref(key), &wish)).collect();
        let sent = clerk.record.now();
        let is_sent = line.send(&commands).await;
        let mut held = Vec::new();
        for key in &keys {
            let reply = if is_sent { line.read(&clerk.record, Duration::ZERO).await } else { None };
            held.extend(clerk.note(proxy, std::slice::from_ref(key), &wish, sent, reply.as_ref()));
        }
        self.pause(20).await;
        for held in &held {
            clerk.give_up(held);
        }
        let releases: Vec<Vec<String>> = held.iter().map(Clerk::runlock).collect();
        let line = &mut self.lines[proxy];
        if line.send(&releases).await {
            for held in &held {
                let reply = line.read(&clerk.record, Duration::ZERO).await;
                clerk.released(held, reply);
            }
        }
        !held.is_empty()
    }

    /// Up to four locks as one, perhaps waited for.
    pub(crate) async fn take_several(&mut self) -> bool {
        let count = self.random_turns();
        let (proxy, ttl, keys) = (self.a_proxy(), self.a_ttl(), self.keys(count));
        let wait = if self.once_in(3) { LONGEST_WAIT / 2 } else { 0 };
        let wish = Wish { ttl, wait, ..Wish::default() };
        let Ok(mut held) = self.clerk.take(&mut self.lines[proxy], &keys, &wish).await else { return false };
        self.hold(&mut held, proxy, ttl).await;
        self.clerk.release(&mut self.lines[proxy], &held).await;
        true
    }

    /// A lock that is bound to a connection, which ends in this way or that.
    pub(crate) async fn live_in_a_session(&mut self) -> bool {
        let (ttl, keys, name) = (self.a_ttl(), self.keys(1), self.clerk.name.clone());
        let mut line = self.new_line();
        let hello = if self.once_in(2) {
            line.ask(&self.clerk.record, words(&["HELLO", "3"]), Duration::ZERO).await
        } else {
            None
        };
        let notify = matches!(hello, Some(Value::Map(_)));
        let owner = self.once_in(2).then_some(name.as_str());
        let wait = if self.once_in(3) { LONGEST_WAIT / 2 } else { 0 };
        let wish = Wish { ttl, wait, owner, fence: self.once_in(4), session: true, notify };
        let Ok(mut held) = self.clerk.take(&mut line, &keys, &wish).await else { return false };
        for _ in 0..self.random_turns() {
            self.pause(ttl).await;
            let extension = self.clerk.extend(&mut line, &mut held, ttl).await;
            let is_lost = extension == Extension::Lost || line.lost.contains(&held.token);
            if is_lost {
                self.stay_lost(&mut line, &mut held, extension, ttl).await;
                return true;
            }
        }
        self.end_session(line, held, &wish).await;
        true
    }

    /// What was lost on a connection is never held again on it.
    async fn stay_lost(&mut self, line: &mut Line, held: &mut Held, extension: Extension, ttl: u64) {
        self.clerk.give_up(held);
        let mut is_held_again = extension == Extension::Extended;
        self.pause(50).await;
        is_held_again |= self.clerk.extend(line, held, ttl).await == Extension::Extended;
        if is_held_again {
            self.clerk.record.accuse_with(&format!("{:?} was lost and is held again", held.keys), &held.keys);
        }
    }

    async fn end_session(&mut self, mut line: Line, held: Held, wish: &Wish<'_>) {
        match self.random_turns() {
            1 => {
                self.clerk.give_up(&held);
                line.leave();
            }
            2 => {
                // Its holder may be alive and count on its time; and be back at once, if it has a name.
                line.reset();
                if wish.owner.is_some() {
                    self.clerk.give_up(&held);
                    let proxy = self.a_proxy();
                    let wish = Wish { session: false, notify: false, ..*wish };
                    if let Ok(held) = self.clerk.take(&mut self.lines[proxy], &held.keys, &wish).await {
                        self.clerk.release(&mut self.lines[proxy], &held).await;
                    }
                }
            }
            3 => {
                self.clerk.give_up(&held);
                line.ask(&self.clerk.record, words(&["RESET"]), Duration::ZERO).await;
            }
            _ => self.clerk.release(&mut line, &held).await,
        }
    }
}
