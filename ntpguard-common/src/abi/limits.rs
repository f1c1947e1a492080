//! What the limiter, the kisses and the ceiling go by: the value of `LIMITS`.

use crate::{
    Source,
    hash::{Seed, hash},
};

/// One policy's limits, on this machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Limits {
    /// The key of the hash over addresses: random, and the same as long as the table lives.
    pub seed: Seed,
    /// The bits of an IPv6 address that tell sources apart: its high and its low half.
    pub mask_v6: [u64; 2],
    /// The bits of an IPv4 address that do.
    pub mask_v4: u32,
    /// Ticks a second.
    pub hz: u32,
    /// By so many ticks the clock may be off between two packets; 0 if time is exact.
    pub margin: u32,
    /// After such a pause, in ticks, the daemon may have forgotten a source (`mru minage`); at most 2^16.
    pub memory: u32,
    /// So many bits of a time are less than a second, about.
    pub second_shift: u32,
    /// ntp.org: `discard minimum`, in seconds.
    pub minimum: u32,
    /// ntp.org: what a packet adds to the leak, 2^`discard average` seconds, in ticks.
    pub head: u32,
    /// ntp.org: where the leak is full, 8 times the head.
    pub limit: u32,
    /// NTPsec: from this score on a packet is refused for certain, in units of [`crate::limit::daemon::ONE`].
    pub refused: u32,
    /// NTPsec: up to this score a refused packet gets a kiss (`limit average` + `limit kod`).
    pub kissed: u32,
    /// The poll exponent of a kiss is no less.
    pub poll: u32,
    /// Kisses in a second, at most.
    pub kisses: u32,
    /// `--max-rate`: time requests in a period, at most.
    pub rate: u32,
    /// `--max-rate`: so many bits of a time are less than a period.
    pub period_shift: u32,
    /// NTPsec: by which factors the score decays, for each value of the low byte of a pause in ticks, and of the byte
    /// before it: e^(-ticks / (hz × burst)) × 2^31, rounded down.
    pub decay: [u32; 512],
}

impl Limits {
    /// The factor by which the score decays in a pause below 2^16, times 2^31.
    #[inline(always)]
    pub const fn factor(&self, pause: u32) -> u64 {
        let [low, high] = [pause & 0xff, 0x100 | (pause >> 8 & 0xff)];
        (self.decay[low as usize] as u64 * self.decay[high as usize] as u64) >> 31
    }

    /// Under which key a source is remembered; never 0.
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
