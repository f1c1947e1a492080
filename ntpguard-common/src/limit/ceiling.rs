//! `--max-rate`: a ceiling for all time requests together; and one for all kisses.
//!
//! In each period (some tens of milliseconds) a limited number of requests pass. Sources that were already known before
//! the rate was exceeded come first. What they leave is given to the others at random, as chrony's `ratelimit leak`
//! does: each packet has the same chance, which is computed from how many came in the previous period. So a new
//! legitimate client gets its share whatever a flood looks like, and can't be singled out.
//!
//! All CPUs share one cache line. Counts are added atomically. Two CPUs that begin a period at the same time compute
//! the same numbers, since the counts of the previous period no longer change.

use crate::{abi::Limits, shared::Shared};

/// A probability of 1, as a fixed-point number.
const CERTAIN: u64 = 1 << 16;
/// While packets are chosen at random, one in this many is counted, on behalf of all.
const SAMPLE: u32 = 16;
/// One in this many requests of the rate is reserved for sources that aren't preferred.
const RESERVE: u32 = 16;

/// The ceiling's state, the value of `CEILING`.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Ceiling {
    /// The number of the period, and in the low half the chance of a request in it.
    period: Shared,
    /// How many requests of other sources may pass in this period.
    share: Shared,
    /// The counts of even and of odd periods.
    counts: [Counts; 2],
}

/// How many requests came in a period.
#[derive(Debug, Default)]
#[repr(C)]
struct Counts {
    /// Requests of preferred sources.
    preferred: Shared,
    /// Requests of other sources that the random choice let pass; all of them if the chance is 1.
    drawn: Shared,
    /// Requests of other sources.
    offered: Shared,
}

const _: () = assert!(size_of::<Ceiling>() == 64);

/// Whether a request passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It passes; there is room for all requests.
    Calm,
    /// It passes; there isn't room for all requests.
    Crowded,
    /// It is dropped.
    Refused,
}

impl Ceiling {
    /// Decides on one more request. `preferred`: its source is known and calm. `random` returns 32 random bits, and is
    /// called only if packets are chosen at random.
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
        // The chance results from the previous period; the share also bounds what passes if more requests have come
        // since.
        counts.drawn.add(1);
        if counts.drawn.get() <= self.share.get() { through } else { Admission::Refused }
    }

    /// Begins a period, and returns the new value of `period`.
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

/// The kisses in this second, the value of `KISSES`: the number of the second, and in the low half how many were sent.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Kisses(Shared);

impl Kisses {
    /// Whether one more kiss may be sent, of [`Limits::kisses`] in a second; if so, it is counted.
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
