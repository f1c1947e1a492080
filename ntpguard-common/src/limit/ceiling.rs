//! `--max-rate`: a ceiling for all time requests together; and one for all kisses.
//!
//! In each period (some tens of milliseconds) so many requests pass. Sources that were heard before it got crowded
//! come first. What they leave is drawn by lot among all others, as chrony's `ratelimit leak` does: each packet has
//! the same chance, which follows from how many came in the period before. So a legitimate client that is new gets
//! its share whatever a flood looks like, and can't be singled out.
//!
//! One cache line for all CPUs. Counts are added to atomically; two CPUs that begin a period at once come to the same
//! numbers, since the counts of the period before stay.

use crate::{abi::Limits, shared::Shared};

/// A chance of 1.
const CERTAIN: u64 = 1 << 16;
/// While there is a lottery, one packet in so many is counted, for all.
const SAMPLE: u32 = 16;
/// Whoever was heard before leaves the others at least such a part of the rate.
const RESERVE: u32 = 16;

/// The state, as it lies in `CEILING`.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Ceiling {
    /// The period, and in the low half the chance in it.
    period: Shared,
    /// What may be drawn in this period.
    share: Shared,
    /// Of even periods and of odd ones.
    counts: [Counts; 2],
}

/// What came in a period.
#[derive(Debug, Default)]
#[repr(C)]
struct Counts {
    /// Requests of preferred sources.
    preferred: Shared,
    /// Requests of others that were drawn.
    drawn: Shared,
    /// Requests of others.
    offered: Shared,
}

const _: () = assert!(size_of::<Ceiling>() == 64);

/// Whether a request gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It does; there is room for all.
    Calm,
    /// It does, though there is no room for all.
    Crowded,
    /// It doesn't.
    Refused,
}

impl Ceiling {
    /// One more request, of a source that is preferred or isn't. `random` is asked for 32 bits if lots are drawn.
    #[inline(always)]
    pub fn admit(
        &self,
        limits: &Limits,
        now: u32,
        preferred: bool,
        random: impl FnOnce() -> u32,
    ) -> Admission {
        let period = now >> limits.period_shift;
        let mut state = self.period.get();
        if (state >> 32) as u32 != period {
            state = self.roll(limits, state, period);
        }
        let [even, odd] = &self.counts;
        let counts = if period & 1 == 0 { even } else { odd };
        let chance = state & 0xffff_ffff;
        let through = if chance == CERTAIN { Admission::Calm } else { Admission::Crowded };
        if preferred {
            counts.preferred.add(1);
            if counts.preferred.get() <= u64::from(limits.rate) {
                return through;
            }
        }
        if chance == CERTAIN {
            counts.offered.add(1);
        } else {
            let random = random();
            if random.is_multiple_of(SAMPLE) {
                counts.offered.add(u64::from(SAMPLE));
            }
            if u64::from(random >> 16) >= chance {
                return Admission::Refused;
            }
        }
        // The chance is that of the period before; this holds whatever came since.
        counts.drawn.add(1);
        if counts.drawn.get() <= self.share.get() { through } else { Admission::Refused }
    }

    /// Begins a period, and returns its state.
    #[inline(always)]
    fn roll(&self, limits: &Limits, old: u64, period: u32) -> u64 {
        let [even, odd] = &self.counts;
        let (last, next) = if period & 1 == 0 { (odd, even) } else { (even, odd) };
        let follows = (old >> 32) as u32 == period.wrapping_sub(1);
        let (preferred, offered) = if follows { (last.preferred.get(), last.offered.get()) } else { (0, 0) };
        let rate = u64::from(limits.rate);
        let reserve = u64::from(limits.rate / RESERVE) + 1;
        let left = rate.saturating_sub(preferred);
        let share = if left > reserve { left } else { reserve };
        let chance = if offered <= share {
            CERTAIN
        } else {
            (share * CERTAIN).checked_div(offered).unwrap_or(CERTAIN)
        };
        let state = u64::from(period) << 32 | chance;
        self.period.set(state);
        self.share.set(share);
        next.preferred.set(0);
        next.drawn.set(0);
        next.offered.set(0);
        state
    }
}

/// The kisses of this second: the second, and in the low half how many. As it lies in `KISSES`.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Kisses(Shared);

impl Kisses {
    /// Whether one more may be sent, of [`Limits::kisses`] in a second; it is counted then.
    #[inline(always)]
    pub fn spend(&self, limits: &Limits, now: u32) -> bool {
        let second = u64::from(now >> limits.second_shift);
        let mut old = self.0.get();
        if old >> 32 != second {
            old = second << 32;
            self.0.set(old);
        }
        if old & 0xffff_ffff >= u64::from(limits.kisses) {
            return false;
        }
        self.0.add(1);
        true
    }
}
