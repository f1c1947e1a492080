//! The daemons' rate limiters, with time as a parameter: ntp.org's headway and NTPsec's decaying score.
//!
//! Contract: what is refused here, the daemon would have refused. Time is measured in ticks of a coarse clock, and the
//! daemon's own rounding depends on a phase that can't be observed from outside. What is stored about a source is
//! therefore a lower bound of what the daemon holds against it; in case of doubt the packet passes.
//!
//! The daemon counts more packets than are seen here (those on other interfaces, and those dropped for other reasons).
//! It forgets no sooner than after [`Limits::memory`], provided that its own list has room; if the list is full, its
//! limiter lets packets pass.

use crate::abi::{Limits, PolicyWord};

/// Units of the level per packet of NTPsec's score: the scale of its fixed-point numbers.
pub const ONE: u32 = 1 << 14;

/// What is held against a source; fits into one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// When its last packet came, in ticks; wraps around.
    pub time: u32,
    /// A lower bound, up to [`Account::MAX_LEVEL`]. ntp.org: of the leak, in ticks; NTPsec: of the score times `burst`,
    /// in units of [`ONE`].
    pub level: u32,
    /// ntp.org: the level isn't only a lower bound of the daemon's leak, but equal to it.
    pub exact: bool,
    /// The source has sent before, with pauses, and kept to its limits (see [`super::ceiling`]).
    pub known: bool,
}

impl Account {
    /// The highest level that fits into the word.
    pub const MAX_LEVEL: u32 = (1 << 30) - 1;

    /// How far another CPU's clock may be ahead, in ticks. A time further ahead belongs to an old account, since times
    /// wrap around: it is better to forget a source than to refuse it for what it did weeks ago.
    const AHEAD: u32 = 256;

    /// The value in the table.
    #[inline(always)]
    pub const fn to_word(self) -> u64 {
        let Self { time, level, exact, known } = self;
        (time as u64) << 32 | (known as u64) << 31 | (exact as u64) << 30 | level as u64
    }

    /// The reverse of [`Account::to_word`].
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        let low = word as u32;
        Self {
            time: (word >> 32) as u32,
            level: low & Self::MAX_LEVEL,
            exact: low >> 30 & 1 != 0,
            known: low >> 31 != 0,
        }
    }

    /// The account of a source after its first packet. Both kinds of limiter serve it (ntp_monitor.c:ntp_monitor).
    #[inline(always)]
    pub const fn new(word: PolicyWord, now: u32) -> Self {
        let level = if word.has(PolicyWord::LIMIT_BY_SCORE) { ONE } else { 0 };
        Self { time: now, level, exact: true, known: false }
    }

    /// Ticks since its last packet, modulo 2^32 (50 days at 1000 Hz); 0 if another CPU's clock is slightly ahead.
    #[inline(always)]
    pub const fn pause(self, now: u32) -> u32 {
        let pause = now.wrapping_sub(self.time);
        if pause > u32::MAX - Self::AHEAD { 0 } else { pause }
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is served, or may be served.
    Serve,
    /// It is refused, and answered with a kiss if the source's line says `kod`.
    Kiss,
    /// It is refused without an answer.
    Refuse,
}

/// Decides on one more packet of a source, and returns its new account. `kod`: the source's line says `kod`.
#[inline(always)]
pub fn step(word: PolicyWord, limits: &Limits, account: Account, now: u32, kod: bool) -> (Outcome, Account) {
    let pause = account.pause(now);
    if pause >= limits.memory {
        (Outcome::Serve, Account { known: account.known, ..Account::new(word, now) })
    } else if word.has(PolicyWord::LIMIT_BY_SCORE) {
        let level = scored(limits, account.level, pause);
        let outcome = if level < limits.refused {
            Outcome::Serve
        } else if level <= limits.kissed {
            Outcome::Kiss
        } else {
            Outcome::Refuse
        };
        (outcome, Account { time: now, level, ..account })
    } else {
        headway(word, limits, account, now, kod)
    }
}

/// NTPsec's score after a pause and one more packet, rounded down (ntp_monitor.c:ntp_monitor: `score *=
/// expf(-since_last/decay_time)`, `score += 1.0/decay_time`).
#[inline(always)]
fn scored(limits: &Limits, level: u32, pause: u32) -> u32 {
    let level = ((u64::from(level) * limits.factor(pause)) >> 31) as u32 + ONE;
    if level > Account::MAX_LEVEL { Account::MAX_LEVEL } else { level }
}

/// ntp.org's leaky bucket (ntp_monitor.c:ntp_monitor). `leak` drains by one second per second. A packet that is served
/// adds `head` minus 2 s. A packet that comes too early or finds the bucket full sets `leak` to `limit + head` and is
/// refused, with a kiss if `leak` was below `limit`.
///
/// 4.2.8 rounds each pause between two packets to the nearest second. 4.2.6 takes the difference of a counter of whole
/// seconds, whose phase f is unknown: `leak` - f drains steadily, and the level is a lower bound of `leak` - f + 1 s.
#[inline(always)]
fn headway(word: PolicyWord, limits: &Limits, account: Account, now: u32, kod: bool) -> (Outcome, Account) {
    let Limits { hz, margin, head, limit, .. } = *limits;
    let pause = account.pause(now);
    // The most seconds that the daemon may measure for the pause, the ticks that the leak drains, and whether the
    // daemon can't have measured fewer seconds.
    let (interval, drained, certain) = if word.has(PolicyWord::LIMIT_ROUNDS_PAUSES) {
        let rounded = pause + margin + hz / 2;
        let interval = rounded.checked_div(hz).unwrap_or(0);
        (interval, interval * hz, rounded - interval * hz >= 2 * margin)
    } else {
        let interval = (pause + margin + hz - 1).checked_div(hz).unwrap_or(0);
        (interval, pause, margin == 0 && interval * hz == pause)
    };
    let exact = account.exact && certain;
    let slack = if exact || word.has(PolicyWord::LIMIT_ROUNDS_PAUSES) { 0 } else { margin + 1 };
    let level = account.level.saturating_sub(drained);
    let too_early = interval + 1 < limits.minimum;
    let full = level >= limit - head + slack;
    let (outcome, level, exact) = if !too_early && !full {
        (Outcome::Serve, (level + head).saturating_sub(2 * hz), exact)
    } else if level >= limit + slack {
        (Outcome::Refuse, level, exact)
    } else if exact {
        (Outcome::Kiss, limit + head, true)
    } else {
        // Certainly refused; whether with a kiss is unknown. Under `kod` one packet a second passes, so that the daemon
        // can send its kiss.
        let second = (account.time ^ now) >> limits.second_shift != 0;
        let outcome = if kod && second { Outcome::Serve } else { Outcome::Refuse };
        (outcome, if level > limit { level } else { limit }, false)
    };
    (outcome, Account { time: now, level, exact, known: account.known })
}
