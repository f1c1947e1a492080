//! The daemon's limits and ntpguard's own, in clock ticks: the value of the map `LIMITS`.

use crate::conf::{Limiter, MEMORY};
use anyhow::{Context as _, Result, ensure};
use nix::time::{ClockId, clock_getres, clock_gettime};
use ntpguard_common::{
    abi::{self, PolicyWord},
    hash::Seed,
    limit::daemon::{Account, ONE},
};

/// For ntp.org: from an average headway of 2^11 seconds on, nothing is limited here.
const MAX_AVERAGE: u32 = 10;

/// A clock that counts ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Ticks a second: even, 100 to 1024.
    pub hz: u32,
    /// The error in ticks that the time between two packets may have.
    pub margin: u32,
}

impl Clock {
    /// A clock without error, for simulation.
    pub const IDEAL: Self = Self { hz: 1000, margin: 0 };

    /// The kernel's jiffies, which the coarse clocks count. The times of two packets are each off by less than a tick.
    ///
    /// # Errors
    /// The kernel doesn't report its tick.
    pub fn of_kernel() -> Result<Self> {
        let tick =
            clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).context("the kernel doesn't tell its tick")?;
        let hz = 1_000_000_000 / tick.tv_nsec().max(1);
        ensure!((100..=1024).contains(&hz), "a clock of {hz} Hz is out of the ordinary");
        Ok(Self { hz: hz as u32, margin: 2 })
    }

    /// The current value of the kernel's jiffies, within a few seconds: they start [five minutes before they wrap
    /// around](https://github.com/torvalds/linux/blob/v6.12/include/linux/jiffies.h#L294) and follow the monotonic
    /// clock.
    ///
    /// # Errors
    /// The kernel has no such clock.
    pub fn now(self) -> Result<u32> {
        let up = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).context("the kernel tells no time")?;
        let ticks = (up.tv_sec() - 300) * i64::from(self.hz);
        Ok(ticks as u32)
    }
}

/// What ntpguard limits in addition to the daemon's limiter, and how it distinguishes sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Time requests a second, for all sources together; `None` for no limit.
    pub max_rate: Option<u32>,
    /// Kisses that ntpguard sends a second at most; `None` leaves kisses to the daemon.
    pub kisses: Option<u32>,
    /// Number of leading bits of an IPv4 address that distinguish sources.
    pub prefix_v4: u8,
    /// Number of leading bits of an IPv6 address that distinguish sources.
    pub prefix_v6: u8,
}

impl Default for Bounds {
    /// As in the daemon alone, and kisses without a limit.
    fn default() -> Self {
        Self { max_rate: None, kisses: Some(u32::MAX), prefix_v4: 32, prefix_v6: 128 }
    }
}

impl Bounds {
    /// Their bits in [`PolicyWord`].
    pub const fn flags(&self) -> u32 {
        let ceiling = if self.max_rate.is_some() { PolicyWord::CEILING } else { 0 };
        let kisses = if self.kisses.is_some() { PolicyWord::KISSES } else { 0 };
        ceiling | kisses
    }
}

/// Whether ntpguard can enforce a limiter.
pub fn enforced(limiter: &Limiter) -> bool {
    match *limiter {
        Limiter::Unknown => false,
        Limiter::Headway { average, .. } => average <= MAX_AVERAGE,
        Limiter::Score { average, burst, .. } => {
            let packets = average * burst;
            burst > 0.0 && packets > 0.0 && packets < f64::from(Account::MAX_LEVEL / ONE)
        }
    }
}

/// A limiter in ticks of a clock. `seed` is the secret of the table of sources.
pub fn limits(limiter: &Limiter, bounds: &Bounds, clock: Clock, seed: Seed) -> abi::Limits {
    let Clock { hz, margin } = clock;
    // The power of two closest to this many ticks, as an exponent.
    let shift = |ticks: f64| ticks.log2().round().max(0.0) as u32;
    let second_shift = shift(f64::from(hz));
    let in_period = |rate: u32, shift: u32| {
        u32::try_from((u64::from(rate) << shift).div_ceil(u64::from(hz))).unwrap_or(u32::MAX)
    };
    // About 1/32 s, but long enough for at least 32 packets; a second at most.
    let max_rate = bounds.max_rate.unwrap_or(0);
    let period_shift = (shift(f64::from(hz) / 32.0)..second_shift)
        .find(|shift| in_period(max_rate, *shift) >= 32)
        .unwrap_or(second_shift);
    let mask = |prefix: u8| u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    let mask_v6 = mask(bounds.prefix_v6);
    let common = abi::Limits {
        seed,
        mask_v4: (mask(bounds.prefix_v4) >> 96) as u32,
        mask_v6: [(mask_v6 >> 64) as u64, mask_v6 as u64],
        hz,
        margin,
        memory: MEMORY * hz,
        second_shift,
        kisses: bounds.kisses.map_or(0, |kisses| in_period(kisses, second_shift)),
        rate: in_period(max_rate, period_shift),
        period_shift,
        minimum: 0,
        head: 0,
        limit: 0,
        refused: 0,
        kissed: 0,
        poll: 0,
        decay: [0; 512],
    };
    match *limiter {
        Limiter::Unknown => common,
        _ if !enforced(limiter) => common,
        Limiter::Headway { average, minimum } => {
            let head = hz << average;
            abi::Limits { minimum, head, limit: 8 * head, poll: average, ..common }
        }
        Limiter::Score { average, burst, kod } => {
            // The daemon's single precision adds a rounding error to each packet, and the clock's tick an error to each
            // time.
            let rounding = 1.0 + (1.0 + average) * burst / f64::from(1 << 24) + 1.0 / f64::from(1 << 16);
            let dating = (f64::from(margin) / (f64::from(hz) * burst)).exp();
            let level = |packets: f64| (packets * f64::from(ONE)).min(f64::from(Account::MAX_LEVEL));
            let refused = level(average * burst * rounding * dating).ceil() as u32 + 1;
            let kissed = level((average + kod) * burst) as u32;
            // Its shortest poll is 0 (ntp.h:NTP_MINPOLL), so a kiss keeps the request's poll.
            abi::Limits { refused, kissed, poll: 0, decay: decay(burst, hz), ..common }
        }
    }
}

/// The factors by which NTPsec's score decays ([`abi::Limits::decay`]).
fn decay(burst: f64, hz: u32) -> [u32; 512] {
    let factor = |ticks: usize| {
        let factor = (-(ticks as f64) / (f64::from(hz) * burst)).exp();
        (factor * f64::from(1_u32 << 31)) as u32
    };
    std::array::from_fn(|place| if place < 256 { factor(place) } else { factor((place - 256) * 256) })
}
