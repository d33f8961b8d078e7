//! Watches every command of every client and says when a promise is broken.
//!
//! A grant *certainly holds* from the moment its reply is written for as long as the validity in it says, unless its
//! release is sent before. Holders that certainly hold one key at one moment must be one and the same: one token, or
//! one owner that takes its own lock over. The former grant counts even while its owner asks for a take-over, and goes
//! on counting when that fails or its client leaves, since neither may free anything; it ends when the take-over is
//! granted.
//!
//! Besides, as long as a grant certainly holds and its owner had no other request under way, an extension must not say
//! that it is lost, nor a release that it was not held. What a release has ended can never be extended or released
//! again. And when the network has healed and been silent for a while, no primary holds a record that nobody has a
//! right to.

use std::collections::HashMap;

use redlock_proxy::lock::{NodeId, NodeSet, Token, Validity};

use super::history::{Actor, History};
use super::primary::Micros;

/// A promise that can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Two certainly held one key at one moment.
    Exclusion,
    /// A lock that certainly held was said to be lost or not held.
    ValidityStands,
    /// A token that a release had ended, or a take-over had replaced, was extended or released again.
    ReleasedIsGone,
    /// A record was left behind that was withdrawn or released.
    Ghost,
    /// Of two grants the later had no larger fencing number.
    FenceOrder,
    /// A fencing number was drawn anew though no answer had shown one that the former did not exceed.
    FenceStep,
    /// A further attempt was begun for a client that had left.
    LeftIsLeft,
    /// A command never ended.
    Hung,
    /// With all well again, a free lock could not be taken.
    Progress,
    /// Somebody came after a waiter of the same proxy and had the lock before it.
    Overtaken,
    /// A waiter was answered long after its time.
    Overdue,
}

#[derive(Debug, Clone)]
pub(super) struct Violation {
    pub(super) claim: Claim,
    pub(super) key: usize,
    pub(super) what: String,
}

/// A command under way, for those who report its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestId(usize);

#[derive(Debug)]
struct Request {
    key: usize,
    client: usize,
    owner: bool,
    proxy: usize,
    /// Whether its owner had another request under way on this key at any time since it was asked.
    accompanied: bool,
}

/// What is known of one token.
#[derive(Debug, Default)]
struct TokenBook {
    /// The proxy that made it.
    proxy: usize,
    /// Where records were asked to be signed with it.
    signed_on: NodeSet,
    /// The proxies through which its release was asked, as bits.
    released_through: u16,
    grant: Option<Grant>,
}

#[derive(Debug)]
struct Grant {
    client: usize,
    owner: bool,
    until: Micros,
    standing: Standing,
    accompanied: bool,
    releases: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It holds as long as its validity lasts, and may be extended.
    Kept,
    /// Its release was asked for, or it was taken over: it can never hold again.
    Ended,
    /// A release has answered that it is gone.
    Gone,
}

impl Grant {
    fn certainly_holds(&self, now: Micros) -> bool {
        self.standing == Standing::Kept && now < self.until
    }

    fn same_holder(&self, other: &Self) -> bool {
        self.owner && other.owner && self.client == other.client
    }
}

#[derive(Debug)]
pub(super) struct Checker {
    requests: Vec<Request>,
    under_way: Vec<RequestId>,
    tokens: HashMap<Token, TokenBook>,
    /// Per key, those that may still hold it.
    holders: Vec<Vec<Token>>,
    pub(super) history: History,
    pub(super) violation: Option<Violation>,
    /// Commands whose clients left before the answer.
    pub(super) left: u64,
    /// Grants of which nothing was left when the reply was to be written.
    pub(super) too_late: u64,
}

impl Checker {
    pub(super) fn new(keys: usize) -> Self {
        Self {
            requests: Vec::new(),
            under_way: Vec::new(),
            tokens: HashMap::new(),
            holders: vec![Vec::new(); keys],
            history: History::default(),
            violation: None,
            left: 0,
            too_late: 0,
        }
    }

    /// A proxy was seen to ask a primary for a record with this token.
    pub(super) fn attempted(&mut self, proxy: usize, token: &Token) {
        self.tokens.entry(token.clone()).or_default().proxy = proxy;
    }

    /// A proxy was seen to ask a primary to sign a record with this token.
    pub(super) fn signing(&mut self, node: NodeId, token: &Token) {
        self.tokens.entry(token.clone()).or_default().signed_on.insert(node);
    }

    pub(super) fn signed_anywhere(&self, token: &Token) -> bool {
        self.tokens.get(token).is_some_and(|book| !book.signed_on.is_empty())
    }

