//! How long the machine has been suspended.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How far CLOCK_BOOTTIME must have moved ahead of CLOCK_MONOTONIC to count as a suspension.
pub const ASLEEP: Duration = Duration::from_millis(100);

/// How long the machine has been suspended since it booted.
pub fn suspended() -> Duration {
    let time = |clock| clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    time(ClockId::CLOCK_BOOTTIME).saturating_sub(time(ClockId::CLOCK_MONOTONIC))
}
