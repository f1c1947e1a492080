//! Estimates from sampled packets, with their error.
//!
//! A packet is sampled with the probability 1/`scale` and stands for `scale` packets. The sum of the scales is an unbiased
//! estimate of the number of packets (Horvitz and Thompson 1952), and the sum of `scale`·(`scale` − 1) is one of its
//! variance. If all scales are equal and large, k samples have an error of about 1/√k of the sum: 10 % for 100 samples.
//!
//! Assumption: whether a packet is sampled doesn't depend on whether it belongs to this sum. The filter decides by the
//! scrambled value of the counter (one for each reason and CPU; [`ntpguard_common::sample`]), and the samples of a reason
//! together stand for exactly what its counters have counted (`feed/pace.rs`). So the estimate for a source that makes most
//! of a flood is more accurate than stated here, and the one for a source whose packets are spread at random among others is
//! as accurate. Only a sender that knew the counter's value could make it less accurate.

use crate::observe::event::Event;
use indicatif::HumanCount;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign},
};

/// Sums over sampled packets, and the time span of the samples.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Estimate {
    /// How many packets the samples stand for.
    pub packets: u64,
    /// How many bytes they stand for: each packet is taken to be as long as its sample.
    pub bytes: u64,
    /// The number of samples.
    pub samples: u64,
    /// The estimated variance of `packets`.
    pub variance: f64,
    /// When the first sample was taken, in seconds since 1970; 0 without samples.
    pub first: u64,
    /// When the last sample was taken.
    pub last: u64,
}

impl Estimate {
    /// The estimate from one sample: how many packets it stands for (0 counts as 1), its length in bytes, and when it was
    /// taken (seconds since 1970).
    pub fn sample(scale: u32, length: u32, time: u64) -> Self {
        let packets = u64::from(scale.max(1));
        Self {
            packets,
            bytes: packets * u64::from(length),
            samples: 1,
            variance: packets as f64 * (packets - 1) as f64,
            first: time,
            last: time,
        }
    }

    /// The standard error of `packets`; 0 if every packet was sampled. As usual, the true value is farther away than this
    /// one time in three, and farther than twice this one time in twenty. With few samples (10), this is optimistic.
    pub fn error(&self) -> f64 {
        self.variance.sqrt()
    }
}

impl From<&Event> for Estimate {
    fn from(event: &Event) -> Self {
        Self::sample(event.scale, event.length, event.time_ns / 1_000_000_000)
    }
}

impl Add for Estimate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        if self.samples == 0 || other.samples == 0 {
            return if self.samples == 0 { other } else { self };
        }
        Self {
            packets: self.packets.saturating_add(other.packets),
            bytes: self.bytes.saturating_add(other.bytes),
            samples: self.samples.saturating_add(other.samples),
            variance: self.variance + other.variance,
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }
}

impl AddAssign for Estimate {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Estimate {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// The packets: `1,234` if every packet was sampled, otherwise `~41,000 ± 1,300`, without digits that the error makes
/// meaningless.
impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.error();
        if error < 0.5 {
            return write!(f, "{}", HumanCount(self.packets));
        }
        // Two digits of the error, and the sum rounded to the same place.
        let step = 10_u64.pow((error.log10().floor() as u32).clamp(1, 18) - 1);
        let round = |number: f64| HumanCount((number / step as f64).round() as u64 * step);
        write!(f, "~{} \u{b1} {}", round(self.packets as f64), round(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(samples: u64, scale: u32) -> Estimate {
        (0..samples).map(|time| Estimate::sample(scale, 50, time)).sum()
    }

    #[test]
    fn sums_and_their_error() {
        let all = seen(100, 8);
        assert_eq!((all.packets, all.bytes, all.samples, all.first, all.last), (800, 40_000, 100, 0, 99));
        // √(100·8·7): a little less than a tenth of 800, which many samples of a large scale would have.
        assert_eq!(all.error(), 5600_f64.sqrt());
        let relative = seen(400, 1000).error() / 400_000.0;
        assert!((relative - 0.05).abs() < 0.0001, "{relative}");
        assert_eq!(seen(100, 1).error(), 0.0);
        let nothing = Estimate::default();
        assert_eq!((nothing + all, all + nothing), (all, all), "nothing has no time");
        // A scale of 0 is invalid, and counts as 1.
        assert_eq!(Estimate::sample(0, 50, 1), Estimate::sample(1, 50, 1));
    }

    #[test]
    fn no_more_digits_than_are_known() {
        let shown =
            |packets, error: f64| Estimate { packets, variance: error * error, ..seen(1, 1) }.to_string();
        assert_eq!(shown(41_234, 1312.0), "~41,200 \u{b1} 1,300");
        assert_eq!(shown(41_234, 13.2), "~41,234 \u{b1} 13");
        assert_eq!(shown(8, 7.48), "~8 \u{b1} 7");
        assert_eq!(shown(1_234_567, 0.0), "1,234,567");
        assert_eq!(shown(u64::MAX, 1e19).chars().next(), Some('~'));
    }

    /// The stated error matches the actual one if packets are sampled at random.
    #[test]
    fn the_error_is_the_one_that_is_made() {
        let mut random = fastrand(7);
        for (scale, packets) in [(8, 5000_u64), (64, 40_000)] {
            let (mut squares, mut said, rounds) = (0.0, 0.0, 400);
            for _ in 0..rounds {
                let hit = (0..packets).filter(|_| random().is_multiple_of(u64::from(scale))).count() as u64;
                let seen = seen(hit, scale);
                squares += (seen.packets as f64 - packets as f64).powi(2);
                said += seen.variance;
            }
            let ratio = squares / said;
            // The relative standard deviation of a variance estimated from 400 rounds is √(2/400) = 7 %; three times that is
            // allowed.
            assert!((0.79..1.21).contains(&ratio), "scale {scale}: {ratio}");
        }
    }

    /// xorshift64*, upper 32 bits.
    fn fastrand(mut state: u64) -> impl FnMut() -> u64 {
        move || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
        }
    }
}
