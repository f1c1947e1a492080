//! What would pass, judged once more: by who sent how much before.
//!
//! It comes last, so that a source that is dropped for another reason never takes a place in the table.

use crate::{
    Reason, Source,
    abi::{Limits, Rule, Settings},
    ceiling::{Admission, Ceiling, Kisses},
    heavy::Heavy,
    limiter::{self, Outcome},
    sources::Set,
    wire::ntp::{Mode, TIME_HEADER_LEN},
};

/// What is remembered, and the clock: maps in the kernel, a model on the host.
pub trait Books {
    /// The limits of a policy.
    fn limits(&self, slot: u32) -> Option<&Limits>;
    /// The time in ticks.
    fn now(&self) -> u32;
    /// 32 random bits.
    fn random(&self) -> u32;
    /// The set of a key.
    fn set(&self, key: u64) -> Option<&Set>;
    /// The candidate of a key.
    fn heavy(&self, key: u64) -> Option<&Heavy>;
    /// The ceiling's state.
    fn ceiling(&self) -> Option<&Ceiling>;
    /// The kisses' state.
    fn kisses(&self) -> Option<&Kisses>;
}

/// What a packet that would pass is, as far as limits go: [`Settings`] and [`Rule`] flags, and its first byte. One
/// word, which is 0 if limits have no say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked(pub u64);

impl Asked {
    /// Limits have no say.
    pub const NOTHING: Self = Self(0);
    /// The packet's first byte. The settings lie below; their slot has room.
    const FIRST: u32 = 40;
    /// The daemon's limiter has a say.
    const LIMITED: u64 = 1 << 48;
    /// The ceiling has.
    const BOUNDED: u64 = 1 << 49;
    /// The line says `kod`, too.
    const KOD: u64 = 1 << 50;
    /// It is a query.
    const QUERY: u64 = 1 << 51;

    /// Asks about a packet from a rule's source that would pass for a reason.
    #[inline(always)]
    pub(crate) fn of(settings: Settings, rule: Rule, reason: Reason, first: u8) -> Self {
        if !(settings.has(Settings::CEILING) || rule.has(Rule::LIMITED) && settings.has(Settings::LIMITER)) {
            return Self::NOTHING;
        }
        let time = matches!(reason, Reason::Time);
        // NTPsec's limiter counts mode 6, too (ntp_proto.c:receive).
        let control = matches!(reason, Reason::Query)
            && settings.has(Settings::NTPSEC)
            && Mode::of(first) == Mode::Control;
        let limited = rule.has(Rule::LIMITED) && settings.has(Settings::LIMITER) && (time || control);
        // Requests alone: what the daemon's own servers answer isn't asked to queue.
        let bounded = settings.has(Settings::CEILING) && time && matches!(first & 7, 0 | 1 | 3);
        if !limited && !bounded {
            return Self::NOTHING;
        }
        let bit = |set: bool, bit: u64| if set { bit } else { 0 };
        Self(
            Settings { generation: settings.slot(), ..settings }.to_word()
                | u64::from(first) << Self::FIRST
                | bit(limited, Self::LIMITED)
                | bit(bounded, Self::BOUNDED)
                | bit(!rule.has(Rule::NO_KISS), Self::KOD)
                | bit(control, Self::QUERY),
        )
    }

    /// Whether limits have a say.
    #[inline(always)]
    pub const fn is_something(self) -> bool {
        self.0 != 0
    }

    /// What was in force.
    #[inline(always)]
    pub const fn settings(self) -> Settings {
        Settings { flags: self.0 as u32, generation: (self.0 >> 32) as u32 & 0xff }
    }

    #[inline(always)]
    const fn has(self, bit: u64) -> bool {
        self.0 & bit != 0
    }

    /// The association mode.
    #[inline(always)]
    const fn mode(self) -> u8 {
        (self.0 >> Self::FIRST) as u8 & 7
    }
}

/// What becomes of a packet under limits: why it passes, is dropped or answered. `length` is its payload's.
#[inline(always)]
pub fn limit<B: Books>(asked: Asked, source: &Source, length: usize, books: &B) -> Reason {
    let (limited, bounded, kod) =
        (asked.has(Asked::LIMITED), asked.has(Asked::BOUNDED), asked.has(Asked::KOD));
    let settings = asked.settings();
    let passes = if asked.has(Asked::QUERY) { Reason::Query } else { Reason::Time };
    let Some(limits) = books.limits(settings.slot()) else { return passes };
    let now = books.now();
    let key = limits.key(source);
    let Some(set) = books.set(key) else { return passes };
    let place = set.find(key);

    // Half a second between two packets tells who asks for the time from who asks for trouble.
    let calmly = |pause: u32| pause >= limits.hz / 2;
    let mut calm = true;
    if bounded && let Some(ceiling) = books.ceiling() {
        let preferred = place.as_ref().is_some_and(|place| {
            let account = place.account();
            account.known && calmly(account.pause(now))
        });
        match ceiling.admit(limits, now, preferred, || books.random()) {
            Admission::Calm => (),
            Admission::Crowded => calm = false,
            Admission::Refused => return Reason::Overload,
        }
    }
    let Some(place) = place else {
        let tracked = set.take(key, settings, limits, now, calm);
        return if tracked || !limited { passes } else { Reason::Untracked };
    };
    let account = place.account();
    let (outcome, mut next) = if limited {
        limiter::step(settings, limits, account, now, kod)
    } else {
        (Outcome::Serve, limiter::Account { time: now, ..account })
    };
    // In a crowd nobody is got to know: each of its packets may be made up.
    let learnt = account.known || calm && calmly(account.pause(now));
    next.known = learnt && matches!(outcome, Outcome::Serve);
    place.update(next);

    let reason = match outcome {
        Outcome::Serve => return passes,
        Outcome::Refuse => Reason::Limited,
        Outcome::Kiss => {
            kiss(asked, passes, length, || books.kisses().is_some_and(|kisses| kisses.spend(limits, now)))
        }
    };
    // What passes all the same, for the daemon's kiss, is no refusal yet.
    if reason.index() != passes.index()
        && let Some(heavy) = books.heavy(key)
    {
        heavy.count(key, source);
    }
    reason
}

/// Why a packet is dropped or answered that the daemon would refuse with a kiss, or why it passes all the same.
#[inline(always)]
fn kiss(asked: Asked, passes: Reason, length: usize, spend: impl FnOnce() -> bool) -> Reason {
    let (settings, mode) = (asked.settings(), asked.mode());
    if !asked.has(Asked::KOD) {
        Reason::Limited
    } else if settings.has(Settings::NTPSEC) && matches!(mode, 4 | 6) {
        // Within the allowance for kisses NTPsec takes answers and queries as if nothing were (ntp_proto.c:receive).
        passes
    } else if matches!(mode, 4 | 5) {
        Reason::Limited
    } else if settings.flags & (Settings::KISSES | Settings::MONITOR) != Settings::KISSES
        || length != TIME_HEADER_LEN
    {
        // In a trial everything passes. What has a MAC gets a kiss with a MAC.
        passes
    } else if spend() {
        Reason::Kod
    } else {
        Reason::Limited
    }
}
