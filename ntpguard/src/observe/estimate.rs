//! What was seen of something in sampled packets, and how far the sum may be off.
//!
//! A packet that was sampled stands for `scale` packets, so it was sampled with the probability 1/`scale`. The sum of the
//! scales is then an estimate of the number of packets that is right on average (Horvitz and Thompson 1952), and the sum of
//! `scale`·(`scale` − 1) one of its variance. Where all scales are the same and large, k samples are off by about 1/√k of the
//! sum: 10 % at 100 of them.
//!
//! What is assumed: which packets of the counter that is sampled (one for each reason and CPU) belong to this sum doesn't depend on which
//! are sampled. The filter draws by the counter's value, scrambled ([`ntpguard_common::sample`]), and what is drawn of a reason stands for
//! exactly as many as its counters have counted (`feed/pace.rs`): so a source that makes most of a flood is nearer to the truth
//! than said here, and one whose packets come at random among others is as near. Only somebody who knew the counter could be farther off.

use crate::observe::event::Event;
use indicatif::HumanCount;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign},
};

/// Sums over sampled packets, and when those were.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Estimate {
    /// The packets that the samples stand for.
    pub packets: u64,
    /// Their bytes, each taken to be as long as the one that stands for it.
    pub bytes: u64,
    /// How many samples there were.
    pub samples: u64,
    /// The variance of `packets`, estimated.
    pub variance: f64,
    /// The first sample: seconds since 1970. Nothing if there is none.
    pub first: u64,
    /// The last sample.
    pub last: u64,
}

impl Estimate {
    /// Of one sampled packet: how many it stands for (at least itself), its length in bytes, and when it was (seconds since 1970).
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

    /// The standard error of `packets`; 0 if every packet was seen. As with any estimate from samples, a third of all times
    /// the truth is farther away than that, and one time in twenty than twice that; of few samples (10) that is optimistic.
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

/// The packets: `1,234` where every one was seen, else `~41,000 ± 1,300`, with no more digits than the error leaves.
impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.error();
        if error < 0.5 {
            return write!(f, "{}", HumanCount(self.packets));
        }
        // Two digits of the error, and as many of the sum as stand before them.
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
        // √(100·8·7): of 800 a little less than the tenth that many times as many packets would leave.
        assert_eq!(all.error(), 5600_f64.sqrt());
        let relative = seen(400, 1000).error() / 400_000.0;
        assert!((relative - 0.05).abs() < 0.0001, "{relative}");
        assert_eq!(seen(100, 1).error(), 0.0);
        let nothing = Estimate::default();
        assert_eq!((nothing + all, all + nothing), (all, all), "nothing has no time");
        // 0 is no scale.
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

    /// The error that is said is the one that is made, where samples are taken at random.
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
            // The variance of a variance of 400: √(2/400) = 7 %; three times that.
            assert!((0.79..1.21).contains(&ratio), "scale {scale}: {ratio}");
        }
    }

    /// xorshift64*, upper half.
    fn fastrand(mut state: u64) -> impl FnMut() -> u64 {
        move || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
        }
    }
}
