//! A verdict under limits: what would pass, judged once more by who sent how much before.
//!
//! It comes last, so that a source that is dropped for another reason never takes a place in the table.

use crate::{
    Reason, Verdict,
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
    /// One of [`Limits::DECAY`] factors.
    fn decay(&self, slot: u32, place: u32) -> u32;
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

/// Whether limits may change a verdict.
#[inline(always)]
pub fn concerns(verdict: Verdict) -> bool {
    is_limited(verdict) || is_bounded(verdict)
}

/// Whether the daemon's limiter has a say.
#[inline(always)]
fn is_limited(verdict: Verdict) -> bool {
    let Verdict { reason, rule, settings, first, .. } = verdict;
    // NTPsec's counts mode 6, too (ntp_proto.c:receive).
    let counted = match reason {
        Reason::Time => true,
        Reason::Query => settings.has(Settings::NTPSEC) && Mode::of(first) == Mode::Control,
        _ => false,
    };
    rule.has(Rule::LIMITED) && settings.has(Settings::LIMITER) && counted
}

/// Whether the ceiling has a say: in requests alone. What the daemon's own servers answer isn't asked to queue.
#[inline(always)]
fn is_bounded(verdict: Verdict) -> bool {
    let Verdict { reason, settings, first, .. } = verdict;
    settings.has(Settings::CEILING) && reason == Reason::Time && matches!(first & 7, 0 | 1 | 3)
}

/// The verdict under limits; only where they [concern](concerns) it.
#[inline(always)]
pub fn limit<B: Books>(verdict: Verdict, books: &B) -> Verdict {
    let Verdict { rule, settings, datagram, .. } = verdict;
    let (limited, bounded) = (is_limited(verdict), is_bounded(verdict));
    let (Some(datagram), Some(limits)) = (datagram, books.limits(settings.slot)) else { return verdict };
    let now = books.now();
    let key = limits.key(&datagram.source);
    let Some(set) = books.set(key) else { return verdict };
    let place = set.find(key);
    let because = |reason| Verdict { reason, ..verdict };

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
            Admission::Refused => return because(Reason::Overload),
        }
    }
    let Some(place) = place else {
        let tracked = set.take(key, settings, limits, now, calm);
        return if tracked || !limited { verdict } else { because(Reason::Untracked) };
    };
    let account = place.account();
    let kod = !rule.has(Rule::NO_KISS);
    let (outcome, mut next) = if limited {
        limiter::step(settings, limits, |place| books.decay(settings.slot, place), account, now, kod)
    } else {
        (Outcome::Serve, limiter::Account { time: now, ..account })
    };
    // In a crowd nobody is got to know: each of its packets may be made up.
    let learnt = account.known || calm && calmly(account.pause(now));
    next.known = learnt && matches!(outcome, Outcome::Serve);
    place.update(next);

    let reason = match outcome {
        Outcome::Serve => return verdict,
        Outcome::Refuse => Reason::Limited,
        Outcome::Kiss => kiss(verdict, kod, datagram.length, || {
            books.kisses().is_some_and(|kisses| kisses.spend(limits, now))
        }),
    };
    if let Some(heavy) = books.heavy(key) {
        heavy.count(key, &datagram.source);
    }
    because(reason)
}

/// Why a packet is dropped or answered that the daemon would refuse with a kiss, or why it passes all the same.
#[inline(always)]
fn kiss(verdict: Verdict, kod: bool, length: usize, spend: impl FnOnce() -> bool) -> Reason {
    let Verdict { reason, settings, first, .. } = verdict;
    let mode = first & 7;
    if !kod {
        Reason::Limited
    } else if settings.has(Settings::NTPSEC) && matches!(mode, 4 | 6) {
        // Within the allowance for kisses NTPsec takes answers and queries as if nothing were (ntp_proto.c:receive).
        reason
    } else if matches!(mode, 4 | 5) {
        Reason::Limited
    } else if !settings.has(Settings::KISSES) || length != TIME_HEADER_LEN {
        // What has a MAC gets a kiss with a MAC.
        reason
    } else if spend() {
        Reason::Kod
    } else {
        Reason::Limited
    }
}
