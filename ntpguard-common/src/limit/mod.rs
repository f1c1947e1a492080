//! Rate limits: what would pass is judged once more, by how much its source has sent before.
//!
//! Limits come last, so that a source whose packets are dropped for another reason never takes a place in the table.

pub mod ceiling;
pub mod daemon;
pub mod table;
pub mod top;

use crate::{
    Reason, Source,
    abi::{Limits, PolicyWord, Rule},
    form,
    wire::ntp::{Mode, TIME_HEADER_LEN},
};
use ceiling::{Admission, Ceiling, Kisses};
use daemon::Outcome;
use table::Set;
use top::Heavy;

/// What is remembered about sources, and the clock: maps in the kernel, a model on the host.
pub trait LimiterState {
    /// The limits of a policy.
    fn limits(&self, slot: u32) -> Option<&Limits>;
    /// The time in ticks.
    fn now(&self) -> u32;
    /// 32 random bits.
    fn random(&self) -> u32;
    /// The set of places for a key.
    fn set(&self, key: u64) -> Option<&Set>;
    /// The place for a key in the table of the most limited sources.
    fn heavy(&self, key: u64) -> Option<&Heavy>;
    /// The ceiling's state.
    fn ceiling(&self) -> Option<&Ceiling>;
    /// The kisses' state.
    fn kisses(&self) -> Option<&Kisses>;
}

/// What the limiters need to know about a packet: the policy word, what its rule says, its first byte, and the reason
/// why it passes or is dropped. One word, which is 0 if no limit applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitRequest(pub u64);

/// Whether limiters must see packets with this reason: those that pass, and those that some daemon discards after its
/// limiter has counted them ([`form::is_counted`]).
const fn is_heard(reason: Reason) -> bool {
    match reason {
        Reason::Time
        | Reason::Query
        | Reason::Malformed
        | Reason::Notrust
        | Reason::Mac
        | Reason::Mode6
        | Reason::BadQuery => true,
        // What passes unjudged, what is discarded before any daemon's limiter counts it, and reasons that limits
        // themselves give.
        Reason::Unread
        | Reason::NoPolicy
        | Reason::Mode7
        | Reason::Ignore
        | Reason::Noquery
        | Reason::Noserve
        | Reason::Version
        | Reason::Limited
        | Reason::Kod
        | Reason::ImpossibleSource
        | Reason::SourcePort
        | Reason::Fragment
        | Reason::Mode
        | Reason::Response
        | Reason::Untracked
        | Reason::Overload
        | Reason::Encapsulated
        | Reason::Tags
        | Reason::Extensions
        | Reason::Segments => false,
    }
}

impl LimitRequest {
    /// No limit applies.
    pub const NOTHING: Self = Self(0);
    /// The position of the packet's first byte. Below it is the policy word, with its slot in place of its generation.
    const FIRST: u32 = 40;
    /// The line says `limited`, and its limits are enforced.
    const LIMITED: u64 = 1 << 48;
    /// The line also says `kod`.
    const KOD: u64 = 1 << 49;
    /// The position of the reason's index.
    const REASON: u32 = 56;

    /// A bit for each reason that [limiters must see](is_heard), by its index.
    const HEARD: u64 = {
        let (mut bits, mut place) = (0, 0);
        while place < Reason::COUNT {
            bits |= (is_heard(Reason::ALL[place]) as u64) << place;
            place += 1;
        }
        bits
    };

    /// Makes a separate key for a source's packets of mode 1 ([`PolicyWord::MODE_1_VARIES`]).
    const MODE_1_KEY: u64 = 0x9e37_79b9_7f4a_7c15;

    /// The request for a packet with this rule and this reason. Whether a limit really applies is only checked in
    /// [`limit`], where the check costs other packets nothing.
    #[inline(always)]
    pub(crate) fn of(word: PolicyWord, rule: Rule, reason: Reason, first: u8) -> Self {
        let limited = rule.has(Rule::LIMITED) && word.has(PolicyWord::LIMITER);
        if !(limited || word.has(PolicyWord::CEILING)) || Self::HEARD >> reason.index() & 1 == 0 {
            return Self::NOTHING;
        }
        let bit = |set: bool, bit: u64| if set { bit } else { 0 };
        Self(
            PolicyWord { generation: word.slot(), ..word }.to_word()
                | u64::from(first) << Self::FIRST
                | u64::from(reason.index()) << Self::REASON
                | bit(limited, Self::LIMITED)
                | bit(!rule.has(Rule::NO_KISS), Self::KOD),
        )
    }

    /// Whether a limit may apply.
    #[inline(always)]
    pub const fn is_something(self) -> bool {
        self.0 != 0
    }

    /// Whether the packet only counts against its source's limits: it is dropped for another reason, and stays so.
    #[inline(always)]
    pub const fn only_counts(self) -> bool {
        !self.is(Reason::Time) && !self.is(Reason::Query)
    }

    #[inline(always)]
    const fn is(self, reason: Reason) -> bool {
        self.0 >> Self::REASON == reason.index() as u64
    }

