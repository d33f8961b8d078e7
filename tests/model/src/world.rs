//! What is searched: how large a world is, and which rules it follows.

use clap::ValueEnum;
use redlock_proxy::lock::{Drift, Moment, Owner, Quorum, Token, Ttl, Validity};

/// The most primaries of a world.
pub const PRIMARIES: usize = 4;
/// The most attempts of a world.
pub const ATTEMPTS: usize = 3;

/// A lock's time to live, in ticks. No lock of a world lives longer: it is `max_ttl` as well.
pub const TTL: u8 = 3;
/// For how long primaries that have forgotten do not vote: `max_ttl` and the drift.
const QUARANTINE: u8 = TTL + 1;

const TICK_MS: u64 = 1_000;
/// A little more than a third: of three ticks a primary's clock may lose one.
const DRIFT_PPM: u32 = 334_000;

/// The largest clock that an attempt may have: numbers that are drawn anew are larger.
pub const LARGEST_CLOCK: u16 = 1_000;

/// How large a world is.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many primaries there are.
    pub primaries: usize,
    /// How many attempts are made at the lock: by different clients, or one after the other by the same.
    pub attempts: usize,
    /// Whether time passes.
    pub time: bool,
    /// Whether grants are released, through any proxy.
    pub releases: bool,
    /// Whether each grant is extended once, by this many ticks.
    pub extension: Option<u8>,
    /// Whether the first two attempts are of one owner, through two proxies, and clients may leave before they are told.
    pub owner: bool,
    /// How often some primary loses its memory.
    pub losses: u8,
    /// The fence clocks of the attempts, where numbers are wanted.
    pub clocks: Option<[u16; ATTEMPTS]>,
    /// How often a primary runs a `SET`, and not the raise behind it.
    pub lost_raises: u8,
}

impl Bounds {
    /// Three primaries and two attempts, whose grants last for ever.
    pub const SMALLEST: Self = Self {
        primaries: 3,
        attempts: 2,
        time: false,
        releases: false,
        extension: None,
        owner: false,
        losses: 0,
        clocks: None,
        lost_raises: 0,
    };
}

/// The rules of a world: the protocol's, or all of them but one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rules {
    /// Those of the protocol.
    Protocol,
    /// Who has forgotten votes at once.
    NoQuarantine,
    /// Who has forgotten votes after a tick, long before the locks that it knew have ended.
    ShortQuarantine,
    /// Half of the primaries is a quorum.
    HalfIsQuorum,
    /// Validity is counted from the answer, not from the question.
    NoElapsed,
    /// Validity leaves no room for clocks that run at different rates.
    NoDrift,
    /// An extension sets the record's end, also to an earlier one.
    ExtensionShortens,
    /// An extension sets the record where there is none.
    ExtensionCreates,
    /// A number is accepted by a majority of those that granted.
    MajorityOfGranters,
    /// A number counts as accepted by those that refused the lock.
    RefusersAccept,
    /// What is lost is withdrawn only from where it is known to be.
    SilentKept,
    /// What a take-over signed is withdrawn, too.
    SignedWithdrawn,
    /// A withdrawal may overtake the `SET` that it undoes, as on a new connection while the former's bytes are under way.
    NoKill,
}

/// A world to be searched.
#[derive(Debug, Clone, Copy)]
pub struct World {
    /// How large it is.
    pub bounds: Bounds,
    /// What it does.
    pub rules: Rules,
}

impl World {
    /// Who makes an attempt, where that is told.
    pub(crate) fn owner(&self, attempt: usize) -> Option<Owner> {
        let name = (self.bounds.owner && attempt < 2).then_some(b"owner".as_slice())?;
        Owner::new(name.into()).ok()
    }

    /// Whether two attempts are of one owner.
    pub(crate) fn is_kin(&self, attempt: usize, other: usize) -> bool {
        attempt == other || self.bounds.owner && attempt < 2 && other < 2
    }

    /// The token of an attempt.
    pub(crate) fn token(&self, attempt: usize) -> Token {
        let random = [u8::try_from(attempt).expect("few attempts"); 20];
        Token::sign(self.owner(attempt).as_ref(), random)
    }

    /// How many must agree.
    pub(crate) fn quorum(&self) -> Quorum {
        let total = self.bounds.primaries;
        let majority = Quorum::majority(total).expect("one to four primaries");
        match self.rules {
            Rules::HalfIsQuorum => unsound(total / 2, total),
            _ => majority,
        }
    }

    /// How many must accept a number.
    pub(crate) fn acceptances(&self) -> Quorum {
        let needed = self.quorum().needed();
        match self.rules {
            Rules::MajorityOfGranters => unsound(needed / 2 + 1, self.bounds.primaries),
            _ => self.quorum(),
        }
    }

    /// The allowance for clocks that run at different rates.
    pub(crate) fn drift(&self) -> Drift {
        match self.rules {
            Rules::NoDrift => Drift::unsound_none(),
            _ => Drift::from_parts_per_million(DRIFT_PPM),
        }
    }

    /// For how long a primary does not vote after it has forgotten, in ticks.
    pub(crate) fn quarantine(&self) -> u8 {
        match self.rules {
            Rules::NoQuarantine => 0,
            Rules::ShortQuarantine => 1,
            _ => QUARANTINE,
        }
    }

    /// The time that the core is told, so many ticks after it began.
    pub(crate) fn moment(&self, elapsed: u8) -> Moment {
        let ticks = if self.rules == Rules::NoElapsed { 0 } else { u64::from(elapsed) };
        Moment::from_micros(ticks * TICK_MS * 1_000)
    }

    /// For how many ticks, this one included, a holder may be certain of what it began so many ticks ago.
    pub(crate) fn certainty(&self, elapsed: u8, ttl: u8) -> u8 {
        let validity = Validity::at(self.moment(elapsed), Moment::from_micros(0), ttl_of(ttl), self.drift());
        let ticks = validity.map_or(0, |validity| validity.as_millis().div_ceil(TICK_MS));
        u8::try_from(ticks).expect("no longer than the ttl")
    }
}

fn unsound(needed: usize, total: usize) -> Quorum {
    let small = |count| u8::try_from(count).expect("a small set");
    Quorum::unsound(small(needed), small(total))
}

/// A ttl of so many ticks, as the core knows it.
pub(crate) fn ttl_of(ticks: u8) -> Ttl {
    Ttl::from_millis(u64::from(ticks) * TICK_MS).expect("some seconds")
}

/// For how many ticks a record of this ttl certainly lives, on the primary whose clock is the fastest.
pub(crate) fn certain_life(ttl: u8) -> u8 {
    let millis = u64::from(ttl) * (TICK_MS - u64::from(DRIFT_PPM) / 1_000);
    u8::try_from(millis.div_ceil(TICK_MS)).expect("no longer than the ttl")
}