    pub(super) fn acquire_asked(
        &mut self,
        now: Micros,
        key: usize,
        client: usize,
        owner: bool,
        proxy: usize,
    ) -> RequestId {
        let id = RequestId(self.requests.len());
        self.history.add(now, key, Actor::Client(client), "RLOCK asked through proxy", None, Some(proxy as u64));
        let mut accompanied = false;
        for other in &self.under_way {
            let other = &mut self.requests[other.0];
            if owner && other.owner && other.key == key && other.client == client {
                other.accompanied = true;
                accompanied = true;
            }
        }
        for token in &self.holders[key] {
            let grant = self.tokens.get_mut(token).and_then(|book| book.grant.as_mut());
            if let Some(grant) = grant.filter(|grant| owner && grant.owner && grant.client == client) {
                grant.accompanied = true;
            }
        }
        self.requests.push(Request { key, client, owner, proxy, accompanied });
        self.under_way.push(id);
        id
    }

    /// The reply was null or an error.
    pub(super) fn acquire_failed(&mut self, now: Micros, id: RequestId, what: &'static str) {
        let Request { key, client, proxy, .. } = self.requests[id.0];
        self.under_way.retain(|other| *other != id);
        self.history.add(now, key, Actor::Client(client), what, None, Some(proxy as u64));
    }

    /// Nothing was left when the reply was to be written.
    pub(super) fn acquire_too_late(&mut self, now: Micros, id: RequestId) {
        self.too_late += 1;
        self.acquire_failed(now, id, "RLOCK too late through proxy");
    }

    /// The client went away before the reply.
    pub(super) fn acquire_left(&mut self, now: Micros, id: RequestId) {
        self.left += 1;
        self.acquire_failed(now, id, "RLOCK left under way through proxy");
    }

    /// The reply was written: the client has the lock and counts on it.
    pub(super) fn acquired(&mut self, now: Micros, id: RequestId, token: &Token, validity: Validity) {
        self.under_way.retain(|other| *other != id);
        let Request { key, client, owner, accompanied, .. } = self.requests[id.0];
        let validity_ms = validity.as_millis();
        self.history.add(now, key, Actor::Client(client), "RLOCK granted, ms:", Some(token), Some(validity_ms));
        let grant = Grant { client, owner, until: 0, standing: Standing::Kept, accompanied, releases: 0 };
        for other in &self.holders[key] {
            let former = self.tokens.get_mut(other).and_then(|book| book.grant.as_mut());
            if let Some(former) = former.filter(|former| former.same_holder(&grant)) {
                former.standing = Standing::Ended;
            }
        }
        self.tokens.entry(token.clone()).or_default().grant = Some(grant);
        self.hold(now, key, token, validity_ms);
    }

    pub(super) fn extend_asked(&mut self, now: Micros, key: usize, client: usize, token: &Token, ttl_ms: u64) {
        self.history.add(now, key, Actor::Client(client), "REXTEND asked, ms:", Some(token), Some(ttl_ms));
    }

    /// What must be known when an extension is asked to judge its answer: whether it may be extended at all.
    pub(super) fn may_live(&self, now: Micros, key: usize, token: &Token) -> bool {
        let Some(grant) = self.tokens.get(token).and_then(|book| book.grant.as_ref()) else {
            return true;
        };
        match grant.standing {
            Standing::Kept => true,
            Standing::Ended => grant.releases > 0 || !self.successor_holds(now, key, grant),
            Standing::Gone => false,
        }
    }

    pub(super) fn extended(&mut self, now: Micros, key: usize, token: &Token, validity: Validity, may_live: bool) {
        let Some(grant) = self.tokens.get(token).and_then(|book| book.grant.as_ref()) else {
            return;
        };
        let (client, standing, validity_ms) = (grant.client, grant.standing, validity.as_millis());
        self.history.add(now, key, Actor::Client(client), "REXTEND extended, ms:", Some(token), Some(validity_ms));
        if !may_live {
            self.violate(Claim::ReleasedIsGone, key, format!("{} was extended after it had ended", label(token)));
        } else if standing == Standing::Kept {
            self.hold(now, key, token, validity_ms);
        }
    }

    /// A proxy was seen to have confirmed for so long a lock that it renews.
    pub(super) fn renewed(&mut self, now: Micros, key: usize, token: &Token, validity_ms: u64) {
        let grant = self.tokens.get(token).and_then(|book| book.grant.as_ref());
        if validity_ms > 0 && grant.is_some_and(|grant| grant.standing == Standing::Kept) {
            self.hold(now, key, token, validity_ms);
        }
    }

    /// The extension was answered null.
    pub(super) fn extend_lost(&mut self, now: Micros, key: usize, token: &Token) {
        let Some(grant) = self.tokens.get(token).and_then(|book| book.grant.as_ref()) else {
            return;
        };
        self.history.add(now, key, Actor::Client(grant.client), "REXTEND lost", Some(token), None);
        if grant.certainly_holds(now) && !grant.accompanied {
            let left_us = grant.until - now;
            let what = format!("REXTEND of {} answered null {left_us} us before its validity ended", label(token));
            self.violate(Claim::ValidityStands, key, what);
        }
    }

    pub(super) fn extend_unsettled(&mut self, now: Micros, key: usize, client: usize, token: &Token) {
        self.history.add(now, key, Actor::Client(client), "REXTEND unsettled", Some(token), None);
    }

