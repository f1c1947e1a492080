//! How long the machine has been suspended.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How far the clock that goes on in a suspended machine must be ahead to say that it was suspended.
pub const ASLEEP: Duration = Duration::from_millis(100);

/// How long the machine has been suspended since it booted.
pub fn suspended() -> Duration {
    let time = |clock| clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    time(ClockId::CLOCK_BOOTTIME).saturating_sub(time(ClockId::CLOCK_MONOTONIC))
}
