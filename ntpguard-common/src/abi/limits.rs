//! The parameters of the limiter, the kisses and the ceiling: the value of `LIMITS`.

use crate::{
    Source,
    hash::{Seed, hash},
};

/// One policy's limits, in ticks of this machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Limits {
    /// The key of the hash over addresses: random, and unchanged as long as the table of sources exists.
    pub seed: Seed,
    /// The bits of an IPv6 address that distinguish sources: its upper and lower 64 bits.
    pub mask_v6: [u64; 2],
    /// The bits of an IPv4 address that distinguish sources.
    pub mask_v4: u32,
    /// Ticks per second.
    pub hz: u32,
    /// By how many ticks the measured time between two packets may be wrong; 0 if it is exact.
    pub margin: u32,
    /// After this pause, in ticks, the daemon may have forgotten a source (`mru minage`); at most 2^16.
    pub memory: u32,
    /// The number of a time's low bits that count less than a second, roughly: a time shifted right by it counts
    /// seconds.
    pub second_shift: u32,
    /// ntp.org: `discard minimum`, in seconds.
    pub minimum: u32,
    /// ntp.org: what a packet adds to the leak: 2^`discard average` seconds, in ticks.
    pub head: u32,
    /// ntp.org: the leak at which the bucket is full: 8 times `head`.
    pub limit: u32,
    /// NTPsec: the score from which on a packet is certainly refused, in units of [`crate::limit::daemon::ONE`].
    pub refused: u32,
    /// NTPsec: the score up to which a refused packet gets a kiss (`limit average` + `limit kod`).
    pub kissed: u32,
    /// The minimum poll exponent in a kiss.
    pub poll: u32,
    /// The maximum number of kisses in a second.
    pub kisses: u32,
    /// `--max-rate`: the maximum number of time requests in a period.
    pub rate: u32,
    /// `--max-rate`: the number of a time's low bits that count less than a period: a time shifted right by it counts
    /// periods.
    pub period_shift: u32,
    /// NTPsec: the factors by which the score decays, for each value of the lowest byte of a pause in ticks, and then
    /// for each value of the next higher byte: e^(-ticks / (hz × burst)) × 2^31, rounded down.
    pub decay: [u32; 512],
}

impl Limits {
    /// The factor, times 2^31, by which the score decays in a pause of less than 2^16 ticks.
    #[inline(always)]
    pub const fn factor(&self, pause: u32) -> u64 {
        let [low, high] = [pause & 0xff, 0x100 | (pause >> 8 & 0xff)];
        (self.decay[low as usize] as u64 * self.decay[high as usize] as u64) >> 31
    }

    /// The key under which a source is remembered; never 0.
    #[inline(always)]
    pub fn key(&self, source: &Source) -> u64 {
        let source = match *source {
            Source::V4(address) => Source::V4(address & self.mask_v4),
            Source::V6([high, low]) => Source::V6([high & self.mask_v6[0], low & self.mask_v6[1]]),
        };
        let key = hash(self.seed, &source);
        if key == 0 { 1 } else { key }
    }
}

const _: () = assert!(size_of::<Limits>() == 40 + (14 + 512) * 4 && align_of::<Limits>() == 8);

// SAFETY: `#[repr(C)]`, integers only, no padding.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Limits {}