    /// Returns what must be known to judge the answer.
    pub(super) fn release_asked(
        &mut self,
        now: Micros,
        key: usize,
        client: usize,
        proxy: usize,
        token: &Token,
    ) -> ReleaseAsked {
        self.history.add(
            now,
            key,
            Actor::Client(client),
            "RUNLOCK asked through proxy",
            Some(token),
            Some(proxy as u64),
        );
        let may_live = self.may_live(now, key, token);
        let book = self.tokens.entry(token.clone()).or_default();
        book.released_through |= 1 << proxy;
        let Some(grant) = &mut book.grant else {
            return ReleaseAsked { held_until: None, may_live };
        };
        let first = grant.certainly_holds(now) && grant.releases == 0;
        grant.releases += 1;
        if grant.standing == Standing::Kept {
            grant.standing = Standing::Ended;
        }
        ReleaseAsked { held_until: first.then_some(grant.until), may_live }
    }

    /// The release was answered: 1, 0, or that it is not known.
    pub(super) fn release_answered(
        &mut self,
        now: Micros,
        key: usize,
        client: usize,
        token: &Token,
        (asked, deleted): (ReleaseAsked, Option<bool>),
    ) {
        let what = match deleted {
            Some(true) => "RUNLOCK 1",
            Some(false) => "RUNLOCK 0",
            None => "RUNLOCK unsettled",
        };
        self.history.add(now, key, Actor::Client(client), what, Some(token), None);
        let Some(grant) = self.tokens.get_mut(token).and_then(|book| book.grant.as_mut()) else {
            return;
        };
        let undisputed = !grant.accompanied && grant.releases == 1;
        match deleted {
            Some(true) => {
                grant.standing = Standing::Gone;
                if !asked.may_live {
                    self.violate(
                        Claim::ReleasedIsGone,
                        key,
                        format!("{} was released when it had ended", label(token)),
                    );
                }
            }
            Some(false) if undisputed && asked.held_until.is_some_and(|until| now < until) => {
                self.violate(Claim::ValidityStands, key, format!("RUNLOCK of {}, held, answered 0", label(token)));
            }
            _ => {}
        }
    }

    /// Everything has come to rest, and `token` still lies on a primary: has anybody a right to that?
    pub(super) fn left_behind(&mut self, now: Micros, key: usize, node: NodeId, token: &Token) {
        let Some(book) = self.tokens.get(token) else {
            return self.violate(Claim::Ghost, key, format!("{} was never asked for", label(token)));
        };
        let released = book.released_through & (1 << book.proxy) != 0;
        let signed_here = book.signed_on.contains(node);
        // Never granted: withdrawn everywhere but where signed. Released through the proxy that took it, whose links keep
        // the order of both. (Through another proxy a late SET may stay behind, and ends with its ttl.)
        let ghost = if book.grant.is_some() { released } else { !signed_here };
        if ghost {
            self.history.add(now, key, Actor::Primary(node.index()), "still holds", Some(token), None);
            let what = format!("primary {} still holds {}, withdrawn or released", node.index(), label(token));
            self.violate(Claim::Ghost, key, what);
        }
    }

    pub(super) fn violate(&mut self, claim: Claim, key: usize, what: String) {
        self.violation.get_or_insert(Violation { claim, key, what });
    }

    /// Whether the owner that took `former` over certainly holds the key under its new token.
    fn successor_holds(&self, now: Micros, key: usize, former: &Grant) -> bool {
        let grants = self.holders[key].iter().filter_map(|token| self.tokens.get(token)?.grant.as_ref());
        grants.into_iter().any(|grant| grant.certainly_holds(now) && grant.same_holder(former))
    }

    fn hold(&mut self, now: Micros, key: usize, token: &Token, validity_ms: u64) {
        let tokens = &self.tokens;
        let grant_of = |token: &Token| tokens.get(token).and_then(|book| book.grant.as_ref());
        self.holders[key].retain(|other| other == token || grant_of(other).is_some_and(|it| it.certainly_holds(now)));
        let rival = self.holders[key].iter().find(|other| *other != token);
        if let Some((rival, until)) = rival.and_then(|rival| Some((rival, grant_of(rival)?.until))) {
            let left_us = until - now;
            let what =
                format!("{} was told a validity {left_us} us before that of {} ended", label(token), label(rival));
            self.violate(Claim::Exclusion, key, what);
        }
        if !self.holders[key].contains(token) {
            self.holders[key].push(token.clone());
        }
        if let Some(grant) = self.tokens.get_mut(token).and_then(|book| book.grant.as_mut()) {
            grant.until = grant.until.max(now + validity_ms * 1_000);
        }
    }
}

/// What was known when a release was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReleaseAsked {
    /// It was the first, and the lock certainly held until then.
    held_until: Option<Micros>,
    may_live: bool,
}

/// The last digits of a token: enough to tell it from the others.
pub(super) fn label(token: &Token) -> String {
    let bytes = token.as_bytes();
    bytes[bytes.len().saturating_sub(8)..].escape_ascii().to_string()
}