    /// The key under which its source is remembered; `length` is the payload's.
    ///
    /// NTPsec 1.2.2 discards mode 1 before its limiter, 1.2.5 counts it (ntp_proto.c:is_packet_not_low_rot), and which
    /// of them runs is unknown. So these packets have an account of their own. They are never held against the source's
    /// other packets, which 1.2.2 would answer; and those that are refused exceed the limit of 1.2.5, too.
    #[inline(always)]
    pub fn key(self, limits: &Limits, source: &Source, length: usize) -> u64 {
        let key = limits.key(source);
        let apart = form::is_uncertain(self.word(), self.first(), length) && key != Self::MODE_1_KEY;
        if apart { key ^ Self::MODE_1_KEY } else { key }
    }

    /// The policy word that was in force, with its slot as its generation.
    #[inline(always)]
    pub const fn word(self) -> PolicyWord {
        PolicyWord { flags: self.0 as u32, generation: (self.0 >> 32) as u32 & 0xff }
    }

    #[inline(always)]
    const fn has(self, bit: u64) -> bool {
        self.0 & bit != 0
    }

    /// The packet's first byte.
    #[inline(always)]
    const fn first(self) -> u8 {
        (self.0 >> Self::FIRST) as u8
    }
}

/// The reason for the verdict on a packet under limits: why it passes, is dropped or is answered. A packet that [only
/// counts](LimitRequest::only_counts) stays dropped for its own reason, whatever is returned. `length` is the
/// payload's.
#[inline(always)]
pub fn limit<B: LimiterState>(request: LimitRequest, source: &Source, length: usize, state: &B) -> Reason {
    let (word, first) = (request.word(), request.first());
    let passes = if request.is(Reason::Query) { Reason::Query } else { Reason::Time };
    let kod = request.has(LimitRequest::KOD);
    let limited = request.has(LimitRequest::LIMITED)
        && match passes {
            _ if request.only_counts() => form::is_counted(word, first, length),
            Reason::Query => word.has(PolicyWord::LIMIT_COUNTS_CONTROL) && Mode::of(first) == Mode::Control,
            _ => true,
        };
    // Only requests: answers of the daemon's own servers don't fall under the ceiling.
    let bounded = word.has(PolicyWord::CEILING) && request.is(Reason::Time) && matches!(first & 7, 0 | 1 | 3);
    if !limited && !bounded {
        return passes;
    }
    let Some(limits) = state.limits(word.slot()) else { return passes };
    let now = state.now();
    let key = request.key(limits, source, length);
    // Only the halves are used from here on: in the kernel they take less of the small stack than the source.
    let halves = source.halves();
    let Some(set) = state.set(key) else { return passes };
    let place = set.find(key);

    // Legitimate clients leave at least half a second between two packets.
    let calmly = |pause: u32| pause >= limits.hz / 2;
    let mut calm = true;
    if bounded && let Some(ceiling) = state.ceiling() {
        let preferred = place.as_ref().is_some_and(|place| {
            let account = place.account();
            account.known && calmly(account.pause(now))
        });
        match ceiling.admit(limits, now, preferred, || state.random()) {
            Admission::Calm => (),
            Admission::Crowded => calm = false,
            Admission::Refused => return Reason::Overload,
        }
    }
    let Some(place) = place else {
        let tracked = set.take(key, word, limits, now, calm);
        return if tracked || !limited || request.only_counts() { passes } else { Reason::Untracked };
    };
    let account = place.account();
    let (outcome, mut next) = if limited {
        daemon::step(word, limits, account, now, kod)
    } else {
        (Outcome::Serve, daemon::Account { time: now, ..account })
    };
    // While the ceiling is exceeded, no source becomes known: any packet may have a spoofed source.
    let learnt = account.known || calm && calmly(account.pause(now)) && !request.only_counts();
    next.known = learnt && matches!(outcome, Outcome::Serve);
    place.update(next);
    if request.only_counts() {
        return passes;
    }

    let reason = match outcome {
        Outcome::Serve => return passes,
        Outcome::Refuse => Reason::Limited,
        Outcome::Kiss => {
            kiss(request, passes, length, || state.kisses().is_some_and(|kisses| kisses.spend(limits, now)))
        }
    };
    // What passes for the daemon to answer with a kiss isn't counted as refused.
    if reason.index() != passes.index()
        && let Some(heavy) = state.heavy(key)
    {
        heavy.count(key, halves);
    }
    reason
}

/// The reason for a packet that the daemon would refuse with a kiss: why it is dropped or answered, or why it passes
/// all the same.
#[inline(always)]
fn kiss(request: LimitRequest, passes: Reason, length: usize, spend: impl FnOnce() -> bool) -> Reason {
    let (word, first) = (request.word(), request.first());
    let mode = first & 7;
    if !request.has(LimitRequest::KOD) {
        Reason::Limited
    } else if word.has(PolicyWord::LIMIT_BY_SCORE) && matches!(mode, 4 | 6)
        || form::is_uncertain(word, first, length)
    {
        // While a score is low enough for kisses, NTPsec processes answers and queries normally (ntp_proto.c:receive).
        // Whether it answers mode 1 with a kiss or not at all depends on its release, so the packet is left to it.
        passes
    } else if matches!(mode, 4 | 5) {
        Reason::Limited
    } else if word.flags & (PolicyWord::KISSES | PolicyWord::TRIAL) != PolicyWord::KISSES
        || length != TIME_HEADER_LEN
    {
        // In a trial everything passes. A request with a MAC needs a kiss with a MAC, which only the daemon can make.
        passes
    } else if spend() {
        Reason::Kod
    } else {
        Reason::Limited
    }
}
